//! 1x1 convolutions as matrix products.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use super::mixed::{add_bias, like};
use super::{fused, is_fused};

/// Makes a 1x1 convolution with bias and fresh weights.
pub fn pointwise_layer(channels_in: usize, channels_out: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([channels_in, channels_out], [1, 1]).init(device)
}

/// Computes the 1x1 convolution of a layer, `y = W x + b` at every pixel, as one matrix product per
/// image.
///
/// # Shapes
/// - input: `[n, c_in, h, w]`
/// - output: `[n, c_out, h, w]`
pub fn pointwise(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    if layer.bias.is_some() && is_fused(&x) {
        return fused::pointwise(x, fused::layer(layer));
    }
    let [n, c_in, h, w] = x.dims();
    let [c_out, _, _, _] = layer.weight.dims();
    let weight = like(&x, &layer.weight).reshape([1, c_out, c_in]);
    let y = weight.matmul(x.reshape([n, c_in, h * w])).reshape([n, c_out, h, w]);
    match &layer.bias {
        Some(bias) => add_bias(y, bias),
        None => y,
    }
}

/// Computes `y = W x + b` at every pixel, as one matrix product per image.
///
/// # Shapes
/// - weight: `[c_out, c_in]`, bias: `[c_out]`
/// - input: `[n, c_in, h, w]`
/// - output: `[n, c_out, h, w]`
pub(crate) fn linear(weight: &Param<Tensor<2>>, bias: &Param<Tensor<1>>, x: Tensor<4>) -> Tensor<4> {
    let [n, c_in, h, w] = x.dims();
    let [c_out, _] = weight.dims();
    if is_fused(&x) {
        let (weight, bias) = (weight.val().reshape([c_out, c_in, 1, 1]), bias.val().reshape([1, c_out, 1, 1]));
        return fused::pointwise(x, [weight, bias]);
    }
    let weight = like(&x, weight).reshape([1, c_out, c_in]);
    let y = weight.matmul(x.reshape([n, c_in, h * w])).reshape([n, c_out, h, w]);
    add_bias(y, bias)
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
        layer: &Conv2d,
        [x, along]: &[TensorData; 2],
        convolve: fn(&Conv2d, Tensor<4>) -> Tensor<4>,
    ) -> Vec<(&'static str, TensorData)> {
        let device = device.clone().autodiff();
        let layer = layer.clone().fork(&device);
        let x = Tensor::<4>::from_data(x.clone(), &device).require_grad();
        let y = convolve(&layer, x.clone());
        let gradients = (y.clone() * Tensor::from_data(along.clone(), &device)).sum().backward();
        let mut parts = vec![("value", y.into_data())];
        parts.push(("input", x.grad(&gradients).unwrap().into_data()));
        parts.push(("weight", layer.weight.grad(&gradients).unwrap().into_data()));
        parts.extend(layer.bias.iter().map(|bias| ("bias", bias.grad(&gradients).unwrap().into_data())));
        parts
    }

    #[test]
    fn value_and_gradients_equal_those_of_burns_convolution() {
        let cpu = Device::flex();
        cpu.seed(6);
        for (bias, [n, c_in, h, w], c_out) in
            [(true, [2, 5, 7, 9], 3), (false, [1, 4, 1, 1], 1), (true, [3, 8, 4, 33], 16)]
        {
            let name = format!("bias {bias}, input {:?} to {c_out}", [n, c_in, h, w]);
            let layer = Conv2dConfig::new([c_in, c_out], [1, 1]).with_bias(bias).init(&cpu.clone().autodiff());
            let data = [c_in, c_out].map(|channels| {
                Tensor::<4>::random([n, channels, h, w], Distribution::Normal(0.0, 1.0), &cpu).into_data()
            });
            let burns = on(&cpu, &layer, &data, Conv2d::forward);
            assert_eq!(burns.len(), if bias { 4 } else { 3 }, "{name}");
            for (device, handle) in devices() {
                for ((part, ours), (_, burns)) in on(&handle, &layer, &data, pointwise).iter().zip(&burns) {
                    assert_close(&format!("{name}: {part} on {device}"), ours, burns);
                }
            }
        }
    }
}
