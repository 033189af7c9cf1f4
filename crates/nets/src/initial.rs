//! Fresh weights other than those that Burn and PyTorch draw by default.

use burn::nn::Initializer;
use burn::nn::conv::Conv2d;
use burn::tensor::Device;

/// Draws the weight of a convolution from the normal distribution of variance `2 / fan_out`, where
/// `fan_out` is the number of outputs that a channel of the input reaches through one tap of each
/// kernel; the bias is 0.
pub(crate) fn normal_by_fan_out(conv: Conv2d, device: &Device) -> Conv2d {
    let [channels_out, _, height, width] = conv.weight.dims();
    let fan_out = (height * width * channels_out / conv.groups) as f64;
    normal(conv, (2.0 / fan_out).sqrt(), device)
}

/// Draws the weight of a convolution from the normal distribution of variance `2 / fan_in`; the
/// bias is 0.
pub(crate) fn normal_by_fan_in(conv: Conv2d, device: &Device) -> Conv2d {
    let [_, per_group, height, width] = conv.weight.dims();
    let fan_in = (height * width * per_group) as f64;
    normal(conv, (2.0 / fan_in).sqrt(), device)
}

/// Draws the weight of a convolution from a normal distribution; the bias is 0.
pub(crate) fn normal(conv: Conv2d, std: f64, device: &Device) -> Conv2d {
    Conv2d {
        weight: Initializer::Normal { mean: 0.0, std }.init(conv.weight.dims(), device),
        bias: conv.bias.as_ref().map(|bias| Initializer::Zeros.init(bias.dims(), device)),
        ..conv
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::conv::Conv2dConfig;

    use super::*;
    use crate::kernels::depthwise_layer;

    #[test]
    fn the_spread_follows_the_fans() {
        let device = Device::flex();
        device.seed(1);
        let conv = || Conv2dConfig::new([16, 64], [3, 3]).init(&device);
        for (name, conv, expected) in [
            ("by fan out", normal_by_fan_out(conv(), &device), 2.0 / (9.0 * 64.0)),
            ("depthwise", normal_by_fan_out(depthwise_layer(512, [3, 3], 1, &device), &device), 2.0 / 9.0),
            ("by fan in", normal_by_fan_in(conv(), &device), 2.0 / (9.0 * 16.0)),
            ("given", normal(conv(), 0.01, &device), 1e-4),
        ] {
            let variance: f64 = conv.weight.val().square().mean().into_scalar();
            assert!((variance / expected - 1.0).abs() < 0.1, "{name}: {variance}, expected {expected}");
            let bias: f64 = conv.bias.unwrap().val().abs().max().into_scalar();
            assert_eq!(bias, 0.0, "{name}");
        }
    }
}
