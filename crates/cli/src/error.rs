//! Errors as a person reads them, and the exit status that goes with them.

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

use crate::warn;

/// The exit status of a wrong command line, as in clap.
const WRONG_USAGE: u8 = 2;

/// Ends a program: prints the error, if there is one, and returns the exit status.
pub fn finish(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            warn(&format!("error: {}", chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// Prints why a command line is wrong and returns the exit status.
pub fn wrong_usage(reason: impl Display) -> ExitCode {
    warn(&format!("error: {reason}"));
    ExitCode::from(WRONG_USAGE)
}

/// Writes an error and its causes on one line, without causes that the line already ends with.
pub fn chain(error: &dyn Error) -> String {
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

/// Joins the lines of a text.
pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io;

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
