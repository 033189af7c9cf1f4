//! The file `classes.json` of a data set.

use std::collections::BTreeSet;
use std::fs;

use seg_data::Dataset;

/// Opens a data set with bytes as its `classes.json` and returns whether they are accepted.
///
/// # Panics
/// When the accepted classes are too few, too many, without a name, or of the same name.
pub fn classes(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    for part in ["images", "masks"] {
        let part = folder.path().join(part);
        fs::create_dir(&part).expect("a new folder can be written");
        // Only names are read when a data set is opened.
        fs::write(part.join("a.png"), "").expect("a new folder can be written");
    }
    fs::write(folder.path().join("classes.json"), bytes).expect("a new folder can be written");
    let Ok(dataset) = Dataset::open(folder.path()) else { return false };
    let names: BTreeSet<_> = dataset.classes.iter().map(|class| &class.name).collect();
    assert!((2..=255).contains(&dataset.classes.len()), "{} classes", dataset.classes.len());
    assert_eq!(names.len(), dataset.classes.len(), "{names:?}");
    assert!(names.iter().all(|name| !name.trim().is_empty()), "{names:?}");
    true
}
