//! The network on whole images, by the same contract that a deployment follows.

use burn::tensor::{Device, Tensor, TensorData};
use image::{GrayImage, Rgb32FImage};
use ndarray::Ix3;
use seg_data::{Sample, SampleError};
use seg_onnx::contract::{Contract, Evaluation, EvaluationError, PostprocessError, PreprocessError};
use thiserror::Error;

use crate::model::AmsUnet;
use crate::weights::to_array;

/// Why an image cannot be evaluated.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// It cannot be loaded.
    #[error(transparent)]
    Load(#[from] SampleError),
    /// It cannot be given to the network.
    #[error("cannot prepare `{name}` for the network")]
    Preprocess {
        /// The sample.
        name: String,
        /// Why.
        source: PreprocessError,
    },
    /// The network's answer is no mask.
    #[error("cannot turn the network's answer for `{name}` into a mask")]
    Postprocess {
        /// The sample.
        name: String,
        /// Why.
        source: PostprocessError,
    },
    /// The mask cannot be compared with the truth.
    #[error("cannot score `{name}`")]
    Score {
        /// The sample.
        name: String,
        /// Why.
        source: EvaluationError,
    },
}

/// A network with its contract on a device without autodiff, ready to segment whole images.
pub struct Evaluator<'a> {
    /// The network, its running statistics merged.
    pub net: &'a AmsUnet,
    /// What it expects and means.
    pub contract: &'a Contract,
    /// Where it lies.
    pub device: &'a Device,
}

impl Evaluator<'_> {
    /// Runs the samples and counts their masks; `observe` sees each sample with its predicted mask.
    ///
    /// # Errors
    /// For the first sample that cannot be loaded, segmented or scored.
    pub fn run(
        &self,
        samples: &[Sample],
        mut observe: impl FnMut(&Sample, &GrayImage),
    ) -> Result<Evaluation, EvaluateError> {
        let mut evaluation = Evaluation::new(self.contract.classes.len());
        for sample in samples {
            let (image, truth) = sample.load()?;
            let mask = self.segment(&sample.name, &image)?;
            let name = sample.name.clone();
            evaluation.add(&mask, &truth).map_err(|source| EvaluateError::Score { name, source })?;
            observe(sample, &mask);
        }
        Ok(evaluation)
    }

    /// The mask of one image, at its own size; `name` is for errors.
    ///
    /// # Errors
    /// When the image is empty or the network is not the contract's.
    pub fn segment(&self, name: &str, image: &Rgb32FImage) -> Result<GrayImage, EvaluateError> {
        let input = self
            .contract
            .preprocess(image)
            .map_err(|source| EvaluateError::Preprocess { name: name.into(), source })?;
        let (channels, height, width) = input.tensor.dim();
        let data = TensorData::new(input.tensor.into_raw_vec_and_offset().0, [1, channels, height, width]);
        let logits: Tensor<3> = self.net.forward(Tensor::from_data(data, self.device)).squeeze_dim(0);
        let logits = to_array(logits).into_dimensionality::<Ix3>().expect("a rank-3 tensor is a rank-3 array");
        self.contract
            .postprocess(logits.view(), &input.geometry)
            .map_err(|source| EvaluateError::Postprocess { name: name.into(), source })
    }
}
