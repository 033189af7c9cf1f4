//! The program `seg`: it hands each command to the program beside it that has it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const SEG: &str = env!("CARGO_BIN_EXE_seg");
const RUNTIME: &str = env!("CARGO_BIN_EXE_seg-runtime");

fn run(program: impl AsRef<Path>, arguments: &str) -> Output {
    Command::new(program.as_ref()).args(arguments.split_whitespace()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Lists the lines of a help that have a command, as `name` and `about`.
fn commands(help: &str) -> Vec<(String, String)> {
    let lines = help.lines().filter(|line| line.starts_with("  ") && !line.trim_start().starts_with('-'));
    let pairs = lines.filter_map(|line| line.trim_start().split_once("  "));
    pairs.map(|(name, about)| (name.to_owned(), about.trim_start().to_owned())).collect()
}

#[test]
fn the_help_lists_each_command_of_seg_runtime_with_its_own_line() {
    let all = commands(&text(&run(SEG, "--help").stdout));
    let runtime = commands(&text(&run(RUNTIME, "--help").stdout));
    let missing: Vec<_> = runtime.iter().filter(|row| row.0 != "help" && !all.contains(row)).collect();
    assert!(runtime.len() > 10 && missing.is_empty(), "missing: {missing:#?}\nof: {all:#?}");
    assert!(all.iter().any(|(name, _)| name == "train") && all.iter().any(|(name, _)| name == "export"));
}

#[test]
fn a_command_of_seg_runtime_ends_as_it_does_and_calls_itself_seg() {
    for (arguments, code, part) in [
        ("infer --help", 0, "Usage: seg infer [OPTIONS]"),
        ("help infer", 0, "Usage: seg infer [OPTIONS]"),
        ("infer", 2, "Usage: seg infer"),
        ("inspect -- -absent.onnx", 1, "cannot read the model `-absent.onnx`"),
        ("infr", 2, "a similar subcommand exists: 'infer'"),
        ("help infr", 2, "a similar subcommand exists: 'infer'"),
        ("help", 0, "Train and export:"),
        ("", 2, "Usage: seg <COMMAND>"),
        ("--version", 0, "seg "),
    ] {
        let output = run(SEG, arguments);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments}: {said}");
        assert!(said.contains(part), "{arguments}: {said}");
    }
}

#[test]
fn a_program_that_is_not_beside_it_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let seg = folder.path().join("seg");
    fs::copy(SEG, &seg).unwrap();
    for (arguments, program) in [("train --data d", "train"), ("export", "export"), ("infer x", "seg-runtime")] {
        let output = run(&seg, arguments);
        let (said, path) = (text(&output.stderr), folder.path().canonicalize().unwrap().join(program));
        assert_eq!(output.status.code(), Some(1), "{arguments}: {said}");
        let expected = format!("there is no program `{}`; copy it there", path.display());
        assert!(said.starts_with("error: cannot start `seg ") && said.contains(&expected), "{arguments}: {said}");
    }
}

#[test]
fn the_program_of_a_verb_shows_the_verb_as_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let seg = folder.path().join("seg");
    fs::copy(SEG, &seg).unwrap();
    // Any program made with clap stands in for the one that trains.
    fs::copy(RUNTIME, folder.path().join("train")).unwrap();
    for (arguments, usage) in [
        ("train infer --help", "Usage: seg train infer [OPTIONS]"),
        ("help train infer", "Usage: seg train infer [OPTIONS]"),
        ("train", "Usage: seg train [OPTIONS] <COMMAND>"),
    ] {
        let output = run(&seg, arguments);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(said.contains(usage), "{arguments}: {said}");
    }
}

/// Creates a folder with `seg` and the three programs, of which two are replaced by stand-ins.
fn installed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(SEG, folder.path().join("seg")).unwrap();
    for name in ["seg-runtime", "train", "export"] {
        fs::copy(RUNTIME, folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn completions_know_the_flags_of_the_other_programs() {
    let folder = installed();
    for (shell, part) in [
        ("bash", "--num-parts"),
        ("zsh", "--num-parts=["),
        ("fish", "-l num-parts -d 'Divide the images"),
        ("elvish", "cand --num-parts"),
        ("powershell", "'--num-parts'"),
    ] {
        let output = run(folder.path().join("seg"), &format!("completions {shell}"));
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains(part), "{shell}: {said}{}", text(&output.stderr));
        assert!(!said.contains("Measure one case"), "{shell}: a hidden command");
    }
}

#[test]
fn each_command_has_a_man_page() {
    let folder = installed();
    let pages = folder.path().join("man1");
    let output = run(folder.path().join("seg"), &format!("man {}", pages.display()));
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (page, part) in [
        ("seg.1", "seg\\-infer(1)"),
        ("seg-infer.1", "\\-\\-num\\-parts"),
        ("seg-export.1", ".TH"),
        ("seg-train.1", ".TH"),
        ("seg-train-infer.1", "\\-\\-num\\-parts"),
        ("seg-completions.1", "powershell"),
    ] {
        let said = fs::read_to_string(pages.join(page)).unwrap();
        assert!(said.contains(part), "{page}: {said}");
    }
}
