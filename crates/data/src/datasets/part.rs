//! The parts of a data set.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use super::{Dataset, Sample};

/// A part of a data set: `train`, `validation`, `test` or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The samples for training.
    Train,
    /// The samples among them by which the publishers choose an epoch.
    Validation,
    /// The publishers' test samples.
    Test,
    /// All samples, training first.
    All,
}

/// An error in selecting a part.
#[derive(Debug, Error)]
pub enum PartError {
    /// The text does not name a part.
    #[error("`{text}` is not a part of a data set; expected train, validation, test or all")]
    Unknown {
        /// The text.
        text: String,
    },
    /// The data set has no samples in that part.
    #[error("the data set `{data}` has no images in its part `{part}`; choose another part")]
    Empty {
        /// The data set.
        data: String,
        /// The part.
        part: Part,
    },
}

impl FromStr for Part {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        let parts = [Self::Train, Self::Validation, Self::Test, Self::All];
        let part = parts.into_iter().find(|part| part.to_string() == text);
        part.ok_or_else(|| PartError::Unknown { text: text.into() })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
            Self::All => "all",
        })
    }
}

impl Dataset {
    /// Returns the samples of a part, and which part it is; without a part those of the test part,
    /// or those that choose the best epoch, or all if there are none of either.
    ///
    /// # Errors
    /// When the part has no samples.
    pub fn part(&self, part: Option<Part>) -> Result<(Part, Vec<Sample>), PartError> {
        let part = part.unwrap_or(match (self.test.is_empty(), self.validation.is_empty()) {
            (false, _) => Part::Test,
            (true, false) => Part::Validation,
            (true, true) => Part::All,
        });
        let samples = match part {
            Part::Train => self.train.clone(),
            Part::Validation => {
                let chosen = self.train.iter().filter(|sample| self.validation.contains(&sample.name));
                chosen.cloned().collect()
            }
            Part::Test => self.test.clone(),
            Part::All => [self.train.as_slice(), &self.test].concat(),
        };
        if samples.is_empty() {
            return Err(PartError::Empty { data: self.name.clone(), part });
        }
        Ok((part, samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::Layout;
    use crate::masks::MaskCoding;

    fn dataset(train: &[&str], test: &[&str]) -> Dataset {
        let samples = |names: &[&str]| {
            let sample = |name: &&str| Sample {
                name: (*name).into(),
                image: "image".into(),
                mask: "mask".into(),
                coding: MaskCoding::Binary,
                field_of_view: None,
                reading: seg_contract::Reading::default(),
            };
            names.iter().map(sample).collect()
        };
        Dataset {
            name: "set".into(),
            root: "root".into(),
            layout: Layout::Folder,
            classes: Vec::new(),
            train: samples(train),
            validation: train.iter().skip(1).map(|name| (*name).into()).collect(),
            test: samples(test),
            reading: String::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_part_is_chosen_by_name_or_by_what_there_is() {
        let (both, one) = (dataset(&["a", "b"], &["c"]), dataset(&["a"], &[]));
        let chosen = dataset(&["a", "b"], &[]);
        for (name, dataset, part, expected) in [
            ("held out", &both, None, "c"),
            ("nothing held out", &one, None, "a"),
            ("a part that chooses the epoch", &chosen, None, "b"),
            ("train", &both, Some("train"), "ab"),
            ("validation", &both, Some("validation"), "b"),
            ("test", &both, Some("test"), "c"),
            ("all", &both, Some("all"), "abc"),
        ] {
            let part = part.map(|part| part.parse().unwrap());
            let names: String = dataset.part(part).unwrap().1.into_iter().map(|sample| sample.name).collect();
            assert_eq!(names, expected, "{name}");
        }
    }

    #[test]
    fn a_part_that_is_not_there_is_an_error() {
        assert!("val".parse::<Part>().unwrap_err().to_string().contains("`val`"));
        for part in [Part::Validation, Part::Test] {
            let message = dataset(&["a"], &[]).part(Some(part)).unwrap_err().to_string();
            assert!(message.contains("`set`") && message.contains(&format!("`{part}`")), "{message}");
        }
    }
}
