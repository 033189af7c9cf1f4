//! `seg-runtime eval`: a model's scores on a data set.

use std::{fmt::Write, fs};

use anyhow::{Context, ensure};
use image::GrayImage;
use seg_data::{Dataset, Sample, write_bytes, write_mask_png};
use seg_onnx::contract::{Class, Evaluation, Scores};
use seg_runtime::{Provider, Segmenter, outputs::unique_stems, read_model};
use serde::Serialize;

use crate::{
    args::{Eval, Split},
    chain, engine, print,
    progress::Progress,
};

/// What is written as JSON.
#[derive(Serialize)]
struct Report {
    model: String,
    data: String,
    split: &'static str,
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
    let name = dataset.name.clone();
    let (split, samples) = select(dataset, args.split);
    ensure!(!samples.is_empty(), "the part `{split}` of the data set `{name}` has no images; choose another `--split`");
    if let Some(folder) = &args.save_masks {
        fs::create_dir_all(folder).with_context(|| format!("cannot create the folder `{}`", folder.display()))?;
    }
    let (environment, options) = engine::start(&args.engine)?;
    let mut segmenter = Segmenter::open(&environment, &args.model, &options)?;

    let images: Vec<_> = samples.iter().map(|sample| sample.image.clone()).collect();
    let stems = unique_stems(&images);
    let palette: Vec<_> = classes.iter().map(|class| class.color).collect();
    let progress = Progress::new(samples.len());
    let mut evaluation = Evaluation::new(classes.len());
    let (mut measured, mut skipped) = (Vec::new(), Vec::new());
    for (sample, stem) in samples.into_iter().zip(stems) {
        match measure(&mut segmenter, &mut evaluation, &sample) {
            Ok((mask, dice)) => {
                if let Some(folder) = &args.save_masks {
                    write_mask_png(&folder.join(format!("{stem}.png")), &mask, &palette)?;
                }
                progress.done(format!("{} Dice {dice:.4}", sample.name));
                measured.push(Measured { name: sample.name, dice });
            }
            Err(error) => {
                let error = chain(error.as_ref());
                progress.skipped(&error);
                skipped.push(Skipped { name: sample.name, error });
            }
        }
    }
    progress.finish();

    let (total, skipped_count) = (measured.len() + skipped.len(), skipped.len());
    ensure!(!measured.is_empty(), "none of the {total} images could be measured");
    let scores = evaluation.scores(&classes);
    print(&table(&scores, &classes)?)?;
    if let Some(out) = &args.out {
        let model = args.model.to_string_lossy().into_owned();
        let provider = segmenter.provider();
        let report = Report { model, data: name, split, provider, scores, images: measured, skipped };
        write_bytes(out, (serde_json::to_string_pretty(&report)? + "\n").as_bytes())?;
    }
    ensure!(skipped_count == 0, "{skipped_count} of {total} images were skipped and are not in the scores");
    Ok(())
}

/// The name of a part of the data set, and its samples.
fn select(dataset: Dataset, split: Split) -> (&'static str, Vec<Sample>) {
    match split {
        Split::Train => ("train", dataset.train),
        Split::Test => ("test", dataset.test),
        Split::All => ("all", [dataset.train, dataset.test].concat()),
    }
}

/// Adds one image to the evaluation and returns its mask and its Dice.
fn measure(
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
