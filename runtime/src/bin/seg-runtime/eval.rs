//! `seg-runtime eval`: a model's scores on a data set.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use image::GrayImage;
use seg_data::{Dataset, Sample, write_bytes, write_mask_png};
use seg_onnx::contract::{Class, Evaluation, Scores};
use seg_runtime::{Provider, Segmenter, outputs::keep_inputs, read_model};
use serde::Serialize;

use crate::{args::Eval, chain, engine, print, progress::Progress};

/// What is written as JSON.
#[derive(Serialize)]
struct Report {
    model: String,
    data: String,
    split: String,
    provider: Provider,
    scores: Scores,
    images: Vec<Measured>,
    skipped: Vec<Skipped>,
}

/// An image that was measured.
#[derive(Serialize)]
struct Measured {
    name: String,
    /// The mean Dice over the classes without the background.
    dice: f64,
}

/// An image that could not be measured.
#[derive(Serialize)]
struct Skipped {
    name: String,
    error: String,
}

pub(crate) fn eval(args: &Eval) -> anyhow::Result<()> {
    let classes = read_model(&args.model)?.contract.classes;
    let dataset = Dataset::open(&args.data)?;
    ensure!(
        classes.len() == dataset.classes.len(),
        "the model tells {} apart, the data set {}",
        names(&classes),
        names(&dataset.classes)
    );
    let (split, samples) = dataset.part(args.split)?;
    if let Some(folder) = args.out.as_ref().and_then(|out| out.parent()).filter(|folder| *folder != Path::new("")) {
        // Not only after the last image.
        ensure!(folder.is_dir(), "there is no folder `{}` for the scores", folder.display());
    }
    let masks = args.save_masks.as_ref().map(|folder| mask_paths(folder, &samples)).transpose()?;
    let (environment, options) = engine::start(&args.engine)?;
    let mut segmenter = engine::open(&options, || Segmenter::open(&environment, &args.model, &options))?;

    let mut evaluation = Evaluation::new(classes.len());
    let (images, skipped) = measure(&mut segmenter, &mut evaluation, &samples, masks.as_deref())?;
    ensure!(!images.is_empty(), "none of the {} images could be measured", samples.len());
    let skipped_count = skipped.len();
    let scores = evaluation.scores(&classes);
    print(&table(&scores, &classes)?)?;
    if let Some(out) = &args.out {
        let model = args.model.to_string_lossy().into_owned();
        let (data, split) = (dataset.name.clone(), split.to_string());
        let report = Report { model, data, split, provider: segmenter.provider(), scores, images, skipped };
        write_bytes(out, (serde_json::to_string_pretty(&report)? + "\n").as_bytes())?;
    }
    ensure!(skipped_count == 0, "{skipped_count} of {} images were skipped and are not in the scores", samples.len());
    Ok(())
}

/// The file for each sample's mask in a folder, which is created.
fn mask_paths(folder: &Path, samples: &[Sample]) -> anyhow::Result<Vec<PathBuf>> {
    let paths: Vec<_> = samples.iter().map(|sample| folder.join(format!("{}.png", sample.name))).collect();
    keep_inputs(folder, &paths, samples.iter().flat_map(|sample| [&sample.image, &sample.mask]))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder `{}`", folder.display()))?;
    Ok(paths)
}

/// Adds each sample to the evaluation and saves its mask where that is wanted; fails only where it cannot be saved.
fn measure(
    segmenter: &mut Segmenter,
    evaluation: &mut Evaluation,
    samples: &[Sample],
    masks: Option<&[PathBuf]>,
) -> anyhow::Result<(Vec<Measured>, Vec<Skipped>)> {
    let palette: Vec<_> = segmenter.contract().classes.iter().map(|class| class.color).collect();
    let progress = Progress::new(samples.len());
    let (mut measured, mut skipped) = (Vec::new(), Vec::new());
    for (index, sample) in samples.iter().enumerate() {
        let name = sample.name.clone();
        match measure_one(segmenter, evaluation, sample) {
            Ok((mask, dice)) => {
                if let Some(masks) = masks {
                    write_mask_png(&masks[index], &mask, &palette)?;
                }
                progress.done(format!("{name} Dice {dice:.4}"));
                measured.push(Measured { name, dice });
            }
            Err(error) => {
                let error = chain(error.as_ref());
                progress.skipped(&error);
                skipped.push(Skipped { name, error });
            }
        }
    }
    progress.finish();
    Ok((measured, skipped))
}

/// Adds one sample to the evaluation and returns its mask and its Dice.
fn measure_one(
    segmenter: &mut Segmenter,
    evaluation: &mut Evaluation,
    sample: &Sample,
) -> anyhow::Result<(GrayImage, f64)> {
    let (image, truth) = sample.load()?;
    let named = || format!("cannot measure `{}`", sample.image.display());
    let mask = segmenter.segment(&image).with_context(named)?.mask;
    let dice = evaluation.add(&mask, &truth).with_context(named)?.target_dice();
    Ok((mask, dice))
}

fn names(classes: &[Class]) -> String {
    let names: Vec<_> = classes.iter().map(|class| format!("`{}`", class.name)).collect();
    names.join(", ")
}

fn table(scores: &Scores, classes: &[Class]) -> anyhow::Result<String> {
    let width = classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max("class".len());
    let mut text = String::new();
    writeln!(text, "{:width$}  pooled Dice  pooled IoU", "class")?;
    for Class { name, .. } in classes {
        writeln!(text, "{name:width$}  {:11.4}  {:10.4}", scores.dice_pooled[name], scores.iou_pooled[name])?;
    }
    writeln!(text)?;
    writeln!(
        text,
        "Dice per image   {:.4}  (mean of {} images, without the background)",
        scores.dice_per_image, scores.images
    )?;
    writeln!(text, "mean pooled IoU  {:.4}", scores.mean_iou_pooled)?;
    writeln!(text, "pooled accuracy  {:.4}", scores.accuracy_pooled)?;
    Ok(text)
}
