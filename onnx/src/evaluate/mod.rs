//! Runs a graph in 64-bit floats, as plainly as a large image allows: the yardstick for everything that is fast.
//!
//! Operators are written from their definitions in the ONNX specification and share nothing with inference or any
//! runtime; what they compute is compared with the shape that the graph records.

mod array;
mod axis;
mod conv;
mod elementwise;
mod pad;
mod quantize;
mod resize;

use std::collections::BTreeMap;

use ndarray::{ArrayD, Axis, IxDyn};

pub use array::Array;

use crate::graph::{CheckError, DataType, Dim, DimError, Graph, Op, ResizeBy};

/// Why a graph cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The graph breaks an invariant.
    #[error("cannot evaluate graph `{graph}`")]
    Check {
        /// The graph.
        graph: String,
        /// The invariant.
        #[source]
        cause: CheckError,
    },
    /// An input is not given.
    #[error("cannot evaluate the graph: input `{0}` is not given")]
    Input(String),
    /// A value is asked for that no node computes.
    #[error("cannot evaluate the graph: no node computes `{0}`")]
    Unknown(String),
    /// A value has another shape than the graph records.
    #[error("cannot evaluate `{name}`: it has the shape {found:?}, recorded as {recorded:?}")]
    Shape {
        /// The input or node.
        name: String,
        /// The shape of what was given or computed.
        found: Vec<usize>,
        /// The shape that the graph records, for the given inputs.
        recorded: Vec<i64>,
    },
    /// The recorded shape has no value.
    #[error("cannot evaluate the shape of `{name}`")]
    Dim {
        /// The input or node.
        name: String,
        /// What is wrong.
        #[source]
        cause: DimError,
    },
    /// An operator is not defined for operands of the given sizes.
    #[error("cannot evaluate `{node}` ({op})")]
    Op {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
        /// What is not defined.
        #[source]
        cause: OpError,
    },
}

/// Why an operator is not defined for its operands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// Operands of this kind are not defined.
    #[error("the operands are not {0}")]
    Operands(&'static str),
    /// The kernel is larger than the padded image.
    #[error("a kernel that reaches over {reach} pixels does not fit {padded}")]
    Kernel {
        /// From the first tap to the last.
        reach: usize,
        /// Pixels, padding included.
        padded: usize,
    },
    /// A padding is negative, or mirrors more than there is.
    #[error("an axis of {size} cannot be padded by {pads:?}")]
    Pads {
        /// The size of the axis.
        size: usize,
        /// Before and after.
        pads: [i64; 2],
    },
}

/// The values of the `wanted` nodes (outputs or any others, by name) when the graph is given `inputs`.
///
/// # Errors
/// When the graph is broken, a node is unknown, or the inputs do not fit.
pub fn evaluate(
    graph: &Graph,
    inputs: &[(&str, ArrayD<f64>)],
    wanted: &[&str],
) -> Result<BTreeMap<String, Array>, EvaluateError> {
    if let Some(&unknown) = wanted.iter().find(|name| graph.nodes.iter().all(|node| node.name != **name)) {
        return Err(EvaluateError::Unknown(unknown.to_owned()));
    }
    let mut values = BTreeMap::new();
    evaluate_each(graph, inputs, |name, value| {
        if wanted.contains(&name) {
            values.insert(name.to_owned(), value.clone());
        }
    })?;
    Ok(values)
}

/// Shows the value of each node as soon as it is computed, in the order of the nodes, when the graph is given `inputs`. What `see` makes of
/// the value is what other nodes read.
///
/// A value is forgotten after its last reader, so that a large image needs no more memory than its widest place.
///
/// # Errors
/// When the graph is broken or the inputs do not fit.
pub fn evaluate_each(
    graph: &Graph,
    inputs: &[(&str, ArrayD<f64>)],
    mut see: impl FnMut(&str, &mut Array),
) -> Result<(), EvaluateError> {
    graph.check().map_err(|cause| EvaluateError::Check { graph: graph.name.clone(), cause })?;
    let index = graph.index();
    let mut values: BTreeMap<String, Array> =
        graph.initializers.iter().map(|(name, tensor)| (name.clone(), Array::from(tensor))).collect();
    let bindings = bind_inputs(graph, inputs, &mut values)?;
    for (position, node) in graph.nodes.iter().enumerate() {
        let operands: Vec<_> = node.inputs.iter().filter_map(|name| values.get(name)).collect();
        let data_type = node.output.data_type;
        let value = compute(&node.op, &operands, data_type).map_err(|cause| EvaluateError::Op {
            node: node.name.clone(),
            op: node.op.name(),
            cause,
        })?;
        // So that the error of half precision shows on any machine.
        let mut value = if data_type == DataType::F16 { value.cast(data_type) } else { value };
        agrees(&node.name, value.shape(), &node.output.shape, &bindings)?;
        see(&node.name, &mut value);
        values.insert(node.name.clone(), value);
        for name in &node.inputs {
            if index.readers(name).last() == Some(&position) {
                values.remove(name);
            }
        }
    }
    Ok(())
}

/// Adds the inputs to the values and returns what they say about the symbols.
fn bind_inputs<'g>(
    graph: &'g Graph,
    inputs: &[(&str, ArrayD<f64>)],
    values: &mut BTreeMap<String, Array>,
) -> Result<Vec<(&'g str, i64)>, EvaluateError> {
    let mut bindings = Vec::new();
    for input in &graph.inputs {
        let given = inputs.iter().find(|(name, _)| *name == input.name);
        let (_, value) = given.ok_or_else(|| EvaluateError::Input(input.name.clone()))?;
        for (dim, &size) in input.tensor_type.shape.iter().zip(value.shape()) {
            if let Some(symbol) = dim.as_symbol().filter(|symbol| bindings.iter().all(|(bound, _)| bound != symbol)) {
                bindings.push((symbol, size as i64));
            }
        }
        agrees(&input.name, value.shape(), &input.tensor_type.shape, &bindings)?;
        values.insert(input.name.clone(), Array::F64(value.clone()).cast(input.tensor_type.data_type));
    }
    Ok(bindings)
}

fn agrees(name: &str, found: &[usize], recorded: &[Dim], bindings: &[(&str, i64)]) -> Result<(), EvaluateError> {
    let recorded: Vec<_> = recorded
        .iter()
        .map(|dim| dim.evaluate(bindings))
        .collect::<Result<_, _>>()
        .map_err(|cause| EvaluateError::Dim { name: name.to_owned(), cause })?;
    if found.iter().map(|&size| size as i64).eq(recorded.iter().copied()) {
        Ok(())
    } else {
        Err(EvaluateError::Shape { name: name.to_owned(), found: found.to_vec(), recorded })
    }
}

/// What the operator gives; `data_type` is the type that the graph records for it.
fn compute(op: &Op, operands: &[&Array], data_type: DataType) -> Result<Array, OpError> {
    use Array::{F64, I64};
    match (op, operands) {
        (Op::Conv(conv), [F64(x), F64(weight)]) => Ok(F64(conv::convolve(conv, x, weight, None)?)),
        (Op::Conv(conv), [F64(x), F64(weight), F64(bias)]) => Ok(F64(conv::convolve(conv, x, weight, Some(bias))?)),
        (Op::BatchNormalization { epsilon }, [F64(x), F64(scale), F64(shift), F64(mean), F64(variance)]) => {
            let mut y = x.clone();
            for (channel, mut values) in y.axis_iter_mut(Axis(1)).enumerate() {
                let deviation = (variance[channel] + f64::from(*epsilon)).sqrt();
                values.mapv_inplace(|x| (x - mean[channel]) / deviation * scale[channel] + shift[channel]);
            }
            Ok(F64(y))
        }
        (Op::Gelu, [F64(x)]) => Ok(F64(elementwise::map(x, elementwise::gelu))),
        (Op::Erf, [F64(x)]) => Ok(F64(elementwise::map(x, elementwise::erf))),
        (Op::Sigmoid, [F64(x)]) => Ok(F64(elementwise::map(x, elementwise::sigmoid))),
        (Op::Relu, [F64(x)]) => Ok(F64(x.mapv(elementwise::relu))),
        (Op::Add, [F64(a), F64(b)]) => Ok(F64(elementwise::combine(a, b, |a, b| a + b)?)),
        (Op::Sub, [F64(a), F64(b)]) => Ok(F64(elementwise::combine(a, b, |a, b| a - b)?)),
        (Op::Mul, [F64(a), F64(b)]) => Ok(F64(elementwise::combine(a, b, |a, b| a * b)?)),
        (Op::Div, [F64(a), F64(b)]) => Ok(F64(elementwise::combine(a, b, |a, b| a / b)?)),
        (Op::Add, [I64(a), I64(b)]) => Ok(I64(elementwise::combine(a, b, i64::wrapping_add)?)),
        (Op::Sub, [I64(a), I64(b)]) => Ok(I64(elementwise::combine(a, b, i64::wrapping_sub)?)),
        (Op::Mul, [I64(a), I64(b)]) => Ok(I64(elementwise::combine(a, b, i64::wrapping_mul)?)),
        (Op::Concat { axis }, operands) => array::concat(*axis, operands),
        (Op::GlobalAveragePool, [F64(x)]) => {
            let mean = |x: &ArrayD<f64>, axis| x.mean_axis(Axis(axis)).map(|mean| mean.insert_axis(Axis(axis)));
            let pooled = mean(x, 3).and_then(|rows| mean(&rows, 2));
            Ok(F64(pooled.ok_or(OpError::Operands("images with pixels"))?))
        }
        (Op::Pad { mode }, [F64(x), I64(pads)]) => Ok(F64(pad::pad(*mode, x, pads)?)),
        (Op::Pad { mode }, [I64(x), I64(pads)]) => Ok(I64(pad::pad(*mode, x, pads)?)),
        (Op::Resize { mode, coordinates, by: ResizeBy::Scales }, [F64(x), F64(scales)]) => {
            let axes = resize::axes_by_scales(x.shape(), scales);
            Ok(F64(resize::resize(*mode, *coordinates, x, &axes)))
        }
        (Op::Resize { mode, coordinates, by: ResizeBy::Sizes }, [F64(x), I64(sizes)]) => {
            let axes = resize::axes_by_sizes(x.shape(), sizes)?;
            Ok(F64(resize::resize(*mode, *coordinates, x, &axes)))
        }
        (Op::Shape { start, end }, [x]) => {
            let sizes: Vec<i64> = x.shape().iter().map(|&size| size as i64).take(*end).skip(*start).collect();
            Ok(I64(ArrayD::from_shape_fn(IxDyn(&[sizes.len()]), |index| sizes[index[0]])))
        }
        (Op::Cast { to }, [x]) => Ok((*x).clone().cast(*to)),
        (Op::Transpose { perm }, [F64(x)]) => Ok(F64(x.clone().permuted_axes(IxDyn(perm)))),
        (Op::Transpose { perm }, [I64(x)]) => Ok(I64(x.clone().permuted_axes(IxDyn(perm)))),
        (Op::Slice, [F64(x), I64(starts), I64(ends), I64(axes)]) => {
            let mut sliced = x.clone();
            for ((&axis, &start), &end) in axes.iter().zip(starts).zip(ends) {
                sliced.slice_axis_inplace(Axis(axis as usize), (start as isize..end as isize).into());
            }
            Ok(F64(sliced))
        }
        (Op::Squeeze, [F64(x), I64(axes)]) => Ok(F64(axis::squeeze(x, axes))),
        (Op::Squeeze, [I64(x), I64(axes)]) => Ok(I64(axis::squeeze(x, axes))),
        (Op::ReduceMean, [F64(x), I64(axes)]) => Ok(F64(axis::mean(x, axes))),
        (Op::Softmax { axis }, [F64(x)]) => Ok(F64(axis::softmax(*axis, x))),
        (Op::ArgMax { axis }, [F64(x)]) => Ok(I64(axis::arg_max(*axis, x))),
        (Op::Greater, [F64(a), F64(b)]) => Ok(I64(elementwise::combine(a, b, |a, b| a > b)?.mapv(i64::from))),
        (Op::Greater, [I64(a), I64(b)]) => Ok(I64(elementwise::combine(a, b, |a, b| a > b)?.mapv(i64::from))),
        (Op::QuantizeLinear { axis }, [F64(x), F64(scale), I64(zero)]) => {
            Ok(I64(quantize::quantize(*axis, x, scale, zero, data_type)?))
        }
        (Op::DequantizeLinear { axis }, [I64(x), F64(scale), I64(zero)]) => {
            Ok(F64(quantize::dequantize(*axis, x, scale, zero)?))
        }
        (Op::Identity, [x]) => Ok((*x).clone()),
        _ => Err(OpError::Operands("of a number and type that the operator is evaluated for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{
        BatchNorm, Conv, Coordinates, Data, GraphBuilder, PadMode, ResizeMode, Scope, Tensor, Value, example,
        example::Random,
    };

    /// What `node` makes of the image `[1, channels, height, width]`.
    fn run(
        image: ArrayD<f64>,
        node: impl FnOnce(&mut Scope<'_>, Value) -> Value,
    ) -> Result<ArrayD<f64>, EvaluateError> {
        let channels = Dim::try_from(image.shape()[1]).unwrap();
        let mut builder = GraphBuilder::new("operator");
        let x = builder.input("x", [Dim::batch(), channels, Dim::height(), Dim::width()]).unwrap();
        let y = node(&mut builder.root(), x);
        let graph = builder.finish(&[("y", y)]).unwrap();
        evaluate(&graph, &[("x", image)], &["y"]).map(|mut values| match values.remove("y") {
            Some(Array::F64(values)) => values,
            other => panic!("expected floats, found {other:?}"),
        })
    }

    fn array(shape: [usize; 4], values: &[f64]) -> ArrayD<f64> {
        ArrayD::from_shape_vec(IxDyn(&shape), values.to_vec()).unwrap()
    }

    #[test]
    fn convolutions_follow_their_definition() {
        let image = || array([1, 1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let kernel = || Tensor::new([1, 1, 1, 2], vec![1.0, 10.0]).unwrap();
        for (name, conv, expected) in [
            ("plain", Conv::default(), array([1, 1, 2, 2], &[21.5, 32.5, 54.5, 65.5])),
            ("stride", Conv { strides: [2, 1], ..Conv::default() }, array([1, 1, 1, 2], &[21.5, 32.5])),
            ("dilation", Conv { dilations: [1, 2], ..Conv::default() }, array([1, 1, 2, 1], &[31.5, 64.5])),
            (
                "padding at the left and the bottom",
                Conv { pads: [0, 1, 1, 0], ..Conv::default() },
                array([1, 1, 3, 3], &[10.5, 21.5, 32.5, 40.5, 54.5, 65.5, 0.5, 0.5, 0.5]),
            ),
        ] {
            let y =
                run(image(), |root, x| root.conv("conv", x, kernel(), Some(Tensor::vector(vec![0.5])), conv).unwrap());
            assert_eq!(y.unwrap(), expected, "{name}");
        }
        let groups = Conv { group: 2, ..Conv::default() };
        let weight = Tensor::new([2, 1, 1, 1], vec![2.0, 3.0]).unwrap();
        let y = run(array([1, 2, 1, 1], &[10.0, 100.0]), |root, x| root.conv("conv", x, weight, None, groups).unwrap());
        assert_eq!(y.unwrap(), array([1, 2, 1, 1], &[20.0, 300.0]), "groups");
    }

    #[test]
    fn padding_follows_its_definition() {
        let image = || array([1, 1, 1, 3], &[1.0, 2.0, 3.0]);
        for (mode, expected) in [
            (PadMode::Constant, [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]),
            (PadMode::Reflect, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]),
            (PadMode::Edge, [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]),
        ] {
            let y = run(image(), |root, x| root.pad("pad", x, [0, 2, 0, 1], mode).unwrap());
            assert_eq!(y.unwrap(), array([1, 1, 1, 6], &expected), "{mode:?}");
        }
    }

    #[test]
    fn resizing_follows_its_definition() {
        use Coordinates::{AlignCorners, Asymmetric, HalfPixel};
        use ResizeMode::{Linear, Nearest};
        for (mode, coordinates, expected) in [
            (Linear, AlignCorners, [0.0, 1.0, 2.0, 3.0]),
            (Linear, HalfPixel, [0.0, 0.75, 2.25, 3.0]),
            (Linear, Asymmetric, [0.0, 1.5, 3.0, 3.0]),
            (Nearest, AlignCorners, [0.0, 0.0, 0.0, 3.0]),
            (Nearest, HalfPixel, [0.0, 0.0, 0.0, 3.0]),
            (Nearest, Asymmetric, [0.0, 0.0, 3.0, 3.0]),
        ] {
            let image = array([1, 1, 1, 2], &[0.0, 3.0]);
            let y = run(image, |root, x| root.upsample("up", x, 2, mode, coordinates).unwrap()).unwrap();
            let expected = array([1, 1, 2, 4], &[expected, expected].concat());
            assert!(
                (&y - &expected).iter().all(|difference| difference.abs() < 1e-15),
                "{mode:?} {coordinates:?}: {y}"
            );
        }
    }

    #[test]
    fn normalisation_pooling_and_broadcasting_follow_their_definition() {
        let image = || array([1, 2, 1, 2], &[1.0, 3.0, 10.0, 30.0]);
        let norm = BatchNorm {
            weight: Tensor::vector(vec![2.0, 3.0]),
            bias: Tensor::vector(vec![0.5, 0.25]),
            running_mean: Tensor::vector(vec![1.0, 10.0]),
            running_var: Tensor::vector(vec![3.0, 99.0]),
            epsilon: 1.0,
        };
        let y = run(image(), |root, x| root.batch_norm("norm", x, norm).unwrap());
        assert_eq!(y.unwrap(), array([1, 2, 1, 2], &[0.5, 2.5, 0.25, 6.25]));
        let y = run(image(), |root, x| {
            let mean = root.global_average_pool("mean", x).unwrap();
            root.sub("centred", x, mean).unwrap()
        });
        assert_eq!(y.unwrap(), array([1, 2, 1, 2], &[-1.0, 1.0, -10.0, 10.0]));
    }

    /// What `op` makes of the image and of constants.
    fn apply(op: Op, image: ArrayD<f64>, constants: Vec<Tensor>) -> Array {
        let shape: Vec<_> = image.shape().iter().map(|&size| Dim::try_from(size).unwrap()).collect();
        let mut builder = GraphBuilder::new("operator");
        let x = builder.input("x", shape).unwrap();
        let mut operands = vec![x];
        for (number, constant) in constants.into_iter().enumerate() {
            operands.push(builder.root().constant(&format!("c{number}"), constant).unwrap());
        }
        let y = builder.root().node("y", op, &operands).unwrap();
        let graph = builder.finish(&[("y", y)]).unwrap();
        evaluate(&graph, &[("x", image)], &["y"]).unwrap().remove("y").unwrap()
    }

    fn integers<const N: usize>(shape: [usize; N], values: &[i64]) -> Array {
        Array::I64(ArrayD::from_shape_vec(IxDyn(&shape), values.to_vec()).unwrap())
    }

    #[test]
    fn classes_are_found_and_shared_out_by_definition() {
        let scores = || array([1, 3, 1, 4], &[1.0, 2.0, -1.0, 3.0, 1.0, 5.0, -2.0, 3.0, 0.0, 5.0, -1.0, 4.0]);
        assert_eq!(
            apply(Op::ArgMax { axis: 1 }, scores(), vec![]),
            integers([1, 1, 4], &[0, 1, 0, 2]),
            "lowest on a tie"
        );
        let zero = vec![Tensor::scalar(1.0)];
        let greater = integers([1, 1, 1, 2], &[0, 1]);
        assert_eq!(apply(Op::Greater, array([1, 1, 1, 2], &[1.0, 1.5]), zero), greater, "strictly");
        let shares = apply(Op::Softmax { axis: 1 }, array([1, 2, 1, 2], &[800.0, 0.0, 800.0, 3f64.ln()]), vec![]);
        let expected = array([1, 2, 1, 2], &[0.5, 0.25, 0.5, 0.75]);
        assert!((shares.as_f64().unwrap() - &expected).iter().all(|difference| difference.abs() < 1e-15), "{shares:?}");
    }

    #[test]
    fn axes_move_and_go_by_definition() {
        let image = || array([1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let swapped = apply(Op::Transpose { perm: vec![0, 2, 3, 1] }, image(), vec![]);
        assert_eq!(swapped, Array::F64(array([1, 1, 2, 2], &[1.0, 3.0, 2.0, 4.0])));
        let mean = apply(Op::ReduceMean, image(), vec![Tensor::vector(vec![3])]);
        assert_eq!(mean, Array::F64(array([1, 2, 1, 1], &[1.5, 3.5])));
        let squeezed = apply(Op::Squeeze, image(), vec![Tensor::vector(vec![0, 2])]);
        assert_eq!(
            squeezed,
            Array::F64(array([1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]).into_shape_with_order(IxDyn(&[2, 2])).unwrap())
        );
    }

    #[test]
    fn casts_and_quantisation_round_and_saturate_by_definition() {
        let image = || array([1, 2, 1, 3], &[-1.7, 0.5, 1.5, 2.6, 300.0, 70000.0]);
        assert_eq!(
            apply(Op::Cast { to: DataType::U8 }, image(), vec![]),
            integers([1, 2, 1, 3], &[0, 0, 1, 2, 255, 255])
        );
        assert_eq!(apply(Op::Cast { to: DataType::Bool }, image(), vec![]), integers([1, 2, 1, 3], &[1; 6]));
        let halves = apply(Op::Cast { to: DataType::F16 }, array([1, 1, 1, 3], &[0.1, 65519.0, 65520.0]), vec![]);
        assert_eq!(halves, Array::F64(array([1, 1, 1, 3], &[0.0999755859375, 65504.0, f64::INFINITY])));
        let quantize = Op::QuantizeLinear { axis: 1 };
        let all = vec![Tensor::scalar(1.0), Tensor::new([], Data::U8(vec![2])).unwrap()];
        assert_eq!(
            apply(quantize.clone(), image(), all),
            integers([1, 2, 1, 3], &[0, 2, 4, 5, 255, 255]),
            "ties to even"
        );
        let each = vec![Tensor::vector(vec![0.5, 100.0]), Tensor::vector(Data::I8(vec![-1, 0]))];
        assert_eq!(
            apply(quantize, image(), each),
            integers([1, 2, 1, 3], &[-4, 0, 2, 0, 3, 127]),
            "channel by channel"
        );
    }

    #[test]
    fn what_is_dequantised_is_what_was_quantised() {
        let mut builder = GraphBuilder::new("both");
        let x = builder.input("x", [Dim::from(1), 2.into(), 1.into(), 2.into()]).unwrap();
        let mut root = builder.root();
        let scale = root.constant("scale", Tensor::vector(vec![0.5, 0.25])).unwrap();
        let zero = root.constant("zero", Tensor::vector(Data::U8(vec![10, 128]))).unwrap();
        let x = root.node("q", Op::QuantizeLinear { axis: 1 }, &[x, scale, zero]).unwrap();
        let x = root.node("dq", Op::DequantizeLinear { axis: 1 }, &[x, scale, zero]).unwrap();
        let graph = builder.finish(&[("y", x)]).unwrap();
        let image = array([1, 2, 1, 2], &[-6.0, 1.2, -6.0, 1.2]);
        let found = evaluate(&graph, &[("x", image)], &["y"]).unwrap().remove("y").unwrap();
        assert_eq!(found, Array::F64(array([1, 2, 1, 2], &[-5.0, 1.0, -6.0, 1.25])));
    }

    #[test]
    fn what_is_not_defined_is_an_error_that_names_the_node() {
        let image = || array([1, 1, 1, 1], &[1.0]);
        let kernel = Tensor::new([1, 1, 2, 2], vec![1.0; 4]).unwrap();
        let rows = [
            (
                run(image(), |root, x| root.conv("conv", x, kernel, None, Conv::default()).unwrap()),
                OpError::Kernel { reach: 2, padded: 1 },
            ),
            (
                run(image(), |root, x| root.pad("pad", x, [0, 1, 0, 0], PadMode::Reflect).unwrap()),
                OpError::Pads { size: 1, pads: [1, 0] },
            ),
        ];
        for (found, expected) in rows {
            match found {
                Err(EvaluateError::Op { node, cause, .. }) => assert_eq!((node.as_str(), cause), ("y", expected)),
                other => panic!("expected {expected}, found {other:?}"),
            }
        }
    }

    #[test]
    fn inputs_must_fit_the_graph() {
        let graph = example::encoder_decoder();
        let zeros = |shape: [usize; 4]| ArrayD::zeros(IxDyn(&shape));
        let error =
            |inputs: &[(&str, ArrayD<f64>)], wanted| evaluate(&graph, inputs, &[wanted]).unwrap_err().to_string();
        assert_eq!(error(&[], "logits"), "cannot evaluate the graph: input `input` is not given");
        assert_eq!(error(&[], "mask"), "cannot evaluate the graph: no node computes `mask`");
        assert_eq!(
            error(&[("input", zeros([1, 2, 8, 8]))], "logits"),
            "cannot evaluate `input`: it has the shape [1, 2, 8, 8], recorded as [1, 3, 8, 8]"
        );
    }

    #[test]
    fn every_recorded_shape_is_the_computed_one_at_odd_sizes() {
        let graph = example::encoder_decoder();
        let names: Vec<_> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        for (height, width) in [(2, 2), (3, 2), (5, 7), (8, 11)] {
            let mut random = Random(1);
            let image = ArrayD::from_shape_fn(IxDyn(&[2, 3, height, width]), |_| f64::from(random.number()));
            let values = evaluate(&graph, &[("input", image)], &names).unwrap();
            assert_eq!(values["logits"].shape(), [2, 2, height, width]);
        }
    }
}
