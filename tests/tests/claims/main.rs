//! Claims about the toolchain as a whole. One program holds them all, because each one would link Burn again.

mod faults;
mod parity;
mod readers;
mod reference;
