//! The classes of a data set are those that its `classes.json` describes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use seg_contract::Class;
use seg_data::Dataset;
use serde_json::{Value, json};

use super::{check, note};

/// Makes the names and the colours of several classes, each different from the others.
fn descriptions() -> impl Strategy<Value = Vec<(String, [u8; 3])>> {
    let classes = prop::collection::vec((note(), any::<[u8; 3]>()), 2..9);
    classes.prop_filter("two names or colours are alike, or a name is blank", |classes| {
        let names: BTreeSet<_> = classes.iter().map(|(name, _)| name).collect();
        let colors: BTreeSet<_> = classes.iter().map(|(_, color)| color).collect();
        let are_different = [names.len(), colors.len()] == [classes.len(); 2];
        are_different && classes.iter().all(|(name, _)| !name.trim().is_empty())
    })
}

/// Opens a data set of one image with this `classes.json`.
fn open(folder: &Path, description: &Value) -> Dataset {
    for part in ["images", "masks"] {
        fs::create_dir_all(folder.join(part)).unwrap();
        fs::write(folder.join(part).join("a.png"), "").unwrap();
    }
    fs::write(folder.join("classes.json"), description.to_string()).unwrap();
    Dataset::open(folder).unwrap_or_else(|error| panic!("{error}: {description}"))
}

#[test]
fn classes_are_those_that_are_described() {
    let folder = tempfile::tempdir().unwrap();
    check(200, &(descriptions(), any::<bool>()), |(classes, in_colors)| {
        let entries: Vec<_> = classes.iter().map(|(name, color)| json!({"name": name, "color": color})).collect();
        let masks = if in_colors { "color" } else { "index" };
        let dataset = open(folder.path(), &json!({"masks": masks, "classes": entries}));
        let expected: Vec<_> = classes.into_iter().map(|(name, color)| Class { name, color, codes: None }).collect();
        assert_eq!(dataset.classes, expected);
        let entries: Vec<_> = expected.iter().map(|class| json!({"name": class.name})).collect();
        let dataset = open(folder.path(), &json!({"masks": "index", "classes": entries}));
        let names = expected.iter().enumerate().map(|(index, class)| Class::new(&class.name, index));
        assert_eq!(dataset.classes, names.collect::<Vec<_>>(), "without colours");
    });
}
