//! Completions and man pages, made from the definitions of all programs.

use std::fs;
use std::path::Path;
use std::process::{self, ExitCode};

use anyhow::{Context, ensure};
use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use seg_cli::{DESCRIBE, Description, Shown, print};
use seg_data::write_bytes;

use crate::args;
use crate::sibling::path;
use crate::verbs::Program;

/// Prints completions for a shell.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    generate(shell, &mut whole()?, "seg", &mut text);
    print(&String::from_utf8(text).context("the completions are not text")?)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a man page for each command into a folder.
pub(crate) fn man(folder: &Path) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder `{}`", folder.shown()))?;
    let mut command = whole()?;
    command.build();
    write_pages(command, folder)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those of its subcommands.
fn write_pages(command: Command, folder: &Path) -> anyhow::Result<()> {
    let others: Vec<_> = command.get_subcommands().filter(|command| command.get_name() != "help").cloned().collect();
    let page = Man::new(command);
    let mut text = Vec::new();
    page.render(&mut text).context("cannot render a man page")?;
    write_bytes(&folder.join(page.get_filename()), &text)?;
    others.into_iter().try_for_each(|command| write_pages(command, folder))
}

/// Defines `seg` with the flags of all commands, as the programs beside it describe them.
fn whole() -> anyhow::Result<Command> {
    let (train, export) = (describe(Program::Train)?.named("train"), describe(Program::Export)?.named("export"));
    let runtime = describe(Program::Runtime)?.into_commands();
    let commands = [train, export].into_iter().chain(runtime).map(Description::into_command);
    Ok(args::own().subcommands(commands))
}

/// Asks a program for its command line.
fn describe(program: Program) -> anyhow::Result<Description> {
    let path = path(program)?;
    let output = process::Command::new(&path)
        .arg(DESCRIBE)
        .output()
        .with_context(|| format!("cannot start `{}`", path.shown()))?;
    let (shown, said) = (path.shown(), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "`{shown}` does not describe its flags; take all programs from one build: {said}");
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("cannot read how `{shown}` describes its flags; take all programs from one build"))
}
