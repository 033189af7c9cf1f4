//! U-Net, the network of Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image
//! Segmentation", MICCAI 2015, as today's public PyTorch code has it: convolutions that keep the
//! size, batch normalisation, and bilinear upsampling.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::{Down, DownConfig, Up, UpConfig};
use crate::blocks::{DoubleConv, DoubleConvConfig};
use crate::kernels::pointwise_layer;
use crate::network::{Architecture, Configuration, MissingParameter, SettingError, ShapeOf};
use crate::sides::Sides;
use crate::topology::Stage;
use crate::u_shape::{SIDE_MIN, STAGES, UShape};

/// Configuration of [`UNet`].
#[derive(Config, Debug, PartialEq)]
pub struct UNetConfig {
    /// The image's channels.
    #[config(default = 3)]
    pub in_channels: usize,
    /// The classes, one logit each, the background among them.
    #[config(default = 2)]
    pub num_classes: usize,
    /// The channels of the first stage; the deeper ones have 2, 4, 8 and 8 times as many.
    #[config(default = 32)]
    pub base_width: usize,
}

/// A U-Net of pairs of 3x3 convolutions.
#[derive(Module, Debug)]
pub struct UNet {
    /// `b` channels at full size.
    pub in_conv: DoubleConv,
    /// `2b` channels at 1/2.
    pub down1: Down,
    /// `4b` channels at 1/4.
    pub down2: Down,
    /// `8b` channels at 1/8.
    pub down3: Down,
    /// `8b` channels at 1/16.
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

impl UNetConfig {
    /// Makes the network with fresh weights.
    pub fn init(&self, device: &Device) -> UNet {
        let b = self.base_width;
        let down = |channels_in, channels_out| DownConfig::new(channels_in, channels_out).init(device);
        let up = |channels_in, channels_out| UpConfig::new(channels_in, channels_out).init(device);
        UNet {
            in_conv: DoubleConvConfig::new(self.in_channels, b, b).init(device),
            down1: down(b, 2 * b),
            down2: down(2 * b, 4 * b),
            down3: down(4 * b, 8 * b),
            down4: down(8 * b, 8 * b),
            up1: up(16 * b, 4 * b),
            up2: up(8 * b, 2 * b),
            up3: up(4 * b, b),
            up4: up(2 * b, b),
            out_conv: pointwise_layer(b, self.num_classes, device),
        }
    }
}

impl Configuration for UNetConfig {
    type Network = UNet;

    fn published(in_channels: usize, num_classes: usize) -> Self {
        Self::new().with_in_channels(in_channels).with_num_classes(num_classes)
    }

    fn from_shapes(shape_of: &ShapeOf<'_>) -> Result<Self, MissingParameter> {
        let [base_width, in_channels, _, _] = shape_of("in_conv.0.weight")?;
        let [num_classes, _, _, _] = shape_of("out_conv.0.weight")?;
        Ok(Self { in_channels, num_classes, base_width })
    }

    fn init(&self, device: &Device) -> UNet {
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
        if self.base_width > 0 {
            return Ok(());
        }
        Err(SettingError { name: "base_width", found: "0".into(), expected: "at least 1" })
    }
}

impl UNet {
    /// Returns the modules as those of a U shape.
    pub fn u_shape(&self) -> UShape<'_, DoubleConv, Down, Up> {
        UShape {
            stem: &self.in_conv,
            downs: [&self.down1, &self.down2, &self.down3, &self.down4],
            ups: [&self.up1, &self.up2, &self.up3, &self.up4],
            head: &self.out_conv,
        }
    }
}

impl Architecture for UNet {
    type Config = UNetConfig;

    fn config(&self) -> UNetConfig {
        let [base_width, in_channels, _, _] = self.in_conv.conv1.weight.dims();
        let [num_classes, _, _, _] = self.out_conv.weight.dims();
        UNetConfig { in_channels, num_classes, base_width }
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        self.u_shape().compute(stage, inputs, DoubleConv::forward, Down::forward, Up::forward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_parameter_counts() {
        for (name, config, expected) in [
            ("default", UNetConfig::new(), 4_318_434),
            ("base 64", UNetConfig::new().with_base_width(64), 17_263_042),
            ("base 8", UNetConfig::new().with_base_width(8), 270_906),
        ] {
            let net = config.init(&Device::flex());
            assert_eq!(net.num_learnable(), expected, "{name}");
            assert_eq!(net.config(), config, "{name}");
        }
        let net = UNetConfig::new().init(&Device::flex());
        assert_eq!(crate::parameters::num_statistics(&net), 4_416);
    }

    #[test]
    fn any_size_from_the_smallest_comes_back_at_its_size() {
        let device = Device::flex();
        let net = UNetConfig::new().with_base_width(3).init(&device);
        for [h, w] in [[SIDE_MIN, SIDE_MIN], [17, 31], [40, 23]] {
            let y = net.forward(Tensor::zeros([2, 3, h, w], &device));
            assert_eq!(y.dims(), [2, 2, h, w], "{h}x{w}");
        }
    }
}
