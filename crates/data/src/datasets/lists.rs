//! Splits of a data set by the lists beside it: `train.txt` for training, `val.txt` to choose the
//! best epoch, and `test.txt` for the test.
//!
//! A line names an image: by its name, by a path with or without an extension, in the first of
//! several columns, in quotes, in any case if that is unique.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::text::{composed, read_text};
use super::words::{Portion, portion_of_file};
use super::{DatasetError, Parts, Sample, table};
use crate::formats::has_image_extension;

/// The folders in which lists lie: the data set's own, and that of Pascal VOC.
const FOLDERS: [&str; 2] = ["", "ImageSets/Segmentation"];

/// Returns the lists that split a folder, by the part that each names.
fn find(root: &Path) -> BTreeMap<Portion, PathBuf> {
    for folder in FOLDERS {
        let Ok(entries) = super::entries(&root.join(folder)) else { continue };
        let is_text = |path: &PathBuf| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("txt"));
        let lists = entries.into_iter().filter(|path| path.is_file() && is_text(path));
        let lists: BTreeMap<_, _> = lists.filter_map(|path| Some((portion_of_file(&path)?, path))).collect();
        if !lists.is_empty() {
            return lists;
        }
    }
    BTreeMap::new()
}

/// Returns true if a folder has lists.
pub(super) fn exist(root: &Path) -> bool {
    !find(root).is_empty()
}

/// Returns the parts of a folder, each sorted by name; without lists everything may be used for
/// training.
pub(super) fn split_folder(root: &Path, samples: Vec<Sample>, problems: &mut Vec<DatasetError>) -> Parts {
    let mut lists = find(root);
    if lists.is_empty() {
        return Parts { train: samples, ..Parts::default() };
    }
    let expected = root.join("train.txt");
    let train = lists.remove(&Portion::Train);
    let Some(train) = train else {
        let found = lists.into_values().next().unwrap_or_default();
        problems.push(DatasetError::ListMissing { found, missing: expected });
        return Parts { train: samples, ..Parts::default() };
    };
    let (validation, test) = (lists.remove(&Portion::Validation), lists.remove(&Portion::Test));
    let parts = match (validation, test) {
        (Some(validation), Some(test)) => split_by([train, validation, test], &samples, problems),
        (Some(validation), None) => {
            let [train, validation] = split_by([train, validation], &samples, problems);
            [train, validation, Vec::new()]
        }
        (None, Some(test)) => {
            let [train, test] = split_by([train, test], &samples, problems);
            [train, Vec::new(), test]
        }
        (None, None) => {
            problems.push(DatasetError::ListMissing { found: train, missing: root.join("val.txt") });
            return Parts { train: samples, ..Parts::default() };
        }
    };
    let [train, validation, test] = parts;
    Parts { train, validation, test }
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
    Some(split_by(lists, samples, problems))
}

fn split_by<const PARTS: usize>(
    lists: [PathBuf; PARTS],
    samples: &[Sample],
    problems: &mut Vec<DatasetError>,
) -> [Vec<Sample>; PARTS] {
    let names = Names::new(samples);
    let parts = lists.each_ref().map(|list| select(list, &names, problems));
    for (index, (first, names)) in lists.iter().zip(&parts).enumerate() {
        for (second, others) in lists.iter().zip(&parts).skip(index + 1) {
            let names: Vec<_> =
                names.keys().filter(|name| others.contains_key(*name)).map(|&name| name.into()).collect();
            if !names.is_empty() {
                problems.push(DatasetError::ListOverlap { first: first.clone(), second: second.clone(), names });
            }
        }
    }
    parts.map(|part| part.into_values().cloned().collect())
}

/// The samples by everything that a line may call them.
struct Names<'a> {
    by_name: BTreeMap<String, Option<&'a Sample>>,
    /// In lower case.
    by_any_case: BTreeMap<String, Option<&'a Sample>>,
}

impl<'a> Names<'a> {
    fn new(samples: &'a [Sample]) -> Self {
        let (mut by_name, mut by_any_case) = (BTreeMap::new(), BTreeMap::new());
        // Names come before those of files, and one that two samples have is none.
        let mut add = |name: String, sample: &'a Sample, is_name: bool| {
            for (map, name) in [(&mut by_name, name.clone()), (&mut by_any_case, name.to_lowercase())] {
                let known = map.entry(name).or_insert(Some(sample));
                if !is_name && known.is_some_and(|known: &Sample| known.name != sample.name) {
                    *known = None;
                }
            }
        };
        let known: BTreeSet<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
        samples.iter().for_each(|sample| add(sample.name.clone(), sample, true));
        for sample in samples {
            for file in [&sample.image, &sample.mask] {
                let mut tail = composed(&super::listing::stem(&super::name_of(file)));
                if !known.contains(tail.as_str()) {
                    add(tail.clone(), sample, false);
                }
                for folder in file.ancestors().skip(1).take(PATH_MAX) {
                    tail = format!("{}/{tail}", composed(&super::name_of(folder)));
                    add(tail.clone(), sample, false);
                }
            }
        }
        Self { by_name, by_any_case }
    }

    /// Finds the sample that a text names.
    fn get(&self, text: &str) -> Option<&'a Sample> {
        let text = composed(text.trim().trim_matches(['"', '\'']).trim());
        let text = text.replace('\\', "/");
        let shorter = |text: &str| {
            let file = text.rsplit('/').next().unwrap_or(text);
            let stem = super::listing::stem(file);
            has_image_extension(Path::new(file)).then(|| format!("{}{stem}", &text[..text.len() - file.len()]))
        };
        let stem = shorter(&text);
        let mut names = vec![text.as_str()];
        names.extend(stem.as_deref());
        for name in names {
            let mut tail = name.trim_start_matches("./");
            loop {
                let found = self.by_name.get(tail).or_else(|| self.by_any_case.get(&tail.to_lowercase()));
                if let Some(Some(sample)) = found {
                    return Some(sample);
                }
                // An absolute path of another machine ends like one of here.
                match tail.split_once('/') {
                    Some((_, rest)) => tail = rest,
                    None => break,
                }
            }
        }
        None
    }

    /// Finds the sample that a line names: the whole line, or its first column.
    fn find(&self, line: &str) -> Option<&'a Sample> {
        let columns = [',', ';', '\t'].into_iter().filter(|sign| line.contains(*sign));
        let mut columns = columns.filter_map(|sign| table::fields(line, sign).into_iter().next());
        let words = || line.split_whitespace().next().filter(|first| *first != line);
        self.get(line).or_else(|| columns.find_map(|first| self.get(&first))).or_else(|| self.get(words()?))
    }
}

/// The most folders of a path that tell files of the same name apart.
const PATH_MAX: usize = 6;

/// Reads the names in a list, one per line.
fn select<'a>(list: &Path, samples: &Names<'a>, problems: &mut Vec<DatasetError>) -> BTreeMap<&'a str, &'a Sample> {
    let mut selected = BTreeMap::new();
    let text = match read_text(list) {
        Ok(text) => text,
        Err(problem) => {
            problems.push(problem);
            return selected;
        }
    };
    let mut names = Vec::new();
    for (number, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        match samples.find(line) {
            Some(sample) => drop(selected.insert(sample.name.as_str(), sample)),
            // The heading of a table.
            None if number == 0 && is_heading(line) => {}
            None => names.push(line.to_owned()),
        }
    }
    if selected.is_empty() && names.is_empty() {
        problems.push(DatasetError::ListEmpty { list: list.into() });
    }
    if !names.is_empty() {
        problems.push(DatasetError::ListUnknown { list: list.into(), names });
    }
    selected
}

fn is_heading(line: &str) -> bool {
    let first = line.split([',', ';', '\t']).next().unwrap_or(line).trim().to_lowercase();
    ["image", "images", "name", "file", "filename", "id", "image_id", "path"].contains(&first.as_str())
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        for (name, text) in [("train.txt", train), ("val.txt", validation), ("test.txt", test)] {
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
        assert_eq!(split_by_all(Some("d"), None, Some("a")).unwrap(), [&["d"][..], &[], &["a"]]);
    }

    #[test]
    fn lines_of_other_tools_name_images() {
        for (name, lines) in [
            ("paths", "images/a.png\nimages/b.png"),
            ("paths without extension", "images/a\nimages/b"),
            ("two columns", "images/a.png masks/a.png\nimages/b.png masks/b.png"),
            ("commas and a heading", "image,mask\nimages/a.png,masks/a.png\n\"b\",x"),
            ("tabs", "a\t1\nb\t0"),
            ("backslashes of another machine", "C:\\data\\images\\a.png\nC:\\data\\images\\b.png"),
            ("absolute", "/home/me/images/a.png\n/home/me/images/b.png"),
            ("from here", "./images/a.png\n./images/b.png"),
            ("quoted", "\"a.png\"\n'b'"),
            ("another case", "A\nIMAGES/B.PNG"),
            ("masks", "masks/a.png\nmasks/b.png"),
        ] {
            let found = split_by(Some(lines), Some("c")).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(found, [&["a", "b"][..], &["c"]], "{name}");
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
            ("a path to nothing", Some("a\nimages/x.png"), Some("b"), "`images/x.png`"),
        ] {
            let message = split_by(train, test).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }
}
