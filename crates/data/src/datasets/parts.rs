//! The parts of a data set's folder, which become one data set.

use std::path::Path;

use seg_contract::Class;

use super::layout::Layout;
use super::{Dataset, Sample};

/// The parts of a folder, each sorted by name.
#[derive(Default)]
pub(super) struct Parts {
    /// The training samples.
    pub(super) train: Vec<Sample>,
    /// The samples that choose the best epoch.
    pub(super) validation: Vec<Sample>,
    pub(super) test: Vec<Sample>,
}

impl Parts {
    /// Returns the data set: the validation samples choose the best epoch.
    pub(super) fn into_dataset(self, name: String, root: &Path, layout: Layout, classes: Vec<Class>) -> Dataset {
        let Self { train, validation, test } = self;
        let names = validation.iter().map(|sample| sample.name.clone()).collect();
        let mut train = merge(train, validation);
        // One that is in both lists has been reported.
        train.dedup_by(|one, other| one.name == other.name);
        Dataset {
            name,
            root: root.into(),
            layout,
            classes,
            validation: names,
            train,
            test,
            reading: String::new(),
            notes: Vec::new(),
        }
    }
}

/// Returns the classes of a data set with one target.
pub(super) fn two_classes(target: &str) -> Vec<Class> {
    vec![Class::new("background", 0), Class::new(target, 1)]
}

/// Joins two lists of samples and sorts them by name.
pub(super) fn merge(mut first: Vec<Sample>, second: Vec<Sample>) -> Vec<Sample> {
    first.extend(second);
    first.sort_by(|one, other| one.name.cmp(&other.name));
    first
}
