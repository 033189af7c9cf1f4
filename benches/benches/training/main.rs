//! A training step of ours against the same step in PyTorch: time, processor time, memory, losses and weights.
//!
//! `cargo bench -p seg-benches --bench training -- --python VENV/bin/python`, on a GPU with `--features seg-train/cuda` and `--device cuda`
//!
//! Each measurement is a process of its own, and the two sides take turns. Wall time asks for a quiet machine; on a busy one
//! processor time holds better, and `OMP_WAIT_POLICY=PASSIVE` keeps PyTorch's threads from spinning while they wait. Both
//! sides start from the same weights and learn from the same batch, and the run fails where their losses part. A profile of
//! our step alone: `perf record --call-graph dwarf` of this program with `measure` and the flags of its help.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod batch;
mod compare;
mod measure;
mod side;

use std::path::PathBuf;
use std::thread;

use anyhow::Result;
use clap::{Parser, Subcommand};

use compare::Comparison;
use measure::Measurement;
use seg_train::device::DeviceChoice;

/// A training step of ours against the same step in PyTorch.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    /// Rounds of each case, ours and PyTorch in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A Python that has `benches/pytorch/requirements.txt`; else the variable SEG_BENCH_PYTHON names it
    #[arg(long)]
    python: Option<PathBuf>,
    /// What computes on both sides: cpu, cuda or cuda:INDEX
    #[arg(long, default_value_t = DeviceChoice::Cpu)]
    device: DeviceChoice,
    /// Threads of each side [default: the machine's]
    #[arg(long)]
    threads: Option<usize>,
    #[command(subcommand)]
    command: Option<Command>,
    /// Given by cargo
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Measures ours once, in this process, and prints a line of JSON
    Measure(Measurement),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Some(Command::Measure(measurement)) = cli.command {
        println!("{}", serde_json::to_string(&measurement.run()?)?);
        return Ok(());
    }
    let threads = cli.threads.or_else(|| thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let python = side::python(cli.python.as_deref())?;
    Comparison { python, device: cli.device, rounds: cli.rounds, threads }.run()
}
