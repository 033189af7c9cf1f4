//! The cache of TensorRT's engines: each is built once, by one process, for all others.
//!
//! A folder per key. Who builds holds the key's lock, works in a folder of his own and renames it when all is there: so
//! a process that is killed leaves no half of an engine, its lock goes with it, and the next one begins anew.

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

/// All that makes one engine unfit for what another one does.
#[derive(Clone, Debug)]
pub struct EngineKey<'a> {
    /// The bytes of the model's file.
    pub model: &'a [u8],
    /// The version of TensorRT.
    pub tensorrt: String,
    /// What ONNX Runtime says of its build: it decides what TensorRT is given.
    pub runtime: String,
    /// The GPU's compute capability.
    pub architecture: String,
    /// The options that TensorRT is given.
    pub options: String,
}

/// Why the cache cannot be used.
#[derive(Debug, Error)]
pub enum EngineCacheError {
    /// A file or folder of it cannot be read or made.
    #[error("cannot use `{path}` in the cache of TensorRT's engines")]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What TensorRT measured cannot be kept.
    #[error(transparent)]
    Timings(#[from] WriteError),
}

/// How the names of engines end, and of the files in which TensorRT keeps how fast its kernels are on a GPU.
const ENGINE: &str = "engine";
const TIMING: &str = "timing";

/// How the names of folders end that nobody but the lock's holder looks at.
const PARTIAL: &str = "partial";

/// Hexadecimal digits of each hash in a key's name: 64 bits.
const DIGITS: usize = 16;

impl fmt::Display for EngineKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, tensorrt, runtime, architecture, options } = self;
        let settings = sha256(format!("{runtime}\n{options}"));
        write!(f, "{:.DIGITS$}-trt{tensorrt}-{architecture}-{settings:.DIGITS$}", sha256(model))
    }
}

impl EngineCache {
    /// The cache in a folder, which is created when it is first used.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Opens something with the folder of a key's engines, building them where they are not there yet.
    ///
    /// `open` gets a folder and writes into it what it finds missing, files whose names end with `.engine`. Where it
    /// builds, it does so alone, in an empty folder that the others see only when it succeeded; they wait for it. An
    /// engine of which its error `is_unreadable` is built anew, once.
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
        let readable = || match whole.exists().then(|| open(&whole)) {
            Some(Err(error)) if is_unreadable(&error) => None,
            opened => opened,
        };
        if let Some(opened) = readable() {
            return opened;
        }
        fs::create_dir_all(&self.folder).map_err(refused(&self.folder))?;
        let lock = self.folder.join(format!("{name}.lock"));
        let lock_file = File::create(&lock).map_err(refused(&lock))?;
        // Held until the end of the function, or of the process if that comes first.
        lock_file.lock().map_err(refused(&lock))?;
        // Whoever held the lock may have built it meanwhile.
        if let Some(opened) = readable() {
            return opened;
        }
        // Under the lock the name is ours alone: what is there was left by a process that was killed.
        let partial = self.folder.join(format!("{name}.{PARTIAL}"));
        remove(&partial).map_err(refused(&partial))?;
        fs::create_dir(&partial).map_err(refused(&partial))?;
        let timings = self.folder.join(format!("timings-trt{}", key.tensorrt));
        copy_timings(&timings, &partial)?;
        match open(&partial) {
            Ok(opened) if !files(&partial, ENGINE)?.is_empty() => {
                copy_timings(&partial, &timings)?;
                store(&partial).map_err(refused(&partial))?;
                // What is still there cannot be read.
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

    /// The number of keys that there are engines for, and the bytes that they take.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
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

/// Has the system store each file of a folder, so that no loss of power leaves an engine with a name and without content.
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

/// The files of a folder whose names have an extension; none where there is no folder.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, EngineCacheError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries: io::Result<Vec<_>> = folder.read_dir().and_then(|entries| entries.collect());
    let paths = entries.map_err(refused(folder))?.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
}

/// Copies what TensorRT measured, so that the next engine is built faster.
///
/// Of two processes that do so at once the later wins: what is lost is measured again.
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

    /// Whether an engine cannot be read, where each can.
    fn never(_: &EngineCacheError) -> bool {
        false
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What TensorRT leaves, from first byte to last.
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
    fn an_engine_that_cannot_be_read_is_built_anew_once() {
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
        // Where the new one cannot be read either, that is the error.
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

    /// Names the cache for a process that does nothing but build in it.
    const BUILDER_VARIABLE: &str = "SEG_RUNTIME_TEST_BUILDER";

    /// Processes that build one engine, many of them killed on the way, each at another moment.
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
