//! Runs exported segmentation models from the command line.

mod args;
mod bench;
mod child;
mod compare;
mod doctor;
mod engine;
mod eval;
mod infer;
mod inspect;
mod keygen;
mod merge;
mod progress;
mod setup;
mod verify;
mod warm;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use args::{Arguments, Command};
use clap::Parser;

/// The exit status where the command line is wrong, as `clap` has it.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    if let Err(conflict) = command.check() {
        note(&format!("error: {conflict}"));
        return ExitCode::from(WRONG_USAGE);
    }
    let done = match &command {
        Command::Infer(args) => infer::infer(args),
        Command::Merge(args) => merge::merge(args),
        Command::Eval(args) => eval::eval(args),
        Command::Inspect(args) => inspect::inspect(args),
        Command::Compare(args) => compare::compare(args),
        Command::Bench(args) => bench::bench(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Setup(args) => setup::setup(args),
        Command::Warm(args) => warm::warm(args),
        Command::Probe(args) => doctor::probe(args),
        Command::Measure(args) => bench::measure(args),
        Command::Verify(args) => verify::verify(args),
        Command::Keygen(args) => keygen::keygen(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {}", chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes on one line, without those that the line already ends with.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = one_line(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = one_line(&error.to_string());
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

/// A text of several lines on one.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Writes a result to standard output; a reader that has seen enough is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// Writes a line to standard error.
fn note(line: &str) {
    // Where standard error is closed, there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_printed_twice() {
        let error = io::Error::other("disk full\n");
        let error = anyhow::Error::new(error).context("cannot write `a`: disk full").context("cannot save");
        assert_eq!(chain(error.as_ref()), "cannot save: cannot write `a`: disk full");
        let error = io::Error::other("expected 1\n\n  found 2\n");
        let error = anyhow::Error::new(error).context("cannot read `a  b`:\nexpected 1\nfound 2");
        assert_eq!(chain(error.as_ref()), "cannot read `a  b`: expected 1 found 2");
    }
}
