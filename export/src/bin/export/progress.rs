//! The progress of a proof or a quantisation on standard error: one line that changes on a
//! terminal, else a few that stay.

use std::io::{IsTerminal, Write, stderr};

use seg_cli::is_quiet;
use seg_text::terminal;
use seg_verify::ProofInput;

/// Goes to the beginning of a terminal's line and clears it.
const CLEAR: &str = "\r\x1b[2K";

/// The progress over all cases of a proof; leaves no line behind, however the proof ends.
pub(crate) struct Progress {
    names: Vec<String>,
}

impl Progress {
    pub(crate) fn new(cases: &[ProofInput]) -> Self {
        Self { names: cases.iter().map(|case| case.name.clone()).collect() }
    }

    /// Tells of a case before its exact answer is computed.
    pub(crate) fn tell(&self, case: &ProofInput) {
        let number = self.names.iter().position(|name| *name == case.name).map_or(0, |index| index + 1);
        tell(&format!("proving     {number}/{} {}", self.names.len(), case.name), case.is_image());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        clear();
    }
}

/// Shows a line in place of the last one on a terminal; elsewhere only one that stands for several.
pub(crate) fn tell(line: &str, is_milestone: bool) {
    if is_quiet() {
        return;
    }
    let line = terminal::lines(line);
    if stderr().is_terminal() {
        write(&format!("{CLEAR}{line}"));
    } else if is_milestone {
        write(&format!("{line}\n"));
    }
}

/// Makes room for another line.
pub(crate) fn clear() {
    if stderr().is_terminal() && !is_quiet() {
        write(CLEAR);
    }
}

fn write(text: &str) {
    // If standard error is closed, nobody reads it.
    let mut stderr = stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
