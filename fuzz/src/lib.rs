//! One function for each kind of file that may come from elsewhere.
//!
//! A function takes any bytes as the content of such a file, reads them, and returns whether they
//! were accepted. It panics where reading panics, or where an accepted file breaks a rule that the
//! rest of the code relies on. The fuzz targets call these functions with bytes that the fuzzer
//! makes, and the tests of the workspace call them with the files of `corpus/` and with random
//! changes of these.

mod certificate;
mod classes;
mod contract;
mod medical;
mod onnx;
mod tiff;

pub use certificate::certificate;
pub use classes::classes;
pub use contract::contract;
pub use medical::{dicom, nifti};
pub use onnx::onnx;
pub use tiff::tiff;
