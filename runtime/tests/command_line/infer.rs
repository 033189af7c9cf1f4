//! `infer` writes the results of images, and continues after images that cannot be segmented.

use std::fs;

use serde_json::Value;

use crate::{Ended, Workplace};

#[test]
fn infer_writes_a_mask_an_overlay_and_a_line_for_each_image() {
    let place = Workplace::new();
    for (name, width, height) in [
        ("in/a.png", 1, 1),
        ("in/b.bmp", 33, 20),
        ("in/c.tiff", 7, 50),
        ("in/d.gif", 16, 9),
        ("in/e.webp", 12, 12),
        ("more/a.jpg", 64, 40),
    ] {
        place.image(name, width, height);
    }
    let ended = place.run("infer --model threshold.onnx --out out in more/*.jpg");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    let lines = place.json_lines("out/predictions.jsonl");
    let names = ["a", "b", "c", "d", "e", "a-2"];
    assert_eq!(lines.len(), names.len());
    for (line, name) in lines.iter().zip(names) {
        assert_eq!((&line["name"], &line["orientation"]), (&name.into(), &1.into()));
        assert_eq!(line["files"][0]["path"], format!("masks/{name}.png"));
        assert_eq!(line["files"][1]["path"], format!("overlays/{name}.png"));
        let runs_on = &line["runs_on"];
        assert_eq!((&runs_on["provider"], &runs_on["precision"]), (&"cpu".into(), &"fp32".into()), "{name}");
        assert!(runs_on["nodes"]["CPUExecutionProvider"].as_u64().unwrap() > 0, "{name}");
        for stage in ["decode_ms", "preprocess_ms", "infer_ms", "postprocess_ms", "encode_ms"] {
            assert!(line[stage].as_f64().unwrap() >= 0.0, "{name}: {stage}");
        }
        let size = (line["width"].as_u64().unwrap() as u32, line["height"].as_u64().unwrap() as u32);
        assert_eq!(image::image_dimensions(place.path(format!("out/overlays/{name}.png"))).unwrap(), size, "{name}");
        assert_eq!(image::image_dimensions(place.path(format!("out/masks/{name}.png"))).unwrap(), size, "{name}");
        let red = u64::from(size.0.div_ceil(2)) * u64::from(size.1);
        assert_eq!(line["area"][1]["class"], "nucleus", "{name}");
        assert_eq!(line["area"][1]["pixels"], red, "{name}");
    }
}

#[test]
fn everything_that_can_be_saved_is_saved_and_read_back() {
    let place = Workplace::new();
    place.image("a.png", 40, 30);
    let all = "mask,binary,overlay,contours,probabilities,probabilities-npy,uncertainty,rle,polygons";
    let ended = place.run(&format!("infer --model threshold.onnx --out out --save {all} a.png"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = &place.json_lines("out/predictions.jsonl")[0];
    let files: Vec<_> = line["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    let expected = [
        "masks/a.png",
        "binary/1-nucleus/a.png",
        "overlays/a.png",
        "contours/a.png",
        "probabilities/1-nucleus/a.png",
        "probabilities/a.npy",
        "uncertainty/a.png",
        "rle/a.json",
        "polygons/a.geojson",
    ];
    assert_eq!(files, expected);
    let binary = image::open(place.path("out/binary/1-nucleus/a.png")).unwrap().into_luma8();
    assert!(binary.enumerate_pixels().all(|(x, _, pixel)| pixel[0] == if x < 20 { 255 } else { 0 }));
    let probability = image::open(place.path("out/probabilities/1-nucleus/a.png")).unwrap().into_luma16();
    assert!(probability.enumerate_pixels().all(|(x, _, pixel)| (pixel[0] > 32767) == (x < 20)));
    let npy = fs::read(place.path("out/probabilities/a.npy")).unwrap();
    assert!(npy.starts_with(b"\x93NUMPY\x01\x00") && npy.len() == 128 + 2 * 30 * 40 * 4, "{}", npy.len());
    assert!(String::from_utf8_lossy(&npy[..128]).contains("'shape': (2, 30, 40)"));
    let json = |name| -> Value { serde_json::from_slice(&fs::read(place.path(name)).unwrap()).unwrap() };
    assert_eq!(json("out/rle/a.json")["annotations"][0]["bbox"], serde_json::json!([0, 0, 20, 30]));
    let polygons = json("out/polygons/a.geojson");
    let ring = serde_json::json!([[[0, 0], [20, 0], [20, 30], [0, 30], [0, 0]]]);
    assert_eq!(polygons["features"][0]["geometry"]["coordinates"], ring);
}

#[test]
fn results_are_upright_whatever_the_camera_noted() {
    let place = Workplace::new();
    place.image("flat.jpg", 64, 32);
    let jpeg = fs::read(place.path("flat.jpg")).unwrap();
    for orientation in 1..=8_u8 {
        let mut bytes = jpeg[..2].to_vec();
        bytes.extend(b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0");
        bytes.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(&jpeg[2..]);
        fs::create_dir_all(place.path("in")).unwrap();
        fs::write(place.path(format!("in/{orientation}.jpg")), bytes).unwrap();
    }
    let ended = place.run("infer --model threshold.onnx --out out in");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // Returns the first column and row of the red half once the image is upright.
    let red = [(0, 0), (32, 0), (32, 0), (0, 0), (0, 0), (0, 0), (0, 32), (0, 32)];
    for (index, line) in place.json_lines("out/predictions.jsonl").iter().enumerate() {
        assert_eq!(line["orientation"], index + 1);
        let mask = image::open(place.path(format!("out/masks/{}.png", index + 1))).unwrap().into_rgb8();
        let size = if index < 4 { (64, 32) } else { (32, 64) };
        assert_eq!((mask.dimensions(), &line["width"]), (size, &size.0.into()), "orientation {}", index + 1);
        let (left, top) = red[index];
        for (x, y, pixel) in mask.enumerate_pixels() {
            let is_red = (left..left + 32).contains(&x) && (top..top + 32).contains(&y);
            assert_eq!(pixel.0 != [0; 3], is_red, "orientation {}: {x}, {y}", index + 1);
        }
    }
}

#[test]
fn infer_goes_past_bad_images_and_names_them() {
    let place = Workplace::new();
    place.image("good.png", 9, 9);
    place.image("whole.jpg", 64, 64);
    let jpeg = fs::read(place.path("whole.jpg")).unwrap();
    fs::write(place.path("cut.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    fs::write(place.path("text.png"), "no image").unwrap();
    fs::write(place.path("empty.png"), "").unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("dangling.png")).unwrap();
    let ended = place.run("infer --model threshold.onnx --out out cut.jpg text.png good.png empty.png dangling.png");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.ends_with("error: 4 of 5 images were skipped\n"), "{ended:?}");
    for name in ["cut.jpg", "text.png", "empty.png", "dangling.png"] {
        let named = |line: &str| line.starts_with("skipped: ") && line.contains(name);
        assert!(ended.stderr.lines().any(named), "{name}: {ended:?}");
    }
    let lines = place.json_lines("out/predictions.jsonl");
    let skipped: Vec<_> = lines.iter().filter(|line| line["error"].is_string()).collect();
    assert_eq!((lines.len(), skipped.len()), (5, 4));
    let masks: Vec<_> = fs::read_dir(place.path("out/masks")).unwrap().collect();
    assert_eq!(masks.len(), 1);
}

#[cfg(unix)]
#[test]
fn a_terminal_gets_no_control_character_of_a_files_name() {
    let place = Workplace::new();
    for name in ["in/a\u{1b}]0;title\u{7}.png", "in/b\nwritten.png", "in/c\u{202e}gnp.png"] {
        place.image(name, 9, 9);
    }
    fs::write(place.path("in/d\u{1b}[2J.png"), "no image").unwrap();
    let out = "out\u{9b}2J";
    let ended = place.command(["infer", "--model", "threshold.onnx", "--json", "--out", out, "in"]).output().unwrap();
    let ended = Ended::from_output(ended);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for text in [&ended.stdout, &ended.stderr] {
        let raw = text.chars().find(|c| *c != '\n' && seg_text::control::is_control(*c));
        assert_eq!(raw, None, "{text:?}");
    }
    for shown in
        [r"in/a\u{1b}]0;title\u{7}.png", r"in/c\u{202e}gnp.png", r"skipped: ", r"in/d\u{1b}[2J.png", r"out\u{9b}2J"]
    {
        assert!(ended.stderr.contains(shown), "{shown}: {ended:?}");
    }
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut inputs: Vec<_> = lines.iter().map(|line| line["input"].as_str().unwrap()).collect();
    inputs.sort_unstable();
    let names = ["a\u{1b}]0;title\u{7}.png", "b\nwritten.png", "c\u{202e}gnp.png", "d\u{1b}[2J.png"];
    assert_eq!(inputs, names.map(|name| format!("in/{name}")), "JSON keeps the names");
}

#[test]
fn infer_stops_where_results_cannot_be_written() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    place.image("b.png", 9, 9);
    fs::create_dir_all(place.path("out/overlays/b.png")).unwrap();
    let ended = place.run("infer --model threshold.onnx --out out a.png b.png");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("error: stopped after 1 of 2 images; `--continue` goes on from there"), "{ended:?}");
    assert!(ended.stderr.contains("cannot write `out/overlays/b.png`"), "{ended:?}");
    let lines = place.json_lines("out/predictions.jsonl");
    assert_eq!(lines.len(), 1, "the report of what was done is lost: {lines:?}");
    assert_eq!(lines[0]["files"][0]["path"], "masks/a.png");
}

#[test]
fn a_class_of_its_own_goes_before_all_of_them() {
    let place = Workplace::new();
    // The left half has 45 pixels.
    place.image("a.png", 10, 9);
    for (flags, pixels) in [
        ("--min-area all=46", 0),
        ("--min-area all=45", 45),
        ("--min-area all=46,nucleus=45", 45),
        ("--min-area nucleus=45,all=46", 45),
        ("--min-area nucleus=46 --min-area all=1", 0),
    ] {
        let ended = place.run(&format!("infer --model threshold.onnx --out out {flags} a.png"));
        assert_eq!(ended.code, Some(0), "{flags}: {ended:?}");
        assert_eq!(place.json_lines("out/predictions.jsonl")[0]["area"][1]["pixels"], pixels, "{flags}");
        fs::remove_dir_all(place.path("out")).unwrap();
    }
}

#[test]
fn infer_prints_the_lines_of_its_record_and_is_quiet_or_verbose_as_asked() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    fs::write(place.path("b.png"), "no image").unwrap();
    let ended = place.run("infer --model threshold.onnx --out out --json --quiet a.png b.png");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let mut printed: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    printed.sort_by_key(|line| line["name"].to_string());
    let mut record = place.json_lines("out/predictions.jsonl");
    record.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("job")));
    assert_eq!(printed, record);
    let said: Vec<_> = ended.stderr.lines().collect();
    assert!(matches!(said[..], [skipped, error] if skipped.starts_with("skipped: ") && error.starts_with("error: ")));

    let verbose = place.run("infer --model threshold.onnx --out again -v a.png");
    assert!(verbose.stderr.contains("library      ONNX Runtime 1.") && verbose.stdout.is_empty(), "{verbose:?}");
    let normal = place.run("infer --model threshold.onnx --out more a.png");
    assert!(!normal.stderr.contains("library  ") && normal.stderr.contains("1/1 a.png"), "{normal:?}");
}
