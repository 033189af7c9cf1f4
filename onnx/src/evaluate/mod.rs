//! Runs a graph in 64-bit floats with the plainest possible loops: slow, and the yardstick for everything that is fast.
//!
//! Operators are written from their definitions in the ONNX specification and share nothing with inference or any
//! runtime; what they compute is compared with the shape that the graph records.

mod array;
mod conv;
mod elementwise;
mod pad;
mod resize;

use std::collections::BTreeMap;

use ndarray::{ArrayD, Axis, IxDyn};

pub use array::Array;

use crate::graph::{CheckError, DimError, Graph, Op, ResizeBy};

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
pub fn evaluate(
    graph: &Graph,
    inputs: &[(&str, ArrayD<f64>)],
    wanted: &[&str],
) -> Result<BTreeMap<String, Array>, EvaluateError> {
    graph.check().map_err(|cause| EvaluateError::Check { graph: graph.name.clone(), cause })?;
    let index = graph.index();
    if let Some(&unknown) = wanted.iter().find(|name| index.producer(name).is_none()) {
        return Err(EvaluateError::Unknown(unknown.to_owned()));
    }
    let mut values: BTreeMap<String, Array> =
        graph.initializers.iter().map(|(name, tensor)| (name.clone(), Array::from(tensor))).collect();
    let bindings = bind_inputs(graph, inputs, &mut values)?;
    for (position, node) in graph.nodes.iter().enumerate() {
        let operands: Vec<_> = node.inputs.iter().filter_map(|name| values.get(name)).collect();
        let value = compute(&node.op, &operands).map_err(|cause| EvaluateError::Op {
            node: node.name.clone(),
            op: node.op.name(),
            cause,
        })?;
        agrees(&node.name, value.shape(), &node.output.shape, &bindings)?;
        values.insert(node.name.clone(), value);
        for name in &node.inputs {
            if index.readers(name).last() == Some(&position) && !wanted.contains(&name.as_str()) {
                values.remove(name);
            }
        }
    }
    values.retain(|name, _| wanted.contains(&name.as_str()));
    Ok(values)
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
        values.insert(input.name.clone(), Array::F64(value.clone()));
    }
    Ok(bindings)
}

fn agrees(
    name: &str,
    found: &[usize],
    recorded: &[crate::graph::Dim],
    bindings: &[(&str, i64)],
) -> Result<(), EvaluateError> {
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

fn compute(op: &Op, operands: &[&Array]) -> Result<Array, OpError> {
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
        (Op::Gelu, [F64(x)]) => Ok(F64(x.mapv(elementwise::gelu))),
        (Op::Erf, [F64(x)]) => Ok(F64(x.mapv(elementwise::erf))),
        (Op::Sigmoid, [F64(x)]) => Ok(F64(x.mapv(elementwise::sigmoid))),
        (Op::Relu, [F64(x)]) => Ok(F64(x.mapv(|x| x.max(0.0)))),
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
        (Op::Identity, [x]) => Ok((*x).clone()),
        _ => Err(OpError::Operands("of a number and type that the operator is evaluated for")),
    }
}
