//! Errors as Python's exceptions, with the messages of the programs.

use std::error::Error;

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(seg_runtime, SegError, PyException, "An error of reading, segmenting or proving.");

/// Makes an exception of an error and its causes.
pub(crate) fn seg_error(error: impl Error) -> PyErr {
    SegError::new_err(chain(&error))
}

/// Makes an exception of an error that a program would report.
pub(crate) fn any_error(error: &anyhow::Error) -> PyErr {
    SegError::new_err(chain(error.as_ref()))
}

/// Writes an error and its causes on one line, without causes that the line already ends with.
fn chain(error: &dyn Error) -> String {
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = one_line(error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = one_line(error.to_string());
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
