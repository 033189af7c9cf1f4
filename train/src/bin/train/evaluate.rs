//! `train evaluate`: scores a checkpoint on a data set, with Burn.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use seg_data::{Dataset, Sample, write_bytes, write_mask_png};
use seg_train::checkpoint::Checkpoint;
use seg_train::evaluate::Evaluator;
use seg_train::run::{self, Scored};

use crate::args::EvaluateArgs;
use crate::say;

pub(crate) fn run(args: &EvaluateArgs) -> Result<()> {
    let path = match &args.checkpoint {
        Some(path) => path.clone(),
        None => run::newest(run::RUNS.as_ref())?,
    };
    let checkpoint = Checkpoint::read(&path)?;
    let Some(contract) = &checkpoint.contract else {
        bail!(
            "`{}` carries no contract, so its mean, size and classes are unknown; name a run",
            checkpoint.path.display()
        );
    };
    let (device, choice) = args.device.open()?;
    let net = checkpoint.weights.to_network(&device)?;
    let dataset = Dataset::open(&args.data)?;
    ensure!(
        contract.classes.len() == dataset.classes.len(),
        "the checkpoint tells {} classes apart, the data set {}",
        contract.classes.len(),
        dataset.classes.len()
    );
    let (part, samples) = dataset.part(args.split)?;
    let masks = args.save_masks.as_ref().map(|folder| mask_paths(folder, &samples)).transpose()?;
    say(&format!("checkpoint {}", checkpoint.path.display()));
    say(&format!("data       {}, {part}: {} images", dataset.name, samples.len()));
    say(&format!("device     {choice}"));

    let palette: Vec<[u8; 3]> = contract.classes.iter().map(|class| class.color).collect();
    let bar = ProgressBar::new(samples.len() as u64);
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
    say(&serde_json::to_string_pretty(&scores).context("cannot print the scores")?);
    let beside = path.is_dir().then(|| path.join(Scored::file_name(&dataset.name, part)));
    if let Some(out) = args.out.clone().or(beside) {
        let weights_sha256 = checkpoint.weights.sha256();
        let scored = Scored { data: dataset.name, part: part.to_string(), weights_sha256, scores };
        let text = serde_json::to_string_pretty(&scored).context("cannot write the scores")?;
        write_bytes(&out, text.as_bytes())?;
    }
    Ok(())
}

/// Where each image's mask goes, in a folder that is made; no file of the data set is written over, and none twice.
fn mask_paths(folder: &Path, samples: &[Sample]) -> Result<BTreeMap<PathBuf, PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let folder = fs::canonicalize(folder).with_context(|| format!("cannot resolve `{}`", folder.display()))?;
    let inputs: BTreeSet<PathBuf> = samples
        .iter()
        .flat_map(|sample| [&sample.image, &sample.mask])
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    let mut paths = BTreeSet::new();
    samples
        .iter()
        .map(|sample| {
            let path = folder.join(format!("{}.png", sample.name));
            ensure!(!inputs.contains(&path), "`{}` belongs to the data set; choose another `--save-masks`", path.display());
            ensure!(
                paths.insert(path.clone()),
                "two images are named `{}`, so that one mask would replace the other; score a part at a time with `--split`",
                sample.name
            );
            Ok((sample.image.clone(), path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use seg_data::MaskCoding;

    use super::*;

    #[test]
    fn a_mask_replaces_neither_a_file_of_the_data_set_nor_another_mask() {
        let root = tempfile::tempdir().unwrap();
        let sample = |part: &str| {
            let [image, mask] = ["images", "masks"].map(|kind| root.path().join(part).join(kind).join("1.png"));
            for path in [&image, &mask] {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            Sample { name: "1".into(), image, mask, coding: MaskCoding::Binary, field_of_view: None }
        };
        let samples = [sample("train"), sample("test")];
        let paths = mask_paths(&root.path().join("new"), &samples[..1]).unwrap();
        assert!(paths[&samples[0].image].ends_with("new/1.png"));
        for (folder, samples, part) in [
            ("train/masks", &samples[..1], "train/masks/1.png` belongs to the data set"),
            ("train/../test/images", &samples[1..], "test/images/1.png` belongs to the data set"),
            ("new", &samples[..], "two images are named `1`"),
        ] {
            let message = mask_paths(&root.path().join(folder), samples).unwrap_err().to_string();
            assert!(message.contains(part), "{folder}: {message}");
        }
    }
}
