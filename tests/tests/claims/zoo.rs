//! The networks of the zoo are those of their public PyTorch code: in evaluation, in ONNX Runtime,
//! and in the first step of training.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::{ArrayD, Axis, Ix4, IxDyn, Slice};
use seg_export::lower::{to_graph, value_of_stage};
use seg_export::{Options, export};
use seg_nets::gradients::Gradients;
use seg_nets::network::NetworkName;
use seg_nets::recompute;
use seg_nets::weights::{Weights, to_array};
use seg_onnx::Opset;
use seg_tests::fixtures::{checkpoint, to_tensor};
use seg_tests::parity::{check, norm, stages, with_outputs};
use seg_tests::reference::Reference;
use seg_tests::runtime::{open, run};
use seg_tests::tolerance::{
    BURN_CPU, Measure, ONNX_RUNTIME_CPU, RUNNING_STATISTICS, Tolerance, VANISHING_GRADIENT, ZOO_FACTOR,
};
use seg_train::learn::loss::{Loss, loss};

/// A network with the errors of PyTorch's own float32 against its float64, as its reference
/// measured them.
pub(crate) struct Row {
    pub(crate) network: NetworkName,
    /// The batches of images, with the largest error over the largest logit.
    pub(crate) logits: &'static [(&'static str, f64)],
    /// The stages whose outputs the reference holds, as `stage=module` where the published module
    /// has another name.
    pub(crate) stages: &'static [&'static str],
    /// The error of the total loss.
    pub(crate) loss: f64,
    /// The norm of the error of the whole gradient over the gradient's.
    pub(crate) gradient: f64,
    /// The same of the parameter of which it is largest.
    pub(crate) parameter: f64,
}

/// The networks; a new one is a row.
const ROWS: &[Row] = &[
    Row {
        network: NetworkName::UNet,
        logits: &[("even", 2.2e-6), ("odd", 2.0e-6)],
        stages: &["in_conv", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4"],
        loss: 2.1e-8,
        gradient: 2.8e-6,
        parameter: 8.5e-6,
    },
    Row {
        network: NetworkName::UNetPlusPlus,
        logits: &[("even", 1.6e-6), ("even2", 1.9e-6)],
        stages: &[
            "conv0_0", "conv1_0", "conv2_0", "conv3_0", "conv4_0", "conv0_1", "conv1_1", "conv2_1", "conv3_1",
            "conv0_2", "conv1_2", "conv2_2", "conv0_3", "conv1_3", "conv0_4",
        ],
        loss: 1.7e-7,
        gradient: 3.1e-6,
        parameter: 7.9e-6,
    },
    Row {
        network: NetworkName::AttentionUNet,
        logits: &[("even", 6.4e-6), ("even2", 4.2e-6)],
        stages: &[
            "conv1", "conv2", "conv3", "conv4", "conv5", "up5", "att5", "up_conv5", "up4", "att4", "up_conv4", "up3",
            "att3", "up_conv3", "up2", "att2", "up_conv2",
        ],
        loss: 1.4e-7,
        gradient: 4.3e-6,
        parameter: 5.4e-5,
    },
    Row {
        network: NetworkName::ResUNet,
        logits: &[("even", 1.8e-6), ("odd", 1.4e-6)],
        stages: &["in_conv", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4"],
        loss: 1.3e-7,
        gradient: 1.4e-6,
        parameter: 3.1e-6,
    },
    Row {
        network: NetworkName::ResUNetCanonical,
        logits: &[("even", 3.9e-7), ("even2", 6.4e-7)],
        stages: &[
            "residual_conv_1",
            "residual_conv_2",
            "bridge",
            "upsample_1",
            "up_residual_conv1",
            "upsample_2",
            "up_residual_conv2",
            "upsample_3",
            "up_residual_conv3",
        ],
        loss: 1.8e-7,
        gradient: 4.9e-7,
        parameter: 6.4e-6,
    },
    Row {
        network: NetworkName::ConvUNext,
        logits: &[("even", 6.3e-6), ("odd", 4.1e-6)],
        stages: &["down2", "down3", "down4", "up1", "up2", "up3"],
        loss: 4.7e-7,
        gradient: 7.1e-6,
        parameter: 1.1e-5,
    },
    Row {
        network: NetworkName::UNext,
        logits: &[("even", 6.2e-7), ("even2", 5.8e-7)],
        stages: &["tokens1=norm3", "tokens2=norm4", "decoder1=dnorm3", "decoder2=dnorm4"],
        loss: 4.2e-7,
        gradient: 1.8e-6,
        parameter: 6.7e-6,
    },
    Row {
        network: NetworkName::SegNext,
        logits: &[("even", 2.1e-6), ("odd", 3.4e-6)],
        stages: &[
            "stage1=backbone.norm1",
            "stage2=backbone.norm2",
            "stage3=backbone.norm3",
            "stage4=backbone.norm4",
            "squeeze=decode_head.squeeze",
            "hamburger=decode_head.hamburger",
            "align=decode_head.align",
            "head=decode_head",
        ],
        loss: 1.2e-7,
        gradient: 2.8e-6,
        parameter: 8.8e-6,
    },
    Row {
        network: NetworkName::TransUNet,
        logits: &[("even", 1.5e-6)],
        stages: &[
            "block1=transformer.embeddings.hybrid_model.body.block1",
            "block2=transformer.embeddings.hybrid_model.body.block2",
            "block3=transformer.embeddings.hybrid_model.body.block3",
            "encoder=transformer.encoder.encoder_norm",
            "more=decoder.conv_more",
            "up1=decoder.blocks.0",
            "up2=decoder.blocks.1",
        ],
        loss: 3.7e-8,
        gradient: 3.9e-6,
        parameter: 1.9e-5,
    },
];

/// Learnable parameters, running statistics, and multiply-adds at 256x256 of the published
/// networks.
const COUNTS: &[(NetworkName, u64, usize, u64)] = &[
    (NetworkName::AmsUnet, 2_619_898, 5_952, 6_000_519_680),
    (NetworkName::UNet, 4_318_434, 4_416, 10_026_483_712),
    (NetworkName::UNetPlusPlus, 9_163_362, 7_296, 34_487_664_640),
    (NetworkName::AttentionUNet, 34_878_638, 15_624, 66_429_124_608),
    (NetworkName::ResUNet, 5_500_418, 5_888, 14_008_975_360),
    (NetworkName::ResUNetCanonical, 13_043_074, 9_088, 71_101_841_408),
    (NetworkName::ConvUNext, 3_505_730, 8_000, 7_124_221_952),
    (NetworkName::UNext, 1_471_938, 1_024, 563_052_544),
    // The first bases of its factorisation are no parameters either.
    (NetworkName::SegNext, 4_225_378, 7_456 + 256 * 16, 1_563_025_408),
    (NetworkName::TransUNet, 105_322_146, 2_880, 38_393_856_000),
];

/// Learnable parameters and multiply-adds at 256x256 of other widths.
const COUNTS_OF_WIDTHS: [(NetworkName, &str, u64, u64); 8] = [
    (NetworkName::AmsUnet, "8", 187_744, 518_654_624),
    (NetworkName::UNet, "8", 270_906, 638_058_496),
    (NetworkName::UNetPlusPlus, "8", 574_938, 2_166_882_304),
    (NetworkName::AttentionUNet, "8", 547_810, 1_051_688_960),
    (NetworkName::AttentionUNet, "32", 8_726_110, 16_638_672_896),
    (NetworkName::ResUNet, "8", 345_218, 897_581_056),
    (NetworkName::ResUNetCanonical, "8", 205_746, 1_136_656_384),
    (NetworkName::ResUNetCanonical, "32", 3_265_218, 17_834_180_608),
];

#[test]
fn the_counts_of_other_widths() {
    for (name, width, learnable, multiply_adds) in COUNTS_OF_WIDTHS {
        let config = name.config(3, 2).with_settings([("base_width", width)]).unwrap();
        let net = config.init(&Device::flex());
        let graph = to_graph(&net, "input", "logits").unwrap();
        let total = graph.cost(&[("batch", 1), ("height", 256), ("width", 256)]).unwrap().total;
        assert_eq!((net.num_learnable() as u64, total.multiply_adds), (learnable, multiply_adds), "{config}");
        assert_eq!(total.parameters, learnable, "{config}");
    }
}

#[test]
fn the_published_counts() {
    assert!(COUNTS.iter().map(|(name, ..)| *name).eq(NetworkName::ALL), "a network has no counts");
    for &(name, learnable, statistics, multiply_adds) in COUNTS {
        let net = name.config(3, 2).init(&Device::flex());
        assert_eq!(net.num_learnable() as u64, learnable, "{name}");
        assert_eq!(net.num_params() - net.num_learnable(), statistics, "{name}");
        let graph = to_graph(&net, "input", "logits").unwrap();
        let total = graph.cost(&[("batch", 1), ("height", 256), ("width", 256)]).unwrap().total;
        assert_eq!((total.parameters, total.multiply_adds), (learnable, multiply_adds), "{name}");
    }
}

pub(crate) fn input(reference: &Reference, case: &str) -> ArrayD<f32> {
    reference.tensor(&format!("{case}.input")).mapv(|value| value as f32)
}

/// Returns the labels of a step.
pub(crate) fn target(reference: &Reference, device: &Device) -> Tensor<3, Int> {
    let target = reference.tensor("train.target");
    let labels: Vec<i32> = target.iter().map(|&label| label as i32).collect();
    Tensor::from_data(TensorData::new(labels, target.shape()), device)
}

/// Compares logits with those that PyTorch computes in float64.
pub(crate) fn check_logits(reference: &Reference, who: &str, case: &str, error: f64, found: &ArrayD<f32>) {
    let exact = reference.tensor(&format!("{case}.logits_f64"));
    let largest = exact.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let tolerance = Tolerance {
        measure: Measure::Absolute,
        max: ZOO_FACTOR * error * largest,
        reason: "a multiple of the error of PyTorch's own float32",
    };
    check(&format!("{who}: {case}.logits"), found, exact, &tolerance).unwrap();
}

/// Returns the tolerance of a network's stages: where PyTorch's own float32 is further from its
/// float64, as in Attention U-Net, whose gates normalise a single channel, a multiple of that.
fn of_stages(row: &Row, base: Tolerance) -> Tolerance {
    let (_, own) = row.logits[0];
    let reason = "a multiple of the error of PyTorch's own float32";
    if own > base.max { Tolerance { max: ZOO_FACTOR * own, reason, ..base } } else { base }
}

/// Compares the first image's values of a stage with PyTorch's, which may be tokens `[1, h * w,
/// c]`.
fn check_stage(reference: &Reference, who: &str, stage: &str, found: &ArrayD<f32>, tolerance: &Tolerance) {
    let module = stage.split_once('=').map_or(stage, |(_, module)| module);
    let blocks = reference.below("block.");
    // Some networks begin the names of modules with a capital letter.
    let theirs = blocks.iter().find(|(block, _)| block.eq_ignore_ascii_case(module));
    let (_, expected) = theirs.unwrap_or_else(|| panic!("{who}: the reference holds no `{module}`"));
    let mut first = found.slice_axis(Axis(0), Slice::from(0..1)).to_owned();
    if expected.ndim() == 3 {
        let tokens = first.permuted_axes(IxDyn(&[0, 2, 3, 1])).as_standard_layout().into_owned();
        first = tokens.into_shape_with_order(expected.shape()).unwrap();
    }
    check(&format!("{who}: {stage}"), &first, expected, tolerance).unwrap();
}

/// Returns the name of the stage of an entry in [`Row::stages`].
fn stage_of(entry: &str) -> &str {
    entry.split('=').next().unwrap_or(entry)
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
            for entry in row.stages.iter().filter(|_| *case == "even") {
                let (_, found) = found.iter().find(|(stage, _)| stage == stage_of(entry)).unwrap();
                check_stage(&reference, &who, entry, found, &of_stages(row, BURN_CPU));
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
            let values: Vec<_> = row.stages.iter().map(|entry| value_of_stage(graph, stage_of(entry))).collect();
            let images = [("input", input(&reference, "even"))];
            let found = run(&with_outputs(graph, values.clone()), opset, &images);
            for (stage, value) in row.stages.iter().zip(&values) {
                check_stage(&reference, &who, stage, &found[value], &of_stages(row, ONNX_RUNTIME_CPU));
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
        let target = target(&reference, &device);
        let logits = net.forward(to_tensor(&input(&reference, "even"), &device));
        let Loss { total, cross_entropy, dice } = loss(logits, target);
        let gradients = Gradients::from_loss(&total, &net);

        let found = [total, cross_entropy, dice].map(Tensor::into_scalar::<f32>);
        check_losses(row, &reference, "", found);
        check_gradients(row, &reference, "", &gradients);
        assert!(reference.below("grad.").len() > row.stages.len(), "{name}: the reference holds few gradients");

        let after = Weights::from_network(&net.valid());
        let statistics = reference.below("train.after1.");
        assert!(!statistics.is_empty(), "{name}");
        for (parameter, expected) in statistics {
            check_statistic(&format!("{name}: {parameter} after a step"), &after.tensors()[parameter], expected);
        }
    }
}

/// Compares a running statistic with PyTorch's. That of a single channel has no range.
pub(crate) fn check_statistic(case: &str, found: &ArrayD<f32>, expected: &ArrayD<f64>) {
    let tolerance = match expected.first() {
        Some(only) if expected.len() == 1 => Tolerance {
            measure: Measure::Absolute,
            max: RUNNING_STATISTICS.max * only.abs().max(1.0),
            ..RUNNING_STATISTICS
        },
        _ => RUNNING_STATISTICS,
    };
    check(case, found, expected, &tolerance).unwrap();
}

/// Compares the total loss, cross entropy and Dice of a step with PyTorch's; `case` begins the
/// names of the reference's tensors.
pub(crate) fn check_losses(row: &Row, reference: &Reference, case: &str, found: [f32; 3]) {
    let reason = "a multiple of the error of PyTorch's own float32, and half a unit in the last place of losses near 2";
    let losses = Tolerance { measure: Measure::Absolute, max: ZOO_FACTOR * row.loss + 2.0_f64.powi(-24), reason };
    let expected = reference.tensor(&format!("{case}train.losses_f64"));
    check(&format!("{}: {case}losses", row.network), &ndarray::arr1(&found).into_dyn(), expected, &losses).unwrap();
}

/// Compares the gradients of a step with PyTorch's, those that the reference holds and the norms of
/// all.
pub(crate) fn check_gradients(row: &Row, reference: &Reference, case: &str, gradients: &Gradients) {
    let name = row.network;
    let norms = reference.below(&format!("{case}grad_norm."));
    assert!(gradients.tensors().keys().eq(norms.keys()), "{name}: PyTorch and Burn learn other parameters");
    let whole = norms.values().flat_map(|norm| norm.iter()).map(|norm| norm * norm).sum::<f64>().sqrt();
    let mut squares = 0.0;
    for (parameter, theirs) in reference.below(&format!("{case}grad.")) {
        let flat = to_array(gradients.tensors()[parameter].clone());
        let ours = flat.into_shape_with_order(theirs.shape()).unwrap();
        let error = norm(&(ours.mapv(f64::from) - theirs));
        squares += error * error;
        let bound = ZOO_FACTOR * row.parameter * norm(theirs);
        assert!(error <= bound, "{name}: the gradient of {parameter} is {error:e} off, allowed {bound:e}");
    }
    let (error, bound) = (squares.sqrt(), ZOO_FACTOR * row.gradient * whole);
    assert!(error <= bound, "{name}: the gradients are {error:e} off, allowed {bound:e}");
    for (parameter, norms) in norms {
        let found = norm(&to_array(gradients.tensors()[parameter].clone()).mapv(f64::from));
        let exact = norms.first().unwrap();
        let mut bound = ZOO_FACTOR * row.parameter * exact + f64::from(f32::EPSILON) * whole;
        // A bias in front of a normalisation has no effect.
        if *exact <= 1e-12 * whole {
            let beside = reference.tensor(&format!("{case}grad_norm.{}", parameter.replace("bias", "weight")));
            bound = bound.max(VANISHING_GRADIENT * beside.first().unwrap());
        }
        assert!((found - exact).abs() <= bound, "{name}: the norm of {parameter} is {found}, PyTorch's {exact}");
    }
}

/// UNet++ with deep supervision: the reference's weights with four heads.
fn deeply_supervised() -> (Reference, Weights) {
    let reference = Reference::zoo(NetworkName::UNetPlusPlus);
    let mut tensors = reference.weights.tensors().clone();
    tensors.retain(|name, _| !name.starts_with("final"));
    for (name, values) in reference.others("deep-supervision-heads.safetensors") {
        tensors.insert(name, values.mapv(|value| value as f32));
    }
    let weights = Weights::new(NetworkName::UNetPlusPlus, tensors);
    (reference, weights)
}

#[test]
fn deep_supervision_is_that_of_pytorch() {
    let row = Row { logits: &[], loss: 1.1e-7, gradient: 1.5e-6, parameter: 3.3e-6, ..ROWS[1] };
    let error = 1.6e-6;
    let (reference, weights) = deeply_supervised();
    let image = input(&reference, "even");
    // The file tells by its parameters that there are four heads.
    let net = weights.to_network(&Device::flex()).unwrap();
    assert_eq!(net.config().options()["deep_supervision"], "true");
    let logits = net.forward_supervised(to_tensor(&image, &Device::flex()));
    assert_eq!(logits.len(), 4);
    for (head, logits) in (1..).zip(logits) {
        let exact = reference.tensor(&format!("deep.even.logits{head}_f64"));
        let largest = exact.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let tolerance = Tolerance {
            measure: Measure::Absolute,
            max: ZOO_FACTOR * error * largest,
            reason: "a multiple of the error of PyTorch's own float32",
        };
        check(&format!("head {head}"), &to_array(logits), exact, &tolerance).unwrap();
    }
    // The exported file has one output, the last head's, and no other head.
    let exported = export(&checkpoint(&net), &Options::default()).unwrap();
    let heads = exported.model.graph.initializers.keys().filter(|name| name.starts_with("heads."));
    assert_eq!(heads.collect::<Vec<_>>(), ["heads.3.bias", "heads.3.weight"]);
    let found = open(&exported.bytes).run(image.view().into_dimensionality::<Ix4>().unwrap()).unwrap();
    let exact = reference.tensor("deep.even.logits4_f64");
    check("exported", &found.into_dyn(), exact, &ONNX_RUNTIME_CPU).unwrap();

    let device = Device::flex().autodiff();
    let net = weights.to_network(&device).unwrap();
    let target = target(&reference, &device);
    let losses = net.forward_supervised(to_tensor(&image, &device)).into_iter().map(|logits| {
        let Loss { total, cross_entropy, dice } = loss(logits, target.clone());
        [total, cross_entropy, dice]
    });
    let sum = losses.reduce(|sum, next| {
        let [a, b, c] = sum;
        let [d, e, f] = next;
        [a + d, b + e, c + f]
    });
    let means = sum.unwrap().map(|sum| sum.div_scalar(4.0));
    let gradients = Gradients::from_loss(&means[0], &net);
    check_losses(&row, &reference, "deep.", means.map(Tensor::into_scalar::<f32>));
    check_gradients(&row, &reference, "deep.", &gradients);
    // The trainer's other way to the gradients.
    let again = weights.to_network(&device).unwrap();
    let images = to_tensor(&image, &device);
    let gradients = recompute::gradients(&again, images, |logits| loss(logits, target.clone()).total);
    check_gradients(&row, &reference, "deep.", &gradients);
}

#[test]
fn deep_supervision_has_the_published_counts() {
    let config = NetworkName::UNetPlusPlus.config(3, 2).with_settings([("deep_supervision", "true")]).unwrap();
    let net = config.init(&Device::flex());
    assert_eq!(net.num_learnable(), 9_163_560);
    assert_eq!(net.num_params() - net.num_learnable(), 7_296);
    let graph = to_graph(&net, "input", "logits").unwrap();
    let total = graph.cost(&[("batch", 1), ("height", 256), ("width", 256)]).unwrap().total;
    assert_eq!((total.parameters, total.multiply_adds), (9_163_560, 34_500_247_552));
}
