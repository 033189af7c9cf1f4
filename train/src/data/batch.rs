//! Images and labels of one step.

use std::ops::Range;

use burn::tensor::{Device, Element, Int, Tensor, TensorData};

/// Images and labels of one step, in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The names of the images, in the order of the batch.
    pub names: Vec<String>,
    /// `[n, channels, h, w]`, normalised.
    pub images: TensorData,
    /// `[n, h, w]`
    pub labels: TensorData,
}

impl Batch {
    /// Divides the batch into at most `parts` parts of neighbouring images, as equal as possible
    /// and none empty.
    pub fn split(self, parts: usize) -> Vec<Self> {
        let images = self.names.len();
        let parts = parts.min(images);
        if parts <= 1 {
            return vec![self];
        }
        (0..parts)
            .map(|part| {
                let range = part * images / parts..(part + 1) * images / parts;
                Self {
                    images: rows::<f32>(&self.images, &range),
                    labels: rows::<i32>(&self.labels, &range),
                    names: self.names[range].to_vec(),
                }
            })
            .collect()
    }

    /// Moves the batch to a device.
    pub fn to_device(self, device: &Device) -> (Tensor<4>, Tensor<3, Int>) {
        (Tensor::from_data(self.images, device), Tensor::from_data(self.labels, device))
    }
}

/// Returns a range of the first dimension.
fn rows<E: Element>(data: &TensorData, range: &Range<usize>) -> TensorData {
    let mut shape = data.shape().to_vec();
    let row: usize = shape[1..].iter().product();
    shape[0] = range.len();
    let values = data.as_slice::<E>().expect("a batch holds float32 images and int32 labels");
    TensorData::new(values[range.start * row..range.end * row].to_vec(), shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_splits_into_neighbouring_images() {
        let names = ["a", "b", "c"];
        let batch = Batch {
            names: names.map(str::to_owned).into(),
            images: TensorData::new((0..12).map(|value| value as f32).collect(), [3, 1, 2, 2]),
            labels: TensorData::new((0..12).collect::<Vec<i32>>(), [3, 2, 2]),
        };
        for (parts, expected) in [(1, vec![3]), (2, vec![1, 2]), (3, vec![1, 1, 1]), (8, vec![1, 1, 1])] {
            let split = batch.clone().split(parts);
            assert_eq!(split.iter().map(|part| part.names.len()).collect::<Vec<_>>(), expected, "{parts} parts");
            assert_eq!(split.iter().flat_map(|part| part.names.clone()).collect::<Vec<_>>(), names, "{parts} parts");
            let images = split.iter().flat_map(|part| part.images.iter::<f32>());
            assert!(images.eq(batch.images.iter::<f32>()), "{parts} parts: images");
            let labels = split.iter().flat_map(|part| part.labels.iter::<i32>());
            assert!(labels.eq(batch.labels.iter::<i32>()), "{parts} parts: labels");
            for part in &split {
                assert_eq!(part.images.shape().to_vec(), [part.names.len(), 1, 2, 2], "{parts} parts");
                assert_eq!(part.labels.shape().to_vec(), [part.names.len(), 2, 2], "{parts} parts");
            }
        }
    }
}
