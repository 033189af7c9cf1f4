//! Code that the benches share.

mod file;
mod paired;
mod typed;

pub use file::bench_file;
pub use paired::{Paired, median, median_ratio, paired};
pub use typed::{typed_path, typed_program};
