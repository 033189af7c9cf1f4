//! Tests of what the kernels take, with which result, and of graphs that differ in one place.

use std::num::NonZeroUsize;

use ndarray::{Array3, Array4, ArrayD, Axis};
use seg_contract::{Element, InputForm, OutputKind, SizePolicy};
use seg_onnx::evaluate::evaluate;
use seg_onnx::graph::{Conv, Coordinates, Data, Graph, Node, Op, PadMode, ResizeBy, ResizeMode, Tensor};
use seg_onnx::{Opset, Target, forms, passes};

use super::example::{Sizes, example};
use super::{Fused, FusedError, Output};
use crate::session::GraphInput;
use crate::threads::SharedThreads;
use crate::threshold;

/// A form of an exported file.
struct FileForm {
    name: &'static str,
    opset: Opset,
    target: Target,
    input: InputForm,
    output: OutputKind,
}

fn file_forms() -> Vec<FileForm> {
    let form = |name, opset, target, input, output| FileForm { name, opset, target, input, output };
    let floats = InputForm::default();
    let sized = |size| InputForm { size: Some(size), ..floats };
    let bytes = InputForm { element: Element::U8, ..floats };
    vec![
        form("any size", Opset::V20, Target::Portable, floats, OutputKind::Logits),
        form("for the CPU", Opset::V20, Target::Cpu, floats, OutputKind::Logits),
        form("an old opset", Opset::V17, Target::Portable, floats, OutputKind::Logits),
        form("the newest opset, for the CPU", Opset::NEWEST, Target::Cpu, floats, OutputKind::Logits),
        form("one even size", Opset::V20, Target::Portable, sized([24, 40]), OutputKind::Logits),
        form("one odd size", Opset::V20, Target::Portable, sized([23, 41]), OutputKind::Logits),
        form("one odd size for the CPU", Opset::V20, Target::Cpu, sized([23, 41]), OutputKind::Logits),
        form("bytes to probabilities", Opset::V20, Target::Portable, bytes, OutputKind::Probabilities),
        form("bytes to a mask for the CPU", Opset::V17, Target::Cpu, bytes, OutputKind::Mask),
    ]
}

fn rewritten(form: &FileForm, sizes: Sizes) -> Graph {
    let mut graph = example(sizes, "input", "logits").unwrap();
    let mut contract = threshold::model(SizePolicy::Native).contract;
    contract.input.form = form.input;
    contract.output.kind = form.output;
    if form.output != OutputKind::Logits {
        contract.output.name = "answer".into();
    }
    forms::apply(&mut graph, "logits", &contract).unwrap();
    passes::run(&mut graph, form.opset, form.target).unwrap();
    graph
}

fn open(graph: &Graph, threads: usize) -> Result<Fused, FusedError> {
    Fused::new(graph, &SharedThreads::new(NonZeroUsize::new(threads).unwrap()))
}

/// Bytes without a pattern, `[n, h, w, 3]`.
fn bytes([n, height, width]: [usize; 3]) -> Array4<u8> {
    Array4::from_shape_fn((n, height, width, 3), |(n, y, x, c)| {
        ((n * 71 + y * 37 + x * 59 + c * 83) * (y + 2 * x + 3) % 251) as u8
    })
}

/// The logits of the network as it was lowered, in 64 bits.
fn exact(sizes: Sizes, images: &Array4<f32>) -> ArrayD<f64> {
    let graph = example(sizes, "input", "logits").unwrap();
    let values = evaluate(&graph, &[("input", images.mapv(f64::from).into_dyn())], &["logits"]).unwrap();
    values["logits"].as_f64().unwrap().to_owned()
}

#[test]
fn every_exported_form_gives_what_the_network_computes() {
    for (form, classes) in file_forms().iter().flat_map(|form| [2, 3].map(|classes| (form, classes))) {
        let sizes = Sizes { classes, width: if classes == 2 { 6 } else { 18 }, ..Sizes::SMALL };
        let mut fused = open(&rewritten(form, sizes), 2).unwrap_or_else(|error| panic!("{}: {error}", form.name));
        let shapes = match form.input.size {
            Some([height, width]) => vec![[2, height, width]],
            None => vec![[1, 16, 16], [2, 23, 41], [1, 4, 5], [1, 16, 16], [1, 37, 18]],
        };
        for shape in shapes {
            let bytes = bytes(shape);
            // The contract's mean and deviation are one half.
            let images = bytes.mapv(|byte| f32::from(byte) / 127.5 - 1.0).permuted_axes([0, 3, 1, 2]);
            let images = images.as_standard_layout().into_owned();
            let exact = exact(sizes, &images);
            let scale = exact.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            let fed = match form.input.element {
                Element::Float => GraphInput::Floats(images.view().into()),
                Element::U8 => GraphInput::Bytes(bytes.view().into()),
            };
            assert_eq!(fused.refuse([shape[0], 3, shape[1], shape[2]]), None);
            let case = format!("{}, {classes} classes, {shape:?}", form.name);
            match (fused.run(&fed), form.output) {
                (Output::Floats(found), OutputKind::Logits) => close(&case, &found, &exact, 5e-6 * scale),
                (Output::Floats(found), OutputKind::Probabilities) => {
                    let exps = exact.mapv(f64::exp);
                    let sums = exps.sum_axis(Axis(1)).insert_axis(Axis(1));
                    close(&case, &found, &(&exps / &sums), 5e-6 * scale);
                }
                (Output::Bytes(found), OutputKind::Mask) => {
                    let found: Array3<u8> = found.into_dimensionality().unwrap();
                    let mut compared = 0;
                    for ((n, y, x), class) in found.indexed_iter() {
                        let logits: Vec<_> = (0..classes).map(|class| exact[[n, class, y, x]]).collect();
                        let others = logits.iter().enumerate().filter(|(other, _)| *other != usize::from(*class));
                        let margin =
                            others.map(|(_, other)| logits[usize::from(*class)] - other).fold(f64::MAX, f64::min);
                        assert!(margin > -1e-5 * scale, "{case}: class {class} at {y}, {x} of {logits:?}");
                        compared += usize::from(margin > 1e-5 * scale);
                    }
                    assert!(compared * 10 > found.len() * 9, "{case}: {compared} of {} pixels are clear", found.len());
                }
                _ => panic!("{case}: another kind of output"),
            }
        }
    }
}

fn close(case: &str, found: &ArrayD<f32>, exact: &ArrayD<f64>, bound: f64) {
    assert_eq!(found.shape(), exact.shape(), "{case}");
    for ((place, found), exact) in found.indexed_iter().zip(exact) {
        let error = (f64::from(*found) - exact).abs();
        assert!(error <= bound, "{case}: {found} at {place:?}, expected {exact} within {bound:e}");
    }
}

#[test]
fn bits_depend_neither_on_threads_nor_on_company() {
    let graph = rewritten(&file_forms()[1], Sizes { width: 12, ..Sizes::SMALL });
    let images = bytes([3, 67, 45]).mapv(|byte| f32::from(byte) / 127.5 - 1.0).permuted_axes([0, 3, 1, 2]);
    let images = images.as_standard_layout().into_owned();
    let run = |fused: &mut Fused, images: &Array4<f32>| match fused.run(&GraphInput::Floats(images.view().into())) {
        Output::Floats(values) => values,
        Output::Bytes(_) => panic!("logits are floats"),
    };
    let expected = run(&mut open(&graph, 1).unwrap(), &images);
    assert!(expected.iter().all(|value| value.is_finite()));
    for threads in [2, 3, 7] {
        assert_eq!(run(&mut open(&graph, threads).unwrap(), &images), expected, "{threads} threads");
    }
    let mut fused = open(&graph, 2).unwrap();
    for (image, expected) in images.axis_chunks_iter(Axis(0), 1).zip(expected.axis_chunks_iter(Axis(0), 1)) {
        assert_eq!(run(&mut fused, &image.to_owned()), expected, "an image alone");
    }
}

#[test]
fn values_between_the_stages_are_those_of_the_graph() {
    for form in &file_forms()[..4] {
        let (sizes, graph) = (Sizes::SMALL, rewritten(form, Sizes::SMALL));
        let images =
            Array4::from_shape_fn((2, 3, 21, 34), |(n, c, y, x)| ((n + 3 * c + 5 * y + 7 * x) % 11) as f32 / 5.0);
        let found = open(&graph, 2).unwrap().values(&GraphInput::Floats(images.view().into()));
        assert_eq!(found.len(), 1 + 2 * (2 * sizes.steps + 1));
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        let exact = evaluate(&graph, &[("input", images.mapv(f64::from).into_dyn())], &names).unwrap();
        for (name, found) in &found {
            let exact = exact[name].as_f64().unwrap().to_owned();
            let scale = exact.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            close(&format!("{}, `{name}`", form.name), found, &exact, 5e-6 * scale);
        }
    }
}

#[test]
fn an_input_that_the_network_does_not_take_is_named() {
    let (any, one) = (&file_forms()[0], &file_forms()[5]);
    for (form, shape, expected) in [
        (any, [1, 3, 16, 16], None),
        (any, [1, 4, 16, 16], Some("at least one image of 3 channels and sides from 4 on")),
        (any, [0, 3, 16, 16], Some("at least one image of 3 channels and sides from 4 on")),
        (any, [1, 3, 3, 16], Some("at least one image of 3 channels and sides from 4 on")),
        (one, [1, 3, 23, 41], None),
        (one, [1, 3, 24, 41], Some("3 channels of 23x41")),
        (one, [1, 1, 23, 41], Some("3 channels of 23x41")),
    ] {
        let found = open(&rewritten(form, Sizes::SMALL), 1).unwrap().refuse(shape);
        assert_eq!(found.as_deref(), expected, "{}, {shape:?}", form.name);
    }
}

fn node<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Node {
    graph.nodes.iter_mut().find(|node| node.name == name).unwrap_or_else(|| panic!("there is no `{name}`"))
}

fn conv<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Conv {
    match &mut node(graph, name).op {
        Op::Conv(conv) => conv,
        op => panic!("`{name}` is {}", op.name()),
    }
}

/// Lets the readers of a node read its first operand.
fn bypass(graph: &mut Graph, name: &str) {
    let operand = node(graph, name).inputs[0].clone();
    graph.nodes.retain(|node| node.name != name);
    for input in graph.nodes.iter_mut().flat_map(|node| &mut node.inputs).filter(|input| *input == name) {
        input.clone_from(&operand);
    }
}

/// Adds a node between a value and its readers.
fn insert(graph: &mut Graph, value: &str, op: Op) {
    let added = Node { name: "added".into(), op, inputs: vec![value.into()], ..node(graph, value).clone() };
    for input in graph.nodes.iter_mut().flat_map(|node| &mut node.inputs).filter(|input| *input == value) {
        *input = "added".into();
    }
    let place = graph.nodes.iter().position(|node| node.name == value).unwrap();
    graph.nodes.insert(place + 1, added);
}

fn set(graph: &mut Graph, name: &str, tensor: Tensor) {
    assert!(graph.initializers.insert(name.into(), tensor).is_some(), "there is no constant `{name}`");
}

type Change = (&'static str, usize, fn(&mut Graph), &'static str);

#[test]
fn a_graph_that_differs_in_one_place_is_refused_by_name() {
    let changes: &[Change] = &[
        // Attributes.
        ("a dilation", 0, |g| conv(g, "down1.amse.local").dilations = [2, 2], "down1.amse.local"),
        ("a padding", 0, |g| conv(g, "up1.amse.horizontal_7").pads = [0, 2, 0, 4], "up1.amse.horizontal_7"),
        ("a stride", 0, |g| conv(g, "down2.conv").strides = [1, 1], "down2.conv"),
        ("groups", 0, |g| conv(g, "in_conv.amse.ffn").group = 1, "in_conv.amse.ffn"),
        (
            "a large dilation",
            0,
            |g| {
                let conv = conv(g, "in_conv.amse.atrous");
                (conv.dilations, conv.pads) = ([65; 2], [65; 4]);
            },
            "in_conv.amse.atrous",
        ),
        (
            "coordinates",
            0,
            |g| {
                let (mode, by) = (ResizeMode::Linear, ResizeBy::Scales);
                node(g, "up1.conv.part_2.enlarged").op = Op::Resize { mode, coordinates: Coordinates::HalfPixel, by };
            },
            "up1.conv.part_2.enlarged",
        ),
        ("a border", 0, |g| node(g, "in_conv.pad").op = Op::Pad { mode: PadMode::Edge }, "in_conv.pad"),
        ("the axis of a softmax", 7, |g| node(g, "answer").op = Op::Softmax { axis: 2 }, "answer"),
        (
            "the order of bytes",
            7,
            |g| node(g, "input.planes").op = Op::Transpose { perm: vec![0, 3, 2, 1] },
            "input.planes",
        ),
        // Missing nodes.
        ("a GELU", 0, |g| bypass(g, "down1.amse.gelu2"), "down1.amse"),
        ("the last GELU", 0, |g| bypass(g, "up2.amse.gelu"), "up2.amse.sum"),
        ("a GELU in parts", 2, |g| bypass(g, "up2.amse.gelu.erf"), "up2.amse.gelu"),
        ("a rectifier", 0, |g| bypass(g, "up1.rsc.relu"), "up1.rsc.reduce"),
        ("a strip", 0, |g| bypass(g, "in_conv.amse.sum_7"), "in_conv.amse"),
        ("a slice", 1, |g| bypass(g, "up1.amse.sum"), "up1.amse"),
        ("the border", 0, |g| bypass(g, "in_conv.pad"), "input"),
        ("a sigmoid", 0, |g| bypass(g, "up2.rsc.channel_sigmoid"), "up2.rsc.restore"),
        // Edges.
        (
            "a residual from elsewhere",
            0,
            |g| node(g, "in_conv.amse.sum").inputs[1] = "in_conv.amse.gelu1".into(),
            "in_conv.gelu",
        ),
        (
            "a strip of another map",
            0,
            |g| node(g, "down1.amse.horizontal_5").inputs[0] = "down1.amse.local".into(),
            "down1.amse.local",
        ),
        (
            "a product with another map",
            0,
            |g| node(g, "up1.amse.product").inputs[1] = "up1.amse.sum_11".into(),
            "up1.amse",
        ),
        ("a skip of another stage", 0, |g| node(g, "up2.rsc.average.rows").inputs[0] = "up2.conv".into(), "up2.conv"),
        ("the size of another map", 0, |g| node(g, "up1.pad.wanted").inputs[0] = "up1.rsc.sum".into(), "up1.rsc.sum"),
        ("a difference turned round", 0, |g| node(g, "up1.pad.missing").inputs.reverse(), "up1.conv.part_2.enlarged"),
        ("a stage skipped", 0, |g| node(g, "down2.conv").inputs[0] = "in_conv.amse.gelu".into(), "down1.amse.gelu"),
        (
            "the deep map of another stage",
            0,
            |g| node(g, "up2.conv.part_2.before").inputs[0] = "down1.amse.gelu".into(),
            "",
        ),
        ("a slice of another map", 1, |g| node(g, "up1.amse.expand.slice_2").inputs[0] = "up1.conv".into(), ""),
        // Additional nodes.
        ("a node between", 0, |g| insert(g, "down1.amse.gelu1", Op::Relu), "added"),
        (
            "a node that nobody reads",
            0,
            |g| {
                let added =
                    Node { name: "added".into(), inputs: vec!["up1.conv".into()], op: Op::Relu, ..g.nodes[9].clone() };
                g.nodes.push(added);
            },
            "added",
        ),
        (
            "a node behind",
            0,
            |g| {
                let added =
                    Node { name: "added".into(), inputs: vec!["logits".into()], op: Op::Relu, ..g.nodes[9].clone() };
                g.nodes.push(added);
                g.outputs = vec!["added".into()];
            },
            "added",
        ),
        ("another output", 0, |g| g.outputs.push("up1.conv".into()), "2 outputs"),
        // Constants.
        ("one", 0, |g| set(g, "up1.rsc.sum.one", Tensor::scalar(2.0)), "up1.rsc.sum.one"),
        ("the half of GELU", 2, |g| set(g, "gelu.half", Tensor::scalar(0.25)), "gelu"),
        ("the root of GELU", 2, |g| set(g, "gelu.sqrt_2", Tensor::scalar(1.5)), "gelu.sqrt_2"),
        (
            "the factor of an upsampling",
            0,
            |g| set(g, "up1.upsample.scales", Tensor::vector(vec![1.0, 1.0, 2.0, 3.0])),
            "scales",
        ),
        (
            "zeros of a padding",
            0,
            |g| set(g, "up1.pad.zeros", Tensor::vector(vec![0_i64, 0, 0, 1, 0, 0])),
            "up1.pad.zeros",
        ),
        (
            "a padding before the map",
            5,
            |g| set(g, "up1.pad.pads", Tensor::vector(vec![0_i64, 0, 0, 1, 0, 0, 0, 0])),
            "up1.conv.part_2",
        ),
        (
            "the padding of the image",
            0,
            |g| set(g, "in_conv.pad.pads", Tensor::vector(vec![0_i64, 0, 1, 1, 0, 0, 1, 2])),
            "in_conv.pad.pads",
        ),
        (
            "the axis of a mean",
            0,
            |g| set(g, "up1.rsc.average.axis", Tensor::vector(vec![2_i64])),
            "up1.rsc.average.axis",
        ),
        (
            "a convolution by two",
            1,
            |g| {
                let name = node(g, "up2.conv.part_2.blocked").inputs[1].clone();
                let shape = g.initializers[&name].shape().to_vec();
                set(g, &name, Tensor::new(shape.clone(), vec![2.0_f32; shape.iter().product()]).unwrap());
            },
            "up2.conv.part_2.blocked",
        ),
        (
            "weights of another type",
            0,
            |g| {
                let name = node(g, "up1.amse.mix").inputs[1].clone();
                let shape = g.initializers[&name].shape().to_vec();
                let values = Data::I32(vec![1; shape.iter().product()]);
                set(g, &name, Tensor::new(shape, values).unwrap());
            },
            "up1.amse.mix",
        ),
        ("no bias", 0, |g| node(g, "up1.amse.mix").inputs.truncate(2), "up1.amse.mix"),
    ];
    for (name, form, change, part) in changes {
        let mut graph = rewritten(&file_forms()[*form], Sizes { width: 16, ..Sizes::SMALL });
        assert!(open(&graph, 1).is_ok(), "{name}");
        change(&mut graph);
        match open(&graph, 1) {
            Err(FusedError::Unrecognized(error)) => {
                assert!(error.to_string().contains(part), "{name}: {error}");
            }
            Err(error) => panic!("{name}: {error}"),
            Ok(_) => panic!("{name} is taken"),
        }
    }
}

#[test]
fn graphs_of_others_are_refused() {
    for target in [Target::Cuda, Target::TensorRt] {
        let form = FileForm { target, ..file_forms().remove(0) };
        assert!(open(&rewritten(&form, Sizes::SMALL), 1).is_err(), "{target}");
    }
    assert!(open(&example(Sizes::SMALL, "input", "logits").unwrap(), 1).is_err(), "not rewritten");
    let error = open(&threshold::model(SizePolicy::Native).graph, 1).unwrap_err().to_string();
    let expected = "`logits` is a Conv of the weight [2, 1, 1, 1], strides [1, 1], dilations [1, 1], padding [0, 0, 0, 0], \
                    groups 1 and no bias, expected a Conv of 1x1, stride 1, dilation 1, padding [0, 0, 0, 0] and a bias";
    assert_eq!(error, expected);
}
