//! `seg-runtime adopt`: gives a segmentation network that another program exported a contract.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use ndarray::{Array3, Array4, ArrayView4, Axis};
use seg_cli::{Shown, note, print, warn};
use seg_contract::{Contract, OutputKind, sha256};
use seg_data::write_bytes;
use seg_inference::{ModelOutput, Session};
use seg_onnx::adopt::{Draft, adopt as adopt_bytes, draft};
use seg_onnx::proto::external_files;
use seg_runtime::bench::example_input;
use serde_json::Value;

use crate::args::Adopt;
use crate::engine;

/// The values that a graph does not say, by their place in the contract, and what they are.
const TO_FILL_IN: [(&str, &str); 3] = [
    ("/input/color", "the order of the channels: rgb or bgr"),
    (
        "/input/mean",
        "the mean of each channel that is subtracted from an image in [0, 1], as [0.485, 0.456, 0.406] for ImageNet's",
    ),
    (
        "/input/std",
        "the deviation by which that is divided, as [0.229, 0.224, 0.225] for ImageNet's; 0.0039215686 for a network \
         that takes 0 to 255",
    ),
];

/// The largest error of a sum of probabilities.
const SUM_ERROR_MAX: f32 = 1e-3;

pub(crate) fn adopt(args: &Adopt) -> anyhow::Result<()> {
    let bytes = fs::read(&args.model).with_context(|| format!("cannot read the model `{}`", args.model.shown()))?;
    match (&args.draft, &args.contract) {
        (Some(file), _) => write_draft(args, &bytes, file),
        (None, Some(file)) => with_contract(args, &bytes, file),
        (None, None) => bail!("neither a contract nor a file for its draft is named"),
    }
}

/// Writes a contract to fill in.
fn write_draft(args: &Adopt, bytes: &[u8], file: &Path) -> anyhow::Result<()> {
    let refused = || format!("cannot draft a contract for `{}`", args.model.shown());
    let Draft { contract, guesses } = draft(bytes).with_context(refused)?;
    ensure!(!file.exists(), "`{}` exists; name another file, or remove it", file.shown());
    let mut json: Value = serde_json::from_str(&contract.to_json())?;
    let is_gray = contract.input.color.channels() == 1;
    for (place, meaning) in TO_FILL_IN {
        if place == "/input/color" && is_gray {
            continue;
        }
        if let Some(value) = json.pointer_mut(place) {
            *value = Value::Null;
        }
        note(&format!("fill in `{}`: {meaning}", name_of(place)));
    }
    for guess in guesses {
        note(&format!("check: {guess}"));
    }
    note("name the classes, index 0 is the background");
    write_bytes(file, format!("{}\n", serde_json::to_string_pretty(&json)?).as_bytes())?;
    print(&format!("`{}` is a contract to fill in\n", file.shown()))
}

/// Returns a place in JSON as the messages write it.
fn name_of(place: &str) -> String {
    place.trim_start_matches('/').replace('/', ".")
}

/// Writes the model with its contract, after it was run.
fn with_contract(args: &Adopt, bytes: &[u8], file: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read the contract `{}`", file.shown()))?;
    let in_file = || format!("cannot use the contract `{}`", file.shown());
    let json: Value = serde_json::from_str(&text).with_context(in_file)?;
    let missing = TO_FILL_IN.into_iter().find(|(place, _)| json.pointer(place) == Some(&Value::Null));
    if let Some((place, meaning)) = missing {
        bail!("`{}` of the contract `{}` is not filled in: {meaning}", name_of(place), file.shown());
    }
    let mut contract = Contract::from_json(&text).with_context(in_file)?;
    let own = args.model.file_name().unwrap_or_default().to_string_lossy();
    let provenance = &mut contract.provenance;
    provenance.tool = format!("seg-runtime adopt {}", env!("CARGO_PKG_VERSION"));
    provenance.assumptions.push(format!(
        "adopted from `{own}` (SHA-256 {}); what the contract says was stated, not learned from the training",
        sha256(bytes)
    ));
    let refused = || format!("cannot adopt `{}`", args.model.shown());
    let adopted = adopt_bytes(bytes, contract).with_context(refused)?;
    let out = args.out.clone().unwrap_or_else(|| beside(&args.model));
    ensure!(out != args.model, "`{}` is the model itself; name another file by `--out`", out.shown());
    if !external_files(bytes)?.is_empty() {
        let folder = |path: &Path| {
            fs::canonicalize(path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")))
        };
        ensure!(
            folder(&out).ok() == folder(&args.model).ok(),
            "the weights of `{}` lie beside it, so `{}` must lie there too",
            args.model.shown(),
            out.shown()
        );
    }
    try_out(args, &out, &adopted)?;
    write_bytes(&out, &adopted)?;
    print(&format!("`{}` is `{}` with its contract\n", out.shown(), args.model.shown()))
}

/// Returns the place of the adopted model beside the other one.
fn beside(model: &Path) -> PathBuf {
    let stem = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    model.with_file_name(format!("{stem}.adopted.onnx"))
}

/// Runs the model on two sizes, and compares what it answers with what the contract says.
fn try_out(args: &Adopt, out: &Path, adopted: &[u8]) -> anyhow::Result<()> {
    let folder = out.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let trial = tempfile::Builder::new().prefix(".adopt").suffix(".onnx").tempfile_in(folder);
    let trial = trial.with_context(|| format!("cannot write to the folder `{}`", folder.shown()))?;
    fs::write(trial.path(), adopted)?;
    let (environment, options) = engine::start::<&Path>(&args.engine, &[])?;
    let mut session = engine::open(&options, || Session::open(&environment, trial.path(), &options))?;
    let contract = session.contract().clone();
    let input = &contract.input;
    let larger = |side: usize| side + input.side_multiple.max(1);
    let [height, width] = input.form.size.unwrap_or_else(|| input.next_size([64, 96]));
    let mut sizes = vec![[height, width]];
    if input.form.size.is_none() {
        sizes.push([larger(height), larger(larger(width))]);
    }
    for [height, width] in sizes {
        let shape = [input.form.batch.unwrap_or(2), input.color.channels(), height, width];
        let output = session.infer(example_input(shape).view()).with_context(|| {
            format!("the network does not take images of {height}x{width}, which the contract allows; set `input.side_min` and `input.side_multiple`")
        })?;
        check(&contract, shape, &output)?;
    }
    Ok(())
}

/// Makes sure that an answer is of the kind that the contract names.
fn check(contract: &Contract, [n, _, height, width]: [usize; 4], output: &ModelOutput) -> anyhow::Result<()> {
    let classes = contract.classes.len();
    let (found, expected) = match output {
        ModelOutput::Scores(scores) => (scores.shape().to_vec(), vec![n, classes, height, width]),
        ModelOutput::Masks(masks) => (masks.shape().to_vec(), vec![n, height, width]),
    };
    ensure!(
        found == expected,
        "the answer to images of {height}x{width} has shape {found:?}, the contract asks for {expected:?}: a score of each \
         class for each pixel, or a class of each pixel"
    );
    match output {
        ModelOutput::Masks(masks) => check_masks(masks, classes),
        ModelOutput::Scores(scores) => check_scores(scores, contract.output.kind),
    }
}

fn check_masks(masks: &Array3<u8>, classes: usize) -> anyhow::Result<()> {
    let largest = masks.iter().copied().max().unwrap_or_default();
    ensure!(
        usize::from(largest) < classes,
        "the network answers with class {largest}, the contract names {classes} classes, counted from 0"
    );
    Ok(())
}

fn check_scores(scores: &Array4<f32>, kind: OutputKind) -> anyhow::Result<()> {
    ensure!(scores.iter().all(|score| score.is_finite()), "the network answers with numbers that are not finite");
    let off = farthest_from_one(scores.view());
    let looks_like_probabilities =
        off <= SUM_ERROR_MAX && scores.iter().all(|score| (-SUM_ERROR_MAX..=1.0 + SUM_ERROR_MAX).contains(score));
    match kind {
        OutputKind::Probabilities => ensure!(
            looks_like_probabilities,
            "the contract calls the answer probabilities, but the numbers of a pixel are not in [0, 1] or add up to 1 with an \
             error of {off:.1e}; if they are unbounded scores, `output.kind` is logits; sigmoids of several classes that \
             exclude each other cannot be stated"
        ),
        _ if looks_like_probabilities => {
            warn("the contract calls the answer logits, but they look like probabilities; check `output.kind`");
        }
        _ => {}
    }
    Ok(())
}

/// Returns how far the sum of a pixel's numbers is from 1 at most.
fn farthest_from_one(scores: ArrayView4<'_, f32>) -> f32 {
    scores.sum_axis(Axis(1)).iter().map(|sum| (sum - 1.0).abs()).fold(0.0, f32::max)
}
