//! Postprocessing: from the network's output to a mask of the image's size, in training and
//! deployment alike.

use std::borrow::Cow;

use image::{GrayImage, Luma};
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, Zip, s};
use thiserror::Error;

use crate::{Contract, Geometry, OutputKind, Placement};

/// An error in converting an output to a mask.
#[derive(Debug, Error)]
pub enum PostprocessError {
    /// The output's shape does not follow from the contract and the input.
    #[error("the model's output has shape {found:?}, expected {expected:?} (classes, height, width)")]
    Shape {
        /// The shape that was found.
        found: [usize; 3],
        /// The shape that follows from the contract's classes and the input's size.
        expected: [usize; 3],
    },
    /// The shape of a mask that the model computed does not follow from the input.
    #[error("the model's mask has shape {found:?}, expected {expected:?} (height, width)")]
    MaskShape {
        /// The shape that was found.
        found: [usize; 2],
        /// The shape that follows from the input's size.
        expected: [usize; 2],
    },
    /// A mask that the model computed holds a label that exceeds the classes.
    #[error("the model's mask holds the class {found}, but the model has {classes} classes")]
    Class {
        /// The label.
        found: u8,
        /// The number of classes.
        classes: usize,
    },
}

impl Contract {
    /// Computes the mask of an image: per pixel the index of the class with the largest score, the
    /// lowest index on a tie.
    ///
    /// `scores` are the output of a model that gives logits or probabilities, `[classes, height,
    /// width]` at the network's size. If the image was stretched or resampled, the probabilities
    /// are resized back bilinearly before the largest is taken, so that borders stay smooth.
    ///
    /// # Errors
    /// When the output's shape does not follow from the contract and `geometry`.
    pub fn postprocess(&self, scores: ArrayView3<'_, f32>, geometry: &Geometry) -> Result<GrayImage, PostprocessError> {
        Ok(match geometry.placement {
            Placement::Extended => most_probable(self.cut(scores, geometry)?),
            Placement::Stretched | Placement::Resampled { .. } => {
                let probabilities = self.network_probabilities(scores, geometry)?;
                geometry.mask_of_bands(probabilities.view(), |rows| most_probable(rows.view()))
            }
        })
    }

    /// Resizes the output of a model that gives masks, `[height, width]` at the network's size, to
    /// the mask of the image.
    ///
    /// If the image was stretched or resampled, each pixel takes the class of the nearest one,
    /// because there are no probabilities to interpolate.
    ///
    /// # Errors
    /// When the shape does not follow from `geometry`, or a label exceeds the contract's classes.
    pub fn postprocess_mask(
        &self,
        mask: ArrayView2<'_, u8>,
        geometry: &Geometry,
    ) -> Result<GrayImage, PostprocessError> {
        let found: [usize; 2] = mask.dim().into();
        if found != geometry.network {
            return Err(PostprocessError::MaskShape { found, expected: geometry.network });
        }
        let classes = self.classes.len();
        if let Some(&found) = mask.iter().find(|class| usize::from(**class) >= classes) {
            return Err(PostprocessError::Class { found, classes });
        }
        let [height, width] = geometry.image.map(|side| side as u32);
        Ok(GrayImage::from_fn(width, height, |x, y| Luma([mask[[geometry.nearest(y, 0), geometry.nearest(x, 1)]]])))
    }

    /// Computes the probability of each class at each pixel of the image, `[classes, height,
    /// width]`.
    ///
    /// # Errors
    /// When the output's shape does not follow from the contract and `geometry`.
    pub fn probabilities(
        &self,
        scores: ArrayView3<'_, f32>,
        geometry: &Geometry,
    ) -> Result<Array3<f32>, PostprocessError> {
        let probabilities = self.network_probabilities(scores, geometry)?;
        Ok(match geometry.placement {
            Placement::Extended => probabilities,
            Placement::Stretched | Placement::Resampled { .. } => geometry.restore(probabilities.view()),
        })
    }

    /// Computes the probability of each class at each pixel of the network's output that shows the
    /// image, `[classes, height, width]`: of the image's size unless the image was stretched or
    /// resampled.
    ///
    /// # Errors
    /// When the output's shape does not follow from the contract and `geometry`.
    pub fn network_probabilities(
        &self,
        scores: ArrayView3<'_, f32>,
        geometry: &Geometry,
    ) -> Result<Array3<f32>, PostprocessError> {
        let scores = self.cut(scores, geometry)?;
        Ok(match self.output.kind {
            OutputKind::Probabilities => scores.to_owned(),
            OutputKind::Logits | OutputKind::Mask => softmax(scores),
        })
    }

    /// Returns the part of the output that shows the image.
    fn cut<'a>(
        &self,
        logits: ArrayView3<'a, f32>,
        geometry: &Geometry,
    ) -> Result<ArrayView3<'a, f32>, PostprocessError> {
        let expected = [self.classes.len(), geometry.network[0], geometry.network[1]];
        let found: [usize; 3] = logits.dim().into();
        if found != expected {
            return Err(PostprocessError::Shape { found, expected });
        }
        let [height, width] = geometry.shown();
        Ok(logits.slice_move(s![.., ..height, ..width]))
    }
}

/// Returns, per pixel of `[classes, height, width]`, the index of the class with the largest score,
/// the lowest index on a tie.
pub fn most_probable(scores: ArrayView3<'_, f32>) -> GrayImage {
    let (_, height, width) = scores.dim();
    let mut labels = GrayImage::new(width as u32, height as u32);
    let mut best = vec![0.0; width];
    // As wide as the scores and without a branch, so that several pixels are computed at once.
    let mut wide = vec![0_u32; width];
    for (y, labels) in labels.chunks_exact_mut(width.max(1)).enumerate() {
        wide.fill(0);
        for (class, plane) in scores.outer_iter().enumerate() {
            let row = plane.row(y);
            let row = row.as_slice().map_or_else(|| Cow::Owned(row.to_vec()), Cow::Borrowed);
            if class == 0 {
                best.copy_from_slice(&row);
                continue;
            }
            for ((best, label), score) in best.iter_mut().zip(&mut wide).zip(row.iter()) {
                let is_more = *score > *best;
                *best = if is_more { *score } else { *best };
                *label = if is_more { class as u32 } else { *label };
            }
        }
        labels.iter_mut().zip(&wide).for_each(|(label, wide)| *label = *wide as u8);
    }
    labels
}

/// Computes the softmax over the first axis, shifted by the maximum so that it cannot overflow.
pub fn softmax(logits: ArrayView3<'_, f32>) -> Array3<f32> {
    let mut probabilities = logits.as_standard_layout().into_owned();
    let max = probabilities.fold_axis(Axis(0), f32::NEG_INFINITY, |max, logit| max.max(*logit));
    let mut sum = Array2::<f32>::zeros(max.dim());
    for mut plane in probabilities.outer_iter_mut() {
        Zip::from(&mut plane).and(&max).and(&mut sum).for_each(|logit, max, sum| {
            *logit = (*logit - max).exp();
            *sum += *logit;
        });
    }
    for mut plane in probabilities.outer_iter_mut() {
        plane /= &sum;
    }
    probabilities
}

impl Geometry {
    /// Makes the mask of the image from planes `[n, height, width]` at the network's size: restores
    /// some rows of them at a time, and calls `decide` for the labels of these.
    pub fn mask_of_bands(
        &self,
        planes: ArrayView3<'_, f32>,
        mut decide: impl FnMut(Array3<f32>) -> GrayImage,
    ) -> GrayImage {
        let [height, width] = self.image;
        let mut labels = Vec::with_capacity(height * width);
        self.restore_bands(planes, |rows| labels.extend_from_slice(&decide(rows)));
        GrayImage::from_raw(width as u32, height as u32, labels).expect("the bands hold each row once")
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::SizePolicy;
    use crate::example::contract;

    #[test]
    fn the_largest_logit_wins_and_ties_go_to_the_lower_class() {
        let mut contract = contract();
        contract.input.side_min = 1;
        let geometry = contract.input.geometry([1, 3]);
        let logits = array![[[1.0, 2.0, -1.0]], [[1.0, 3.0, -2.0]]];
        assert_eq!(contract.postprocess(logits.view(), &geometry).unwrap().into_raw(), [0, 1, 0]);
    }

    #[test]
    fn probabilities_are_taken_as_they_are() {
        let mut contract = contract();
        contract.input.side_min = 1;
        contract.output.kind = OutputKind::Probabilities;
        let shares = array![[[0.25, 0.5, 0.75]], [[0.75, 0.5, 0.25]]];
        let geometry = contract.input.geometry([1, 3]);
        assert_eq!(contract.probabilities(shares.view(), &geometry).unwrap(), shares);
        assert_eq!(contract.postprocess(shares.view(), &geometry).unwrap().into_raw(), [1, 0, 0]);
    }

    #[test]
    fn a_models_own_mask_is_cut_or_stretched_to_the_image() {
        let mut contract = contract();
        contract.input.side_min = 2;
        let mask = array![[0_u8, 1], [1, 0]];
        for (name, size, image, expected) in [
            ("as it is", SizePolicy::Native, [2, 2], vec![0, 1, 1, 0]),
            ("cut", SizePolicy::Native, [1, 2], vec![0, 1]),
            ("grown", SizePolicy::Resize { height: 2, width: 2 }, [2, 4], vec![0, 0, 1, 1, 1, 1, 0, 0]),
            ("shrunk", SizePolicy::Resize { height: 2, width: 2 }, [1, 1], vec![0]),
        ] {
            contract.input.size = size;
            let found = contract.postprocess_mask(mask.view(), &contract.input.geometry(image)).unwrap();
            assert_eq!((found.height() as usize, found.width() as usize), (image[0], image[1]), "{name}");
            assert_eq!(found.into_raw(), expected, "{name}");
        }
        let geometry = contract.input.geometry([2, 2]);
        let message = |mask: Array2<u8>| contract.postprocess_mask(mask.view(), &geometry).unwrap_err().to_string();
        assert_eq!(message(array![[0, 1]]), "the model's mask has shape [1, 2], expected [2, 2] (height, width)");
        assert_eq!(message(array![[0, 1], [2, 0]]), "the model's mask holds the class 2, but the model has 2 classes");
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

    #[test]
    fn probabilities_are_those_of_the_softmax_and_sum_to_one() {
        let mut contract = contract();
        contract.input.side_min = 2;
        // The second column was added to a narrow image.
        let logits = array![[[0.0, 9.0], [1000.0, 9.0]], [[0.0, 0.0], [0.0, 9.0]]];
        let found = contract.probabilities(logits.view(), &contract.input.geometry([2, 1])).unwrap();
        assert_eq!(found, array![[[0.5], [1.0]], [[0.5], [0.0]]]);
        contract.input.size = SizePolicy::Resize { height: 2, width: 2 };
        let found = contract.probabilities(logits.view(), &contract.input.geometry([5, 7])).unwrap();
        assert_eq!(found.dim(), (2, 5, 7));
        assert!(found.sum_axis(Axis(0)).iter().all(|sum| (sum - 1.0).abs() < 1e-6));
    }
}
