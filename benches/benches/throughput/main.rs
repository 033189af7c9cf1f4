//! Compares a folder of images through the whole pipeline with the bare network and with the same
//! job in Python.
//!
//! `cargo bench -p seg-benches --bench throughput -- --model amsunet.onnx --images DIR --python
//! VENV/bin/python`
//!
//! Each measurement is a process of its own, and the sides take turns. Time counts from when models
//! are loaded until the last file is written. The bare network gets the same images as tensors in
//! memory, and all threads for each. Before that, the program is started on one small image, and
//! the time in which ONNX Runtime loads the model is subtracted. The exit status is 1 if the start
//! takes too long or the pipeline is too slow.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod compare;
mod measure;
mod startup;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use anyhow::Result;
use clap::{Parser, Subcommand};
use measure::Measurement;
use seg_benches::{typed_path, typed_program};

/// Compares a folder of images through the whole pipeline with the bare network and with the same
/// job in Python.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    /// The model file
    #[arg(long, required = true, value_parser = typed_path)]
    model: Option<PathBuf>,
    /// A folder of images
    #[arg(long, required = true, value_parser = typed_path)]
    images: Option<PathBuf>,
    /// A Python that has `benches/python/requirements.txt`; without it, there is no third side
    #[arg(long, value_parser = typed_program)]
    python: Option<PathBuf>,
    /// Threads of each side [default: the machine's]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Rounds, all sides in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[command(subcommand)]
    command: Option<Command>,
    /// Given by cargo
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Measures one side once, in this process, and prints a line of JSON
    Measure(Measurement),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Some(Command::Measure(measurement)) = cli.command {
        println!("{}", serde_json::to_string(&measurement.run()?)?);
        return Ok(());
    }
    let (Some(model), Some(images)) = (cli.model, cli.images) else { unreachable!("clap requires both") };
    let threads = cli.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let program = startup::built_program()?;
    // A side that is too slow fails only after everything is measured.
    let start = startup::run(&program, &model, threads, cli.rounds);
    compare::run(&model, &images, cli.python.as_deref(), threads, cli.rounds)?;
    start
}
