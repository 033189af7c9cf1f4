//! The commands that `seg` does not hand to another program, and its help, which lists all.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::PathBuf;

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use super::verbs::{Group, VERBS, Verb};

/// The layout of `seg --help`: clap lists commands, but not in groups.
const TEMPLATE: &str = "{about-with-newline}\n{usage-heading} {usage}{after-help}\n\nOptions:\n{options}";

/// Train segmentation networks, export them as ONNX, prove the export, and run it.
///
/// Exit status: 0 when all was done, 1 when something failed, 2 when the command line is wrong.
#[derive(Debug, Parser)]
#[command(name = "seg", version, disable_help_subcommand = true, help_template = TEMPLATE)]
struct Arguments {
    #[command(subcommand)]
    own: Own,
}

/// A command of `seg` itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Own {
    /// Print completions for a shell
    ///
    /// For bash: `seg completions bash > ~/.local/share/bash-completion/completions/seg`.
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write a man page for each command
    Man {
        /// The folder for the pages, as ~/.local/share/man/man1
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Print the help of a command
    Help {
        /// The command, as in `train evaluate`
        #[arg(value_name = "COMMAND")]
        words: Vec<OsString>,
    },
}

/// Reads the command line where it names no verb of another program; ends the program where it is
/// wrong.
pub(crate) fn parse() -> Own {
    let matches = command().get_matches();
    Arguments::from_arg_matches(&matches).map(|arguments| arguments.own).unwrap_or_else(|error| error.exit())
}

/// Defines the commands of `seg` itself.
pub(crate) fn own() -> Command {
    Arguments::command()
}

/// Defines the command line of `seg`. Verbs of other programs have a name and no flags.
pub(crate) fn command() -> Command {
    let own = own();
    let groups = groups(&own);
    let others = VERBS.iter().map(|verb| Command::new(verb.name).about(verb.about).disable_help_flag(true));
    own.after_help(groups).subcommands(others)
}

/// Lists all commands in groups.
fn groups(own: &Command) -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let _ = write!(text, "\n\n{}:", group.title());
        for Verb { name, about, .. } in VERBS.iter().filter(|verb| verb.group == group) {
            let _ = write!(text, "\n  {name:<13}{about}");
        }
    }
    let _ = write!(text, "\n\nThe command line:");
    for command in own.get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = write!(text, "\n  {:<13}{about}", command.get_name());
    }
    // clap leaves a line before the text.
    text.trim_start().to_owned()
}
