//! Exports the best weights of a run as an ONNX model.
//!
//! ```text
//! cargo run --release --bin export_checkpoint -- CHECKPOINT MODEL
//! ```

#![allow(clippy::print_stdout, reason = "the program reports its result")]

use std::env;
use std::error::Error;
use std::path::Path;

use seg_data::write_bytes;
use seg_export::{Options, export};
use seg_nets::checkpoint::Checkpoint;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [checkpoint, model] = &args[..] else { return Err("expected CHECKPOINT MODEL".into()) };

    // The checkpoint carries the contract: mean, deviation, sizes and classes.
    let checkpoint = Checkpoint::read(Path::new(checkpoint))?;
    let export = export(&checkpoint, &Options::default())?;
    write_bytes(Path::new(model), &export.bytes)?;
    println!("{} nodes, {} bytes", export.model.graph.nodes.len(), export.bytes.len());
    Ok(())
}
