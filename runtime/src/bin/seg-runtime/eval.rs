//! `seg-runtime eval`: how good a model is on a data set.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use image::GrayImage;
use ort::environment::Environment;
use seg_cli::{Shown, chain, note, print, warn};
use seg_contract::{Class, Contract, LearnedFrom, OutputKind, Pixels, Unlike, settings_without_digests};
use seg_data::{Dataset, Overlap, Part, Sample, quick_check, write_bytes, write_mask_png};
use seg_inference::{Options, Segmentation, Segmenter, Settings, read_contract};
use seg_metrics::{Bootstrap, Estimate, Metric};
use seg_runtime::evaluation::{About, Data, Evaluator, Method, Report, Skipped};
use seg_runtime::save::outputs::keep_inputs;
use seg_text::control::escape;
use seg_text::raw_path::raw_path;

use crate::args::{Eval, Measuring};
use crate::engine;
use crate::memory::within_memory;
use crate::progress::Progress;

impl From<&Measuring> for Method {
    fn from(flags: &Measuring) -> Self {
        let Measuring { tolerance_px, tolerance_mm, bootstrap: replicates, confidence, seed, worst } = *flags;
        let standard = Self::default();
        let bootstrap = Bootstrap {
            replicates,
            confidence: confidence.unwrap_or(standard.bootstrap.confidence),
            seed: seed.unwrap_or(standard.bootstrap.seed),
        };
        let tolerance_mm = tolerance_mm.unwrap_or(standard.tolerance_mm);
        Self { tolerance_px, tolerance_mm, bootstrap, worst: worst.unwrap_or(standard.worst) }
    }
}

pub(crate) fn eval(args: &Eval) -> anyhow::Result<()> {
    let contract = read_contract(&args.model[0])?;
    args.check_for(&contract)?;
    let classes = &contract.classes;
    let targets: Vec<_> = classes.iter().skip(1).map(|class| class.name.clone()).collect();
    let probabilities = contract.output.kind != OutputKind::Mask;
    let named = args.medical.reading(&contract)?;
    let settings = Settings { probabilities, reading: named, ..args.answers.settings(&targets) };
    let settings = within_memory(settings, &contract);
    let dataset = Dataset::open_with(&args.data, &args.files)?.with_reading(&contract.input.reading.or(named))?;
    ensure!(
        classes.len() == dataset.classes.len(),
        "the model tells {} apart, the data set {}",
        names(classes),
        names(&dataset.classes)
    );
    check_order(classes, &dataset.classes)?;
    let (part, samples) = dataset.part(args.split)?;
    // A folder without parts may be anybody's: nothing says what it is used for.
    if !(dataset.test.is_empty() && dataset.validation.is_empty()) {
        note(&format!("the data: {}", dataset.parts_in_words()));
    }
    dataset.notes.iter().for_each(|unused| note(unused));
    ensure!(
        args.measuring.tolerance_mm.is_none() || samples.iter().any(Sample::is_sized),
        "`--tolerance-mm` has no effect: none of the {} images names the size of a pixel; leave it out, or give `--tolerance-px`",
        samples.len()
    );
    let overlap = overlap(args, &samples)?;
    let mut warnings: Vec<String> = quick_check(&[("the part", samples.as_slice())], &dataset.classes)
        .into_iter()
        .map(|finding| finding.message)
        .collect();
    if let Some(folder) = &args.out {
        // Not only after the last image.
        fs::create_dir_all(folder).with_context(|| format!("cannot create the folder `{}`", folder.shown()))?;
    }
    let masks = args.save_masks.as_ref().map(|folder| mask_paths(folder, &samples, &dataset)).transpose()?;
    let (environment, options) = engine::start(&args.engine, &args.model)?;
    let options = options.for_settings(&settings);
    let mut segmenter = engine::open(&options, || open(&environment, &args.model, &options, &settings))?;

    let mut evaluator = Evaluator::new(classes, Method::from(&args.measuring));
    let (skipped, unlike) = measure(&mut segmenter, &mut evaluator, &samples, masks.as_deref())?;
    warnings.extend(unlike);
    warnings.iter().for_each(|warning| warn(warning));
    let counts = overlap.map(|overlap| [overlap.training.len(), overlap.validation.len()]);
    let data = Data { warnings, ..describe(&dataset, args, part, counts) };
    ensure!(evaluator.images() > 0, "none of the {} images could be measured", samples.len());
    let skipped_count = skipped.len();
    let about = About {
        tool: format!("seg-runtime {}", env!("CARGO_PKG_VERSION")),
        models: segmenter.files(),
        contract: without_digests(&contract),
        settings,
        runs_on: segmenter.runs_on(),
        data,
    };
    let report = evaluator.report(about, skipped);
    print(&table(&report)?)?;
    if let Some(folder) = &args.out {
        write(&report, folder)?;
    }
    ensure!(skipped_count == 0, "{skipped_count} of {} images were skipped and are not in the scores", samples.len());
    Ok(())
}

/// Makes sure that no class has one index in the model and another one in the data set; what it is
/// called is its own matter.
fn check_order(model: &[Class], data: &[Class]) -> anyhow::Result<()> {
    let mut renamed = model.iter().zip(data).filter(|(own, class)| own.name != class.name);
    ensure!(
        !renamed.any(|(_, class)| model.iter().any(|other| other.name == class.name)),
        "the model's classes are {} in this order, those of the data set {}: one would be measured as another; number them as \
         the model does, in the masks and in `classes.json`",
        names(model),
        names(data)
    );
    Ok(())
}

/// Describes the data. If a file cannot be read, a note says that there is no fingerprint, and the
/// other images are scored.
///
/// `counts` are those of the images that the model has learned from, and that chose its epoch.
fn describe(dataset: &Dataset, args: &Eval, part: Part, counts: Option<[usize; 2]>) -> Data {
    let (sha256, error) = match dataset.fingerprint() {
        Ok(sha256) => (Some(sha256), None),
        Err(error) => (None, Some(chain(&error))),
    };
    if let Some(error) = &error {
        warn(&format!("the data set has no fingerprint: {error}"));
    }
    let folder = args.data.to_string_lossy().into_owned();
    Data {
        name: dataset.name.clone(),
        folder,
        folder_raw: raw_path(&args.data),
        part: part.to_string(),
        sha256,
        error,
        learned_from: counts.map(|[learned, _]| learned),
        chose_epoch: counts.map(|[_, chose]| chose),
        warnings: Vec::new(),
    }
}

/// Finds the images that the models have seen in training, and refuses those that they have learned
/// from unless that is allowed; `None` if a model does not say.
fn overlap(args: &Eval, samples: &[Sample]) -> anyhow::Result<Option<Overlap>> {
    let mut learned = LearnedFrom::default();
    for model in &args.model {
        match LearnedFrom::read(&read_contract(model)?.provenance) {
            Some(own) => learned.extend(own),
            None => {
                note(&format!("`{}` does not say which images it has learned from", model.shown()));
                return Ok(None);
            }
        }
    }
    let overlap = Overlap::find(samples, &learned);
    if let Some(refusal) = overlap.refusal(samples.len()) {
        ensure!(args.allow_training_images, "{refusal}");
        warn(&refusal);
    }
    overlap.note(samples.len()).iter().for_each(|text| note(text));
    Ok(Some(overlap))
}

/// Returns the contract without the digests of thousands of images, for people.
fn without_digests(contract: &Contract) -> Contract {
    let mut contract = contract.clone();
    contract.provenance.training = settings_without_digests(&contract.provenance.training);
    contract
}

fn open(
    environment: &Environment,
    models: &[PathBuf],
    options: &Options,
    settings: &Settings,
) -> anyhow::Result<Segmenter> {
    let segmenter = match models {
        [model] => Segmenter::open(environment, model, options)?,
        models => Segmenter::open_ensemble(environment, models, options)?,
    };
    Ok(segmenter.with(settings.clone())?)
}

fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    for (name, text) in [("scores.json", report.json()), ("images.csv", report.csv()), ("report.html", report.html())] {
        write_bytes(&folder.join(name), text.as_bytes())?;
    }
    note(&format!("the report is `{}`", folder.join("report.html").shown()));
    Ok(())
}

/// Returns the path of each sample's mask in a folder, which is created; none of them is a file of
/// the data set.
fn mask_paths(folder: &Path, samples: &[Sample], dataset: &Dataset) -> anyhow::Result<Vec<PathBuf>> {
    let paths: Vec<_> = samples.iter().map(|sample| folder.join(format!("{}.png", sample.name))).collect();
    let mut taken = HashMap::new();
    for (sample, path) in samples.iter().zip(&paths) {
        // Numbered names would not say which part a mask is of. Many file systems do not tell `A`
        // from `a`.
        if let Some(first) = taken.insert(sample.name.to_lowercase(), &sample.image) {
            bail!(
                "the masks of `{}` and `{}` would both be saved as `{}`; measure one part at a time by `--split`, or leave \
                 out `--save-masks`",
                first.shown(),
                sample.image.shown(),
                path.shown()
            );
        }
    }
    keep_inputs(folder, &paths, dataset.files())?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder `{}`", folder.shown()))?;
    Ok(paths)
}

/// Measures each sample and saves its mask where that is wanted; fails only where it cannot be
/// saved. Also returns a warning if images are unlike those that the model has learned from.
fn measure(
    segmenter: &mut Segmenter,
    evaluator: &mut Evaluator,
    samples: &[Sample],
    masks: Option<&[PathBuf]>,
) -> anyhow::Result<(Vec<Skipped>, Option<String>)> {
    let palette: Vec<_> = segmenter.contract().classes.iter().map(|class| class.color).collect();
    let progress = Progress::new(samples.len());
    let mut skipped = Vec::new();
    let mut unlike = None::<(Unlike, String)>;
    let mut unlike_count = 0;
    for (index, sample) in samples.iter().enumerate() {
        let name = sample.name.clone();
        match measure_one(segmenter, evaluator, sample) {
            Ok((mask, dice, found)) => {
                if let Some(found) = found {
                    unlike_count += 1;
                    unlike.get_or_insert((found, name.clone()));
                }
                if let Some(masks) = masks {
                    write_mask_png(&masks[index], &mask, &palette)?;
                }
                progress.done(format!("{} Dice {dice:.4}", escape(&name)));
            }
            Err(error) => {
                let error = chain(error.as_ref());
                progress.skipped(&error);
                skipped.push(Skipped { name, error });
            }
        }
    }
    progress.finish();
    let warning = unlike.map(|(unlike, first)| unlike.sentence(unlike_count, samples.len(), &first));
    Ok((skipped, warning))
}

/// Measures one sample and returns its mask, its Dice, and its values if they are unlike those that
/// the model has learned from.
fn measure_one(
    segmenter: &mut Segmenter,
    evaluator: &mut Evaluator,
    sample: &Sample,
) -> anyhow::Result<(GrayImage, f64, Option<Unlike>)> {
    let (image, truth, spacing) = sample.load_sized()?;
    let named = || format!("cannot measure `{}`", sample.image.shown());
    let pixels = Pixels::from(&image).with_spacing(spacing);
    let Segmentation { mask, probabilities, .. } = segmenter.segment(pixels).with_context(named)?;
    let probabilities = probabilities.as_ref().map(|probabilities| probabilities.view());
    let scores = evaluator.add(&sample.name, &image, &truth, &mask, probabilities, spacing).with_context(named)?;
    let dice = scores.confusion.target_dice();
    Ok((mask, dice, segmenter.contract().input.unlike(&image)))
}

fn names(classes: &[Class]) -> String {
    let names: Vec<_> = classes.iter().map(|class| format!("`{}`", class.name)).collect();
    names.join(", ")
}

/// Formats the value and the interval of an estimate as two cells.
fn cells(metric: Metric, estimate: Option<&Estimate>) -> String {
    let digits = if metric.is_distance() { 2 } else { 4 };
    let value = estimate.and_then(|estimate| estimate.value);
    let interval = estimate.and_then(|estimate| estimate.interval);
    let range = |[low, high]: [f64; 2]| format!("{low:.digits$} to {high:.digits$}");
    let value = value.map_or_else(String::new, |value| format!("{value:.digits$}"));
    format!("{value:>9}  {:16}", interval.map_or_else(String::new, range))
}

/// Formats the scores as text: a row per metric, then the results of probabilities and objects.
fn table(report: &Report) -> anyhow::Result<String> {
    let confidence = format!("{:.0} % interval", 100.0 * report.method.bootstrap.confidence);
    let mut text = String::new();
    let titles = report.scores.per_image.overall.keys().map(|metric| metric.title().len() + 1);
    let width = titles.max().unwrap_or(0).max(13);
    let line = |title: &str, cells: &str| format!("{}\n", format!("{title:width$}{cells}").trim_end());
    text += &line("", &format!("{:>9}  {confidence:16}  {:>9}  {confidence:16}", "per image", "pooled"));
    for (metric, estimate) in &report.scores.per_image.overall {
        let pooled = report.scores.pooled.overall.get(metric);
        text += &line(metric.title(), &format!("{}  {}", cells(*metric, Some(estimate)), cells(*metric, pooled)));
    }
    if report.about.contract.classes.len() > 2 {
        let width = report.scores.pooled.classes.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        writeln!(text, "\n{:width$}  pooled Dice  pooled IoU", "class", width = width.max("class".len()))?;
        for class in &report.about.contract.classes {
            let value = |metric: Metric| report.scores.pooled.classes[&class.name][&metric].value.unwrap_or(f64::NAN);
            let (dice, iou) = (value(Metric::Dice), value(Metric::Iou));
            writeln!(text, "{:width$}  {dice:11.4}  {iou:10.4}", class.name, width = width.max("class".len()))?;
        }
    }
    writeln!(text)?;
    if let Some(calibration) = &report.calibration {
        let (brier, likelihood) = (calibration.brier, calibration.negative_log_likelihood);
        let error = calibration.top.expected_error;
        writeln!(text, "calibration  error (ECE) {error:.4}, Brier {brier:.4}, -log likelihood {likelihood:.4}")?;
    }
    if let Some(sweep) = &report.thresholds {
        let area = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.4}"));
        let (best, dice) = (sweep.best.threshold, sweep.best.dice);
        let (roc, precision) = (area(sweep.roc_auc), area(sweep.average_precision));
        writeln!(
            text,
            "thresholds   best {best} (pooled Dice {dice:.4}), ROC AUC {roc}, average precision {precision}"
        )?;
    }
    for (class, objects) in &report.failures.objects {
        let (truth, missed, invented) = (objects.truth, objects.missed, objects.invented);
        writeln!(text, "objects      {class}: {missed} of {truth} missed, {invented} invented")?;
    }
    let images = report.images.len();
    let empty = report.failures.empty_predictions.len();
    writeln!(text, "images       {images} measured, {empty} empty predictions, {} skipped", report.skipped.len())?;
    Ok(text)
}
