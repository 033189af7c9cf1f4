//! Descriptions of classes that other tools write.
//!
//! - nnU-Net's `dataset.json`: `"labels": {"background": 0, "tumour": 1}`, or the other way round
//!   in its first version;
//! - the `labelmap.txt` of CVAT's export of Pascal VOC: `tumour:128,0,0::`;
//! - `class_dict.csv`, as CamVid has it: `name,r,g,b`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seg_contract::{Class, IGNORE_LABEL};
use serde_json::{Map, Value};

use super::DatasetError;
use super::classes::describe;
use super::text::read_text;
use crate::masks::MaskCoding;

type Classes = (Vec<Class>, MaskCoding);

/// Reads the first description that exists.
pub(super) fn read(root: &Path) -> Result<Option<Classes>, DatasetError> {
    let nnunet = root.join("dataset.json");
    if nnunet.is_file()
        && let Ok(Value::Object(dataset)) = serde_json::from_str::<Value>(&read_text(&nnunet)?)
        && let Some(Value::Object(labels)) = dataset.get("labels")
    {
        return read_nnunet(&nnunet, labels).map(Some);
    }
    let labelmap = root.join("labelmap.txt");
    if labelmap.is_file() {
        return read_labelmap(&labelmap).map(Some);
    }
    let dictionary = root.join("class_dict.csv");
    if dictionary.is_file() {
        return read_dictionary(&dictionary).map(Some);
    }
    Ok(None)
}

fn unusable(path: &Path, found: String, expected: &'static str) -> DatasetError {
    DatasetError::Classes { path: PathBuf::from(path), found, expected }
}

fn read_nnunet(path: &Path, labels: &Map<String, Value>) -> Result<Classes, DatasetError> {
    const EXPECTED: &str = "labels as {\"background\": 0, \"tumour\": 1}, numbered from 0 without a gap";
    let mut names = BTreeMap::new();
    for (key, value) in labels {
        let pair = match value {
            Value::Number(number) => number.as_u64().map(|number| (number, key.clone())),
            Value::String(name) => key.parse().ok().map(|number: u64| (number, name.clone())),
            _ => None,
        };
        let (number, name) = pair.ok_or_else(|| unusable(path, format!("the label `{key}` is {value}"), EXPECTED))?;
        if names.insert(number, name).is_some() {
            return Err(unusable(path, format!("two labels have the value {number}"), EXPECTED));
        }
    }
    let ignored = names.iter().find(|(_, name)| *name == "ignore").map(|(number, _)| *number);
    ignored.map(|number| names.remove(&number));
    if names.keys().enumerate().any(|(index, number)| index as u64 != *number) {
        let numbers: Vec<_> = names.keys().map(u64::to_string).collect();
        return Err(unusable(path, format!("its labels are {}", numbers.join(", ")), EXPECTED));
    }
    let byte = |number: u64| u8::try_from(number).ok().filter(|number| *number < IGNORE_LABEL);
    match ignored {
        None => describe(path, names.into_values().map(|name| (name, None)).collect(), None),
        Some(ignored) => {
            // The values are colours of grey, so that another one than 255 can be ignored.
            let grey = |number: u64| {
                byte(number)
                    .map(|value| [value; 3])
                    .ok_or_else(|| unusable(path, format!("it has the label {number}"), EXPECTED))
            };
            let classes = names.into_iter().map(|(number, name)| Ok((name, Some(grey(number)?))));
            let (mut classes, coding) =
                describe(path, classes.collect::<Result<_, DatasetError>>()?, Some(grey(ignored)?))?;
            for (index, class) in classes.iter_mut().enumerate() {
                class.color = Class::new("", index).color;
            }
            Ok((classes, coding))
        }
    }
}

fn read_labelmap(path: &Path) -> Result<Classes, DatasetError> {
    const EXPECTED: &str = "lines as `tumour:128,0,0::`";
    let mut classes = Vec::new();
    for line in read_text(path)?.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut fields = line.split(':');
        let (name, color) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let color =
            color_of(color.split(',')).ok_or_else(|| unusable(path, format!("it has the line `{line}`"), EXPECTED))?;
        classes.push((name.to_owned(), Some(color)));
    }
    describe(path, background_first(classes), None)
}

fn read_dictionary(path: &Path) -> Result<Classes, DatasetError> {
    const EXPECTED: &str = "lines as `tumour,128,0,0`";
    let text = read_text(path)?;
    let mut classes = Vec::new();
    for (number, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let mut fields = line.split([',', ';']).map(str::trim);
        let name = fields.next().unwrap_or_default().to_owned();
        match color_of(fields) {
            Some(color) => classes.push((name, Some(color))),
            // The heading.
            None if number == 0 => {}
            None => return Err(unusable(path, format!("it has the line `{line}`"), EXPECTED)),
        }
    }
    describe(path, background_first(classes), None)
}

fn color_of<'a>(fields: impl Iterator<Item = &'a str>) -> Option<[u8; 3]> {
    let values: Option<Vec<u8>> = fields.take(3).map(|field| field.trim().parse().ok()).collect();
    values?.try_into().ok()
}

/// Moves the class that is named background, or else the black one, to the front.
fn background_first(mut classes: Vec<(String, Option<[u8; 3]>)>) -> Vec<(String, Option<[u8; 3]>)> {
    let named = classes.iter().position(|(name, _)| name.eq_ignore_ascii_case("background"));
    let black = || classes.iter().position(|(_, color)| *color == Some([0; 3]));
    if let Some(place) = named.or_else(black) {
        let background = classes.remove(place);
        classes.insert(0, background);
    }
    classes
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_file(name: &str, text: &str) -> Result<Option<Classes>, DatasetError> {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(name), text).unwrap();
        read(root.path())
    }

    #[test]
    fn classes_are_described_in_several_forms() {
        for (name, file, text, coding) in [
            ("nnU-Net", "dataset.json", r#"{"labels": {"tumour": 1, "background": 0}}"#, "index"),
            ("its first version", "dataset.json", r#"{"labels": {"0": "background", "1": "tumour"}}"#, "index"),
            (
                "with a label to ignore",
                "dataset.json",
                r#"{"labels": {"background": 0, "tumour": 1, "ignore": 2}}"#,
                "color 000000=0 010101=1 020202=255",
            ),
            (
                "CVAT",
                "labelmap.txt",
                "# label:color:parts:actions\ntumour:128,0,0::\nbackground:0,0,0::\n",
                "color 000000=0 800000=1",
            ),
            ("CamVid", "class_dict.csv", "name,r,g,b\nBackground,0,0,0\ntumour,128,0,0\n", "color 000000=0 800000=1"),
        ] {
            let (classes, found) = read_file(file, text).unwrap().unwrap();
            let names: Vec<_> = classes.iter().map(|class| class.name.to_lowercase()).collect();
            assert_eq!(names, ["background", "tumour"], "{name}");
            assert_eq!(found.to_string(), coding, "{name}");
        }
        assert_eq!(read_file("dataset.json", r#"{"info": {}}"#).unwrap(), None, "another file of the name");
        assert_eq!(read_file("dataset.json", "[").unwrap(), None);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (file, text, part) in [
            ("dataset.json", r#"{"labels": {"background": 0, "whole": [1, 2]}}"#, "`whole` is [1,2]"),
            ("dataset.json", r#"{"labels": {"background": 0, "tumour": 2}}"#, "its labels are 0, 2"),
            ("dataset.json", r#"{"labels": {"a": 0, "b": 0}}"#, "two labels have the value 0"),
            ("labelmap.txt", "tumour:red::", "the line `tumour:red::`"),
            ("class_dict.csv", "name,r,g,b\na,1,2,300", "the line `a,1,2,300`"),
        ] {
            let message = read_file(file, text).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains(file), "{message}");
        }
    }
}
