//! Compares our training step with the same step in PyTorch: time, processor time, memory, losses
//! and weights.
//!
//! `cargo bench -p seg-benches --bench training -- --python VENV/bin/python`, on a GPU with
//! `--features seg-train/cuda` and `--device cuda`
//!
//! Each measurement is a process of its own, and the sides take turns: ours, and PyTorch in every
//! setting that may be its best. Wall time needs a quiet machine; processor time is more reliable
//! on a busy one, and `OMP_WAIT_POLICY=PASSIVE` keeps PyTorch's threads from spinning while they
//! wait. All start from the same weights and train on the same batch; at the end the run fails if
//! their losses or weights differ, or if something could not be measured. For a profile of our step
//! alone: `perf record --call-graph dwarf` of this program with `measure` and the flags of its
//! help.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod batch;
mod case;
mod compare;
mod measure;
mod side;
mod steps;

use std::path::PathBuf;
use std::thread;

use anyhow::Result;
use clap::{Parser, Subcommand};
use compare::Comparison;
use measure::Measurement;
use seg_benches::typed_program;
use seg_nets::device::DeviceChoice;
use seg_nets::network::NetworkName;
use seg_nets::precision::Precision;

/// Compares our training step with the same step in PyTorch.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    /// Rounds of each case, ours and PyTorch in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A Python that has `benches/pytorch/requirements.txt`; else the variable SEG_BENCH_PYTHON
    /// names it
    #[arg(long, value_parser = typed_program)]
    python: Option<PathBuf>,
    /// The network
    #[arg(long, default_value_t = NetworkName::AmsUnet)]
    network: NetworkName,
    /// The device of both sides: cpu, cuda or cuda:INDEX
    #[arg(long, default_value_t = DeviceChoice::Cpu)]
    device: DeviceChoice,
    /// Only cases whose name holds one of these texts, such as `480x480` or `train 8x`
    #[arg(long, value_name = "TEXTS", value_delimiter = ',')]
    case: Vec<String>,
    /// Only these precisions of ours, with all settings of PyTorch that compare with them [default:
    /// fp32, and bf16 on a GPU]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    precision: Vec<Precision>,
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
    let Cli { network, device, rounds, case, precision, .. } = cli;
    Comparison::new(network, python, device, rounds, threads, &case, &precision)?.run()
}
