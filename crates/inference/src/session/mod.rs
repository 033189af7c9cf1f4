//! A model that is opened for running: from tensors to tensors.

mod cuda_graphs;
mod edges;
mod graph_input;
mod opening;
mod placement;
mod reading;
mod run;
mod run_error;
mod runs_on;
mod second;

pub(crate) use graph_input::GraphInput;
pub use graph_input::GraphTensor;
pub use opening::{OPTIMIZATION, OpenError};
pub use placement::{PlacedNode, Placement, PlacementError};
pub use reading::{Runnable, change_warning, parse_model, read_contract, read_model, runnable};
pub use run::ModelOutput;
pub use run_error::RunError;
pub use runs_on::RunsOn;

use std::path::Path;
use std::time::Instant;

use opening::{File, Opened};
use ort::environment::Environment;
use ort::memory::AllocationDevice;
use seg_contract::Contract;
use seg_onnx::Model;

use crate::fused::Fused;
use crate::model_file::ModelFile;
use crate::provider::{Options, Provider, RuntimeCache, Shapes};
use crate::session::cuda_graphs::CudaGraphs;
use crate::session::reading::{External, read, read_external};
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
}

#[cfg(test)]
mod tests {
    use crate::threshold;
    use ndarray::Array4;
    use seg_contract::{Element, InputForm, OutputKind};

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
