//! `train report`: a run's report, at its end and whenever it is asked for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::Device;
use indicatif::ProgressBar;
use seg_cli::{Shown, is_quiet, say};
use seg_nets::runs;
use seg_train::run::{self, Run};
use seg_train::view::report::{Findings, Report};

use crate::args::ReportArgs;

pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let run = match &args.run {
        Some(run) => run.clone(),
        None => runs::newest(runs::RUNS.as_ref())?,
    };
    let run = Run::open(&run).with_context(|| format!("cannot open the run `{}`", run.shown()))?;
    let (device, _) = args.device.open()?;
    let (path, _) = write(&run, &device, args.out.as_deref())?;
    say(&format!("report     {}", path.shown()));
    Ok(())
}

/// Runs the best weights over the validation part and writes the report, into the run's folder
/// unless another file is named.
pub(crate) fn write(run: &Run, device: &Device, out: Option<&Path>) -> Result<(PathBuf, Findings)> {
    let path = out.map_or_else(|| run.folder.join(run::REPORT), Path::to_owned);
    let (log, sessions) = (run.log()?, run.sessions()?);
    let images = run.split.validation.len() as u64;
    let bar = if is_quiet() { ProgressBar::hidden() } else { ProgressBar::new(images) };
    let findings = Findings::measure(run, device, || bar.inc(1));
    bar.finish_and_clear();
    let findings = findings?;
    Report { run, log: &log, sessions: &sessions, findings: &findings }.write(&path)?;
    Ok((path, findings))
}
