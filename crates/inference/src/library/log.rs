//! The last error in ONNX Runtime's log, which is the only place for the reason of some failures.

use std::sync::{Arc, Mutex, PoisonError};

use ort::logging::{LogLevel, LoggerFunction};

static LAST: Mutex<String> = Mutex::new(String::new());

/// Makes a logger that keeps the last error and prints nothing.
pub(crate) fn keeper() -> LoggerFunction {
    Arc::new(|level, _category, _id, _location, message| {
        if level >= LogLevel::Error {
            message.clone_into(&mut LAST.lock().unwrap_or_else(PoisonError::into_inner));
        }
    })
}

/// Takes the last error since the previous call; empty if there was none.
pub(crate) fn take() -> String {
    std::mem::take(&mut LAST.lock().unwrap_or_else(PoisonError::into_inner))
}
