//! Runs that are killed, go on, or are one of several parts end with the files of a run in one go.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Ended, Workplace};

/// Reads all files below a folder by their paths, without locks and the records, which contain
/// times.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(folder).unwrap().to_path_buf();
        if path.is_dir() {
            found.extend(contents(&path).into_iter().map(|(inner, bytes)| (name.join(inner), bytes)));
        } else if !name.to_string_lossy().starts_with(".lock") && path.extension().is_none_or(|end| end != "jsonl") {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_killed_run_goes_on_and_ends_with_the_same_files() {
    let place = Workplace::new();
    for index in 0..12 {
        place.image(&format!("in/{index:02}.png"), 60 + index, 50);
    }
    assert_eq!(place.run("infer --model threshold.onnx --out whole in").code, Some(0));
    let expected = contents(&place.path("whole"));
    let arguments = "infer --model threshold.onnx --out out --continue in";
    // Each run is killed after another number of lines.
    for lines in [0, 1, 3, 6] {
        let mut child =
            place.command(arguments.split_whitespace()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let record = place.path("out/predictions.jsonl");
        while child.try_wait().unwrap().is_none()
            && fs::read_to_string(&record).unwrap_or_default().lines().count() <= lines
        {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for name in ["out/.unfinished-record", "out/masks/.unfinished-mask"] {
        fs::write(place.path(name), "what a killed process was writing").unwrap();
    }
    // A result that somebody damaged, and one that somebody removed.
    let [damaged, removed] = ["out/masks/00.png", "out/overlays/01.png"].map(|name| place.path(name));
    fs::write(damaged, "damaged").unwrap();
    let _ = fs::remove_file(removed);
    let ended = place.run(arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(contents(&place.path("out")), expected);
    assert_eq!(place.json_lines("out/predictions.jsonl").len(), 12);
    let ended = place.run(arguments);
    assert!(ended.stderr.contains("12 of 12 images are complete"), "{ended:?}");

    for go_on in ["--continue", ""] {
        let ended = place.run(&format!("infer --model threshold.onnx --out out --threshold 0.7 {go_on} in"));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("another job, which differs in how masks are made"), "{ended:?}");
        assert_eq!(contents(&place.path("out")), expected, "{go_on:?}");
    }
}

#[test]
fn a_folder_that_gains_images_is_continued() {
    let place = Workplace::new();
    let arguments = "infer --model threshold.onnx --out out --continue in";
    let mut all = Vec::new();
    for (name, complete) in [("b", 0), ("a", 1), ("c", 2)] {
        place.image(&format!("in/{name}.png"), 20, 30);
        all.push(name);
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        assert!(ended.stderr.contains(&format!("{complete} of {} images are complete", all.len())), "{ended:?}");
    }
    assert_eq!(place.run("infer --model threshold.onnx --out whole in").code, Some(0));
    assert_eq!(contents(&place.path("out")), contents(&place.path("whole")));

    // What is not there any more stays done.
    fs::remove_file(place.path("in/a.png")).unwrap();
    place.image("in/d.png", 20, 30);
    assert_eq!(place.run(arguments).code, Some(0));
    let names: Vec<_> = place.json_lines("out/predictions.jsonl").iter().map(|line| line["name"].clone()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let ended = place.run("infer --model threshold.onnx --out out in/b.png");
    assert!(ended.stderr.contains("differs in its images; `--continue` keeps"), "{ended:?}");
}

#[test]
fn a_record_that_cannot_be_written_ends_with_a_whole_line() {
    let place = Workplace::new();
    for index in 0..12 {
        place.image(&format!("in/{index:02}.png"), 60, 50);
    }
    let arguments = "infer --model threshold.onnx --out out --continue in";
    // Files of at most 4096 bytes: a few lines, and the beginning of one more.
    let limit = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limit, "sh", env!("CARGO_BIN_EXE_seg-runtime")]).args(arguments.split_whitespace());
    let ended = Ended::from_output(command.current_dir(place.0.path()).output().unwrap());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("cannot keep the record in `out/predictions.jsonl`: File too large"), "{ended:?}");
    let text = fs::read_to_string(place.path("out/predictions.jsonl")).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    let kept = place.json_lines("out/predictions.jsonl").len();

    let ended = place.run(arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains(&format!("{kept} of 12 images are complete")), "{ended:?}");
    assert_eq!(place.json_lines("out/predictions.jsonl").len(), 12);
}

#[test]
fn a_run_that_goes_on_does_again_what_is_another_image() {
    let place = Workplace::new();
    // Files of one size, whatever their pixels are.
    for (name, width) in [("in/a.bmp", 8), ("in/b.bmp", 8), ("other/a.bmp", 8), ("other/b.bmp", 8)] {
        place.image(name, width, 6);
    }
    let mirror = |name: &str| {
        let mirrored = image::imageops::flip_horizontal(&image::open(place.path(name)).unwrap().into_rgb8());
        mirrored.save(place.path(name)).unwrap();
    };
    mirror("other/a.bmp");
    for (name, folder, prepare, complete) in [
        ("the first time", "in", None, 0),
        ("nothing new", "in", None, 2),
        ("another folder", "other", None, 0),
        ("the same again", "other", None, 2),
        ("other pixels in a file", "other", Some("other/b.bmp"), 1),
        ("the first folder", "in", None, 0),
    ] {
        prepare.into_iter().for_each(mirror);
        let ended = place.run(&format!("infer --model threshold.onnx --out out --continue {folder}"));
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        assert!(ended.stderr.contains(&format!("{complete} of 2 images are complete")), "{name}: {ended:?}");
        assert_eq!(place.run(&format!("infer --model threshold.onnx --out fresh {folder}")).code, Some(0), "{name}");
        assert_eq!(contents(&place.path("out")), contents(&place.path("fresh")), "{name}");
        let lines = place.json_lines("out/predictions.jsonl");
        for (line, input) in lines.iter().zip(["a", "b"]) {
            assert_eq!(line["input"], format!("{folder}/{input}.bmp"), "{name}");
        }
        assert_eq!(lines.len(), 2, "{name}");
    }
}

#[test]
fn parts_run_at_the_same_time_and_merge_into_the_whole() {
    let place = Workplace::new();
    for index in 0..7 {
        place.image(&format!("in/{index}.png"), 20 + index, 30);
    }
    assert_eq!(place.run("infer --model threshold.onnx --out whole in").code, Some(0));
    let part = |index: usize| {
        let part = format!("infer --model threshold.onnx --out out --num-parts 3 --part {index} in");
        place.command(part.split_whitespace()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut first = [part(1), part(3)];
    assert!(first.iter_mut().all(|child| child.wait().unwrap().success()));
    let ended = place.run("merge out");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("part 2 of 3 has 0 of 2 images"), "{ended:?}");
    assert!(part(2).wait().unwrap().success());
    let ended = place.run("merge out");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let names = |name| place.json_lines(name).iter().map(|line| line["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names("out/predictions.jsonl"), names("whole/predictions.jsonl"));
    assert_eq!(contents(&place.path("out")), contents(&place.path("whole")));
}
