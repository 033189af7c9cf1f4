//! Proofs where rounding is amplified, or where floats overflow.

use ndarray::{Array4, ArrayView4, Axis};
use seg_contract::OutputKind;
use seg_inference::{ModelOutput, RunError};
use seg_onnx::Model;
use seg_onnx::graph::{Conv, Dim, GraphBuilder, Tensor};
use seg_verify::bounds::CPU_FLOAT32;
use seg_verify::{ExactEvaluator, Finding, ModelUnderTest, Runner, amplification, proof_inputs, prove};

use super::{Workplace, model, reference};

/// Builds the sixteenth power of a convolution's output, which amplifies its rounding as many
/// times.
fn power() -> Model {
    let mut builder = GraphBuilder::new("power");
    let image = builder.input("input", [Dim::batch(), Dim::from(3), Dim::height(), Dim::width()]).unwrap();
    let mut root = builder.root();
    let weight = Tensor::new([2, 3, 1, 1], vec![0.7, 0.3, 1.1, -0.9, 1.3, 0.1]).unwrap();
    let mut x = root.conv("conv", image, weight, None, Conv::default()).unwrap();
    for name in ["second", "fourth", "eighth", "logits"] {
        x = root.mul(name, x, x).unwrap();
    }
    Model { graph: builder.finish(&[("logits", x)]).unwrap(), ..model() }
}

/// A runner that gives the exact output, with one value off by a given error.
struct Off(Array4<f64>, f64);

impl Runner for Off {
    fn run_batch(&mut self, _: ArrayView4<'_, f32>) -> Result<ModelOutput, RunError> {
        let mut answer = self.0.clone();
        answer[[0, 0, 0, 0]] += self.1;
        Ok(ModelOutput::Scores(answer.mapv(|value| value as f32)))
    }
}

#[test]
fn a_network_that_amplifies_rounding_may_be_off_by_as_many_times_as_much() {
    for (model, amplifies) in [(power(), true), (model(), false)] {
        let mut reference = reference(model);
        // Only the error itself is judged.
        reference.framework_outputs.clear();
        let one = &proof_inputs(&reference.model, false, &[]).unwrap()[1..2];
        let input = one[0].load(&reference.model.contract).unwrap().tensor;
        let mut evaluator = ExactEvaluator::new(&reference.model.graph);
        let exact = evaluator.output(&one[0], input.view()).unwrap().output.clone();
        let scale =
            exact.fold(0.0_f64, |high, &value| high.max(value)) - exact.fold(0.0_f64, |low, &value| low.min(value));
        let rounding = evaluator.rounding_error(input.view(), exact.view()).unwrap();
        let amplified = amplification(rounding, scale);
        assert_eq!(amplified.is_some(), amplifies, "{amplified:?}");
        let allowed = CPU_FLOAT32.at(16) * scale;
        let most = allowed * amplified.unwrap_or(1.0);
        for (off, holds, is_looked_at) in
            [(0.9 * allowed, true, false), (0.9 * most, true, amplifies), (1.1 * most, false, amplifies)]
        {
            let tested = ModelUnderTest { reference: &reference, model: &reference.model, bound: &CPU_FLOAT32 };
            let proof = prove(tested, &mut evaluator, &mut Off(exact.clone(), off), one, |_| {}).unwrap();
            let case = &proof.inputs[0];
            assert_eq!(case.findings.is_empty(), holds, "{off:e} of {most:e}: {:?}", case.findings);
            assert_eq!(case.amplification.is_some(), is_looked_at, "{off:e} of {most:e}");
        }
    }
}

/// These answers, whatever is asked.
struct Given(Array4<f32>);

impl Runner for Given {
    fn run_batch(&mut self, _: ArrayView4<'_, f32>) -> Result<ModelOutput, RunError> {
        Ok(ModelOutput::Scores(self.0.clone()))
    }
}

/// Returns the model with weights whose background logit no 32-bit float holds.
fn beyond_float32() -> Model {
    let mut model = model();
    for (name, weights) in [("red.weight", vec![1e30_f32, 0.0, 0.0]), ("scores.weight", vec![-1e30, 1e-30])] {
        let weight = model.graph.initializers.get_mut(name).unwrap();
        *weight = Tensor::new(weight.shape(), weights).unwrap();
    }
    model
}

#[test]
fn what_no_float_holds_is_neither_hidden_nor_proven() {
    let place = Workplace::new();
    let reference = reference(beyond_float32());
    let all = proof_inputs(&reference.model, false, &[place.path("a.png")]).unwrap();
    let image = &all[all.len() - 1..];
    let input = image[0].load(&reference.model.contract).unwrap().tensor;
    let mut evaluator = ExactEvaluator::new(&reference.model.graph);
    let logits = evaluator.output(&image[0], input.view()).unwrap().output.mapv(|logit| logit as f32);
    assert!(
        logits.iter().any(|logit| *logit == f32::INFINITY) && logits.iter().any(|logit| *logit == f32::NEG_INFINITY)
    );
    // As 32-bit floats have it: not a number where the largest logit is infinite, and else right.
    let mut softmax = logits.clone();
    for mut pixel in softmax.lanes_mut(Axis(1)) {
        let largest = pixel.fold(f32::NEG_INFINITY, |most, logit| most.max(*logit));
        pixel.mapv_inplace(|logit| (logit - largest).exp());
        let sum = pixel.sum();
        pixel.mapv_inplace(|share| share / sum);
    }
    for (name, kind, answer, is_hidden) in [
        ("logits", OutputKind::Logits, logits.clone(), false),
        ("logits that are cut off", OutputKind::Logits, logits.mapv(|logit| logit.clamp(f32::MIN, f32::MAX)), true),
        ("probabilities", OutputKind::Probabilities, softmax, false),
        ("probabilities of something else", OutputKind::Probabilities, logits.mapv(|_| 0.5), true),
    ] {
        let mut model = reference.model.clone();
        model.contract.output.kind = kind;
        let tested = ModelUnderTest { reference: &reference, model: &model, bound: &CPU_FLOAT32 };
        let proof = prove(tested, &mut evaluator, &mut Given(answer), image, |_| {}).unwrap();
        let found = &proof.inputs[0].findings;
        let hidden = found.iter().filter(|finding| matches!(finding, Finding::Hidden { .. })).count();
        assert_eq!(hidden, usize::from(is_hidden), "{name}: {found:?}");
        assert_eq!(found.last(), Some(&Finding::NothingOfImage), "{name}: {found:?}");
        assert_eq!(proof.is_undecided(), !is_hidden, "{name}: {found:?}");
    }
}
