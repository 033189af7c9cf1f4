//! Upsampling to twice the size by repeating pixels.

use burn::tensor::Tensor;

/// Repeats each pixel as a 2x2 square.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, 2h, 2w]`
pub fn upsample_nearest(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    x.reshape([n, c, h, 1, w, 1]).expand([n, c, h, 2, w, 2]).reshape([n, c, 2 * h, 2 * w])
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::kernels::devices;

    #[test]
    fn each_pixel_becomes_a_square_and_collects_its_gradients() {
        for (name, device) in devices() {
            let device = device.autodiff();
            let x = Tensor::<4>::from_data([[[[1.0, -2.0, 5.0], [3.0, 4.0, 6.0]]]], &device).require_grad();
            let y = upsample_nearest(x.clone());
            let along = Tensor::<4>::from_data(
                TensorData::new((0..24).map(|value| value as f32).collect::<Vec<_>>(), [1, 1, 4, 6]),
                &device,
            );
            let gradients = (y.clone() * along).sum().backward();
            let expected = [
                [1.0_f32, 1.0, -2.0, -2.0, 5.0, 5.0],
                [1.0, 1.0, -2.0, -2.0, 5.0, 5.0],
                [3.0, 3.0, 4.0, 4.0, 6.0, 6.0],
                [3.0, 3.0, 4.0, 4.0, 6.0, 6.0],
            ];
            assert_eq!(y.into_data(), TensorData::from([[expected]]), "{name}");
            // Sums of 0 + 1 + 6 + 7, of 2 + 3 + 8 + 9, and so on.
            let expected = TensorData::from([[[[14.0_f32, 22.0, 30.0], [62.0, 70.0, 78.0]]]]);
            assert_eq!(x.grad(&gradients).unwrap().into_data(), expected, "{name}");
        }
    }
}
