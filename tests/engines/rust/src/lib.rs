//! The command line of an engine: `ENGINE MODEL INPUT SHAPE OUTPUT`.
//!
//! The input is a file of float32 in little endian. The output is written as float32, and its shape
//! is printed.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context as _, Result};

/// An input, and the path of the model that runs it.
pub struct Job {
    /// The model's file.
    pub model: PathBuf,
    /// The shape of the input.
    pub shape: Vec<usize>,
    /// The values of the input.
    pub values: Vec<f32>,
    output: PathBuf,
}

impl Job {
    /// Reads the command line and the input that it names.
    pub fn read() -> Result<Self> {
        let arguments: Vec<_> = env::args().skip(1).collect();
        let [model, input, shape, output] = &arguments[..] else {
            anyhow::bail!("usage: ENGINE MODEL INPUT N,C,H,W OUTPUT");
        };
        let bytes = fs::read(input).with_context(|| format!("cannot read {input}"))?;
        let values =
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
        let shape = shape.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { model: model.into(), shape, values, output: output.into() })
    }

    /// Writes the output, and prints its shape.
    pub fn finish(&self, shape: &[usize], values: impl IntoIterator<Item = f32>) -> Result<()> {
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        fs::write(&self.output, bytes)?;
        println!("{}", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(","));
        Ok(())
    }
}
