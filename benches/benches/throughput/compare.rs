//! Compares all sides in turn, each in a process of its own.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use seg_benches::{bench_file, median, median_ratio};

use crate::measure::Measured;

/// The least share of the bare network's throughput that the pipeline keeps.
const OF_BARE_MIN: f64 = 0.95;
/// The least throughput of the pipeline, in times Python's; how much more it can be depends on the
/// network's share in the work.
const OF_PYTHON_MIN: f64 = 1.0;

/// Measures all sides in turn and prints medians and the ratios of the rounds; fails if the
/// pipeline is too slow.
pub(crate) fn run(model: &Path, images: &Path, python: Option<&Path>, threads: usize, rounds: usize) -> Result<()> {
    let mut sides = vec![("bare", Vec::new()), ("pipeline", Vec::new())];
    sides.extend(python.map(|_| ("python", Vec::new())));
    for _ in 0..rounds {
        for (side, measured) in &mut sides {
            let out = tempfile::tempdir().context("cannot make a folder for results")?;
            measured.push(match python.filter(|_| *side == "python") {
                Some(python) => {
                    let script = bench_file("python/infer.py");
                    let mut process = Command::new(python);
                    process.arg(script);
                    ask(side, process, model, images, out.path(), threads)?
                }
                None => measure(side, model, images, out.path(), threads)?,
            });
        }
    }
    println!("{threads} threads, {rounds} rounds, {} images", sides[0].1[0].images);
    println!("{:10} {:>9} {:>14} {:>12} {:>10}", "", "images/s", "CPU ms/image", "peak MB", "of bare");
    let per_image = |measured: &[Measured], of: fn(&Measured) -> f64| -> Vec<f64> {
        measured.iter().map(|measured| of(measured) / measured.images as f64).collect()
    };
    let bare = per_image(&sides[0].1, |measured| measured.seconds);
    let mut all = Vec::new();
    for (side, measured) in &sides {
        let seconds = per_image(measured, |measured| measured.seconds);
        let cpu_ms = median(per_image(measured, |measured| measured.cpu_seconds * 1e3));
        let peak = median(measured.iter().map(|measured| measured.rss_peak as f64 / 1e6).collect());
        let rate = 1.0 / median(seconds.clone());
        let ratio = median_ratio(&bare, &seconds);
        println!("{side:10} {rate:9.2} {cpu_ms:14.1} {peak:12.0} {ratio:10.2}  {}", measured[0].version);
        all.push(seconds);
    }
    let of_bare = median_ratio(&all[0], &all[1]);
    let of_python = python.map(|_| median_ratio(&all[2], &all[1]));
    if let Some(of_python) = of_python {
        println!("the pipeline's throughput over Python's: {of_python:.2}");
    }
    ensure!(
        of_bare >= OF_BARE_MIN,
        "the pipeline has {of_bare:.3} of the bare network's throughput, expected {OF_BARE_MIN}"
    );
    ensure!(
        of_python.is_none_or(|of_python| of_python >= OF_PYTHON_MIN),
        "the pipeline is slower than the job in Python"
    );
    Ok(())
}

/// Measures one of our sides in a process of its own.
pub(crate) fn measure(side: &str, model: &Path, images: &Path, out: &Path, threads: usize) -> Result<Measured> {
    let mut process = Command::new(env::current_exe().context("cannot find this program")?);
    process.args(["measure", "--side", side]);
    ask(side, process, model, images, out, threads)
}

fn ask(side: &str, mut process: Command, model: &Path, images: &Path, out: &Path, threads: usize) -> Result<Measured> {
    process.arg("--model").arg(model).arg("--images").arg(images);
    process.arg("--out").arg(out).args(["--threads", &threads.to_string()]);
    let output = process.output().with_context(|| format!("cannot start the side `{side}`"))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the side `{side}` failed: {}\n{messages}", output.status);
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the side `{side}` printed no measurement\n{messages}"))
}
