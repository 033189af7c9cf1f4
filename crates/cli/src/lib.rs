//! Code that the command-line programs share.
//!
//! - [`print()`], [`print_json`], [`say`], [`note`], [`detail`] and [`warn`] write to the
//!   terminal, as much as [`Verbosity`] allows, with control characters escaped; [`Shown`] is the
//!   printed form of a path;
//! - [`chain`] puts an error and its causes on one line, and [`finish`] ends a program with it;
//! - [`parse`] reads a command line, and prints its [`Description`] for `seg completions` and `seg
//!   man`.

mod description;
mod error;
mod output;
mod verbosity;

pub use description::{DESCRIBE, Description, parse};
pub use error::{chain, finish, one_line, wrong_usage};
pub use output::{detail, note, print, print_json, say, warn};
pub use seg_text::terminal::Shown;
pub use verbosity::{Verbosity, is_quiet};
