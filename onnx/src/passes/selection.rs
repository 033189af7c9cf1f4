//! A selection among the passes that apply.

use std::str::FromStr;

use super::{PASSES, Pass, applicable};
use crate::{Opset, Target};

/// A selection among the passes that apply to an opset and a target; all of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Every pass that applies.
    #[default]
    All,
    /// The passes of the given names, for any target.
    Only(Vec<&'static str>),
    /// Every pass that applies, except those of the given names.
    Without(Vec<&'static str>),
}

/// An error in a selection of passes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// The name of a pass is unknown.
    #[error("there is no pass `{name}`: expected {expected}")]
    Unknown {
        /// The unknown name.
        name: String,
        /// The names of all passes.
        expected: String,
    },
    /// Some names select passes and others exclude them.
    #[error("passes are named to be run, or with `-` in front of each to be left out, but not both")]
    Mixed,
}

impl Selection {
    /// Lists the passes that are run for this opset and target, in order.
    pub fn select(&self, opset: Opset, target: Target) -> Vec<&'static Pass> {
        match self {
            Self::All => applicable(opset, target).collect(),
            Self::Only(names) => PASSES.iter().filter(|pass| names.contains(&pass.name)).collect(),
            Self::Without(names) => applicable(opset, target).filter(|pass| !names.contains(&pass.name)).collect(),
        }
    }
}

impl FromStr for Selection {
    type Err = SelectionError;

    /// Reads `name,name` or `-name,-name`.
    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let names: Vec<_> = text.split(',').map(str::trim).collect();
        let without = names.iter().filter(|name| name.starts_with('-')).count();
        if without != 0 && without != names.len() {
            return Err(SelectionError::Mixed);
        }
        let names = names.iter().map(|name| known_name(name.trim_start_matches('-'))).collect::<Result<_, _>>()?;
        Ok(if without == 0 { Self::Only(names) } else { Self::Without(names) })
    }
}

fn known_name(name: &str) -> Result<&'static str, SelectionError> {
    let found = PASSES.iter().find(|pass| pass.name == name);
    found.map(|pass| pass.name).ok_or_else(|| SelectionError::Unknown {
        name: name.to_owned(),
        expected: PASSES.iter().map(|pass| format!("`{}`", pass.name)).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names of the passes that a text selects.
    fn names(text: &str) -> Vec<&'static str> {
        let selection: Selection = text.parse().unwrap();
        selection.select(Opset::V20, Target::Portable).iter().map(|pass| pass.name).collect()
    }

    #[test]
    fn passes_are_named_or_left_out() {
        let all: Vec<_> = applicable(Opset::V20, Target::Portable).map(|pass| pass.name).collect();
        assert_eq!(names("drop_identities, slice_wide_middle"), ["drop_identities", "slice_wide_middle"]);
        let rest: Vec<_> = all.iter().copied().filter(|name| !name.starts_with("fold_batch_norm")).collect();
        assert_eq!(names("-fold_batch_norm_into_previous_conv,-fold_batch_norm_into_next_conv"), rest);
    }

    #[test]
    fn what_is_no_selection_is_refused() {
        for (text, message) in [
            (
                "fold",
                "there is no pass `fold`: expected `fold_batch_norm_into_previous_conv`, `split_conv_over_concat`",
            ),
            ("", "there is no pass ``"),
            ("-drop_identities,factor_products", "passes are named to be run, or with `-`"),
        ] {
            let error = text.parse::<Selection>().unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }
}
