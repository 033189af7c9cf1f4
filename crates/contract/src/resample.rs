//! Resizes an image with a triangle filter: bilinear where it grows, an average where it shrinks.
//!
//! The results equal those of [`image::imageops::resize`] to the last bit, which training uses too.
//! This code keeps a single row between its two passes, and reads values as they are stored.

use crate::pixels::Share;

/// The pixels that an output pixel is computed from along one axis.
struct Window {
    first: usize,
    weights: Vec<f32>,
}

/// Returns the windows of all pixels along an axis that goes from one length to another.
fn windows(from: usize, to: usize) -> Vec<Window> {
    let ratio = from as f32 / to as f32;
    // The filter widens where the image shrinks, so that each pixel counts.
    let scale = ratio.max(1.0);
    (0..to).map(|index| Window::new((index as f32 + 0.5) * ratio, scale, from)).collect()
}

impl Window {
    /// Creates the window of a pixel whose centre lies at `center` along the axis.
    fn new(center: f32, scale: f32, from: usize) -> Self {
        let first = ((center - scale).floor() as i64).clamp(0, from as i64 - 1);
        let last = ((center + scale).ceil() as i64).clamp(first + 1, from as i64);
        let center = center - 0.5;
        let mut weights: Vec<_> = (first..last).map(|place| triangle((place as f32 - center) / scale)).collect();
        let sum = weights.iter().sum::<f32>();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Self { first: first as usize, weights }
    }
}

fn triangle(distance: f32) -> f32 {
    if distance.abs() < 1.0 { 1.0 - distance.abs() } else { 0.0 }
}

/// Resizes an image from height and width `from` to height and width `to`; sizes are not zero.
pub(super) fn stretch<T: Share, const CHANNELS: usize>(
    pixels: &[[T; CHANNELS]],
    from: [usize; 2],
    to: [usize; 2],
) -> Vec<[f32; CHANNELS]> {
    let share = |pixel: &[T; CHANNELS]| pixel.map(Share::share);
    if from == to {
        return pixels.iter().map(share).collect();
    }
    let columns = windows(from[1], to[1]);
    let mut stretched = Vec::with_capacity(to[0] * to[1]);
    let mut row = vec![[0.0; CHANNELS]; from[1]];
    for Window { first, weights } in windows(from[0], to[0]) {
        row.fill([0.0; CHANNELS]);
        let lines = pixels[first * from[1]..].chunks_exact(from[1]);
        for (line, weight) in lines.zip(weights) {
            for (sum, value) in row.as_flattened_mut().iter_mut().zip(line.as_flattened()) {
                *sum += value.share() * weight;
            }
        }
        stretched.extend(columns.iter().map(|Window { first, weights }| {
            let mut pixel = [0.0_f32; CHANNELS];
            for (value, weight) in row[*first..].iter().zip(weights) {
                for channel in 0..CHANNELS {
                    pixel[channel] += value[channel] * weight;
                }
            }
            pixel.map(|value| value.clamp(0.0, 1.0))
        }));
    }
    stretched
}

#[cfg(test)]
mod tests {
    use image::{Rgb, Rgb32FImage, imageops};

    use super::*;

    #[test]
    fn the_result_is_that_of_the_image_crate_to_the_last_bit() {
        for (from, to) in [
            ([37, 53], [16, 24]),
            ([16, 24], [37, 53]),
            ([64, 9], [9, 64]),
            ([1, 1], [5, 7]),
            ([5, 7], [1, 1]),
            ([12, 12], [12, 12]),
            ([12, 12], [12, 13]),
        ] {
            let bytes: Vec<[u8; 3]> =
                (0..from[0] * from[1]).map(|i| [i * 37, i * 101 + 5, i * i].map(|value| value as u8)).collect();
            let image = Rgb32FImage::from_fn(from[1] as u32, from[0] as u32, |x, y| {
                Rgb(bytes[y as usize * from[1] + x as usize].map(|value| f32::from(value) / 255.0))
            });
            let expected =
                imageops::resize(&image, to[1] as u32, to[0] as u32, imageops::FilterType::Triangle).into_raw();
            assert_eq!(stretch(&bytes, from, to).as_flattened(), expected, "{from:?} to {to:?}, 8 bits");
            let floats = image.as_raw().as_chunks::<3>().0;
            assert_eq!(stretch(floats, from, to).as_flattened(), expected, "{from:?} to {to:?}, floats");
        }
    }
}
