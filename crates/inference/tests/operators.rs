//! ONNX Runtime computes operators as the evaluator in 64-bit floats does.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use ndarray::{ArrayD, IxDyn};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_inference::library::{Build, Search};
use seg_onnx::evaluate::{Array, evaluate};
use seg_onnx::graph::{Conv, Dim, Graph, GraphBuilder, MaxPool, Op, Scope, Tensor, Value};
use seg_onnx::precision::{Magnitudes, Range, Ranges, Scheme, halve, quantizable, quantize};
use seg_onnx::{Opset, proto};

const CHANNELS: usize = 8;

/// Returns a graph of images of `CHANNELS` channels and any size.
fn graph(node: impl FnOnce(&mut Scope<'_>, Value) -> Value) -> Graph {
    let mut builder = GraphBuilder::new("operator");
    let channels = Dim::try_from(CHANNELS).unwrap();
    let x = builder.input("x", [Dim::batch(), channels, Dim::height(), Dim::width()]).unwrap();
    let y = node(&mut builder.root(), x);
    builder.finish(&[("y", y)]).unwrap()
}

fn pool(kernel: [usize; 2], strides: [usize; 2], pads: [usize; 4]) -> MaxPool {
    MaxPool { kernel, strides, pads }
}

fn halving() -> MaxPool {
    pool([2, 2], [2, 2], [0; 4])
}

/// Returns an image of numbers from -1 to `max`.
fn image([batch, height, width]: [usize; 3], max: f32) -> ArrayD<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    ArrayD::from_shape_simple_fn(IxDyn(&[batch, CHANNELS, height, width]), || random.random_range(-1.0..=max))
}

fn in_onnx_runtime(environment: &Environment, graph: &Graph, opset: Opset, image: &ArrayD<f32>) -> ArrayD<f64> {
    let bytes = proto::write(graph, opset, &[]).unwrap();
    assert_eq!(&proto::read(&bytes).unwrap().graph, graph);
    let mut session = Session::builder(environment).unwrap().commit_from_memory(&bytes).unwrap();
    let outputs = session.run(ort::inputs!["x" => TensorRef::from_array_view(image.view()).unwrap()]).unwrap();
    outputs["y"].try_extract_array::<f32>().unwrap().mapv(f64::from)
}

fn exact(graph: &Graph, image: &ArrayD<f32>) -> ArrayD<f64> {
    match evaluate(graph, &[("x", image.mapv(f64::from))], &["y"]).unwrap().remove("y") {
        Some(Array::F64(values)) => values,
        other => panic!("expected floats, found {other:?}"),
    }
}

/// Maxima are not rounded, so both must agree exactly.
#[test]
fn maximum_pooling_agrees_in_every_precision() {
    let environment = Search::from_env(None, Build::Cpu).locate().unwrap().load().unwrap();
    for (name, pool, max) in [
        ("halving", halving(), 1.0),
        ("the size kept", pool([3, 3], [1, 1], [1; 4]), 1.0),
        ("axes differ", pool([3, 5], [1, 3], [1, 2, 2, 4]), 1.0),
        ("a stride beyond the kernel", pool([1, 2], [2, 3], [0; 4]), 1.0),
        ("padding of negative values", pool([2, 2], [1, 2], [0, 1, 1, 1]), -0.25),
    ] {
        let graph = graph(|root, x| root.max_pool("pool", x, pool).unwrap());
        for opset in [Opset::V17, Opset::V20, Opset::NEWEST] {
            for sizes in [[1, 8, 6], [2, 7, 9], [1, 5, 16]] {
                let image = image(sizes, max);
                let found = in_onnx_runtime(&environment, &graph, opset, &image);
                assert_eq!(found, exact(&graph, &image), "{name}, opset {opset}, {sizes:?}");
            }
        }
    }

    let image = image([2, 7, 9], 1.0);
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let weights: Vec<f32> = (0..CHANNELS * CHANNELS).map(|_| random.random_range(-1.0..=1.0)).collect();
    let before = graph(|root, x| {
        let weight = Tensor::new([CHANNELS, CHANNELS, 1, 1], weights).unwrap();
        let x = root.conv("conv", x, weight, None, Conv::default()).unwrap();
        let x = root.max_pool("pool", x, halving()).unwrap();
        root.node("identity", Op::Identity, &[x]).unwrap()
    });
    let reach = CHANNELS as f32;
    let magnitudes: Magnitudes = before.nodes.iter().map(|node| (node.name.clone(), f64::from(reach))).collect();
    let half = halve(&before, &magnitudes).unwrap().graph;
    let pooled = half.nodes.iter().find(|node| node.name == "pool").unwrap();
    assert_eq!(pooled.output.to_string(), "f16[batch, 8, floor(height/2), floor(width/2)]");
    let (found, expected) = (in_onnx_runtime(&environment, &half, Opset::V20, &image), exact(&half, &image));
    // The convolution before it is rounded to 11 bits, and its sum in another order.
    let worst = (&found - &expected).iter().fold(0.0, |worst: f64, value| worst.max(value.abs()));
    assert!(worst <= f64::from(reach) / 1024.0, "half precision: off by {worst:e}");

    let nodes: BTreeSet<_> = quantizable(&before, Scheme::Cpu).into_iter().collect();
    assert_eq!(nodes, BTreeSet::from(["conv"]), "pooling stays in floats");
    let range = |reach: f32| Range { min: -reach, max: reach };
    let ranges = Ranges::from([("x".into(), range(1.0)), ("conv".into(), range(reach))]);
    for scheme in [Scheme::Cpu, Scheme::TensorRt] {
        let quantized = quantize(&before, &nodes, &ranges, scheme).unwrap().graph;
        let found = in_onnx_runtime(&environment, &quantized, Opset::V20, &image);
        let step = f64::from(2.0 * reach / 255.0);
        let worst = (&found - &exact(&quantized, &image)).iter().fold(0.0, |worst: f64, value| worst.max(value.abs()));
        assert!(worst < 1.5 * step, "{scheme:?}: off by {} steps", worst / step);
    }
}
