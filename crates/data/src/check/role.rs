//! The role of a sample: training, validation or test.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use crate::datasets::{Dataset, Sample};

/// The role that the publishers give a sample.
///
/// In [`Part::Train`](crate::Part::Train) both training and validation samples are used for
/// training; a copy in both of them is as wrong as one in the test part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Training.
    Train,
    /// Validation, by which an epoch is chosen.
    Validation,
    /// Test.
    Test,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Lists the samples of a data set with their roles; training and validation samples keep their
    /// own order.
    pub(super) fn samples(dataset: &Dataset) -> Vec<(Self, &Sample)> {
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
