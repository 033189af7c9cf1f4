//! What a sample is for.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use crate::datasets::{Dataset, Sample};

/// What the publishers mean a sample for.
///
/// For training, [`Part::Train`](crate::Part::Train) holds the first two; a copy in both of them is as wrong as one in the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To learn from.
    Train,
    /// To choose an epoch by.
    Validation,
    /// To be held out.
    Test,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The samples of a data set with their roles, those to learn from and to choose by in their own order.
    pub(super) fn of_all(dataset: &Dataset) -> Vec<(Self, &Sample)> {
        let validation: HashSet<&str> = dataset.validation.iter().map(String::as_str).collect();
        let role = |sample: &Sample| if validation.contains(&*sample.name) { Self::Validation } else { Self::Train };
        let train = dataset.train.iter().map(|sample| (role(sample), sample));
        train.chain(dataset.test.iter().map(|sample| (Self::Test, sample))).collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}
