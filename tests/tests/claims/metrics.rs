//! Metrics equal those of SciPy, scikit-image and scikit-learn.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma};
use ndarray::{Array3, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_contract::IGNORE_LABEL;
use seg_metrics::{
    Bootstrap, Calibration, ImageScores, Metric, RELIABILITY_BINS, Region, Reliability, ThresholdSweep, Tolerance,
    skeleton,
};
use seg_tests::python::Python;
use serde_json::{Value, json};

const TOLERANCE: Tolerance = Tolerance { px: 1.5, mm: 1.1 };

/// The millimetres between rows and between columns.
const SPACING: [f64; 2] = [1.3, 0.4];

fn within(x: u32, y: u32, place: [f32; 2], radius: f32) -> bool {
    (x as f32 - place[0]).hypot(y as f32 - place[1]) <= radius
}

/// Creates a mask of discs of random classes; `ignored` leaves out the pixels outside of a circle,
/// as a field of view does.
fn discs(random: &mut ChaCha8Rng, (width, height): (u32, u32), classes: u8, count: usize, ignored: bool) -> GrayImage {
    let side = width.max(height) as f32;
    let disc = |random: &mut ChaCha8Rng| {
        let place = [width, height].map(|side| random.random_range(0.0..side as f32));
        (place, random.random_range(0.02..0.2) * side, random.random_range(1..classes))
    };
    let discs: Vec<_> = (0..count).map(|_| disc(random)).collect();
    GrayImage::from_fn(width, height, |x, y| {
        let label = discs.iter().rev().find(|disc| within(x, y, disc.0, disc.1)).map_or(0, |disc| disc.2);
        let counts = !ignored || within(x, y, [width as f32 / 2.0, height as f32 / 2.0], 0.45 * side);
        Luma([if counts { label } else { IGNORE_LABEL }])
    })
}

/// Creates a mask with every pixel at random.
fn noise(random: &mut ChaCha8Rng, width: u32, height: u32, share: f64) -> GrayImage {
    GrayImage::from_fn(width, height, |_, _| Luma([u8::from(random.random_bool(share))]))
}

/// Creates a mask with the pixels given.
fn dots(width: u32, height: u32, pixels: &[(u32, u32)]) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| Luma([u8::from(pixels.contains(&(x, y)))]))
}

/// Creates a mask of winding lines, one and more pixels wide, as vessels are.
fn vessels(random: &mut ChaCha8Rng, width: u32, height: u32) -> GrayImage {
    let mut mask = GrayImage::new(width, height);
    for _ in 0..6 {
        let (mut x, mut y) = (random.random_range(0..width) as i32, random.random_range(0..height) as i32);
        let (right, down) = (random.random_range(-1..=1), random.random_range(-1..=1));
        let thickness = random.random_range(1..5);
        for _ in 0..80 {
            x += right + random.random_range(-1..=1);
            y += down + random.random_range(-1..=1);
            for (x, y) in (0..thickness * thickness).map(|step| (x + step % thickness, y + step / thickness)) {
                if (0..width as i32).contains(&x) && (0..height as i32).contains(&y) {
                    mask.put_pixel(x as u32, y as u32, Luma([1]));
                }
            }
        }
    }
    mask
}

/// Creates predictions and truths with their number of classes.
fn masks() -> Vec<(String, GrayImage, GrayImage, u8)> {
    let random = &mut ChaCha8Rng::seed_from_u64(7);
    let empty = GrayImage::new(9, 5);
    let mut masks = vec![
        ("both empty", empty.clone(), empty.clone(), 2),
        ("missed", empty.clone(), dots(9, 5, &[(3, 2), (4, 2)]), 2),
        ("invented", dots(9, 5, &[(3, 2), (4, 2)]), empty, 2),
        ("one pixel", dots(31, 17, &[(4, 3)]), dots(31, 17, &[(25, 15)]), 2),
        ("at the corners", dots(13, 8, &[(0, 0), (12, 7)]), dots(13, 8, &[(12, 0), (0, 7), (0, 6)]), 2),
        ("full", GrayImage::from_pixel(12, 7, Luma([1])), GrayImage::from_pixel(12, 7, Luma([1])), 2),
        ("one pixel high", noise(random, 64, 1, 0.5), noise(random, 64, 1, 0.5), 2),
        ("one pixel wide", noise(random, 1, 41, 0.7), noise(random, 1, 41, 0.3), 2),
    ];
    for share in [0.1, 0.5, 0.8, 0.95] {
        masks.push(("noise", noise(random, 61, 47, share), noise(random, 61, 47, share), 2));
    }
    for size in [(63, 41), (128, 97), (40, 150)] {
        masks.push(("vessels", vessels(random, size.0, size.1), vessels(random, size.0, size.1), 2));
        for (classes, count, ignored) in [(2, 6, false), (2, 8, true), (3, 9, false), (3, 7, true)] {
            let predicted = discs(random, size, classes, count, false);
            masks.push(("discs", predicted, discs(random, size, classes, count, ignored), classes));
        }
    }
    let numbered = masks.into_iter().enumerate();
    numbered.map(|(number, (name, a, b, classes))| (format!("{number}, {name}"), a, b, classes)).collect()
}

/// Creates probabilities of shape `[classes, 1, pixels]` from the logits of each class, with a
/// correlated truth.
fn probabilities(
    classes: usize,
    pixels: usize,
    logit: impl Fn(&mut ChaCha8Rng, usize) -> f64,
) -> (Array3<f32>, GrayImage) {
    let random = &mut ChaCha8Rng::seed_from_u64(classes as u64);
    let mut probabilities = Array3::from_shape_fn((classes, 1, pixels), |(class, _, _)| logit(random, class).exp());
    for mut pixel in probabilities.lanes_mut(Axis(0)) {
        let sum = pixel.sum();
        pixel /= sum;
    }
    let label = |x: u32, _| {
        if random.random_bool(0.1) {
            return Luma([IGNORE_LABEL]);
        }
        let mut left = random.random_range(0.0..1.0);
        let class = (0..classes - 1).find(|class| {
            left -= probabilities[[*class, 0, x as usize]];
            left < 0.0
        });
        Luma([class.unwrap_or(classes - 1) as u8])
    };
    let truth = GrayImage::from_fn(pixels as u32, 1, label);
    (probabilities.mapv(|probability| probability as f32), truth)
}

/// Fails unless the two agree to the last digits, or neither is a number.
fn agree(name: &str, found: Option<f64>, expected: &Value, error: f64) {
    let agree = match (found, expected.as_f64()) {
        (Some(found), Some(expected)) => (found - expected).abs() <= error,
        (found, _) => found.is_none() && expected.is_null(),
    };
    assert!(agree, "{name}: found {found:?}, expected {expected}");
}

fn agree_in_reliability(name: &str, found: &Reliability, expected: &Value, error: f64) {
    agree(name, Some(found.expected_error), &expected["expected_error"], error);
    assert_eq!(found.bins.len(), expected["pixels"].as_array().unwrap().len(), "{name}");
    for (number, bin) in found.bins.iter().enumerate() {
        assert_eq!(Value::from(bin.pixels), expected["pixels"][number], "{name}, bin {number}");
        agree(&format!("{name}, bin {number}"), Some(bin.share), &expected["shares"][number], error);
        agree(&format!("{name}, bin {number}"), Some(bin.probability), &expected["probabilities"][number], error);
    }
}

#[test]
fn masks_probabilities_and_intervals_measure_the_same() {
    /// Sums of the same numbers in another order.
    const ROUNDING: f64 = 1e-10;
    let masks = masks();
    // Few values, of which no two share a rank and none is at a rank's edge, so that both
    // implementations see the same ties.
    let tied = |random: &mut ChaCha8Rng, class| 0.37 * class as f64 * f64::from(random.random_range(-12..=12));
    let free = |random: &mut ChaCha8Rng, _| random.random_range(-6.0..6.0);
    let probabilities = [
        ("tied", probabilities(2, 4000, tied), ROUNDING),
        ("free", probabilities(2, 5000, free), 1e-3),
        ("three classes", probabilities(3, 3000, free), 0.0),
    ];
    let thresholds = [0.01, 0.25, 0.5, 0.77, 0.99];
    let values: Vec<f64> = (0..25).map(|index| f64::from(index * index % 23) / 23.0).collect();
    let bootstrap = Bootstrap { replicates: 20_000, confidence: 0.9, seed: 3 };
    let cases = json!({
        "masks": masks.iter().map(|(_, predicted, truth, classes)| json!({
            "width": truth.width(), "height": truth.height(), "classes": classes, "tolerance": TOLERANCE.px,
            "tolerance_mm": TOLERANCE.mm, "spacing": SPACING,
            "prediction": predicted.as_raw(), "truth": truth.as_raw(),
        })).collect::<Vec<_>>(),
        "probabilities": probabilities.iter().map(|(_, (probabilities, truth), _)| json!({
            "classes": probabilities.dim().0, "bins": RELIABILITY_BINS, "thresholds": thresholds,
            "probabilities": probabilities.iter().collect::<Vec<_>>(), "truth": truth.as_raw(),
        })).collect::<Vec<_>>(),
        "bootstrap": {"values": values, "replicates": bootstrap.replicates, "confidence": bootstrap.confidence},
    });
    let python = Python::with("metrics", Path::new(env!("CARGO_TARGET_TMPDIR")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    fs::write(&file, cases.to_string()).unwrap();
    let output = python.run("metrics.py", &[file]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: Value = serde_json::from_slice(&output.stdout).unwrap();

    for ((name, predicted, truth, classes), expected) in masks.iter().zip(expected["masks"].as_array().unwrap()) {
        let scores = ImageScores::compare(predicted, truth, usize::from(*classes), TOLERANCE, Some(SPACING)).unwrap();
        agree(&format!("{name}: accuracy"), scores.overall[&Metric::Accuracy], &expected["accuracy"], ROUNDING);
        for (index, values) in scores.classes.iter().enumerate() {
            let expected = &expected["classes"][index];
            assert_eq!(serde_json::to_value(scores.objects[index]).unwrap(), expected["objects"], "{name}");
            for (metric, expected) in expected["values"].as_object().unwrap() {
                let found = values.iter().find(|(candidate, _)| candidate.name() == metric).unwrap().1;
                agree(&format!("{name}: class {}, {metric}", index + 1), *found, expected, ROUNDING);
            }
            let thinned = skeleton(&Region::from_labels(truth, index as u8 + 1, truth));
            assert_eq!(json!(thinned.inside()), expected["skeleton"], "{name}: the skeleton of class {}", index + 1);
        }
    }

    for ((name, (probabilities, truth), rank_error), expected) in
        probabilities.iter().zip(expected["probabilities"].as_array().unwrap())
    {
        let classes = probabilities.dim().0;
        let mut calibration = Calibration::new(classes);
        calibration.add(probabilities.view(), truth).unwrap();
        let found = calibration.summary().unwrap();
        agree(&format!("{name}: Brier"), Some(found.brier), &expected["brier"], ROUNDING);
        // The package takes its logarithms in float32.
        let logarithm = &expected["negative_log_likelihood"];
        agree(&format!("{name}: likelihood"), Some(found.negative_log_likelihood), logarithm, 1e-6);
        agree_in_reliability(&format!("{name}: top"), &found.top, &expected["top"], ROUNDING);
        for (class, found) in found.classes.iter().enumerate() {
            agree_in_reliability(&format!("{name}: class {class}"), found, &expected["classes"][class], ROUNDING);
        }
        if classes > 2 {
            continue;
        }
        let mut sweep = ThresholdSweep::default();
        sweep.add(probabilities.view(), truth).unwrap();
        let found = sweep.summary();
        agree(&format!("{name}: ROC AUC"), found.roc_auc, &expected["roc_auc"], *rank_error);
        agree(&format!("{name}: precision"), found.average_precision, &expected["average_precision"], *rank_error);
        for (threshold, expected) in thresholds.iter().zip(expected["thresholds"].as_array().unwrap()) {
            let point = found.thresholds.iter().find(|point| point.threshold == *threshold).unwrap();
            let name = |metric: &str| format!("{name}: {metric} at {threshold}");
            agree(&name("Dice"), Some(point.dice), &expected["dice"], ROUNDING);
            agree(&name("sensitivity"), point.sensitivity, &expected["sensitivity"], ROUNDING);
            agree(&name("specificity"), point.specificity, &expected["specificity"], ROUNDING);
            agree(&name("precision"), point.precision, &expected["precision"], ROUNDING);
        }
    }

    let mean = |drawn: &[usize]| Some(drawn.iter().map(|index| values[*index]).sum::<f64>() / drawn.len() as f64);
    let interval = bootstrap.interval(values.len(), mean).unwrap();
    for (name, found, expected) in
        [("low", interval[0], &expected["bootstrap"][0]), ("high", interval[1], &expected["bootstrap"][1])]
    {
        // Two independent draws of 20,000 means whose standard error is 0.06.
        agree(name, Some(found), expected, 0.006);
    }
}
