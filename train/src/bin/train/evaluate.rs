//! `train evaluate`: scores a checkpoint on a data set, with Burn.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use seg_cli::{Shown, is_quiet, print_json, say, warn};
use seg_contract::LearnedFrom;
use seg_data::{Dataset, Overlap, Sample, quick_check, write_bytes, write_mask_png};
use seg_nets::checkpoint::Checkpoint;
use seg_nets::runs;
use seg_train::evaluate::Evaluator;
use seg_train::run::Scored;

use crate::args::EvaluateArgs;

pub(crate) fn run(args: &EvaluateArgs) -> Result<()> {
    let path = match &args.checkpoint {
        Some(path) => path.clone(),
        None => runs::newest(runs::RUNS.as_ref())?,
    };
    let checkpoint = Checkpoint::read(&path)?;
    let Some(contract) = &checkpoint.contract else {
        bail!(
            "`{}` carries no contract, so its mean, size and classes are unknown; name a run",
            checkpoint.path.shown()
        );
    };
    let (device, choice) = args.device.open()?;
    let net = checkpoint.weights.to_network(&device)?;
    let dataset = Dataset::open_with(&args.data, &args.files)?.with_reading(&contract.input.reading)?;
    ensure!(
        contract.classes.len() == dataset.classes.len(),
        "the checkpoint tells {} classes apart, the data set {}",
        contract.classes.len(),
        dataset.classes.len()
    );
    let (part, samples) = dataset.part(args.split)?;
    match LearnedFrom::read(&contract.provenance) {
        Some(learned) => {
            let overlap = Overlap::find(&samples, &learned);
            if let Some(refusal) = overlap.refusal(samples.len()) {
                ensure!(args.allow_training_images, "{refusal}");
                warn(&format!("warning: {refusal}"));
            }
            if let Some(note) = overlap.note(samples.len()) {
                warn(&format!("note: {note}"));
            }
        }
        None => warn("note: the checkpoint does not say which images it has learned from"),
    }
    for finding in quick_check(&[("the part", samples.as_slice())], &dataset.classes) {
        warn(&format!("warning: {}", finding.message));
    }
    let inputs = Inputs::new(&checkpoint, &dataset);
    let masks = args.save_masks.as_ref().map(|folder| mask_paths(folder, &samples, &inputs)).transpose()?;
    if let Some(out) = &args.out {
        inputs.spare(out, "--out")?;
    }
    say(&format!("checkpoint {}", checkpoint.path.shown()));
    say(&format!("data       {}, {part}: {} images", dataset.name, samples.len()));
    if !(dataset.test.is_empty() && dataset.validation.is_empty()) {
        say(&format!("parts      {}", dataset.parts_in_words()));
    }
    say(&format!("device     {choice}"));

    let palette: Vec<[u8; 3]> = contract.classes.iter().map(|class| class.color).collect();
    let bar = if is_quiet() { ProgressBar::hidden() } else { ProgressBar::new(samples.len() as u64) };
    let mut written = Ok(());
    let evaluator = Evaluator { net: &net, contract, device: &device };
    let evaluation = evaluator.run(&samples, |sample, mask| {
        if let Some(path) = masks.as_ref().and_then(|masks| masks.get(&sample.image))
            && written.is_ok()
        {
            written = write_mask_png(path, mask, &palette);
        }
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    written?;
    let scores = evaluation.scores(&contract.classes);
    print_json(&serde_json::to_string_pretty(&scores).context("cannot print the scores")?)?;
    let beside = path.is_dir().then(|| path.join(Scored::file_name(&dataset.name, part)));
    if let Some(out) = args.out.clone().or(beside) {
        let weights_sha256 = checkpoint.weights.sha256();
        let scored = Scored { data: dataset.name, part: part.to_string(), weights_sha256, scores };
        let text = serde_json::to_string_pretty(&scored).context("cannot write the scores")?;
        write_bytes(&out, text.as_bytes())?;
    }
    Ok(())
}

/// Returns the path of each image's mask, in a folder that is created; no file that is read is
/// overwritten, and no mask twice.
fn mask_paths(folder: &Path, samples: &[Sample], inputs: &Inputs) -> Result<BTreeMap<PathBuf, PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.shown()))?;
    let mut paths = BTreeSet::new();
    samples
        .iter()
        .map(|sample| {
            let path = folder.join(format!("{}.png", sample.name));
            inputs.spare(&path, "--save-masks")?;
            ensure!(
                paths.insert(path.clone()),
                "two images are named `{}`, so that one mask would replace the other; score a part at a time with `--split`",
                sample.name
            );
            Ok((sample.image.clone(), path))
        })
        .collect()
}

/// The files that nothing may be written over: the checkpoint, and the data set's in all of its
/// parts.
struct Inputs(BTreeSet<PathBuf>);

impl Inputs {
    fn new(checkpoint: &Checkpoint, dataset: &Dataset) -> Self {
        let files = dataset.files().chain([checkpoint.path.as_path()]);
        // A link would be replaced as well as what it leads to. What is not there cannot be.
        let both = files.flat_map(|path| [real_place(path), path.canonicalize().ok()]);
        Self(both.flatten().collect())
    }

    fn spare(&self, path: &Path, flag: &str) -> Result<()> {
        let is_input = real_place(path).is_some_and(|place| self.0.contains(&place));
        ensure!(!is_input, "`{}` is the checkpoint or belongs to the data set; choose another `{flag}`", path.shown());
        Ok(())
    }
}

/// Returns the path with its folder's real name; `None` if the folder does not exist.
fn real_place(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(folder.canonicalize().ok()?.join(path.file_name()?))
}
