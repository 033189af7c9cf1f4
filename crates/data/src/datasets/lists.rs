//! Splits of a data set by the lists beside it: `train.txt` for training and `val.txt` for the
//! test.
//!
//! If `test.txt` exists as well, it is the test part, and `val.txt` chooses the best epoch.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{DatasetError, Parts, Sample};
use crate::formats::has_image_extension;

/// The list of training samples.
const TRAIN: &str = "train.txt";
/// The list of test samples, or of validation samples if there is a third list.
const VALIDATION: &str = "val.txt";
/// The list of test samples if there are three lists.
const TEST: &str = "test.txt";

/// Returns the parts of a folder, each sorted by name; without lists everything may be used for
/// training.
pub(super) fn split_folder(root: &Path, samples: Vec<Sample>, problems: &mut Vec<DatasetError>) -> Parts {
    let parts = if root.join(TEST).exists() {
        split(root, [TRAIN, VALIDATION, TEST], &samples, problems)
    } else {
        split(root, [TRAIN, VALIDATION], &samples, problems).map(|[train, validation]| [train, validation, Vec::new()])
    };
    match parts {
        Some([train, validation, test]) => Parts { train, validation, test },
        None => Parts { train: samples, ..Parts::default() },
    }
}

/// Returns the samples that each list names, sorted by name; empty without a list.
///
/// A sample in no list is in no part.
pub(super) fn split<const PARTS: usize>(
    root: &Path,
    lists: [&str; PARTS],
    samples: &[Sample],
    problems: &mut Vec<DatasetError>,
) -> Option<[Vec<Sample>; PARTS]> {
    let lists = lists.map(|name| root.join(name));
    let found = lists.iter().find(|list| list.exists())?;
    if let Some(missing) = lists.iter().find(|list| !list.exists()) {
        problems.push(DatasetError::ListMissing { found: found.clone(), missing: missing.clone() });
        return None;
    }
    let samples = samples.iter().map(|sample| (sample.name.as_str(), sample)).collect();
    let parts = lists.each_ref().map(|list| select(list, &samples, problems));
    for (index, (first, names)) in lists.iter().zip(&parts).enumerate() {
        for (second, others) in lists.iter().zip(&parts).skip(index + 1) {
            let names: Vec<_> =
                names.keys().filter(|name| others.contains_key(*name)).map(|&name| name.into()).collect();
            if !names.is_empty() {
                problems.push(DatasetError::ListOverlap { first: first.clone(), second: second.clone(), names });
            }
        }
    }
    Some(parts.map(|part| part.into_values().cloned().collect()))
}

/// Reads the names in a list, one per line, with or without the extension of an image file.
fn select<'a>(
    list: &PathBuf,
    samples: &BTreeMap<&'a str, &'a Sample>,
    problems: &mut Vec<DatasetError>,
) -> BTreeMap<&'a str, &'a Sample> {
    let mut selected = BTreeMap::new();
    let text = match fs::read_to_string(list) {
        Ok(text) => text,
        Err(source) => {
            problems.push(DatasetError::Read { path: list.clone(), source });
            return selected;
        }
    };
    let mut names = Vec::new();
    // Editors on Windows write a byte order mark before the first line.
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty()) {
        let stem =
            line.rsplit_once('.').filter(|_| has_image_extension(Path::new(line))).map_or(line, |(stem, _)| stem);
        match samples.get_key_value(stem) {
            Some((name, sample)) => drop(selected.insert(*name, *sample)),
            None => names.push(line.to_owned()),
        }
    }
    if selected.is_empty() && names.is_empty() {
        problems.push(DatasetError::ListEmpty { list: list.clone() });
    }
    if !names.is_empty() {
        problems.push(DatasetError::ListUnknown { list: list.clone(), names });
    }
    selected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masks::MaskCoding;

    /// Splits the samples `a` to `d` by the given lists.
    fn split_by(train: Option<&str>, validation: Option<&str>) -> Result<[Vec<String>; 2], DatasetError> {
        split_by_all(train, validation, None).map(|[train, validation, _]| [train, validation])
    }

    fn split_by_all(
        train: Option<&str>,
        validation: Option<&str>,
        test: Option<&str>,
    ) -> Result<[Vec<String>; 3], DatasetError> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [(TRAIN, train), (VALIDATION, validation), (TEST, test)] {
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
            reading: seg_contract::Reading::default(),
        };
        let mut problems = Vec::new();
        let parts = split_folder(root.path(), ["a", "b", "c", "d"].map(sample).into(), &mut problems);
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok([parts.train, parts.validation, parts.test]
                .map(|part| part.into_iter().map(|sample| sample.name).collect())),
        }
    }

    #[test]
    fn lists_split_a_data_set() {
        for (name, train, test, expected) in [
            ("no lists", None, None, [&["a", "b", "c", "d"][..], &[]]),
            ("sorted by name", Some("d\na\nb\n"), Some("c\n"), [&["a", "b", "d"], &["c"]]),
            (
                "extensions, blank lines, and line ends and marks of Windows",
                Some("\u{feff}a.jpg\r\n\r\n"),
                Some(" b \r\n"),
                [&["a"], &["b"]],
            ),
            ("a part of the samples", Some("a"), Some("b"), [&["a"], &["b"]]),
        ] {
            assert_eq!(split_by(train, test).unwrap(), expected, "{name}");
        }
        assert_eq!(split_by_all(Some("d"), Some("b"), Some("a")).unwrap(), [["d"], ["b"], ["a"]]);
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
        let message = split_by_all(Some("a"), None, Some("b")).unwrap_err().to_string();
        assert!(message.contains("val.txt` is not"), "{message}");
    }
}
