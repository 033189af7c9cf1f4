//! `classes.json`: the names of the classes, and the coding of masks.
//!
//! ```json
//! {
//!   "masks": "color",
//!   "classes": [
//!     {"name": "background", "color": [0, 0, 0]},
//!     {"name": "vessel", "color": [128, 0, 0]}
//!   ],
//!   "ignore": [255, 255, 255]
//! }
//! ```
//!
//! `masks` is `binary`, `index` or `color`. The classes are in the order of their labels, the
//! background first. Their colours are those of the mask's pixels if `masks` is `color`, and those
//! of the classes in pictures in any case. `ignore`, for `color` only, is the colour of ignored
//! pixels.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seg_contract::{Class, Codes, IGNORE_LABEL};
use seg_text::control;
use serde::Deserialize;

use super::{DatasetError, described_elsewhere, two_classes};
use crate::masks::{Border, MaskCoding, Objects};

const FILE: &str = "classes.json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    masks: Masks,
    classes: Vec<Entry>,
    ignore: Option<[u8; 3]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Masks {
    Binary,
    Index,
    Color,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    color: Option<[u8; 3]>,
    codes: Option<Codes>,
}

/// The classes of a data set and the coding of its masks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    pub(super) classes: Vec<Class>,
    pub(super) coding: MaskCoding,
    /// True if no file describes them.
    pub(super) is_assumed: bool,
    /// The label of objects' borders, where each mask shows an object.
    border: Border,
}

impl Described {
    /// Returns the coding of masks of one object each.
    pub(super) fn of_objects(&self, root: &Path, paths: Vec<PathBuf>) -> Result<MaskCoding, DatasetError> {
        match self.coding {
            MaskCoding::Binary => Ok(MaskCoding::Objects(Arc::new(Objects { paths, border: self.border }))),
            _ => Err(DatasetError::Objects { root: root.into(), found: self.coding.name().into() }),
        }
    }

    /// Returns the classes where each mask shows an object.
    pub(super) fn with_border(&self) -> Vec<Class> {
        let border = (self.border == Border::Class).then(|| Class::new("border", 2));
        self.classes.iter().cloned().chain(border).collect()
    }
}

/// Reads the description of a data set's classes; without one these are background and `target` in
/// binary masks.
pub(super) fn read(root: &Path, target: &str, border: Border) -> Result<Described, DatasetError> {
    let (classes, coding, is_assumed) = match read_file(root)? {
        Some((classes, coding)) => (classes, coding, false),
        None => match described_elsewhere::read(root)? {
            Some((classes, coding)) => (classes, coding, false),
            None => (two_classes(target), MaskCoding::Binary, true),
        },
    };
    Ok(Described { classes, coding, is_assumed, border })
}

fn read_file(root: &Path) -> Result<Option<(Vec<Class>, MaskCoding)>, DatasetError> {
    let path = root.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).map_err(|source| DatasetError::Read { path: path.clone(), source })?;
    let description: Description = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|source| DatasetError::ClassesJson { path: path.clone(), source })?;
    description.decide().map(Some).map_err(|(found, expected)| DatasetError::Classes { path, found, expected })
}

/// Describes classes whose masks have these colours, or, if there are none, their indices.
pub(super) fn describe(
    path: &Path,
    classes: Vec<(String, Option<[u8; 3]>)>,
    ignore: Option<[u8; 3]>,
) -> Result<(Vec<Class>, MaskCoding), DatasetError> {
    let masks = if classes.iter().all(|(_, color)| color.is_some()) { Masks::Color } else { Masks::Index };
    let classes = classes.into_iter().map(|(name, color)| Entry { name, color, codes: None }).collect();
    let description = Description { masks, classes, ignore };
    description.decide().map_err(|(found, expected)| DatasetError::Classes { path: path.into(), found, expected })
}

impl Description {
    /// Converts the description to classes and coding; the error holds the value and the expected
    /// one.
    fn decide(self) -> Result<(Vec<Class>, MaskCoding), (String, &'static str)> {
        let count = match u8::try_from(self.classes.len()) {
            Ok(count @ 2..=IGNORE_LABEL) => count,
            _ => return Err((format!("it names {} classes", self.classes.len()), "2 to 255")),
        };
        let mut names = BTreeSet::new();
        for Entry { name, .. } in &self.classes {
            if control::has_control(name) {
                const EXPECTED: &str =
                    "names without control characters such as ESC and line ends; take them out of the file";
                return Err((format!("it names the class `{}`", control::escape(name)), EXPECTED));
            }
            if name.trim().is_empty() || !names.insert(name) {
                return Err((format!("it names the class `{name}`"), "names that are not empty and not the same"));
            }
        }
        if self.ignore.is_some() && self.masks != Masks::Color {
            return Err(("it says `ignore`".into(), "that only with `\"masks\": \"color\"`; elsewhere 255 is ignored"));
        }
        let coding = match self.masks {
            Masks::Binary if count == 2 => MaskCoding::Binary,
            Masks::Binary => {
                return Err((format!("it names {count} classes in binary masks"), "2; say `index` or `color`"));
            }
            Masks::Index => MaskCoding::Index { classes: count },
            Masks::Color => MaskCoding::Color(Arc::new(self.labels()?)),
        };
        let classes = self.classes.into_iter().enumerate().map(|(index, Entry { name, color, codes })| {
            let class = Class::new(name, index);
            Class { color: color.unwrap_or(class.color), codes, ..class }
        });
        Ok((classes.collect(), coding))
    }

    /// Returns the labels by colour.
    fn labels(&self) -> Result<BTreeMap<[u8; 3], u8>, (String, &'static str)> {
        let mut labels = BTreeMap::from_iter(self.ignore.map(|color| (color, IGNORE_LABEL)));
        for (label, Entry { name, color, .. }) in (0..).zip(&self.classes) {
            let Some(color) = color else {
                return Err((
                    format!("the class `{name}` has no `color`"),
                    "red, green and blue from 0 to 255, as [128, 0, 0]",
                ));
            };
            if labels.insert(*color, label).is_some() {
                return Err((
                    format!("the colour {color:?} of `{name}` occurs twice"),
                    "a colour of its own for each class",
                ));
            }
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<(Vec<Class>, MaskCoding), DatasetError> {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(FILE), text).unwrap();
        let Described { classes, coding, .. } = read(root.path(), "target", Border::None)?;
        Ok((classes, coding))
    }

    #[test]
    fn it_says_the_classes_and_how_masks_show_them() {
        let three = vec![Class::new("background", 0), Class::new("disc", 1), Class::new("cup", 2)];
        let two = vec![
            Class { name: "background".into(), color: [0, 0, 0], codes: None },
            Class { name: "vessel".into(), color: [128, 0, 0], codes: None },
        ];
        let colored = r#"[{"name": "background", "color": [0, 0, 0]}, {"name": "vessel", "color": [128, 0, 0]}]"#;
        let colors = |ignored: &[([u8; 3], u8)]| {
            let classes = [([0, 0, 0], 0), ([128, 0, 0], 1)];
            MaskCoding::Color(Arc::new(classes.into_iter().chain(ignored.iter().copied()).collect()))
        };
        for (name, text, expected) in [
            ("index", crate::masks::EXAMPLE_INDEX.into(), (three, MaskCoding::Index { classes: 3 })),
            ("binary", format!(r#"{{"masks": "binary", "classes": {colored}}}"#), (two.clone(), MaskCoding::Binary)),
            ("colour", format!(r#"{{"masks": "color", "classes": {colored}}}"#), (two.clone(), colors(&[]))),
            (
                "colour, one ignored",
                format!(r#"{{"masks": "color", "ignore": [255, 255, 255], "classes": {colored}}}"#),
                (two, colors(&[([255; 3], IGNORE_LABEL)])),
            ),
        ] {
            assert_eq!(read_text(&text).unwrap(), expected, "{name}");
        }
        let nowhere = read(Path::new("no/such/folder"), "cell", Border::None).unwrap();
        assert_eq!((nowhere.classes, nowhere.coding), (two_classes("cell"), MaskCoding::Binary), "without the file");
    }

    #[test]
    fn what_describes_no_classes_is_refused() {
        for (name, text, part) in [
            ("no JSON", "{", "not of the form"),
            ("an unknown key", r#"{"masks": "index", "classes": [], "colour": 1}"#, "not of the form"),
            ("one class", r#"{"masks": "index", "classes": [{"name": "a"}]}"#, "it names 1 classes, expected 2 to 255"),
            (
                "a name twice",
                r#"{"masks": "index", "classes": [{"name": "a"}, {"name": "a"}]}"#,
                "the class `a`, expected",
            ),
            (
                "an escape sequence in a name",
                r#"{"masks": "index", "classes": [{"name": "a"}, {"name": "b\u001b[2J"}]}"#,
                r"the class `b\u{1b}[2J`, expected names without control characters",
            ),
            (
                "a bidirectional control in a name",
                r#"{"masks": "index", "classes": [{"name": "a"}, {"name": "b\u202e"}]}"#,
                r"the class `b\u{202e}`, expected names without",
            ),
            (
                "a line end, markup and an escape sequence in names",
                include_str!("../../../../tests/data/hostile/classes-with-markup.json"),
                r#"`x" } ] input [ { name: "evil\u{a}|| pipe | `code` </script><script>alert(3)</script> \u{1b}[2J`, expected names without"#,
            ),
            (
                "three binary classes",
                r#"{"masks": "binary", "classes": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}"#,
                "3 classes in binary masks, expected 2",
            ),
            (
                "ignoring without colours",
                r#"{"masks": "index", "classes": [{"name": "a"}, {"name": "b"}], "ignore": [0, 0, 0]}"#,
                "it says `ignore`, expected that only",
            ),
            (
                "a class without a colour",
                r#"{"masks": "color", "classes": [{"name": "a", "color": [0, 0, 0]}, {"name": "b"}]}"#,
                "the class `b` has no `color`",
            ),
            (
                "a colour twice",
                r#"{"masks": "color", "classes": [{"name": "a", "color": [0, 0, 0]}, {"name": "b", "color": [0, 0, 0]}]}"#,
                "the colour [0, 0, 0] of `b` occurs twice",
            ),
        ] {
            let message = read_text(text).unwrap_err().to_string();
            assert!(message.contains("classes.json`") && message.contains(part), "{name}: {message}");
        }
    }
}
