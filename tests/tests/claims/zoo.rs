//! The networks of the zoo are those of their public PyTorch code: in evaluation, in ONNX Runtime,
//! and in the first step of training.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::{ArrayD, Axis, Ix4, Slice};
use seg_export::lower::{to_graph, value_of_stage};
use seg_export::{Options, export};
use seg_nets::gradients::Gradients;
use seg_nets::network::NetworkName;
use seg_nets::weights::{Weights, to_array};
use seg_onnx::Opset;
use seg_tests::fixtures::{checkpoint, to_tensor};
use seg_tests::parity::{check, norm, stages, with_outputs};
use seg_tests::reference::Reference;
use seg_tests::runtime::{open, run};
use seg_tests::tolerance::{BURN_CPU, Measure, ONNX_RUNTIME_CPU, RUNNING_STATISTICS, Tolerance, ZOO_FACTOR};
use seg_train::learn::loss::{Loss, loss};

/// A network with the errors of PyTorch's own float32 against its float64, as its reference
/// measured them.
struct Row {
    network: NetworkName,
    /// The batches of images, with the largest error over the largest logit.
    logits: &'static [(&'static str, f64)],
    /// The stages whose outputs the reference holds.
    stages: &'static [&'static str],
    /// The error of the total loss.
    loss: f64,
    /// The norm of the error of the whole gradient over the gradient's.
    gradient: f64,
    /// The same of the parameter of which it is largest.
    parameter: f64,
}

/// The networks; a new one is a row.
const ROWS: [Row; 1] = [Row {
    network: NetworkName::UNet,
    logits: &[("even", 2.2e-6), ("odd", 2.0e-6)],
    stages: &["in_conv", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4"],
    loss: 2.1e-8,
    gradient: 2.8e-6,
    parameter: 8.5e-6,
}];

/// Learnable parameters, running statistics, and multiply-adds at 256x256 of the published
/// networks.
const COUNTS: [(NetworkName, u64, usize, u64); 2] =
    [(NetworkName::AmsUnet, 2_619_898, 5_952, 6_000_519_680), (NetworkName::UNet, 4_318_434, 4_416, 10_026_483_712)];

#[test]
fn the_published_counts() {
    assert!(COUNTS.map(|(name, ..)| name) == NetworkName::ALL, "a network has no counts");
    for (name, learnable, statistics, multiply_adds) in COUNTS {
        let net = name.config(3, 2).init(&Device::flex());
        assert_eq!(net.num_learnable() as u64, learnable, "{name}");
        assert_eq!(net.num_params() - net.num_learnable(), statistics, "{name}");
        let graph = to_graph(&net, "input", "logits").unwrap();
        let total = graph.cost(&[("batch", 1), ("height", 256), ("width", 256)]).unwrap().total;
        assert_eq!((total.parameters, total.multiply_adds), (learnable, multiply_adds), "{name}");
    }
}

fn input(reference: &Reference, case: &str) -> ArrayD<f32> {
    reference.tensor(&format!("{case}.input")).mapv(|value| value as f32)
}

/// Compares logits with those that PyTorch computes in float64.
fn check_logits(reference: &Reference, who: &str, case: &str, error: f64, found: &ArrayD<f32>) {
    let exact = reference.tensor(&format!("{case}.logits_f64"));
    let largest = exact.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let tolerance = Tolerance {
        measure: Measure::Absolute,
        max: ZOO_FACTOR * error * largest,
        reason: "a multiple of the error of PyTorch's own float32",
    };
    check(&format!("{who}: {case}.logits"), found, exact, &tolerance).unwrap();
}

/// Compares the first image's values of a stage with PyTorch's.
fn check_stage(reference: &Reference, who: &str, stage: &str, found: &ArrayD<f32>, tolerance: &Tolerance) {
    let first = found.slice_axis(Axis(0), Slice::from(0..1)).to_owned();
    check(&format!("{who}: {stage}"), &first, reference.tensor(&format!("block.{stage}")), tolerance).unwrap();
}

#[test]
fn burn_computes_what_pytorch_computes() {
    for row in ROWS {
        let reference = Reference::zoo(row.network);
        assert_eq!(reference.weights.network(), row.network);
        let net = reference.weights.to_network(&Device::flex()).unwrap();
        for (case, error) in row.logits {
            let found = stages(&net, &input(&reference, case));
            let who = format!("{} in Burn", row.network);
            check_logits(&reference, &who, case, *error, &found.last().unwrap().1);
            for (stage, found) in found.iter().filter(|(stage, _)| *case == "even" && row.stages.contains(&&**stage)) {
                check_stage(&reference, &who, stage, found, &BURN_CPU);
            }
        }
    }
}

#[test]
fn onnx_runtime_computes_what_pytorch_computes() {
    for row in ROWS {
        let reference = Reference::zoo(row.network);
        let net = reference.weights.to_network(&Device::flex()).unwrap();
        for opset in [Opset::V20, Opset::V17] {
            let who = format!("{} in ONNX Runtime, opset {opset}", row.network);
            let exported = export(&checkpoint(&net), &Options { opset, ..Options::default() }).unwrap();
            let mut session = open(&exported.bytes);
            for (case, error) in row.logits {
                let input = input(&reference, case);
                let logits = session.run(input.view().into_dimensionality::<Ix4>().unwrap()).unwrap();
                check_logits(&reference, &who, case, *error, &logits.into_dyn());
            }
            let graph = &exported.model.graph;
            let values: Vec<_> = row.stages.iter().map(|stage| value_of_stage(graph, stage)).collect();
            let images = [("input", input(&reference, "even"))];
            let found = run(&with_outputs(graph, values.clone()), opset, &images);
            for (stage, value) in row.stages.iter().zip(&values) {
                check_stage(&reference, &who, stage, &found[value], &ONNX_RUNTIME_CPU);
            }
        }
    }
}

#[test]
fn the_first_step_has_pytorchs_loss_gradients_and_statistics() {
    for row in ROWS {
        let name = row.network;
        let reference = Reference::zoo(name);
        let device = Device::flex().autodiff();
        let net = reference.weights.to_network(&device).unwrap();
        let target = reference.tensor("train.target");
        let labels: Vec<i32> = target.iter().map(|&label| label as i32).collect();
        let target = Tensor::<3, Int>::from_data(TensorData::new(labels, target.shape()), &device);
        let logits = net.forward(to_tensor(&input(&reference, "even"), &device));
        let Loss { total, cross_entropy, dice } = loss(logits, target);
        let gradients = Gradients::from_loss(&total, &net);

        let found = [total, cross_entropy, dice].map(Tensor::into_scalar::<f32>);
        let reason =
            "a multiple of the error of PyTorch's own float32, and half a unit in the last place of losses near 2";
        let losses = Tolerance { measure: Measure::Absolute, max: ZOO_FACTOR * row.loss + 2.0_f64.powi(-24), reason };
        check(
            &format!("{name}: losses"),
            &ndarray::arr1(&found).into_dyn(),
            reference.tensor("train.losses_f64"),
            &losses,
        )
        .unwrap();

        let norms = reference.below("grad_norm.");
        assert!(gradients.tensors().keys().eq(norms.keys()), "{name}: PyTorch and Burn learn other parameters");
        let whole = norms.values().flat_map(|norm| norm.iter()).map(|norm| norm * norm).sum::<f64>().sqrt();
        let expected = reference.below("grad.");
        assert!(expected.len() > row.stages.len(), "{name}: the reference holds few gradients");
        let mut squares = 0.0;
        for (parameter, theirs) in &expected {
            let flat = to_array(gradients.tensors()[*parameter].clone());
            let ours = flat.into_shape_with_order(theirs.shape()).unwrap();
            let error = norm(&(ours.mapv(f64::from) - *theirs));
            squares += error * error;
            let bound = ZOO_FACTOR * row.parameter * norm(theirs);
            assert!(error <= bound, "{name}: the gradient of {parameter} is {error:e} off, allowed {bound:e}");
        }
        let (error, bound) = (squares.sqrt(), ZOO_FACTOR * row.gradient * whole);
        assert!(error <= bound, "{name}: the gradients are {error:e} off, allowed {bound:e}");
        for (parameter, norms) in norms {
            let found = norm(&to_array(gradients.tensors()[parameter].clone()).mapv(f64::from));
            let exact = norms.first().unwrap();
            let bound = ZOO_FACTOR * row.parameter * exact + f64::from(f32::EPSILON) * whole;
            assert!((found - exact).abs() <= bound, "{name}: the norm of {parameter} is {found}, PyTorch's {exact}");
        }

        let after = Weights::from_network(&net.valid());
        let statistics = reference.below("train.after1.");
        assert!(!statistics.is_empty(), "{name}");
        for (parameter, expected) in statistics {
            let case = format!("{name}: {parameter} after a step");
            check(&case, &after.tensors()[parameter], expected, &RUNNING_STATISTICS).unwrap();
        }
    }
}
