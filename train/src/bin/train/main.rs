//! `train`: trains a network on a folder of images and masks, and scores what it trained.

mod args;
mod check;
mod compare_networks;
mod cross_validate;
mod dashboard;
mod evaluate;
mod fit;
mod networks;
mod plain;
mod plan;
mod programs;
mod recorder;
mod report;
mod stop;
mod summarize;
mod view;

use std::process::ExitCode;

use args::{Cli, Command};
use seg_cli::{finish, parse};

fn main() -> ExitCode {
    let cli: Cli = parse();
    cli.verbosity.apply();
    let done = match &cli.command {
        None => fit::run(&cli.fit),
        Some(Command::Evaluate(args)) => evaluate::run(args),
        Some(Command::Check(args)) => check::run(args),
        Some(Command::CompareNetworks(args)) => compare_networks::run(args),
        Some(Command::Summarize(args)) => summarize::run(args),
        Some(Command::Report(args)) => report::run(args),
        Some(Command::Networks) => networks::run(),
    };
    finish(done)
}
