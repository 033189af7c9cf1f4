//! `eval` measures images, writes its report, and refuses wrong input.

use std::fs;

use seg_contract::{ImageDigest, LearnedFrom, SizePolicy};
use serde_json::Value;

use crate::pictures::volume;
use crate::{Workplace, threshold};

#[test]
fn eval_scores_what_can_be_measured() {
    let place = Workplace::new();
    for name in ["a", "b"] {
        place.image(&format!("data/images/{name}.png"), 10, 12);
        place.mask(&format!("data/masks/{name}.png"), 10, 12);
    }
    let eval = "eval --model threshold.onnx --data data --split all";
    let scores = || serde_json::from_slice::<Value>(&fs::read(place.path("scores/scores.json")).unwrap()).unwrap();
    let ended = place.run(&format!("{eval} --out scores --save-masks masks --tolerance-px 1 --bootstrap 50 --seed 7"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in
        ["Dice            1.0000  1.0000 to 1.0000     1.0000", "HD [px]           0.00  0.00 to 0.00", "2 measured"]
    {
        assert!(ended.stdout.contains(line), "{line:?}: {ended:?}");
    }
    let report = scores();
    for (path, expected) in [
        ("/scores/per_image/overall/centerline_dice/value", Value::from(1.0)),
        ("/scores/pooled/classes/nucleus/iou/value", 1.0.into()),
        ("/method/tolerance_px", 1.0.into()),
        ("/method/bootstrap/seed", 7.into()),
        ("/thresholds/roc_auc", 1.0.into()),
        ("/data/part", "all".into()),
        ("/images/1/name", "b".into()),
    ] {
        assert_eq!(report.pointer(path), Some(&expected), "{path}");
    }
    for path in ["/data/sha256", "/models/0/sha256"] {
        assert_eq!(report.pointer(path).unwrap().as_str().unwrap().len(), 64, "{path}");
    }
    assert_eq!(fs::read_to_string(place.path("scores/images.csv")).unwrap().lines().count(), 3);
    assert!(fs::read_to_string(place.path("scores/report.html")).unwrap().contains("alt=\"a, errors\""));
    assert!(place.path("masks/a.png").exists() && place.path("masks/b.png").exists());

    place.mask("data/masks/b.png", 5, 12);
    let ended = place.run(&format!("{eval} --out scores"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the mask `data/masks/b.png` is 5x12, but its image"), "{ended:?}");
    assert!(ended.stderr.ends_with("error: 1 of 2 images were skipped and are not in the scores\n"), "{ended:?}");
    let report = scores();
    assert_eq!(report["images"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&report["skipped"][0]["name"], &report["scores"]["per_image"]["overall"]["dice"]["interval"]),
        (&"b".into(), &Value::Null)
    );

    let ended = place.run(&format!("{eval} --out data/masks/a.png"));
    assert!(ended.stderr.contains("cannot create the folder `data/masks/a.png`"), "{ended:?}");
    let ended = place.run(&format!("{eval} --save-masks data/masks"));
    assert!(ended.stderr.contains("the input `data/masks/a.png` would be overwritten by a result"), "{ended:?}");
    let ended = place.run("eval --model threshold.onnx --data data --split test");
    assert!(ended.stderr.contains("the data set `data` has no images in its part `test`"), "{ended:?}");
}

#[test]
fn a_file_that_cannot_be_read_costs_the_fingerprint_and_no_score() {
    let place = Workplace::new();
    for part in ["train", "test"] {
        place.image(&format!("data/{part}/images/a.png"), 10, 12);
        place.mask(&format!("data/{part}/masks/a.png"), 10, 12);
    }
    fs::remove_file(place.path("data/train/images/a.png")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("data/train/images/a.png")).unwrap();
    let ended = place.run("eval --model threshold.onnx --data data --bootstrap 50 --out scores");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said = "the data set has no fingerprint: cannot read the file `data/train/images/a.png`: No such file";
    assert!(ended.stderr.contains(said) && ended.stdout.contains("1 measured"), "{ended:?}");
    let report = serde_json::from_slice::<Value>(&fs::read(place.path("scores/scores.json")).unwrap()).unwrap();
    let data = &report["data"];
    assert!(data["sha256"].is_null() && data["error"].as_str().unwrap().contains("train/images/a.png"), "{data}");
}

#[test]
fn a_class_is_measured_as_itself() {
    let place = Workplace::new();
    place.image("data/images/a.png", 10, 12);
    place.mask("data/masks/a.png", 10, 12);
    for (name, classes, refused) in [
        ("the same names", ["background", "nucleus"], false),
        ("other names", ["nothing", "cell"], false),
        ("another order", ["nucleus", "background"], true),
        ("a name at another index", ["nucleus", "rest"], true),
    ] {
        let [first, second] = classes;
        let text = format!(r#"{{"masks": "binary", "classes": [{{"name": "{first}"}}, {{"name": "{second}"}}]}}"#);
        fs::write(place.path("data/classes.json"), text).unwrap();
        let ended = place.run("eval --model threshold.onnx --data data --split all --bootstrap 50");
        assert_eq!(ended.code, Some(i32::from(refused)), "{name}: {ended:?}");
        let said = format!(
            "error: the model's classes are `background`, `nucleus` in this order, those of the data set `{first}`, `{second}`"
        );
        assert_eq!(ended.stderr.starts_with(&said), refused, "{name}: {ended:?}");
    }
}

#[test]
fn eval_saves_no_mask_over_a_file_of_the_data_set() {
    let place = Workplace::new();
    for part in ["train", "test"] {
        place.image(&format!("data/{part}/images/a.png"), 10, 12);
        for kind in ["masks", "fields_of_view"] {
            place.mask(&format!("data/{part}/{kind}/a.png"), 10, 12);
        }
    }
    for (part, kind) in
        [("test", "fields_of_view"), ("train", "fields_of_view"), ("train", "images"), ("train", "masks")]
    {
        let file = format!("data/{part}/{kind}/a.png");
        let before = fs::read(place.path(&file)).unwrap();
        let eval = format!("eval --model threshold.onnx --data data --save-masks data/{part}/{kind} --bootstrap 50");
        let ended = place.run(&eval);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&format!("the input `{file}` would be overwritten by a result")), "{ended:?}");
        assert_eq!(fs::read(place.path(&file)).unwrap(), before, "{file}");
    }
}

#[test]
fn eval_saves_no_mask_over_another() {
    let place = Workplace::new();
    for (part, name) in [("train", "a"), ("train", "b"), ("test", "a")] {
        place.image(&format!("data/{part}/images/{name}.png"), 10, 12);
        place.mask(&format!("data/{part}/masks/{name}.png"), 10, 12);
    }
    let eval = |split: &str| {
        place.run(&format!("eval --model threshold.onnx --data data --split {split} --save-masks masks --bootstrap 50"))
    };
    let ended = eval("all");
    let (first, second) = ("`data/train/images/a.png`", "`data/test/images/a.png`");
    let expected =
        format!("error: the masks of {first} and {second} would both be saved as `masks/a.png`; measure one");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&expected) && !place.path("masks").exists(), "{ended:?}");
    let ended = eval("train");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(place.path("masks/a.png").exists() && place.path("masks/b.png").exists());
}

#[test]
fn images_that_were_learned_from_are_refused() {
    let place = Workplace::new();
    for (name, width) in [("a", 10), ("b", 12), ("c", 14)] {
        place.image(&format!("data/images/{name}.png"), width, 12);
        place.mask(&format!("data/masks/{name}.png"), width, 12);
    }
    let digest =
        |name: &str| ImageDigest::of(&seg_data::read_image(&place.path(format!("data/images/{name}.png"))).unwrap());
    let mut model = threshold::model(SizePolicy::Native);
    let learned = LearnedFrom { training: [digest("a")].into(), validation: [digest("b")].into() };
    learned.write(&mut model.contract.provenance);
    fs::write(place.path("learned.onnx"), model.to_bytes().unwrap()).unwrap();
    // The same pixels in another file.
    fs::rename(place.path("data/images/a.png"), place.path("data/images/a.PNG")).unwrap();

    let ended = place.run("eval --model learned.onnx --data data");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("learned from 1 of these 3 images, such as `a`"), "{ended:?}");
    let ended = place.run("eval --model learned.onnx --data data --allow-training-images --out scores");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("1 of these 3 images chose the epoch"), "{ended:?}");
    let report: Value = serde_json::from_slice(&fs::read(place.path("scores/scores.json")).unwrap()).unwrap();
    assert_eq!((&report["data"]["learned_from"], &report["data"]["chose_epoch"]), (&1.into(), &1.into()));
    let page = fs::read_to_string(place.path("scores/report.html")).unwrap();
    assert!(page.contains("The model has learned from 1 of these image"));

    let ended = place.run("eval --model threshold.onnx --data data --out scores");
    assert!(ended.stderr.contains("does not say which images it has learned from"), "{ended:?}");
    let report: Value = serde_json::from_slice(&fs::read(place.path("scores/scores.json")).unwrap()).unwrap();
    assert_eq!(report["data"]["learned_from"], Value::Null);
}

#[test]
fn images_of_another_depth_are_warned_about() {
    let place = Workplace::new();
    let narrow = image::ImageBuffer::from_fn(24, 16, |x, y| image::Luma([(300 + (x * 37 + y * 91) % 1_500) as u16]));
    fs::create_dir_all(place.path("data/images")).unwrap();
    narrow.save(place.path("data/images/a.png")).unwrap();
    place.mask("data/masks/a.png", 24, 16);
    for command in ["eval --model threshold.onnx --data data", "infer --model threshold.onnx --out out data/images"] {
        let ended = place.run(command);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("1 of 1 images have other values than those"), "{command}: {ended:?}");
    }
}

/// Returns the labels of a volume as `volume` makes it, whose first nine columns are the target.
fn labels(slices: u32) -> Vec<u8> {
    let mut bytes = volume(slices)[..352].to_vec();
    // Bytes.
    bytes[70..72].copy_from_slice(&2_i16.to_le_bytes());
    bytes[72..74].copy_from_slice(&8_i16.to_le_bytes());
    (0..16 * slices).for_each(|_| bytes.extend((0..20).map(|x| u8::from(x < 9))));
    bytes
}

#[test]
fn distances_are_in_millimetres_where_images_name_the_size_of_a_pixel() {
    let place = Workplace::new();
    for name in ["images", "masks"] {
        fs::create_dir_all(place.path(format!("data/{name}"))).unwrap();
    }
    fs::write(place.path("data/images/a.nii"), volume(3)).unwrap();
    fs::write(place.path("data/masks/a.nii"), labels(3)).unwrap();
    fs::write(place.path("data/classes.json"), CLASSES).unwrap();
    let ended =
        place.run("eval --model threshold.onnx --data data --split all --out scores --bootstrap 0 --tolerance-mm 0.5");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in ["HD95 [mm]               1.50", "surface Dice in mm    0.6739", "HD95 [px]               3.00"] {
        assert!(ended.stdout.contains(line), "{line:?}: {ended:?}");
    }
    let read = |name: &str| fs::read_to_string(place.path(name)).unwrap();
    let report: Value = serde_json::from_str(&read("scores/scores.json")).unwrap();
    // Columns of 0.5 mm and rows of 0.25 mm. The means over slices of what SciPy 1.17.1 finds with
    // `distance_transform_edt(sampling=(0.25, 0.5))` of 16x20 pixels, 5, 6 and 7 columns of which
    // were found and 9 are true.
    for (name, expected) in [
        ("hausdorff95_mm", 1.5),
        ("hausdorff_mm", 1.5),
        ("average_surface_distance_mm", 0.469_386_556_595_858_9),
        ("surface_dice_mm", 0.673_940_400_684_584_6),
    ] {
        let found = report["scores"]["per_image"]["classes"]["nucleus"][name]["value"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12, "{name}: {found}");
        assert!(report["definitions"][name].as_str().unwrap().contains("the size of a pixel"), "{name}");
    }
    assert_eq!(report["method"]["tolerance_mm"], 0.5);
    let csv = read("scores/images.csv");
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = header.iter().position(|name| *name == "hausdorff95_mm").unwrap();
    assert_eq!(lines.map(|line| line[column].parse::<f64>().unwrap()).collect::<Vec<_>>(), [2.0, 1.5, 1.0]);
    assert!(read("scores/report.html").contains("HD95 in mm"));

    place.image("plain/images/a.png", 10, 12);
    place.mask("plain/masks/a.png", 10, 12);
    let eval = "eval --model threshold.onnx --data plain --split all --bootstrap 0";
    let ended = place.run(&format!("{eval} --out plain-scores"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = read("plain-scores/scores.json");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["scores"]["per_image"]["overall"].get("hausdorff95_mm").is_none(), "{report}");
    assert!(!read("plain-scores/images.csv").contains("_mm") && !ended.stdout.contains("[mm]"), "{ended:?}");
    let ended = place.run(&format!("{eval} --tolerance-mm 1"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("`--tolerance-mm` has no effect: none of the 1 images names the size"), "{ended:?}");
}

/// Classes that masks number.
const CLASSES: &str = r#"{"masks": "index", "classes": [{"name": "background"}, {"name": "nucleus"}]}"#;
