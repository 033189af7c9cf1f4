//! Splits a data set by the lists beside it: `train.txt` to learn from, `val.txt` held out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{DatasetError, Sample, first_names};
use crate::decode::has_image_extension;

/// The list of what may be learned from.
const TRAIN: &str = "train.txt";
/// The list of what is held out.
const HELD_OUT: &str = "val.txt";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::MaskCoding;

    /// Splits the samples `a` to `d` by the given lists.
    fn split_by(train: Option<&str>, test: Option<&str>) -> Result<[Vec<String>; 2], DatasetError> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [(TRAIN, train), (HELD_OUT, test)] {
            if let Some(text) = text {
                fs::write(root.path().join(name), text).unwrap();
            }
        }
        let sample = |name: &str| Sample {
            name: name.into(),
            image: format!("images/{name}.png").into(),
            mask: format!("masks/{name}.png").into(),
            coding: MaskCoding::Binary,
            field_of_view: None,
        };
        let (train, test) = split(root.path(), ["a", "b", "c", "d"].map(sample).into())?;
        Ok([train, test].map(|part| part.into_iter().map(|sample| sample.name).collect()))
    }

    #[test]
    fn lists_split_a_data_set() {
        for (name, train, test, expected) in [
            ("no lists", None, None, [&["a", "b", "c", "d"][..], &[]]),
            ("sorted by name", Some("d\na\nb\n"), Some("c\n"), [&["a", "b", "d"], &["c"]]),
            (
                "extensions, blank lines and line ends of Windows",
                Some("a.jpg\r\n\r\n"),
                Some(" b \r\n"),
                [&["a"], &["b"]],
            ),
            ("a part of the samples", Some("a"), Some("b"), [&["a"], &["b"]]),
        ] {
            assert_eq!(split_by(train, test).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn lists_that_split_nothing_are_errors() {
        for (name, train, test, part) in [
            ("one list", Some("a"), None, "val.txt` is not"),
            ("the other list", None, Some("a"), "train.txt` is not"),
            ("an empty list", Some("a"), Some("\n"), "val.txt` is empty"),
            ("unknown names", Some("a\nx\ny"), Some("b"), "2 names in the list"),
            ("a name in both", Some("a\nb"), Some("b\nc"), "1 names are in both"),
        ] {
            let message = split_by(train, test).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }
}
