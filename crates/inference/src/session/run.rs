//! Runs a session on batches of images, in its first or second session of ONNX Runtime or on the
//! kernels.

use std::collections::BTreeMap;
use std::time::Instant;

use ndarray::{Array, Array3, Array4, ArrayD, ArrayView4, ArrayViewD, Axis, Dimension, RemoveAxis, concatenate};
use ort::session::RunOptions;
use ort::value::PrimitiveTensorElementType;
use seg_contract::{Contract, OutputKind};

use super::cuda_graphs::uncaptured;
use super::graph_input::{GraphInput, GraphTensor};
use super::run_error::RunError;
use super::{Engine, Session};
use crate::fused::Output;

/// The output of a model for a batch of images, of the kind that its contract names.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelOutput {
    /// Logits or probabilities, `[n, classes, h, w]`.
    Scores(Array4<f32>),
    /// The class of each pixel, `[n, h, w]`.
    Masks(Array3<u8>),
}

/// A type of a model's outputs.
trait Number: PrimitiveTensorElementType + Clone + PartialEq {
    /// Returns the kernels' output if it is of this type.
    fn from_fused(output: Output) -> Option<ArrayD<Self>>;
}

impl Number for f32 {
    fn from_fused(output: Output) -> Option<ArrayD<Self>> {
        match output {
            Output::Floats(values) => Some(values),
            Output::Bytes(_) => None,
        }
    }
}

impl Number for u8 {
    fn from_fused(output: Output) -> Option<ArrayD<Self>> {
        match output {
            Output::Floats(_) => None,
            Output::Bytes(values) => Some(values),
        }
    }
}

impl Session {
    /// Runs the model on a batch of normalised images, `[n, channels, h, w]`.
    ///
    /// The input is always normalised floats of any batch size, whatever form the graph takes.
    ///
    /// # Errors
    /// When the model does not take the input's shape, or the provider fails.
    pub fn infer(&mut self, input: ArrayView4<'_, f32>) -> Result<ModelOutput, RunError> {
        match self.contract().output.kind {
            OutputKind::Logits | OutputKind::Probabilities => self.run_as(input).map(ModelOutput::Scores),
            OutputKind::Mask => self.run_as(input).map(ModelOutput::Masks),
        }
    }

    /// Runs the model for the scores of a batch of normalised images, `[n, channels, h, w]` to `[n,
    /// classes, h, w]`.
    ///
    /// # Errors
    /// As [`infer`](Self::infer), and when the model gives masks.
    pub fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>, RunError> {
        match self.infer(input)? {
            ModelOutput::Scores(scores) => Ok(scores),
            ModelOutput::Masks(_) => Err(RunError::NoScores),
        }
    }

    /// Runs the model on a batch in the form that its graph takes, without normalising it.
    ///
    /// # Errors
    /// When the graph takes another form, batch or size, or the provider fails.
    pub fn infer_graph(&mut self, input: &GraphTensor) -> Result<ModelOutput, RunError> {
        let (fed, shape) = match input {
            GraphTensor::Floats(images) => (GraphInput::Floats(images.view().into()), images.dim().into()),
            GraphTensor::Bytes(images) => {
                let (n, height, width, channels) = images.dim();
                (GraphInput::Bytes(images.view().into()), [n, channels, height, width])
            }
        };
        match self.contract().output.kind {
            OutputKind::Logits | OutputKind::Probabilities => self.run_fed(&fed, shape).map(ModelOutput::Scores),
            OutputKind::Mask => self.run_fed(&fed, shape).map(ModelOutput::Masks),
        }
    }

    /// Runs a batch of any size: at once, or in several batches if the graph takes a single batch
    /// size.
    fn run_as<T: Number, D: RemoveAxis>(&mut self, input: ArrayView4<'_, f32>) -> Result<Array<T, D>, RunError> {
        let n = input.len_of(Axis(0));
        let Some(batch) = self.contract().input.form.batch.filter(|batch| *batch != n && n > 0) else {
            return self.run_whole(input);
        };
        let mut parts: Vec<Array<T, D>> = Vec::new();
        for images in input.axis_chunks_iter(Axis(0), batch) {
            let missing = batch - images.len_of(Axis(0));
            // The images that fill the last batch are computed like the others and cut off.
            let last = images.index_axis(Axis(0), images.len_of(Axis(0)) - 1).insert_axis(Axis(0));
            let filled = concatenate(Axis(0), &[vec![images], vec![last; missing]].concat());
            let filled = filled.expect("the images are parts of one tensor");
            let mut output = self.run_whole(filled.view())?;
            output.slice_axis_inplace(Axis(0), (..batch - missing).into());
            parts.push(output);
        }
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        Ok(concatenate(Axis(0), &views).expect("the graph gives images of one size for images of one size"))
    }

    /// Runs a batch of a size that the graph takes.
    fn run_whole<T: Number, D: Dimension>(&mut self, input: ArrayView4<'_, f32>) -> Result<Array<T, D>, RunError> {
        let shape: [usize; 4] = input.dim().into();
        let fed = GraphInput::new(input, &self.contract.input);
        self.run_fed(&fed, shape)
    }

    /// Runs a batch in the graph's own form; `shape` is that of the images, `[n, channels, h, w]`.
    fn run_fed<T: Number, D: Dimension>(
        &mut self,
        fed: &GraphInput<'_>,
        shape: [usize; 4],
    ) -> Result<Array<T, D>, RunError> {
        if let Some(shapes) = self.shapes.filter(|shapes| !shapes.contain(shape)) {
            return Err(RunError::Outside { shape, shapes: shapes.into() });
        }
        let options = &self.options;
        let failed = |source| RunError::from_ort(options, shape, source);
        let Contract { input: expected, output, .. } = &self.contract;
        let session = match &mut self.engine {
            Engine::OnnxRuntime(session) => session,
            Engine::Fused(fused) => {
                if let Some(expected) = fused.refuse(shape) {
                    return Err(RunError::Input { shape, expected });
                }
                let output = T::from_fused(fused.run(fed)).expect("the graph keeps the contract's kind of output");
                return images(output.view(), shape[0]);
            }
        };
        let graph = match &mut self.cuda_graphs {
            Some(graphs) => graphs.get_or_capture(session, &self.contract, shape).map_err(failed)?,
            None => None,
        };
        if let Some(graph) = graph {
            return images(graph.run(session, fed).map_err(failed)?, shape[0]);
        }
        let mut options = uncaptured().map_err(failed)?;
        let run = |session: &mut ort::session::Session, options: &RunOptions| {
            let inputs = ort::inputs![expected.name.as_str() => fed.tensor().map_err(failed)?];
            let outputs = session.run_with_options(inputs, options).map_err(failed)?;
            images(outputs[output.name.as_str()].try_extract_array().map_err(failed)?, shape[0])
        };
        let start = Instant::now();
        let Some(sizes) = &mut self.sizes else { return run(session, &options) };
        if let Some(second) = sizes.session(shape) {
            let output = run(second, &options)?;
            sizes.ran_in_second(start.elapsed());
            return Ok(output);
        }
        if sizes.frees_memory(shape) {
            options.set("memory.enable_memory_arena_shrinkage", "cpu:0").map_err(failed)?;
        }
        let output = run(session, &options)?;
        let time = start.elapsed();
        if sizes.is_due(shape) {
            let opened = sizes.open(shape, &self.contract, &self.options);
            match opened.map(|mut second| (run(&mut second, &options), second)) {
                Ok((Ok(again), second)) if again == output => sizes.add(second, shape),
                // The first session computes the same, only slower.
                Ok(_) | Err(_) => sizes.refuse(shape),
            }
        } else {
            sizes.ran_in_first(shape, time);
        }
        Ok(output)
    }

    /// Runs a batch `[n, channels, h, w]` and returns all outputs that are 32-bit floats, by name;
    /// a file may have more of them than its contract names.
    ///
    /// # Errors
    /// When the model does not take the input's shape, or the provider fails.
    pub fn values(&mut self, input: ArrayView4<'_, f32>) -> Result<BTreeMap<String, ArrayD<f32>>, RunError> {
        let shape: [usize; 4] = input.dim().into();
        let failed = |source| RunError::Run { shape, source };
        let expected = &self.contract.input;
        let fed = GraphInput::new(input, expected);
        let session = match &mut self.engine {
            Engine::OnnxRuntime(session) => session,
            Engine::Fused(fused) => {
                return match fused.refuse(shape) {
                    Some(expected) => Err(RunError::Input { shape, expected }),
                    None => Ok(fused.values(&fed).into_iter().collect()),
                };
            }
        };
        let inputs = ort::inputs![expected.name.as_str() => fed.tensor().map_err(failed)?];
        let options = uncaptured().map_err(failed)?;
        let outputs = session.run_with_options(inputs, &options).map_err(failed)?;
        let floats = outputs.iter().filter_map(|(name, value)| {
            let values = value.try_extract_array::<f32>().ok()?;
            Some((name.to_owned(), values.to_owned()))
        });
        Ok(floats.collect())
    }
}

/// Converts an output to a batch of `batch` images.
fn images<T: Clone, D: Dimension>(output: ArrayViewD<'_, T>, batch: usize) -> Result<Array<T, D>, RunError> {
    match output.view().into_dimensionality::<D>() {
        Ok(images) if images.len_of(Axis(0)) == batch => Ok(images.to_owned()),
        _ => Err(RunError::Shape { found: output.shape().to_vec(), batch }),
    }
}
