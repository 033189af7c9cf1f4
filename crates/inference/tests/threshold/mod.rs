//! A model whose output is known: a pixel is a nucleus if its red is above one half.

use std::path::{Path, PathBuf};

use seg_contract::{
    CONTRACT_FORMAT, Class, ColorOrder, Contract, Input, InputForm, Output, OutputKind, Provenance, Reading, SizePolicy,
};
use seg_onnx::graph::{Conv, Dim, GraphBuilder, Tensor};
use seg_onnx::{Model, Opset, Target, forms, passes};

/// The hash of an empty file: the model has no trained weights.
const NO_WEIGHTS: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Builds the model, with normalised inputs, two convolutions and padding to a size that is known
/// only when it runs.
pub(crate) fn model(size: SizePolicy) -> Model {
    let mut builder = GraphBuilder::new("threshold");
    let image = builder.input("input", [Dim::batch(), Dim::from(3), Dim::height(), Dim::width()]).unwrap();
    let mut root = builder.root();
    let weight = |shape: [usize; 4], values: &[f32]| Tensor::new(shape, values.to_vec()).unwrap();
    // The contract turns red in [0, 1] into [-1, 1].
    let red = root.conv("red", image, weight([1, 3, 1, 1], &[1.0, 0.0, 0.0]), None, Conv::default()).unwrap();
    let padded = root.pad_to_size_of("padded", red, image).unwrap();
    let scores = root.conv("scores", padded, weight([2, 1, 1, 1], &[-1.0, 1.0]), None, Conv::default()).unwrap();
    let graph = builder.finish(&[("logits", scores)]).unwrap();
    let input = Input {
        name: "input".into(),
        color: ColorOrder::Rgb,
        mean: vec![0.5; 3],
        std: vec![0.5; 3],
        size,
        side_min: 8,
        side_multiple: 1,
        form: InputForm::default(),
        reading: Reading::default(),
    };
    let contract = Contract {
        format: CONTRACT_FORMAT,
        input,
        output: Output { name: "logits".into(), kind: OutputKind::Logits },
        classes: vec![Class::new("background", 0), Class::new("nucleus", 1)],
        provenance: Provenance {
            network: "threshold".into(),
            weights_sha256: NO_WEIGHTS.into(),
            ..Provenance::default()
        },
    };
    Model { graph, opset: Opset::V20, contract }
}

/// Writes the model in another form to a folder.
#[allow(dead_code, reason = "not every test program asks for another form")]
pub(crate) fn write_as(folder: &Path, input: InputForm, output: OutputKind) -> PathBuf {
    let mut model = model(SizePolicy::Native);
    model.contract.input.form = input;
    model.contract.output = Output { name: "answer".into(), kind: output };
    if output == OutputKind::Logits {
        model.contract.output.name = "logits".into();
    }
    forms::apply(&mut model.graph, "logits", &model.contract).unwrap();
    passes::run(&mut model.graph, model.opset, Target::Portable).unwrap();
    let path = folder.join("other.onnx");
    std::fs::write(&path, model.to_bytes().unwrap()).unwrap();
    path
}

/// Writes the model to a folder.
#[allow(dead_code, reason = "not every test program asks for this form")]
pub(crate) fn write(folder: &Path, size: SizePolicy) -> PathBuf {
    let path = folder.join("threshold.onnx");
    std::fs::write(&path, model(size).to_bytes().unwrap()).unwrap();
    path
}
