//! The loss of the recipe: cross entropy plus Dice loss, with ignored pixels in neither.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use seg_contract::IGNORE_LABEL;

/// Keeps the Dice ratio of an absent class at one.
const DICE_EPSILON: f64 = 1e-6;

/// The loss and its two terms, each of shape `[1]`.
#[derive(Clone, Debug)]
pub struct Loss {
    /// `cross_entropy + dice`, which training minimises.
    pub total: Tensor<1>,
    /// The mean over counted pixels of the negative logarithm of the true class's probability.
    pub cross_entropy: Tensor<1>,
    /// One minus the mean Dice ratio.
    pub dice: Tensor<1>,
}

/// Cross entropy plus Dice loss; pixels labelled [`IGNORE_LABEL`] count in neither.
///
/// The Dice ratio of class `c` in one image is `(2 sum(p t) + e) / (sum(p) + sum(t) + e)` with `p`
/// the softmax, `t` the truth and `e = 1e-6`; the loss is one minus its mean over images and
/// classes.
///
/// # Shapes
/// - logits: `[n, classes, h, w]`
/// - target: `[n, h, w]`, labels `0..classes` or [`IGNORE_LABEL`]
pub fn loss(logits: Tensor<4>, target: Tensor<3, Int>) -> Loss {
    let [n, classes, _, _] = logits.dims();
    let counted = target.clone().not_equal_elem(i64::from(IGNORE_LABEL)).float().unsqueeze_dim::<4>(1);
    let truth = Tensor::cat(
        (0..classes).map(|class| target.clone().equal_elem(class as i64).float().unsqueeze_dim::<4>(1)).collect(),
        1,
    );
    let log_probability = log_softmax(logits, 1);
    let pixels = counted.clone().sum().clamp_min(1.0);
    let cross_entropy = (log_probability.clone() * truth.clone()).sum().neg() / pixels;

    let probability = log_probability.exp() * counted;
    let per_class = |values: Tensor<4>| values.sum_dim(3).sum_dim(2).reshape([n, classes]);
    let overlap = per_class(probability.clone() * truth.clone());
    let sizes = per_class(probability) + per_class(truth);
    let ratio = (overlap.mul_scalar(2.0).add_scalar(DICE_EPSILON)) / sizes.add_scalar(DICE_EPSILON);
    let dice = ratio.mean().neg().add_scalar(1.0);
    Loss { total: cross_entropy.clone() + dice.clone(), cross_entropy, dice }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn value(tensor: Tensor<1>) -> f64 {
        tensor.into_data().iter::<f64>().next().unwrap()
    }

    /// Logits of two classes whose foreground probabilities are given.
    fn logits(foreground: &[f32], device: &Device) -> Tensor<4> {
        let scores = foreground.iter().map(|p| (p / (1.0 - p)).ln());
        let data: Vec<f32> = std::iter::repeat_n(0.0, foreground.len()).chain(scores).collect();
        Tensor::from_data(TensorData::new(data, [1, 2, 1, foreground.len()]), device)
    }

    fn target(labels: &[i64], device: &Device) -> Tensor<3, Int> {
        Tensor::from_data(TensorData::new(labels.to_vec(), [1, 1, labels.len()]), device)
    }

    #[test]
    fn the_terms_follow_their_formulas() {
        let device = Device::flex();
        let found = loss(logits(&[0.9, 0.2, 0.6], &device), target(&[1, 0, 255], &device));
        let cross_entropy = -(0.9f64.ln() + 0.8f64.ln()) / 2.0;
        // Background: p = (0.1, 0.8), t = (0, 1); target: p = (0.9, 0.2), t = (1, 0).
        let ratio = |overlap: f64, sizes: f64| (2.0 * overlap + 1e-6) / (sizes + 1e-6);
        let dice = 1.0 - (ratio(0.8, 1.9) + ratio(0.9, 2.1)) / 2.0;
        assert!((value(found.cross_entropy) - cross_entropy).abs() < 1e-6);
        assert!((value(found.dice) - dice).abs() < 1e-6);
        assert!((value(found.total) - cross_entropy - dice).abs() < 1e-6);
    }

    #[test]
    fn an_image_without_counted_pixels_has_a_finite_loss() {
        let device = Device::flex();
        let found = loss(logits(&[0.9, 0.2], &device), target(&[255, 255], &device));
        assert!(value(found.total).abs() < 1e-6);
    }
}
