//! The flags of `export`.

use std::path::PathBuf;

use clap::Parser;
use seg_export::Options;
use seg_export::contract::Stated;
use seg_onnx::Opset;
use seg_train::run::RUNS;

/// Write the network of a checkpoint as an ONNX model.
///
/// Exit status: 0 when all was done, 1 when something failed, 2 when the command line is wrong.
#[derive(Debug, Parser)]
#[command(name = "export", version)]
pub(crate) struct Args {
    /// The model file
    #[arg(long, value_name = "FILE", default_value = "amsunet.onnx")]
    pub(crate) out: PathBuf,
    /// A run's folder, a .safetensors or a .pth file [default: the newest run]
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The folder whose newest run is exported
    #[arg(long, value_name = "DIR", default_value = RUNS, conflicts_with = "checkpoint")]
    pub(crate) runs: PathBuf,
    /// ONNX's operator set: 20, or 17 for runtimes that lack `Gelu`
    #[arg(long, value_name = "VERSION", default_value_t, value_parser = opset)]
    pub(crate) opset: Opset,
    /// Print the graph as text, too
    #[arg(long)]
    pub(crate) dump: bool,
    /// Also write inputs with the logits that Burn computes of them, as .safetensors
    #[arg(long, value_name = "FILE")]
    pub(crate) reference: Option<PathBuf>,
    /// What is subtracted from each channel of an image in [0, 1], where the checkpoint does not say it
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', allow_negative_numbers = true)]
    mean: Option<Vec<f32>>,
    /// What each channel is then divided by, where the checkpoint does not say it
    #[arg(long, value_name = "R,G,B", value_delimiter = ',')]
    std: Option<Vec<f32>>,
    /// The names of the classes, the background first, where the checkpoint does not say them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    classes: Option<Vec<String>>,
}

impl Args {
    /// What of the flags concerns the export itself.
    pub(crate) fn options(&self) -> Options {
        let stated = Stated { mean: self.mean.clone(), std: self.std.clone(), classes: self.classes.clone() };
        Options { opset: self.opset, stated }
    }
}

fn opset(text: &str) -> Result<Opset, String> {
    let version: i64 = text.parse().map_err(|_| "expected 17 or 20".to_owned())?;
    Opset::try_from(version).map_err(|error| error.to_string())
}
