//! This program in a process of its own: what crashes or hangs there is a finding here.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, bail};
use seg_cli::{note, one_line};
use serde::de::DeserializeOwned;

/// The time between two looks at the process.
const PERIOD: Duration = Duration::from_millis(10);

/// The beginning of a line with the error of the program.
const ERROR: &str = "error: ";

/// Runs this program with other arguments and reads the line of JSON that it prints. What it notes
/// on the way, as that it still builds an engine, is noted here.
///
/// # Errors
/// With the program's own error; or when it crashes, or takes longer than `limit` and is killed.
pub(crate) fn ask<T: DeserializeOwned>(args: &[OsString], limit: Option<Duration>) -> anyhow::Result<T> {
    let stdout = run(args, limit)?;
    serde_json::from_str(&stdout).with_context(|| format!("cannot read the answer `{}`", stdout.trim()))
}

/// Runs this program with other arguments and returns what it prints, as [`ask`] does.
///
/// # Errors
/// As [`ask`].
pub(crate) fn run(args: &[OsString], limit: Option<Duration>) -> anyhow::Result<String> {
    let program = env::current_exe().context("cannot find this program")?;
    let mut process = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start this program once more")?;
    let (stdout, stderr) = (reader(process.stdout.take(), |_| ()), reader(process.stderr.take(), pass_on));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().context("cannot wait for a process")? {
            break status;
        }
        if let Some(limit) = limit.filter(|limit| begun.elapsed() > *limit) {
            process.kill().context("cannot end a process that hangs")?;
            process.wait().context("cannot wait for a process")?;
            bail!("it hangs: no answer after {} s", limit.as_secs());
        }
        thread::sleep(PERIOD);
    };
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    if status.success() {
        return Ok(stdout);
    }
    bail!("{}", reason(status, &stderr))
}

/// Returns the reason that a process failed: its error, which may have several lines, or
/// its crash.
fn reason(status: ExitStatus, said: &str) -> String {
    let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let error = lines.iter().rposition(|line| line.starts_with(ERROR));
    // A signal has no exit status, whatever was said before.
    match error.filter(|_| status.code().is_some()) {
        Some(first) => one_line(&lines[first..].join("\n")[ERROR.len()..]),
        None => format!("it crashes with {status}: {}", lines.last().unwrap_or(&"it says nothing")),
    }
}

/// Prints a line of the process, except its error, which the caller reports.
fn pass_on(line: &str) {
    if !line.starts_with(ERROR) && !line.is_empty() {
        note(line);
    }
}

/// Reads the output of a process while it runs, because a full pipe would stop it, and passes on
/// each line.
fn reader(stream: Option<impl Read + Send + 'static>, tell: fn(&str)) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut all = String::new();
        let Some(mut stream) = stream.map(BufReader::new) else { return all };
        let mut line = Vec::new();
        // Lines that were read before a failure are still useful.
        while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            tell(text.trim_end());
            all.push_str(&text);
            line.clear();
        }
        all
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn an_error_of_several_lines_is_no_crash() {
        for (name, status, said, expected) in [
            ("an error", 1 << 8, "a note\nerror: no such file\n", "no such file"),
            ("several lines", 1 << 8, "error: cannot run:\n  shape 1\n\nshape 2\n", "cannot run: shape 1 shape 2"),
            ("wrong usage", 2 << 8, "error: no `--x`\n\nUsage: y\n", "no `--x` Usage: y"),
            ("the last one", 1 << 8, "error: of a library\nerror: ours\n", "ours"),
            ("a crash", 11, "a note\n", "it crashes with signal: 11 (SIGSEGV): a note"),
            ("a crash in silence", 11, "\n", "it crashes with signal: 11 (SIGSEGV): it says nothing"),
            ("a crash after an error", 11, "error: x\n", "it crashes with signal: 11 (SIGSEGV): error: x"),
            ("an exit in silence", 3 << 8, "", "it crashes with exit status: 3: it says nothing"),
        ] {
            let found = reason(ExitStatus::from_raw(status), said);
            assert!(found == expected || found == expected.replace(" (SIGSEGV)", ""), "{name}: {found}");
        }
    }
}
