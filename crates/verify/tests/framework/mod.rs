//! A training framework that rounds the exact outputs to 32-bit floats, and nothing else.

use seg_onnx::Model;
use seg_verify::{ExactEvaluator, FrameworkOutput, Reference, proof_inputs};

/// Records in a reference what such a framework computes for the fixed inputs of a model.
pub(crate) fn record(reference: &mut Reference, model: &Model) {
    let mut evaluator = ExactEvaluator::new(&reference.model.graph);
    for input in proof_inputs(model, false, &[]).unwrap() {
        let tensor = input.load(&reference.model.contract).unwrap().tensor;
        let exact = &evaluator.output(&input, tensor.view()).unwrap().output;
        let found = exact.mapv(|value| value as f32);
        let output = FrameworkOutput::compare(tensor.view(), found.view(), exact.view());
        reference.framework_outputs.insert(input.name, output);
    }
}
