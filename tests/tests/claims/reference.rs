//! The networks equal PyTorch's: in evaluation, in ONNX Runtime, and in training.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::{ArrayD, Ix4};
use seg_export::lower::value_of_stage;
use seg_export::{Options, export, lower};
use seg_nets::gradients::Gradients;
use seg_nets::network::Network;
use seg_nets::weights::{Weights, to_array};
use seg_onnx::Opset;
use seg_tests::fixtures::{checkpoint, to_tensor};
use seg_tests::parity::{check, norm, stages, with_outputs};
use seg_tests::reference::Reference;
use seg_tests::runtime::{open, run};
use seg_tests::tolerance::{
    AFTER_STEPS, BURN_CPU, ERRORS_OF_PYTORCH, GRADIENT, LOGITS, LOSS, ONNX_RUNTIME_CPU, Tolerance, VANISHING_GRADIENT,
};
use seg_train::learn::loss::{Loss, loss};
use seg_train::learn::optimizer::Optimizer;

/// The images that PyTorch saw.
const CASES: [&str; 2] = ["even", "odd"];

/// The stages in PyTorch's results, beside the logits.
const STAGES: [&str; 9] = ["in_conv", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4"];

/// The recipe of PyTorch's five steps.
const LEARNING_RATE: f64 = 2e-4;
const WEIGHT_DECAY: f32 = 5e-5;

/// Modules inside the stages: their published names, and the values in the graph.
const INSIDE: [(&str, &str); 5] = [
    ("down3.2.attn.ams", "down3.amse.attention.ams.product"),
    ("down3.2.attn", "down3.amse.attention.conv2"),
    ("down3.2.ffn", "down3.amse.ffn.project"),
    ("up1.catt", "up1.rsc.channel_product"),
    ("up1.satt", "up1.rsc.spatial_product"),
];

fn network(reference: &Reference, device: &Device) -> Network {
    reference.weights.to_network(device).unwrap()
}

fn input(reference: &Reference, case: &str) -> ArrayD<f32> {
    reference.tensor(&format!("{case}.input")).mapv(|value| value as f32)
}

/// Compares with PyTorch's tensor of a name.
fn check_value(reference: &Reference, who: &str, name: &str, found: &ArrayD<f32>, tolerance: &Tolerance) {
    check(&format!("{who}: {name}"), found, reference.tensor(name), tolerance).unwrap();
}

/// Compares logits with PyTorch's, and with those in float64.
fn check_logits(reference: &Reference, who: &str, case: &str, found: &ArrayD<f32>) {
    check_value(reference, who, &format!("{case}.logits"), found, &LOGITS);
    let exact = reference.tensor(&format!("{case}.logits_f64"));
    let theirs = reference.tensor(&format!("{case}.logits"));
    let error = (theirs - exact).iter().fold(0.0, |worst: f64, error| worst.max(error.abs()));
    let tolerance = Tolerance { max: ERRORS_OF_PYTORCH * error, ..LOGITS };
    check_value(reference, who, &format!("{case}.logits_f64"), found, &tolerance);
}

#[test]
fn the_checkpoint_of_pytorch_holds_the_weights() {
    let reference = Reference::open();
    assert_eq!(Weights::read(&reference.folder.join("checkpoint.pth")).unwrap(), reference.weights);
}

#[test]
fn burn_computes_what_pytorch_computes() {
    let reference = Reference::open();
    let net = network(&reference, &Device::flex());
    for case in CASES {
        let found = BTreeMap::from_iter(stages(&net, &input(&reference, case)));
        for stage in STAGES {
            check_value(&reference, "Burn", &format!("{case}.{stage}"), &found[stage], &BURN_CPU);
        }
        check_logits(&reference, "Burn", case, &found["out_conv"]);
    }
}

#[test]
fn onnx_runtime_computes_what_pytorch_computes() {
    let reference = Reference::open();
    let net = network(&reference, &Device::flex());
    for opset in [Opset::V20, Opset::V17] {
        let options = Options { opset, ..Options::default() };
        let exported = export(&checkpoint(&net), &options).unwrap();
        let mut session = open(&exported.bytes);
        for case in CASES {
            let who = format!("ONNX Runtime, opset {opset}");
            let input = input(&reference, case);
            let logits = session.run(input.view().into_dimensionality::<Ix4>().unwrap()).unwrap();
            check_logits(&reference, &who, case, &logits.into_dyn());

            let graph = &exported.model.graph;
            let values = STAGES.map(|stage| value_of_stage(graph, stage));
            let found = run(&with_outputs(graph, values.to_vec()), opset, &[("input", input)]);
            for (stage, value) in STAGES.iter().zip(&values) {
                check_value(&reference, &who, &format!("{case}.{stage}"), &found[value], &ONNX_RUNTIME_CPU);
            }
        }
    }
}

#[test]
fn the_modules_inside_compute_what_pytorch_computes() {
    let reference = Reference::open();
    // Compared before the passes, which fold normalisations into some of these.
    let graph = lower::to_graph(&network(&reference, &Device::flex()), "input", "logits").unwrap();
    let graph = with_outputs(&graph, INSIDE.map(|(_, value)| value.to_owned()).into());
    let found = run(&graph, Opset::V20, &[("input", input(&reference, "even"))]);
    for (name, value) in INSIDE {
        check_value(&reference, "ONNX Runtime", &format!("even.{name}"), &found[value], &ONNX_RUNTIME_CPU);
    }
}

/// Creates a network that trains on the batch of PyTorch.
struct Learner {
    net: Network,
    optimizer: Optimizer,
    images: Tensor<4>,
    target: Tensor<3, Int>,
}

impl Learner {
    fn new(reference: &Reference) -> Self {
        let device = Device::flex().autodiff();
        let target = reference.tensor("train.target");
        let labels: Vec<i32> = target.iter().map(|&label| label as i32).collect();
        Self {
            net: network(reference, &device),
            optimizer: Optimizer::new(WEIGHT_DECAY),
            images: to_tensor(&input(reference, "train"), &device),
            target: Tensor::from_data(TensorData::new(labels, target.shape()), &device),
        }
    }

    /// Logits, loss and gradients.
    fn backward(&self) -> (Tensor<4>, Loss, Gradients) {
        let logits = self.net.forward(self.images.clone());
        let loss = loss(logits.clone(), self.target.clone());
        let gradients = Gradients::from_loss(&loss.total, &self.net);
        (logits, loss, gradients)
    }

    /// Takes one step; returns the total loss and its two terms.
    fn step(&mut self) -> [f32; 3] {
        let (_, Loss { total, cross_entropy, dice }, gradients) = self.backward();
        self.net = self.optimizer.step(LEARNING_RATE, self.net.clone(), gradients);
        [total, cross_entropy, dice].map(Tensor::into_scalar)
    }

    fn weights(&self) -> Weights {
        Weights::from_network(&self.net.valid())
    }
}

/// Returns whether a parameter's exact gradient is zero: the bias of a convolution whose output is
/// normalised by its own mean, which takes the bias out again. Either side finds rounding noise.
fn vanishes(name: &str) -> bool {
    name == "in_conv.0.bias" || name.ends_with(".attn.conv2.bias")
}

#[test]
fn the_first_step_has_pytorchs_gradients() {
    let reference = Reference::open();
    let learner = Learner::new(&reference);
    let (logits, _, gradients) = learner.backward();
    check_value(&reference, "Burn in training", "train.logits_step0", &to_array(logits), &BURN_CPU);

    let expected = reference.below("grad.");
    assert!(gradients.tensors().keys().eq(expected.keys()), "PyTorch and Burn learn other parameters");
    for (name, theirs) in expected {
        let flat = to_array(gradients.tensors()[name].clone());
        let ours = &flat.into_shape_with_order(theirs.shape()).unwrap();
        if vanishes(name) {
            let weight = norm(reference.tensor(&format!("grad.{}weight", name.strip_suffix("bias").unwrap())));
            for (who, noise) in [("Burn", norm(&ours.mapv(f64::from))), ("PyTorch", norm(theirs))] {
                assert!(noise <= VANISHING_GRADIENT * weight, "{who}: {name}: {noise:e} beside {weight:e}");
            }
        } else {
            check(&format!("gradient of {name}"), ours, theirs, &GRADIENT).unwrap();
        }
    }
}

/// The share of the new batch in a running statistic.
const MOMENTUM: f64 = 0.1;

/// The largest step of AdamW within the first five, in learning rates: `|m| / sqrt(v)` with `m =
/// sum(p g)` and `v = sum(q g^2)` is at most `sqrt(sum(p^2 / q))`, 1.011 for five gradients; the
/// decay adds less than 1e-4.
const ADAMW_STEP_MAX: f64 = 1.02;

#[test]
fn five_steps_leave_what_pytorchs_leave() {
    let reference = Reference::open();
    let mut learner = Learner::new(&reference);
    let start = learner.weights();
    // The exact gradient of this bias is zero, and AdamW makes whole steps of the noise instead.
    // The normalisation removes the bias from its output, but its running mean follows: on our side
    // by `drift`, which can be seen, on PyTorch's by up to `drift_max`.
    let bias = |weights: &Weights| weights.tensors()["in_conv.0.bias"].mapv(f64::from);
    let mut drift = ArrayD::zeros(bias(&start).raw_dim());
    let mut drift_max = 0.0;
    let follow = |drift: f64, moved: f64| (1.0 - MOMENTUM) * drift + MOMENTUM * moved;
    for (step, losses) in reference.tensor("train.losses").outer_iter().enumerate() {
        let moved = bias(&learner.weights()) - bias(&start);
        drift.zip_mut_with(&moved, |drift, moved| *drift = follow(*drift, *moved));
        drift_max = follow(drift_max, step as f64 * ADAMW_STEP_MAX * LEARNING_RATE);
        let found = ndarray::arr1(&learner.step()).into_dyn();
        check(&format!("losses of step {step}"), &found, &losses.to_owned(), &LOSS).unwrap();
    }

    let after = learner.weights();
    for (name, expected) in reference.below("train.after5.") {
        let mut found = after.tensors()[name].clone();
        let mut tolerance = AFTER_STEPS;
        if name == "in_conv.1.running_mean" {
            found.zip_mut_with(&drift, |mean, drift| *mean -= *drift as f32);
            tolerance.max += drift_max;
            tolerance.reason = "it follows a bias that noise moves in PyTorch";
        }
        check(&format!("after five steps: {name}"), &found, expected, &tolerance).unwrap();
    }
}
