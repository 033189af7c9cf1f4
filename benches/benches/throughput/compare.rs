//! All sides in turn, each in a process of its own.

use std::{env, path::Path, process::Command, thread};

use anyhow::{Context, Result, ensure};
use seg_benches::{bench_file, median, median_ratio};

use crate::measure::Measured;

/// Measures all sides in turn and prints medians and the ratios of the rounds.
pub(crate) fn run(
    model: &Path,
    images: &Path,
    python: Option<&Path>,
    threads: Option<usize>,
    rounds: usize,
) -> Result<()> {
    let threads = threads.or_else(|| thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let program = env::current_exe().context("cannot find this program")?;
    let script = bench_file("python/infer.py");
    let mut sides = Vec::new();
    for side in ["bare", "pipeline"] {
        let mut command = vec![program.clone().into_os_string()];
        command.extend(["measure", "--side", side].map(Into::into));
        sides.push((side, command, Vec::new()));
    }
    if let Some(python) = python {
        sides.push(("python", vec![python.into(), script.into()], Vec::new()));
    }
    for _ in 0..rounds {
        for (side, command, measured) in &mut sides {
            let out = tempfile::tempdir().context("cannot make a folder for results")?;
            let mut process = Command::new(&command[0]);
            process.args(&command[1..]).arg("--model").arg(model).arg("--images").arg(images);
            process.arg("--out").arg(out.path()).args(["--threads", &threads.to_string()]);
            let output = process.output().with_context(|| format!("cannot start the side `{side}`"))?;
            let messages = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "the side `{side}` failed: {}\n{messages}", output.status);
            let found: Measured = serde_json::from_slice(&output.stdout)
                .with_context(|| format!("the side `{side}` printed no measurement\n{messages}"))?;
            measured.push(found);
        }
    }
    println!("{threads} threads, {rounds} rounds, {} images", sides[0].2[0].images);
    println!("{:10} {:>9} {:>14} {:>12} {:>10}", "", "images/s", "CPU ms/image", "peak MB", "of bare");
    let per_image = |measured: &[Measured], of: fn(&Measured) -> f64| -> Vec<f64> {
        measured.iter().map(|measured| of(measured) / measured.images as f64).collect()
    };
    let bare = per_image(&sides[0].2, |measured| measured.seconds);
    let mut all = Vec::new();
    for (side, _, measured) in &sides {
        let seconds = per_image(measured, |measured| measured.seconds);
        let cpu_ms = median(per_image(measured, |measured| measured.cpu_seconds * 1e3));
        let peak = median(measured.iter().map(|measured| measured.rss_peak as f64 / 1e6).collect());
        let rate = 1.0 / median(seconds.clone());
        let ratio = median_ratio(&bare, &seconds);
        println!("{side:10} {rate:9.2} {cpu_ms:14.1} {peak:12.0} {ratio:10.2}  {}", measured[0].version);
        all.push(seconds);
    }
    if let [_, pipeline, python] = all.as_slice() {
        println!("the pipeline's throughput over Python's: {:.2}", median_ratio(python, pipeline));
    }
    Ok(())
}
