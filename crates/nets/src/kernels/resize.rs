//! Bilinear resizing to any size, by the borders of the pixels.
//!
//! Burn's interpolation has no bilinear gradient on GPUs. Along one axis it is a product with a
//! matrix of two weights a column, whose gradient every device has. On the CPU, doubling is an
//! operator of its own.
//!
//! Coordinates are rounded to 32 bits as ONNX Runtime's `Resize` rounds them, so that what is
//! learned with reads at the same places as what is deployed.

use burn::tensor::{Device, Tensor, TensorData};

use super::{fused, in_float32, is_fused};

/// Resizes a map: bilinear between the middles of pixels, whose outer borders coincide (half-pixel
/// coordinates), as `interpolate` of PyTorch with `align_corners=False`.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, size[0], size[1]]`
pub fn resize_half_pixel(x: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    if [h, w] == [height, width] {
        return x;
    }
    if is_fused(&x) && [height, width] == [2 * h, 2 * w] {
        return fused::upsample_half_pixel(x);
    }
    in_float32(x, |x| {
        let device = x.device();
        let columns = weights(w, width, &device);
        let rows = weights(h, height, &device).transpose().unsqueeze::<3>();
        let x = x.reshape([n * c * h, w]).matmul(columns).reshape([n * c, h, width]);
        rows.matmul(x).reshape([n, c, height, width])
    })
}

/// Returns the weights of an axis's pixels in those of the resized axis, `[from, to]`.
fn weights(from: usize, to: usize, device: &Device) -> Tensor<2> {
    let mut weights = vec![0.0; from * to];
    let scale = to as f32 / from as f32;
    for target in 0..to {
        let position = ((target as f32 + 0.5) / scale - 0.5).clamp(0.0, (from - 1) as f32);
        let (before, share) = (position as usize, position.fract());
        weights[before * to + target] += 1.0 - share;
        weights[(before + 1).min(from - 1) * to + target] += share;
    }
    Tensor::from_data(TensorData::new(weights, [from, to]), device)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;
    use crate::kernels::{assert_close, devices};

    #[test]
    fn twice_the_size_weighs_by_quarters() {
        for (name, device) in devices() {
            let x = Tensor::<4>::from_data([[[[0.0, 4.0, 8.0]]]], &device);
            let y = resize_half_pixel(x, [2, 6]);
            let row = [0.0, 1.0, 3.0, 5.0, 7.0, 8.0];
            assert_close(name, &y.into_data(), &TensorData::from([[[row, row]]]));
        }
    }

    #[test]
    fn coordinates_are_rounded_as_onnx_runtime_rounds_them() {
        // Of a row that counts its pixels, a value is its place: ONNX Runtime 1.32 reads 4e-6
        // beside the exact one, 68.38932419.
        let (from, to, target, expected) = (128, 1021, 549, 68.389_33_f32);
        let weights: Vec<f32> = weights(from, to, &Device::flex()).into_data().try_into_vec().unwrap();
        let place: f64 = (0..from).map(|pixel| pixel as f64 * f64::from(weights[pixel * to + target])).sum();
        assert_eq!(place, f64::from(expected));
    }

    #[test]
    fn the_gradient_is_the_adjoint() {
        for [h, w, height, width] in [[3, 5, 7, 4], [1, 1, 3, 2], [6, 7, 6, 20], [5, 17, 10, 34]] {
            for (name, device) in devices() {
                let device = device.autodiff();
                device.seed(9);
                let normal = Distribution::Normal(0.0, 1.0);
                let random = |h, w| Tensor::<4>::random([2, 3, h, w], normal, &device);
                let (x, direction, along) = (random(h, w).require_grad(), random(h, w), random(height, width));
                let sum = (resize_half_pixel(x.clone(), [height, width]) * along.clone()).sum();
                let gradient = x.grad(&sum.backward()).unwrap();
                // The map is linear: its difference along a direction is its value there.
                let moved = (resize_half_pixel(direction.clone(), [height, width]) * along).sum();
                let slope: f64 = (gradient * direction.inner()).sum().into_scalar();
                let moved: f64 = moved.into_scalar();
                assert!((slope - moved).abs() < 1e-3, "{name}: {slope}, expected {moved}");
            }
        }
    }
}
