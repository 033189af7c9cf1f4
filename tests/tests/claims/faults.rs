//! The comparison of an exported network with the one in Burn sees faults, and names the block that they are in.

use seg_export::{Options, export, lower};
use seg_onnx::graph::{Coordinates, Data, Graph, Op, PadMode, Tensor};
use seg_onnx::{Model, Opset, Target, passes};
use seg_tests::fixtures::{NARROW, checkpoint, network, noise};
use seg_tests::parity::{Exported, stages};

/// Sides that the encoder halves unevenly, so that the decoder must pad; height and width tell axes apart.
const INPUT: [usize; 4] = [2, 3, 71, 93];

/// A fault in a graph.
type Fault = fn(&mut Graph);

/// What is wrong, the block that it is in, and how it comes about.
const FAULTS: &[(&str, &str, Fault)] = &[
    ("corners not aligned", "up3", |g| *coordinates(g, "up3.upsample") = Coordinates::HalfPixel),
    ("asymmetric corners", "up1", |g| *coordinates(g, "up1.upsample") = Coordinates::Asymmetric),
    ("zeros at the border of the image", "in_conv", |g| *op(g, "in_conv.pad") = Op::Pad { mode: PadMode::Constant }),
    ("the border of the image repeated", "in_conv", |g| *op(g, "in_conv.pad") = Op::Pad { mode: PadMode::Edge }),
    ("no zeros beside the deep image", "up2", |g| *op(g, "up2.pad") = Op::Pad { mode: PadMode::Edge }),
    ("the epsilon of another framework", "down2", |g| {
        *op(g, "down2.norm") = Op::BatchNormalization { epsilon: 1e-3 };
    }),
    ("the epsilon of another framework, not folded", "up4", |g| {
        *op(g, "up4.norm") = Op::BatchNormalization { epsilon: 1e-3 };
    }),
    ("statistics of a fresh normalisation", "down4", |g| {
        weights(g, "down4.amse.norm1.running_mean", |mean| mean.fill(0.0));
        weights(g, "down4.amse.norm1.running_var", |variance| variance.fill(1.0));
    }),
    ("a transposed kernel", "down1", |g| {
        weights(g, "down1.amse.ffn.local.weight", |weights| {
            for kernel in weights.chunks_exact_mut(3 * 3) {
                for (above, below) in [(1, 3), (2, 6), (5, 7)] {
                    kernel.swap(above, below);
                }
            }
        });
    }),
    ("a strip from right to left", "down3", |g| {
        weights(g, "down3.amse.attention.ams.strip_11.horizontal.weight", |weights| {
            weights.chunks_exact_mut(11).for_each(<[f32]>::reverse);
        });
    }),
    ("strips of one length for those of another", "up2", |g| {
        node(g, "up2.amse.attention.ams.sum_7").inputs[1] = "up2.amse.attention.ams.strip_5.vertical".into();
        let unread = "up2.amse.attention.ams.strip_7";
        g.nodes.retain(|node| !node.name.starts_with(unread));
        g.drop_unread_initializers();
    }),
    ("another dilation", "down3", |g| match op(g, "down3.amse.attention.ams.atrous") {
        Op::Conv(conv) => (conv.dilations, conv.pads) = ([2; 2], [2; 4]),
        other => panic!("{other:?}"),
    }),
    ("the deep image first", "up2", |g| node(g, "up2.joined").inputs.reverse()),
    ("blue, green, red", "in_conv", |g| {
        weights(g, "in_conv.conv.weight", |weights| {
            for filter in weights.chunks_exact_mut(3 * 9) {
                let (red, others) = filter.split_at_mut(9);
                red.swap_with_slice(&mut others[9..]);
            }
        });
    }),
    ("classes the other way round", "out_conv", |g| {
        weights(g, "out_conv.weight", |weights| weights.rotate_left(NARROW));
        weights(g, "out_conv.bias", |bias| bias.reverse());
    }),
    ("a bias left out", "down2", |g| weights(g, "down2.amse.ffn.project.bias", |bias| bias.fill(0.0))),
    ("a gate left out", "up2", |g| *op(g, "up2.rsc.spatial_sigmoid") = Op::Identity),
    ("a gate with another curve", "up3", |g| *op(g, "up3.rsc.channel_sigmoid") = Op::Relu),
    ("another activation", "up1", |g| *op(g, "up1.amse.ffn.gelu") = Op::Relu),
    ("the difference of a residual", "up4", |g| *op(g, "up4.amse.sum") = Op::Sub),
    ("one weight off by a thousandth", "up4", |g| {
        weights(g, "up4.conv.weight", |weights| weights[0] += 1e-3);
    }),
];

fn node<'g>(graph: &'g mut Graph, name: &str) -> &'g mut seg_onnx::graph::Node {
    graph.nodes.iter_mut().find(|node| node.name == name).unwrap_or_else(|| panic!("no node `{name}`"))
}

fn op<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Op {
    &mut node(graph, name).op
}

fn coordinates<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Coordinates {
    match op(graph, name) {
        Op::Resize { coordinates, .. } => coordinates,
        other => panic!("`{name}` is {other:?}"),
    }
}

/// Changes the values of a constant.
fn weights(graph: &mut Graph, name: &str, change: impl FnOnce(&mut [f32])) {
    let constant = graph.initializers.get_mut(name).unwrap_or_else(|| panic!("no constant `{name}`"));
    let mut values = constant.as_f32().unwrap().to_vec();
    change(&mut values);
    *constant = Tensor::new(constant.shape(), Data::F32(values)).unwrap();
}

#[test]
fn a_planted_fault_is_seen_in_its_block() {
    let net = network(NARROW, 1);
    let input = noise(&INPUT, 7);
    let expected = stages(&net, &input);
    let Model { contract, .. } = export(&checkpoint(&net), &Options::default()).unwrap().model;
    // Into the graph as it is lowered, so that the passes see the fault too.
    let compare = |name: &str, fault: Fault| {
        let mut graph = lower::to_graph(&net, &contract.input.name, &contract.output.name).unwrap();
        fault(&mut graph);
        passes::run(&mut graph, Opset::V20, Target::Portable).unwrap();
        let model = Model { graph, opset: Opset::V20, contract: contract.clone() };
        Exported::open(&model).check(name, &input, &expected)
    };
    compare("no fault", |_| {}).unwrap();
    for &(name, block, fault) in FAULTS {
        let mismatch = compare(name, fault).expect_err(name);
        assert_eq!(mismatch.block.as_deref(), Some(block), "{mismatch}");
    }
}
