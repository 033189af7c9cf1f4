//! Models of 8-bit integers, of bytes, of gray values and of one size.

use std::fs;

use image::{ImageBuffer, Rgb};
use seg_contract::{ColorOrder, Element, InputForm, OutputKind, SizePolicy};
use seg_onnx::graph::{Conv, Dim, GraphBuilder, Tensor};
use seg_onnx::precision::{Range, Scheme, quantize};
use seg_onnx::{Model, forms};
use seg_verify::Reference;

use super::{INFER, Workplace, is_absent, model, picture, reference, scores};
use super::{framework, threshold};

/// Returns the model with a convolution in 8-bit integers and its scores of these weights.
fn int8(weights: [f32; 2]) -> Model {
    let mut model = model();
    scores(&mut model, weights);
    let range = Range { min: -1.0, max: 1.0 };
    let ranges = ["input", "red"].map(|name| (name.to_owned(), range)).into();
    model.graph = quantize(&model.graph, &["red"].into(), &ranges, Scheme::Cpu).unwrap().graph;
    model
}

#[test]
fn a_model_of_8_bit_integers_is_proven_on_images_only() {
    const WITH_IMAGES: &str = "verify threshold.onnx --bisect --data .";
    let place = Workplace::new();
    place.write(&int8([-1.0, 1.0]));
    place.expect("verify threshold.onnx --bisect", 1, "is not proven on the CPU in int8: too little was asked");
    let json = fs::read_to_string(place.path("threshold.cpu.certificate.json")).unwrap();
    assert!(json.contains("\"finding\": \"no_image\"") && json.contains("\"diagnosis\": null"), "{json}");
    place.expect("verify threshold.onnx --bisect", 1, "int8 is proven on images only, and there was none: name some");
    place.expect(INFER, 1, "says that the model failed");
    // Each class has more than a hundred pixels.
    picture(&place.path("a.png"), 12);
    place.expect(WITH_IMAGES, 0, "is the trained network on the CPU in int8");

    let certificate = fs::read(place.path("threshold.cpu.certificate.json")).unwrap();
    place.expect("verify threshold.onnx", 1, "kept         threshold.cpu.certificate.json, as too little was asked");
    assert_eq!(fs::read(place.path("threshold.cpu.certificate.json")).unwrap(), certificate);
    place.expect(INFER, 0, "");

    // All answers are zero.
    place.write(&int8([0.0; 2]));
    place.expect("verify threshold.onnx", 1, "is not proven on the CPU in int8");
    place.expect(WITH_IMAGES, 1, "of the pixels have another class, allowed 0.500 %");
    place.expect(WITH_IMAGES, 1, "is not the trained network on the CPU in int8");
}

#[test]
fn on_nearly_empty_images_8_bit_integers_are_judged_by_what_little_they_show() {
    let place = Workplace::new();
    for (folder, side) in [("rare", 11), ("few", 9), ("empty", 0)] {
        fs::create_dir(place.path(folder)).unwrap();
        let red = |x, y| if x < side && y < side { 255 } else { 0 };
        let picture = image::RgbImage::from_fn(200, 200, |x, y| Rgb([red(x, y), 90, 90]));
        picture.save(place.path(folder).join("square.png")).unwrap();
    }
    // All answers of the second are zero: of 40,000 pixels fewer are wrong than half a percent.
    let [right, zero] = [int8([-1.0, 1.0]), int8([0.0; 2])];
    let (lost, none) = ("the exact masks have 121 pixels of it, the model's 0", "only one class has 100 pixels");
    for (model, folder, parts, failing) in [
        (&right, "rare", ["is the trained network on the CPU in int8", ""], &[][..]),
        (&zero, "rare", ["class `nucleus` is lost", lost], &["Class nucleus"]),
        (&right, "few", ["class `nucleus` has 81 pixels only in the exact masks", none], &["Inputs"]),
        (&zero, "empty", ["class `nucleus` does not occur in the exact masks", none], &["Inputs"]),
    ] {
        place.write(model);
        // One that is undecided would not replace one that is not.
        fs::remove_file(place.path("threshold.cpu.certificate.json")).or_else(is_absent).unwrap();
        for part in parts {
            place.expect(&format!("verify threshold.onnx --data {folder}"), i32::from(!failing.is_empty()), part);
        }
        assert_eq!(place.failing_criteria(), failing, "{folder}");
    }
}

#[test]
fn a_model_of_bytes_is_held_to_the_images_as_bytes() {
    const NATIVE: SizePolicy = SizePolicy::Native;
    let of =
        |size: u32, top: u16| ImageBuffer::from_fn(size, size, |x, y| Rgb([x, y, 3 * x + y].map(|v| v as u16 * top)));
    let rows = [
        ("8 bits", NATIVE, ColorOrder::Rgb, of(20, 257)),
        ("stretched", SizePolicy::Resize { height: 12, width: 17 }, ColorOrder::Rgb, of(20, 257)),
        ("16 bits", NATIVE, ColorOrder::Rgb, of(20, 331)),
        ("gray", NATIVE, ColorOrder::Gray, of(20, 257)),
    ];
    for (name, size, color, image) in rows {
        let place = Workplace::new();
        image.save(place.path("a.png")).unwrap();
        let mut model = if color == ColorOrder::Gray { gray() } else { threshold::model(size) };
        let mut reference = reference(model.clone());
        model.contract.input.form.element = Element::U8;
        forms::apply(&mut model.graph, "logits", &model.contract).unwrap();
        place.write(&model);
        framework::record(&mut reference, &model);
        fs::write(place.path("threshold.reference.onnx"), reference.to_bytes().unwrap()).unwrap();
        let (code, text) = place.run("verify threshold.onnx --data .");
        assert_eq!(code, Some(0), "{name}: {text}");
        let page = fs::read_to_string(place.path("threshold.cpu.certificate.html")).unwrap();
        assert!(page.contains("are rounded to bytes before any output is computed"), "{name}");
    }
}

/// Returns the model for images of one channel.
fn gray() -> Model {
    let mut builder = GraphBuilder::new("gray");
    let image = builder.input("input", [Dim::batch(), Dim::from(1), Dim::height(), Dim::width()]).unwrap();
    let weight = Tensor::new([2, 1, 1, 1], vec![-1.0, 1.0]).unwrap();
    let scores = builder.root().conv("scores", image, weight, None, Conv::default()).unwrap();
    let mut model = Model { graph: builder.finish(&[("logits", scores)]).unwrap(), ..model() };
    let input = &mut model.contract.input;
    (input.color, input.mean, input.std) = (ColorOrder::Gray, vec![0.5], vec![0.5]);
    model
}

#[test]
fn a_model_of_one_size_is_proven_on_the_middle_of_images_of_another() {
    let place = Workplace::new();
    let size = Some([16, 12]);
    let masks = place.path("set/masks");
    fs::create_dir_all(place.path("set/images")).unwrap();
    fs::create_dir_all(&masks).unwrap();
    for (name, width, height) in [("larger", 20, 24), ("wider", 30, 10), ("smaller", 9, 11), ("equal", 12, 16)] {
        let red = |x: u32, y: u32| ((31 * x + 17 * y) % 256) as u8;
        let image = image::RgbImage::from_fn(width, height, |x, y| Rgb([red(x, y), 90, 90]));
        image.save(place.path(&format!("set/images/{name}.png"))).unwrap();
        let mask = image::GrayImage::from_fn(width, height, |x, y| image::Luma([255 * u8::from(red(x, y) > 127)]));
        mask.save(masks.join(format!("{name}.png"))).unwrap();
    }
    for kind in [OutputKind::Logits, OutputKind::Mask] {
        let form = InputForm { size, ..InputForm::default() };
        fs::rename(threshold::write_as(place.0.path(), form, kind), place.path("threshold.onnx")).unwrap();
        place.expect("verify threshold.onnx --data set", 0, "is the trained network");
        let json = fs::read(place.path("threshold.cpu.certificate.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let cases = json["proof"]["cases"].as_array().unwrap();
        for (name, whole) in [
            ("larger", serde_json::json!([24, 20])),
            ("wider", serde_json::json!([10, 30])),
            ("smaller", serde_json::json!([11, 9])),
            ("equal", serde_json::Value::Null),
        ] {
            let case = cases.iter().find(|case| case["name"] == format!("image {name}")).unwrap();
            assert_eq!(case["middle_of"], whole, "{name}");
            assert_eq!(case["shape"], serde_json::json!([1, 16, 12]), "{name}");
            assert_eq!(case["dice"], serde_json::json!({"exact": 1.0, "exported": 1.0}), "{name}");
        }
        let page = fs::read_to_string(place.path("threshold.cpu.certificate.html")).unwrap();
        assert!(page.contains("image larger (the middle of 24x20)"), "{page}");
    }
}

#[test]
fn an_input_is_the_same_for_models_of_any_and_of_one_size() {
    let place = Workplace::new();
    let mut reference = reference(model());
    let write = |name: &str, reference: &Reference| {
        fs::write(place.path(name), reference.to_bytes().unwrap()).unwrap();
    };
    write("other.reference.onnx", &reference);
    let form = InputForm { batch: Some(1), size: Some([16, 16]), ..InputForm::default() };
    threshold::write_as(place.0.path(), form, OutputKind::Logits);
    const OTHER: &str = "verify other.onnx --bisect --against other.reference.onnx";
    place.expect(OTHER, 0, "is the trained network");
    reference.framework_outputs.get_mut("noise 1x16x16").unwrap().input_sha256 = "ab".into();
    write("other.reference.onnx", &reference);
    place.expect(OTHER, 1, "to blame     the reference: its `noise 1x16x16` is another input; export the model again");
}
