//! `train evaluate`: scores a checkpoint on a data set, with Burn.

use std::fs;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use seg_data::{Dataset, write_bytes, write_mask_png};
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
    let (part, samples) = dataset.part(args.split)?;
    say(&format!("checkpoint {}", checkpoint.path.display()));
    say(&format!("data       {}, {part}: {} images", dataset.name, samples.len()));
    say(&format!("device     {choice}"));
    if let Some(folder) = &args.save_masks {
        fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    }

    let palette: Vec<[u8; 3]> = contract.classes.iter().map(|class| class.color).collect();
    let bar = ProgressBar::new(samples.len() as u64);
    let mut written = Ok(());
    let evaluator = Evaluator { net: &net, contract, device: &device };
    let evaluation = evaluator.run(&samples, |sample, mask| {
        if let Some(folder) = &args.save_masks
            && written.is_ok()
        {
            written = write_mask_png(&folder.join(format!("{}.png", sample.name)), mask, &palette);
        }
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    written?;
    let scores = evaluation.scores(&contract.classes);
    say(&serde_json::to_string_pretty(&scores).context("cannot print the scores")?);
    let beside = path.is_dir().then(|| path.join(Scored::file_name(part)));
    if let Some(out) = args.out.clone().or(beside) {
        let weights_sha256 = checkpoint.weights.sha256();
        let scored = Scored { data: dataset.name, part: part.to_string(), weights_sha256, scores };
        let text = serde_json::to_string_pretty(&scored).context("cannot write the scores")?;
        write_bytes(&out, text.as_bytes())?;
    }
    Ok(())
}
