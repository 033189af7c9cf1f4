//! The flags of `seg-runtime`.

use std::{num::NonZeroUsize, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};
use seg_data::Part;
use seg_runtime::Provider;

/// Runs exported segmentation models.
///
/// Exit status: 0 when all was done, 1 when something failed, 2 when the command line is wrong.
#[derive(Debug, Parser)]
#[command(name = "seg-runtime", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Infer(Infer),
    Eval(Eval),
    Inspect(Inspect),
    Compare(Compare),
}

/// Segment images: a mask, an overlay and a line of JSON for each.
///
/// Writes `masks/`, `overlays/` and `predictions.jsonl`. Images that cannot be segmented are named, and the others done.
#[derive(Debug, Args)]
pub(crate) struct Infer {
    /// The model file
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) engine: Engine,
    /// The folder for the results
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Images, folders of images, or glob patterns: PNG, JPEG, TIFF, GIF, BMP, WebP
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
}

/// Measure a model on a data set.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The model file
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) engine: Engine,
    /// The folder of the data set
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The part of the data set, train, test or all; what is held out, or all where nothing is, unless given
    #[arg(long, value_name = "PART")]
    pub(crate) split: Option<Part>,
    /// A file for the scores as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// A folder for the masks
    #[arg(long, value_name = "DIR")]
    pub(crate) save_masks: Option<PathBuf>,
}

/// Print what a model file holds: inputs, outputs, cost, operators and contract.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// The image size to count multiply-adds at; the model's own size, else 256x256, unless given
    #[arg(long, value_name = "HEIGHTxWIDTH")]
    pub(crate) size: Option<Size>,
    /// Print each node of the graph as well
    #[arg(long)]
    pub(crate) graph: bool,
}

/// Run a model on a stored tensor and compare its output with another one.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The model file
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) engine: Engine,
    /// The safetensors file that holds both tensors
    #[arg(long, value_name = "FILE")]
    pub(crate) tensors: PathBuf,
    /// The name of the tensor that the model is run on, [n, channels, height, width]
    #[arg(long, value_name = "NAME")]
    pub(crate) input: String,
    /// The name of the tensor that its output should equal
    #[arg(long, value_name = "NAME")]
    pub(crate) expect: String,
    /// The largest absolute error that passes; any finite one unless given
    #[arg(long, value_name = "ERROR", value_parser = bound)]
    pub(crate) max_abs: Option<f64>,
}

/// What computes, and how.
#[derive(Debug, Args)]
pub(crate) struct Engine {
    /// The execution provider; one that cannot be used is an error
    #[arg(long, value_enum, default_value_t = Ep::Cpu)]
    pub(crate) ep: Ep,
    /// CPU threads; one per core unless given
    #[arg(long, value_name = "NUMBER")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// The ONNX Runtime library; ORT_DYLIB_PATH, the cache or a fetched one unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_lib: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Ep {
    Cpu,
    Cuda,
    Tensorrt,
}

impl From<Ep> for Provider {
    fn from(ep: Ep) -> Self {
        match ep {
            Ep::Cpu => Self::Cpu,
            Ep::Cuda => Self::Cuda,
            Ep::Tensorrt => Self::TensorRt,
        }
    }
}

/// A size of images, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) height: u32,
    pub(crate) width: u32,
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sides = text.split_once('x').and_then(|(height, width)| Some((height.parse().ok()?, width.parse().ok()?)));
        match sides {
            Some((height @ 1.., width @ 1..)) => Ok(Self { height, width }),
            _ => Err("expected HEIGHTxWIDTH, as in 512x384"),
        }
    }
}

fn bound(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(bound) if bound >= 0.0 => Ok(bound),
        _ => Err("expected a number that is not negative"),
    }
}
