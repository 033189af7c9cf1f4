//! Properties of everything that reads foreign bytes, on random inputs.
//!
//! A run makes the same inputs each time, so that a failure can be repeated. `fuzz/` looks further.

mod certificate;
mod changes;
mod classes;
mod contract;
mod onnx;
mod tiff;
mod weakened;

use std::any::Any;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use seg_text::control;

use crate::corpus::{READERS, corpus};

/// Runs a test on values that a strategy makes; a failure shows the simplest value found that
/// fails.
fn check<S: Strategy>(cases: u32, values: &S, test: impl Fn(S::Value))
where
    S::Value: Debug,
{
    let mut runner = TestRunner::new(Config::with_cases(cases));
    let outcome = runner.run(values, |value| {
        catch_unwind(AssertUnwindSafe(|| test(value))).map_err(|panic| TestCaseError::fail(message(&*panic)))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Returns the message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_else(|| "a panic without a text".into())
}

/// Makes texts of a few characters of any script.
fn text() -> impl Strategy<Value = String> + Clone {
    prop::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter)
}

/// Makes a text without control characters, as a contract may hold it.
fn note() -> impl Strategy<Value = String> + Clone {
    text().prop_map(|text| control::escape(&text))
}

#[test]
fn no_bytes_make_a_reader_panic() {
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    for (_, read) in READERS {
        check(200, &bytes, |bytes| {
            read(&bytes);
        });
    }
}

#[test]
fn no_change_of_a_file_makes_its_reader_panic() {
    for (name, read) in READERS {
        let files = corpus(name).into_iter().map(|(_, bytes)| bytes).collect();
        check(400, &changes::changed_bytes(files), |bytes| {
            read(&bytes);
        });
    }
}

#[test]
fn no_value_in_a_json_file_makes_its_reader_panic() {
    for (name, read) in READERS {
        let files = corpus(name).into_iter().map(|(_, bytes)| bytes);
        let documents: Vec<_> = files.filter_map(|bytes| serde_json::from_slice(&bytes).ok()).collect();
        assert_eq!(documents.is_empty(), ["dicom", "nifti", "onnx", "tiff"].contains(&name), "{name}");
        if documents.is_empty() {
            continue;
        }
        check(400, &changes::changed_json(documents), |document| {
            read(document.to_string().as_bytes());
        });
    }
}
