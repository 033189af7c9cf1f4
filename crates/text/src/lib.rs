//! Text of unknown origin, such as a name in a file or the name of a file, written so that it stays
//! text.
//!
//! Each destination has one module, which everything that writes there uses: [`terminal`],
//! [`text_proto`], [`markdown`], [`shell`], [`csv`] and [`raw_path`]. HTML is escaped by `maud`,
//! JSON by `serde_json`. [`control`] is the one definition of a control character.

pub mod control;
pub mod csv;
pub mod markdown;
pub mod raw_path;
pub mod shell;
pub mod terminal;
pub mod text_proto;
