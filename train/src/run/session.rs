//! One stretch of a run, from its beginning or from where it went on: where, with what and on which
//! data.

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::SystemTime;
use std::{fs, io};

use seg_data::{ReadError, WriteError, write_bytes};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Run, SESSIONS};

/// The versions of everything that this was built with.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// One stretch of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// The epochs that were done before.
    pub epochs_before: usize,
    /// The device that trained.
    pub device: String,
    /// The processors that the process might use.
    pub processors: usize,
    /// Operating system and architecture.
    pub system: String,
    /// The version of this crate.
    pub version: String,
    /// The version of Burn.
    pub burn: String,
    /// The data set's fingerprint: [`Dataset::fingerprint`](seg_data::Dataset::fingerprint).
    pub data_sha256: String,
}

/// An error in recording a session.
#[derive(Debug, Error)]
pub enum SessionError {
    /// A file of the data set cannot be read.
    #[error(transparent)]
    Data(#[from] ReadError),
    /// The file of sessions cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file of sessions cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Session {
    /// Creates the session that begins now; reads the data set's files for their fingerprint.
    ///
    /// # Errors
    /// When a file of the data set cannot be read.
    pub fn now(run: &Run, device: &str, epochs_before: usize) -> Result<Self, SessionError> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Self {
            began: since.unwrap_or_default().as_secs(),
            epochs_before,
            device: device.into(),
            processors: available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            version: env!("CARGO_PKG_VERSION").into(),
            burn: locked("burn").unwrap_or("unknown").into(),
            data_sha256: run.dataset.fingerprint()?,
        })
    }

    /// Adds the session to those of a run's folder.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn append(&self, folder: &Path) -> Result<(), SessionError> {
        let path = folder.join(SESSIONS);
        let before = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|source| SessionError::Read { path: path.clone(), source })?,
        };
        let line = serde_json::to_string(self).expect("a session has only string keys");
        Ok(write_bytes(&path, format!("{before}{line}\n").as_bytes())?)
    }

    /// When it began, as `2026-11-23 05:30 UTC`.
    pub fn date(&self) -> String {
        let (days, seconds) = (self.began / 86_400, self.began % 86_400);
        // Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so
        // that the leap day is last.
        let shifted = days + 719_468;
        let (era, day) = (shifted / 146_097, shifted % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = 400 * era + year + u64::from(month <= 2);
        format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60)
    }
}

/// Returns the version of a package that this was built with.
fn locked(package: &str) -> Option<&'static str> {
    let name = format!("name = \"{package}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != name);
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(began: u64) -> Session {
        Session {
            began,
            epochs_before: 2,
            device: "cpu".into(),
            processors: 2,
            system: "linux x86_64".into(),
            version: "1".into(),
            burn: "2".into(),
            data_sha256: "3".into(),
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (began, date) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(session(began).date(), date, "{began}");
        }
    }

    #[test]
    fn sessions_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        for began in [1, 2] {
            session(began).append(folder.path()).unwrap();
        }
        let lines: Vec<Session> = super::super::read_json_lines(&folder.path().join(SESSIONS)).unwrap();
        assert_eq!(lines, [session(1), session(2)]);
    }

    #[test]
    fn the_version_of_burn_is_known() {
        assert!(locked("burn").is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit())));
        assert_eq!(locked("no-such-package"), None);
    }
}
