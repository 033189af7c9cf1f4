//! The loss: the recipe's cross entropy plus Dice loss, or other terms; ignored pixels are in none.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;
use seg_contract::IGNORE_LABEL;
use seg_metrics::squared_distances;

use super::loss_terms::{LossTerms, OverlapTerm, PixelTerm};

/// Keeps the Dice ratio of an absent class at one.
const DICE_EPSILON: f64 = 1e-6;

/// The loss and its two terms, each of shape `[1]`.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The sum of all terms, which training minimises.
    pub total: Tensor<1>,
    /// The term of each pixel alone: in the recipe, the mean over counted pixels of the negative
    /// logarithm of the true class's probability.
    pub cross_entropy: Tensor<1>,
    /// The term of overlap: in the recipe, one minus the mean Dice ratio. 0 where there is none.
    pub dice: Tensor<1>,
}

/// The terms of a loss with the weights of the classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objective {
    /// The terms.
    pub terms: LossTerms,
    /// The weight of each class in the term of pixels; without them all weigh the same.
    pub class_weights: Option<Vec<f32>>,
}

/// Computes the loss of the recipe: cross entropy plus Dice loss; pixels labelled [`IGNORE_LABEL`]
/// count in neither.
///
/// The Dice ratio of class `c` in one image is `(2 sum(p t) + e) / (sum(p) + sum(t) + e)` with `p`
/// the softmax, `t` the truth and `e = 1e-6`; the loss is one minus its mean over images and
/// classes.
///
/// # Shapes
/// - logits: `[n, classes, h, w]`
/// - target: `[n, h, w]`, labels `0..classes` or [`IGNORE_LABEL`]
pub fn loss(logits: Tensor<4>, target: Tensor<3, Int>) -> Loss {
    Objective::default().loss(logits, target, None)
}

impl Objective {
    /// Returns whether the loss needs [`distances`].
    pub fn needs_distances(&self) -> bool {
        self.terms.boundary.is_some()
    }

    /// Computes the loss; pixels labelled [`IGNORE_LABEL`] count in no term.
    ///
    /// With `p` the softmax, `t` the truth, `y` the true class and `w` the classes' weights:
    /// - cross entropy: `sum(-w_y ln p_y) / sum(w_y)`, focal: `sum(-w_y (1 - p_y)^g ln p_y) /
    ///   sum(w_y)`;
    /// - the Tversky ratio of a class in an image: `(2 TP + e) / (2 TP + 2 a FP + 2 (1 - a) FN +
    ///   e)` with `TP = sum(p t)`, `FP = sum(p (1 - t))`, `FN = sum((1 - p) t)`; with `a = 1/2` it
    ///   is the Dice ratio;
    /// - boundary: the mean over counted pixels of the sum over the classes but the background of
    ///   `p` times the signed distance.
    ///
    /// # Shapes
    /// - logits: `[n, classes, h, w]`
    /// - target: `[n, h, w]`, labels `0..classes` or [`IGNORE_LABEL`]
    /// - distances: `[n, classes, h, w]`, of [`distances`]; needed for the boundary term alone
    pub fn loss(&self, logits: Tensor<4>, target: Tensor<3, Int>, distances: Option<Tensor<4>>) -> Loss {
        let [n, classes, _, _] = logits.dims();
        let counted = target.clone().not_equal_elem(i64::from(IGNORE_LABEL)).float().unsqueeze_dim::<4>(1);
        let truth = Tensor::cat(
            (0..classes).map(|class| target.clone().equal_elem(class as i64).float().unsqueeze_dim::<4>(1)).collect(),
            1,
        );
        let log_probability = log_softmax(logits, 1);
        let pixels = counted.clone().sum().clamp_min(1.0);
        let cross_entropy = self.of_pixels(log_probability.clone(), truth.clone(), pixels.clone());

        let probability = log_probability.exp() * counted;
        let per_class = |values: Tensor<4>| values.sum_dim(3).sum_dim(2).reshape([n, classes]);
        let overlap = per_class(probability.clone() * truth.clone());
        let (predicted, true_pixels) = (per_class(probability.clone()), per_class(truth));
        let dice = match self.terms.overlap {
            None => Tensor::zeros([1], &overlap.device()),
            Some(term) => {
                let sizes = match term {
                    OverlapTerm::Dice => predicted + true_pixels,
                    OverlapTerm::Tversky { alpha } => {
                        let extra = (predicted - overlap.clone()).mul_scalar(2.0 * alpha);
                        let missed = (true_pixels - overlap.clone()).mul_scalar(2.0 * (1.0 - alpha));
                        overlap.clone().mul_scalar(2.0) + extra + missed
                    }
                };
                let ratio = (overlap.mul_scalar(2.0).add_scalar(DICE_EPSILON)) / sizes.add_scalar(DICE_EPSILON);
                ratio.mean().neg().add_scalar(1.0)
            }
        };
        let mut total = match self.terms.overlap {
            None => cross_entropy.clone(),
            Some(_) => cross_entropy.clone() + dice.clone(),
        };
        if let (Some(weight), Some(distances)) = (self.terms.boundary, distances) {
            total = total + ((probability * distances).sum() / pixels).mul_scalar(weight);
        }
        Loss { total, cross_entropy, dice }
    }

    /// Computes the term of each pixel alone.
    fn of_pixels(&self, log_probability: Tensor<4>, truth: Tensor<4>, pixels: Tensor<1>) -> Tensor<1> {
        let (truth, sum) = match &self.class_weights {
            None => (truth, pixels),
            Some(weights) => {
                let weights = TensorData::new(weights.clone(), [1, weights.len(), 1, 1]);
                let weighted = truth.clone() * Tensor::from_data(weights, &truth.device());
                (weighted.clone(), weighted.sum().clamp_min(f64::from(f32::MIN_POSITIVE)))
            }
        };
        let costs = match self.terms.pixels {
            PixelTerm::CrossEntropy => log_probability,
            PixelTerm::Focal { gamma } => {
                let missing = log_probability.clone().exp().neg().add_scalar(1.0);
                // The gradient of a power below 1 is infinite at 0.
                missing.clamp_min(1e-7).powf_scalar(gamma) * log_probability
            }
        };
        (costs * truth).sum().neg() / sum
    }
}

/// Computes the signed distance of every pixel to the boundary of each class but the background, in
/// pixels: outside the distance to the class, inside one minus the distance to what is not the
/// class. It is 0 for the background, and for classes that are nowhere or everywhere.
///
/// # Shapes
/// - labels: `[n, h, w]`, of `i32`
/// - output: `[n, classes, h, w]`
pub fn distances(labels: &TensorData, classes: usize) -> TensorData {
    let shape: [usize; 3] = labels.shape().to_vec().try_into().expect("labels have three axes");
    let [n, height, width] = shape;
    let plane = height * width;
    let labels = labels.as_slice::<i32>().expect("a batch holds int32 labels");
    let mut maps = vec![0.0_f32; n * classes * plane];
    maps.par_chunks_mut(plane.max(1)).enumerate().for_each(|(index, map)| {
        let (image, class) = (index / classes, index % classes);
        if class > 0 {
            signed_distances(&labels[image * plane..][..plane], class as i32, [height, width], map);
        }
    });
    TensorData::new(maps, [n, classes, height, width])
}

/// The size of a pixel, in pixels.
const PIXEL: [f64; 2] = [1.0; 2];

/// Fills the map of one class in one image.
fn signed_distances(labels: &[i32], class: i32, [height, width]: [usize; 2], map: &mut [f32]) {
    let points = |is_inside: bool| -> Vec<(usize, usize)> {
        let chosen = labels.iter().enumerate().filter(|(_, label)| (**label == class) == is_inside);
        chosen.map(|(index, _)| (index % width, index / width)).collect()
    };
    let (inside, outside) = (points(true), points(false));
    if inside.is_empty() || outside.is_empty() {
        return;
    }
    let to_class = squared_distances(width, height, &inside, PIXEL);
    let to_others = squared_distances(width, height, &outside, PIXEL);
    for ((value, outer), inner) in map.iter_mut().zip(to_class).zip(to_others) {
        *value = if outer > 0.0 { (outer as f32).sqrt() } else { 1.0 - (inner as f32).sqrt() };
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

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
        for terms in ["focal=0.5+tversky", "cross-entropy+boundary"] {
            let objective = Objective { terms: terms.parse().unwrap(), class_weights: Some(vec![0.5, 4.0]) };
            let maps = Tensor::zeros([1, 2, 1, 2], &device);
            let found = objective.loss(logits(&[0.9, 0.2], &device), target(&[255, 255], &device), Some(maps));
            assert!(value(found.total).abs() < 1e-6, "{terms}");
        }
    }

    /// Images, classes, height and width of the example.
    const SHAPE: [usize; 4] = [2, 3, 3, 4];

    /// Labels of the example: three classes and ignored pixels.
    fn example_labels() -> Vec<i32> {
        (0..24).map(|index| [0, 1, 1, 2, 255, 0, 2][(index * 5 + index / 7) % 7]).collect()
    }

    fn example_logits() -> Vec<f64> {
        (0..72).map(|index| 1.7 * (f64::from(index) * 0.83).sin() + 0.4 * (f64::from(index) * 0.31).cos()).collect()
    }

    /// Computes a loss in 64 bits by its definition, pixel by pixel.
    fn by_definition(objective: &Objective, logits: &[f64], labels: &[i32], maps: &[f32]) -> f64 {
        let [n, classes, height, width] = SHAPE;
        let plane = height * width;
        let at = |values: &[f64], image: usize, class: usize, pixel: usize| {
            values[(image * classes + class) * plane + pixel]
        };
        let probability = |image: usize, class: usize, pixel: usize| {
            let sum: f64 = (0..classes).map(|class| at(logits, image, class, pixel).exp()).sum();
            at(logits, image, class, pixel).exp() / sum
        };
        let weight = |class: usize| objective.class_weights.as_ref().map_or(1.0, |weights| f64::from(weights[class]));
        let (mut cost, mut weights, mut boundary, mut counted, mut ratios) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for image in 0..n {
            let mut areas = vec![[0.0; 3]; classes];
            for pixel in 0..plane {
                let label = labels[image * plane + pixel];
                if label == 255 {
                    continue;
                }
                counted += 1.0;
                let p = probability(image, label as usize, pixel);
                let focus = match objective.terms.pixels {
                    PixelTerm::CrossEntropy => 1.0,
                    PixelTerm::Focal { gamma } => (1.0 - p).powf(gamma),
                };
                cost -= weight(label as usize) * focus * p.ln();
                weights += weight(label as usize);
                for (class, [hit, extra, missed]) in areas.iter_mut().enumerate() {
                    let p = probability(image, class, pixel);
                    let t = f64::from(u8::from(label as usize == class));
                    *hit += p * t;
                    *extra += p * (1.0 - t);
                    *missed += (1.0 - p) * t;
                    boundary += p * f64::from(maps[(image * classes + class) * plane + pixel]);
                }
            }
            for [hit, extra, missed] in areas {
                let alpha = match objective.terms.overlap {
                    Some(OverlapTerm::Tversky { alpha }) => alpha,
                    _ => 0.5,
                };
                let size = 2.0 * hit + 2.0 * alpha * extra + 2.0 * (1.0 - alpha) * missed;
                ratios += (2.0 * hit + 1e-6) / (size + 1e-6);
            }
        }
        let overlap = objective.terms.overlap.map_or(0.0, |_| 1.0 - ratios / (n * classes) as f64);
        cost / weights + overlap + objective.terms.boundary.unwrap_or_default() * boundary / counted
    }

    #[test]
    fn losses_and_their_gradients_follow_their_definitions() {
        let (labels, logits) = (example_labels(), example_logits());
        let maps = distances(&TensorData::new(labels.clone(), [SHAPE[0], SHAPE[2], SHAPE[3]]), SHAPE[1]);
        let maps: Vec<f32> = maps.iter::<f32>().collect();
        for (terms, class_weights) in [
            ("cross-entropy+dice", None),
            ("cross-entropy", Some(vec![0.2, 3.0, 7.0])),
            ("cross-entropy+dice", Some(vec![1.0, 0.5, 4.0])),
            ("focal=2", None),
            ("focal=0.5+dice", Some(vec![1.0, 2.0, 3.0])),
            ("cross-entropy+tversky=0.3", None),
            ("focal=1.5+tversky=0.8", None),
            ("cross-entropy+dice+boundary=0.25", None),
        ] {
            let objective = Objective { terms: terms.parse().unwrap(), class_weights };
            let device = Device::flex().autodiff();
            let values: Vec<f32> = logits.iter().map(|value| *value as f32).collect();
            let input: Tensor<4> = Tensor::from_data(TensorData::new(values, SHAPE), &device).require_grad();
            let target = TensorData::new(labels.clone(), [SHAPE[0], SHAPE[2], SHAPE[3]]);
            let target: Tensor<3, Int> = Tensor::from_data(target, &device);
            let of_maps = Tensor::from_data(TensorData::new(maps.clone(), SHAPE), &device);
            let total = objective.loss(input.clone(), target, Some(of_maps)).total;
            let expected = by_definition(&objective, &logits, &labels, &maps);
            assert!((value(total.clone().inner()) - expected).abs() < 2e-6, "{terms}: {expected}");
            let gradient = input.grad(&total.backward()).unwrap().into_data();
            for (index, found) in gradient.iter::<f64>().enumerate() {
                const STEP: f64 = 1e-5;
                let moved = |by: f64| {
                    let mut logits = logits.clone();
                    logits[index] += by;
                    by_definition(&objective, &logits, &labels, &maps)
                };
                let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                assert!((found - slope).abs() < 2e-6, "{terms}, logit {index}: {found}, expected {slope}");
            }
        }
    }

    #[test]
    fn distances_are_signed_and_those_of_absent_classes_are_zero() {
        let labels = TensorData::new(vec![0, 1, 1, 1, 255, 0], [1, 1, 6]);
        let found: Vec<f32> = distances(&labels, 3).iter::<f32>().collect();
        assert_eq!(found[..6], [0.0; 6], "the background");
        assert_eq!(found[6..12], [1.0, 0.0, -1.0, 0.0, 1.0, 2.0]);
        assert_eq!(found[12..], [0.0; 6], "a class that is nowhere");
    }
}
