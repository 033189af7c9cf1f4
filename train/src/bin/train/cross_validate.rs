//! `train --folds K --all`: trains every fold, chooses what follows the networks by all of them,
//! and exports them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use seg_cli::{Shown, is_quiet, note, say, warn};
use seg_data::remove_unfinished;
use seg_text::shell;
use seg_train::cross_validation::{Choice, CrossValidation, OutOfFold, Outcome, REPORT, Trial};
use seg_train::data::fold::Fold;
use seg_train::run;
use seg_train::run::Run;
use seg_train::run::config::Config;
use seg_train::run::ending::Ending;

use crate::args::FitArgs;
use crate::fit::{folder, tell_preset, tell_reasons, train, warn_of};
use crate::plan::{Plan, fit_to_time, plan};
use crate::programs::{Program, Programs, text};
use crate::stop::StopRequest;
use crate::summarize;

/// Begins a run for each fold and trains them all.
pub(crate) fn begin(args: &FitArgs) -> Result<()> {
    let count = args.settings.folds.unwrap_or_default() as usize;
    let mut plans = Vec::new();
    for fold in Fold::all(count) {
        note(&format!("planning   fold {fold}"));
        plans.push(plan(args, Some(fold))?);
    }
    let first = plans.first_mut().context("there are no folds; `--folds` takes at least 2")?;
    tell_reasons(first);
    fit_to_time(args, first)?;
    // Folds differ by an image, and what follows from their number may differ with it: all do as
    // the first one.
    let Config { epochs, steps_per_epoch, batch_size, size, augmentation, .. } = first.config.clone();
    for Plan { config, .. } in &mut plans {
        (config.epochs, config.steps_per_epoch, config.batch_size) = (epochs, steps_per_epoch, batch_size);
        (config.size, config.augmentation) = (size, augmentation.clone());
    }
    let first = &plans[0];
    tell_preset(first);
    warn_of(first)?;
    let folder = folder(args, first);
    let folds = plans.into_iter().map(|plan| (plan.dataset, plan.config, plan.split)).collect();
    go_on(args, &CrossValidation::create(&folder, folds)?)
}

/// Goes on with the folds in a folder.
pub(crate) fn resume(args: &FitArgs, folder: &Path) -> Result<()> {
    let series = CrossValidation::open(folder).with_context(|| format!("cannot resume `{}`", folder.shown()))?;
    go_on(args, &series)
}

/// Trains what is left of each fold, looks at all of them together, and exports them.
fn go_on(args: &FitArgs, series: &CrossValidation) -> Result<()> {
    let request = StopRequest::heed().context("cannot heed signals")?;
    let (count, models) = (series.runs.len(), series.models());
    for ((index, run), model) in (1..).zip(&series.runs).zip(&models) {
        if is_done(run)? {
            say(&format!("fold       {index} of {count} is done: {}", run.folder.shown()));
            continue;
        }
        // A model of what the fold was before it learned more.
        remove(model)?;
        say(&format!("\nfold       {index} of {count}"));
        train(run, args, &request, &series.folder)?;
    }
    let outcome = look(series)?;
    outcome.write(&series.folder)?;
    say(&format!("\n{}", summarize::lines(&outcome.folds).join("\n")));
    say(&lines(&outcome).join("\n"));
    say(&format!("\nreport     {}", series.folder.join(REPORT).shown()));
    let next = match Programs::beside(request, None, &[Program::Export]) {
        Ok(programs) => {
            export(series, &models, &programs)?;
            &outcome.next[models.len()..]
        }
        Err(reason) => {
            warn(&format!("warning: the folds are not exported: {reason:#}"));
            &outcome.next[..]
        }
    };
    say(&format!("next:\n  {}", next.join("\n  ")));
    Ok(())
}

/// Exports every fold that has no model yet, each with its proof.
fn export(series: &CrossValidation, models: &[PathBuf], programs: &Programs) -> Result<()> {
    let resume = format!("seg train --resume {}", shell::path(&series.folder));
    for (run, model) in series.runs.iter().zip(models).filter(|(_, model)| !model.exists()) {
        say("");
        let mut flags = vec!["--checkpoint".to_owned(), text(&run.folder)?, "--out".into(), text(model)?];
        if is_quiet() {
            flags.push("--quiet".into());
        }
        let done = programs.run(Program::Export, &flags);
        if programs.is_stopped() {
            say(&format!("interrupted; to go on: {resume}"));
            programs.exit();
        }
        done.with_context(|| {
            format!("all folds are trained, but `{}` is not exported; go on with `{resume}`", model.shown())
        })?;
    }
    Ok(())
}

/// Removes a file if it is there.
fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", file.shown()))
        }
        _ => Ok(()),
    }
}

/// Returns whether a run has ended and has its report.
fn is_done(run: &Run) -> Result<bool> {
    Ok(run.folder.join(run::REPORT).exists() && Ending::from_log(&run.config, &run.log()?).is_some())
}

/// Predicts every image by the network that has not learned from it, and chooses by that.
fn look(series: &CrossValidation) -> Result<Outcome> {
    let (devices, _) = series.runs[0].config.devices()?;
    let images: usize = series.runs.iter().map(|run| run.split.validation.len()).sum();
    note(&format!("predicting {images} images, each by the network that has not learned from it"));
    remove_unfinished(&series.folder).with_context(|| format!("cannot clear `{}`", series.folder.shown()))?;
    let bar = if is_quiet() { ProgressBar::hidden() } else { ProgressBar::new(images as u64) };
    let predictions = OutOfFold::measure(series, &devices[0], || bar.inc(1));
    bar.finish_and_clear();
    let predictions = predictions?;
    ensure!(predictions.images.len() == images, "the folds lack images; begin the cross-validation again");
    let choice = Choice::make(&predictions, |what| note(&format!("choosing   {what}")))?;
    Ok(Outcome::new(series, &predictions, choice)?)
}

/// Returns the lines about all images together.
fn lines(outcome: &Outcome) -> Vec<String> {
    let value = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.4}"));
    let interval = outcome.dice.interval.map_or_else(String::new, |[low, high]| format!(" ({low:.4} to {high:.4})"));
    let images = outcome.images.len();
    let mut lines = vec![format!(
        "\nall images Dice per image {}{interval}, {images} images, each by the network that has not learned from it",
        value(outcome.dice.value)
    )];
    let kept: Vec<&Trial> = outcome.choice.trials.iter().filter(|trial| trial.is_kept).collect();
    for trial in &kept {
        lines.push(format!("chosen     {trial}, which gains {:+.4}", trial.gain.mean));
    }
    if kept.is_empty() {
        lines.push("chosen     nothing: no threshold and no cleaning of masks gains beyond chance".into());
    } else {
        lines.push(format!("with them  Dice per image {}", value(outcome.chosen_dice.value)));
    }
    lines
}
