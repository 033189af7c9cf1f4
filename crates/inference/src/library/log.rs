//! The last error in ONNX Runtime's log: of some failures it tells the reason nowhere else.

use std::sync::{Arc, Mutex, PoisonError};

use ort::logging::{LogLevel, LoggerFunction};

static LAST: Mutex<String> = Mutex::new(String::new());

/// A logger that keeps the last error and prints nothing.
pub(crate) fn keeper() -> LoggerFunction {
    Arc::new(|level, _category, _id, _location, message| {
        if level >= LogLevel::Error {
            message.clone_into(&mut LAST.lock().unwrap_or_else(PoisonError::into_inner));
        }
    })
}

/// The last error since this was asked last; empty where there is none.
pub(crate) fn take() -> String {
    std::mem::take(&mut LAST.lock().unwrap_or_else(PoisonError::into_inner))
}
