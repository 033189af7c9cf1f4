//! Records as Python's dictionaries, by way of JSON.

use pyo3::prelude::*;

/// Returns the value of JSON text as Python reads it.
pub(crate) fn to_python(py: Python<'_>, text: &str) -> PyResult<Py<PyAny>> {
    Ok(py.import("json")?.call_method1("loads", (text,))?.unbind())
}
