//! A table of files: an image, its mask and, optionally, the part on each line.
//!
//! ```text
//! image,mask,part
//! scans/a.png,"drawn/a, second reader.png",train
//! ```
//!
//! Paths begin at the data set's folder, or at the table's. The heading may be missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seg_contract::Reading;

use super::listing::stem;
use super::text::{composed, read_text};
use super::words::Portion;
use super::{Dataset, DatasetError, Layout, Parts, Sample, classes, lists, palettes};
use crate::masks::Border;

/// Surveys the files of a table.
pub(super) fn survey(
    root: &Path,
    name: String,
    table: &Path,
    border: Border,
    problems: &mut Vec<DatasetError>,
) -> Result<Dataset, DatasetError> {
    let described = classes::read(root, "target", border)?;
    let text = read_text(table)?;
    let folders = [root, table.parent().unwrap_or(root)];
    let separator = separator(&text);
    // The masks of each image, in the order of the lines.
    let mut images = Vec::<(PathBuf, Vec<PathBuf>, Option<Portion>)>::new();
    let mut places = BTreeMap::<PathBuf, usize>::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields = fields(line, separator);
        let refuse = |found: String, expected| {
            Err(DatasetError::Table { path: table.into(), line: number + 1, found, expected })
        };
        let (Some(image), Some(mask)) = (fields.first(), fields.get(1)) else {
            return refuse("has one column".into(), "an image and its mask, with a comma, semicolon or tab between");
        };
        let found = [image, mask].map(|text| find(&folders, text));
        let [Some(image), Some(mask)] = found else {
            if number == 0 && found.iter().all(Option::is_none) && is_heading(&fields) {
                continue;
            }
            let missing = if found[0].is_none() { image } else { mask };
            return refuse(format!("names `{missing}`, which is not there"), "a path from the data set's folder on");
        };
        let portion = match fields.get(2).map(|text| text.trim().to_lowercase()) {
            None => None,
            Some(text) if text.is_empty() => None,
            Some(text) => match super::words::Word::read(&text).portion {
                Some(portion) => Some(portion),
                None => return refuse(format!("names the part `{text}`"), "train, validation or test"),
            },
        };
        match places.get(&image) {
            Some(place) => images[*place].1.push(mask),
            None => {
                places.insert(image.clone(), images.len());
                images.push((image, vec![mask], portion));
            }
        }
    }
    if images.is_empty() {
        return Err(DatasetError::ListEmpty { list: table.into() });
    }
    let names = names(root, &images);
    let several = images.iter().any(|(_, masks, _)| masks.len() > 1);
    let mut by_portion = BTreeMap::<Option<Portion>, Vec<Sample>>::new();
    for ((image, masks, portion), name) in images.into_iter().zip(names) {
        let coding =
            if masks.len() > 1 { described.of_objects(root, masks.clone())? } else { described.coding.clone() };
        let mask = masks.into_iter().next().unwrap_or_default();
        by_portion.entry(portion).or_default().push(Sample {
            name,
            image,
            mask,
            coding,
            field_of_view: None,
            reading: Reading::default(),
        });
    }
    let mut take = |portion| {
        let mut samples = by_portion.remove(&portion).unwrap_or_default();
        samples.sort_by(|one: &Sample, other| one.name.cmp(&other.name));
        samples
    };
    let (whole, train, validation, test) =
        (take(None), take(Some(Portion::Train)), take(Some(Portion::Validation)), take(Some(Portion::Test)));
    let parts = if train.is_empty() && validation.is_empty() && test.is_empty() {
        lists::split_folder(root, whole, problems)
    } else {
        Parts { train: super::merge(train, whole), validation, test }
    };
    let classes = if several { described.with_border() } else { described.classes.clone() };
    let mut dataset = parts.into_dataset(name, root, Layout::Folder, classes);
    dataset.reading = format!("images and masks in the table `{}`", super::name_of(table));
    if described.is_assumed && !several {
        palettes::take_classes(&mut dataset)?;
    }
    Ok(dataset)
}

/// Returns the names of the samples: those of the images, or, where two are the same, their paths.
fn names(root: &Path, images: &[(PathBuf, Vec<PathBuf>, Option<Portion>)]) -> Vec<String> {
    let short: Vec<String> = images.iter().map(|(image, ..)| composed(&stem(&super::name_of(image)))).collect();
    let mut counts = BTreeMap::<&str, usize>::new();
    short.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    let long = |image: &Path| {
        let path = image.strip_prefix(root).unwrap_or(image).with_extension("");
        let parts = path.components().filter_map(|part| match part {
            std::path::Component::Normal(part) => Some(super::name_of(Path::new(part))),
            _ => None,
        });
        composed(&parts.collect::<Vec<_>>().join("_"))
    };
    let name = |((image, ..), short): (&(PathBuf, _, _), &String)| {
        if counts[short.as_str()] > 1 { long(image) } else { short.clone() }
    };
    images.iter().zip(&short).map(name).collect()
}

/// Finds a file by a path in a table; Windows' separators are taken for what they are.
fn find(folders: &[&Path], text: &str) -> Option<PathBuf> {
    let forward = text.replace('\\', "/");
    let paths = folders.iter().flat_map(|folder| [folder.join(text), folder.join(&forward)]);
    paths.into_iter().find(|path| path.is_file())
}

fn is_heading(fields: &[String]) -> bool {
    let known = ["image", "mask", "label", "annotation", "file", "path", "segmentation", "input", "target", "name"];
    fields.iter().take(2).all(|field| known.iter().any(|word| field.to_lowercase().contains(word)))
}

/// Returns the sign between the columns: the one that the first line has.
pub(super) fn separator(text: &str) -> char {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    ['\t', ';', ','].into_iter().find(|sign| first.contains(*sign)).unwrap_or(',')
}

/// Divides a line into its columns; quoted ones may contain the separator, and quotes doubled.
pub(super) fn fields(line: &str, separator: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut signs = line.trim_end_matches('\r').chars().peekable();
    while let Some(sign) = signs.next() {
        let last = fields.len() - 1;
        match sign {
            '"' if quoted && signs.peek() == Some(&'"') => {
                signs.next();
                fields[last].push('"');
            }
            '"' if quoted || fields[last].trim().is_empty() => quoted = !quoted,
            sign if sign == separator && !quoted => fields.push(String::new()),
            sign => fields[last].push(sign),
        }
    }
    fields.into_iter().map(|field| field.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::datasets::Selection;

    fn open(files: &[&str], table: &[u8]) -> Result<Dataset, DatasetError> {
        let root = tempfile::tempdir().unwrap().keep();
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::write(root.join("pairs.csv"), table).unwrap();
        let selection = Selection { pairs: Some(root.join("pairs.csv")), ..Selection::default() };
        let dataset = Dataset::open_with(&root, &selection);
        fs::remove_dir_all(root).unwrap();
        dataset
    }

    #[test]
    fn any_files_are_paired_by_a_table() {
        let files = ["x/1.png", "x/2.png", "y/drawn, b.png", "y/a.gif", "z/1.png", "z/m.png"];
        let wide: Vec<u8> =
            "\u{feff}image;mask\r\nx\\1.png;y\\a.gif\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (name, table, train, test) in [
            (
                "commas and quotes",
                b"image,mask\nx/1.png,\"y/drawn, b.png\"\nx/2.png,y/a.gif\n".to_vec(),
                &["1", "2"][..],
                0,
            ),
            ("tabs without a heading", b"x/1.png\ty/a.gif\n".to_vec(), &["1"], 0),
            ("UTF-16 with backslashes", wide, &["1"], 0),
            ("parts", b"x/1.png,y/a.gif,train\nx/2.png,y/a.gif,TEST\n".to_vec(), &["1"], 1),
            ("equal names", b"x/1.png,y/a.gif\nz/1.png,z/m.png\n".to_vec(), &["x_1", "z_1"], 0),
            ("several objects", b"x/1.png,y/a.gif\nx/1.png,z/m.png\n".to_vec(), &["1"], 0),
        ] {
            let dataset = open(&files, &table).unwrap();
            let names: Vec<_> = dataset.train.iter().map(|sample| sample.name.as_str()).collect();
            assert_eq!((names.as_slice(), dataset.test.len()), (train, test), "{name}");
        }
    }

    #[test]
    fn a_line_that_names_no_files_is_named() {
        for (table, part) in [
            ("x/1.png,y/2.png\n", "line 1 of the table"),
            ("image,mask\nx/1.png,gone.png\n", "line 2"),
            ("x/1.png\n", "has one column"),
            ("x/1.png,x/1.png,nowhere\n", "the part `nowhere`"),
            ("\n", "is empty"),
        ] {
            let message = open(&["x/1.png"], table.as_bytes()).unwrap_err().to_string();
            assert!(message.contains("pairs.csv") && message.contains(part), "{message}");
        }
    }
}
