//! ConvUNeXt, the network of Han et al., "ConvUNeXt: An efficient convolution neural network for
//! medical image segmentation", Knowledge-Based Systems, 2022, as its public code has it.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use seg_contract::Sides;

use super::{Down, DownConfig, Stem, StemConfig, Up, UpConfig};
use crate::kernels::pointwise_layer;
use crate::network::Architecture;
use crate::topology::Stage;
use crate::u_shape::{STAGES, UShape};
use crate::u_shape_config::{UShapeConfig, UShaped};

/// The shortest side of an image that the network takes, in pixels: at 1/16 of it, three pixels are
/// mirrored at each border, which needs four.
pub const SIDE_MIN: usize = 64;

/// Configuration of [`ConvUNext`].
pub type ConvUNextConfig = UShapeConfig<ConvUNext>;

/// A U-Net of large depthwise kernels, with gates on the skip connections.
#[derive(Module, Debug)]
pub struct ConvUNext {
    /// `b` channels at full size.
    pub in_conv: Stem,
    /// `2b` channels at 1/2.
    pub down1: Down,
    /// `4b` channels at 1/4.
    pub down2: Down,
    /// `8b` channels at 1/8, three blocks.
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

impl UShaped for ConvUNext {
    const BASE_WIDTH_MULTIPLE: usize = 1;
    const SIDES: Sides = Sides::at_least(SIDE_MIN);
    const REDUCTION: usize = 16;
    const SOURCE: &'static str = "1914669687/ConvUNeXt; Han et al. 2022";

    fn from_config(config: &ConvUNextConfig, device: &Device) -> Self {
        let b = config.base_width;
        Self {
            in_conv: StemConfig::new(config.in_channels, b).init(device),
            down1: DownConfig::new(b, 2 * b, 1).init(device),
            down2: DownConfig::new(2 * b, 4 * b, 1).init(device),
            down3: DownConfig::new(4 * b, 8 * b, 3).init(device),
            down4: DownConfig::new(8 * b, 8 * b, 1).init(device),
            up1: UpConfig::new(16 * b, 4 * b).init(device),
            up2: UpConfig::new(8 * b, 2 * b).init(device),
            up3: UpConfig::new(4 * b, b).init(device),
            up4: UpConfig::new(2 * b, b).init(device),
            out_conv: pointwise_layer(b, config.num_classes, device),
        }
    }
}

impl ConvUNext {
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

impl Architecture for ConvUNext {
    type Config = ConvUNextConfig;

    fn config(&self) -> ConvUNextConfig {
        ConvUNextConfig::from_dims(self.in_conv.conv.weight.dims(), self.out_conv.weight.dims())
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
    fn the_published_parameter_counts_by_part() {
        let net = ConvUNextConfig::new().init(&Device::flex());
        macro_rules! count {
            ($part:expr) => {
                $part.num_params() - crate::parameters::num_statistics(&$part)
            };
        }
        let parts = [
            ("in_conv", count!(net.in_conv), 14_880),
            ("down1", count!(net.down1), 44_864),
            ("down2", count!(net.down2), 171_648),
            ("down3", count!(net.down3), 1_749_760),
            ("down4", count!(net.down4), 802_304),
            ("up1", count!(net.up1), 533_760),
            ("up2", count!(net.up2), 135_808),
            ("up3", count!(net.up3), 35_136),
            ("up4", count!(net.up4), 17_504),
            ("out_conv", count!(net.out_conv), 66),
        ];
        for (name, found, expected) in parts {
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(net.config(), ConvUNextConfig::new());
    }

    #[test]
    fn any_size_from_the_smallest_comes_back_at_its_size() {
        let device = Device::flex();
        let net = ConvUNextConfig::new().with_base_width(2).init(&device);
        for [h, w] in [[SIDE_MIN, SIDE_MIN], [65, 79], [70, 127]] {
            let y = net.forward(Tensor::zeros([1, 3, h, w], &device));
            assert_eq!(y.dims(), [1, 2, h, w], "{h}x{w}");
        }
    }
}
