//! The shift of channels along an axis, which lets a linear map see neighbours.

use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

/// The number of chunks of channels, of which the middle one stays in place.
const CHUNKS: usize = 5;

/// The farthest shift, in pixels.
pub const REACH: usize = CHUNKS / 2;

/// Moves chunk `g` of `ceil(c / 5)` channels by `g - 2` pixels along height (axis 2) or width
/// (axis 3); zeros enter at the border. The last chunk may be smaller, and a few channels may fill
/// fewer chunks.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub fn shift(x: Tensor<4>, axis: usize) -> Tensor<4> {
    let (channels, size) = (x.dims()[1], x.dims()[axis]);
    let (rows, columns) = if axis == 2 { (REACH, 0) } else { (0, REACH) };
    let padded = x.pad((columns, columns, rows, rows), PadMode::Constant(0.0));
    let chunks =
        chunks(channels).map(|(first, len, start)| padded.clone().narrow(1, first, len).narrow(axis, start, size));
    Tensor::cat(chunks.collect(), 1)
}

/// Lists the chunks of channels: the first channel, the number of channels, and the first of the
/// pixels, padded by [`REACH`] before and behind, that stay.
pub fn chunks(channels: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let len = channels.div_ceil(CHUNKS);
    (0..channels.div_ceil(len)).map(move |chunk| {
        let first = chunk * len;
        (first, len.min(channels - first), 2 * REACH - chunk)
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn each_chunk_moves_by_its_place() {
        let device = Device::flex();
        let x = Tensor::<4>::from_data([[[[1.0, 2.0, 3.0]]; 5]], &device);
        let expected = [[3.0, 0.0, 0.0], [2.0, 3.0, 0.0], [1.0, 2.0, 3.0], [0.0, 1.0, 2.0], [0.0, 0.0, 1.0_f32]];
        let y = shift(x.clone(), 3).into_data();
        assert_eq!(y, TensorData::from([expected.map(|row| [row])]));
        let y = shift(x.swap_dims(2, 3), 2).swap_dims(2, 3).into_data();
        assert_eq!(y, TensorData::from([expected.map(|row| [row])]));
    }

    #[test]
    fn channels_are_chunked_as_pytorch_does() {
        for (channels, expected) in [
            (160, vec![32; 5]),
            (256, vec![52, 52, 52, 52, 48]),
            (64, vec![13, 13, 13, 13, 12]),
            (32, vec![7, 7, 7, 7, 4]),
            (16, vec![4; 4]),
            (1, vec![1]),
        ] {
            let found: Vec<_> = chunks(channels).map(|(_, len, _)| len).collect();
            assert_eq!(found, expected, "{channels}");
        }
    }
}
