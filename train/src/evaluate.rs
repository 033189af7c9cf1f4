//! The network on whole images, by the same contract that a deployment follows.

use std::sync::mpsc::sync_channel;
use std::thread;

use burn::tensor::{Device, Tensor, TensorData};
use image::GrayImage;
use ndarray::{Array3, Ix3};
use seg_contract::{Contract, Evaluation, EvaluationError, Geometry, Pixels, PostprocessError, PreprocessError};
use seg_data::{Sample, SampleError};
use seg_nets::network::Network;
use seg_nets::weights::to_array;
use thiserror::Error;

/// The most images that are decoded at once ahead of the network: each is held whole.
const LOADERS_MAX: usize = 4;

/// An error in evaluating an image.
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
        /// The cause.
        source: PreprocessError,
    },
    /// The network's output is not a mask.
    #[error("cannot turn the network's answer for `{name}` into a mask")]
    Postprocess {
        /// The sample.
        name: String,
        /// The cause.
        source: PostprocessError,
    },
    /// The mask cannot be compared with the truth.
    #[error("cannot score `{name}`")]
    Score {
        /// The sample.
        name: String,
        /// The cause.
        source: EvaluationError,
    },
}

/// A network with its contract on a device without autodiff, ready to segment whole images.
pub struct Evaluator<'a> {
    /// The network, its running statistics merged.
    pub net: &'a Network,
    /// The contract of its input and output.
    pub contract: &'a Contract,
    /// The device that it lies on.
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
        thread::scope(|scope| {
            let loaders = thread::available_parallelism().map_or(1, usize::from).min(LOADERS_MAX);
            let loaded: Vec<_> = (0..loaders)
                .map(|first| {
                    let (sender, receiver) = sync_channel(0);
                    // Nobody receives any more where a sample before could not be evaluated.
                    scope.spawn(move || {
                        samples
                            .iter()
                            .skip(first)
                            .step_by(loaders)
                            .try_for_each(|sample| sender.send(sample.load_sized()))
                    });
                    receiver
                })
                .collect();
            for (sample, receiver) in samples.iter().zip(loaded.iter().cycle()) {
                let (image, truth, spacing) = receiver.recv().expect("a loader ends after its last sample")?;
                let mask = self.segment(&sample.name, Pixels::from(&image).with_spacing(spacing))?;
                let name = sample.name.clone();
                evaluation.add(&mask, &truth).map_err(|source| EvaluateError::Score { name, source })?;
                observe(sample, &mask);
            }
            Ok(evaluation)
        })
    }

    /// Computes the mask of one image, at its own size; `name` is for errors.
    ///
    /// # Errors
    /// When the image is empty, lacks the spacing that the contract asks for, or the network is not
    /// the contract's.
    pub fn segment(&self, name: &str, image: Pixels<'_>) -> Result<GrayImage, EvaluateError> {
        let (logits, geometry) = self.logits(name, image)?;
        self.contract
            .postprocess(logits.view(), &geometry)
            .map_err(|source| EvaluateError::Postprocess { name: name.into(), source })
    }

    /// Computes the probability of each class at each pixel of one image, `[classes, height,
    /// width]`; `name` is for errors.
    ///
    /// # Errors
    /// As [`segment`](Self::segment).
    pub fn probabilities(&self, name: &str, image: Pixels<'_>) -> Result<Array3<f32>, EvaluateError> {
        let (logits, geometry) = self.logits(name, image)?;
        self.contract
            .probabilities(logits.view(), &geometry)
            .map_err(|source| EvaluateError::Postprocess { name: name.into(), source })
    }

    /// Computes the network's output for an image, and where the image lies in it.
    fn logits(&self, name: &str, image: Pixels<'_>) -> Result<(Array3<f32>, Geometry), EvaluateError> {
        let input = self
            .contract
            .preprocess(image)
            .map_err(|source| EvaluateError::Preprocess { name: name.into(), source })?;
        let (channels, height, width) = input.tensor.dim();
        let data = TensorData::new(input.tensor.into_raw_vec_and_offset().0, [1, channels, height, width]);
        let logits: Tensor<3> = self.net.forward(Tensor::from_data(data, self.device)).squeeze_dim(0);
        let logits = to_array(logits).into_dimensionality::<Ix3>().expect("a rank-3 tensor is a rank-3 array");
        Ok((logits, input.geometry))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{Luma, Rgb, RgbImage};
    use seg_data::{Dataset, write_mask_png, write_png};
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::network::NetworkConfig;

    use super::*;
    use crate::data::augment::Augmentation;
    use crate::run::config::Config;

    #[test]
    fn samples_are_seen_in_order_up_to_the_first_that_cannot_be_loaded() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["images", "masks"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for number in 0..9u8 {
            // Later images, which are smaller, are decoded sooner than earlier ones.
            let side = 16 * (10 - u32::from(number));
            let mask = GrayImage::from_fn(side, side, |x, _| Luma([u8::from(2 * x > side)]));
            let image = RgbImage::from_pixel(side, side, Rgb([number; 3]));
            write_png(&folder.path().join(format!("images/{number}.png")), &image).unwrap();
            write_mask_png(&folder.path().join(format!("masks/{number}.png")), &mask, &[[0; 3], [255; 3]]).unwrap();
        }
        let Dataset { train: samples, classes, .. } = Dataset::open(folder.path()).unwrap();
        let network = NetworkConfig::from(AmsUnetConfig::new().with_base_width(4));
        let device = Device::flex();
        let net = network.init(&device);
        let config = Config::recipe(folder.path().into(), network, Augmentation::none(None, [16, 16]));
        let contract = config.contract(classes);
        let evaluator = Evaluator { net: &net, contract: &contract, device: &device };
        let names: Vec<_> = samples.iter().map(|sample| sample.name.clone()).collect();
        for (name, gone, seen) in [("all are there", None, 9), ("one is gone", Some(5), 5)] {
            if let Some(gone) = gone {
                fs::remove_file(folder.path().join(format!("masks/{gone}.png"))).unwrap();
            }
            let mut found = Vec::new();
            let done = evaluator.run(&samples, |sample, mask| {
                assert_eq!(mask.width(), 16 * (10 - sample.name.parse::<u32>().unwrap()), "{name}");
                found.push(sample.name.clone());
            });
            assert_eq!(found, names[..seen], "{name}");
            let message = done.err().map(|error| error.to_string());
            assert_eq!(message.map(|text| text.contains("5.png")), gone.map(|_| true), "{name}");
        }
    }
}
