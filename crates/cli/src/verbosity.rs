//! The verbosity of a program: the lines beside its result.

use std::sync::atomic::{AtomicU8, Ordering};

use clap::Args;

/// The flags that every command has.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Verbosity {
    /// Print results, warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print more about what is done and with what
    #[arg(short, long, global = true)]
    verbose: bool,
}

/// The amount of output beside results, warnings and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing.
    Quiet,
    /// Notes.
    Normal,
    /// Notes and details.
    Verbose,
}

/// The level of this process.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Normal as u8);

impl Verbosity {
    /// Makes these flags hold for this process. A program calls it once, before it prints.
    pub fn apply(self) {
        LEVEL.store(self.level() as u8, Ordering::Relaxed);
    }

    fn level(self) -> Level {
        match (self.quiet, self.verbose) {
            (true, _) => Level::Quiet,
            (false, false) => Level::Normal,
            (false, true) => Level::Verbose,
        }
    }
}

/// Tells if what needs `level` is printed.
pub(crate) fn allows(level: Level) -> bool {
    LEVEL.load(Ordering::Relaxed) >= level as u8
}

/// Tells if the program prints results, warnings and errors only, and so shows no progress.
pub fn is_quiet() -> bool {
    !allows(Level::Normal)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        verbosity: Verbosity,
    }

    #[test]
    fn flags_choose_the_level_and_exclude_each_other() {
        for (flags, level) in [
            (&["x"][..], Some(Level::Normal)),
            (&["x", "-q"], Some(Level::Quiet)),
            (&["x", "--verbose"], Some(Level::Verbose)),
            (&["x", "-q", "-v"], None),
        ] {
            let found = Flags::try_parse_from(flags).ok().map(|flags| flags.verbosity.level());
            assert_eq!(found, level, "{flags:?}");
        }
    }
}
