//! Models that another program exported: from a draft of a contract to masks.

use std::fs;

use image::{GrayImage, Rgb, RgbImage};
use seg_contract::SizePolicy;
use seg_inference::library::Build;
use seg_onnx::{Opset, proto};
use serde_json::{Value, json};

use super::{Place, onnx_runtime, text, threshold};

impl Place {
    /// Writes a network as another program would, without a contract: a pixel is a nucleus if its
    /// red is above one half.
    fn foreign(&self) {
        let model = threshold::model(SizePolicy::Native);
        fs::write(self.path("foreign.onnx"), proto::write(&model.graph, Opset::V17, &[]).unwrap()).unwrap();
    }

    fn seg(&self, args: &str) -> (Option<i32>, String, String) {
        let output = self.run(&onnx_runtime(Build::OpenVino), args);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn a_foreign_network_gets_a_contract_and_segments() {
    let place = Place::new();
    place.foreign();
    RgbImage::from_fn(9, 12, |x, _| Rgb([if x < 4 { 255 } else { 0 }, 255, 0])).save(place.path("a.png")).unwrap();
    let (code, _, said) = place.seg("infer --model foreign.onnx --out out a.png");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("`seg adopt` gives a network"), "{said}");

    let (code, _, said) = place.seg("adopt foreign.onnx --draft contract.json");
    assert_eq!(code, Some(0), "{said}");
    for part in ["fill in `input.mean`", "check: the answer is taken for logits, because Conv makes it"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, _, said) = place.seg("adopt foreign.onnx --draft contract.json");
    assert!(code == Some(1) && said.contains("`contract.json` exists"), "{said}");
    let (code, _, said) = place.seg("adopt foreign.onnx --contract contract.json");
    assert!(
        code == Some(1) && said.contains("`input.color` of the contract `contract.json` is not filled in"),
        "{said}"
    );

    let mut contract: Value = serde_json::from_str(&place.read("contract.json")).unwrap();
    contract["input"]["color"] = json!("rgb");
    contract["input"]["mean"] = json!([0.5, 0.5, 0.5]);
    contract["input"]["std"] = json!([0.5, 0.5, 0.5]);
    contract["classes"][1]["name"] = json!("nucleus");
    let with = |contract: &Value| fs::write(place.path("contract.json"), contract.to_string()).unwrap();
    let mut wrong = contract.clone();
    wrong["output"]["kind"] = json!("probabilities");
    with(&wrong);
    let (code, _, said) = place.seg("adopt foreign.onnx --contract contract.json");
    assert!(code == Some(1) && said.contains("if they are unbounded scores, `output.kind` is logits"), "{said}");
    assert!(!place.path("foreign.adopted.onnx").exists());
    with(&contract);
    let (code, _, said) = place.seg("adopt foreign.onnx --contract contract.json");
    assert_eq!(code, Some(0), "{said}");

    let (code, _, said) = place.seg("infer --model foreign.adopted.onnx --out out --save mask a.png");
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("was changed after"), "{said}");
    let mask: GrayImage = {
        let image = image::open(place.path("out/masks/a.png")).unwrap();
        // The palette's colours: the background is black.
        image.to_luma8()
    };
    assert_eq!(mask.dimensions(), (9, 12));
    assert!(mask.enumerate_pixels().all(|(x, _, pixel)| (pixel[0] > 0) == (x < 4)));

    let (code, said, noted) = place.seg("verify foreign.adopted.onnx");
    assert_eq!(code, Some(0), "{noted}");
    assert!(said.contains("computes on the CPU what its operators define and what OpenVINO computes"), "{said}");
    assert!(!place.path("foreign.adopted.cpu.certificate.json").exists());
    let (code, _, said) = place.seg("infer --model foreign.adopted.onnx --out other --require-certificate a.png");
    assert_eq!(code, Some(1), "{said}");
}
