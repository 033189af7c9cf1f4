//! Generates a Burn module of one exported model: `generate MODEL.onnx FOLDER`.

use std::env;

use anyhow::{Context as _, Result};
use burn_onnx::ModelGen;

fn main() -> Result<()> {
    let [model, folder] = &env::args().skip(1).collect::<Vec<_>>()[..] else {
        anyhow::bail!("usage: generate MODEL.onnx FOLDER");
    };
    ModelGen::new().input(model).out_dir(folder).run_from_cli();
    std::fs::metadata(folder).with_context(|| format!("{folder} was not written"))?;
    Ok(())
}
