//! Batches of augmented images, made ready ahead of the device.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use burn::tensor::{Device, Int, Tensor, TensorData};
use image::imageops::{self, FilterType};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use seg_data::{Sample, SampleError};
use seg_onnx::contract::{Input, SizePolicy};

use crate::augment::Augmentation;

/// How many batches wait ahead of the device.
const AHEAD: usize = 2;

/// What the batches of a run are made from.
#[derive(Clone, Debug)]
pub struct Loader {
    /// The images to learn from.
    pub samples: Vec<Sample>,
    /// How an image becomes the network's input.
    pub input: Input,
    /// The random views.
    pub augmentation: Augmentation,
    /// Images per batch; the last batch of an epoch may hold fewer.
    pub batch_size: usize,
    /// With the epoch and the image, what every random number follows from.
    pub seed: u64,
}

/// Images and labels of one step, in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[n, channels, h, w]`, normalised.
    pub images: TensorData,
    /// `[n, h, w]`
    pub labels: TensorData,
    /// The images' names.
    pub names: Vec<String>,
}

impl Batch {
    /// The batch on a device.
    pub fn to_device(self, device: &Device) -> (Tensor<4>, Tensor<3, Int>) {
        (Tensor::from_data(self.images, device), Tensor::from_data(self.labels, device))
    }
}

impl Loader {
    /// The steps of an epoch.
    pub fn steps(&self) -> usize {
        self.samples.len().div_ceil(self.batch_size)
    }

    /// The batches of an epoch, made in a thread of their own; the same epoch always gives the same batches.
    ///
    /// A sample that cannot be loaded ends them with its error.
    pub fn epoch(self: &Arc<Self>, epoch: usize) -> Receiver<Result<Batch, SampleError>> {
        let (sender, receiver) = sync_channel(AHEAD);
        let loader = Arc::clone(self);
        thread::spawn(move || {
            let mut order: Vec<usize> = (0..loader.samples.len()).collect();
            order.shuffle(&mut loader.rng(epoch, usize::MAX));
            for indices in order.chunks(loader.batch_size) {
                let batch = loader.batch(epoch, indices);
                let failed = batch.is_err();
                // The receiver is gone when training has stopped early; nobody waits for the rest then.
                if sender.send(batch).is_err() || failed {
                    break;
                }
            }
        });
        receiver
    }

    fn batch(&self, epoch: usize, indices: &[usize]) -> Result<Batch, SampleError> {
        let views: Vec<(Vec<f32>, Vec<u8>)> =
            indices.par_iter().map(|index| self.view(epoch, *index)).collect::<Result<_, _>>()?;
        let [height, width] = self.augmentation.crop.map(|side| side as usize);
        let shape = [views.len(), self.input.color.channels(), height, width];
        let (images, labels): (Vec<_>, Vec<_>) = views.into_iter().unzip();
        let labels: Vec<i32> = labels.concat().into_iter().map(i32::from).collect();
        Ok(Batch {
            images: TensorData::new(images.concat(), shape),
            labels: TensorData::new(labels, [shape[0], height, width]),
            names: indices.iter().map(|index| self.samples[*index].name.clone()).collect(),
        })
    }

    /// One augmented image, normalised, and its labels.
    fn view(&self, epoch: usize, index: usize) -> Result<(Vec<f32>, Vec<u8>), SampleError> {
        let (mut image, mut labels) = self.samples[index].load()?;
        if let SizePolicy::Resize { height, width } = self.input.size {
            let (width, height) = (width as u32, height as u32);
            image = imageops::resize(&image, width, height, FilterType::Triangle);
            labels = imageops::resize(&labels, width, height, FilterType::Nearest);
        }
        let (image, labels) = self.augmentation.view(&image, &labels, &mut self.rng(epoch, index));
        let tensor = self.input.normalize(&image, self.augmentation.crop.map(|side| side as usize));
        Ok((tensor.into_raw_vec_and_offset().0, labels.into_raw()))
    }

    /// The generator of one image in one epoch.
    fn rng(&self, epoch: usize, index: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        // A stream of its own for each pair, so that the order of loading does not matter.
        rng.set_stream((epoch as u64) << 32 | (index as u64 & 0xffff_ffff));
        rng
    }
}
