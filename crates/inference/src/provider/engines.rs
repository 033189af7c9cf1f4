//! The cache of TensorRT's engines: each is built once, by one process, for all others.
//!
//! Each key has a folder. The builder holds the key's lock, works in a private folder and renames
//! it when it is complete: a process that is killed leaves no half of an engine, its lock is
//! released, and the next one starts over.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use seg_contract::sha256;
use seg_data::{WriteError, write_bytes};
use thiserror::Error;

/// The folder of all engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineCache {
    folder: PathBuf,
}

/// Everything on which an engine depends.
#[derive(Clone, Debug)]
pub struct EngineKey<'a> {
    /// The bytes of the model's file.
    pub model: &'a [u8],
    /// The version of TensorRT.
    pub tensorrt: String,
    /// ONNX Runtime's description of its build, which decides what TensorRT gets.
    pub runtime: String,
    /// The GPU's compute capability.
    pub architecture: String,
    /// The options that TensorRT gets.
    pub options: String,
}

/// The reason for which the cache cannot be used.
#[derive(Debug, Error)]
pub enum EngineCacheError {
    /// A file or folder of the cache cannot be read or created.
    #[error("cannot use `{path}` in the cache of TensorRT's engines")]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// TensorRT's timings cannot be stored.
    #[error(transparent)]
    Timings(#[from] WriteError),
}

/// The extensions of engines, and of the files in which TensorRT stores the timings of its kernels
/// on a GPU.
const ENGINE: &str = "engine";
const TIMING: &str = "timing";

/// The extension of folders that only the lock's holder uses.
const PARTIAL: &str = "partial";

/// The number of hexadecimal digits of each hash in a key's name: 64 bits.
const DIGITS: usize = 16;

impl fmt::Display for EngineKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, tensorrt, runtime, architecture, options } = self;
        let settings = sha256(format!("{runtime}\n{options}"));
        write!(f, "{:.DIGITS$}-trt{tensorrt}-{architecture}-{settings:.DIGITS$}", sha256(model))
    }
}

impl EngineCache {
    /// Makes the cache in a folder, which is created on first use.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Opens something with the folder of a key's engines, and builds them if they are not there
    /// yet.
    ///
    /// `open` gets a folder and writes into it the engines that it does not find, files whose names
    /// end with `.engine`. While it builds, it is alone in an empty folder that the other processes
    /// see only after it succeeded; they wait for it. An engine for which its error `is_unreadable`
    /// is built again, once.
    ///
    /// # Errors
    /// When the cache cannot be used, or with `open`'s own error.
    pub fn open<T, E: From<EngineCacheError>>(
        &self,
        key: &EngineKey<'_>,
        open: impl Fn(&Path) -> Result<T, E>,
        is_unreadable: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let name = key.to_string();
        let whole = self.folder.join(&name);
        if let Some(opened) = open_existing(&whole, &open, &is_unreadable) {
            return opened;
        }
        fs::create_dir_all(&self.folder).map_err(refused(&self.folder))?;
        let lock = self.folder.join(format!("{name}.lock"));
        let lock_file = File::create(&lock).map_err(refused(&lock))?;
        // The lock is held until the end of the function, or of the process if that comes first.
        lock_file.lock().map_err(refused(&lock))?;
        // The previous holder of the lock may have built the engine.
        if let Some(opened) = open_existing(&whole, &open, &is_unreadable) {
            return opened;
        }
        // Under the lock, only this process uses the name: a folder that exists was left by a
        // process that was killed.
        let partial = self.folder.join(format!("{name}.{PARTIAL}"));
        remove(&partial).map_err(refused(&partial))?;
        fs::create_dir(&partial).map_err(refused(&partial))?;
        let timings = self.folder.join(format!("timings-trt{}", key.tensorrt));
        copy_timings(&timings, &partial)?;
        match open(&partial) {
            Ok(opened) if !files(&partial, ENGINE)?.is_empty() => {
                copy_timings(&partial, &timings)?;
                store(&partial).map_err(refused(&partial))?;
                // An engine that is still there cannot be read.
                remove(&whole).map_err(refused(&whole))?;
                fs::rename(&partial, &whole).map_err(refused(&whole))?;
                Ok(opened)
            }
            opened => {
                remove(&partial).map_err(refused(&partial))?;
                opened
            }
        }
    }

    /// Returns the number of keys that have engines, and their size in bytes.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    pub fn contents(&self) -> Result<(usize, u64), EngineCacheError> {
        let refused = refused(&self.folder);
        if !self.folder.exists() {
            return Ok((0, 0));
        }
        let (mut keys, mut bytes) = (0, 0);
        for entry in self.folder.read_dir().map_err(&refused)? {
            let path = entry.map_err(&refused)?.path();
            if !path.is_dir() || path.extension().is_some_and(|extension| extension == PARTIAL) {
                continue;
            }
            let engines = files(&path, ENGINE)?;
            keys += usize::from(!engines.is_empty());
            for engine in &engines {
                bytes += engine.metadata().map_err(&refused)?.len();
            }
        }
        Ok((keys, bytes))
    }
}

/// Opens something with a folder of engines; returns `None` if the folder does not exist or its
/// engine cannot be read.
fn open_existing<T, E>(
    folder: &Path,
    open: impl Fn(&Path) -> Result<T, E>,
    is_unreadable: impl Fn(&E) -> bool,
) -> Option<Result<T, E>> {
    match folder.exists().then(|| open(folder)) {
        Some(Err(error)) if is_unreadable(&error) => None,
        opened => opened,
    }
}

/// Makes the system store each file of a folder, so that no loss of power leaves an engine with a
/// name and no content.
fn store(folder: &Path) -> io::Result<()> {
    for entry in folder.read_dir()? {
        File::open(entry?.path())?.sync_all()?;
    }
    Ok(())
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Lists the files of a folder that have an extension; none if the folder does not exist.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, EngineCacheError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries: io::Result<Vec<_>> = folder.read_dir().and_then(|entries| entries.collect());
    let paths = entries.map_err(refused(folder))?.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
}

/// Copies TensorRT's timings, so that the next engine is built faster.
///
/// If two processes do so at once, the later one wins: TensorRT measures again what is lost.
fn copy_timings(from: &Path, to: &Path) -> Result<(), EngineCacheError> {
    for file in files(from, TIMING)? {
        let Some(name) = file.file_name() else { continue };
        fs::create_dir_all(to).map_err(refused(to))?;
        let bytes = fs::read(&file).map_err(refused(&file))?;
        write_bytes(&to.join(name), &bytes)?;
    }
    Ok(())
}

fn refused(path: &Path) -> impl Fn(io::Error) -> EngineCacheError {
    let path = path.to_path_buf();
    move |source| EngineCacheError::Folder { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;
    use std::{env, thread};

    use super::*;

    fn key(model: &[u8]) -> EngineKey<'_> {
        EngineKey {
            model,
            tensorrt: "10.13.2".into(),
            runtime: "1.31.1".into(),
            architecture: "sm_90".into(),
            options: "precision fp32".into(),
        }
    }

    /// Returns false: no error means an unreadable engine.
    fn never(_: &EngineCacheError) -> bool {
        false
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes the files that TensorRT leaves, from first byte to last.
    fn build(folder: &Path, slowly: bool) -> Result<(), EngineCacheError> {
        let engine = folder.join("kernel_sm90.engine");
        if !engine.exists() {
            for length in [1, 1000, 1_000_000] {
                fs::write(&engine, vec![7; length]).map_err(refused(&engine))?;
                thread::sleep(Duration::from_millis(if slowly { 20 } else { 0 }));
            }
            let timing = folder.join("cache_sm90.timing");
            fs::write(&timing, b"fast").map_err(refused(&timing))?;
        }
        let found = fs::read(&engine).map_err(refused(&engine))?;
        assert_eq!(found.len(), 1_000_000, "half an engine was seen");
        Ok(())
    }

    #[test]
    fn engines_are_shared_by_equal_keys_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EngineCache::new(folder.path().join("tensorrt"));
        let one = key(b"one");
        let mut folders = Vec::new();
        for key in [
            one.clone(),
            key(b"other"),
            EngineKey { tensorrt: "10.9.0".into(), ..one.clone() },
            EngineKey { runtime: "1.32.0".into(), ..one.clone() },
            EngineKey { architecture: "sm_120".into(), ..one.clone() },
            EngineKey { options: "precision fp16".into(), ..one.clone() },
        ] {
            cache.open(&key, |folder| build(folder, false), never).unwrap();
            let again = cache.open(&key, |folder| Ok(folder.to_path_buf()), never).unwrap();
            assert!(again.join("kernel_sm90.engine").exists(), "{key}");
            folders.push(again);
        }
        folders.dedup();
        assert_eq!(folders.len(), 6);
        assert_eq!(cache.contents().unwrap(), (6, 6_000_000));
    }

    #[test]
    fn what_was_measured_for_one_engine_serves_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EngineCache::new(folder.path());
        cache.open(&key(b"one"), |folder| build(folder, false), never).unwrap();
        let seen = |key| cache.open(&key, |folder| Ok(names(folder)), never).unwrap();
        assert_eq!(seen(key(b"other")), ["cache_sm90.timing"]);
        assert!(seen(EngineKey { tensorrt: "10.9.0".into(), ..key(b"other") }).is_empty(), "of another version");
    }

    #[test]
    fn what_was_not_built_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EngineCache::new(folder.path());
        cache.open(&key(b""), |_| Ok(()), never).unwrap();
        let fail = |folder: &Path| {
            build(folder, false)?;
            Err::<(), _>(refused(folder)(io::Error::other("no memory")))
        };
        let failed = cache.open(&key(b""), fail, never);
        assert!(failed.is_err());
        assert_eq!(names(folder.path()), [format!("{}.lock", key(b""))]);
    }

    #[test]
    fn an_engine_that_cannot_be_read_is_built_again_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EngineCache::new(folder.path());
        let key = key(b"one");
        let engine = folder.path().join(key.to_string()).join("kernel_sm90.engine");
        let broken = |folder: &Path| refused(folder)(io::Error::other("cannot be read"));
        let read = |folder: &Path| match fs::read(folder.join("kernel_sm90.engine")) {
            Ok(bytes) if bytes.len() < 1_000_000 => Err(broken(folder)),
            _ => build(folder, false),
        };
        cache.open(&key, read, never).unwrap();
        fs::write(&engine, "cut off").unwrap();
        assert!(cache.open(&key, read, never).is_err(), "for another reason");
        assert_eq!(fs::read(&engine).unwrap(), b"cut off", "an engine that may be whole is kept");
        cache.open(&key, read, |_| true).unwrap();
        assert_eq!(fs::metadata(&engine).unwrap().len(), 1_000_000);
        assert_eq!(cache.contents().unwrap(), (1, 1_000_000));
        // If the new engine cannot be read either, that is the error.
        let opened = std::cell::Cell::new(0);
        let failed = cache.open(
            &key,
            |folder| {
                opened.set(opened.get() + 1);
                Err::<(), _>(broken(folder))
            },
            |_| true,
        );
        assert!(failed.is_err());
        assert_eq!(opened.get(), 3, "without the lock, with it, and a new one");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = EngineCache::new(file.path().join("tensorrt"));
        let message = cache.open(&key(b""), |folder| build(folder, false), never).unwrap_err().to_string();
        assert!(message.contains("tensorrt` in the cache of TensorRT's engines"), "{message}");
    }

    /// The variable that names the cache for a process that only builds in it.
    const BUILDER_VARIABLE: &str = "SEG_RUNTIME_TEST_BUILDER";

    /// Runs processes that build one engine, many of which are killed, each at another moment.
    #[test]
    fn neither_kills_nor_company_leave_half_an_engine() {
        if let Some(folder) = env::var_os(BUILDER_VARIABLE) {
            EngineCache::new(folder).open(&key(b"one"), |folder| build(folder, true), never).unwrap();
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let builder = || {
            let mut command = Command::new(env::current_exe().unwrap());
            command.args(["--exact", "provider::engines::tests::neither_kills_nor_company_leave_half_an_engine"]);
            command.env(BUILDER_VARIABLE, folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        for delay in (0..100).step_by(10) {
            let mut processes = [builder(), builder()];
            thread::sleep(Duration::from_millis(delay));
            for process in &mut processes {
                process.kill().unwrap();
                process.wait().unwrap();
            }
        }
        for mut process in [builder(), builder(), builder()] {
            assert!(process.wait().unwrap().success(), "a builder saw half an engine");
        }
        let name = key(b"one").to_string();
        assert_eq!(names(folder.path()), [name.clone(), format!("{name}.lock"), "timings-trt10.13.2".into()]);
        assert_eq!(EngineCache::new(folder.path()).contents().unwrap(), (1, 1_000_000));
    }
}
