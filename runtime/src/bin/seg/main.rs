//! `seg`: one name for the commands of `train`, `export` and `seg-runtime`, the programs beside it.
//!
//! `seg` computes nothing. It starts the program that has the command, and that program then calls
//! itself `seg` in its help and errors. So each program links only what it needs, and nobody has to
//! type `export`, a builtin of every shell.

mod args;
mod documents;
mod sibling;
mod verbs;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use args::{Own, command, parse};
use seg_cli::finish;
use sibling::start;
use verbs::Verb;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    // Arguments are passed on as they are: clap would take the first `--` for itself.
    let done = match arguments.next().as_deref().and_then(|name| Verb::named(name.to_str()?)) {
        Some(verb) => start(verb, arguments),
        None => match parse() {
            Own::Completions { shell } => documents::completions(shell),
            Own::Man { folder } => documents::man(&folder),
            Own::Help { words } => help(words),
        },
    };
    done.unwrap_or_else(|error| finish(Err(error)))
}

/// Shows the help of `seg`, or of the command that `words` name.
fn help(words: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let asks = words.clone().into_iter().chain(["--help".into()]);
    match words.first().and_then(|name| Verb::named(name.to_str()?)) {
        Some(verb) => start(verb, asks.skip(1)),
        None => {
            // This prints help, or the error that there is no such command, and ends the program.
            command().get_matches_from([OsString::from("seg")].into_iter().chain(asks));
            Ok(ExitCode::SUCCESS)
        }
    }
}
