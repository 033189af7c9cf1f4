//! The validation part, taken from what may be learned from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use seg_data::{Dataset, PicturePath, Sample};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::data::fold::Fold;
use crate::run::config::Config;

/// The share that is cut off for validation where nobody says otherwise.
const SHARE: f64 = 0.2;

/// The part that each sample went into, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The samples that are learned from.
    pub train: Vec<String>,
    /// The samples that choose the best epoch.
    pub validation: Vec<String>,
}

/// An error in splitting a data set.
#[derive(Debug, Error)]
pub enum SplitError {
    /// There are too few images.
    #[error("cannot cut {parts} parts from {found} image(s); every part needs at least one")]
    TooFew {
        /// The number of parts.
        parts: usize,
        /// The number of images.
        found: usize,
    },
    /// A file cannot be read.
    #[error("cannot read the split `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file holds no split.
    #[error("the file `{}` is no split; expected {{\"train\": [names], \"validation\": [names]}}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// A split has nothing in a part.
    #[error("the split has no image in its part `{part}`")]
    Empty {
        /// The part.
        part: &'static str,
    },
    /// A split names an image twice.
    #[error(
        "the split names `{name}` twice; an image that is learned from cannot choose the best epoch, and none counts twice"
    )]
    Twice {
        /// The name.
        name: String,
    },
    /// A split names an image that the data set does not have.
    #[error("the split names `{name}`, which is not among the training images; the folder may have changed")]
    Unknown {
        /// The name.
        name: String,
    },
}

impl Split {
    /// Splits a data set as a configuration asks.
    ///
    /// # Errors
    /// When there are too few images, or the configuration's file is not a split of this data set.
    pub fn from_config(dataset: &Dataset, config: &Config) -> Result<Self, SplitError> {
        let split = match (&config.split, config.fold, config.validation) {
            (Some(path), ..) => Self::read(path)?,
            (None, Some(fold), _) => Self::fold(&dataset.train, fold, config.seed)?,
            (None, None, None) if !dataset.validation.is_empty() => Self::published(dataset),
            (None, None, share) => Self::cut(&dataset.train, share.unwrap_or(SHARE), config.seed)?,
        };
        split.apply(&dataset.train)?;
        Ok(split)
    }

    /// Cuts a share of the samples off for validation, at random by the seed, at least one on
    /// either side.
    ///
    /// # Errors
    /// When there are fewer than two samples.
    pub fn cut(samples: &[Sample], share: f64, seed: u64) -> Result<Self, SplitError> {
        let groups = shuffled(samples, 2, seed)?;
        let count = ((groups.len() as f64 * share).round() as usize).clamp(1, groups.len() - 1);
        Ok(Self::by_place(groups, |place| place < count))
    }

    /// Validates on one of as many random parts as the fold says, which differ by one image at
    /// most.
    ///
    /// The parts follow from the seed alone, so that the folds of one seed together validate on
    /// every image once.
    ///
    /// # Errors
    /// When there are fewer samples than parts.
    pub fn fold(samples: &[Sample], fold: Fold, seed: u64) -> Result<Self, SplitError> {
        let groups = shuffled(samples, fold.count, seed)?;
        Ok(Self::by_place(groups, |place| place % fold.count == fold.index - 1))
    }

    /// Returns the publishers' split.
    fn published(dataset: &Dataset) -> Self {
        let chosen: BTreeSet<&String> = dataset.validation.iter().collect();
        let names = dataset.train.iter().map(|sample| sample.name.clone());
        let (validation, train) = names.partition(|name| chosen.contains(name));
        Self { train, validation }
    }

    /// Reads a split, such as a run keeps it.
    fn read(path: &Path) -> Result<Self, SplitError> {
        let text = fs::read_to_string(path).map_err(|source| SplitError::Read { path: path.into(), source })?;
        serde_json::from_str(&text).map_err(|source| SplitError::Json { path: path.into(), source })
    }

    /// Sorts groups of names into the two parts by their places in a row.
    fn by_place(groups: Vec<Vec<String>>, validates: impl Fn(usize) -> bool) -> Self {
        let (validation, train): (Vec<_>, Vec<_>) =
            groups.into_iter().enumerate().partition(|(place, _)| validates(*place));
        let [train, validation] = [train, validation].map(|part| {
            let mut names: Vec<String> = part.into_iter().flat_map(|(_, names)| names).collect();
            names.sort_unstable();
            names
        });
        Self { train, validation }
    }

    /// Returns the samples of both parts, training first.
    ///
    /// # Errors
    /// When a part is empty, or a name occurs twice or is not among the samples.
    pub fn apply(&self, samples: &[Sample]) -> Result<(Vec<Sample>, Vec<Sample>), SplitError> {
        for (part, names) in [("train", &self.train), ("validation", &self.validation)] {
            if names.is_empty() {
                return Err(SplitError::Empty { part });
            }
        }
        let mut seen = BTreeSet::new();
        if let Some(name) = self.train.iter().chain(&self.validation).find(|name| !seen.insert(*name)) {
            return Err(SplitError::Twice { name: name.clone() });
        }
        Ok((find(&self.train, samples)?, find(&self.validation, samples)?))
    }
}

/// Returns the samples of these names.
fn find(names: &[String], samples: &[Sample]) -> Result<Vec<Sample>, SplitError> {
    let found = names.iter().map(|name| {
        let sample = samples.iter().find(|sample| sample.name == *name);
        sample.cloned().ok_or_else(|| SplitError::Unknown { name: name.clone() })
    });
    found.collect()
}

/// Shuffles the names of the samples, if there are enough for the number of parts. The pictures of
/// a file stay together, as neighbouring slices are much alike, unless there are too few files.
fn shuffled(samples: &[Sample], parts: usize, seed: u64) -> Result<Vec<Vec<String>>, SplitError> {
    if samples.len() < parts {
        return Err(SplitError::TooFew { parts, found: samples.len() });
    }
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut last = None;
    for sample in samples {
        let PicturePath { file, number, .. } = PicturePath::new(&sample.image);
        let file = number.map(|_| file);
        match groups.last_mut() {
            Some(group) if file.is_some() && file == last => group.push(sample.name.clone()),
            _ => groups.push(vec![sample.name.clone()]),
        }
        last = file;
    }
    if groups.len() < parts {
        groups = samples.iter().map(|sample| vec![sample.name.clone()]).collect();
    }
    groups.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use seg_data::{Layout, MaskCoding};
    use seg_nets::amsunet::AmsUnetConfig;

    use super::*;
    use crate::data::augment::Augmentation;

    fn sample(number: usize) -> Sample {
        Sample {
            name: format!("{number:02}"),
            image: "image".into(),
            mask: "mask".into(),
            coding: MaskCoding::Binary,
            field_of_view: None,
            reading: seg_contract::Reading::default(),
        }
    }

    fn samples(count: usize) -> Vec<Sample> {
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
    fn the_folds_of_a_seed_are_a_partition() {
        for (images, count) in [(20, 5), (7, 3), (4, 4), (11, 2)] {
            let samples = samples(images);
            let splits: Vec<Split> =
                (1..=count).map(|index| Split::fold(&samples, Fold { index, count }, 3).unwrap()).collect();
            let mut validated: Vec<_> = splits.iter().flat_map(|split| split.validation.clone()).collect();
            validated.sort_unstable();
            let names: Vec<_> = samples.iter().map(|sample| sample.name.clone()).collect();
            assert_eq!(validated, names, "{count} folds of {images}: every image validates once");
            for split in &splits {
                assert!(
                    (images / count..=images.div_ceil(count)).contains(&split.validation.len()),
                    "{count} of {images}"
                );
                let (train, validation) = split.apply(&samples).unwrap();
                assert_eq!(train.len() + validation.len(), images, "{count} folds of {images}: a split is whole");
            }
        }
        let fold = Fold { index: 1, count: 4 };
        assert_ne!(Split::fold(&samples(20), fold, 1).unwrap(), Split::fold(&samples(20), fold, 2).unwrap());
    }

    fn dataset(validation: &[&str]) -> Dataset {
        Dataset {
            name: "set".into(),
            root: "root".into(),
            layout: Layout::Folder,
            classes: Vec::new(),
            train: samples(10),
            validation: validation.iter().map(|name| (*name).into()).collect(),
            test: Vec::new(),
            reading: String::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_configuration_decides_how_images_are_split() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("split.json");
        fs::write(&path, r#"{"train": ["01", "02"], "validation": ["00"]}"#).unwrap();
        let plain = Config::recipe("data".into(), AmsUnetConfig::new(), Augmentation::recipe(32, [32, 32]));
        let fold = Some(Fold { index: 1, count: 10 });
        for (name, published, config, expected) in [
            ("a file", &["03"][..], Config { split: Some(path), ..plain.clone() }, 1),
            ("a fold", &["03"], Config { fold, ..plain.clone() }, 1),
            ("a share", &["03"], Config { validation: Some(0.5), ..plain.clone() }, 5),
            ("the publishers", &["03", "04", "09"], plain.clone(), 3),
            ("a fifth", &[], plain, 2),
        ] {
            let split = Split::from_config(&dataset(published), &config).unwrap();
            assert_eq!(split.validation.len(), expected, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_split_is_an_error() {
        assert!(matches!(Split::cut(&samples(1), 0.2, 0), Err(SplitError::TooFew { parts: 2, found: 1 })));
        let fold = Fold { index: 1, count: 4 };
        assert!(matches!(Split::fold(&samples(3), fold, 0), Err(SplitError::TooFew { parts: 4, found: 3 })));
        for (train, validation, part) in [
            (&["99"][..], &["01"][..], "`99`, which is not among"),
            (&[], &["01"], "no image in its part `train`"),
            (&["01"], &[], "no image in its part `validation`"),
            (&["01", "02"], &["01"], "names `01` twice"),
        ] {
            let [train, validation] =
                [train, validation].map(|names| names.iter().map(|name| (*name).into()).collect());
            let message = Split { train, validation }.apply(&samples(3)).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("split.json");
        assert!(matches!(Split::read(&path), Err(SplitError::Read { .. })));
        fs::write(&path, "[]").unwrap();
        assert!(matches!(Split::read(&path), Err(SplitError::Json { .. })));
    }
}
