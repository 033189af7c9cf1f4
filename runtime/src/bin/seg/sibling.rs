//! Starts the program that has a command.

use seg_cli::Shown;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::verbs::{Program, Verb};

/// Runs a verb in its program; on Unix that program takes the place of this one.
///
/// # Errors
/// When the program is not beside this one or does not start.
pub(crate) fn start(verb: &Verb, arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let path = path(verb.program).with_context(|| format!("cannot start `seg {}`", verb.name))?;
    let mut command = Command::new(&path);
    if verb.program == Program::Runtime {
        command.arg(verb.name);
    }
    command.args(arguments);
    run(command, verb).with_context(|| format!("cannot start `{}` for `seg {}`", path.shown(), verb.name))
}

/// Finds a program beside this one.
pub(crate) fn path(program: Program) -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("cannot find the file of `seg`")?;
    let path = own.with_file_name(format!("{}{}", program.file(), env::consts::EXE_SUFFIX));
    ensure!(
        path.is_file(),
        "there is no program `{}`; copy it there from the folder of the build, where `cargo build --release --locked` writes it",
        path.shown()
    );
    Ok(path)
}

/// Replaces this process. The first argument is the name that the program shows for itself.
#[cfg(unix)]
fn run(mut command: Command, verb: &Verb) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt;

    let name = match verb.program {
        Program::Train | Program::Export => format!("seg {}", verb.name),
        Program::Runtime => "seg".into(),
    };
    Err(command.arg0(name).exec().into())
}

/// Waits for the program and ends as it does.
#[cfg(not(unix))]
fn run(mut command: Command, _: &Verb) -> anyhow::Result<ExitCode> {
    let code = command.status()?.code().unwrap_or(1);
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}
