//! Atomic files: a file is complete or does not exist.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use thiserror::Error;

/// The beginning of the name of a file that is not complete yet.
const UNFINISHED: &str = ".unfinished-";

/// An error in writing a file; an older file of that name is still there.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The name belongs to something that is not a file.
    #[error("cannot write `{path}`: a folder or a device has this name; choose another one")]
    NotAFile {
        /// The file to be written.
        path: PathBuf,
    },
    /// The temporary file could not be created.
    #[error(
        "cannot write `{path}`: no file can be created in its folder; check that the folder exists and is writable"
    )]
    Create {
        /// The file to be written.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The content could not be written.
    #[error("cannot write `{path}`: writing its content failed")]
    Content {
        /// The file to be written.
        path: PathBuf,
        /// The error of the operating system or of the writer of the content.
        source: io::Error,
    },
    /// The complete file could not be renamed.
    #[error("cannot write `{path}`: it was written under a temporary name, but could not be renamed")]
    Rename {
        /// The file to be written.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Writes a file under a temporary name in the same folder, has the system store it, then renames
/// it.
///
/// An older file of that name is replaced, a link by a file of its own. The file is as readable for
/// others as the process's `umask` allows.
///
/// # Errors
/// When the folder takes no file, `write` or the disk fails, or the name is not that of a file.
/// Nothing is left behind, and an older file of that name is untouched.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
    rename(prepare(path, write)?, path)
}

/// Writes a file of the given content, as [`write_atomic`] does.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_atomic(path, |file| file.write_all(bytes))
}

/// Files that belong together, such as a model and what describes it.
///
/// All of them are complete and stored under temporary names before the first one gets its name.
/// A set that is dropped leaves nothing.
#[derive(Debug, Default)]
pub struct FileSet {
    files: Vec<(PathBuf, NamedTempFile)>,
}

impl FileSet {
    /// Writes a file of the given content under a temporary name in its folder.
    ///
    /// # Errors
    /// As [`write_atomic`].
    pub fn add(&mut self, path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
        let file = prepare(path, |file| file.write_all(bytes))?;
        self.files.push((path.into(), file));
        Ok(())
    }

    /// Renames the files in the order in which they were added, up to the first that cannot be
    /// renamed.
    ///
    /// # Errors
    /// When a file cannot be renamed. It and all after it are then as they were before.
    pub fn commit(self) -> Result<(), WriteError> {
        self.files.into_iter().try_for_each(|(path, file)| rename(file, &path))
    }
}

/// Checks that a file can be written, and leaves none. Long computations call it before they begin.
///
/// # Errors
/// When the name is not that of a file, or the folder is not writable.
pub fn check_writable(path: &Path) -> Result<(), WriteError> {
    begin(path).map(drop)
}

/// Returns true if a name in a folder is that of an incomplete file.
pub fn is_unfinished(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(UNFINISHED)
}

/// Removes the files that a killed process left incomplete in a folder; no other process may be
/// writing there.
///
/// # Errors
/// When the folder cannot be read or a file cannot be removed.
pub fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_unfinished(&entry.file_name()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a file under a temporary name.
fn prepare(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<NamedTempFile, WriteError> {
    let mut file = begin(path)?;
    fill(&mut file, write).map_err(|source| WriteError::Content { path: path.into(), source })?;
    Ok(file)
}

/// Gives a complete file its name.
fn rename(file: NamedTempFile, path: &Path) -> Result<(), WriteError> {
    file.persist(path).map_err(|failed| WriteError::Rename { path: path.into(), source: failed.error })?;
    Ok(())
}

/// Creates a temporary file that will get a name.
fn begin(path: &Path) -> Result<NamedTempFile, WriteError> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(WriteError::NotAFile { path: path.into() });
    }
    create_beside(path).map_err(|source| WriteError::Create { path: path.into(), source })
}

/// Creates a temporary file in the folder of `path`, where a rename cannot cross a file system.
fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private by default; the system removes the permissions that the
        // `umask` forbids.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Writes the content and waits until it is on the disk.
fn fill(file: &mut NamedTempFile, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = BufWriter::new(file.as_file());
    write(&mut buffer)?;
    buffer.flush()?;
    drop(buffer);
    file.as_file().sync_all()
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_written_whole_and_replaces_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        for content in ["a longer first content", "second"] {
            write_bytes(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(names(folder.path()), ["a.txt"]);
        }
    }

    #[test]
    fn a_failure_leaves_the_older_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_bytes(&path, b"old").unwrap();
        let full = |file: &mut dyn Write| {
            file.write_all(&[0; 100_000])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        let error = write_atomic(&path, full).unwrap_err();
        assert!(error.to_string().contains("a.txt") && error.source().is_some(), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn no_file_of_a_set_gets_its_name_before_all_are_written_and_none_after_one_that_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let [card, config, model] = ["card", "config", "model"].map(|name| folder.path().join(name));
        write_bytes(&model, b"old").unwrap();
        let set = || {
            let mut set = FileSet::default();
            for path in [&card, &config, &model] {
                set.add(path, b"new").unwrap();
            }
            set
        };
        drop(set());
        assert_eq!((names(folder.path()), fs::read(&model).unwrap()), (vec!["model".to_owned()], b"old".to_vec()));

        // A folder takes the name of a file that is written already.
        let blocked = set();
        fs::create_dir_all(config.join("in the way")).unwrap();
        assert!(matches!(blocked.commit(), Err(WriteError::Rename { path, .. }) if path == config));
        assert_eq!(names(folder.path()), ["card", "config", "model"]);
        assert_eq!(fs::read(&model).unwrap(), b"old", "the model has the name, its configuration has not");

        let mut full = FileSet::default();
        full.add(&card, b"newer").unwrap();
        assert!(matches!(full.add(&config, b"newer"), Err(WriteError::NotAFile { .. })));
        drop(full);
        assert_eq!(fs::read(&card).unwrap(), b"new");

        fs::remove_dir_all(&config).unwrap();
        set().commit().unwrap();
        for path in [&card, &config, &model] {
            assert_eq!(fs::read(path).unwrap(), b"new");
        }
        assert_eq!(names(folder.path()).len(), 3, "nothing else is left");
    }

    #[test]
    fn what_a_killed_process_leaves_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_bytes(&path, b"whole").unwrap();
        // A killed process does not remove the file that it was writing.
        create_beside(&path).unwrap().keep().unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        remove_unfinished(folder.path()).unwrap();
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn names_that_take_no_file_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        for (name, path, part) in [
            ("a folder", "", "a folder or a device"),
            ("no such folder", "nowhere/a.txt", "check that the folder exists"),
            ("a file as folder", "file/a.txt", "check that the folder exists"),
        ] {
            let path = folder.path().join(path);
            for result in [write_bytes(&path, b""), check_writable(&path)] {
                let message = result.unwrap_err().to_string();
                assert!(message.contains(part), "{name}: {message}");
            }
        }
        check_writable(&folder.path().join("a.txt")).unwrap();
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [ours, plain] = ["ours", "plain"].map(|name| folder.path().join(name));
        write_bytes(&ours, b"").unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(ours), mode(plain));
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_not_replaced() {
        assert!(matches!(write_bytes(Path::new("/dev/null"), b"x"), Err(WriteError::NotAFile { .. })));
    }
}
