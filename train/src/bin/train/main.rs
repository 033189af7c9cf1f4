//! `train`: trains a network on a folder of images and masks, and scores what it trained.

mod args;
mod check;
mod dashboard;
mod evaluate;
mod fit;
mod plain;
mod plan;
mod recorder;
mod report;
mod summarize;
mod view;

use std::io::{self, Write};
use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        None => fit::run(&cli.fit),
        Some(Command::Evaluate(args)) => evaluate::run(args),
        Some(Command::Check(args)) => check::run(args),
        Some(Command::Summarize(args)) => summarize::run(args),
        Some(Command::Report(args)) => report::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed, there is nobody left to tell; the exit status still
            // does.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard output. A reader that has gone must not end hours of training.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
