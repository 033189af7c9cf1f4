//! AMSUnet, the network of Yin et al., "AMSUnet: A neural network using atrous multi-scale
//! convolution for medical image segmentation", Computers in Biology and Medicine, 2023.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::{Down, DownConfig, Stem, StemConfig, Up, UpConfig};
use crate::kernels::pointwise_layer;
use crate::network::{Architecture, Configuration, MissingParameter, SettingError, ShapeOf};
use crate::sides::Sides;
use crate::topology::Stage;
use crate::u_shape::{SIDE_MIN, STAGES, UShape};

/// Configuration of [`AmsUnet`].
#[derive(Config, Debug, PartialEq)]
pub struct AmsUnetConfig {
    /// The image's channels.
    #[config(default = 3)]
    pub in_channels: usize,
    /// The classes, one logit each, the background among them.
    #[config(default = 2)]
    pub num_classes: usize,
    /// The channels of the first stage, a multiple of 4; the deeper ones have 2, 4, 8 and 8 times
    /// as many.
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
    /// Makes the network with fresh weights.
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

impl Configuration for AmsUnetConfig {
    type Network = AmsUnet;

    fn published(in_channels: usize, num_classes: usize) -> Self {
        Self::new().with_in_channels(in_channels).with_num_classes(num_classes)
    }

    fn from_shapes(shape_of: &ShapeOf<'_>) -> Result<Self, MissingParameter> {
        let [base_width, in_channels, _, _] = shape_of("in_conv.0.weight")?;
        let [num_classes, _, _, _] = shape_of("out_conv.0.weight")?;
        Ok(Self { in_channels, num_classes, base_width })
    }

    fn init(&self, device: &Device) -> AmsUnet {
        Self::init(self, device)
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("base_width", self.base_width.to_string())]
    }

    fn sides(&self) -> Sides {
        Sides::at_least(SIDE_MIN)
    }

    fn check(&self) -> Result<(), SettingError> {
        // The channel weights of a skip have a quarter of its channels.
        if self.base_width > 0 && self.base_width.is_multiple_of(4) {
            return Ok(());
        }
        let found = self.base_width.to_string();
        Err(SettingError { name: "base_width", found, expected: "a positive multiple of 4" })
    }
}

impl AmsUnet {
    /// Returns the modules as those of a U shape.
    pub fn u_shape(&self) -> UShape<'_, Stem, Down, Up> {
        UShape {
            stem: &self.in_conv,
            downs: [&self.down1, &self.down2, &self.down3, &self.down4],
            ups: [&self.up1, &self.up2, &self.up3, &self.up4],
            head: &self.out_conv,
        }
    }
}

impl Architecture for AmsUnet {
    type Config = AmsUnetConfig;

    fn config(&self) -> AmsUnetConfig {
        let [base_width, in_channels, _, _] = self.in_conv.conv.weight.dims();
        let [num_classes, _, _, _] = self.out_conv.weight.dims();
        AmsUnetConfig { in_channels, num_classes, base_width }
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        self.u_shape().compute(stage, inputs, Stem::forward, Down::forward, Up::forward)
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
                learnable(&|| ($part.num_params(), crate::parameters::num_statistics(&$part)))
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
