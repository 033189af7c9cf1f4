//! `seg-runtime infer`: images to masks, overlays and a report.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use seg_runtime::{
    Prediction, Segmenter,
    inputs::image_files,
    outputs::{PREDICTIONS, output_paths},
    predict, read_model,
};
use serde::Serialize;

use crate::{args::Infer, chain, engine, note, progress::Progress};

/// A line of the report.
#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Segmented(Prediction),
    Skipped { input: String, error: String },
}

pub(crate) fn infer(args: &Infer) -> anyhow::Result<()> {
    let inputs = image_files(&args.inputs)?;
    let outputs = output_paths(&args.out, &inputs)?;
    // Before a library is fetched for it.
    read_model(&args.model)?;
    let (environment, options) = engine::start(&args.engine)?;
    let mut segmenter = engine::open(&options, || Segmenter::open(&environment, &args.model, &options))?;
    for folder in ["masks", "overlays"].map(|folder| args.out.join(folder)) {
        fs::create_dir_all(&folder).with_context(|| format!("cannot create the folder `{}`", folder.display()))?;
    }

    let progress = Progress::new(inputs.len());
    let mut lines = Vec::new();
    let mut failed = None;
    for (input, outputs) in inputs.iter().zip(&outputs) {
        match predict(&mut segmenter, input, outputs) {
            Ok(prediction) => {
                progress.done(format!("{} -> {}", prediction.input, prediction.mask));
                lines.push(Line::Segmented(prediction));
            }
            Err(error) if error.is_about_the_image() => {
                let error = chain(&error);
                progress.skipped(&error);
                lines.push(Line::Skipped { input: input.to_string_lossy().into_owned(), error });
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    progress.finish();
    // Also of a job that stopped: the report of what is done must not be lost with what is not.
    let reported = write_lines(&args.out.join(PREDICTIONS), &lines);
    if let Some(error) = failed {
        // Where the report cannot be written either, this error came first and has the cause.
        let done = lines.len();
        return Err(error).context(format!("stopped after {done} of {} images", inputs.len()));
    }
    reported?;
    let skipped = lines.iter().filter(|line| matches!(line, Line::Skipped { .. })).count();
    if skipped > 0 {
        bail!("{skipped} of {} images were skipped", inputs.len());
    }
    note(&format!("{0} of {0} images segmented into `{1}`", inputs.len(), args.out.display()));
    Ok(())
}

fn write_lines(path: &Path, lines: &[Line]) -> anyhow::Result<()> {
    let mut text = String::new();
    for line in lines {
        text += &serde_json::to_string(line)?;
        text.push('\n');
    }
    Ok(seg_data::write_bytes(path, text.as_bytes())?)
}
