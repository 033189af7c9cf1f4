//! `train --data DIR`: trains a network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use seg_cli::{Shown, detail, is_quiet, note, print_json, say, warn};
use seg_contract::SizePolicy;
use seg_data::write_png;
use seg_nets::device::Devices;
use seg_nets::precision::Precision;
use seg_nets::runs;
use seg_text::shell;
use seg_train::cross_validation::CrossValidation;
use seg_train::data::loader::{Loader, Source};
use seg_train::run::config::Config;
use seg_train::run::ending::Ending;
use seg_train::run::record::EpochRecord;
use seg_train::run::trainer::TrainError;
use seg_train::run::{self, Run};
use seg_train::view::outcome;
use seg_train::view::verdict::Sentence;

use crate::args::FitArgs;
use crate::plain::scores;
use crate::plan::{Plan, fit_to_time, plan};
use crate::recorder::Recorder;
use crate::stop::StopRequest;
use crate::{cross_validate, report, view};

/// The most pixels of an image that a deployment does not cut into tiles.
const WHOLE_PIXELS_MAX: u64 = 1536 * 1536;

/// The fewest values of a channel in a batch whose mean and deviation are more than chance.
const NORMALIZED_MIN: usize = 32;

/// The fewest images of a batch that is normalised by its own statistics in all epochs.
const BATCH_MIN: usize = 8;

pub(crate) fn run(args: &FitArgs) -> Result<()> {
    if let Some(folder) = args.resume.as_ref().filter(|folder| CrossValidation::is_in(folder)) {
        return cross_validate::resume(args, folder);
    }
    if args.settings.all {
        return cross_validate::begin(args);
    }
    let run = match &args.resume {
        Some(folder) => Run::open(folder).with_context(|| format!("cannot resume `{}`", folder.shown()))?,
        None => {
            let mut plan = plan(args, None)?;
            tell_reasons(&plan);
            fit_to_time(args, &mut plan)?;
            if args.print_config {
                return print_json(&json(&plan.config)?);
            }
            tell_preset(&plan);
            if let Some(folder) = &args.preview {
                return preview(plan, folder);
            }
            warn_of(&plan)?;
            begin(args, plan)?
        }
    };
    let request = StopRequest::heed().context("cannot heed signals")?;
    train(&run, args, &request, &run.folder)?;
    let (checkpoint, model) = (shell::path(&run.folder), shell::path(&run.folder.join("model.onnx")));
    say(&format!("next: seg export --checkpoint {checkpoint} --out {model}"));
    Ok(())
}

/// Says which preset was taken, if one was.
pub(crate) fn tell_preset(plan: &Plan) {
    if let Some(name) = &plan.preset {
        say(&format!("preset     {name}"));
    }
}

/// Says what was chosen by the data, and why.
pub(crate) fn tell_reasons(plan: &Plan) {
    plan.reasons.iter().for_each(|reason| note(&format!("chosen     {reason}")));
}

/// Warns of failures long after the start, and of needless waiting.
pub(crate) fn warn_of(plan: &Plan) -> Result<()> {
    let (_, devices) = plan.config.devices()?;
    warnings(plan, &devices).iter().for_each(|warning| warn(&format!("warning: {warning}")));
    Ok(())
}

/// Trains a run to its end and writes its report; once it is asked to stop, says how to resume the
/// folder `resumed` and ends the program.
pub(crate) fn train(run: &Run, args: &FitArgs, request: &StopRequest, resumed: &Path) -> Result<()> {
    say(&format!("run        {}", run.folder.shown()));
    say(&format!(
        "data       {}: {} training and {} validation images",
        run.dataset.name,
        run.split.train.len(),
        run.split.validation.len()
    ));
    say(&format!("read as    {}", run.dataset.reading));
    say(&format!("parts      {}", run.dataset.parts_in_words()));
    if let Some(spacing) = run.config.reading.resample {
        say(&format!("resampled  to {spacing} mm a pixel"));
    }
    for note in &run.dataset.notes {
        warn(&format!("note: {note}"));
    }
    for finding in run.quick_check()? {
        warn(&format!("warning: {}", finding.message));
    }
    let Config { network, batch_size, augmentation, epochs, training, .. } = &run.config;
    let [height, width] = augmentation.crop;
    say(&format!("network    {network}"));
    let precision = training.precision.name();
    say(&format!("batches    {batch_size} crops of {height}x{width} in {precision}, {epochs} epochs"));

    detail(&json(&run.config)?);

    let mut view = view::choose(run, args.plain || is_quiet(), request)?;
    let mut recorder = Recorder::new(run.folder.clone());
    let observe = |event| {
        view.observe(&event);
        if let Some(warning) = recorder.observe(&event) {
            view.warn(&warning);
        }
    };
    let trained = run.train_until(observe, request.flag());
    view.finish();
    if matches!(trained, Err(TrainError::Stopped { .. })) {
        say(&format!("interrupted; to go on: seg train --resume {}", shell::path(resumed)));
        request.exit();
    }
    let log = trained.context("training stopped")?;
    if let Some(ending) = Ending::from_log(&run.config, &log) {
        say(&format!("ended      {ending}"));
    }
    say(&format!("\n{}\n", outcome::epochs(&log)));
    let best = log.iter().rfind(|record| record.best);
    if let Some(EpochRecord { epoch, validation: Some(validation), .. }) = best {
        let names = run.dataset.classes.iter().map(|class| class.name.as_str());
        say(&format!("{}\n", outcome::classes(&validation.scores, names)));
        say(&format!("best       epoch {epoch}: {}", scores(validation)));
    }
    say(&format!("weights    {}", run.folder.join(runs::BEST).shown()));
    let (devices, _) = run.config.devices()?;
    let (report, findings) =
        report::write(run, &devices[0], None).context("training is done, but its report cannot be written")?;
    if let Some(warning) = recorder.pictures(&findings) {
        warn(&warning);
    }
    for Sentence { text, is_warning } in findings.verdict(&log) {
        if is_warning { warn(&format!("verdict    {text}")) } else { say(&format!("verdict    {text}")) }
    }
    say(&format!("report     {}", report.shown()));
    Ok(())
}

/// Writes a configuration as JSON.
fn json(config: &Config) -> Result<String> {
    serde_json::to_string_pretty(config).context("cannot print the configuration")
}

/// Returns warnings of failures long after the start, and of needless waiting.
fn warnings(plan: &Plan, devices: &Devices) -> Vec<String> {
    let mut warnings = Vec::new();
    let (width, height) = plan.largest;
    let is_large = plan.config.size == SizePolicy::Native && u64::from(width) * u64::from(height) > WHOLE_PIXELS_MAX;
    if is_large {
        warnings.push(format!(
            "images of up to {width}x{height} are validated whole, which takes memory that crops do not; `--size HxW` runs all \
             images at one size"
        ));
    }
    let precision = plan.config.training.precision;
    if devices.are_cpu() && precision != Precision::Fp32 {
        let name = precision.name();
        warnings.push(format!("on the CPU, {name} learns as it does on a GPU, but slower than `--precision fp32`"));
    }
    warnings.extend(unsteady_statistics(&plan.config));
    warnings
}

/// Says where BatchNorm's statistics are of so few values that a batch is normalised differently
/// from what is run later.
fn unsteady_statistics(config: &Config) -> Option<String> {
    let Config { batch_size, augmentation, training, .. } = config;
    let [height, width] = augmentation.crop;
    let [rows, columns] = config.network.smallest_map([height, width].map(|side| side as usize));
    let maps = format!("the smallest maps of a {height}x{width} crop have {rows}x{columns} pixels");
    if rows * columns == 1 {
        return Some(format!(
            "{maps}, so that BatchNorm sees one value a channel of each image, {batch_size} in a batch; larger crops or images \
             train better"
        ));
    }
    let values = batch_size * rows * columns;
    if values < NORMALIZED_MIN {
        return Some(format!(
            "{maps}, so that BatchNorm sees {values} values a channel in a batch of {batch_size}, whose mean and deviation \
             are chance; larger batches or crops train better"
        ));
    }
    (training.fixed_statistics == 0.0 && *batch_size < BATCH_MIN).then(|| {
        format!(
            "a batch of {batch_size} is normalised by its own statistics in all epochs, and images later by others, with which \
             the network may fail although the loss falls; batches of {BATCH_MIN} or more, or `--fixed-statistics 0.5`"
        )
    })
}

/// Begins the run that was planned.
fn begin(args: &FitArgs, plan: Plan) -> Result<Run> {
    let folder = folder(args, &plan);
    Ok(Run::create(&folder, plan.dataset, plan.config, plan.split)?)
}

/// Returns the folder for what was planned: that of the flags, or a free one under `runs/`.
pub(crate) fn folder(args: &FitArgs, plan: &Plan) -> PathBuf {
    let name = plan.dataset.name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    args.out.clone().unwrap_or_else(|| run::free(runs::RUNS.as_ref(), &name))
}

/// Draws the first images that the run would learn from.
fn preview(plan: Plan, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.shown()))?;
    let palette: Vec<[u8; 3]> = plan.dataset.classes.iter().map(|class| class.color).collect();
    let (training, _) = plan.split.apply(&plan.dataset.train)?;
    let loader = Loader::new(Source::from_config(&plan.config, training))?;
    let path = folder.join("preview.png");
    write_png(&path, &seg_train::data::preview::sheet(&loader, &palette)?)?;
    say(&format!("preview    {}", path.shown()));
    Ok(())
}
