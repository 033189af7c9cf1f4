//! A graph is read from an ONNX file as it was written.

use std::cell::Cell;

use proptest::prelude::*;
use seg_onnx::graph::{
    Conv, Coordinates, Data, DataType, Dim, Graph, GraphBuilder, MaxPool, Op, PadMode, ResizeMode, Scope, Tensor, Value,
};
use seg_onnx::{Opset, proto};

use super::{check, text};

/// The channels of every map.
const CHANNELS: usize = 2;

/// A node or two that a graph may have, behind the newest value.
#[derive(Clone, Debug)]
enum Step {
    Conv {
        conv: Conv,
        kernel: [usize; 2],
        has_bias: bool,
    },
    MaxPool(MaxPool),
    Pad {
        pads: [u32; 4],
        mode: PadMode,
    },
    Upsample {
        factor: u8,
        mode: ResizeMode,
        coordinates: Coordinates,
    },
    Alone(Op),
    /// An operator on the newest value and itself.
    Pair(Op),
    /// An operator on the newest value and its mean over height and width.
    WithMean(Op),
    Quantized {
        scale: f32,
        zero: u8,
    },
}

fn pair<T: Strategy>(make: impl Fn() -> T) -> impl Strategy<Value = [T::Value; 2]> {
    [make(), make()]
}

fn step() -> impl Strategy<Value = Step> {
    let pads = || [0..3_usize, 0..3, 0..3, 0..3];
    let conv = (pair(|| 1..4_usize), pads(), pair(|| 1..3_usize), any::<bool>());
    let conv = (conv, pair(|| 1..5_usize), any::<bool>()).prop_map(|(conv, kernel, has_bias)| {
        let (strides, pads, dilations, is_depthwise) = conv;
        let group = if is_depthwise { CHANNELS } else { 1 };
        Step::Conv { conv: Conv { strides, pads, dilations, group }, kernel, has_bias }
    });
    let pool = (pair(|| 1..4_usize), pair(|| 1..4_usize), pads());
    let modes = prop::sample::select(vec![PadMode::Constant, PadMode::Reflect, PadMode::Edge]);
    let resize = prop::sample::select(vec![ResizeMode::Linear, ResizeMode::Nearest]);
    let coordinates =
        prop::sample::select(vec![Coordinates::AlignCorners, Coordinates::HalfPixel, Coordinates::Asymmetric]);
    let alone = vec![
        Op::Gelu,
        Op::Erf,
        Op::Sigmoid,
        Op::Relu,
        Op::Tanh,
        Op::Identity,
        Op::Softmax { axis: 1 },
        Op::Transpose { perm: vec![0, 1, 3, 2] },
        Op::Cast { to: DataType::F32 },
    ];
    let pairs = || prop::sample::select(vec![Op::Add, Op::Sub, Op::Mul, Op::Div]);
    prop_oneof![
        3 => conv,
        1 => pool.prop_map(|(kernel, strides, pads)| Step::MaxPool(MaxPool { kernel, strides, pads })),
        1 => ([0..4_u32, 0..4, 0..4, 0..4], modes).prop_map(|(pads, mode)| Step::Pad { pads, mode }),
        1 => (1..4_u8, resize, coordinates)
            .prop_map(|(factor, mode, coordinates)| Step::Upsample { factor, mode, coordinates }),
        3 => prop::sample::select(alone).prop_map(Step::Alone),
        1 => pairs().prop_map(Step::Pair),
        1 => pairs().prop_map(Step::WithMean),
        1 => (1e-3_f32..4.0, any::<u8>()).prop_map(|(scale, zero)| Step::Quantized { scale, zero }),
    ]
}

/// Returns a constant of finite values of all magnitudes.
fn constant(shape: &[usize], seed: u32) -> Tensor {
    let value = |index: usize| {
        let bits = seed.wrapping_mul(2 * index as u32 + 1);
        let value = f32::from_bits(bits);
        if value.is_finite() { value } else { bits as f32 }
    };
    Tensor::new(shape, (0..shape.iter().product()).map(value).collect::<Vec<_>>()).unwrap()
}

/// Adds a step; `None` where it does not fit, as a kernel that is larger than a map of one size.
fn add(at: &mut Scope<'_>, x: Value, step: &Step, seed: u32) -> Option<Value> {
    let y = match step {
        Step::Conv { conv, kernel: [height, width], has_bias } => {
            let weight = constant(&[CHANNELS, CHANNELS / conv.group, *height, *width], seed);
            at.conv("conv", x, weight, has_bias.then(|| constant(&[CHANNELS], seed ^ 1)), conv.clone())
        }
        Step::MaxPool(pool) => at.max_pool("pool", x, pool.clone()),
        Step::Pad { pads, mode } => at.pad("pad", x, *pads, *mode),
        Step::Upsample { factor, mode, coordinates } => at.upsample("up", x, *factor, *mode, *coordinates),
        Step::Alone(op) => at.node("alone", op.clone(), &[x]),
        Step::Pair(op) => at.node("pair", op.clone(), &[x, x]),
        Step::WithMean(op) => {
            let mean = at.global_average_pool("mean", x).ok()?;
            at.node("with_mean", op.clone(), &[x, mean])
        }
        Step::Quantized { scale, zero } => {
            let scale = at.constant("scale", Tensor::new([], vec![*scale]).ok()?).ok()?;
            let zero = at.constant("zero", Tensor::new([], Data::U8(vec![*zero])).ok()?).ok()?;
            let bytes = at.node("bytes", Op::QuantizeLinear { axis: 1 }, &[x, scale, zero]).ok()?;
            at.node("floats", Op::DequantizeLinear { axis: 1 }, &[bytes, scale, zero])
        }
    };
    y.ok()
}

/// Builds a graph of steps, for images of any size or of one; `None` where a step does not fit.
fn build_all(name: &str, size: Option<[i64; 2]>, steps: &[(Step, u32)]) -> Option<Graph> {
    let mut builder = GraphBuilder::new(name);
    let [height, width] = size.map_or_else(|| [Dim::height(), Dim::width()], |sides| sides.map(Dim::from));
    let image = builder.input("image", [Dim::batch(), Dim::from(CHANNELS as i64), height, width]).unwrap();
    let mut root = builder.root();
    let mut newest = root.node("first", Op::Identity, &[image]).unwrap();
    for (number, (step, seed)) in steps.iter().enumerate() {
        newest = add(&mut root.scope(&format!("step{number}")), newest, step, *seed)?;
    }
    let last = root.relu("last", newest).unwrap();
    Some(builder.finish(&[("y", last)]).unwrap())
}

/// Builds a graph of the steps that fit behind those before them.
fn build(name: &str, size: Option<[i64; 2]>, steps: &[(Step, u32)]) -> Graph {
    let mut fitting = Vec::new();
    for step in steps {
        fitting.push(step.clone());
        if build_all(name, size, &fitting).is_none() {
            fitting.pop();
        }
    }
    build_all(name, size, &fitting).unwrap()
}

#[test]
fn a_graph_is_read_as_it_was_written() {
    let name = text().prop_filter("a graph has a name", |name| !name.is_empty());
    let size = prop::option::of([1..40_i64, 1..40]);
    let steps = prop::collection::vec((step(), any::<u32>()), 0..8);
    let metadata = prop::collection::btree_map(text(), text(), 0..3).prop_map(Vec::from_iter);
    let opsets: Vec<_> = Opset::all().collect();
    let values = (name, size, steps, metadata, prop::sample::select(opsets));
    check(300, &values, |(name, size, steps, metadata, opset)| {
        let graph = build(&name, size, &steps);
        let is_known = graph.nodes.iter().all(|node| opset.has(&node.op));
        let bytes = match proto::write(&graph, opset, &metadata) {
            Ok(bytes) => bytes,
            Err(error) => {
                assert!(!is_known, "{error}");
                return;
            }
        };
        assert!(is_known, "an operator was written that opset {opset} lacks");
        let file = proto::read(&bytes).unwrap();
        assert_eq!((file.graph, file.opset, &file.metadata), (graph, opset, &metadata));
        assert_eq!(proto::read_metadata(&bytes).unwrap(), metadata);
        assert!(crate::fuzz::onnx(&bytes));
    });
}

#[test]
fn graphs_of_the_property_have_nodes() {
    let steps = prop::collection::vec((step(), any::<u32>()), 8);
    let nodes = Cell::new(0);
    check(50, &steps, |steps| nodes.set(nodes.get() + build("graph", None, &steps).nodes.len()));
    assert!(nodes.get() > 50 * 6, "{} nodes in 50 graphs of 8 steps", nodes.get());
}
