//! Mixed precision: maps between layers may have 16 bits, while parameters and sums over many
//! values have 32.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::module::Param;
use burn::nn::conv::Conv2d;
use burn::tensor::{DType, FloatDType, Tensor};

use super::{fused, is_fused};

/// Converts a parameter to the type of the map that it meets; its gradient comes back in float32.
pub(super) fn like<const D: usize>(x: &Tensor<4>, parameter: &Param<Tensor<D>>) -> Tensor<D> {
    parameter.val().cast(x.dtype())
}

/// Computes in float32 what adds up many values, forwards or for its gradient, whatever type the
/// map has.
pub(crate) fn in_float32(x: Tensor<4>, compute: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let dtype = x.dtype();
    compute(x.cast(DType::F32)).cast(dtype)
}

/// Adds one value per channel, whose gradient is a sum over all pixels.
pub(super) fn add_bias(x: Tensor<4>, bias: &Param<Tensor<1>>) -> Tensor<4> {
    in_float32(x, |x| {
        let bias = bias.val();
        let [channels] = bias.dims();
        x + bias.reshape([1, channels, 1, 1])
    })
}

/// Multiplies each channel by a factor, whose gradient is a sum over all pixels.
///
/// # Shapes
/// - factors: `[c]`
/// - input: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub(crate) fn scale_channels(factors: &Param<Tensor<1>>, x: Tensor<4>) -> Tensor<4> {
    in_float32(x, |x| x * factors.val().reshape([1, -1, 1, 1]))
}

/// Computes the convolution of a layer on a map of any type.
///
/// # Shapes
/// - input: `[n, c_in, h, w]`
/// - output: `[n, c_out, h', w']`, as the layer's stride, padding and dilation say
pub fn convolution(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    if x.dtype() == DType::F32 {
        let [_, _, h, w] = x.dims();
        if !is_fused(&x) {
            return layer.forward(x);
        }
        return if let Some(padding) = fused::padding(layer, [h, w]) {
            fused::convolve(layer, x, padding)
        } else if let Some(padding) = fused::padding_halved(layer, [h, w]) {
            fused::convolve_halved(layer, x, padding)
        } else {
            layer.forward(x)
        };
    }
    let weight = Param::initialized(layer.weight.id, like(&x, &layer.weight));
    let y = Conv2d { weight, bias: None, ..layer.clone() }.forward(x);
    match &layer.bias {
        Some(bias) => add_bias(y, bias),
        None => y,
    }
}

/// Computes on the CPU, in float32, an operator of maps of any type.
pub(super) fn on_cpu<const N: usize>(
    maps: [FlexTensor; N],
    compute: impl FnOnce([FlexTensor; N]) -> FlexTensor,
) -> FlexTensor {
    let dtype = FloatDType::from(maps[0].dtype());
    Flex::float_cast(compute(maps.map(|map| Flex::float_cast(map, FloatDType::F32))), dtype)
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::PaddingConfig2d;
    use burn::nn::conv::Conv2dConfig;
    use burn::tensor::{Device, Distribution, TensorData};

    use super::*;
    use crate::blocks::BatchNormConfig;
    use crate::kernels::{
        assert_close, depthwise, depthwise_layer, devices, gelu, pointwise, pointwise_layer, upsample,
    };

    /// Value and gradients of input, weight and bias, as far as there are any.
    type Parts = Vec<(&'static str, TensorData)>;

    /// An operator on a map, with a layer if it has one.
    type Apply = fn(&Conv2d, Tensor<4>) -> Tensor<4>;

    /// Computes the parts for a differentiated sum of `along * y` and maps of a type.
    fn parts(
        device: &Device,
        dtype: FloatDType,
        layer: &Conv2d,
        x: &TensorData,
        along: &TensorData,
        apply: Apply,
    ) -> Parts {
        let device = device.clone().autodiff();
        let layer = layer.clone().fork(&device);
        let x = Tensor::<4>::from_data(x.clone(), &device).require_grad();
        let y = apply(&layer, x.clone().cast(dtype));
        assert_eq!(FloatDType::from(y.dtype()), dtype, "the operator keeps the map's type");
        let y = y.cast(FloatDType::F32);
        let gradients = (y.clone() * Tensor::from_data(along.clone(), &device)).sum().backward();
        let bias = layer.bias.as_ref().unwrap();
        let mut parts = vec![("value", y.into_data()), ("input", x.grad(&gradients).unwrap().into_data())];
        parts.extend(layer.weight.grad(&gradients).map(|gradient| ("weight", gradient.into_data())));
        parts.extend(bias.grad(&gradients).map(|gradient| ("bias", gradient.into_data())));
        parts
    }

    /// Numbers that the type has, so that rounding them costs nothing.
    fn random(shape: [usize; 4], dtype: FloatDType) -> TensorData {
        let numbers = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex());
        numbers.cast(dtype).cast(FloatDType::F32).into_data()
    }

    #[test]
    fn convolutions_of_stride_2_are_burns() {
        let cpu = Device::flex();
        cpu.seed(5);
        for (size, kernel, padding) in [
            ([9, 14], [3, 3], [1, 1]),
            ([8, 11], [3, 3], [0, 0]),
            ([13, 8], [7, 7], [3, 3]),
            ([6, 9], [2, 2], [0, 0]),
            ([7, 10], [3, 2], [1, 0]),
            ([5, 5], [4, 5], [2, 1]),
        ] {
            let pads = PaddingConfig2d::Explicit(padding[0], padding[1], padding[0], padding[1]);
            let layer = Conv2dConfig::new([5, 18], kernel).with_stride([2, 2]).with_padding(pads).init(&cpu);
            let x = random([2, 5, size[0], size[1]], FloatDType::F32);
            let like = layer.forward(Tensor::<4>::from_data(x.clone(), &cpu));
            let along = random(like.dims(), FloatDType::F32);
            let on = |apply: Apply| parts(&cpu, FloatDType::F32, &layer, &x, &along, apply);
            let pairs = on(convolution).into_iter().zip(on(|layer, x| layer.forward(x)));
            for ((part, found), (_, expected)) in pairs {
                assert_close(&format!("{part}, {kernel:?} over {size:?}"), &found, &expected);
            }
        }
    }

    #[test]
    fn maps_of_16_bits_give_what_those_of_32_do_but_for_their_rounding() {
        const SHAPE: [usize; 4] = [2, 4, 9, 14];
        let cpu = Device::flex();
        cpu.seed(11);
        let cpu = cpu.autodiff();
        let same = || pointwise_layer(4, 4, &cpu);
        let halved = Conv2dConfig::new([4, 8], [2, 2]).with_stride([2, 2]).init(&cpu);
        let operators: [(&str, Conv2d, Apply, [usize; 4]); 7] = [
            ("GELU", same(), |_, x| gelu(x), SHAPE),
            ("depthwise", depthwise_layer(4, [3, 3], 3, &cpu), depthwise, SHAPE),
            ("strip", depthwise_layer(4, [1, 11], 1, &cpu), depthwise, SHAPE),
            ("pointwise", pointwise_layer(4, 6, &cpu), pointwise, [2, 6, 9, 14]),
            ("2x2 of stride 2", halved, convolution, [2, 8, 4, 7]),
            ("upsampling", same(), |_, x| upsample(x), [2, 4, 18, 28]),
            ("normalisation", same(), |_, x| BatchNormConfig::new(4).init(&x.device()).forward(x), SHAPE),
        ];
        for (device, handle) in devices() {
            // A unit in the last place, twice what one rounding costs.
            let types = [(FloatDType::BF16, 2.0_f32.powi(-8)), (FloatDType::F16, 2.0_f32.powi(-11))];
            let (dtype, unit) =
                types.into_iter().find(|(dtype, _)| handle.supports_dtype(*dtype)).expect("a 16-bit type");
            for (name, layer, apply, shape) in &operators {
                let mut layer = layer.clone();
                layer.weight = layer.weight.map(|weight| weight.cast(dtype).cast(FloatDType::F32));
                let x = random(SHAPE, dtype);
                let along = random(*shape, dtype);
                let exact = parts(&handle, FloatDType::F32, &layer, &x, &along, *apply);
                let found = parts(&handle, dtype, &layer, &x, &along, *apply);
                assert_eq!(found.len(), exact.len(), "{name}");
                for ((part, found), (_, exact)) in found.iter().zip(&exact) {
                    let scale = exact.iter::<f32>().fold(0.0, |largest, value: f32| value.abs().max(largest));
                    for (found, exact) in found.iter::<f32>().zip(exact.iter::<f32>()) {
                        assert!(
                            (found - exact).abs() <= 2.0 * unit * scale,
                            "{part} of {name} in {dtype:?} on {device}: {found}, in float32 {exact}, at most {scale}"
                        );
                    }
                }
            }
        }
    }
}
