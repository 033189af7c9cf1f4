//! Evaluates a graph in 64-bit floats, as simply as large images allow: the exact result that fast
//! implementations are compared with.
//!
//! Operators are written from their definitions in the ONNX specification and share no code with
//! inference or any runtime. Their results are compared with the shapes that the graph records.

mod array;
mod axis;
mod conv;
mod conv_transpose;
mod elementwise;
mod matrix;
mod norm;
mod operator;
mod pad;
mod pool;
mod quantize;
mod resize;
mod taps;

use std::collections::BTreeMap;

use ndarray::ArrayD;

pub use array::Array;
pub use operator::OpError;

use crate::graph::{CheckError, DataType, Dim, DimError, Graph};

/// An error in evaluating a graph.
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
    /// A requested value is not computed by any node.
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
        /// The defect of the shape.
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
        /// The undefined case.
        #[source]
        cause: OpError,
    },
}

/// Returns the values of the `wanted` nodes (outputs or any others, by name) for the given
/// `inputs`.
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

/// Calls `see` with the value of each node as soon as it is computed, in the order of the nodes.
/// `see` may change the value, and other nodes read the changed one.
///
/// A value is freed after its last reader, so that the memory for a large image is that of its
/// widest layer.
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
        let value = operator::compute(&node.op, &operands, data_type).map_err(|cause| EvaluateError::Op {
            node: node.name.clone(),
            op: node.op.name(),
            cause,
        })?;
        // Rounds on every machine alike, so that the error of half precision shows.
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

/// Adds the inputs to the values and returns the values of their symbols.
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
            // A side that is a multiple of a number is its symbol, rounded; `agrees` checks that.
            if let Some(symbol) = dim.only_symbol().filter(|symbol| bindings.iter().all(|(bound, _)| bound != symbol)) {
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

#[cfg(test)]
mod tests {
    use ndarray::IxDyn;

    use super::*;
    use crate::graph::example;
    use crate::graph::example::Random;

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
