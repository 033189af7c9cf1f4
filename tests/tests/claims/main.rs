//! Claims about the toolchain as a whole. One program holds them all, because each one would link
//! Burn again.

#![expect(clippy::unwrap_used, reason = "a claim that cannot be set up has failed")]

mod contract;
mod faults;
mod invariants;
mod metrics;
mod parity;
mod pipeline;
mod proof;
mod readers;
mod reference;
mod refusals;
mod rewrites;
mod variants;
mod zoo;
