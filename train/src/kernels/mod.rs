//! The operators that the networks need other than Burn has them.

mod gelu;

pub use gelu::gelu;
