//! The exact answers: the trained network's graph in 64-bit floats, computed once for each input.

use std::collections::BTreeMap;
use std::fmt;

use ndarray::{Array4, ArrayD, ArrayView4, ArrayViewD, Ix4};
use seg_contract::Element;
use seg_onnx::Model;
use seg_onnx::evaluate::{Array, EvaluateError, evaluate, evaluate_each};
use seg_onnx::graph::{Graph, Op, Tensor};
use thiserror::Error;

use crate::bounds::{ORDINARY, ROUNDING};
use crate::case::Case;
use crate::figures::{Figures, scale};

/// The exact answers of a graph with one input and one output.
#[derive(Debug)]
pub struct Yardstick {
    graph: Graph,
    watcher: Option<Watcher>,
    answers: BTreeMap<String, Exact>,
    /// The image file that was asked for last, and its answer.
    latest: Option<(String, Exact)>,
    /// How many bytes of answers to other image files may be kept yet.
    room_bytes: usize,
    of_noise: BTreeMap<String, f64>,
    of_images: BTreeMap<String, f64>,
}

/// Someone who is told of each case to which the exact answer is computed.
struct Watcher(Box<dyn FnMut(&Case)>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// An exact answer.
#[derive(Clone, Debug)]
pub struct Exact {
    /// The output `[n, classes, h, w]`.
    pub output: Array4<f64>,
    /// The largest magnitude of any value inside of the graph.
    pub reach: f64,
}

/// Why there is no exact answer.
#[derive(Debug, Error)]
pub enum YardstickError {
    /// The graph cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The graph's output is no batch of images.
    #[error("the reference's output has shape {found:?}, expected [n, classes, height, width]")]
    Output {
        /// Its shape.
        found: Vec<usize>,
    },
}

impl Yardstick {
    /// A yardstick for a graph as it was lowered, before any pass.
    pub fn new(graph: &Graph) -> Self {
        Self {
            graph: graph.clone(),
            watcher: None,
            answers: BTreeMap::new(),
            latest: None,
            room_bytes: 0,
            of_noise: BTreeMap::new(),
            of_images: BTreeMap::new(),
        }
    }

    /// The same, which keeps answers to image files as well, up to so many bytes: for whoever asks twice.
    pub fn with_room_for_images(self, bytes: usize) -> Self {
        Self { room_bytes: bytes, ..self }
    }

    /// The same, which tells of each case before its answer is computed: that takes by far the longest of a proof.
    pub fn with_watcher(self, tell: impl FnMut(&Case) + 'static) -> Self {
        Self { watcher: Some(Watcher(Box::new(tell))), ..self }
    }

    /// The exact answer to a case, of which `input` is the input. What values inside of the graph reach is kept, and so
    /// are the answers to fixed inputs for when they are asked for again. Image files may be thousands, and large:
    /// without [room](Self::with_room_for_images) only the answer to the latest is kept.
    ///
    /// # Errors
    /// When the input does not fit the graph.
    pub fn answer(&mut self, case: &Case, input: ArrayView4<'_, f32>) -> Result<&Exact, YardstickError> {
        let is_latest = self.latest.as_ref().is_some_and(|(name, _)| *name == case.name);
        if !is_latest && !self.answers.contains_key(&case.name) {
            if let Some(Watcher(tell)) = &mut self.watcher {
                tell(case);
            }
            // Before the next is computed, which takes memory of its own.
            self.latest = None;
            let output = self.graph.outputs.first().map_or("", String::as_str);
            let (mut found, mut reach) = (ArrayD::zeros(Vec::new()), 0.0_f64);
            let mut magnitudes = match case.is_image() {
                true => Some(&mut self.of_images),
                false => Some(&mut self.of_noise).filter(|_| case.is_ordinary()),
            };
            evaluate_each(&self.graph, &[(input_name(&self.graph), exact(input))], |value, array| {
                let Array::F64(array) = array else { return };
                let largest = array.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
                reach = reach.max(largest);
                if let Some(magnitudes) = &mut magnitudes {
                    let kept = magnitudes.entry(value.to_owned()).or_default();
                    *kept = kept.max(largest);
                }
                if value == output {
                    found = array.clone();
                }
            })?;
            let shape = found.shape().to_vec();
            let output = found.into_dimensionality::<Ix4>().map_err(|_| YardstickError::Output { found: shape })?;
            let bytes = output.len() * size_of::<f64>();
            let exact = Exact { output, reach };
            if !case.is_image() || bytes <= self.room_bytes {
                self.room_bytes -= if case.is_image() { bytes } else { 0 };
                self.answers.insert(case.name.clone(), exact);
            } else {
                self.latest = Some((case.name.clone(), exact));
            }
        }
        Ok(match &self.latest {
            Some((name, exact)) if *name == case.name => exact,
            _ => &self.answers[&case.name],
        })
    }

    /// The largest error of the output where all of the graph is computed exactly and each value alone is rounded to 32 bits: what no computation
    /// in 32-bit floats can be blamed for.
    ///
    /// # Errors
    /// When the graph cannot be evaluated or the input does not fit.
    pub fn rounding(&self, input: ArrayView4<'_, f32>, exact: ArrayView4<'_, f64>) -> Result<f64, YardstickError> {
        let output = self.graph.outputs.first().map_or("", String::as_str);
        let rounded = rounded(&self.graph, input, &[output])?;
        Ok(rounded.get(output).map_or(0.0, |rounded| distance(rounded.view(), exact.into_dyn())))
    }

    /// The largest magnitude that each value has reached so far, over all image files, or over the noise where there were none: noise may bring values
    /// where no image does.
    pub fn magnitudes(&self) -> &BTreeMap<String, f64> {
        if self.of_images.is_empty() { &self.of_noise } else { &self.of_images }
    }
}

/// Exact values inside of a graph, by their names, and the scale that errors of each are measured by.
///
/// A value's scale is that of its numbers, as in [`Figures`](super::Figures), but for operators whose results may be arbitrarily
/// small while their errors are not: a sigmoid is computed to so many digits of 1, a product inherits the errors of its factors, a
/// convolution those of its terms, and what is left of a value where it is cut off at zero has the value's errors. The scale of
/// the first is at least 1, and of the others at least that of the factors' product, of the largest term, of the value. Else a
/// gate that has learned to be shut, or the one output of a convolution that happens to be nearly zero, would be called wrong for
/// a share of nearly nothing.
///
/// Where a network [amplifies](amplification) rounding, every scale is as many times as large.
#[derive(Clone, Debug)]
pub struct Inside {
    /// The values that were asked for.
    pub values: BTreeMap<String, ArrayD<f64>>,
    /// The scale of every value of floats, the input and the constants among them.
    pub scales: BTreeMap<String, f64>,
}

impl Inside {
    /// Evaluates a graph on an input, and keeps the values of the given names.
    ///
    /// # Errors
    /// When the input does not fit the graph.
    pub fn of(graph: &Graph, input: ArrayView4<'_, f32>, names: &[&str]) -> Result<Self, EvaluateError> {
        let nodes: BTreeMap<_, _> = graph.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
        let rounded = rounded(graph, input, names)?;
        let input = exact(input);
        // Of the numbers alone, so that a convolution answers for its own terms and not for all that went before.
        let mut numbers: BTreeMap<_, _> =
            graph.initializers.iter().map(|(name, constant)| (name.clone(), largest(constant))).collect();
        numbers.insert(input_name(graph).to_owned(), scale(input.view()));
        let mut inside = Self { values: BTreeMap::new(), scales: numbers.clone() };
        evaluate_each(graph, &[(input_name(graph), input)], |name, array| {
            let (Array::F64(array), Some(node)) = (array, nodes.get(name)) else { return };
            let operand = |of: &BTreeMap<String, f64>, index: usize| {
                node.inputs.get(index).and_then(|name| of.get(name)).copied().unwrap_or_default()
            };
            let least = match node.op {
                Op::Sigmoid => 1.0,
                Op::Mul => operand(&inside.scales, 0) * operand(&inside.scales, 1),
                Op::Conv(_) => (operand(&numbers, 0) * operand(&numbers, 1)).max(operand(&numbers, 2)),
                Op::Relu => operand(&inside.scales, 0),
                _ => 0.0,
            };
            let own = scale(array.view());
            numbers.insert(name.to_owned(), own);
            let scale = own.max(least);
            let error = rounded.get(name).map_or(0.0, |rounded| distance(rounded.view(), array.view()));
            inside.scales.insert(name.to_owned(), scale * amplification(error, scale).unwrap_or(1.0));
            if names.contains(&name) {
                inside.values.insert(name.to_owned(), array.clone());
            }
        })?;
        Ok(inside)
    }

    /// How far a value is from the exact one; `None` where there is none of its name and shape.
    pub fn figures(&self, name: &str, found: ArrayViewD<'_, f32>) -> Option<Figures> {
        let (exact, scale) = (self.values.get(name)?, self.scales.get(name)?);
        (found.shape() == exact.shape()).then(|| Figures::of(found, exact.view()).at_scale(*scale))
    }
}

/// How many roundings of a scale the `error` of [`Yardstick::rounding`] amounts to, where it is more than [`ORDINARY`]: as many times as large as
/// else may the error of a computation be.
pub fn amplification(error: f64, scale: f64) -> Option<f64> {
    Some(error / (scale * ROUNDING)).filter(|amplification| amplification.is_finite() && *amplification > ORDINARY)
}

/// The values of the given names, all of a graph computed exactly but for each value being rounded to 32 bits.
fn rounded(
    graph: &Graph,
    input: ArrayView4<'_, f32>,
    names: &[&str],
) -> Result<BTreeMap<String, ArrayD<f64>>, EvaluateError> {
    let mut values = BTreeMap::new();
    evaluate_each(graph, &[(input_name(graph), exact(input))], |name, array| {
        let Array::F64(array) = array else { return };
        array.mapv_inplace(|value| f64::from(value as f32));
        if names.contains(&name) {
            values.insert(name.to_owned(), array.clone());
        }
    })?;
    Ok(values)
}

/// The largest finite difference.
fn distance(one: ArrayViewD<'_, f64>, other: ArrayViewD<'_, f64>) -> f64 {
    let differences = one.iter().zip(other).map(|(one, other)| (one - other).abs());
    differences.filter(|difference| difference.is_finite()).fold(0.0, f64::max)
}

/// The largest magnitude of a constant of floats, 0 of others.
fn largest(constant: &Tensor) -> f64 {
    let values = constant.as_f32().unwrap_or_default();
    values.iter().fold(0.0, |largest, value| largest.max(f64::from(value.abs())))
}

/// The values of floats, of whatever width, that two graphs share, in the order in which the second computes them.
pub(super) fn shared<'g>(one: &Graph, other: &'g Graph) -> Vec<&'g str> {
    let index = one.index();
    let in_both =
        other.nodes.iter().filter(|node| node.output.data_type.is_float() && index.producer(&node.name).is_some());
    in_both.map(|node| node.name.as_str()).collect()
}

/// What the evaluator computes of an exported model for normalised images, in whatever form it takes them: exactly, but for 16-bit floats,
/// each of which it rounds.
pub(super) fn model_values(
    model: &Model,
    input: ArrayView4<'_, f32>,
    names: &[&str],
) -> Result<BTreeMap<String, ArrayD<f64>>, EvaluateError> {
    match model.contract.input.form.element {
        Element::Float => Ok(floats(evaluate(&model.graph, &[(input_name(&model.graph), exact(input))], names)?)),
        Element::U8 => {
            let bytes = model.contract.input.to_bytes(input).mapv(f64::from).into_dyn();
            Ok(floats(evaluate(&model.graph, &[(input_name(&model.graph), bytes)], names)?))
        }
    }
}

fn floats(values: BTreeMap<String, Array>) -> BTreeMap<String, ArrayD<f64>> {
    let floats = values.into_iter().filter_map(|(name, value)| match value {
        Array::F64(values) => Some((name, values)),
        Array::I64(_) => None,
    });
    floats.collect()
}

fn input_name(graph: &Graph) -> &str {
    graph.inputs.first().map_or("", |input| &input.name)
}

fn exact(input: ArrayView4<'_, f32>) -> ArrayD<f64> {
    input.mapv(f64::from).into_dyn()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use crate::threshold;
    use seg_contract::{InputForm, SizePolicy};
    use seg_onnx::graph::{BuildError, Conv, Dim, GraphBuilder};

    use super::*;

    /// A pixel of three channels to one, which is cut off at zero, and to a gate that multiplies the pixel.
    fn gated(weight: [f32; 3], bias: f32) -> Result<Graph, BuildError> {
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
    fn of_image_files_only_as_many_answers_are_kept_as_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.png", "c.png"] {
            image::RgbImage::from_pixel(1, 1, image::Rgb([200, 100, 50])).save(folder.path().join(name)).unwrap();
        }
        let images = Case::images(&[folder.path().to_owned()], None, InputForm::default()).unwrap();
        let mut expected = threshold::model(SizePolicy::Native).contract.input;
        expected.form.size = Some([1, 1]);
        let fixed = Case::fixed(false, &expected).remove(0);
        let input = Array4::from_elem([1, 3, 1, 1], 0.5);
        let bytes = 3 * size_of::<f64>();
        for (name, room, kept) in
            [("none", 0, 0), ("for one and a half", bytes + bytes / 2, 1), ("for two", 2 * bytes, 2)]
        {
            let told = Rc::new(Cell::new(0));
            let watcher = told.clone();
            let mut yardstick = Yardstick::new(&gated([0.5; 3], 0.1).unwrap())
                .with_room_for_images(room)
                .with_watcher(move |_| watcher.set(watcher.get() + 1));
            let mut ask = |case| yardstick.answer(case, input.view()).unwrap().output.clone();
            let first: Vec<_> = images.iter().chain([&fixed]).map(&mut ask).collect();
            let again: Vec<_> = images.iter().chain([&fixed]).map(&mut ask).collect();
            assert_eq!(first, again, "{name}");
            assert_eq!(told.get(), 4 + 3 - kept, "{name}: each case is told, and again where no room is left for it");
            assert_eq!(yardstick.answers.len(), kept + 1, "{name}");
            assert!(yardstick.answers.contains_key(&fixed.name), "{name}");
        }
    }

    #[test]
    fn a_result_that_is_nearly_nothing_is_measured_by_what_it_is_computed_of() {
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
            let inside = Inside::of(&gated(weight, bias).unwrap(), input.view(), &["conv", "relu"]).unwrap();
            let scales = ["conv", "relu", "sigmoid", "product"].map(|name| inside.scales[name]);
            assert_eq!(scales, [expected, expected, 1.0, 3.0], "{weight:?} {bias}");
            let of_one_rounding = inside.values["relu"].mapv(|value| value as f32 + 1e-7);
            assert!(inside.figures("relu", of_one_rounding.view()).unwrap().is_within(5e-7), "{weight:?} {bias}");
            assert!(
                inside
                    .figures("relu", of_one_rounding.mapv(|value| value + 1e-4).view())
                    .is_some_and(|off| !off.is_within(5e-6))
            );
        }
    }
}
