//! The flags of `train`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use seg_data::Part;
use seg_onnx::contract::SizePolicy;
use seg_train::config::{LEARNING_RATE, WEIGHT_DECAY};
use seg_train::device::DeviceChoice;

/// Train AMSUnet on a folder of images and masks.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) fit: FitArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Score a checkpoint on a data set, with Burn
    Evaluate(EvaluateArgs),
    /// Read every file of a data set and say what is there and what is wrong
    Check(CheckArgs),
}

#[derive(Args, Debug)]
pub(crate) struct FitArgs {
    /// The data set: DRIVE, Kvasir-SEG or ISIC 2018 as published, or a folder with `images` and `masks` of the same names
    #[arg(long, value_name = "DIR", required_unless_present = "resume")]
    pub(crate) data: Option<PathBuf>,
    /// The run's folder [default: the first free one of runs/NAME, runs/NAME-2, ...]
    #[arg(long, value_name = "RUN")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with an interrupted run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["data", "out", "init"])]
    pub(crate) resume: Option<PathBuf>,
    /// Start from these weights: a run, a .safetensors or a .pth file
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) init: Option<PathBuf>,
    /// How often every image is seen
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = positive)]
    pub(crate) epochs: usize,
    /// Images per batch
    #[arg(long, value_name = "B", default_value_t = 2, value_parser = positive)]
    pub(crate) batch_size: usize,
    /// Batches per epoch, drawn in rounds of all images [default: one pass]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) steps_per_epoch: Option<usize>,
    /// The learning rate after warm-up
    #[arg(long, value_name = "F", default_value_t = LEARNING_RATE, value_parser = rate)]
    pub(crate) lr: f64,
    /// AdamW's weight decay
    #[arg(long, value_name = "F", default_value_t = WEIGHT_DECAY)]
    pub(crate) weight_decay: f32,
    /// The seed of the split, the weights, the order and the augmentations
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// auto, cpu, cuda or cuda:INDEX
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
    /// The channels of the first stage; the published network has 32
    #[arg(long, value_name = "B", default_value_t = 32, value_parser = width)]
    pub(crate) base_width: usize,
    /// The side of the square training crop [default: the largest that fits, at most 480]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(16..))]
    pub(crate) crop: Option<u32>,
    /// At which size an image is run: native or HxW [default: 352x352 for Kvasir-SEG, else native]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) size: Option<SizePolicy>,
    /// The share of the training images that chooses the best epoch
    #[arg(long, value_name = "F", default_value_t = 0.2, value_parser = share)]
    pub(crate) validation: f64,
}

#[derive(Args, Debug)]
pub(crate) struct EvaluateArgs {
    /// The data set
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// A run or a `best.safetensors` of one [default: the newest run under runs/]
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The part of the data set, train, test or all [default: what is held out, or all where nothing is]
    #[arg(long, value_name = "PART")]
    pub(crate) split: Option<Part>,
    /// Write the predicted masks here, class indices as PNG
    #[arg(long, value_name = "DIR")]
    pub(crate) save_masks: Option<PathBuf>,
    /// auto, cpu, cuda or cuda:INDEX
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The data set
    #[arg(value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The folder for report.json and contact_sheet.png [default: check-NAME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
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

fn width(text: &str) -> Result<usize, String> {
    let fits = |width: &usize| *width > 0 && width.is_multiple_of(4);
    text.parse().ok().filter(fits).ok_or_else(|| "expected a positive multiple of 4".into())
}

fn size(text: &str) -> Result<SizePolicy, String> {
    if text == "native" {
        return Ok(SizePolicy::Native);
    }
    let sides = text.split_once('x').and_then(|(height, width)| Some((height.parse().ok()?, width.parse().ok()?)));
    match sides {
        Some((height, width)) if height >= 16 && width >= 16 => Ok(SizePolicy::Resize { height, width }),
        _ => Err("expected `native` or HEIGHTxWIDTH of at least 16x16, as 352x352".into()),
    }
}
