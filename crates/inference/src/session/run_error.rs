//! The reasons for which a model cannot be run.

use thiserror::Error;

use crate::provider::{Options, Provider, ProviderError, Shapes, diagnose};

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
    pub(super) fn from_ort(options: &Options, shape: [usize; 4], source: ort::Error) -> Self {
        match diagnose(options, source) {
            ProviderError::Other { source } => Self::Run { shape, source },
            source => Self::Provider { provider: options.provider, source },
        }
    }
}
