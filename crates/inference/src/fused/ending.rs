//! The steps from logits to a model's output.

use seg_kernels::Map;

use super::network::Ending;
use super::{Output, tensor};

/// Computes the output from the last convolution's map.
pub(super) fn end(ending: Ending, logits: Map) -> Output {
    let [n, classes, height, width] = logits.shape();
    let size = height * width;
    let mut values = logits.into_values();
    let mask = match ending {
        Ending::Logits => return Output::Floats(tensor(values, &[n, classes, height, width])),
        Ending::Probabilities => {
            for image in values.chunks_mut(classes * size) {
                softmax(image, size);
            }
            return Output::Floats(tensor(values, &[n, classes, height, width]));
        }
        Ending::Largest => values.chunks(classes * size).flat_map(|image| largest(image, size)).collect(),
        Ending::Positive => values.iter().map(|value| u8::from(*value > 0.0)).collect(),
    };
    Output::Bytes(tensor(mask, &[n, height, width]))
}

/// Computes `exp(x) / sum of exp(x)` over the planes of an image, from the largest value on, so
/// that nothing overflows.
fn softmax(image: &mut [f32], size: usize) {
    for pixel in 0..size {
        let places = || (pixel..image.len()).step_by(size);
        let largest = places().map(|place| image[place]).fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for place in (pixel..image.len()).step_by(size) {
            image[place] = (image[place] - largest).exp();
            sum += image[place];
        }
        for place in (pixel..image.len()).step_by(size) {
            image[place] /= sum;
        }
    }
}

/// Returns the plane of the largest value of each pixel of an image, the first on a tie.
fn largest(image: &[f32], size: usize) -> Vec<u8> {
    let mut classes = vec![0; size];
    let (first, others) = image.split_at(size);
    let mut best = first.to_vec();
    for (class, plane) in others.chunks(size).enumerate() {
        for ((value, best), found) in plane.iter().zip(&mut best).zip(&mut classes) {
            if *value > *best {
                (*best, *found) = (*value, (class + 1) as u8);
            }
        }
    }
    classes
}
