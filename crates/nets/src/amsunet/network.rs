//! AMSUnet, the network of Yin et al., "AMSUnet: A neural network using atrous multi-scale
//! convolution for medical image segmentation", Computers in Biology and Medicine, 2023.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::{Down, DownConfig, Stem, StemConfig, Up, UpConfig};
use crate::kernels::pointwise_layer;
use crate::network::Architecture;
use crate::topology::Stage;
use crate::u_shape::{STAGES, UShape};
use crate::u_shape_config::{UShapeConfig, UShaped};

/// Configuration of [`AmsUnet`]; the base width is a multiple of 4.
pub type AmsUnetConfig = UShapeConfig<AmsUnet>;

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

impl UShaped for AmsUnet {
    // The channel weights of a skip have a quarter of its channels.
    const BASE_WIDTH_MULTIPLE: usize = 4;

    fn from_config(config: &AmsUnetConfig, device: &Device) -> Self {
        let b = config.base_width;
        Self {
            in_conv: StemConfig::new(config.in_channels, b).init(device),
            down1: DownConfig::new(b, 2 * b, 1).init(device),
            down2: DownConfig::new(2 * b, 4 * b, 1).init(device),
            down3: DownConfig::new(4 * b, 8 * b, 3).init(device),
            down4: DownConfig::new(8 * b, 8 * b, 5).init(device),
            up1: UpConfig::new(16 * b, 4 * b).init(device),
            up2: UpConfig::new(8 * b, 2 * b).init(device),
            up3: UpConfig::new(4 * b, b).init(device),
            up4: UpConfig::new(2 * b, b).init(device),
            out_conv: pointwise_layer(b, config.num_classes, device),
        }
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
        AmsUnetConfig::from_dims(self.in_conv.conv.weight.dims(), self.out_conv.weight.dims())
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
    use crate::u_shape::SIDE_MIN;

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
        macro_rules! count {
            ($part:expr) => {
                $part.num_params() - crate::parameters::num_statistics(&$part)
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
