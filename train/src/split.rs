//! The validation part, cut from what may be learned from.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use seg_data::Sample;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which sample went into which part, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// What is learned from.
    pub train: Vec<String>,
    /// What chooses the best epoch.
    pub validation: Vec<String>,
}

/// Why a data set cannot be split.
#[derive(Debug, Error)]
pub enum SplitError {
    /// There are too few images.
    #[error("cannot cut a validation part from {found} image(s); at least 2 are needed")]
    TooFew {
        /// The number of images.
        found: usize,
    },
    /// A split names an image that the data set does not have.
    #[error("the split names `{name}`, which the data set does not hold; has the folder changed since the run began")]
    Unknown {
        /// The name.
        name: String,
    },
}

impl Split {
    /// Cuts a share of the samples off for validation, at random by the seed, at least one on either side.
    ///
    /// # Errors
    /// When there are fewer than two samples.
    pub fn cut(samples: &[Sample], share: f64, seed: u64) -> Result<Self, SplitError> {
        if samples.len() < 2 {
            return Err(SplitError::TooFew { found: samples.len() });
        }
        let mut names: Vec<String> = samples.iter().map(|sample| sample.name.clone()).collect();
        names.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let count = ((names.len() as f64 * share).round() as usize).clamp(1, names.len() - 1);
        let mut train = names.split_off(count);
        train.sort_unstable();
        names.sort_unstable();
        Ok(Self { train, validation: names })
    }

    /// The samples of both parts, training first.
    ///
    /// # Errors
    /// When a name is not among the samples.
    pub fn apply(&self, samples: &[Sample]) -> Result<(Vec<Sample>, Vec<Sample>), SplitError> {
        let find = |names: &[String]| {
            let find = |name: &String| {
                let sample = samples.iter().find(|sample| sample.name == *name);
                sample.cloned().ok_or_else(|| SplitError::Unknown { name: name.clone() })
            };
            names.iter().map(find).collect::<Result<Vec<_>, _>>()
        };
        Ok((find(&self.train)?, find(&self.validation)?))
    }
}

#[cfg(test)]
mod tests {
    use seg_data::MaskCoding;

    use super::*;

    fn samples(count: usize) -> Vec<Sample> {
        let sample = |number| Sample {
            name: format!("{number:02}"),
            image: "image".into(),
            mask: "mask".into(),
            coding: MaskCoding::Binary,
            field_of_view: None,
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn a_seed_cuts_one_split_without_overlap() {
        for (count, share, validation) in [(20, 0.2, 4), (2, 0.5, 1), (3, 0.0, 1), (5, 1.0, 4)] {
            let samples = samples(count);
            let split = Split::cut(&samples, share, 7).unwrap();
            assert_eq!(split, Split::cut(&samples, share, 7).unwrap());
            assert_eq!(split.validation.len(), validation, "{share} of {count}");
            let mut all = [split.train.clone(), split.validation.clone()].concat();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{share} of {count}");
            let (train, held_out) = split.apply(&samples).unwrap();
            assert_eq!((train.len(), held_out.len()), (count - validation, validation));
        }
        assert_ne!(Split::cut(&samples(20), 0.2, 1).unwrap(), Split::cut(&samples(20), 0.2, 2).unwrap());
    }

    #[test]
    fn what_cannot_be_split_is_an_error() {
        assert!(matches!(Split::cut(&samples(1), 0.2, 0), Err(SplitError::TooFew { found: 1 })));
        let split = Split { train: vec!["99".into()], validation: vec![] };
        assert!(split.apply(&samples(3)).unwrap_err().to_string().contains("`99`"));
    }
}
