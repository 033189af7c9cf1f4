//! Measures the time from the start of the program to the mask of one small image.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use seg_benches::median;

use crate::compare::measure;

/// The longest start beside the time in which ONNX Runtime loads the model, in seconds.
const BESIDE_SESSION_SECONDS_MAX: f64 = 0.5;

/// Height and width of the image.
const SIDE: u32 = 64;

/// Measures the program and ONNX Runtime alone in turn, prints the medians, and fails if the start
/// takes too long.
pub(crate) fn run(program: &Path, model: &Path, threads: usize, rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder for an image")?;
    let image = folder.path().join("image.png");
    RgbImage::new(SIDE, SIDE).save(&image).context("cannot save an image")?;
    let (mut whole, mut session) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let out = tempfile::tempdir().context("cannot make a folder for results")?;
        let mut process = Command::new(program);
        process.args(["infer", "--threads", &threads.to_string()]).arg("--model").arg(model);
        process.arg("--out").arg(out.path()).arg(&image);
        let begun = Instant::now();
        let output = process.output().with_context(|| format!("cannot start `{}`", program.display()))?;
        whole.push(begun.elapsed().as_secs_f64());
        let messages = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{}` failed: {}\n{messages}", program.display(), output.status);
        session.push(measure("session", model, folder.path(), out.path(), threads)?.seconds);
    }
    let [whole, session] = [whole, session].map(median);
    let beside = whole - session;
    println!("start to the first mask: {whole:.3} s, ONNX Runtime's session {session:.3} s, the rest {beside:.3} s");
    ensure!(
        beside <= BESIDE_SESSION_SECONDS_MAX,
        "the start takes {beside:.3} s beside ONNX Runtime's session, expected at most {BESIDE_SESSION_SECONDS_MAX}"
    );
    Ok(())
}

/// Returns the program that was built with this bench.
pub(crate) fn built_program() -> Result<PathBuf> {
    let bench = std::env::current_exe().context("cannot find this program")?;
    let program = bench.ancestors().nth(2).map(|folder| folder.join("seg-runtime"));
    program.filter(|program| program.exists()).context("there is no `seg-runtime` beside the benches; build it first")
}
