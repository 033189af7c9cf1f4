//! Tests of graphs whose dense convolutions are in integers.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use ndarray::{Array4, ArrayD, ArrayViewD, Axis};
use seg_onnx::evaluate::evaluate;
use seg_onnx::graph::{Data, Graph, Node, Op, Tensor};
use seg_onnx::precision::{Range, Ranges, Scheme, quantizable, quantize, values_around};
use seg_onnx::{Opset, Target, passes};

use super::example::{Sizes, example};
use super::{Fused, FusedError, Output};
use crate::session::GraphInput;
use crate::threads::SharedThreads;

const SIZES: Sizes = Sizes { channels: 3, width: 16, steps: 2, classes: 2 };

fn image([n, height, width]: [usize; 3]) -> Array4<f32> {
    Array4::from_shape_fn((n, 3, height, width), |(n, c, y, x)| {
        ((n * 5 + c * 83 + y * 37 + x * 59) * (y + 2 * x + 3) % 251) as f32 / 125.0 - 1.0
    })
}

fn floats(target: Target, opset: Opset) -> Graph {
    let mut graph = example(SIZES, "input", "logits").unwrap();
    passes::run(&mut graph, opset, target).unwrap();
    graph
}

/// The number of ranges that a value has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ranged {
    /// One.
    Whole,
    /// One for each channel.
    ByChannel,
}

/// Rounds what the given nodes read to the ranges that it has on an image, or all nodes.
fn rounded_in(graph: &Graph, scheme: Scheme, nodes: Option<&str>, ranged: Ranged) -> Graph {
    let all: BTreeSet<_> = quantizable(graph, scheme).into_iter().collect();
    let nodes = nodes.map_or(all, |node| BTreeSet::from([node]));
    let names: Vec<_> = values_around(graph, &nodes, scheme).into_iter().collect();
    let values = evaluate(graph, &[("input", image([1, 24, 40]).mapv(f64::from).into_dyn())], &names).unwrap();
    let range = |values: ArrayViewD<'_, f64>| {
        let fold = |of: fn(f64, f64) -> f64| values.iter().copied().fold(0.0, of) as f32;
        Range { min: fold(f64::min), max: fold(f64::max) }
    };
    let mut ranges = Ranges::default();
    for (name, values) in &values {
        let values = values.as_f64().unwrap().view();
        let channels =
            if ranged == Ranged::Whole { Vec::new() } else { values.axis_iter(Axis(1)).map(range).collect() };
        ranges.insert(name.clone(), range(values), channels);
    }
    quantize(graph, &nodes, &ranges, scheme).unwrap().graph
}

fn rounded(graph: &Graph, scheme: Scheme, nodes: Option<&str>) -> Graph {
    rounded_in(graph, scheme, nodes, Ranged::Whole)
}

fn open(graph: &Graph, threads: usize) -> Result<Fused, FusedError> {
    Fused::new(graph, &SharedThreads::new(NonZeroUsize::new(threads).unwrap()))
}

fn run(graph: &Graph, threads: usize, images: &Array4<f32>) -> ArrayD<f32> {
    match open(graph, threads).unwrap_or_else(|error| panic!("{error}")).run(&GraphInput::Floats(images.view().into()))
    {
        Output::Floats(values) => values,
        Output::Bytes(_) => panic!("logits are floats"),
    }
}

fn exact(graph: &Graph, images: &Array4<f32>) -> ArrayD<f64> {
    let values = evaluate(graph, &[("input", images.mapv(f64::from).into_dyn())], &["logits"]).unwrap();
    values["logits"].as_f64().unwrap().to_owned()
}

/// The largest and the mean error relative to the largest value.
fn errors(found: &ArrayD<f32>, exact: &ArrayD<f64>) -> [f64; 2] {
    let scale = exact.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let errors = found.iter().zip(exact).map(|(found, exact)| (f64::from(*found) - exact).abs() / scale);
    let (largest, sum) = errors.fold((0.0, 0.0), |(largest, sum): (f64, f64), error| (largest.max(error), sum + error));
    [largest, sum / found.len() as f64]
}

#[test]
fn a_graph_in_integers_gives_what_it_says_and_not_what_floats_give() {
    for (target, opset) in [(Target::Fused, Opset::V20), (Target::Portable, Opset::V17), (Target::Fused, Opset::NEWEST)]
    {
        let before = floats(target, opset);
        let graph = rounded(&before, Scheme::Fused, None);
        for shape in [[1, 24, 40], [2, 23, 41]] {
            let images = image(shape);
            let found = run(&graph, 2, &images);
            // A value near a tie goes to the next step where the last bits of a float are others.
            // Floats differ by about a thousandth of a step, so that one value of some hundreds
            // does, and a whole step has twelve times the variance of rounding: the error is a
            // small share of what rounding changes.
            let [largest, mean] = errors(&found, &exact(&graph, &images));
            assert!(largest < 2e-2, "{target}, {opset}, {shape:?}: {largest:e}");
            let [_, of_rounding] = errors(&found, &exact(&before, &images));
            assert!(of_rounding > 4.0 * mean && of_rounding < 0.05, "{target}, {shape:?}: {of_rounding:e}, {mean:e}");
        }
    }
}

#[test]
fn each_layer_can_be_in_integers_alone() {
    let before = floats(Target::Fused, Opset::V20);
    let images = image([1, 24, 40]);
    let nodes = quantizable(&before, Scheme::Fused);
    // Four in each of five blocks, two steps down, and two layers in each step up.
    assert_eq!(nodes.len(), 4 * 5 + 2 + 2 * 2, "{nodes:?}");
    // With steps of channels in all layers at once, a value that goes to the next step moves those
    // behind it, about as far as rounding does: an input that differs in its last bits does so too.
    for (node, ranged) in nodes.iter().flat_map(|node| [Ranged::Whole, Ranged::ByChannel].map(|r| (node, r))) {
        let graph = rounded_in(&before, Scheme::Fused, Some(*node), ranged);
        let [largest, mean] = errors(&run(&graph, 2, &images), &exact(&graph, &images));
        assert!(largest < 2e-2 && mean < 5e-5, "{node}, {ranged:?}: {largest:e}, {mean:e}");
    }
}

#[test]
fn bits_of_integers_depend_neither_on_threads_nor_on_company() {
    let graph = rounded_in(&floats(Target::Fused, Opset::V20), Scheme::Fused, None, Ranged::ByChannel);
    let images = image([3, 67, 45]);
    let expected = run(&graph, 1, &images);
    for threads in [2, 3, 7] {
        assert_eq!(run(&graph, threads, &images), expected, "{threads} threads");
    }
    for (image, expected) in images.outer_iter().zip(expected.outer_iter()) {
        let image = image.insert_axis(Axis(0)).to_owned();
        assert_eq!(run(&graph, 2, &image).index_axis(Axis(0), 0), expected, "an image alone");
    }
}

fn node<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Node {
    graph.nodes.iter_mut().find(|node| node.name == name).unwrap_or_else(|| panic!("there is no `{name}`"))
}

/// The name of an operand of the convolution that is changed: `scale` or `zero` of its input.
fn steps(graph: &Graph, place: usize) -> String {
    let conv = graph.nodes.iter().find(|node| node.name == "up1.amse.mix").unwrap();
    let dequantize = graph.nodes.iter().find(|node| node.name == conv.inputs[place]).unwrap();
    dequantize.name.clone()
}

/// Replaces a constant of what dequantises the operand `place` of a convolution.
fn set(graph: &mut Graph, place: usize, operand: usize, of: impl Fn(&Tensor) -> Tensor) {
    let dequantize = steps(graph, place);
    let name = node(graph, &dequantize).inputs[operand].clone();
    let tensor = of(&graph.initializers[&name]);
    graph.initializers.insert(name, tensor);
}

fn tensor(shape: &[usize], data: Data) -> Tensor {
    Tensor::new(shape, data).unwrap()
}

fn scaled(tensor: &Tensor, factor: f32) -> Tensor {
    let values: Vec<_> = tensor.as_f32().unwrap().iter().map(|value| value * factor).collect();
    Tensor::new(tensor.shape(), values).unwrap()
}

type Change = (&'static str, fn(&mut Graph));

#[test]
fn every_number_of_the_integers_has_an_effect() {
    let before = rounded(&floats(Target::Fused, Opset::V20), Scheme::Fused, None);
    let images = image([1, 24, 40]);
    let unchanged = run(&before, 2, &images);
    let changes: &[Change] = &[
        ("the scale of the input", |g| set(g, 0, 1, |scale| scaled(scale, 1.1))),
        ("its zero point", |g| set(g, 0, 2, |_| tensor(&[], Data::U8(vec![3])))),
        ("the steps of the weight", |g| set(g, 1, 1, |steps| scaled(steps, 1.1))),
        ("the weight", |g| {
            set(g, 1, 0, |weight| match weight.data() {
                Data::I8(values) => tensor(weight.shape(), Data::I8(values.iter().map(|value| value / 2).collect())),
                _ => panic!("it is in integers"),
            });
        }),
    ];
    for (name, change) in changes {
        let mut graph = before.clone();
        change(&mut graph);
        let found = run(&graph, 2, &images);
        assert_ne!(found, unchanged, "{name}");
        let [largest, mean] = errors(&found, &exact(&graph, &images));
        assert!(largest < 2e-2 && mean < 3e-4, "{name}: {largest:e}, {mean:e}");
    }
}

#[test]
fn integers_of_another_form_are_refused_by_name() {
    let before = rounded(&floats(Target::Fused, Opset::V20), Scheme::Fused, None);
    let changes: &[Change] = &[
        ("a weight around another value", |g| {
            set(g, 1, 2, |zeros| tensor(zeros.shape(), Data::I8(vec![1; zeros.shape()[0]])));
        }),
        ("an unsigned weight", |g| {
            set(g, 1, 0, |weight| tensor(weight.shape(), Data::U8(vec![1; weight.shape().iter().product()])));
        }),
        ("one step for a weight", |g| set(g, 1, 1, |_| Tensor::scalar(0.1))),
        ("steps of inputs", |g| {
            let name = steps(g, 1);
            node(g, &name).op = Op::DequantizeLinear { axis: 1 };
        }),
        ("a step of zero", |g| set(g, 1, 1, |steps| scaled(steps, 0.0))),
        ("a scale of zero", |g| set(g, 0, 1, |_| Tensor::scalar(0.0))),
        ("a negative scale", |g| set(g, 0, 1, |_| Tensor::scalar(-0.1))),
        ("a scale for each channel", |g| set(g, 0, 1, |_| Tensor::vector(vec![0.1_f32; 32]))),
        ("a signed input", |g| set(g, 0, 2, |_| tensor(&[], Data::I8(vec![0])))),
        ("another scale back", |g| {
            g.initializers.insert("other".into(), Tensor::scalar(0.5));
            let name = steps(g, 0);
            node(g, &name).inputs[1] = "other".into();
        }),
        ("another zero point back", |g| {
            g.initializers.insert("other".into(), tensor(&[], Data::U8(vec![7])));
            let name = steps(g, 0);
            node(g, &name).inputs[2] = "other".into();
        }),
        ("an input that is not rounded", |g| {
            node(g, "up1.amse.mix").inputs[0] = "up1.amse.sum_11".into();
        }),
    ];
    for (name, change) in changes {
        let mut graph = before.clone();
        change(&mut graph);
        let error = open(&graph, 1).expect_err(name).to_string();
        assert!(error.contains("up1.amse.mix") || error.contains("up1.amse.sum_11"), "{name}: {error}");
    }
}

/// Replaces a constant of what rounds the changed convolution's input by channel.
fn set_rounding(graph: &mut Graph, operand: usize, of: impl Fn(&Tensor) -> Tensor) {
    let dequantize = steps(graph, 0);
    let quantize = node(graph, &dequantize).inputs[0].clone();
    let name = node(graph, &quantize).inputs[operand].clone();
    let tensor = of(&graph.initializers[&name]);
    graph.initializers.insert(name, tensor);
}

#[test]
fn every_step_of_a_channel_has_an_effect() {
    let floats = floats(Target::Fused, Opset::V20);
    let before = rounded_in(&floats, Scheme::Fused, Some("up1.amse.mix"), Ranged::ByChannel);
    let images = image([1, 24, 40]);
    let unchanged = run(&before, 2, &images);
    let scale_one = |scales: &Tensor, channel: usize| {
        let mut scales = scales.as_f32().unwrap().to_vec();
        scales[channel] *= 1.5;
        Tensor::vector(scales)
    };
    let mix = before.nodes.iter().find(|node| node.name == "up1.amse.mix").unwrap();
    let channels = before.tensor_type(&mix.inputs[0]).unwrap().shape[1].as_constant().unwrap() as usize;
    for channel in 0..channels {
        let mut graph = before.clone();
        set_rounding(&mut graph, 1, |scales| scale_one(scales, channel));
        let found = run(&graph, 2, &images);
        assert_ne!(found, unchanged, "channel {channel}");
        let [largest, mean] = errors(&found, &exact(&graph, &images));
        assert!(largest < 2e-2 && mean < 3e-4, "channel {channel}: {largest:e}, {mean:e}");
    }
}

#[test]
fn steps_of_channels_in_another_form_are_refused_by_name() {
    let before = rounded_in(&floats(Target::Fused, Opset::V20), Scheme::Fused, None, Ranged::ByChannel);
    let changes: &[Change] = &[
        ("too few steps", |g| set_rounding(g, 1, |steps| Tensor::vector(steps.as_f32().unwrap()[1..].to_vec()))),
        ("a step of zero", |g| set_rounding(g, 1, |steps| scaled(steps, 0.0))),
        ("a negative step", |g| set_rounding(g, 1, |steps| scaled(steps, -1.0))),
        ("a step that is not a number", |g| set_rounding(g, 1, |steps| scaled(steps, f32::NAN))),
        ("a zero point of its own", |g| {
            set_rounding(g, 2, |zeros| match zeros.data() {
                Data::U8(values) => {
                    let mut values = values.clone();
                    values[2] ^= 1;
                    tensor(zeros.shape(), Data::U8(values))
                }
                _ => panic!("they are bytes"),
            });
        }),
        ("signed zero points", |g| {
            set_rounding(g, 2, |zeros| tensor(zeros.shape(), Data::I8(vec![0; zeros.shape()[0]])));
        }),
        ("steps of rows", |g| {
            let dequantize = steps(g, 0);
            let quantize = node(g, &dequantize).inputs[0].clone();
            node(g, &quantize).op = Op::QuantizeLinear { axis: 2 };
        }),
        ("a scale of zero back", |g| set(g, 0, 1, |_| Tensor::scalar(0.0))),
        ("another zero point back", |g| set(g, 0, 2, |_| tensor(&[], Data::U8(vec![0])))),
        ("steps of channels back", |g| {
            let dequantize = steps(g, 0);
            let quantize = node(g, &dequantize).inputs[0].clone();
            let by_channel = node(g, &quantize).inputs[1..].to_vec();
            node(g, &dequantize).inputs[1..].clone_from_slice(&by_channel);
        }),
    ];
    for (name, change) in changes {
        let mut graph = before.clone();
        change(&mut graph);
        let error = open(&graph, 1).expect_err(name).to_string();
        assert!(error.contains("DequantizeLinear of QuantizeLinear, u8"), "{name}: {error}");
    }
}

#[test]
fn the_integers_of_other_engines_are_refused_with_the_remedy() {
    for (target, scheme) in
        [(Target::Cpu, Scheme::Cpu), (Target::Portable, Scheme::Cpu), (Target::Portable, Scheme::TensorRt)]
    {
        let error = open(&rounded(&floats(target, Opset::V20), scheme, None), 1).expect_err("refused").to_string();
        let has_remedy = error.contains("seg export --precision int8 --target fused");
        assert!(has_remedy || scheme == Scheme::TensorRt, "{target}: {error}");
    }
}
