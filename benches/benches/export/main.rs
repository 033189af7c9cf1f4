//! Compares our exported graphs with those that PyTorch exports of the same weights, in the same
//! ONNX Runtime.
//!
//! `cargo bench -p seg-benches --bench export -- --python VENV/bin/python --peers DIR --checkpoint
//! FILE`
//!
//! `DIR` holds the graphs that PyTorch's exporters wrote for the checkpoint, as `python3
//! benches/pytorch/export.py --network NAME --out DIR` does; the Python has
//! `benches/onnxruntime/requirements.txt`, or `onnxruntime-openvino` for `--provider openvino`.
//! Each measurement is a process of its own and the models take turns. Wall time needs a quiet
//! machine; processor time is more reliable on a busy one.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod measure;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use measure::{Measured, Measurement};
use seg_benches::{median, median_ratio, typed_path, typed_program};
use seg_contract::InputForm;
use seg_export::contract::GivenFacts;
use seg_export::{Options, export};
use seg_nets::checkpoint::Checkpoint;
use seg_onnx::Target;

/// The graph that all others are compared with.
const PEER: &str = "torch_dynamo_opset20";
/// PyTorch's older exporter fixes the size; its graph may be missing.
const PEER_FIXED: (&str, [usize; 2]) = ("torch_script_opset17", [256, 256]);
/// The largest difference of the sums of outputs, relative to the sum: they are of the same
/// weights.
const OUTPUT_TOLERANCE: f64 = 1e-4;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Compares our exported graphs with PyTorch's.
#[derive(Parser)]
struct Cli {
    /// A Python that has onnxruntime
    #[arg(long, value_parser = typed_program)]
    python: PathBuf,
    /// The folder of PyTorch's graphs
    #[arg(long, value_parser = typed_path)]
    peers: PathBuf,
    /// The weights that PyTorch's graphs have [default: weights.safetensors in their folder]
    #[arg(long, value_parser = typed_path)]
    checkpoint: Option<PathBuf>,
    /// Settings of the network that its weights do not tell, as `heads=12`
    #[arg(long, value_parser = setting)]
    network_option: Vec<(String, String)>,
    /// Other models to measure, such as an 8-bit one; their outputs are not compared
    #[arg(long, value_parser = typed_path)]
    also: Vec<PathBuf>,
    /// ONNX Runtime's execution providers, cpu or openvino; all are compared with the first one's
    /// run of PyTorch's graph
    #[arg(long, value_delimiter = ',', default_value = "cpu")]
    provider: Vec<String>,
    /// Sizes of the image
    #[arg(long, value_parser = size, default_values = ["256x256", "512x512", "565x584"])]
    size: Vec<[usize; 2]>,
    /// Rounds, in each of which every model has its turn
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Timed runs of a turn
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Threads of each process
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn size(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once('x').and_then(|(height, width)| Some([height.parse().ok()?, width.parse().ok()?]));
    sides.ok_or_else(|| "expected HEIGHTxWIDTH".into())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((parts.0.into(), parts.1.into()))
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let folder = tempfile::tempdir()?;
    for &size in &cli.size {
        compare(&cli, folder.path(), size)?;
    }
    Ok(())
}

/// A model to measure.
#[derive(Clone)]
struct Model {
    name: String,
    path: PathBuf,
    /// True if it takes any size and ONNX Runtime opens it for one (free dimensions are
    /// overridden).
    for_size: bool,
    /// True if its outputs are those of the peer.
    same_weights: bool,
}

impl Model {
    fn opened_for_size(self) -> Self {
        Self { name: format!("{}, opened for the size", self.name), for_size: true, ..self }
    }
}

/// Lists the models of a size, the peer first.
fn models(cli: &Cli, folder: &Path, size: [usize; 2]) -> Result<Vec<Model>> {
    let peer = |name: &str| {
        let path = cli.peers.join(format!("{name}.onnx"));
        Model { name: name.to_owned(), path, for_size: false, same_weights: true }
    };
    let mut models = vec![peer(PEER), peer(PEER).opened_for_size()];
    let fixed = peer(PEER_FIXED.0);
    if size == PEER_FIXED.1 && fixed.path.is_file() {
        models.push(fixed);
    }
    let path = cli.checkpoint.clone().unwrap_or_else(|| cli.peers.join("weights.safetensors"));
    let mut checkpoint = Checkpoint::read(&path)?;
    checkpoint.choose(&cli.network_option)?;
    let takes_any = checkpoint.weights.config()?.sides().only.is_none();
    let sizes = [None, Some(size)].into_iter().filter(|fixed| takes_any || fixed.is_some());
    let forms = sizes.flat_map(|fixed| [Target::Portable, Target::Cpu].map(|target| (target, fixed)));
    for (target, fixed) in forms {
        let given = GivenFacts { mean: Some(vec![0.0; 3]), std: Some(vec![1.0; 3]), classes: None };
        let input = InputForm { size: fixed, batch: fixed.map(|_| 1), ..InputForm::default() };
        let name = format!("{target}{}", if fixed.is_some() { ", one size" } else { "" });
        let path = folder.join(format!("{}.onnx", name.replace(", ", "_").replace(' ', "_")));
        let bytes = export(&checkpoint, &Options { target, given, input, ..Options::default() })?.bytes;
        fs::write(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))?;
        let model = Model { name, path, for_size: false, same_weights: true };
        models.extend(fixed.is_none().then(|| model.clone().opened_for_size()));
        models.push(model);
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    models.extend(cli.also.iter().map(|path| Model {
        name: name(path),
        path: path.clone(),
        for_size: false,
        same_weights: false,
    }));
    Ok(models)
}

fn compare(cli: &Cli, folder: &Path, size: [usize; 2]) -> Result<()> {
    let models = models(cli, folder, size)?;
    let rows: Vec<_> =
        cli.provider.iter().flat_map(|provider| models.iter().map(move |model| (provider, model))).collect();
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); rows.len()];
    for _ in 0..cli.rounds {
        for ((provider, model), measured) in rows.iter().zip(&mut measured) {
            let Model { path: model, for_size, .. } = model;
            let (python, for_size, threads, runs) = (&cli.python, *for_size, cli.threads, cli.runs);
            let measurement = Measurement { python, model, provider, size, for_size, threads, runs };
            measured.push(measurement.run()?);
        }
    }
    let version = measured.first().and_then(|peer| peer.first()).map_or("", |peer| &peer.version);
    let [height, width] = size;
    println!("{height}x{width}, ONNX Runtime {version}, {} threads, {} rounds", cli.threads, cli.rounds);
    println!("  {:56} {:>9} {:>9} {:>9} {:>9} {:>9}", "", "ms", "times", "cpu ms", "times", "MiB");
    for ((provider, Model { name, same_weights, .. }), ours) in rows.iter().zip(&measured) {
        let of = |quantity: fn(&Measured) -> f64| {
            let [ours, peer]: [Vec<f64>; 2] = [ours, &measured[0]].map(|side| side.iter().map(quantity).collect());
            (median(ours.clone()), median_ratio(&peer, &ours))
        };
        let (wall, faster) = of(|side| side.seconds_median);
        let (cpu, cheaper) = of(|side| side.cpu_seconds);
        let (memory, _) = of(|side| side.rss_growth as f64);
        let (output, peer) =
            (of(|side| side.output_sum).0, median(measured[0].iter().map(|side| side.output_sum).collect()));
        ensure!(
            !same_weights || (output / peer - 1.0).abs() < OUTPUT_TOLERANCE,
            "`{name}` computes something else than {PEER}"
        );
        let (wall, cpu, memory) = (wall * 1e3, cpu * 1e3, memory / MEBIBYTE);
        let name = format!("{provider}: {name}");
        println!("  {name:56} {wall:9.1} {faster:9.2} {cpu:9.1} {cheaper:9.2} {memory:9.0}");
    }
    Ok(())
}
