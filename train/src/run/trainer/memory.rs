//! A device that has too little memory, which Burn tells by a panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::TrainError;

/// The messages of Burn's backends, in lower case.
const SIGNS: [&str; 5] =
    ["out of device memory", "out of memory", "out-of-memory", "not enough memory", "can't allocate buffer"];

/// Runs the work and returns its result. A panic for want of memory becomes an error; others go on.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T, TrainError>) -> Result<T, TrainError> {
    // Unfinished work is dropped with it.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| match want(panic.as_ref()) {
        Some(reason) => Err(TrainError::Memory { reason }),
        None => resume_unwind(panic),
    })
}

/// Returns the line of a panic's message that is about memory.
fn want(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<&str>().copied();
    let message = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))?;
    let tells = |line: &&str| SIGNS.iter().any(|sign| line.to_lowercase().contains(sign));
    message.lines().find(tells).map(|line| line.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_want_of_memory_becomes_an_error() {
        for (name, message, reason) in [
            (
                "CUDA",
                "Error while reading data: An error happened during execution\nCaused by:\n  out of device memory allocating 9 \
                 bytes\n  at storage.rs",
                Some("(out of device memory allocating 9 bytes)"),
            ),
            ("a single buffer", "can't allocate buffer of size: 9", Some("(can't allocate buffer of size: 9)")),
            ("wgpu", "wgpu error: Not enough memory left.", Some("(wgpu error: Not enough memory left.)")),
            ("something else", "index out of bounds: the len is 3", None),
        ] {
            let found = catch_unwind(|| guard::<()>(|| panic!("{message}")));
            match (found, reason) {
                (Ok(found), Some(reason)) => {
                    let found = found.unwrap_err().to_string();
                    assert!(found.contains(reason) && found.contains("--batch-size"), "{name}: {found}");
                }
                (Err(panic), None) => assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some(message)),
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }
}
