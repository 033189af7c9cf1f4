//! The flags of `seg-runtime`.

mod answers;
mod conflict;
mod engine;
mod pictures;
mod serve;
mod verify;

pub(crate) use answers::{Answers, Saves};
pub(crate) use engine::{Engine, Ep, Library, Tuning};
pub(crate) use pictures::{Medical, Pages};
pub(crate) use serve::{Log, Serve};
pub(crate) use verify::{Certified, Keygen, Verify};

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use answers::Tile;
use clap::builder::ArgPredicate;
use clap::{Args, Parser, Subcommand};
use seg_cli::Verbosity;
use seg_data::{Part, Selection};
use seg_inference::ComputePrecision;

/// Run exported segmentation models.
///
/// Exit status: 0 when all was done, 1 when something failed, 2 when the command line is wrong.
#[derive(Debug, Parser)]
#[command(name = "seg-runtime", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Infer(Infer),
    Serve(Serve),
    Merge(Merge),
    Eval(Eval),
    Inspect(Inspect),
    Adopt(Adopt),
    Compare(Compare),
    Bench(Bench),
    Doctor(Doctor),
    Setup(Setup),
    Warm(Warm),
    #[command(hide = true)]
    Probe(Probe),
    #[command(hide = true)]
    Measure(Measure),
    Verify(Verify),
    Keygen(Keygen),
}

/// Segment images: a mask, an overlay and a line of JSON for each.
///
/// Writes a folder for each kind of file, `predictions.jsonl` and `job.json`. Images that cannot be
/// segmented are reported and skipped; the exit status is then 1. A folder that holds the results
/// of another job is refused.
#[derive(Debug, Args)]
pub(crate) struct Infer {
    /// The model file; the probabilities of several models are averaged
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) model: Vec<PathBuf>,
    /// The folder for the results
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print a line of JSON for each image when it is done, as in `predictions.jsonl`
    #[arg(long)]
    pub(crate) json: bool,
    #[arg(required = true, value_name = "INPUT", help = format!(
        "Images ({}), folders of images, or glob patterns", seg_data::image_formats()
    ))]
    pub(crate) inputs: Vec<PathBuf>,
    /// The pages, frames or slices to segment of files that hold several, as in 1,3-5 [default:
    /// all]
    #[arg(long, value_name = "NUMBERS")]
    pub(crate) pages: Option<Pages>,
    #[command(flatten)]
    pub(crate) medical: Medical,
    #[command(flatten)]
    pub(crate) parts: Parts,
    #[command(flatten)]
    pub(crate) answers: Answers,
    #[command(flatten)]
    pub(crate) saves: Saves,
    #[command(flatten)]
    pub(crate) certified: Certified,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// The part of a job that this process does.
#[derive(Debug, Args)]
#[command(next_help_heading = "Interrupted and distributed jobs")]
pub(crate) struct Parts {
    /// Keep the results that are complete, which their hashes show, and do the rest
    #[arg(long = "continue")]
    pub(crate) resume: bool,
    /// Divide the images into this many parts, each for its own process or machine; `seg merge`
    /// joins them
    #[arg(long, value_name = "NUMBER")]
    pub(crate) num_parts: Option<NonZeroUsize>,
    /// Do this part, counted from 1 [default: the place of this process in an indexed job of
    /// Kubernetes or an array of Slurm]
    #[arg(long, value_name = "INDEX", requires = "num_parts")]
    pub(crate) part: Option<NonZeroUsize>,
}

/// Join the records of all parts of a job.
///
/// Checks first that every image is there and that its files are whole.
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// The folder that `seg infer --num-parts` wrote to
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// Score a model on a data set.
///
/// Prints the scores. With --out it also writes `scores.json`, `images.csv` with a row per image,
/// and `report.html` with curves and pictures of the worst images. Pixels that the masks ignore, or
/// that lie outside fields of view, are not counted.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The model file; the probabilities of several models are averaged
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) model: Vec<PathBuf>,
    /// The folder of the data set
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) files: Selection,
    /// Score images although the model has learned from them
    #[arg(long)]
    pub(crate) allow_training_images: bool,
    /// The part of the data set: train, validation (the publishers' own), test or all [default: the
    /// part that is held out, else the one that chooses the epoch, else all]
    #[arg(long, value_name = "PART")]
    pub(crate) split: Option<Part>,
    /// The folder for the scores as JSON, CSV and HTML
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The folder for the masks
    #[arg(long, value_name = "DIR")]
    pub(crate) save_masks: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) medical: Medical,
    #[command(flatten)]
    pub(crate) measuring: Measuring,
    #[command(flatten)]
    pub(crate) answers: Answers,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// The settings of the scores.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scores")]
pub(crate) struct Measuring {
    /// The distance up to which two surfaces count as one, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 2.0, value_parser = distance)]
    pub(crate) tolerance_px: f64,
    /// The distance up to which two surfaces count as one, in millimetres, for images that name the
    /// size of a pixel [default: 2]
    #[arg(long, value_name = "MM", value_parser = distance)]
    pub(crate) tolerance_mm: Option<f64>,
    /// Resamples of the images for the confidence intervals; 0 for no intervals
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub(crate) bootstrap: usize,
    /// The confidence level of the intervals [default: 0.95]
    #[arg(long, value_name = "SHARE", value_parser = inner_share)]
    pub(crate) confidence: Option<f64>,
    /// The seed of the resamples [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// The number of worst images that the report shows [default: 6]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) worst: Option<usize>,
}

/// Print what a model file holds: inputs, outputs, cost, operators and contract.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// The image size that multiply-adds are counted at [default: the model's own size, else
    /// 256x256]
    #[arg(long, value_name = "HEIGHTxWIDTH")]
    pub(crate) size: Option<Size>,
    /// Print each node of the graph as well
    #[arg(long)]
    pub(crate) graph: bool,
    /// Open the model with a provider and print which one computes what
    #[arg(long)]
    pub(crate) placement: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// Give a segmentation network that another program exported a contract.
///
/// It can then be run, scored and served. `--draft` writes a contract to fill in, from the inputs
/// and outputs of the network. `--contract` writes the model with it, after it was run on two
/// sizes.
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// The ONNX file
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// Write a contract to fill in
    #[arg(long, value_name = "FILE", required_unless_present = "contract", conflicts_with = "contract")]
    pub(crate) draft: Option<PathBuf>,
    /// The contract of the network
    #[arg(long, value_name = "FILE")]
    pub(crate) contract: Option<PathBuf>,
    /// The new file [default: NAME.adopted.onnx beside the model]
    #[arg(long, value_name = "FILE", requires = "contract")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// Run a model on a stored tensor and compare its output with another one.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The model file
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// The safetensors file that holds both tensors
    #[arg(long, value_name = "FILE")]
    pub(crate) tensors: PathBuf,
    /// The name of the tensor that the model is run on, [n, channels, height, width]
    #[arg(long, value_name = "NAME")]
    pub(crate) input: String,
    /// The name of the tensor that the output should equal
    #[arg(long, value_name = "NAME")]
    pub(crate) expect: String,
    /// The largest absolute error that passes [default: any finite error]
    #[arg(long, value_name = "ERROR", value_parser = bound)]
    pub(crate) max_abs: Option<f64>,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// Measure the latency, throughput and peak memory of a model.
///
/// Lists make a table: every provider with every precision, batch and size. Each case runs in its
/// own process.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// Another model file, run in turn with the first one
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Execution providers, as in cpu,openvino
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "cpu",
        default_value_if("ep_library", ArgPredicate::IsPresent, "plugin")
    )]
    pub(crate) ep: Vec<Ep>,
    /// Precisions in which float32 values are computed, as in fp32,tf32
    #[arg(long, value_enum, value_delimiter = ',', default_value = "fp32")]
    pub(crate) precision: Vec<ComputePrecision>,
    /// Images per run, as in 1,8,32
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1")]
    pub(crate) batch: Vec<NonZeroUsize>,
    /// Image sizes, as in 256x256,512x512 [default: the model's own size, else 256x256]
    #[arg(long, value_name = "HEIGHTxWIDTH", value_delimiter = ',')]
    pub(crate) size: Vec<Size>,
    /// Images, folders of images, or glob patterns to take from file to mask file, stage by stage
    #[arg(long, value_name = "INPUT", conflicts_with = "against")]
    pub(crate) images: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) runs: Runs,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}

/// The number of runs.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Measurement")]
pub(crate) struct Runs {
    /// Runs that are not measured, before those that are
    #[arg(long, value_name = "NUMBER", default_value = "3")]
    pub(crate) warm_up: NonZeroUsize,
    /// Runs that are measured
    #[arg(long, value_name = "NUMBER", default_value = "30")]
    pub(crate) runs: NonZeroUsize,
}

/// Report which providers work here, and what to install for the others.
///
/// Each provider runs a small graph in its own process, so that a crash or a hang is reported as
/// well. Nothing is fetched. Exit status: 1 when a provider named by `--ep` does not work, or none
/// does.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Providers that must work, as in cpu,cuda
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) ep: Vec<Ep>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Seconds after which a provider counts as hanging
    #[arg(long, value_name = "SECONDS", default_value = "120")]
    pub(crate) timeout: NonZeroU64,
    #[command(flatten)]
    pub(crate) library: Library,
}

/// Fetch the ONNX Runtime library ahead of time.
///
/// Fetches a wheel with pip and checks its hash. Without Python, `--wheel` takes wheels as files.
#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Fetch the build with CUDA and TensorRT as well
    #[arg(long)]
    pub(crate) gpu: bool,
    /// Fetch the build with OpenVINO as well
    #[arg(long)]
    pub(crate) openvino: bool,
    /// Fetch what these providers need: a build of ONNX Runtime, or a plug-in
    #[arg(long, value_name = "PROVIDER", value_delimiter = ',')]
    pub(crate) ep: Vec<Ep>,
    /// Fetch nothing, and fail if something is missing
    #[arg(long)]
    pub(crate) offline: bool,
    /// Take the library from a wheel of ONNX Runtime that was brought along, without pip and
    /// network
    #[arg(long, value_name = "FILE", conflicts_with_all = ["gpu", "openvino", "ep", "offline"])]
    pub(crate) wheel: Vec<PathBuf>,
}

/// Do ahead of time what a first run would wait for.
///
/// Fetches the library, builds TensorRT's engine and runs the model once.
#[derive(Debug, Args)]
pub(crate) struct Warm {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// `--tile` of the later runs: TensorRT's engine is built for these tiles
    #[arg(long, value_name = "PIXELS|auto|off", default_value = "auto")]
    tile: Tile,
    /// `--batch` of the later runs: TensorRT's engine takes this many images or tiles at once
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    batch: NonZeroUsize,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// Try one provider or library and print a line of JSON; `doctor` and `--ep auto` start this.
#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// Ask NVIDIA's libraries instead of a provider
    #[arg(long)]
    pub(crate) nvidia: bool,
    /// Find and check the ONNX Runtime library, and stop there
    #[arg(long)]
    pub(crate) locate: bool,
    /// The build of it to find
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub(crate) build: String,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// Measure one case and print a line of JSON; `bench` starts this.
#[derive(Debug, Args)]
pub(crate) struct Measure {
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    #[arg(long, value_name = "NUMBER")]
    pub(crate) batch: NonZeroUsize,
    #[arg(long, value_name = "HEIGHTxWIDTH")]
    pub(crate) size: Size,
    #[command(flatten)]
    pub(crate) runs: Runs,
    #[arg(long, value_name = "FILE")]
    pub(crate) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// A size of images, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) height: u32,
    pub(crate) width: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
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

fn distance(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(distance) if (0.0..f64::INFINITY).contains(&distance) => Ok(distance),
        _ => Err("expected a number of pixels that is not negative"),
    }
}

fn inner_share(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("expected a number between 0 and 1, as 0.95"),
    }
}
