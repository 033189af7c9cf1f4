//! Every command that a document names is one that the programs take.

#![allow(
    dead_code,
    unused_imports,
    reason = "the definitions are the programs' own files, of which only a part is used"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Command, CommandFactory, Parser};

#[path = "../../../export/src/bin/export/args.rs"]
mod export_args;
#[path = "../../../runtime/src/bin/seg-runtime/args/mod.rs"]
mod runtime_args;
#[path = "../../../train/src/bin/train/args.rs"]
mod train_args;

/// The commands that `seg` hands to no other program; its own tests run them.
const OWN: [&str; 3] = ["completions", "man", "help"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()
}

/// The files that people read, and those that run commands as people type them.
fn documents() -> Vec<PathBuf> {
    let root = root();
    let folders = ["", "docs", "findings", "sample/nuclei"].map(|folder| root.join(folder));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|name| name == "md")).collect();
    files.push(root.join("quickstart"));
    files
}

/// Returns no error where help or version was asked for.
fn whole(error: clap::Error) -> Result<(), String> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(()),
        _ => Err(error.to_string()),
    }
}

/// Parses a command line by the definitions of the program that has the command, checks included.
fn parse(words: &[String]) -> Result<(), String> {
    let verb = words.get(1).map_or("", String::as_str);
    match verb {
        "train" => train_args::Cli::try_parse_from(&words[1..]).map(drop).or_else(whole),
        "export" => match export_args::Args::try_parse_from(&words[1..]) {
            Ok(args) => args.check().map_err(|conflict| conflict.to_string()),
            Err(error) => whole(error),
        },
        verb if OWN.contains(&verb) => Ok(()),
        _ => match runtime_args::Arguments::try_parse_from(words) {
            Ok(arguments) => arguments.command.check().map_err(|conflict| conflict.to_string()),
            Err(error) => whole(error),
        },
    }
}

/// Splits a line at spaces outside of quotes. A variable stands for one word, and `$@` for none.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty() && word != "$@");
    words
}

/// The lines of a document's code that run `seg`, without what the shell does with them.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ").replace("\"$seg\"", "seg");
    let lines = joined.lines().map(|line| line.trim().trim_start_matches("$ "));
    let lines = lines.filter(|line| line.starts_with("seg ")).filter(|line| !line.ends_with(['.', ',']));
    lines.map(|line| words(line.split(" > ").next().unwrap())).collect()
}

/// The texts between backquotes outside of blocks of code that begin with `seg`.
fn mentions(text: &str) -> Vec<Vec<String>> {
    let prose: Vec<_> = text.split("```").step_by(2).collect();
    let prose = prose.join(" ").replace('\n', " ");
    prose.split('`').skip(1).step_by(2).filter(|code| code.starts_with("seg ")).map(words).collect()
}

/// All commands, as they are typed.
fn definitions() -> Command {
    let train = train_args::Cli::command().name("train");
    let export = export_args::Args::command().name("export");
    // clap adds `help` itself.
    let own = OWN.into_iter().filter(|name| *name != "help").map(Command::new);
    let mut seg = runtime_args::Arguments::command().name("seg").subcommands([train, export]).subcommands(own);
    seg.build();
    seg
}

/// Returns the first word of a mention that no program has: a command, or a flag of its command.
fn unknown(mention: &[String], seg: &Command) -> Option<String> {
    let mut command = seg;
    for (index, word) in mention.iter().enumerate().skip(1) {
        if let Some(flag) = word.strip_prefix("--") {
            let name = flag.split('=').next().unwrap();
            if !command.get_arguments().any(|argument| argument.get_long() == Some(name)) {
                return Some(word.clone());
            }
        } else if let Some(next) = command.find_subcommand(word) {
            command = next;
        } else if index == 1 {
            return Some(word.clone());
        }
    }
    None
}

#[test]
fn every_command_in_a_document_is_taken_by_the_program_that_has_it() {
    let mut count = 0;
    let mut verbs = BTreeSet::new();
    let mut refused = Vec::new();
    for path in documents() {
        for words in commands(&fs::read_to_string(&path).unwrap()) {
            count += 1;
            verbs.insert(words[1].clone());
            if let Err(reason) = parse(&words) {
                refused.push(format!("{}: {}: {reason}", path.display(), words.join(" ")));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(count > 60, "only {count} commands are found");
    let seg = definitions();
    let shown =
        |verb: &&Command| verb.is_hide_set() || OWN.contains(&verb.get_name()) || verbs.contains(verb.get_name());
    let missing: Vec<_> = seg.get_subcommands().filter(|verb| !shown(verb)).map(Command::get_name).collect();
    assert!(missing.is_empty(), "no document shows {missing:?}");
}

#[test]
fn every_command_and_flag_that_prose_mentions_exists() {
    let seg = definitions();
    let mut count = 0;
    for path in documents() {
        for mention in mentions(&fs::read_to_string(&path).unwrap()) {
            count += 1;
            let found = unknown(&mention, &seg);
            assert_eq!(found, None, "{}: `{}`", path.display(), mention.join(" "));
        }
    }
    assert!(count > 20, "only {count} mentions are found");
}

/// The tests that the last column of a document's tables names.
fn named_tests(text: &str) -> Vec<&str> {
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .filter_map(|line| line.trim_end_matches(" |").rsplit_once(" | "));
    rows.flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn each_promise_of_the_threat_model_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let (_, table) = text.split_once("| shown by |\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let tests = named_tests(table);
    assert!(tests.len() > 30, "only {} tests are named", tests.len());
    assert!(table.lines().skip(1).all(|row| !named_tests(row).is_empty()), "a promise without a test");
    let folders = ["crates", "onnx", "train", "export", "runtime", "tests"].map(|folder| root().join(folder));
    let sources: String = folders.iter().flat_map(|folder| sources(folder)).collect();
    for test in tests {
        assert!(sources.contains(&format!("fn {test}() {{")), "there is no test `{test}`");
    }
}

/// The texts of all Rust files below a folder.
fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|name| name == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
    found
}

#[test]
fn a_command_that_is_not_taken_is_seen() {
    for line in [
        "seg train --data DIR --epoch 3",
        "seg export --checkpoint RUN --activations u8",
        "seg infer --model model.onnx IMAGES",
        "seg eval --model model.onnx --data DIR --bootstrap 0 --seed 1",
        "seg segment IMAGES",
    ] {
        assert!(parse(&words(line)).is_err(), "{line}");
    }
    let text = "Use `seg infr` or\n```sh\nseg infer \\\n  --model 'a b' > out\n```\nor `seg eval --tta=flips --x`.";
    assert_eq!(commands(text), [["seg", "infer", "--model", "a b"].map(String::from)]);
    let seg = definitions();
    let found: Vec<_> = mentions(text).iter().map(|mention| unknown(mention, &seg)).collect();
    assert_eq!(found, [Some("infr".to_owned()), Some("--x".to_owned())]);
}
