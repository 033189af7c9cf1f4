//! The result for one image.

use std::time::Duration;

use image::GrayImage;
use ndarray::{Array2, Array3};

/// The mask of one image, and the maps that were asked for.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// The index of each pixel's class, at the image's own size.
    pub mask: GrayImage,
    /// The probability of each class, `[classes, height, width]`, if
    /// [`probabilities`](super::Settings::probabilities) asks for it.
    pub probabilities: Option<Array3<f32>>,
    /// The uncertainty of each pixel, `[height, width]`, if
    /// [`uncertainty`](super::Settings::uncertainty) asks for it.
    pub uncertainty: Option<Array2<f32>>,
    /// Height and width of the network's input, in pixels.
    pub network: [usize; 2],
    /// Height and width to which the image was resampled, in pixels; `None` if the model names no
    /// spacing.
    pub resampled: Option<[usize; 2]>,
    /// The number of tiles; `None` if the image was run whole.
    pub tiles: Option<usize>,
    /// The time that each stage took.
    pub timings: Timings,
}

/// The time that each stage took for one image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Reading the pixels; for an image in tiles, this is part of [`preprocess`](Self::preprocess).
    pub decode: Duration,
    /// Converting the image to the network's input.
    pub preprocess: Duration,
    /// Running the networks; for an image in a batch, its share of the batch's time.
    pub infer: Duration,
    /// Converting the network's output to the mask.
    pub postprocess: Duration,
}
