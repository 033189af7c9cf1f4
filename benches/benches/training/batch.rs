//! The batch that both sides train on.

use burn::tensor::TensorData;
use seg_contract::IGNORE_LABEL;
use seg_train::data::batch::Batch;

/// Creates noise under a brighter disc, and the disc as its label; the same numbers as in
/// `pytorch/measure.py`.
///
/// The rows at the top are labelled as ignored, so that the loss does all of its work.
pub(crate) fn batch(n: usize, [height, width]: [usize; 2]) -> Batch {
    let inside = |row: usize, column: usize| {
        (2 * row).abs_diff(height).pow(2) + (2 * column).abs_diff(width).pow(2) < height.min(width).pow(2) / 4
    };
    let pixels = || (0..height).flat_map(move |row| (0..width).map(move |column| (row, column)));
    let label = |(row, column)| {
        if row < height / 16 { i32::from(IGNORE_LABEL) } else { i32::from(inside(row, column)) }
    };
    let disc: Vec<f32> = pixels().map(|(row, column)| f32::from(u8::from(inside(row, column)))).collect();
    let noise = (0..n * 3 * height * width).map(|index| (index * 7919 % 1000) as f32 / 500.0 - 1.0);
    let images: Vec<f32> = noise.zip(disc.iter().cycle()).map(|(noise, disc)| noise + disc).collect();
    let labels: Vec<i32> = pixels().map(label).collect();
    Batch {
        images: TensorData::new(images, [n, 3, height, width]),
        labels: TensorData::new(labels.repeat(n), [n, height, width]),
        names: (0..n).map(|image| image.to_string()).collect(),
    }
}
