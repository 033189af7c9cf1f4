//! `train --data DIR`: trains a network.

use std::path::absolute;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use seg_data::Dataset;
use seg_train::checkpoint::Checkpoint;
use seg_train::config::{Config, augmentation, default_size};
use seg_train::model::AmsUnetConfig;
use seg_train::run::{self, Run};
use seg_train::split::Split;
use seg_train::statistics::Statistics;
use seg_train::trainer::{EpochRecord, Event};

use crate::args::FitArgs;
use crate::say;

pub(crate) fn run(args: &FitArgs) -> Result<()> {
    let run = match &args.resume {
        Some(folder) => Run::open(folder).with_context(|| format!("cannot resume `{}`", folder.display()))?,
        None => begin(args)?,
    };
    say(&format!("run        {}", run.folder.display()));
    say(&format!(
        "data       {}: {} training and {} validation images",
        run.dataset.name,
        run.split.train.len(),
        run.split.validation.len()
    ));
    let Config { network, batch_size, augmentation, epochs, .. } = &run.config;
    let [height, width] = augmentation.crop;
    say(&format!("network    AMSUnet, base width {}, {} classes", network.base_width, network.num_classes));
    say(&format!("batches    {batch_size} crops of {height}x{width}, {epochs} epochs"));

    let bar = ProgressBar::hidden();
    let log = run.train(|event| show(&bar, *epochs, event)).context("training stopped")?;
    bar.finish_and_clear();
    let best = log.iter().rfind(|record| record.best);
    if let Some(EpochRecord { epoch, validation, .. }) = best {
        say(&format!(
            "best       epoch {epoch}: validation Dice {:.4}, mean IoU {:.4}, accuracy {:.4}",
            validation.dice_per_image, validation.mean_iou_pooled, validation.accuracy_pooled
        ));
    }
    say(&format!("weights    {}", run.folder.join(run::BEST).display()));
    Ok(())
}

/// Decides everything that configures a run, and writes it down.
fn begin(args: &FitArgs) -> Result<Run> {
    // What cannot work is refused before anything is written.
    args.device.open()?;
    let data = args.data.as_ref().context("a run needs `--data` or `--resume`")?;
    let data = absolute(data).with_context(|| format!("cannot resolve `{}`", data.display()))?;
    let dataset = Dataset::open(&data)?;
    let init = args.init.as_ref().map(absolute).transpose().context("cannot resolve the path of `--init`")?;
    let network = match &init {
        // What starts from weights has their network.
        Some(path) => Checkpoint::read(path)?.weights.config().context("cannot start from these weights")?,
        None => AmsUnetConfig::new().with_base_width(args.base_width).with_num_classes(dataset.classes.len()),
    };
    ensure!(
        (network.in_channels, network.num_classes) == (3, dataset.classes.len()),
        "the weights of `--init` are of a network with {} input channels and {} classes; the data set needs 3 and {}",
        network.in_channels,
        network.num_classes,
        dataset.classes.len()
    );
    let split = Split::cut(&dataset.train, args.validation, args.seed)?;
    let (training, validation) = split.apply(&dataset.train)?;
    let statistics = Statistics::of(&training)?;
    for sample in &validation {
        sample.load()?;
    }
    let size = args.size.unwrap_or_else(|| default_size(dataset.layout));
    let config = Config {
        data,
        network,
        init,
        epochs: args.epochs,
        batch_size: args.batch_size,
        learning_rate: args.lr,
        weight_decay: args.weight_decay,
        validation: args.validation,
        seed: args.seed,
        device: args.device.to_string(),
        size,
        augmentation: augmentation(size, &statistics, args.crop),
        mean: statistics.mean,
        std: statistics.std,
    };
    let name = dataset.name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let folder = args.out.clone().unwrap_or_else(|| run::free(run::RUNS.as_ref(), &name));
    Ok(Run::create(&folder, dataset, config, split)?)
}

fn show(bar: &ProgressBar, epochs: usize, event: Event) {
    match event {
        Event::Start { device, step, steps } => {
            bar.suspend(|| say(&format!("device     {device}")));
            let style = "{bar:32} step {pos}/{len}, {elapsed} gone, {eta} left, loss {msg}";
            bar.set_style(ProgressStyle::with_template(style).expect("the template names known keys"));
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            bar.set_length(steps as u64);
            bar.set_position(step as u64);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_secs(1));
        }
        Event::Step { step, loss } => {
            bar.set_message(format!("{loss:.4}"));
            bar.set_position(step as u64);
        }
        Event::Epoch(EpochRecord {
            epoch,
            loss,
            cross_entropy,
            dice_loss,
            validation,
            best,
            seconds,
            learning_rate,
        }) => {
            let width = epochs.to_string().len();
            let mark = if best { "  best" } else { "" };
            bar.suspend(|| {
                say(&format!(
                    "epoch {epoch:>width$}/{epochs}  loss {loss:.4} ({cross_entropy:.4} + {dice_loss:.4})  lr {learning_rate:.1e}  \
                     val Dice {:.4}  mIoU {:.4}  acc {:.4}  {seconds:.1} s{mark}",
                    validation.dice_per_image, validation.mean_iou_pooled, validation.accuracy_pooled
                ));
            });
        }
    }
}
