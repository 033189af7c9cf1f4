//! Claims about the toolchain as a whole. One program holds them all, because each one would link
//! Burn again.

#![expect(clippy::unwrap_used, reason = "a claim that cannot be set up has failed")]

mod ablations;
mod certified;
mod contract;
mod corpus;
mod documentation;
mod faults;
#[path = "../../../crates/verify/tests/framework/mod.rs"]
mod framework;
#[allow(unreachable_pub, reason = "the fuzz targets use it as a library")]
#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;
mod invariants;
mod metrics;
mod multiples;
mod parity;
mod pipeline;
mod proof;
mod properties;
mod readers;
mod reference;
mod refusals;
mod resampling;
mod rewrites;
mod schemas;
mod sizes;
#[path = "../../../crates/inference/tests/threshold/mod.rs"]
mod threshold;
mod variants;
mod zoo;
