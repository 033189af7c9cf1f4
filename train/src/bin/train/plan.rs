//! The plan of a run, decided from flags, a file, a preset and the data set.

use seg_cli::{Shown, note};
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result, ensure};
use seg_contract::SizePolicy;
use seg_data::{Dataset, Selection};
use seg_nets::checkpoint::Checkpoint;
use seg_nets::network::{NetworkConfig, NetworkName};
use seg_train::data::fold::Fold;
use seg_train::data::split::Split;
use seg_train::data::statistics::Statistics;
use seg_train::run::config::{Advice, Config, Facts, Layers, Preset, Settings, read_settings};
use seg_train::run::pace::Pace;
use seg_train::view::duration::duration;
use serde_json::json;

use crate::args::{ClassWeights, FitArgs, NO_PRESET};

/// The channels of the images that data sets hold: red, green, blue.
const CHANNELS: usize = 3;

/// The plan of a run.
pub(crate) struct Plan {
    pub(crate) dataset: Dataset,
    /// The name of the preset, where there is one.
    pub(crate) preset: Option<String>,
    /// The reasons of the settings that were chosen by the data.
    pub(crate) reasons: Vec<String>,
    pub(crate) config: Config,
    pub(crate) split: Split,
    /// Width and height of the largest image that is run whole, to be validated.
    pub(crate) largest: (u32, u32),
}

/// Decides everything that configures a run; writes nothing. A `fold` replaces that of the flags.
pub(crate) fn plan(args: &FitArgs, fold: Option<Fold>) -> Result<Plan> {
    let file = args.config.as_deref().map(read_settings).transpose()?;
    let data = data(args, file.as_ref())?;
    let files = files(args, file.as_ref())?;
    let dataset = Dataset::open_with(&data, &files)?;
    let preset = match args.preset.as_deref() {
        Some(name) => Some(name).filter(|name| *name != NO_PRESET),
        None => Preset::for_layout(dataset.layout),
    };
    let flags = flags(args, &data, &files)?;
    let lay = |advice: Option<&Advice>| -> Result<Layers> {
        let mut layers = Layers::default();
        if let Some(preset) = preset.and_then(Preset::named) {
            layers.lay("the preset", preset.settings);
        }
        if let Some(advice) = advice {
            layers.lay("the data", advice.settings.clone());
        }
        if let (Some(path), Some(file)) = (&args.config, &file) {
            layers.lay(format!("`{}`", path.shown()), file.clone());
        }
        layers.lay("the flags", flags.clone());
        if let Some(fold) = fold {
            let only_fold = json!({ "fold": fold, "split": null, "validation": null });
            layers.lay("the fold", serde_json::from_value(only_fold).context("cannot set the fold")?);
        }
        Ok(layers)
    };
    let layers = lay(None)?;

    // The choices of the data set follow from the training images, and these from settings.
    let unknown = Statistics { mean: [0.0; 3], std: [1.0; 3], short_side: 1, median: [1; 2], class_pixels: Vec::new() };
    let classes = dataset.classes.len();
    let first = NetworkName::ALL[0].config(CHANNELS, classes);
    let open = layers.over(&Config::defaults_for(&dataset, &first, SizePolicy::Native, &unknown))?;
    // What decides the pictures stands in the contract, also where it is the default.
    let mut reading = open.reading;
    if dataset.is_medical() {
        reading.windowing.get_or_insert_default();
    }
    let dataset = dataset.with_reading(&reading)?;
    let init = open.init.as_deref().map(|path| weights(path, &layers)).transpose()?;
    let of_weights = init.as_ref().map(network_of).transpose()?;
    let network = of_weights.unwrap_or_else(|| open.network.name().config(CHANNELS, classes));
    let split = Split::from_config(&dataset, &open)?;
    let (training, validation) = split.apply(&dataset.train)?;
    let statistics = Statistics::measure(&training, &dataset.train)?;
    // What cannot be read is found before hours of training, and not after.
    let mut largest = (0, 0);
    let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
    for sample in &validation {
        let size = sample.load_seen()?.0.dimensions();
        largest = if pixels(size) > pixels(largest) { size } else { largest };
    }
    let mut layers = layers;
    let (mut size, mut reasons) = (open.size, Vec::new());
    if args.self_configure {
        // The sides that the network takes may be settings of their own.
        let network = layers.over(&Config::defaults_for(&dataset, &network, size, &statistics))?.network;
        let (_, devices) = open.devices()?;
        let facts = Facts {
            images: training.len(),
            statistics: &statistics,
            sides: network.sides(),
            is_cpu: devices.are_cpu(),
        };
        let advice = Advice::new(&facts);
        layers = lay(Some(&advice))?;
        size = layers.over(&Config::defaults_for(&dataset, &network, SizePolicy::Native, &statistics))?.size;
        reasons = advice.reasons;
        if args.training.minutes.is_some() {
            reasons.retain(|reason| !reason.contains(" epochs: "));
        }
    }
    let mut config = layers.over(&Config::defaults_for(&dataset, &network, size, &statistics))?;
    config.reading = reading;
    if matches!(args.settings.class_weights, Some(ClassWeights::Balanced)) {
        config.class_weights = Some(statistics.balanced_weights(classes));
    }
    for change in &args.settings.augment {
        config.augmentation.apply(change);
    }
    config.check()?;
    if let (Some(path), Some(checkpoint)) = (&config.init, init) {
        let network = network_of(&checkpoint.for_network(&config.network))?;
        ensure!(
            config.network == network,
            "the settings ask for {}, but the weights in `{}` are of {}; leave out `--network`, `--base-width` and \
             `--network-option`, or `network` in the file of `--config`",
            config.network,
            path.shown(),
            network
        );
    }
    ensure!(
        (config.network.in_channels(), config.network.num_classes()) == (CHANNELS, classes),
        "the network has {} input channels and {} classes; the data set needs {CHANNELS} and {classes}",
        config.network.in_channels(),
        config.network.num_classes()
    );
    Ok(Plan { dataset, preset: preset.map(Into::into), reasons, config, split, largest })
}

/// Plans as many epochs as fit the time that the flags name, unless they name the epochs too, and
/// says so; where settings were chosen by the data, says how long the run will take.
pub(crate) fn fit_to_time(args: &FitArgs, plan: &mut Plan) -> Result<()> {
    let minutes = args.training.minutes.filter(|_| args.settings.epochs.is_none());
    if minutes.is_none() && !args.self_configure {
        return Ok(());
    }
    note("pace       measuring a few steps");
    let Plan { dataset, config, split, .. } = plan;
    let pace = Pace::measure(config, dataset, split).context("cannot measure the pace of this machine")?;
    let one_pass = split.train.len().div_ceil(config.batch_size);
    let batches = config.steps_per_epoch.unwrap_or(one_pass);
    let Some(minutes) = minutes else {
        let seconds = config.epochs as f64 * pace.epoch(batches, split.validation.len(), &config.training);
        let fold = if args.settings.all { " for each fold" } else { "" };
        note(&format!(
            "expected   about {}{fold}: {} epochs of {batches} batches, of which one takes {:.2} s here; `--minutes` plans \
             the epochs by a time",
            duration(seconds),
            config.epochs,
            pace.batch
        ));
        return Ok(());
    };
    let fitted = pace.fit(minutes, batches, split.validation.len(), &config.training);
    config.epochs = fitted.epochs;
    config.steps_per_epoch = config.steps_per_epoch.or(fitted.steps_per_epoch);
    let (epochs, batches) = (config.epochs, config.steps_per_epoch.unwrap_or(one_pass));
    note(&format!(
        "planned    {epochs} epochs of {batches} batches in {minutes} minutes: a batch takes {:.2} s and a validation image {:.2} s here",
        pace.batch, pace.image
    ));
    Ok(())
}

/// Reads the weights to start from, whose network must be known: by their file, their names and
/// shapes, or the settings.
fn weights(path: &Path, layers: &Layers) -> Result<Checkpoint> {
    let (checkpoint, part) = Checkpoint::read_part(path, None)?;
    checkpoint.check_told(&part, &layers.network_settings())?;
    Ok(checkpoint)
}

/// Returns the network of the weights to start from.
fn network_of(checkpoint: &Checkpoint) -> Result<NetworkConfig> {
    checkpoint.weights.config().context("cannot start from these weights")
}

/// Returns the data set's folder, by the flag or by the file.
fn data(args: &FitArgs, file: Option<&Settings>) -> Result<PathBuf> {
    let named = file.and_then(|settings| settings.get("data")?.as_str()).map(PathBuf::from);
    // A table of files is a data set by itself.
    let table = args.files.pairs.as_ref().and_then(|table| Some(table.parent()?.to_path_buf()));
    let table = table.map(|folder| if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder });
    let data = args
        .data
        .clone()
        .or(named)
        .or(table)
        .context("no data set is named; add `--data`, or `data` to the file of `--config`")?;
    whole(&data)
}

/// Returns the choice among the data set's files, by the flags or by the file.
fn files(args: &FitArgs, file: Option<&Settings>) -> Result<Selection> {
    let mut files = args.files.clone();
    if files.is_open()
        && let Some(named) = file.and_then(|settings| settings.get("files"))
    {
        files = serde_json::from_value(named.clone()).context("`files` in the file of `--config` cannot be used")?;
    }
    files.pairs = files.pairs.as_deref().map(whole).transpose()?;
    Ok(files)
}

/// Returns a path from the root, in UTF-8, as a configuration keeps it.
fn whole(path: &Path) -> Result<PathBuf> {
    let path = absolute(path).with_context(|| format!("cannot resolve `{}`", path.shown()))?;
    ensure!(
        path.to_str().is_some(),
        "the name of `{}` is not in UTF-8, so no configuration can keep it; rename it",
        path.shown()
    );
    Ok(path)
}

/// Returns the settings that the flags give, their paths made absolute, as a run may be resumed
/// from another folder.
fn flags(args: &FitArgs, data: &Path, files: &Selection) -> Result<Settings> {
    let mut flags = args.settings.given();
    flags.insert("data".into(), json!(data));
    if !files.is_open() {
        flags.insert("files".into(), json!(files));
    }
    flags.insert("training".into(), json!(args.training.given()));
    let reading = args.reading.given();
    if !reading.is_empty() {
        flags.insert("reading".into(), json!(reading));
    }
    for (name, path) in [("init", &args.settings.init), ("split", &args.settings.split)] {
        if let Some(path) = path {
            flags.insert(name.into(), json!(whole(path)?));
        }
    }
    Ok(flags)
}
