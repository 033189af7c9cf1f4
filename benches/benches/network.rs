//! Compares the exported network in ONNX Runtime with the same file and the same weights in our
//! kernels, in floats and in integers, on the CPU, and with the files of other exporters.
//!
//! `cargo bench -p seg-benches --bench network -- [FILE...]`: all take turns, and the ratios are
//! medians of those of the rounds, of wall time and of processor time. Wall time needs a quiet
//! machine. A file is an ONNX model of the same network by another exporter, of one input and of
//! any size, which ONNX Runtime runs.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::ffi::OsStr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::tensor::{Tensor, TensorData};
use ndarray::Array4;
use ort::value::TensorRef;
use seg_benches::{median, median_ratio};
use seg_export::{Export, Options as ExportOptions, export};
use seg_inference::library::{Build, Search};
use seg_inference::{Options, Provider, Session};
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::checkpoint::Checkpoint;
use seg_nets::device::DeviceChoice;
use seg_nets::kernels::vector_instructions;
use seg_nets::network::Network;
use seg_nets::weights::Weights;
use seg_onnx::Model;
use seg_onnx::precision::{Range, Scheme, quantizable, quantize, values_around};

const ROUNDS: usize = 9;
/// The pause before each run: threads wait for more work by spinning, which slows the other side.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns the name of the processor.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}

fn main() -> Result<()> {
    let (device, _) = DeviceChoice::Cpu.open()?;
    let net: Network = AmsUnetConfig::new().init(&device).into();
    let checkpoint = Checkpoint { path: "random".into(), weights: Weights::from_network(&net), contract: None };
    let folder = tempfile::tempdir()?;
    let [path, rounded] = ["amsunet.onnx", "int8.onnx"].map(|name| folder.path().join(name));
    let Export { bytes, model, .. } = export(&checkpoint, &ExportOptions::default())?;
    std::fs::write(&path, bytes)?;
    std::fs::write(&rounded, in_integers(model)?)?;
    let environment = Search::from_env(None, Build::Cpu).locate()?.load()?;
    let mut session = Session::open(&environment, &path, &Options::default())?;
    let on_kernels = Options { provider: Provider::Fused, ..Options::default() };
    let [mut fused, mut fused_int8] =
        [Session::open(&environment, &path, &on_kernels)?, Session::open(&environment, &rounded, &on_kernels)?];
    // Cargo adds `--bench`.
    let files: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let open = |file: &String| -> ort::Result<_> {
        let threads = seg_inference::available_threads().get();
        ort::session::Session::builder(&environment)?.with_intra_threads(threads)?.commit_from_file(file)
    };
    let mut others = files.iter().map(open).collect::<ort::Result<Vec<_>>>()?;

    let threads = thread::available_parallelism().map_or(1, usize::from);
    println!("{}, {threads} threads; ours with {}; medians of {ROUNDS} rounds", processor(), vector_instructions());
    let ours = ["cpu", "fused", "fused, int8", "training"];
    let file_name = |file| Path::new(file).file_name().and_then(OsStr::to_str).unwrap_or(file);
    let sides: Vec<_> = ours.into_iter().chain(files.iter().map(|file| file_name(file))).collect();
    println!("{:16} {:28} {:>12} {:>14} {:>18}", "forward", "", "time", "ratio to cpu", "of processor time");
    for [n, height, width] in [[1, 256, 256], [1, 512, 512], [1, 565, 584], [4, 256, 256]] {
        let count = n * 3 * height * width;
        let values: Vec<f32> = (0..count).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
        let shape = [n, 3, height, width];
        let image = Array4::from_shape_vec(shape, values.clone()).context("as many values as pixels")?;
        let x = Tensor::<4>::from_data(TensorData::new(values, shape), &device);
        let run = |other: &mut ort::session::Session| -> Result<()> {
            other.run(ort::inputs![TensorRef::from_array_view(image.view())?])?;
            Ok(())
        };
        // PyTorch's exporter drops the padding that odd sides need.
        let fails: Vec<_> = others.iter_mut().map(|other| run(other).is_err()).collect();
        let mut rounds = Vec::new();
        for _ in 0..=ROUNDS {
            let mut round = vec![
                timed(|| session.run(image.view()).map(drop))?,
                timed(|| fused.run(image.view()).map(drop))?,
                timed(|| fused_int8.run(image.view()).map(drop))?,
                timed(|| -> Result<()> {
                    drop(net.forward(x.clone()).into_data());
                    Ok(())
                })?,
            ];
            for (other, fails) in others.iter_mut().zip(&fails) {
                round.push(if *fails { [f64::NAN; 2] } else { timed(|| run(other))? });
            }
            rounds.push(round);
        }
        // The first prepares all sides.
        rounds.remove(0);
        let of = |side: usize, quantity: usize| rounds.iter().map(|round| round[side][quantity]).collect::<Vec<_>>();
        let name = format!("{n}x3x{height}x{width}");
        for (side, label) in sides.iter().enumerate() {
            if side.checked_sub(ours.len()).is_some_and(|file| fails[file]) {
                println!("{name:16} {label:28} does not run at this size");
                continue;
            }
            let time = 1e3 * median(of(side, 0));
            let [wall, processor] = [0, 1].map(|quantity| median_ratio(&of(side, quantity), &of(0, quantity)));
            println!("{name:16} {label:28} {time:9.1} ms {wall:14.2} {processor:18.2}");
        }
    }
    Ok(())
}

/// Returns the file of a model whose products are in integers, for the fused kernel. The ranges of
/// values are any, as no time depends on them.
fn in_integers(mut model: Model) -> Result<Vec<u8>> {
    let graph = &model.graph;
    let nodes = quantizable(graph, Scheme::Fused).into_iter().collect();
    let range = Range { min: -4.0, max: 4.0 };
    let values = values_around(graph, &nodes, Scheme::Fused);
    let ranges = values.into_iter().map(|value| (value.to_owned(), range)).collect();
    model.graph = quantize(graph, &nodes, &ranges, Scheme::Fused)?.graph;
    Ok(model.to_bytes()?)
}

/// Returns wall time and processor time of some work after a pause, in seconds.
fn timed<E>(work: impl FnOnce() -> Result<(), E>) -> Result<[f64; 2], E> {
    thread::sleep(PAUSE);
    let (begun, before) = (Instant::now(), processor_seconds());
    work()?;
    Ok([begun.elapsed().as_secs_f64(), processor_seconds() - before])
}

/// Returns the processor time of all threads so far.
fn processor_seconds() -> f64 {
    /// Nanoseconds on a processor are the first number of a thread's statistics.
    fn thread(folder: std::fs::DirEntry) -> Option<f64> {
        std::fs::read_to_string(folder.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    }
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.filter_map(thread).sum::<f64>() / 1e9
}
