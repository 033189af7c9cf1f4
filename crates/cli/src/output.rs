//! Writes to the terminal. Names that come from files may hold control characters, which a terminal
//! obeys; they are escaped here for every program.

use std::io::{self, ErrorKind, Write};

use anyhow::Context;
use seg_text::terminal;

use crate::verbosity::{Level, allows};

/// Writes a result to standard output, control characters except line ends and tabs escaped. A
/// reader that has seen enough is not an error.
///
/// # Errors
/// When standard output cannot be written, as on a full disk.
pub fn print(text: &str) -> anyhow::Result<()> {
    write_out(&terminal::lines(text))
}

/// Writes a result in JSON to standard output, control characters escaped in the way of JSON.
///
/// # Errors
/// As [`print()`].
pub fn print_json(json: &str) -> anyhow::Result<()> {
    write_out(&(terminal::json(json) + "\n"))
}

fn write_out(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// Writes a line about the progress of a long run to standard output, unless the program is quiet.
/// A run does not end because nobody can read it.
pub fn say(line: &str) {
    if allows(Level::Normal) {
        let _ = writeln!(io::stdout(), "{}", terminal::lines(line));
    }
}

/// Writes a line to standard error, unless the program is quiet.
pub fn note(line: &str) {
    if allows(Level::Normal) {
        warn(line);
    }
}

/// Writes a line to standard error if the program is verbose.
pub fn detail(line: &str) {
    if allows(Level::Verbose) {
        warn(line);
    }
}

/// Writes a warning or an error to standard error.
pub fn warn(line: &str) {
    // If standard error is closed, nobody is left to read it; the exit status still tells.
    let _ = writeln!(io::stderr(), "{}", terminal::lines(line));
}
