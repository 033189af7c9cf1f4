//! AMSUnet, the network of Yin et al., "AMSUnet: A neural network using atrous multi-scale convolution for medical
//! image segmentation", Computers in Biology and Medicine, 2023.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::{Down, DownConfig, Stem, StemConfig, Up, UpConfig};
use crate::kernels::{pointwise, pointwise_layer};

/// The shortest side that the network takes, in pixels: four halvings leave one.
pub const SIDE_MIN: usize = 16;

/// Configuration of [`AmsUnet`].
#[derive(Config, Debug, PartialEq)]
pub struct AmsUnetConfig {
    /// The image's channels.
    #[config(default = 3)]
    pub in_channels: usize,
    /// The classes, one logit each, the background among them.
    #[config(default = 2)]
    pub num_classes: usize,
    /// The channels of the first stage, a multiple of 4; the deeper ones have 2, 4, 8 and 8 times as many.
    #[config(default = 32)]
    pub base_width: usize,
}

/// A U-Net of atrous and strip depthwise convolutions.
#[derive(Module, Debug)]
pub struct AmsUnet {
    /// `b` channels at full size.
    pub in_conv: Stem,
    /// `2b` channels at 1/2.
    pub down1: Down,
    /// `4b` channels at 1/4.
    pub down2: Down,
    /// `8b` channels at 1/8, dilation 3.
    pub down3: Down,
    /// `8b` channels at 1/16, dilation 5.
    pub down4: Down,
    /// `4b` channels at 1/8.
    pub up1: Up,
    /// `2b` channels at 1/4.
    pub up2: Up,
    /// `b` channels at 1/2.
    pub up3: Up,
    /// `b` channels at full size.
    pub up4: Up,
    /// `[num_classes, b, 1, 1]`
    pub out_conv: Conv2d,
}

impl AmsUnetConfig {
    /// The network with fresh weights.
    pub fn init(&self, device: &Device) -> AmsUnet {
        let b = self.base_width;
        let down =
            |channels_in, channels_out, dilation| DownConfig::new(channels_in, channels_out, dilation).init(device);
        let up = |channels_in, channels_out| UpConfig::new(channels_in, channels_out).init(device);
        AmsUnet {
            in_conv: StemConfig::new(self.in_channels, b).init(device),
            down1: down(b, 2 * b, 1),
            down2: down(2 * b, 4 * b, 1),
            down3: down(4 * b, 8 * b, 3),
            down4: down(8 * b, 8 * b, 5),
            up1: up(16 * b, 4 * b),
            up2: up(8 * b, 2 * b),
            up3: up(4 * b, b),
            up4: up(2 * b, b),
            out_conv: pointwise_layer(b, self.num_classes, device),
        }
    }
}

impl AmsUnet {
    /// The logits, in the type that the input has: maps have it too, while parameters stay float32.
    ///
    /// # Shapes
    /// - input: `[n, in_channels, h, w]`, `h` and `w` at least [`SIDE_MIN`]
    /// - output: logits, `[n, num_classes, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_observed(x, |_, _| {})
    }

    /// [`forward`](Self::forward) that shows each stage's output under the stage's name.
    pub fn forward_observed(&self, x: Tensor<4>, mut observe: impl FnMut(&str, &Tensor<4>)) -> Tensor<4> {
        let mut stage = |name, output: Tensor<4>| {
            observe(name, &output);
            output
        };
        let x1 = stage("in_conv", self.in_conv.forward(x));
        let x2 = stage("down1", self.down1.forward(x1.clone()));
        let x3 = stage("down2", self.down2.forward(x2.clone()));
        let x4 = stage("down3", self.down3.forward(x3.clone()));
        let x5 = stage("down4", self.down4.forward(x4.clone()));
        let y = stage("up1", self.up1.forward(x5, x4));
        let y = stage("up2", self.up2.forward(y, x3));
        let y = stage("up3", self.up3.forward(y, x2));
        let y = stage("up4", self.up4.forward(y, x1));
        stage("out_conv", pointwise(&self.out_conv, y))
    }

    /// The configuration that the weights' shapes imply.
    pub fn config(&self) -> AmsUnetConfig {
        let [base_width, in_channels, _, _] = self.in_conv.conv.weight.dims();
        let [num_classes, _, _, _] = self.out_conv.weight.dims();
        AmsUnetConfig { in_channels, num_classes, base_width }
    }

    /// The learnable parameters; running statistics are not among them.
    pub fn num_learnable(&self) -> usize {
        self.num_params() - crate::weights::num_statistics(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_parameter_counts() {
        for (name, config, expected) in [
            ("default", AmsUnetConfig::new(), 2_619_898),
            ("one class", AmsUnetConfig::new().with_num_classes(1), 2_619_865),
            ("one channel", AmsUnetConfig::new().with_in_channels(1), 2_619_322),
        ] {
            let net = config.init(&Device::flex());
            assert_eq!(net.num_learnable(), expected, "{name}");
            assert_eq!(net.config(), config, "{name}");
        }
    }

    #[test]
    fn the_published_parameter_counts_by_part() {
        let net = AmsUnetConfig::new().init(&Device::flex());
        let learnable = |part: &dyn Fn() -> (usize, usize)| {
            let (all, statistics) = part();
            all - statistics
        };
        macro_rules! count {
            ($part:expr) => {
                learnable(&|| ($part.num_params(), crate::weights::num_statistics(&$part)))
            };
        }
        let parts = [
            ("in_conv", count!(net.in_conv), 16_192),
            ("down1", count!(net.down1), 61_312),
            ("down2", count!(net.down2), 229_120),
            ("down3", count!(net.down3), 884_224),
            ("down4", count!(net.down4), 1_015_552),
            ("up1", count!(net.up1), 295_616),
            ("up2", count!(net.up2), 78_176),
            ("up3", count!(net.up3), 21_680),
            ("up4", count!(net.up4), 17_960),
            ("out_conv", count!(net.out_conv), 66),
        ];
        for (name, found, expected) in parts {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn any_size_from_the_smallest_comes_back_at_its_size() {
        let device = Device::flex();
        let net = AmsUnetConfig::new().with_base_width(4).init(&device);
        for [h, w] in [[SIDE_MIN, SIDE_MIN], [17, 31], [40, 23]] {
            let y = net.forward(Tensor::zeros([2, 3, h, w], &device));
            assert_eq!(y.dims(), [2, 2, h, w], "{h}x{w}");
        }
    }
}
