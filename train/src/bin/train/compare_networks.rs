//! `train compare-networks`: trains networks under one protocol, and exports, proves, scores and
//! times each, by the programs that do so alone.

use std::fs;
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use seg_cli::{Shown, is_quiet, note, say};
use seg_contract::SizePolicy;
use seg_data::{Dataset, write_bytes};
use seg_nets::runs;
use seg_text::shell;
use seg_train::comparison::{Comparison, Latency, Measured, PLAN, Plan, REPORT, Slot};
use seg_train::run::config::Config;
use seg_train::run::ending::Ending;
use seg_train::run::record::EpochRecord;
use seg_train::run::{self, Run};

use crate::args::CompareNetworksArgs;
use crate::programs::{Program, Programs, text};
use crate::stop::StopRequest;

/// The model of a run.
const MODEL: &str = "model.onnx";
/// The folder of a run's scores.
const EVALUATION: &str = "evaluation";
/// The scores in it.
const SCORES: &str = "scores.json";

pub(crate) fn run(args: &CompareNetworksArgs) -> Result<()> {
    let request = StopRequest::heed().context("cannot heed signals")?;
    let programs = Programs::beside(request, args.ort_lib.clone(), &[Program::Export, Program::Runtime])?;
    let (folder, plan) = match &args.resume {
        Some(folder) => (folder.clone(), Plan::read(&folder.join(PLAN))?),
        None => begin(args, &programs)?,
    };
    let resume = format!("seg train compare-networks --resume {}", shell::path(&folder));
    let dataset = Dataset::open_with(&plan.data, &plan.files)?;
    let found = dataset.fingerprint()?;
    ensure!(
        found == plan.data_sha256,
        "the data in `{}` are not those of the plan: their fingerprint is {found}, and was {}; restore them, or begin another \
         comparison",
        plan.data.shown(),
        plan.data_sha256
    );
    say(&format!("comparison {}", folder.shown()));
    let slots = plan.slots(&folder);
    let count = slots.len();
    for (number, slot) in (1..).zip(&slots) {
        say(&format!("\nrun        {number} of {count}: {}, seed {}", plan.networks[slot.variant], slot.seed));
        let done = Steps { plan: &plan, programs: &programs, first: &slots[0] }.finish(slot);
        if programs.is_stopped() {
            say(&format!("interrupted; to go on: {resume}"));
            programs.exit();
        }
        done.with_context(|| format!("a run failed; once that is mended, go on with `{resume}`"))?;
    }
    // All models are timed one after the other, while nothing else runs here.
    say("\ntiming     every model in ONNX Runtime");
    let timed = time(&plan, &slots, &programs);
    if programs.is_stopped() {
        say(&format!("interrupted; to go on: {resume}"));
        programs.exit();
    }
    let networks = timed.with_context(|| format!("a model cannot be timed; go on with `{resume}`"))?;
    let runs = slots.iter().map(measured).collect::<Result<Vec<_>>>()?;
    let comparison = Comparison::new(plan, dataset.name, &networks, runs)?;
    comparison.write(&folder)?;
    say(&format!("\n{}", table(&comparison).join("\n")));
    say(&format!("\nreport     {}", folder.join(REPORT).shown()));
    Ok(())
}

/// Makes the plan and its folder.
fn begin(args: &CompareNetworksArgs, programs: &Programs) -> Result<(PathBuf, Plan)> {
    let whole = |path: &PathBuf| absolute(path).with_context(|| format!("cannot resolve `{}`", path.shown()));
    let mut plan = match &args.plan {
        Some(path) => Plan::read(path)?,
        None => Plan {
            data: PathBuf::new(),
            files: args.files.clone(),
            test: args.test.as_ref().map(whole).transpose()?,
            data_sha256: String::new(),
            networks: args.networks.clone(),
            seeds: args.seeds.clone(),
            train: args.train.clone(),
            timed_runs: args.timed_runs.get(),
            version: env!("CARGO_PKG_VERSION").into(),
        },
    };
    if let Some(data) = &args.data {
        plan.data = whole(data)?;
    }
    if let Some(test) = &args.test {
        plan.test = Some(whole(test)?);
    }
    plan.check()?;
    let dataset = Dataset::open_with(&plan.data, &plan.files)?;
    ensure!(
        plan.test.is_some() || !dataset.test.is_empty(),
        "`{}` holds no images back, and scores on images that were learned from compare nothing; move some into `test/`, or name \
         another data set by `--test`",
        plan.data.shown()
    );
    let found = dataset.fingerprint()?;
    ensure!(
        plan.data_sha256.is_empty() || plan.data_sha256 == found,
        "the data in `{}` are not those of the plan: their fingerprint is {found}, expected {}; name the folder by `--data`",
        plan.data.shown(),
        plan.data_sha256
    );
    plan.data_sha256 = found;
    let name = dataset.name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let folder = args.out.clone().unwrap_or_else(|| run::free(runs::RUNS.as_ref(), &format!("compare-{name}")));
    if let Ok(mut entries) = fs::read_dir(&folder) {
        ensure!(
            entries.next().is_none(),
            "cannot begin a comparison in `{}`: it is not empty; choose another `--out`, or go on with `--resume`",
            folder.shown()
        );
    }
    // What no run can do is found before hours of training.
    for (slot, network) in plan.slots(&folder).iter().zip(&plan.networks) {
        note(&format!("checking   {network}"));
        let mut flags = train_flags(&plan, slot, None);
        flags.push("--print-config".into());
        programs.capture(Program::Train, &flags).with_context(|| format!("{network} cannot be trained so"))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create the folder `{}`", folder.shown()))?;
    plan.write(&folder)?;
    Ok((folder, plan))
}

/// The steps of a run.
struct Steps<'a> {
    plan: &'a Plan,
    programs: &'a Programs,
    /// The run whose split the others take.
    first: &'a Slot,
}

impl Steps<'_> {
    /// Does what is left of a run: trains, exports with the proof, scores.
    fn finish(&self, slot: &Slot) -> Result<()> {
        let run = &slot.folder;
        if is_trained(run)? {
            say(&format!("trained    {}", run.shown()));
        } else if run.join(run::CONFIG).exists() {
            let flags = ["--resume".to_owned(), text(run)?, "--plain".into()];
            self.programs.run(Program::Train, &flags)?;
        } else {
            let split = (slot != self.first).then(|| self.first.folder.join(run::SPLIT));
            let mut flags = train_flags(self.plan, slot, split.as_deref());
            flags.extend(["--out".into(), text(run)?, "--plain".into()]);
            self.programs.run(Program::Train, &flags)?;
        }
        let model = run.join(MODEL);
        if !model.exists() {
            self.programs.run(Program::Export, &["--checkpoint".into(), text(run)?, "--out".into(), text(&model)?])?;
        }
        let evaluation = run.join(EVALUATION);
        if !evaluation.join(SCORES).exists() {
            let mut flags = vec!["eval".to_owned(), "--model".into(), text(&model)?];
            flags.extend(["--out".into(), text(&evaluation)?, "--data".into()]);
            match &self.plan.test {
                Some(test) => flags.push(text(test)?),
                None => {
                    flags.extend([text(&self.plan.data)?, "--split".into(), "test".into()]);
                    flags.extend(selection(self.plan)?);
                }
            }
            self.programs.run(Program::Runtime, &flags)?;
        }
        Ok(())
    }
}

/// Times the first model of each network; also counts its parameters.
fn time(plan: &Plan, slots: &[Slot], programs: &Programs) -> Result<Vec<(u64, Latency)>> {
    let mut networks = Vec::new();
    for slot in &slots[..plan.networks.len()] {
        let config = Run::open(&slot.folder)?.config;
        let [bench, inspect] = ["bench.json", "inspect.json"].map(|name| slot.folder.join(name));
        let (model, size) = (text(&slot.folder.join(MODEL))?, size(&config));
        let sized =
            |command: &str| vec![command.to_owned(), model.clone(), "--size".into(), size.clone(), "--json".into()];
        if !inspect.exists() {
            write_bytes(&inspect, &programs.capture(Program::Runtime, &sized("inspect"))?)?;
        }
        if !bench.exists() {
            note(&format!("timing     {}", plan.networks[slot.variant]));
            let mut flags = sized("bench");
            flags.extend(["--runs".into(), plan.timed_runs.to_string()]);
            write_bytes(&bench, &programs.capture(Program::Runtime, &flags)?)?;
        }
        let parameters = config.network.init(&Device::flex()).num_learnable() as u64;
        networks.push((parameters, Latency::read(&bench, &inspect)?));
    }
    Ok(networks)
}

/// Returns the size at which a model is timed: that at which images are run, else the crop.
fn size(config: &Config) -> String {
    match config.size {
        SizePolicy::Resize { height, width } => format!("{height}x{width}"),
        SizePolicy::Native => format!("{}x{}", config.augmentation.crop[0], config.augmentation.crop[1]),
    }
}

/// Returns the flags that begin a run; a `split` replaces the share that is cut off.
fn train_flags(plan: &Plan, slot: &Slot, split: Option<&Path>) -> Vec<String> {
    let mut flags = vec!["--data".to_owned(), plan.data.to_string_lossy().into_owned()];
    flags.extend(selection(plan).unwrap_or_default());
    flags.extend(plan.networks[slot.variant].flags());
    flags.extend(["--seed".into(), slot.seed.to_string()]);
    let mut shared = plan.train.iter();
    while let Some(flag) = shared.next() {
        match flag.as_str() {
            "--validation" if split.is_some() => drop(shared.next()),
            flag if split.is_some() && flag.starts_with("--validation=") => {}
            flag => flags.push(flag.into()),
        }
    }
    if let Some(split) = split {
        flags.extend(["--split".into(), split.to_string_lossy().into_owned()]);
    }
    if is_quiet() {
        flags.push("--quiet".into());
    }
    flags
}

/// Returns the flags of the choice among the data set's files.
fn selection(plan: &Plan) -> Result<Vec<String>> {
    let files = serde_json::to_value(&plan.files).context("cannot write the choice of files")?;
    let mut flags = Vec::new();
    for (name, value) in files.as_object().into_iter().flatten() {
        let value = value.as_str().context("a choice of files is no text")?;
        flags.extend([format!("--{name}"), value.to_owned()]);
    }
    Ok(flags)
}

/// Returns whether a run has ended and has its report.
fn is_trained(folder: &Path) -> Result<bool> {
    if !folder.join(run::CONFIG).exists() || !folder.join(run::REPORT).exists() {
        return Ok(false);
    }
    let run = Run::open(folder)?;
    Ok(Ending::from_log(&run.config, &run.log()?).is_some())
}

/// Gathers what a run left.
fn measured(slot: &Slot) -> Result<Measured> {
    let log = Run::open(&slot.folder)?.log()?;
    let Some(best) = log.iter().rfind(|record| record.best) else {
        bail!("the run `{}` has no best epoch", slot.folder.shown());
    };
    Ok(Measured {
        variant: slot.variant,
        seed: slot.seed,
        best_epoch: best.epoch,
        epochs: log.len(),
        minutes: log.iter().map(EpochRecord::seconds).sum::<f64>() / 60.0,
        images: Measured::images(&slot.folder.join(EVALUATION).join(SCORES))?,
    })
}

/// Returns the table of networks, line by line.
fn table(comparison: &Comparison) -> Vec<String> {
    let width = comparison.rows.iter().map(|row| row.network.chars().count()).max().unwrap_or(0);
    let head = format!(
        "{:width$}  {:>8}  {:>8}  {:>9}  {:>12}  {:>8}  {:>8}",
        "", "Dice", "± seeds", "change", "parameters", "G MACs", "ms"
    );
    let row = |row: &seg_train::comparison::Row| {
        let std = row.seeds_std.map_or_else(|| "-".into(), |std| format!("{std:.4}"));
        let change = row.difference.map_or_else(|| "-".into(), |difference| format!("{:+.4}", difference.dice));
        let verdict = row.difference.map_or("", |difference| difference.verdict());
        let (dice, macs) = (row.dice.value.unwrap_or(f64::NAN), row.latency.multiply_adds as f64 / 1e9);
        let line = format!(
            "{:width$}  {dice:>8.4}  {std:>8}  {change:>9}  {:>12}  {macs:>8.2}  {:>8.1}  {verdict}",
            row.network, row.parameters, row.latency.p50_ms
        );
        line.trim_end().to_owned()
    };
    [head].into_iter().chain(comparison.rows.iter().map(row)).collect()
}
