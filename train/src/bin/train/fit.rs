//! `train --data DIR`: trains a network.

use std::path::absolute;

use anyhow::{Context, Result, ensure};
use seg_data::Dataset;
use seg_train::checkpoint::Checkpoint;
use seg_train::config::{Config, augmentation, default_size};
use seg_train::model::AmsUnetConfig;
use seg_train::record::EpochRecord;
use seg_train::run::{self, Run};
use seg_train::split::Split;
use seg_train::statistics::Statistics;

use crate::args::FitArgs;
use crate::plain::scores;
use crate::{say, view};

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

    let mut view = view::choose(*epochs);
    let trained = run.train(|event| view.observe(&event));
    view.finish();
    let log = trained.context("training stopped")?;
    let best = log.iter().rfind(|record| record.best);
    if let Some(EpochRecord { epoch, validation: Some(validation), .. }) = best {
        say(&format!("best       epoch {epoch}: {}", scores(validation)));
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
        steps_per_epoch: args.steps_per_epoch,
        learning_rate: args.lr,
        weight_decay: args.weight_decay,
        validation: args.validation,
        seed: args.seed,
        device: args.device.to_string(),
        size,
        augmentation: augmentation(size, &statistics, args.crop),
        cache_mb: 2048,
        mean: statistics.mean,
        std: statistics.std,
    };
    let name = dataset.name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let folder = args.out.clone().unwrap_or_else(|| run::free(run::RUNS.as_ref(), &name));
    Ok(Run::create(&folder, dataset, config, split)?)
}
