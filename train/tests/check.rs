//! `train check` as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use image::{GrayImage, RgbImage};

/// Creates a data set of three classes by index, whose masks have the given largest value.
fn data_set(folder: &Path, largest: u8) {
    let data = folder.join("data");
    for name in ["images", "masks"] {
        fs::create_dir_all(data.join(name)).unwrap();
    }
    let classes = r#"{"masks": "index", "classes": [{"name": "background"}, {"name": "disc"}, {"name": "cup"}]}"#;
    fs::write(data.join("classes.json"), classes).unwrap();
    for (name, brightness) in [("a", 50), ("b", 150)] {
        let image = RgbImage::from_fn(20, 16, |x, y| [brightness, x as u8 * 9, y as u8 * 9].into());
        image.save(data.join(format!("images/{name}.png"))).unwrap();
        let label = |x| [u8::from(x >= 8), largest][usize::from(x > 12)];
        let mask = GrayImage::from_fn(20, 16, |x, _| [label(x)].into());
        mask.save(data.join(format!("masks/{name}.png"))).unwrap();
    }
}

fn check(folder: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_train")).current_dir(folder).args(["check", "data"]).args(flags).output().unwrap()
}

#[test]
fn a_sound_data_set_gives_a_report_and_a_contact_sheet() {
    let folder = tempfile::tempdir().unwrap();
    data_set(folder.path(), 2);
    let output = check(folder.path(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("0 background, 1 disc, 2 cup; index masks"), "{text}");
    let report = fs::read_to_string(folder.path().join("check-data/report.json")).unwrap();
    assert!(image::open(folder.path().join("check-data/contact_sheet.png")).unwrap().width() > 2 * 2 * 20);

    let output = check(folder.path(), &["--out", "elsewhere", "--json"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), report);
    assert_eq!(fs::read_to_string(folder.path().join("elsewhere/report.json")).unwrap(), report);
}

#[test]
fn what_stops_training_ends_with_status_1_and_is_reported_whole() {
    let folder = tempfile::tempdir().unwrap();
    data_set(folder.path(), 3);
    let output = check(folder.path(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for name in ["a", "b"] {
        let problem =
            format!("data/masks/{name}.png` as a mask of class indices: the pixel at (13, 0) has the value 3");
        assert!(text.contains(&problem), "{text}");
    }
    assert!(String::from_utf8(output.stderr).unwrap().contains("`data` cannot be learned from"));
}
