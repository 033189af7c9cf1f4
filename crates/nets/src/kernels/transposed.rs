//! Transposed convolution of a 2x2 kernel and stride 2 as one matrix product.

use burn::nn::conv::{ConvTranspose2d, ConvTranspose2dConfig};
use burn::tensor::{Device, Tensor};

use super::mixed::{add_bias, like};

/// The sides of the kernel, which is the stride too: no two taps write the same pixel.
const SIDE: usize = 2;

/// Makes a transposed convolution of a 2x2 kernel and stride 2, with bias and fresh weights.
pub fn transposed_layer(channels_in: usize, channels_out: usize, device: &Device) -> ConvTranspose2d {
    ConvTranspose2dConfig::new([channels_in, channels_out], [SIDE; 2]).with_stride([SIDE; 2]).init(device)
}

/// Computes the transposed convolution of a layer that [`transposed_layer`] makes:
/// `y[o, 2i + k, 2j + l] = bias[o] + sum over c of weight[c, o, k, l] * x[c, i, j]`.
///
/// # Shapes
/// - input: `[n, c_in, h, w]`
/// - output: `[n, c_out, 2h, 2w]`
///
/// # Panics
/// When the layer is another one.
pub fn transposed(layer: &ConvTranspose2d, x: Tensor<4>) -> Tensor<4> {
    let [n, c_in, h, w] = x.dims();
    let [_, c_out, kh, kw] = layer.weight.dims();
    let found = (kh, kw, layer.stride, layer.padding, layer.padding_out, layer.dilation, layer.groups);
    assert_eq!(found, (SIDE, SIDE, [SIDE; 2], [0; 2], [0; 2], [1; 2], 1), "the layer is not a 2x2 kernel of stride 2");
    let weight = like(&x, &layer.weight).reshape([1, c_in, c_out * SIDE * SIDE]).swap_dims(1, 2);
    let squares = weight.matmul(x.reshape([n, c_in, h * w])).reshape([n, c_out, SIDE, SIDE, h, w]);
    let y = squares.permute([0, 1, 4, 2, 5, 3]).reshape([n, c_out, SIDE * h, SIDE * w]);
    match &layer.bias {
        Some(bias) => add_bias(y, bias),
        None => y,
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::{Distribution, TensorData};

    use super::*;
    use crate::kernels::{assert_close, devices};

    /// Value and gradients of input, weight and bias, when the sum of `along * y` is differentiated
    /// on a device.
    fn on(
        device: &Device,
        layer: &ConvTranspose2d,
        [x, along]: &[TensorData; 2],
        convolve: fn(&ConvTranspose2d, Tensor<4>) -> Tensor<4>,
    ) -> [TensorData; 4] {
        let device = device.clone().autodiff();
        let layer = layer.clone().fork(&device);
        let x = Tensor::<4>::from_data(x.clone(), &device).require_grad();
        let y = convolve(&layer, x.clone());
        let gradients = (y.clone() * Tensor::from_data(along.clone(), &device)).sum().backward();
        [
            y.into_data(),
            x.grad(&gradients).unwrap().into_data(),
            layer.weight.grad(&gradients).unwrap().into_data(),
            layer.bias.as_ref().unwrap().grad(&gradients).unwrap().into_data(),
        ]
    }

    #[test]
    fn value_and_gradients_equal_those_of_burns_transposed_convolution() {
        let cpu = Device::flex();
        cpu.seed(7);
        for ([n, c_in, h, w], c_out) in [([2, 5, 3, 4], 3), ([1, 1, 1, 1], 2), ([1, 4, 7, 2], 4)] {
            let layer = transposed_layer(c_in, c_out, &cpu.clone().autodiff());
            let random =
                |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &cpu).into_data();
            let data = [random([n, c_in, h, w]), random([n, c_out, 2 * h, 2 * w])];
            let burns = on(&cpu, &layer, &data, ConvTranspose2d::forward);
            for (device, handle) in devices() {
                let found = on(&handle, &layer, &data, transposed);
                for (part, (found, burns)) in ["value", "input", "weight", "bias"].iter().zip(found.iter().zip(&burns))
                {
                    assert_close(&format!("{part} of {:?} on {device}", [n, c_in, h, w]), found, burns);
                }
            }
        }
    }
}
