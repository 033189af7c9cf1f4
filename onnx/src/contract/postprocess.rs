//! From the network's output to a mask at the image's own size, for training and deployment alike.

use image::{GrayImage, ImageBuffer, Luma, imageops};
use ndarray::{Array3, ArrayView3, Axis};
use thiserror::Error;

use super::{Contract, Geometry, Placement};

/// Why an output cannot be turned into a mask.
#[derive(Debug, Error)]
pub enum PostprocessError {
    /// The output has another shape than the contract and the input imply.
    #[error("the model's output has shape {found:?}, expected {expected:?} (classes, height, width)")]
    Shape {
        /// The shape that came.
        found: [usize; 3],
        /// The shape that the contract's classes and the input's size imply.
        expected: [usize; 3],
    },
}

impl Contract {
    /// The mask of an image: per pixel the index of the class with the largest logit, the lowest index on a tie.
    ///
    /// `logits` is `[classes, height, width]` at the network's size. Where the image was stretched, the probabilities
    /// are stretched back bilinearly before the largest is taken, so that borders stay smooth.
    ///
    /// # Errors
    /// When the output's shape is not what the contract and `geometry` imply.
    pub fn postprocess(&self, logits: ArrayView3<'_, f32>, geometry: &Geometry) -> Result<GrayImage, PostprocessError> {
        let expected = [self.classes.len(), geometry.network[0], geometry.network[1]];
        let found: [usize; 3] = logits.dim().into();
        if found != expected {
            return Err(PostprocessError::Shape { found, expected });
        }
        Ok(match geometry.placement {
            Placement::Extended => largest(logits, geometry.image),
            Placement::Stretched => largest(stretch(&softmax(logits), geometry.image).view(), geometry.image),
        })
    }
}

/// Per pixel of the top left `[height, width]` the index of the largest score, the lowest on a tie.
fn largest(scores: ArrayView3<'_, f32>, [height, width]: [usize; 2]) -> GrayImage {
    GrayImage::from_fn(width as u32, height as u32, |x, y| {
        let pixel = scores.slice(ndarray::s![.., y as usize, x as usize]);
        let mut best = 0;
        for (class, score) in pixel.iter().enumerate() {
            if *score > pixel[best] {
                best = class;
            }
        }
        Luma([best as u8])
    })
}

/// The softmax over the first axis, shifted by the maximum so that it cannot overflow.
fn softmax(logits: ArrayView3<'_, f32>) -> Array3<f32> {
    let mut probabilities = logits.to_owned();
    for mut pixel in probabilities.lanes_mut(Axis(0)) {
        let max = pixel.fold(f32::NEG_INFINITY, |max, logit| max.max(*logit));
        pixel.mapv_inplace(|logit| (logit - max).exp());
        let sum = pixel.sum();
        pixel.mapv_inplace(|exponential| exponential / sum);
    }
    probabilities
}

/// Each plane brought to `[height, width]` with a triangle filter (bilinear where it grows).
fn stretch(planes: &Array3<f32>, [height, width]: [usize; 2]) -> Array3<f32> {
    let (classes, from_height, from_width) = planes.dim();
    let mut stretched = Array3::zeros((classes, height, width));
    for (plane, mut target) in planes.outer_iter().zip(stretched.outer_iter_mut()) {
        let plane = ImageBuffer::<Luma<f32>, _>::from_fn(from_width as u32, from_height as u32, |x, y| {
            Luma([plane[[y as usize, x as usize]]])
        });
        let plane = imageops::resize(&plane, width as u32, height as u32, imageops::FilterType::Triangle);
        for ((y, x), value) in target.indexed_iter_mut() {
            *value = plane.get_pixel(x as u32, y as u32)[0];
        }
    }
    stretched
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::{SizePolicy, tests::contract};
    use super::*;

    #[test]
    fn the_largest_logit_wins_and_ties_go_to_the_lower_class() {
        let mut contract = contract();
        contract.input.side_min = 1;
        let geometry = contract.input.geometry([1, 3]);
        let logits = array![[[1.0, 2.0, -1.0]], [[1.0, 3.0, -2.0]]];
        assert_eq!(contract.postprocess(logits.view(), &geometry).unwrap().into_raw(), [0, 1, 0]);
    }

    #[test]
    fn what_was_added_is_cut_off() {
        let contract = contract();
        let geometry = contract.input.geometry([3, 5]);
        let mask = contract.postprocess(Array3::zeros((2, 16, 16)).view(), &geometry).unwrap();
        assert_eq!(mask.dimensions(), (5, 3));
    }

    #[test]
    fn a_stretched_answer_comes_back_at_the_images_size() {
        let mut contract = contract();
        contract.input.size = SizePolicy::Resize { height: 16, width: 32 };
        let geometry = contract.input.geometry([48, 64]);
        let mut logits = Array3::zeros((2, 16, 32));
        logits.slice_mut(ndarray::s![1, .., 16..]).fill(40.0);
        logits.slice_mut(ndarray::s![0, .., ..16]).fill(40.0);
        let mask = contract.postprocess(logits.view(), &geometry).unwrap();
        assert_eq!(mask.dimensions(), (64, 48));
        for (x, _, pixel) in mask.enumerate_pixels() {
            assert_eq!(pixel[0], u8::from(x >= 32), "column {x}");
        }
    }

    #[test]
    fn another_shape_is_an_error_that_names_both() {
        let contract = contract();
        let geometry = contract.input.geometry([32, 32]);
        let message = contract.postprocess(Array3::zeros((3, 32, 32)).view(), &geometry).unwrap_err().to_string();
        assert!(message.contains("[3, 32, 32]") && message.contains("[2, 32, 32]"), "{message}");
    }
}
