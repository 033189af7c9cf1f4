//! `inspect`, `warm` and `compare` describe a model.

use std::fs;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use seg_contract::{InputForm, OutputKind, SizePolicy};
use serde_json::Value;

use crate::{Workplace, threshold};

#[test]
fn inspect_prints_cost_and_contract() {
    let ended = Workplace::new().run("inspect threshold.onnx --size 10x20");
    let (cost, contract) = ended.stdout.split_once("contract\n").unwrap();
    assert_eq!(
        cost,
        "model          threshold (ONNX opset 20)\n\
         input          input: f32[batch, 3, height, width]\n\
         output         logits: f32[batch, 2, height, width]\n\
         parameters     5\n\
         constants      68 bytes\n\
         multiply-adds  1,000 at 10x20\n\
         operators      7: Concat 1, Conv 2, Pad 1, Shape 2, Sub 1\n"
    );
    assert_eq!(contract.trim_end(), threshold::model(SizePolicy::Native).contract.to_json());
}

#[test]
fn inspect_prints_the_same_as_json() {
    let place = Workplace::new();
    let ended = place.run("inspect threshold.onnx --size 10x20 --json --graph --placement");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    for (pointer, expected) in [
        ("/model", "threshold".into()),
        ("/opset", 20.into()),
        ("/inputs/0/type", "f32[batch, 3, height, width]".into()),
        ("/outputs/0/name", "logits".into()),
        ("/multiply_adds", 1000.into()),
        ("/width", 20.into()),
        ("/operators/Conv", 2.into()),
        ("/placement/CPUExecutionProvider/Conv", 2.into()),
    ] {
        assert_eq!(report.pointer(pointer), Some(&expected), "{pointer}: {ended:?}");
    }
    let contract: Value = serde_json::from_str(&threshold::model(SizePolicy::Native).contract.to_json()).unwrap();
    assert_eq!(report["contract"], contract);
    assert!(report["graph"].as_str().unwrap().contains("Conv"), "{ended:?}");
}

#[test]
fn a_size_that_the_model_does_not_take_is_refused() {
    let place = Workplace::new();
    let form = InputForm { size: Some([8, 16]), ..InputForm::default() };
    threshold::write_as(place.0.path(), form, OutputKind::Logits);
    for (command, size, refused) in [
        ("inspect other.onnx", "10x20", Some("8x16 only; leave it out")),
        ("inspect other.onnx", "8x16", None),
        ("inspect threshold.onnx", "10x7", Some("sides of at least 8")),
        ("bench --warm-up 1 --runs 1 other.onnx", "8x16,16x16", Some("8x16 only; leave it out")),
        ("bench --warm-up 1 --runs 1 threshold.onnx --against other.onnx", "9x9", Some("8x16 only")),
        ("bench --warm-up 1 --runs 1 threshold.onnx --against other.onnx", "8x16", None),
    ] {
        let ended = place.run(&format!("{command} --size {size}"));
        assert_eq!(ended.code, Some(i32::from(refused.is_some())), "{command} {size}: {ended:?}");
        if let Some(part) = refused {
            let said = ended.stderr.starts_with("error: `--size ") && ended.stderr.contains(part);
            assert!(said && ended.stdout.is_empty(), "{command} {size}: {ended:?}");
        }
    }
}

#[test]
fn warm_leaves_nothing_to_wait_for_and_inspect_says_who_computes_what() {
    let place = Workplace::new();
    let ended = place.run("warm threshold.onnx");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("`threshold.onnx` is ready to run with the CPU after "), "{ended:?}");

    let ended = place.run("inspect threshold.onnx --placement");
    let placement = ended.stdout.split_once("placement\n").unwrap().1;
    assert!(placement.starts_with("CPUExecutionProvider  ") && placement.contains("Conv 2"), "{placement}");

    let ended = place.run("inspect threshold.onnx --ep cuda");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("`--ep` and what goes with it need `--placement`"), "{ended:?}");
}

#[test]
fn compare_fails_above_the_bound_and_at_what_is_not_a_number() {
    let place = Workplace::new();
    // Two pixels; the model answers -red and red.
    let image = [1.0_f32, 2.0, 7.0, 7.0, 7.0, 7.0];
    let exact = [-1.0_f64, -2.0, 1.0, 2.0];
    let far = [-1.0_f64, -2.0, 1.0, -2.5];
    let broken = [-1.0_f64, f64::NAN, 1.0, 2.0];
    let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let image: Vec<_> = image.iter().flat_map(|value| value.to_le_bytes()).collect();
    let (exact, far, broken) = (bytes(&exact), bytes(&far), bytes(&broken));
    let expected = |bytes| TensorView::new(Dtype::F64, vec![1, 2, 1, 2], bytes).unwrap();
    let tensors = [
        ("image", TensorView::new(Dtype::F32, vec![1, 3, 1, 2], &image).unwrap()),
        ("exact", expected(&exact)),
        ("far", expected(&far)),
        ("broken", expected(&broken)),
    ];
    fs::write(place.path("t.safetensors"), safetensors::serialize(tensors, None).unwrap()).unwrap();
    for (name, expect, bound, code, part) in [
        ("equal", "exact", "--max-abs 0", 0, "same class   100.0000 % of the pixels"),
        ("no bound", "far", "", 0, "max absolute 4.500e0 at [0, 1, 0, 1]: found 2, expected -2.5"),
        ("above the bound", "far", "--max-abs 4.4", 1, "the largest absolute error is 4.5e0, the bound 4.4e0"),
        ("not a number", "broken", "", 1, "1 of 4 elements are infinite or not a number"),
        ("another shape", "image", "", 1, "found [1, 2, 1, 2], expected [1, 3, 1, 2]"),
        ("no such tensor", "none", "", 1, "it holds `broken`, `exact`, `far`, `image`"),
    ] {
        let args =
            format!("compare --model threshold.onnx --tensors t.safetensors --input image --expect {expect} {bound}");
        let ended = place.run(&args);
        assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
        assert!(format!("{}{}", ended.stdout, ended.stderr).contains(part), "{name}: {ended:?}");
    }
}

#[test]
fn a_bench_takes_images_through_the_stages_of_each_engine() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    for (name, batches, expected) in [
        ("batches of one", "1,2", [true, false, true, false]),
        ("none of one", "2,3", [true, false, true, false]),
        ("one of them of one", "2,1", [true, true, true, true]),
    ] {
        let ended = place.run(&format!(
            "bench threshold.onnx --json --warm-up 1 --runs 1 --size 8x8 --ep cpu,cpu --batch {batches} --images a.png"
        ));
        let rows: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
        let found: Vec<_> = rows.iter().map(|row| row["stages"].is_object()).collect();
        assert_eq!(found, expected, "{name}: {ended:?}");
    }
}
