//! Exact outputs: the trained network's graph in 64-bit floats, evaluated once for each input.

use std::collections::BTreeMap;
use std::fmt;

use ndarray::{Array4, ArrayD, ArrayView4, Ix4};
use seg_onnx::evaluate::{Array, EvaluateError, evaluate_each};
use seg_onnx::graph::Graph;
use thiserror::Error;

use crate::bounds::{ORDINARY, ROUNDING};
use crate::inputs::ProofInput;

pub(crate) mod values;

use values::{largest_distance, rounded_values};

/// An evaluator of a graph with one input and one output, which keeps the outputs it has computed.
#[derive(Debug)]
pub struct ExactEvaluator {
    graph: Graph,
    progress: Option<Progress>,
    outputs: BTreeMap<String, ExactOutput>,
    /// The image file that was evaluated last, and its output.
    latest: Option<(String, ExactOutput)>,
    /// The bytes that are left for outputs of other image files.
    cache_bytes_left: usize,
    noise_magnitudes: BTreeMap<String, f64>,
    image_magnitudes: BTreeMap<String, f64>,
}

/// A callback that receives each input before its exact output is computed.
struct Progress(Box<dyn FnMut(&ProofInput)>);

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// The exact output of a graph for one input.
#[derive(Clone, Debug)]
pub struct ExactOutput {
    /// The output `[n, classes, h, w]`.
    pub output: Array4<f64>,
    /// The largest magnitude of any value in the graph.
    pub largest_magnitude: f64,
}

/// An error that leaves no exact output.
#[derive(Debug, Error)]
pub enum ExactError {
    /// The graph cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The graph's output has no four dimensions.
    #[error("the reference's output has shape {found:?}, expected [n, classes, height, width]")]
    Output {
        /// The output's shape.
        found: Vec<usize>,
    },
}

impl ExactEvaluator {
    /// Creates an evaluator of a graph as it was lowered, before any pass.
    pub fn new(graph: &Graph) -> Self {
        Self {
            graph: graph.clone(),
            progress: None,
            outputs: BTreeMap::new(),
            latest: None,
            cache_bytes_left: 0,
            noise_magnitudes: BTreeMap::new(),
            image_magnitudes: BTreeMap::new(),
        }
    }

    /// Keeps outputs of image files too, up to the given number of bytes, for a caller that asks
    /// for them twice.
    pub fn with_image_cache(self, bytes: usize) -> Self {
        Self { cache_bytes_left: bytes, ..self }
    }

    /// Calls `report` with each input before its output is computed, which is by far the longest
    /// step of a proof.
    pub fn with_progress(self, report: impl FnMut(&ProofInput) + 'static) -> Self {
        Self { progress: Some(Progress(Box::new(report))), ..self }
    }

    /// Returns the exact output for an input, of which `tensor` holds the values.
    ///
    /// Outputs of fixed inputs are kept. Image files may be thousands, and large: unless a
    /// [cache](Self::with_image_cache) is set, only the output of the latest is kept.
    ///
    /// # Errors
    /// When the input does not fit the graph.
    pub fn output(&mut self, input: &ProofInput, tensor: ArrayView4<'_, f32>) -> Result<&ExactOutput, ExactError> {
        let is_latest = self.latest.as_ref().is_some_and(|(name, _)| *name == input.name);
        if !is_latest && !self.outputs.contains_key(&input.name) {
            if let Some(Progress(report)) = &mut self.progress {
                report(input);
            }
            // Freed first, because the evaluation takes memory of its own.
            self.latest = None;
            let exact = self.evaluate(input, tensor)?;
            self.keep(input, exact);
        }
        Ok(match &self.latest {
            Some((name, exact)) if *name == input.name => exact,
            _ => &self.outputs[&input.name],
        })
    }

    /// Evaluates the graph and updates the magnitudes of its values.
    fn evaluate(&mut self, input: &ProofInput, tensor: ArrayView4<'_, f32>) -> Result<ExactOutput, ExactError> {
        let output_name = output_name(&self.graph);
        let (mut output, mut largest_magnitude) = (ArrayD::zeros(Vec::new()), 0.0_f64);
        let mut magnitudes = match input.is_image() {
            true => Some(&mut self.image_magnitudes),
            false => Some(&mut self.noise_magnitudes).filter(|_| input.is_ordinary()),
        };
        evaluate_each(&self.graph, &[(input_name(&self.graph), to_f64(tensor))], |value, array| {
            let Array::F64(array) = array else { return };
            let largest = array.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            largest_magnitude = largest_magnitude.max(largest);
            if let Some(magnitudes) = &mut magnitudes {
                let kept = magnitudes.entry(value.to_owned()).or_default();
                *kept = kept.max(largest);
            }
            if value == output_name {
                output = array.clone();
            }
        })?;
        let shape = output.shape().to_vec();
        let output = output.into_dimensionality::<Ix4>().map_err(|_| ExactError::Output { found: shape })?;
        Ok(ExactOutput { output, largest_magnitude })
    }

    /// Keeps an output for later calls: as the latest if it is an image's that the cache cannot
    /// hold.
    fn keep(&mut self, input: &ProofInput, exact: ExactOutput) {
        let bytes = exact.output.len() * size_of::<f64>();
        if !input.is_image() || bytes <= self.cache_bytes_left {
            self.cache_bytes_left -= if input.is_image() { bytes } else { 0 };
            self.outputs.insert(input.name.clone(), exact);
        } else {
            self.latest = Some((input.name.clone(), exact));
        }
    }

    /// Returns the largest error of the output if the graph is computed exactly and each value is
    /// then rounded to 32 bits. No computation in 32-bit floats can be blamed for that much.
    ///
    /// # Errors
    /// When the graph cannot be evaluated or the input does not fit.
    pub fn rounding_error(&self, input: ArrayView4<'_, f32>, exact: ArrayView4<'_, f64>) -> Result<f64, ExactError> {
        let output = output_name(&self.graph);
        let rounded = rounded_values(&self.graph, input, &[output])?;
        Ok(rounded.get(output).map_or(0.0, |rounded| largest_distance(rounded.view(), exact.into_dyn())))
    }

    /// Returns the largest magnitude of each value over all image files so far, or over the noise
    /// if there were none: noise may take values where no image does.
    pub fn magnitudes(&self) -> &BTreeMap<String, f64> {
        if self.image_magnitudes.is_empty() { &self.noise_magnitudes } else { &self.image_magnitudes }
    }
}

/// Returns by how many roundings of a scale `error` exceeds what is [`ORDINARY`], if it does.
///
/// `error` is that of [`ExactEvaluator::rounding_error`]. The error of a computation may be as many
/// times as large as usual.
pub fn amplification(error: f64, scale: f64) -> Option<f64> {
    Some(error / (scale * ROUNDING)).filter(|amplification| amplification.is_finite() && *amplification > ORDINARY)
}

/// Returns the name of a graph's input, which is empty for a graph without one.
pub(crate) fn input_name(graph: &Graph) -> &str {
    graph.inputs.first().map_or("", |input| &input.name)
}

fn output_name(graph: &Graph) -> &str {
    graph.outputs.first().map_or("", String::as_str)
}

/// Converts a tensor to 64-bit floats.
pub(crate) fn to_f64(input: ArrayView4<'_, f32>) -> ArrayD<f64> {
    input.mapv(f64::from).into_dyn()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use seg_contract::{InputForm, SizePolicy};

    use super::values::tests::gated;
    use super::*;
    use crate::threshold;

    #[test]
    fn outputs_of_image_files_are_kept_while_they_fit_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.png", "c.png"] {
            image::RgbImage::from_pixel(1, 1, image::Rgb([200, 100, 50])).save(folder.path().join(name)).unwrap();
        }
        let images = ProofInput::images(&[folder.path().to_owned()], None, InputForm::default()).unwrap();
        let mut expected = threshold::model(SizePolicy::Native).contract.input;
        expected.form.size = Some([1, 1]);
        let fixed = ProofInput::fixed(false, &expected).remove(0);
        let input = Array4::from_elem([1, 3, 1, 1], 0.5);
        let bytes = 3 * size_of::<f64>();
        for (name, room, kept) in
            [("none", 0, 0), ("for one and a half", bytes + bytes / 2, 1), ("for two", 2 * bytes, 2)]
        {
            let told = Rc::new(Cell::new(0));
            let watcher = told.clone();
            let mut evaluator = ExactEvaluator::new(&gated([0.5; 3], 0.1).unwrap())
                .with_image_cache(room)
                .with_progress(move |_| watcher.set(watcher.get() + 1));
            let mut ask = |proof_input| evaluator.output(proof_input, input.view()).unwrap().output.clone();
            let first: Vec<_> = images.iter().chain([&fixed]).map(&mut ask).collect();
            let again: Vec<_> = images.iter().chain([&fixed]).map(&mut ask).collect();
            assert_eq!(first, again, "{name}");
            assert_eq!(
                told.get(),
                4 + 3 - kept,
                "{name}: each input is reported once, and again if the cache could not hold it"
            );
            assert_eq!(evaluator.outputs.len(), kept + 1, "{name}");
            assert!(evaluator.outputs.contains_key(&fixed.name), "{name}");
        }
    }
}
