//! The module `seg_runtime` for Python: the library behind `seg infer`, `eval` and `verify`.
//!
//! - `Segmenter` opens models and segments images, `Result` is a segmented image;
//! - [`picture`] turns what Python calls an image into pixels;
//! - [`library`] starts ONNX Runtime once, from the installed package `onnxruntime` if there is
//!   one.

mod error;
mod evaluate;
mod json;
mod library;
mod options;
mod picture;
mod segmenter;
mod verify;

use std::path::PathBuf;

use pyo3::prelude::*;
use seg_inference::read_model;

/// Reads what a model expects and means, without ONNX Runtime.
#[pyfunction]
fn contract(py: Python<'_>, model: PathBuf) -> PyResult<Py<PyAny>> {
    let contract = read_model(&model).map_err(error::seg_error)?.contract;
    json::to_python(py, &contract.to_json())
}

/// The module behind the package.
#[pymodule]
fn _seg_runtime(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("SegError", module.py().get_type::<error::SegError>())?;
    module.add_class::<segmenter::Segmenter>()?;
    module.add_class::<segmenter::SegmentResult>()?;
    module.add_function(wrap_pyfunction!(contract, module)?)?;
    module.add_function(wrap_pyfunction!(verify::_verify, module)?)?;
    module.add_function(wrap_pyfunction!(library::_find_library, module)?)?;
    module.add_function(wrap_pyfunction!(library::_end, module)?)?;
    Ok(())
}
