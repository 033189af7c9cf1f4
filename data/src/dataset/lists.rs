//! Splits a data set by the lists beside it: `train.txt` to learn from, `val.txt` held out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{DatasetError, Sample, first_names};
use crate::decode::has_image_extension;

/// The list of what may be learned from.
pub(super) const TRAIN: &str = "train.txt";
/// The list of what is held out.
pub(super) const HELD_OUT: &str = "val.txt";

/// The samples to learn from and those held out, each sorted by name; without lists none are held out.
///
/// A sample in neither list is in neither part.
pub(super) fn split(root: &Path, samples: Vec<Sample>) -> Result<(Vec<Sample>, Vec<Sample>), DatasetError> {
    let [train, test] = [TRAIN, HELD_OUT].map(|name| root.join(name));
    match (train.exists(), test.exists()) {
        (false, false) => return Ok((samples, Vec::new())),
        (true, false) => return Err(DatasetError::ListMissing { found: train, missing: test }),
        (false, true) => return Err(DatasetError::ListMissing { found: test, missing: train }),
        (true, true) => {}
    }
    let samples = samples.into_iter().map(|sample| (sample.name.clone(), sample)).collect();
    let (learned, held_out) = (select(&train, &samples)?, select(&test, &samples)?);
    let both: Vec<_> = learned.keys().filter(|name| held_out.contains_key(*name)).cloned().collect();
    if !both.is_empty() {
        return Err(DatasetError::ListOverlap { train, test, count: both.len(), names: first_names(both.into_iter()) });
    }
    Ok((learned.into_values().collect(), held_out.into_values().collect()))
}

/// The samples that a list names, one per line, with or without the extension of an image file.
fn select(list: &Path, samples: &BTreeMap<String, Sample>) -> Result<BTreeMap<String, Sample>, DatasetError> {
    let text = fs::read_to_string(list).map_err(|source| DatasetError::Read { path: list.into(), source })?;
    let mut selected = BTreeMap::new();
    let mut unknown = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let stem =
            line.rsplit_once('.').filter(|_| has_image_extension(Path::new(line))).map_or(line, |(stem, _)| stem);
        match samples.get(stem) {
            Some(sample) => drop(selected.insert(stem.to_owned(), sample.clone())),
            None => unknown.push(line.to_owned()),
        }
    }
    if !unknown.is_empty() {
        let count = unknown.len();
        return Err(DatasetError::ListUnknown { list: list.into(), count, names: first_names(unknown.into_iter()) });
    }
    if selected.is_empty() { Err(DatasetError::ListEmpty { list: list.into() }) } else { Ok(selected) }
}
