//! The flags of `train`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use seg_cli::Verbosity;
use seg_contract::{Level, Reading, SizePolicy, Slices, Spacing, Windowing};
use seg_data::{Part, Selection};
use seg_nets::device::{DeviceChoice, DeviceError, Devices};
use seg_nets::network::{NetworkConfig, NetworkName, setting_value};
use seg_nets::precision::Precision;
use seg_nets::sizes::SIZES;
use seg_train::comparison::Variant;
use seg_train::data::augment::Change;
use seg_train::learn::loss_terms::LossTerms;
use seg_train::run::config::{Preset, Settings};
use serde::Serialize;
use serde_json::{Value, json};

/// Train a segmentation network on a folder of images and masks.
///
/// Exit status: 0 when all was done, 1 when something failed, 2 when the command line is wrong.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
    #[command(flatten)]
    pub(crate) fit: FitArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Score a checkpoint on a data set, with Burn
    Evaluate(EvaluateArgs),
    /// Read every file of a data set and report what it holds and what is wrong
    Check(CheckArgs),
    /// Train networks under one protocol, and export, prove, score and time each
    CompareNetworks(CompareNetworksArgs),
    /// Average runs that differ in seed or fold
    Summarize(SummarizeArgs),
    /// Write the report of a run again, one HTML file
    Report(ReportArgs),
    /// List the networks with their parameters, sizes, options and sources
    Networks,
}

#[derive(Args, Debug)]
pub(crate) struct FitArgs {
    /// The data set: a folder of images with masks or annotations, as `train check` reads it
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resume", "config", "pairs"])]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) files: Selection,
    /// The run's folder [default: the first free one of runs/NAME, runs/NAME-2, ...]
    #[arg(long, value_name = "RUN", conflicts_with_all = ["print_config", "preview"])]
    pub(crate) out: Option<PathBuf>,
    /// Resume an interrupted run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["data", "pairs", "images", "masks", "border", "out", "preset", "config", "print_config", "preview", "self_configure"])]
    #[arg(conflicts_with_all = ["Settings", "Reading", "Loop"])]
    pub(crate) resume: Option<PathBuf>,
    /// The settings for a published data set, or none [default: the preset of a data set as
    /// published]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Preset::names().chain([NO_PRESET])))]
    pub(crate) preset: Option<String>,
    /// A JSON file of settings, as --print-config prints; they override the preset, and flags
    /// override them
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print all settings of the run as JSON, and stop
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Draw the first images as the network would see them to DIR/preview.png, and stop
    #[arg(long, value_name = "DIR", conflicts_with = "print_config")]
    pub(crate) preview: Option<PathBuf>,
    /// Choose size, crop, batch and epochs by the data and the device, and say why; what a file or
    /// a flag gives is kept
    #[arg(long)]
    pub(crate) self_configure: bool,
    /// Print a line per epoch instead of the dashboard
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
    // Beside the settings and not among them: a group of flags takes in none that are flattened
    // into it.
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
}

const DATA: &str = "Data";
const NETWORK: &str = "Network";
const TRAINING: &str = "Training";

/// The preset that stands for no preset.
pub(crate) const NO_PRESET: &str = "none";

/// Flags that are settings, by the names that these have in a configuration.
#[derive(Args, Debug, Serialize)]
#[group(id = "Settings")]
pub(crate) struct SettingArgs {
    /// The share of the training images that is used for validation [default: the publishers' part,
    /// or 0.2]
    #[arg(long, value_name = "F", value_parser = share, help_heading = DATA)]
    pub(crate) validation: Option<f64>,
    /// A file that names the validation images, as split.json of a run
    #[arg(long, value_name = "FILE", conflicts_with = "validation", help_heading = DATA)]
    pub(crate) split: Option<PathBuf>,
    /// The number of folds of a cross-validation
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..), requires = "chosen_folds", conflicts_with_all = ["validation", "split"], help_heading = DATA)]
    #[serde(skip)]
    pub(crate) folds: Option<u32>,
    /// The fold that is used for validation, counted from 1
    #[arg(long, value_name = "I", value_parser = clap::value_parser!(u32).range(1..), group = "chosen_folds", requires = "folds", help_heading = DATA)]
    #[serde(skip)]
    pub(crate) fold: Option<u32>,
    /// Train every fold, one after the other, into RUN/fold-1 and so on; then choose a threshold
    /// and the cleaning of masks by the predictions of all images, each by the network that has not
    /// learned from it
    #[arg(long, group = "chosen_folds", requires = "folds", conflicts_with_all = ["print_config", "preview"], help_heading = DATA)]
    #[serde(skip)]
    pub(crate) all: bool,
    /// The size at which images are run, native or HxW; a size that differs from the preset's gets
    /// its own crop [default: native]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = DATA)]
    pub(crate) size: Option<SizePolicy>,
    /// The side of the square training crop [default: the whole of a fixed size, else the largest
    /// that fits, at most 480]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..), help_heading = DATA)]
    #[serde(skip)]
    pub(crate) crop: Option<u32>,
    /// Changes to the augmentation, in order: none, scale=0.7..1.3, flip-horizontal=P,
    /// flip-vertical=P, turn=P, target=P (crops laid over a pixel of a class), mix=P (views
    /// covered in part by another one), or rotation, elastic, brightness, contrast, gamma,
    /// saturation, hue, blur, noise, each as NAME, NAME=off, NAME=V or NAME=MIN..MAX, and with @P
    /// for its probability
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = DATA)]
    #[serde(skip)]
    pub(crate) augment: Vec<Change>,
    /// The mean of red, green and blue, in [0, 1] [default: that of the training images]
    #[arg(long, value_name = "R,G,B", value_parser = triple, help_heading = DATA)]
    pub(crate) mean: Option<[f32; 3]>,
    /// The standard deviation of red, green and blue [default: that of the training images]
    #[arg(long, value_name = "R,G,B", value_parser = triple, help_heading = DATA)]
    pub(crate) std: Option<[f32; 3]>,
    /// The weights of the classes in the loss's term of pixels, the background first, or balanced:
    /// the inverse of each class's share of the training pixels, at most 50 times the smallest
    #[arg(long, value_name = "LIST|balanced", value_parser = class_weights, help_heading = TRAINING)]
    #[serde(skip)]
    pub(crate) class_weights: Option<ClassWeights>,
    /// The limit of the cache of decoded images, in MiB [default: 2048]
    #[arg(long, value_name = "MIB", help_heading = DATA)]
    pub(crate) cache_mb: Option<usize>,
    /// Start from these weights: a run, a .safetensors or .pth file, or a model's .reference.onnx
    #[arg(long, value_name = "CHECKPOINT", help_heading = NETWORK)]
    pub(crate) init: Option<PathBuf>,
    /// The network to train [default: that of --init, else amsunet]
    #[arg(long, value_name = "NAME", value_parser = network(), help_heading = NETWORK)]
    #[serde(skip)]
    pub(crate) network: Option<NamedNetwork>,
    /// The channels of the first stage [default: those of --init, else those of the published
    /// network]
    #[arg(long, value_name = "B", value_parser = positive, help_heading = NETWORK)]
    #[serde(skip)]
    pub(crate) base_width: Option<usize>,
    /// Settings of the network, as norm=bb; `train networks` lists them with their values
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',', value_parser = network_option, help_heading = NETWORK)]
    #[serde(skip)]
    pub(crate) network_option: Vec<(String, String)>,
    /// The number of epochs [default: 300]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = TRAINING)]
    pub(crate) epochs: Option<usize>,
    /// Images per batch [default: 2]
    #[arg(long, value_name = "B", value_parser = positive, help_heading = TRAINING)]
    pub(crate) batch_size: Option<usize>,
    /// Batches per epoch, drawn in rounds of all images [default: one pass]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = TRAINING)]
    pub(crate) steps_per_epoch: Option<usize>,
    /// The learning rate after warm-up [default: 2e-3]
    #[arg(long = "lr", value_name = "F", value_parser = rate, help_heading = TRAINING)]
    pub(crate) learning_rate: Option<f64>,
    /// AdamW's weight decay [default: 5e-5]
    #[arg(long, value_name = "F", help_heading = TRAINING)]
    pub(crate) weight_decay: Option<f32>,
    /// The seed of the split, the weights, the order and the augmentations [default: 0]
    #[arg(long, value_name = "S", help_heading = TRAINING)]
    pub(crate) seed: Option<u64>,
    /// The device: auto, cpu, cuda, cuda:INDEX, wgpu, wgpu:INDEX, or several that share each batch,
    /// as cuda:0,cuda:1 [default: auto]
    #[arg(long, value_parser = devices, help_heading = TRAINING)]
    pub(crate) device: Option<String>,
}

/// Flags that are settings of the loop, by the names that these have in its part of a
/// configuration.
#[derive(Args, Debug, Serialize)]
#[group(id = "Loop")]
#[command(next_help_heading = TRAINING)]
pub(crate) struct TrainingArgs {
    /// The precision of the maps between layers: fp32, or bf16 for GPUs; weights stay in fp32
    /// [default: fp32]
    #[arg(long)]
    precision: Option<Precision>,
    /// The terms of the loss, added: cross-entropy or focal[=GAMMA], and dice or tversky[=ALPHA],
    /// and boundary[=WEIGHT] [default: cross-entropy+dice]
    #[arg(long, value_name = "TERMS")]
    loss: Option<LossTerms>,
    /// Keep only the maps between stages and recompute the rest for the gradient: less memory, more
    /// time
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    checkpoint_activations: bool,
    /// Batches per step, whose gradients are averaged over images [default: 1]
    #[arg(long, value_name = "N", value_parser = positive)]
    accumulate: Option<usize>,
    /// Scale the gradients of a step down to this L2 norm [default: 1 while BatchNorm's statistics
    /// stay fixed]
    #[arg(long, value_name = "F", value_parser = rate)]
    clip_norm: Option<f64>,
    /// Validate and keep a moving average of the weights with this decay, as 0.999
    #[arg(long, value_name = "DECAY", value_parser = share)]
    ema: Option<f64>,
    /// Estimate BatchNorm's running statistics over training images before each validation; `false`
    /// keeps those of the last steps [default: true]
    #[arg(long, value_name = "BOOL")]
    estimate_statistics: Option<bool>,
    /// The share of epochs, the last ones, in which BatchNorm's statistics stay fixed, 0 to 1
    /// [default: 0.5]
    #[arg(long, value_name = "SHARE")]
    fixed_statistics: Option<f64>,
    /// Epochs from one validation to the next; the last is always validated [default: 1]
    #[arg(long, value_name = "N", value_parser = positive)]
    validate_every: Option<usize>,
    /// Stop after this many epochs without a better one
    #[arg(long, value_name = "N", value_parser = positive)]
    patience: Option<usize>,
    /// Plan the epochs to fit this time, by the pace of a few steps on this machine; with --epochs,
    /// stop after the epoch that passes this time instead
    #[arg(long, value_name = "F", value_parser = rate)]
    pub(crate) minutes: Option<f64>,
    /// Save an unfinished epoch after this time [default: 10]
    #[arg(long = "save-every", value_name = "MINUTES", value_parser = rate)]
    save_minutes: Option<f64>,
}

/// The way in which medical images become pictures.
#[derive(Args, Clone, Copy, Debug)]
#[group(id = "Reading")]
#[command(next_help_heading = DATA)]
pub(crate) struct ReadingArgs {
    /// The values of medical images that become black and white: file (the window of each file,
    /// else percentiles), CENTER,WIDTH, lung, bone, soft-tissue, brain, hu, percentiles or
    /// percentiles:LOW,HIGH; the model carries it [default: file]
    #[arg(long, value_name = "WINDOW", allow_hyphen_values = true)]
    window: Option<Windowing>,
    /// The slices of NIfTI volumes: k, j or i for an axis of the file, or axial, coronal or
    /// sagittal; the model carries them [default: k]
    #[arg(long, value_name = "SLICES", value_parser = slices)]
    slices: Option<Slices>,
    /// The level of pyramids (OME-TIFF, SVS): 0 for the full size, 1 for the next smaller one, or
    /// micrometres a pixel, such as 0.5um; the model carries it [default: 0]
    #[arg(long, value_name = "LEVEL")]
    level: Option<Level>,
    /// The millimetres a pixel to which all images are resampled, which state their own: one
    /// number, or ROWSxCOLUMNS; masks of a deployment keep the images' pixels, and the model
    /// carries it [default: not resampled]
    #[arg(long, value_name = "SPACING")]
    resample: Option<Spacing>,
}

impl ReadingArgs {
    /// Returns what the flags name.
    pub(crate) fn given(&self) -> Reading {
        Reading { windowing: self.window, slices: self.slices, level: self.level, resample: self.resample }
    }
}

impl SettingArgs {
    /// Returns the given settings.
    pub(crate) fn given(&self) -> Settings {
        let mut settings = into_settings(json!(self));
        settings.retain(|_, value| !value.is_null());
        let name = self.network.iter().flat_map(NamedNetwork::settings);
        let width = self.base_width.map(|width| ("base_width".to_owned(), json!(width)));
        let options = self.network_option.iter().map(|(name, value)| (name.clone(), setting_value(value)));
        let network: Settings = name.chain(width).chain(options).collect();
        if !network.is_empty() {
            settings.insert("network".into(), Value::Object(network));
        }
        if let Some(ClassWeights::Listed(weights)) = &self.class_weights {
            settings.insert("class_weights".into(), json!(weights));
        }
        if let Some(side) = self.crop {
            settings.insert("augmentation".into(), json!({ "crop": [side, side] }));
        }
        if let (Some(index), Some(count)) = (self.fold, self.folds) {
            settings.insert("fold".into(), json!(format!("{index}/{count}")));
        }
        // The given one of the three ways to split replaces the one in a preset or a file.
        let splits = ["validation", "split", "fold"];
        if splits.iter().any(|name| settings.contains_key(*name)) {
            for name in splits {
                settings.entry(name).or_insert(Value::Null);
            }
        }
        settings
    }
}

impl TrainingArgs {
    /// Returns the given settings.
    pub(crate) fn given(&self) -> Settings {
        let mut settings = into_settings(json!(self));
        settings.retain(|_, value| !value.is_null());
        settings
    }
}

fn into_settings(value: Value) -> Settings {
    match value {
        Value::Object(settings) => settings,
        _ => unreachable!("a struct is an object"),
    }
}

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// The run [default: the newest under runs/]
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<PathBuf>,
    /// The file to write [default: report.html in the run's folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The device: auto, cpu, cuda, cuda:INDEX, wgpu or wgpu:INDEX
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
}

#[derive(Args, Debug)]
pub(crate) struct EvaluateArgs {
    /// The data set
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) files: Selection,
    /// Score images although the network has learned from them
    #[arg(long)]
    pub(crate) allow_training_images: bool,
    /// A run or a `best.safetensors` of one [default: the newest run under runs/]
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The part of the data set: train, validation (the publishers' own), test or all [default: the
    /// part that is held out, else the one that chooses the epoch, else all]
    #[arg(long, value_name = "PART")]
    pub(crate) split: Option<Part>,
    /// The file for the scores [default: evaluation-DATA-PART.json in the folder of the run]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The folder for the predicted masks, class indices as PNG
    #[arg(long, value_name = "DIR")]
    pub(crate) save_masks: Option<PathBuf>,
    /// The device: auto, cpu, cuda, cuda:INDEX, wgpu or wgpu:INDEX
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The data set
    #[arg(value_name = "DIR")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) files: Selection,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    /// The folder for report.json and contact_sheet.png [default: check-NAME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Train networks under one protocol, and export, prove, score and time each.
///
/// All have the same images, split, seeds and flags. Each step is one of the programs beside this
/// one; an interrupted comparison goes on where it stopped. The result is a page with tables and a
/// plot of accuracy over latency, beside the plan from which all can be done again.
#[derive(Args, Debug)]
pub(crate) struct CompareNetworksArgs {
    /// The data set: a folder of images with masks or annotations, some of them held out
    #[arg(long, value_name = "DIR", required_unless_present_any = ["plan", "resume"])]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) files: Selection,
    /// Another data set to score, in place of the part that is held out
    #[arg(long, value_name = "DIR")]
    pub(crate) test: Option<PathBuf>,
    /// A network, repeatable, also with settings as amsunet:skip=plain,base_width=16; the others
    /// are compared with the first one
    #[arg(long = "network", value_name = "NAME[:SETTINGS]", required_unless_present_any = ["plan", "resume"])]
    pub(crate) networks: Vec<Variant>,
    /// The seeds; each network is trained once with each
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,1,2")]
    pub(crate) seeds: Vec<u64>,
    /// The runs of each model that are timed
    #[arg(long, value_name = "N", default_value = "30")]
    pub(crate) timed_runs: NonZeroUsize,
    /// The folder of the comparison [default: the first free one of runs/compare-NAME, ...]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Do the runs of another comparison again, by its plan.json; `--data` says where its data lie
    /// here
    #[arg(long, value_name = "FILE", conflicts_with_all = ["networks", "seeds", "timed_runs", "train", "pairs", "images", "masks", "border"])]
    pub(crate) plan: Option<PathBuf>,
    /// Go on with an interrupted comparison
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "test", "networks", "seeds", "timed_runs", "out", "plan", "train", "pairs", "images", "masks", "border"])]
    pub(crate) resume: Option<PathBuf>,
    /// The ONNX Runtime library that proves, scores and times [default: ORT_DYLIB_PATH, else the
    /// cache, else a fetched one]
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_lib: Option<PathBuf>,
    /// Flags of `train` for all runs, behind `--`, as in `-- --epochs 40 --crop 256`
    #[arg(last = true, value_name = "TRAIN_FLAGS")]
    pub(crate) train: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SummarizeArgs {
    /// The runs' folders
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Print JSON with the values of each run
    #[arg(long)]
    pub(crate) json: bool,
    /// Accept runs that differ in more than seed and fold
    #[arg(long)]
    pub(crate) force: bool,
}

fn slices(text: &str) -> Result<Slices, String> {
    let text = Value::String(text.to_owned());
    serde_json::from_value(text).map_err(|_| "expected k, j, i, axial, coronal or sagittal".to_owned())
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a whole number of at least 1".into())
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| "expected a positive number".into())
}

fn share(text: &str) -> Result<f64, String> {
    let between = |share: &f64| *share > 0.0 && *share < 1.0;
    text.parse().ok().filter(between).ok_or_else(|| "expected a number between 0 and 1".into())
}

/// A network by its name, or one of its published sizes.
#[derive(Clone, Debug)]
pub(crate) struct NamedNetwork {
    name: NetworkName,
    size: Option<NetworkConfig>,
}

impl NamedNetwork {
    /// Returns the network's name and the settings of its size.
    fn settings(&self) -> Settings {
        let mut settings = self.size.as_ref().map(|size| into_settings(json!(size))).unwrap_or_default();
        // These follow from the data set.
        settings.retain(|name, _| name != "in_channels" && name != "num_classes");
        settings.insert("name".into(), json!(self.name.as_str()));
        settings
    }
}

/// Returns the parser of a network's name, which lists the names in the help.
fn network() -> impl TypedValueParser<Value = NamedNetwork> {
    let names = NetworkName::ALL.map(NetworkName::as_str).into_iter().chain(SIZES.map(|(name, _)| name));
    PossibleValuesParser::new(names).map(|text| match SIZES.iter().find(|(name, _)| *name == text) {
        Some((_, size)) => NamedNetwork { name: size().name(), size: Some(size()) },
        None => {
            let name = text.parse().expect("clap has compared the name with the list");
            NamedNetwork { name, size: None }
        }
    })
}

fn network_option(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && name != "name" => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE, as in deep_supervision=true"),
    }
}

/// The weights of the classes, as they are typed.
#[derive(Clone, Debug)]
pub(crate) enum ClassWeights {
    /// By the classes' shares of the training pixels.
    Balanced,
    /// One for each class.
    Listed(Vec<f32>),
}

fn class_weights(text: &str) -> Result<ClassWeights, &'static str> {
    if text == "balanced" {
        return Ok(ClassWeights::Balanced);
    }
    let weights = text.split(',').map(str::parse).collect::<Result<_, _>>();
    weights.map(ClassWeights::Listed).map_err(|_| "expected `balanced` or a number for each class, as 1,5")
}

fn devices(text: &str) -> Result<String, DeviceError> {
    Ok(text.parse::<Devices>()?.to_string())
}

fn triple(text: &str) -> Result<[f32; 3], String> {
    let numbers = text.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>();
    let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| "expected three numbers, as 0.485,0.456,0.406".into())
}

fn size(text: &str) -> Result<SizePolicy, String> {
    if text == "native" {
        return Ok(SizePolicy::Native);
    }
    let sides = text.split_once('x').and_then(|(height, width)| Some((height.parse().ok()?, width.parse().ok()?)));
    match sides {
        Some((height, width)) if height > 0 && width > 0 => Ok(SizePolicy::Resize { height, width }),
        _ => Err("expected `native` or HEIGHTxWIDTH, as 352x352".into()),
    }
}
