//! ONNX Runtime in this process: it is started once, when the first model is opened.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::bail;
use ort::environment::Environment;
use pyo3::prelude::*;
use seg_inference::Provider;
use seg_inference::library::{Build, Search};

/// The running ONNX Runtime, which ends before the interpreter does.
static RUNNING: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);

/// The function that finds the library of an installed package.
static FINDER: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Sets the function that finds the library of an installed package.
#[pyfunction]
pub(crate) fn _find_library(finder: Py<PyAny>) {
    *FINDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(finder);
}

/// Ends ONNX Runtime, as the interpreter does when it ends.
#[pyfunction]
pub(crate) fn _end() {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Returns the library of the installed package `onnxruntime`, if there is one.
pub(crate) fn installed(py: Python<'_>) -> PyResult<Option<PathBuf>> {
    let finder = FINDER.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(finder) = finder.as_ref().map(|finder| finder.clone_ref(py)) else { return Ok(None) };
    finder.call0(py)?.extract(py)
}

/// Starts ONNX Runtime for a provider, or returns the one that runs.
///
/// The library is the one that is named, else that of the environment, else the installed package's
/// for the CPU, else one of the cache, which is fetched if it is not there.
pub(crate) fn start(
    provider: Provider,
    named: Option<PathBuf>,
    installed: Option<PathBuf>,
) -> anyhow::Result<Environment> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((environment, path)) = running.as_ref() {
        if let Some(named) = named.filter(|named| std::path::absolute(named).ok().as_ref() != Some(path)) {
            let (path, named) = (path.display(), named.display());
            bail!("ONNX Runtime runs from `{path}` already; `{named}` can be used in another process");
        }
        return Ok(environment.clone());
    }
    let build = Build::from(provider);
    let search = Search::from_env(named, build);
    // An installed package is a CPU's or a GPU's; which one shows when the provider is loaded.
    let explicit = search.explicit.clone().or_else(|| installed.filter(|_| search.variable.is_none()));
    let library = Search { explicit, ..search }.locate()?;
    let environment = library.load()?;
    *running = Some((environment.clone(), library.path));
    Ok(environment)
}
