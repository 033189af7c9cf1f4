//! The flags of `export`.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use seg_cli::{Verbosity, parse};
use seg_contract::{Element, InputForm, OutputKind};
use seg_export::Options;
use seg_export::contract::GivenFacts;
use seg_export::precision::{ExportPrecision, Quantization};
use seg_nets::network::NetworkName;
use seg_nets::runs::RUNS;
use seg_onnx::passes::Selection;
use seg_onnx::precision::{CalibrationMethod, Scheme};
use seg_onnx::{Opset, Target};
use seg_verify::bounds::{DICE, FLIPPED};
use thiserror::Error;

/// Write the network of a checkpoint as an ONNX model.
///
/// Exit status: 0 when all was done, 1 when something failed, 2 when the command line is wrong.
#[derive(Debug, Parser)]
#[command(name = "export", version)]
pub(crate) struct Args {
    /// The model file [default: the network's name, as amsunet.onnx]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A run's folder, a .safetensors, a .pth or a .ckpt file [default: the newest run]
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The key under which the checkpoint holds the weights, such as `state_dict_ema`, if it holds
    /// several [default: the weights that are no moving average]
    #[arg(long, value_name = "KEY")]
    pub(crate) weights_key: Option<String>,
    /// Settings of the network that names and shapes of the weights cannot tell, as norm=bf; they
    /// must be given for a checkpoint without a contract; `train networks` lists them
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',', value_parser = network_option)]
    pub(crate) network_option: Vec<(String, String)>,
    /// The folder whose newest run is exported
    #[arg(long, value_name = "DIR", default_value = RUNS, conflicts_with = "checkpoint")]
    pub(crate) runs: PathBuf,
    /// The engine that the graph is optimised for: portable, cpu, fused, cuda or tensorrt
    #[arg(long, value_name = "ENGINE", default_value_t)]
    pub(crate) target: Target,
    /// Run only these rewrites, or all but these with `-` before each name
    #[arg(long, value_name = "NAMES", allow_hyphen_values = true)]
    passes: Option<Selection>,
    /// Print where each rewrite was applied, and what it saved
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print the graph as text
    #[arg(long)]
    pub(crate) dump: bool,
    /// The ONNX Runtime library that proves and calibrates [default: ORT_DYLIB_PATH, else the
    /// cache, else a fetched one]
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_lib: Option<PathBuf>,
    /// Write inputs with the logits that Burn computes from them, as .safetensors
    #[arg(long, value_name = "FILE", help_heading = EXTRA)]
    pub(crate) reference: Option<PathBuf>,
    /// Write the model into a model repository of Triton Inference Server as well, as DIR/NAME with
    /// the name of `--out`
    #[arg(long, value_name = "DIR", help_heading = EXTRA)]
    pub(crate) triton: Option<PathBuf>,
    /// The folder in which the server keeps TensorRT's engines, as the server sees it; only the
    /// server should be able to write to it [default: DIR/NAME/engines of --triton]
    #[arg(long, value_name = "DIR", requires = "triton", help_heading = EXTRA)]
    pub(crate) triton_engines: Option<PathBuf>,
    /// Write a model card in Markdown
    #[arg(long, value_name = "FILE", help_heading = EXTRA)]
    pub(crate) card: Option<PathBuf>,
    /// Write a page that runs the model in the visitor's browser, as a folder for any web server
    #[arg(long, value_name = "DIR", help_heading = EXTRA)]
    pub(crate) web: Option<PathBuf>,
    /// The archive of the page's ONNX Runtime, for a machine without npm or network
    #[arg(long, value_name = "FILE", requires = "web", help_heading = EXTRA)]
    pub(crate) web_package: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
    #[command(flatten)]
    pub(crate) proof: Proof,
    /// The mean of each channel of an image in [0, 1], which is subtracted
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', allow_negative_numbers = true, help_heading = UNSAID)]
    mean: Option<Vec<f32>>,
    /// The standard deviation of each channel, by which it is divided
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', help_heading = UNSAID)]
    std: Option<Vec<f32>>,
    /// The names of the classes, the background first
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = UNSAID)]
    classes: Option<Vec<String>>,
    /// The input: normalised floats [n, 3, h, w], or bytes [n, h, w, 3] as an image file holds them
    #[arg(long, value_enum, default_value_t, help_heading = FORM)]
    input: Element,
    /// The output: logits or probabilities [n, classes, h, w], or the class of each pixel as bytes
    /// [n, h, w]
    #[arg(long, value_enum, default_value_t, help_heading = FORM)]
    output: OutputKind,
    /// The size of the images: any size, or one only
    #[arg(long, value_name = "dynamic|HEIGHTxWIDTH", default_value = DYNAMIC, value_parser = size, help_heading = FORM)]
    size: Size,
    /// Take only images whose sides are multiples of a number, such as 16; `seg` extends others by
    /// mirroring them. The model then computes no sizes, and more engines read it
    #[arg(long, value_name = "NUMBER", value_parser = multiple, help_heading = FORM)]
    sides: Option<usize>,
    /// Images per run: any number, or one only
    #[arg(long, value_name = "dynamic|NUMBER", default_value = DYNAMIC, value_parser = batch, help_heading = FORM)]
    batch: Batch,
    /// The version of ONNX's operator set, 17 to 25; below 20 it has no `Gelu`, which is then
    /// decomposed
    #[arg(long, value_name = "VERSION", default_value_t, value_parser = opset, help_heading = FORM)]
    pub(crate) opset: Opset,
    /// The precision in which the model computes
    #[arg(long, value_enum, default_value_t, help_heading = PRECISION)]
    pub(crate) precision: ExportPrecision,
    /// Images to calibrate the precision on: files, folders or glob patterns; fp16 can do without
    #[arg(long, value_name = "INPUT", num_args = 1.., required_if_eq("precision", "int8"), help_heading = PRECISION)]
    pub(crate) calibrate: Vec<PathBuf>,
    /// The way to choose the ranges of int8 values [default: min-max for the fused kernel, where
    /// each channel has a range, percentile elsewhere]
    #[arg(long, value_enum, help_heading = PRECISION)]
    calibration_method: Option<CalibrationMethod>,
    /// The type of int8 activations: u8 for CPUs, i8 for TensorRT [default: the type for the
    /// target]
    #[arg(long, value_enum, help_heading = PRECISION)]
    activations: Option<Scheme>,
    #[arg(long, value_name = "LOSS", value_parser = share, help = dice_help(), help_heading = PRECISION)]
    max_dice_loss: Option<f64>,
}

/// The most Dice that int8 may lose by default.
const DICE_LOSS_MAX: f64 = 0.01;

const PRECISION: &str = "Precision";
const UNSAID: &str = "For a checkpoint without a contract";
const FORM: &str = "Form of the model";
const EXTRA: &str = "Other files";
const DYNAMIC: &str = "dynamic";

/// None where it is dynamic.
type Size = Option<[usize; 2]>;
/// None where it is dynamic.
type Batch = Option<usize>;

/// The proof that what is exported is the trained network.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Proof")]
pub(crate) struct Proof {
    /// Prove in ONNX Runtime that the model computes what Burn computes, on a fixed list of inputs
    /// and on the images of the folder, else on some of those of `--calibrate`. The model is proven
    /// on the list by default
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with = "no_verify")]
    pub(crate) verify: Option<Option<PathBuf>>,
    /// Export the model without proof, reference and certificate
    #[arg(long)]
    pub(crate) no_verify: bool,
}

/// The reason why flags are wrong together.
#[derive(Debug, Error)]
pub(crate) enum Conflict {
    /// Nothing becomes integers.
    #[error("`{0}` says how values become integers, and none do; add `--precision int8` or leave it out")]
    NoIntegers(&'static str),
    /// No bits are chosen.
    #[error("there is nothing to calibrate; add `--precision fp16` or `int8`")]
    NothingToCalibrate,
    /// The target takes other integers.
    #[error("TensorRT takes no `--activations u8`; leave the flag out, or choose another `--target`")]
    Unsigned,
    /// The size is fixed.
    #[error("`--sides` leaves the size open, and `--size` fixes it; leave out one of them")]
    SidesAndSize,
    /// The kernel takes no other integers.
    #[error("`--target fused` has integers of its own; leave `--activations` out, or choose another `--target`")]
    FusedAlone,
    /// Nothing is run.
    #[error("`--ort-lib` has no effect with `--no-verify` in fp32, where nothing is run; leave out one of them")]
    NothingRun,
}

impl Args {
    /// Names the model file after the network, unless a name was given.
    pub(crate) fn name_model(&mut self, network: NetworkName) {
        self.out.get_or_insert_with(|| format!("{network}.onnx").into());
    }

    /// Returns the model file.
    ///
    /// # Panics
    /// Before [`name_model`](Self::name_model), where no name was given.
    pub(crate) fn out(&self) -> &Path {
        self.out.as_deref().expect("the model is named when the checkpoint has been read")
    }

    /// Parses the command line; ends the program if it is wrong.
    pub(crate) fn read() -> Self {
        let args: Self = parse();
        match args.check() {
            Ok(()) => args,
            Err(conflict) => Self::command().error(ErrorKind::ArgumentConflict, conflict).exit(),
        }
    }

    /// Makes sure that each flag has an effect beside the others, and that the target takes them.
    pub(crate) fn check(&self) -> Result<(), Conflict> {
        let int8_only = [
            ("--calibration-method", self.calibration_method.is_some()),
            ("--activations", self.activations.is_some()),
            ("--max-dice-loss", self.max_dice_loss.is_some()),
        ];
        let idle = int8_only.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag);
        if self.sides.is_some() && self.size.is_some() {
            return Err(Conflict::SidesAndSize);
        }
        match (self.precision, idle) {
            (ExportPrecision::Fp32 | ExportPrecision::Fp16, Some(flag)) => Err(Conflict::NoIntegers(flag)),
            (ExportPrecision::Fp32, None) if !self.calibrate.is_empty() => Err(Conflict::NothingToCalibrate),
            (ExportPrecision::Fp32, None) if self.proof.no_verify && self.ort_lib.is_some() => {
                Err(Conflict::NothingRun)
            }
            (ExportPrecision::Int8, _) => match (self.activations, self.target) {
                (Some(Scheme::Cpu), Target::TensorRt) => Err(Conflict::Unsigned),
                (Some(_), Target::Fused) => Err(Conflict::FusedAlone),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Returns the settings of int8.
    pub(crate) fn quantization(&self) -> Quantization {
        let scheme = self.activations.unwrap_or(match self.target {
            Target::Portable | Target::Cpu | Target::Cuda => Scheme::Cpu,
            Target::Fused => Scheme::Fused,
            Target::TensorRt => Scheme::TensorRt,
        });
        let method = self.calibration_method.unwrap_or(scheme.calibration_method());
        // The proof would refuse what flips more, or keeps less of a class.
        let (flipped_max, class_dice_min) = if self.proof.no_verify { (1.0, 0.0) } else { (FLIPPED, DICE) };
        let dice_loss_max = self.max_dice_loss.unwrap_or(DICE_LOSS_MAX);
        Quantization { method, scheme, dice_loss_max, flipped_max, class_dice_min }
    }

    /// Returns the options of the export itself.
    pub(crate) fn options(&self) -> Options {
        let given = GivenFacts { mean: self.mean.clone(), std: self.std.clone(), classes: self.classes.clone() };
        let input = InputForm { element: self.input, batch: self.batch, size: self.size };
        let passes = self.passes.clone().unwrap_or_default();
        let (opset, target, sides, output) = (self.opset, self.target, self.sides, self.output);
        Options { opset, target, passes, given, input, sides, output }
    }
}

fn network_option(text: &str) -> Result<(String, String), &'static str> {
    let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.filter(|(name, _)| !name.is_empty()).ok_or("expected NAME=VALUE, as in norm=bb")
}

fn size(text: &str) -> Result<Size, &'static str> {
    let sides = || text.split_once('x').and_then(|(height, width)| Some([height.parse().ok()?, width.parse().ok()?]));
    match sides() {
        _ if text == DYNAMIC => Ok(None),
        Some(sides @ [(1..), (1..)]) => Ok(Some(sides)),
        _ => Err("expected `dynamic` or HEIGHTxWIDTH, as in 512x384"),
    }
}

fn multiple(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|multiple| (2..=4096).contains(multiple)).ok_or("expected a number from 2 to 4096")
}

fn dice_help() -> String {
    let what = "The most Dice that int8 may lose against the float model's masks of the images";
    format!("{what}; parts of the network that lose more stay float [default: {DICE_LOSS_MAX}]")
}

fn share(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1"),
    }
}

fn batch(text: &str) -> Result<Batch, &'static str> {
    match text.parse() {
        _ if text == DYNAMIC => Ok(None),
        Ok(number @ 1..) => Ok(Some(number)),
        _ => Err("expected `dynamic` or a number from 1"),
    }
}

fn opset(text: &str) -> Result<Opset, String> {
    let version: i64 = text.parse().map_err(|_| "expected a number from 17 to 25".to_owned())?;
    Opset::try_from(version).map_err(|error| error.to_string())
}
