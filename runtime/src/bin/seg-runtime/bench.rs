//! `seg-runtime bench`: how fast a model is, a table of cases, each measured in a process of its
//! own.

use std::ffi::OsString;
use std::fmt::Write;
use std::iter;
use std::path::Path;

use anyhow::{Context, ensure};
use seg_cli::{chain, note, print, print_json};
use seg_inference::{Options, RunsOn, Segmenter, Session, image_files, read_contract};
use seg_runtime::bench::{
    self, Distribution, Paired, Stages, example_input, measure_paired, measure_stages, peak_memory_bytes,
};
use serde::{Deserialize, Serialize};

use crate::args::{Bench, Engine, Measure, Size};
use crate::inspect::own_size;
use crate::{child, engine};

/// One case and what was measured, or why nothing was.
#[derive(Serialize)]
struct Row {
    /// As was asked for; what was measured says what ran.
    ep: String,
    precision: String,
    batch: usize,
    height: u32,
    width: u32,
    #[serde(flatten)]
    measured: Option<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The measurements of one process.
#[derive(Serialize, Deserialize)]
struct Measured {
    /// The provider and device that computed the model.
    runs_on: RunsOn,
    /// The time of one run.
    latency_ms: Distribution,
    images_per_second: f64,
    /// With another model, the peak of both together.
    peak_memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Against>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<Stages>,
}

/// Another model, which ran in turn with the first one.
#[derive(Serialize, Deserialize)]
struct Against {
    /// The provider and device that computed it.
    runs_on: RunsOn,
    #[serde(flatten)]
    paired: Paired,
}

pub(crate) fn bench(args: &Bench) -> anyhow::Result<()> {
    let contract = read_contract(&args.model)?;
    let against = args.against.as_ref().map(|path| read_contract(path)).transpose()?;
    let images = if args.images.is_empty() { Vec::new() } else { image_files(&args.images)? };
    let sizes = if args.size.is_empty() { vec![own_size(&contract)] } else { args.size.clone() };
    for size in &sizes {
        [Some(&contract), against.as_ref()].into_iter().flatten().try_for_each(|contract| size.check_for(contract))?;
    }
    let mut rows = Vec::new();
    for ep in &args.ep {
        for precision in &args.precision {
            let mut is_first = true;
            for batch in args.batch.iter().map(|batch| batch.get()) {
                for size in &sizes {
                    let mut engine = Engine { ep: *ep, precision: *precision, tuning: args.tuning.clone() };
                    if let Some(provider) = ep.provider() {
                        engine = engine.alone(provider);
                    }
                    // Stages are for one image at its own size; where no batch is of one, the first
                    // case has them.
                    let has_stages = std::mem::take(&mut is_first) || batch == 1;
                    let images = if has_stages { images.as_slice() } else { &[] };
                    let mut row = Row::new(&engine, batch, *size);
                    let case = row.name();
                    note(&format!("measuring {case}"));
                    match child::ask(&arguments(args, &engine, batch, *size, images), None) {
                        Ok(measured) => row.measured = Some(measured),
                        Err(error) => row.error = Some(chain(error.as_ref())),
                    }
                    rows.push(row);
                }
            }
        }
    }
    if args.json {
        print_json(&serde_json::to_string_pretty(&rows)?)?;
    } else {
        print(&table(&rows)?)?;
    }
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    ensure!(failed == 0, "{failed} of {} cases could not be measured", rows.len());
    Ok(())
}

/// Measures one case.
pub(crate) fn measure(args: &Measure) -> anyhow::Result<()> {
    let models: Vec<_> = iter::once(&args.model).chain(&args.against).collect();
    let (environment, options) = engine::start(&args.engine, &models)?;
    let options = Options { batch_max: Some(args.batch), ..options };
    let open = |path: &Path| engine::open(&options, || Session::open(&environment, path, &options));
    let mut session = open(&args.model)?;
    let channels = session.contract().input.color.channels();
    let Size { height, width } = args.size;
    let input = example_input([args.batch.get(), channels, height as usize, width as usize]);
    let runs = bench::Runs { warm_up: args.runs.warm_up.get(), counted: args.runs.runs.get() };
    let (latency_ms, against) = match &args.against {
        None => (bench::measure(&mut session, &input, runs)?, None),
        Some(path) => {
            let mut other = open(path)?;
            let paired = measure_paired([&mut session, &mut other], &input, runs)?;
            (paired.first_ms, Some(Against { runs_on: other.runs_on().clone(), paired }))
        }
    };
    let runs_on = session.runs_on().clone();
    // Before the images: their stages come with a session of their own.
    let peak_memory_bytes = peak_memory_bytes();
    drop(session);
    let stages = if args.images.is_empty() {
        None
    } else {
        let folder = tempfile::tempdir().context("cannot create a folder for the masks")?;
        let mut segmenter = engine::open(&options, || Segmenter::open(&environment, &args.model, &options))?;
        Some(measure_stages(&mut segmenter, &args.images, folder.path())?)
    };
    let images_per_second = args.batch.get() as f64 * 1e3 / latency_ms.p50;
    let measured = Measured { runs_on, latency_ms, images_per_second, peak_memory_bytes, against, stages };
    print_json(&serde_json::to_string(&measured)?)
}

/// Returns the flags of the process that measures a case.
fn arguments(args: &Bench, engine: &Engine, batch: usize, size: Size, images: &[std::path::PathBuf]) -> Vec<OsString> {
    let mut flags: Vec<OsString> = vec!["measure".into(), args.model.clone().into()];
    for (flag, value) in [
        ("--batch", batch.to_string()),
        ("--size", size.to_string()),
        ("--warm-up", args.runs.warm_up.to_string()),
        ("--runs", args.runs.runs.to_string()),
    ] {
        flags.extend([flag.into(), value.into()]);
    }
    let files = args.against.iter().map(|path| ("--against", path)).chain(images.iter().map(|path| ("--images", path)));
    for (flag, path) in files {
        flags.extend([flag.into(), path.clone().into_os_string()]);
    }
    flags.extend(engine.to_args());
    flags
}

impl Row {
    fn new(engine: &Engine, batch: usize, size: Size) -> Self {
        let ep = engine.ep.name().to_owned();
        let precision = engine.precision.to_string();
        Self { ep, precision, batch, height: size.height, width: size.width, measured: None, error: None }
    }

    /// Describes the case, by the provider once that is known.
    fn name(&self) -> String {
        let Self { ep, precision, batch, height, width, measured, .. } = self;
        let (ep, precision) = match measured {
            Some(Measured { runs_on, .. }) => (runs_on.provider.flag().to_owned(), runs_on.precision.to_string()),
            None => (ep.clone(), precision.clone()),
        };
        format!("{ep:8}  {precision:9}  {batch:5}  {:>9}", format!("{height}x{width}"))
    }
}

fn table(rows: &[Row]) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(text, "provider  precision  batch       size    p50 ms    p95 ms    p99 ms  images/s  peak MiB")?;
    for row in rows {
        let name = row.name();
        let Some(measured) = &row.measured else {
            writeln!(text, "{name}  {}", row.error.as_deref().unwrap_or_default())?;
            continue;
        };
        let Distribution { p50, p95, p99, .. } = measured.latency_ms;
        let peak = measured.peak_memory_bytes.map_or("unknown".into(), |bytes| (bytes >> 20).to_string());
        writeln!(text, "{name}  {p50:8.2}  {p95:8.2}  {p99:8.2}  {:8.2}  {peak:>8}", measured.images_per_second)?;
        for line in measured.runs_on.notes() {
            writeln!(text, "{:>36}  {line}", "note")?;
        }
        if let Some(Against { runs_on, paired }) = &measured.against {
            let Paired { second_ms: Distribution { p50, p95, p99, .. }, ratio_quartiles, .. } = paired;
            let [low, middle, high] = ratio_quartiles;
            writeln!(text, "{:>36}  {p50:8.2}  {p95:8.2}  {p99:8.2}", "against")?;
            if runs_on.notes() != measured.runs_on.notes() {
                writeln!(text, "{:>36}  with {} in {}", "", runs_on.provider, runs_on.precision)?;
            }
            writeln!(text, "{:>36}  {middle:8.3}  (half of the pairs: {low:.3} to {high:.3})", "ratio")?;
        }
        if let Some(Stages { decode_ms, preprocess_ms, infer_ms, postprocess_ms, encode_ms }) = measured.stages {
            writeln!(
                text,
                "{:>36}  decode {decode_ms:.2}, preprocess {preprocess_ms:.2}, infer {infer_ms:.2}, \
                 postprocess {postprocess_ms:.2}, encode {encode_ms:.2} ms",
                "stages"
            )?;
        }
    }
    Ok(text)
}
