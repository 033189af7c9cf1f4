//! A model file, opened for running.

use std::{
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use ndarray::{Array4, ArrayView4, Ix4};
use ort::{
    environment::Environment,
    session::builder::{AutoDevicePolicy, SessionBuilder},
    value::TensorRef,
};
use seg_onnx::{
    Model, ModelError,
    contract::{Contract, SizePolicy},
};
use thiserror::Error;

use crate::{
    placement::{self, PlacementError, RECORD_PLACEMENT},
    provider::{Provider, ProviderError},
};

/// How a model is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What computes it.
    pub provider: Provider,
    /// The number of CPU threads that one operator may use; one per core unless it is given.
    pub threads: Option<NonZeroUsize>,
    /// The folder in which TensorRT keeps its engines; without it, it builds one in each session.
    pub engines: Option<PathBuf>,
}

/// A model that is ready to run on one provider.
#[derive(Debug)]
pub struct Session {
    session: ort::session::Session,
    model: Model,
    provider: Provider,
}

/// Why a model file cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("cannot read the model `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a model of this toolchain.
    #[error("cannot use `{path}` as a model written by `export`")]
    Model {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<ModelError>,
    },
    /// The provider cannot be used.
    #[error("cannot load `{path}` with {provider}")]
    Provider {
        /// The file.
        path: PathBuf,
        /// The provider.
        provider: Provider,
        /// Why.
        source: ProviderError,
    },
    /// ONNX Runtime refuses the model.
    #[error("ONNX Runtime cannot load `{path}`")]
    Session {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ort::Error,
    },
    /// The provider leaves nodes to another one.
    #[error("cannot run all of `{path}` with {provider}")]
    Placement {
        /// The file.
        path: PathBuf,
        /// The provider.
        provider: Provider,
        /// Which nodes.
        source: PlacementError,
    },
}

/// Why a model cannot be run.
#[derive(Debug, Error)]
pub enum RunError {
    /// ONNX Runtime fails.
    #[error("cannot run the model on an input of shape {shape:?}")]
    Run {
        /// The shape of the input.
        shape: [usize; 4],
        /// Why.
        source: ort::Error,
    },
    /// The output is no batch of images.
    #[error("the model's output has shape {found:?}, expected [{batch}, classes, height, width]")]
    Shape {
        /// The shape that came.
        found: Vec<usize>,
        /// The size of the batch that went in.
        batch: usize,
    },
}

/// Reads a model file and its contract, without ONNX Runtime.
///
/// # Errors
/// When the file cannot be read or is not one that this toolchain wrote.
pub fn read_model(path: &Path) -> Result<Model, OpenError> {
    Ok(read(path)?.1)
}

/// The bytes of a model file and the model.
fn read(path: &Path) -> Result<(Vec<u8>, Model), OpenError> {
    let bytes = fs::read(path).map_err(|source| OpenError::Read { path: path.into(), source })?;
    let model =
        Model::from_bytes(&bytes).map_err(|source| OpenError::Model { path: path.into(), source: source.into() })?;
    Ok((bytes, model))
}

impl Session {
    /// Opens a model file.
    ///
    /// # Errors
    /// When the file is not a model of this toolchain, or the provider that `options` ask for cannot run all of it.
    pub fn open(environment: &Environment, path: &Path, options: &Options) -> Result<Self, OpenError> {
        let (bytes, model) = read(path)?;
        let provider = options.provider;
        let refused = |source| OpenError::Session { path: path.into(), source };
        let builder = configure(environment, &model.contract, options).map_err(refused)?;
        let unusable = |source| OpenError::Provider { path: path.into(), provider, source };
        let mut builder = provider.register(builder, &bytes, options.engines.as_deref()).map_err(unusable)?;
        // CUDA and TensorRT meet the driver only now.
        let session = builder.commit_from_memory(&bytes).map_err(|error| match provider.diagnose(error) {
            ProviderError::Other { source } => refused(source),
            source => unusable(source),
        })?;
        placement::check(&session, provider, &model.graph).map_err(|source| OpenError::Placement {
            path: path.into(),
            provider,
            source,
        })?;
        Ok(Self { session, model, provider })
    }

    /// What the model expects and means.
    pub fn contract(&self) -> &Contract {
        &self.model.contract
    }

    /// What computes the model.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The model's output for a batch: `[n, channels, h, w]` to `[n, classes, h, w]`.
    ///
    /// # Errors
    /// When the model does not take the input's shape, or the provider fails.
    pub fn run(&mut self, input: ArrayView4<'_, f32>) -> Result<Array4<f32>, RunError> {
        let shape: [usize; 4] = input.dim().into();
        let failed = |source| RunError::Run { shape, source };
        let input = input.as_standard_layout();
        let tensor = TensorRef::from_array_view(input.view()).map_err(failed)?;
        let Contract { input: expected, output, .. } = &self.model.contract;
        let outputs = self.session.run(ort::inputs![expected.name.as_str() => tensor]).map_err(failed)?;
        let found = outputs[output.name.as_str()].try_extract_array::<f32>().map_err(failed)?;
        match found.view().into_dimensionality::<Ix4>() {
            Ok(images) if images.dim().0 == shape[0] => Ok(images.to_owned()),
            _ => Err(RunError::Shape { found: found.shape().to_vec(), batch: shape[0] }),
        }
    }
}

/// A session builder with everything but the provider.
fn configure(environment: &Environment, contract: &Contract, options: &Options) -> ort::Result<SessionBuilder> {
    let mut builder = ort::session::Session::builder(environment)?
        // No policy of ONNX Runtime may add a provider that nobody asked for.
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_config_entry(RECORD_PLACEMENT, "1")?
        // A memory plan is kept for each size of input, so it pays where there is one size.
        .with_memory_pattern(matches!(contract.input.size, SizePolicy::Resize { .. }))?;
    if let Some(threads) = options.threads {
        builder = builder.with_intra_threads(threads.get())?;
    }
    Ok(builder)
}
