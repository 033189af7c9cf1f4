//! 8-bit graphs give in ONNX Runtime the results that they describe; and the parts of the network
//! that become 8-bit together.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use burn::tensor::Device;
use ndarray::{ArrayD, IxDyn};
use ort::session::Session;
use ort::value::TensorRef;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_export::{Options, export};
use seg_inference::library::{Build, Search};
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::checkpoint::Checkpoint;
use seg_nets::weights::Weights;
use seg_onnx::evaluate::{Array, evaluate};
use seg_onnx::graph::{Conv, Dim, Graph, GraphBuilder, Tensor};
use seg_onnx::precision::{Range, Ranges, Scheme, float_groups, quantizable, quantize};
use seg_onnx::{Opset, Target, proto};

/// Maps, and their height and width.
const SIDES: [usize; 2] = [13, 18];
/// The name of the convolution in question.
const CONV: &str = "conv";

/// Builds a convolution of `[filters, channels, height, width]` by weights up to 1, and its
/// readers.
fn network([filters, channels, height, width]: [usize; 4], group: usize, weight: impl FnMut() -> f32) -> Graph {
    let mut builder = GraphBuilder::new("network");
    let sides = SIDES.map(|side| Dim::try_from(side).unwrap());
    let shape = [1.into(), Dim::try_from(channels * group).unwrap(), sides[0].clone(), sides[1].clone()];
    let image = builder.input("image", shape).unwrap();
    let weights: Vec<f32> = std::iter::repeat_with(weight).take(filters * channels * height * width).collect();
    let weights = Tensor::new([filters, channels, height, width], weights).unwrap();
    let mut root = builder.root();
    let x = root.conv(CONV, image, weights, None, Conv { group, ..Conv::default() }).unwrap();
    let y = root.relu("y", x).unwrap();
    builder.finish(&[("y", y)]).unwrap()
}

fn exact(graph: &Graph, image: &ArrayD<f32>, name: &str) -> ArrayD<f64> {
    match evaluate(graph, &[("image", image.mapv(f64::from))], &[name]).unwrap().remove(name) {
        Some(Array::F64(values)) => values,
        other => panic!("{other:?}"),
    }
}

/// ONNX Runtime's kernels differ by processor: where products of neighbours are added in 16 bits,
/// this fails if they do not fit.
#[test]
fn onnx_runtime_computes_what_the_integers_say() {
    let environment = Search::from_env(None, Build::Cpu).locate().unwrap().load().unwrap();
    for (name, shape, group) in [
        ("1x1", [8, 64, 1, 1], 1),
        ("1x1, odd channels", [8, 33, 1, 1], 1),
        ("3x3", [8, 16, 3, 3], 1),
        ("3x3, odd channels", [8, 9, 3, 3], 1),
        ("groups of odd channels", [8, 3, 3, 3], 2),
        ("several of a channel", [24, 1, 3, 3], 8),
        ("depthwise", [16, 1, 5, 5], 16),
    ] {
        for scheme in [Scheme::Cpu, Scheme::TensorRt] {
            for (kind, weight_min, image_min) in
                [("one sign, full scale", 1.0, 1.0), ("one sign", 0.7, 0.5), ("mixed", -1.0, -1.0)]
            {
                let case = format!("{name}, {kind}, {scheme:?}");
                let mut random = ChaCha8Rng::seed_from_u64(5);
                let mut number = |min| random.random_range(min..=1.0_f32);
                let before = network(shape, group, || number(weight_min));
                let sides = [1, shape[1] * group, SIDES[0], SIDES[1]];
                let image = ArrayD::from_shape_simple_fn(IxDyn(&sides), || number(image_min));
                let values = exact(&before, &image, CONV);
                let reach = values.iter().fold(0.0, |reach: f64, value| reach.max(value.abs())) as f32;
                let range = |reach: f32| Range { min: -reach, max: reach };
                let ranges = Ranges::from([("image".into(), range(1.0)), (CONV.into(), range(reach))]);
                let graph = quantize(&before, &BTreeSet::from([CONV]), &ranges, scheme).unwrap().graph;

                let bytes = proto::write(&graph, Opset::V20, &[]).unwrap();
                let mut session = Session::builder(&environment).unwrap().commit_from_memory(&bytes).unwrap();
                let tensor = TensorRef::from_array_view(image.view()).unwrap();
                let outputs = session.run(ort::inputs!["image" => tensor]).unwrap();
                let found = outputs["y"].try_extract_array::<f32>().unwrap().mapv(f64::from);
                let expected = exact(&graph, &image, "y");
                // Both round the exact sum to a step, and what is next to the middle of two may go
                // to either.
                let step = f64::from(2.0 * reach / 255.0);
                let worst = (&found - &expected).iter().fold(0.0, |worst: f64, value| worst.max(value.abs())) / step;
                assert!(worst < 1.5, "{case}: off by {worst} steps");
                let float = exact(&before, &image, "y");
                let rounded = (&expected - &float).iter().fold(0.0, |worst: f64, value| worst.max(value.abs())) / step;
                assert!(rounded > 0.0 && rounded < 6.0, "{case}: rounding takes {rounded} steps");
            }
        }
    }
}

#[test]
fn the_network_goes_to_integers_in_stretches_between_activations() {
    let weights = Weights::from_network(&AmsUnetConfig::new().init(&Device::flex()));
    let checkpoint = Checkpoint { path: "net.safetensors".into(), weights, contract: None };
    // Attention from its first depthwise convolution goes with the first half of the feed-forward
    // part, whose second half goes with the residual, and with what gives the residual.
    let mut expected = vec![("in_conv.amse.attention.conv1".to_owned(), "in_conv.amse.attention.conv1".to_owned())];
    let mut add = |first: &str, last: &str| expected.push((first.to_owned(), last.to_owned()));
    add("in_conv.amse.attention.ams.local", "in_conv.amse.ffn.local");
    add("in_conv.amse.ffn.project", "in_conv.amse.sum");
    for stage in ["down1", "down2", "down3", "down4"] {
        add(&format!("{stage}.conv"), &format!("{stage}.amse.sum"));
        add(&format!("{stage}.amse.attention.ams.local"), &format!("{stage}.amse.ffn.local"));
    }
    for stage in ["up1", "up2", "up3", "up4"] {
        add(&format!("{stage}.conv.part_2.before"), &format!("{stage}.conv.part_2.before"));
        add(&format!("{stage}.rsc.product.factor"), &format!("{stage}.amse.sum"));
        add(&format!("{stage}.amse.attention.ams.local"), &format!("{stage}.amse.ffn.local"));
    }
    for target in [Target::Portable, Target::Cpu] {
        let graph = export(&checkpoint, &Options { target, ..Options::default() }).unwrap().model.graph;
        let nodes: BTreeSet<_> = quantizable(&graph, Scheme::Cpu).into_iter().collect();
        let parts = float_groups(&graph, &nodes);
        let whole = |name: &str| name.split(".slice_").next().unwrap().to_owned();
        let ends: Vec<_> = parts.iter().map(|part| (whole(part[0]), whole(part[part.len() - 1]))).collect();
        assert_eq!(ends, expected, "{target}");
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), nodes.len(), "{target}");
        for node in &graph.nodes {
            let part_of = |name: &str| parts.iter().position(|part| part.contains(&name));
            let Some(own) = part_of(&node.name) else { continue };
            for operand in node.inputs.iter().filter_map(|operand| part_of(operand)) {
                assert_eq!(operand, own, "{target}: `{}` reads another part", node.name);
            }
        }
    }
}
