//! Code that the command-line programs share.
//!
//! - [`print()`], [`say`], [`note`], [`detail`] and [`warn`] write to the terminal, as much as
//!   [`Verbosity`] allows;
//! - [`chain`] puts an error and its causes on one line, and [`finish`] ends a program with it;
//! - [`parse`] reads a command line, and prints its [`Description`] for `seg completions` and `seg
//!   man`.

mod description;
mod error;
mod output;
mod verbosity;

pub use description::{DESCRIBE, Description, parse};
pub use error::{chain, finish, one_line, wrong_usage};
pub use output::{detail, note, print, say, warn};
pub use verbosity::{Verbosity, is_quiet};
