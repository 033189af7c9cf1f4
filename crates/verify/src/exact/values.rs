//! Exact intermediate values of a graph, with the scale by which errors of each are measured.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayView4, ArrayViewD};
use seg_contract::Element;
use seg_onnx::Model;
use seg_onnx::evaluate::{Array, EvaluateError, evaluate, evaluate_each};
use seg_onnx::graph::{Graph, Node, Op, Tensor};

use super::{amplification, input_name, to_f64};
use crate::error_stats::{ErrorStats, scale};

/// Exact values of a graph by their names, and the scale that errors of each are measured by.
///
/// A value's scale is that of its numbers, as in [`ErrorStats`], except for operators whose results
/// may be arbitrarily small while their errors are not. A sigmoid is computed to a fixed number of
/// digits of 1, a product inherits the errors of its factors, a convolution or matrix product those
/// of its terms, and the part of a value that a ReLU keeps has the value's errors. The scale of the
/// first is at least 1; that of the others is at least the scale of the factors' product, of the
/// largest term, and of the value. Otherwise a gate that has learned to be shut, or the one output
/// of a convolution that happens to be nearly zero, would fail by a share of nearly nothing.
///
/// If a network [amplifies](amplification()) rounding, every scale is multiplied by that factor.
#[derive(Clone, Debug)]
pub struct ExactValues {
    /// The requested values.
    pub values: BTreeMap<String, ArrayD<f64>>,
    /// The scale of every float value, including the input and the constants.
    pub scales: BTreeMap<String, f64>,
}

impl ExactValues {
    /// Evaluates a graph on an input `[n, channels, h, w]` and keeps the values of the given names.
    ///
    /// # Errors
    /// When the input does not fit the graph.
    pub fn compute(graph: &Graph, input: ArrayView4<'_, f32>, names: &[&str]) -> Result<Self, EvaluateError> {
        let nodes: BTreeMap<_, _> = graph.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
        let rounded = rounded_values(graph, input, names)?;
        let input = to_f64(input);
        // Scales of the numbers alone, so that a convolution is measured by its own terms and not
        // by everything before them.
        let mut numbers: BTreeMap<_, _> =
            graph.initializers.iter().map(|(name, constant)| (name.clone(), largest_magnitude(constant))).collect();
        numbers.insert(input_name(graph).to_owned(), scale(input.view()));
        let mut exact = Self { values: BTreeMap::new(), scales: numbers.clone() };
        evaluate_each(graph, &[(input_name(graph), input)], |name, array| {
            let (Array::F64(array), Some(node)) = (array, nodes.get(name)) else { return };
            let least = least_scale(node, &exact.scales, &numbers);
            let own = scale(array.view());
            numbers.insert(name.to_owned(), own);
            let scale = own.max(least);
            let error = rounded.get(name).map_or(0.0, |rounded| largest_distance(rounded.view(), array.view()));
            exact.scales.insert(name.to_owned(), scale * amplification(error, scale).unwrap_or(1.0));
            if names.contains(&name) {
                exact.values.insert(name.to_owned(), array.clone());
            }
        })?;
        Ok(exact)
    }

    /// Compares a value with the exact one; `None` if no value has its name and shape.
    pub fn error_stats(&self, name: &str, found: ArrayViewD<'_, f32>) -> Option<ErrorStats> {
        let (exact, scale) = (self.values.get(name)?, self.scales.get(name)?);
        (found.shape() == exact.shape()).then(|| ErrorStats::compare(found, exact.view()).with_scale(*scale))
    }
}

/// Returns the least scale of a node's result, which depends on its operator and its operands.
fn least_scale(node: &Node, scales: &BTreeMap<String, f64>, numbers: &BTreeMap<String, f64>) -> f64 {
    match node.op {
        Op::Sigmoid => 1.0,
        Op::Mul => operand(node, scales, 0) * operand(node, scales, 1),
        Op::Conv(_) | Op::ConvTranspose { .. } => {
            (operand(node, numbers, 0) * operand(node, numbers, 1)).max(operand(node, numbers, 2))
        }
        Op::MatMul => operand(node, numbers, 0) * operand(node, numbers, 1),
        Op::Relu => operand(node, scales, 0),
        _ => 0.0,
    }
}

/// Returns the scale of a node's operand, 0 for an absent one.
fn operand(node: &Node, scales: &BTreeMap<String, f64>, index: usize) -> f64 {
    node.inputs.get(index).and_then(|name| scales.get(name)).copied().unwrap_or_default()
}

/// Computes a graph exactly, rounds each value to 32 bits, and returns those of the given names.
pub(super) fn rounded_values(
    graph: &Graph,
    input: ArrayView4<'_, f32>,
    names: &[&str],
) -> Result<BTreeMap<String, ArrayD<f64>>, EvaluateError> {
    let mut values = BTreeMap::new();
    evaluate_each(graph, &[(input_name(graph), to_f64(input))], |name, array| {
        let Array::F64(array) = array else { return };
        array.mapv_inplace(|value| f64::from(value as f32));
        if names.contains(&name) {
            values.insert(name.to_owned(), array.clone());
        }
    })?;
    Ok(values)
}

/// Returns the largest finite difference of two arrays.
pub(super) fn largest_distance(one: ArrayViewD<'_, f64>, other: ArrayViewD<'_, f64>) -> f64 {
    let differences = one.iter().zip(other).map(|(one, other)| (one - other).abs());
    differences.filter(|difference| difference.is_finite()).fold(0.0, f64::max)
}

/// Returns the largest magnitude of a float constant, 0 of any other.
fn largest_magnitude(constant: &Tensor) -> f64 {
    let values = constant.as_f32().unwrap_or_default();
    values.iter().fold(0.0, |largest, value| largest.max(f64::from(value.abs())))
}

/// Returns the names of the float values, of any width, that two graphs share, in the order in
/// which the second computes them.
pub(crate) fn shared_values<'g>(one: &Graph, other: &'g Graph) -> Vec<&'g str> {
    let index = one.index();
    let in_both =
        other.nodes.iter().filter(|node| node.output.data_type.is_float() && index.producer(&node.name).is_some());
    in_both.map(|node| node.name.as_str()).collect()
}

/// Evaluates an exported model on normalised images and returns the float values of the given
/// names. Only 16-bit floats are rounded. Images are converted to bytes for a model that takes
/// them.
pub(crate) fn model_values(
    model: &Model,
    input: ArrayView4<'_, f32>,
    names: &[&str],
) -> Result<BTreeMap<String, ArrayD<f64>>, EvaluateError> {
    let input = match model.contract.input.form.element {
        Element::Float => to_f64(input),
        Element::U8 => model.contract.input.to_bytes(input).mapv(f64::from).into_dyn(),
    };
    let values = evaluate(&model.graph, &[(input_name(&model.graph), input)], names)?;
    let floats = values.into_iter().filter_map(|(name, value)| match value {
        Array::F64(values) => Some((name, values)),
        Array::I64(_) => None,
    });
    Ok(floats.collect())
}

#[cfg(test)]
pub(super) mod tests {
    use ndarray::Array4;
    use seg_onnx::graph::{BuildError, Conv, Dim, GraphBuilder};

    use super::*;

    /// Builds a convolution of a pixel of three channels to one, a ReLU, and a gate that multiplies
    /// the pixel.
    pub(in crate::exact) fn gated(weight: [f32; 3], bias: f32) -> Result<Graph, BuildError> {
        let mut builder = GraphBuilder::new("gated");
        let image = builder.input("input", [Dim::from(1), Dim::from(3), Dim::from(1), Dim::from(1)])?;
        let mut root = builder.root();
        let weight = Tensor::new([1, 3, 1, 1], weight.to_vec()).unwrap();
        let x = root.conv("conv", image, weight, Some(Tensor::vector(vec![bias])), Conv::default())?;
        let cut = root.relu("relu", x)?;
        let shut = root.sigmoid("sigmoid", cut)?;
        let product = root.mul("product", image, shut)?;
        builder.finish(&[("product", product)])
    }

    #[test]
    fn a_result_near_zero_is_measured_by_the_terms_it_is_computed_from() {
        let input = Array4::from_shape_fn([1, 3, 1, 1], |(_, channel, _, _)| 1.0 + channel as f32);
        for (weight, bias, expected) in [
            // 0.5 + 1 - 1.5, of terms of at most half of 3.
            ([0.5, 0.5, -0.5], 1e-7, 1.5),
            // The bias is the largest term.
            ([0.25, 0.0, 0.0], -0.25 + 1e-7, 0.75),
            ([0.25, 0.0, 0.0], -4.0, 4.0),
            // The sum is larger than each term.
            ([0.5, 0.5, 0.5], 0.0, 3.0),
        ] {
            let exact = ExactValues::compute(&gated(weight, bias).unwrap(), input.view(), &["conv", "relu"]).unwrap();
            let scales = ["conv", "relu", "sigmoid", "product"].map(|name| exact.scales[name]);
            assert_eq!(scales, [expected, expected, 1.0, 3.0], "{weight:?} {bias}");
            let one_rounding_off = exact.values["relu"].mapv(|value| value as f32 + 1e-7);
            assert!(exact.error_stats("relu", one_rounding_off.view()).unwrap().is_within(5e-7), "{weight:?} {bias}");
            assert!(
                exact
                    .error_stats("relu", one_rounding_off.mapv(|value| value + 1e-4).view())
                    .is_some_and(|off| !off.is_within(5e-6))
            );
        }
    }
}
