//! A model that is opened for running: from tensors to tensors.

mod cuda_graphs;
mod edges;
mod opening;
mod placement;
mod second;

pub use opening::{
    OPTIMIZATION, OpenError, Runnable, RunsOn, change_warning, parse_model, read_contract, read_model, runnable,
};
pub use placement::{PlacedNode, Placement, PlacementError};

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use ndarray::{
    Array, Array3, Array4, ArrayD, ArrayView4, ArrayViewD, Axis, CowArray, Dimension, Ix4, RemoveAxis, concatenate,
};
use opening::{External, File, Opened, read, read_external};
use ort::environment::Environment;
use ort::memory::AllocationDevice;
use ort::session::{RunOptions, SessionInputValue};
use ort::value::{DynTensor, PrimitiveTensorElementType, TensorRef};
use seg_contract::{Contract, Element, Input, OutputKind};
use seg_onnx::Model;
use thiserror::Error;

use crate::fused::{Fused, Output};
use crate::model_file::ModelFile;
use crate::provider::{Options, Provider, ProviderError, RuntimeCache, Shapes, diagnose};
use crate::session::cuda_graphs::{CudaGraphs, uncaptured};
use crate::session::second::{Sizes, Source, symbols};

/// A model that is ready to run on one provider.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    file: ModelFile,
    cuda_graphs: Option<CudaGraphs>,
    contract: Contract,
    shapes: Option<Shapes>,
    placement: Placement,
    runs_on: RunsOn,
    change_warning: Option<String>,
    options: Options,
    /// The shapes that have come, where a session for one of them may be faster.
    sizes: Option<Sizes>,
    /// Dropped after the session, which leaves files in it.
    _cache: Option<RuntimeCache>,
}

/// The part of a session that computes.
#[derive(Debug)]
pub(crate) enum Engine {
    /// A provider of ONNX Runtime.
    OnnxRuntime(ort::session::Session),
    /// The project's own kernels.
    Fused(Box<Fused>),
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

/// The output of a model for a batch of images, of the kind that its contract names.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelOutput {
    /// Logits or probabilities, `[n, classes, h, w]`.
    Scores(Array4<f32>),
    /// The class of each pixel, `[n, h, w]`.
    Masks(Array3<u8>),
}

/// The reason for which a model cannot be run.
#[derive(Debug, Error)]
pub enum RunError {
    /// ONNX Runtime fails.
    #[error("cannot run the model on an input of shape {shape:?}")]
    Run {
        /// The shape of the input.
        shape: [usize; 4],
        /// The cause.
        source: ort::Error,
    },
    /// The provider cannot be used, which it reports only when it runs.
    #[error("cannot run the model with {provider}")]
    Provider {
        /// The provider.
        provider: Provider,
        /// The cause.
        source: ProviderError,
    },
    /// The model gives masks where scores are needed.
    #[error("the model gives masks and no scores of the classes; export it with `--output logits` or `probabilities`")]
    NoScores,
    /// The engine was built for other inputs.
    #[error(
        "an input of shape {shape:?} lies outside {shapes}, for which the engine is built; choose other `--shapes`, or \
         `--tile`"
    )]
    Outside {
        /// The shape of the input.
        shape: [usize; 4],
        /// The shapes that the engine takes.
        shapes: Box<Shapes>,
    },
    /// The kernels take no such input.
    #[error("cannot run the model on an input of shape {shape:?}: it takes {expected}")]
    Input {
        /// The shape of the input.
        shape: [usize; 4],
        /// The description of what the network takes.
        expected: String,
    },
    /// The output is not a batch of images.
    #[error("the model's output has shape {found:?}, expected a batch of {batch}")]
    Shape {
        /// The shape found.
        found: Vec<usize>,
        /// The size of the batch of inputs.
        batch: usize,
    },
}

impl RunError {
    /// Makes the error for a failure of ONNX Runtime: about the provider if its message says so.
    fn from_ort(options: &Options, shape: [usize; 4], source: ort::Error) -> Self {
        match diagnose(options, source) {
            ProviderError::Other { source } => Self::Run { shape, source },
            source => Self::Provider { provider: options.provider, source },
        }
    }
}

/// The session as a list of one.
impl AsRef<[Self]> for Session {
    fn as_ref(&self) -> &[Self] {
        std::slice::from_ref(self)
    }
}

impl Session {
    /// Opens a model file.
    ///
    /// # Errors
    /// When the file is not a model of this toolchain, or the provider that `options` ask for
    /// cannot run all of it.
    pub fn open(environment: &Environment, path: &Path, options: &Options) -> Result<Self, OpenError> {
        let bytes = read(path)?;
        let model = runnable(path, &bytes)?;
        // A graph that was read holds its weights.
        let external = if model.graph.is_some() { Vec::new() } else { read_external(path, &bytes)? };
        Self::start_runnable(environment, path, &bytes, &external, model, options)
    }

    /// Opens a model whose file has the given bytes; `path` is its name in errors.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn start(
        environment: &Environment,
        path: &Path,
        bytes: &[u8],
        model: Model,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let warning = change_warning(path, bytes, &model);
        let model = Runnable { contract: model.contract, graph: Some(model.graph), warning };
        Self::start_runnable(environment, path, bytes, &[], model, options)
    }

    fn start_runnable(
        environment: &Environment,
        path: &Path,
        bytes: &[u8],
        external: &[External],
        model: Runnable,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let start = Instant::now();
        let file = ModelFile::with_external(path, bytes, external.iter().map(|external| &*external.bytes));
        let Runnable { contract, graph, warning: change_warning } = model;
        let opened =
            File { environment, path, bytes, external, contract: &contract, graph: graph.as_ref() }.open(options)?;
        let Opened { engine, placement, runs_on, options, cache } = opened;
        let cuda_graphs = options
            .cuda_graph
            .then(|| CudaGraphs::new(AllocationDevice::CUDA, options.device_id.unwrap_or(0).cast_signed()));
        let symbols = graph.as_ref().map(|graph| symbols(graph, contract.input.form.element)).unwrap_or_default();
        let pixels_max = options.one_shape_pixels_max;
        let gains = options.provider.spec().gains_from_one_size && pixels_max > 0;
        let sizes = (gains && !symbols.is_empty()).then(|| {
            let (environment, path, external) = (environment.clone(), path.to_owned(), external.to_vec());
            Sizes::new(
                Source { environment, path, bytes: bytes.to_vec(), external, symbols },
                start.elapsed(),
                pixels_max,
            )
        });
        let shapes = options.provider.spec().builds_engine.then(|| options.shapes(&contract.input));
        Ok(Self {
            engine,
            file,
            cuda_graphs,
            contract,
            shapes,
            placement,
            runs_on,
            change_warning,
            options,
            sizes,
            _cache: cache,
        })
    }

    /// Returns the file, identified by the bytes that were opened.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }

    /// Returns what the model expects and means.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Returns the provider that computes the model.
    pub fn provider(&self) -> Provider {
        self.runs_on.provider
    }

    /// Returns the options as requested, or, after a fallback, those of the provider that replaced
    /// the requested one.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Returns the provider that computes the model, and the reasons against others.
    pub fn runs_on(&self) -> &RunsOn {
        &self.runs_on
    }

    /// Lists notes for the user: on the provider, and on a model that was changed after its export.
    pub fn notes(&self) -> Vec<String> {
        self.runs_on.notes().into_iter().chain(self.change_warning.clone()).collect()
    }

    /// Returns the shapes that TensorRT's engine takes, if there is one.
    pub(crate) fn shapes(&self) -> Option<Shapes> {
        self.shapes
    }

    /// Returns the provider of each node.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

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

/// Images in the form that a graph takes, from outside of this program.
#[derive(Clone, Debug, PartialEq)]
pub enum GraphTensor {
    /// Normalised floats, `[n, channels, h, w]`.
    Floats(Array4<f32>),
    /// Bytes, `[n, h, w, channels]`.
    Bytes(Array4<u8>),
}

/// Normalised images in the form that a graph takes.
pub(crate) enum GraphInput<'a> {
    Floats(CowArray<'a, f32, Ix4>),
    Bytes(CowArray<'a, u8, Ix4>),
}

impl<'a> GraphInput<'a> {
    fn new(images: ArrayView4<'a, f32>, expected: &Input) -> Self {
        match expected.form.element {
            Element::Float if images.is_standard_layout() => Self::Floats(images.into()),
            Element::Float => Self::Floats(images.as_standard_layout().into_owned().into()),
            Element::U8 => Self::Bytes(expected.to_bytes(images).into()),
        }
    }

    fn tensor(&self) -> ort::Result<SessionInputValue<'_>> {
        Ok(match self {
            Self::Floats(images) => TensorRef::from_array_view(images.view())?.into(),
            Self::Bytes(images) => TensorRef::from_array_view(images.view())?.into(),
        })
    }

    /// Writes the images to a tensor of their shape in memory.
    pub(crate) fn fill(&self, tensor: &mut DynTensor) -> ort::Result<()> {
        match self {
            Self::Floats(images) => tensor.try_extract_array_mut()?.assign(images),
            Self::Bytes(images) => tensor.try_extract_array_mut()?.assign(images),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::threshold;
    use seg_contract::InputForm;

    use super::*;
    use crate::library::tests::environment;

    /// Tests on the processor in place of a GPU: it replays nothing, but inputs and outputs have
    /// one place per shape as well.
    #[test]
    fn a_captured_run_answers_each_batch_of_its_shape() {
        let folder = tempfile::tempdir().unwrap();
        for (element, kind) in [
            (Element::Float, OutputKind::Logits),
            (Element::U8, OutputKind::Probabilities),
            (Element::Float, OutputKind::Mask),
            (Element::U8, OutputKind::Mask),
        ] {
            let path = threshold::write_as(folder.path(), InputForm { element, ..InputForm::default() }, kind);
            let open = || Session::open(environment(), &path, &Options::default()).unwrap();
            let (mut plain, mut session) = (open(), open());
            session.cuda_graphs = Some(CudaGraphs::new(AllocationDevice::CPU, 0));
            // Four shapes are captured, and each runs again; the last two are not.
            for (round, side) in [8, 9, 10, 8, 11, 9, 12, 13].into_iter().enumerate() {
                let shape = (1 + side % 2, 3, side, 2 * side);
                let batch = Array4::from_shape_fn(shape, |(n, _, y, x)| {
                    ((n + 3 * y + 5 * x + 7 * round) % 11) as f32 / 5.0 - 1.0
                });
                let (expected, found) = (plain.infer(batch.view()).unwrap(), session.infer(batch.view()).unwrap());
                assert_eq!(found, expected, "{element:?} {kind:?} {shape:?}");
            }
            // Two shapes with one number would replay each other's kernels on a GPU, and 0 is ONNX
            // Runtime's own.
            let graph = |session: &mut Session, side| {
                let Session { engine: Engine::OnnxRuntime(session), cuda_graphs, contract, .. } = session else {
                    panic!("the CPU is a provider of ONNX Runtime");
                };
                let shape = [1 + side % 2, 3, side, 2 * side];
                cuda_graphs
                    .as_mut()
                    .unwrap()
                    .get_or_capture(session, contract, shape)
                    .unwrap()
                    .map(|graph| graph.number())
            };
            let found = [8, 9, 10, 11, 12, 13].map(|side| graph(&mut session, side));
            assert_eq!(found, [Some(1), Some(2), Some(3), Some(4), None, None], "{element:?} {kind:?}");
        }
    }
}
