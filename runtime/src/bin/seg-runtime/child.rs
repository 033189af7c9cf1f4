//! This program in a process of its own: what crashes or hangs there is a finding here.

use std::{
    env,
    ffi::OsString,
    io::Read,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

/// How long to wait between two looks at the process.
const PERIOD: Duration = Duration::from_millis(10);

/// Runs this program with other arguments and reads the line of JSON that it prints.
///
/// # Errors
/// With the program's own error; or when it crashes, or takes longer than `limit` and is killed.
pub(crate) fn ask<T: DeserializeOwned>(args: &[OsString], limit: Option<Duration>) -> anyhow::Result<T> {
    let program = env::current_exe().context("cannot find this program")?;
    let mut process = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start this program once more")?;
    let (stdout, stderr) = (reader(process.stdout.take()), reader(process.stderr.take()));
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
        return serde_json::from_str(&stdout).with_context(|| format!("cannot read the answer `{}`", stdout.trim()));
    }
    let said = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
    match said.strip_prefix("error: ") {
        Some(error) => bail!("{error}"),
        None => bail!("it crashes with {}: {said}", describe(status)),
    }
}

/// Reads all that a process writes, while it runs: a full pipe would stop it.
fn reader(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before a failure is still of use.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// As `signal: 11 (SIGSEGV)` or `exit status: 3`.
fn describe(status: ExitStatus) -> String {
    status.to_string()
}
