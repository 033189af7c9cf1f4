//! ResUNet: a U-Net whose pairs of convolutions are residual blocks.
//!
//! Several networks go by this name. This one is U-Net's skeleton with the least change that makes
//! its blocks residual; `res-unet-canonical` is the published network of another structure.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::{Down, DownConfig, Residual, ResidualConfig, Up, UpConfig};
use crate::kernels::pointwise_layer;
use crate::network::Architecture;
use crate::topology::Stage;
use crate::u_shape::{STAGES, UShape};
use crate::u_shape_config::{UShapeConfig, UShaped};

/// Configuration of [`ResUNet`].
pub type ResUNetConfig = UShapeConfig<ResUNet>;

/// A U-Net of residual blocks.
#[derive(Module, Debug)]
pub struct ResUNet {
    /// `b` channels at full size.
    pub in_conv: Residual,
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

impl UShaped for ResUNet {
    const BASE_WIDTH_MULTIPLE: usize = 1;
    const STEM: &'static str = "in_conv.conv1.weight";
    const SOURCE: &'static str = "our definition: unet with residual blocks";

    fn from_config(config: &ResUNetConfig, device: &Device) -> Self {
        let b = config.base_width;
        Self {
            in_conv: ResidualConfig::new(config.in_channels, b, b).init(device),
            down1: DownConfig::new(b, 2 * b).init(device),
            down2: DownConfig::new(2 * b, 4 * b).init(device),
            down3: DownConfig::new(4 * b, 8 * b).init(device),
            down4: DownConfig::new(8 * b, 8 * b).init(device),
            up1: UpConfig::new(16 * b, 4 * b).init(device),
            up2: UpConfig::new(8 * b, 2 * b).init(device),
            up3: UpConfig::new(4 * b, b).init(device),
            up4: UpConfig::new(2 * b, b).init(device),
            out_conv: pointwise_layer(b, config.num_classes, device),
        }
    }
}

impl ResUNet {
    /// Returns the modules as those of a U shape.
    pub fn u_shape(&self) -> UShape<'_, Residual, Down, Up> {
        UShape {
            stem: &self.in_conv,
            downs: [&self.down1, &self.down2, &self.down3, &self.down4],
            ups: [&self.up1, &self.up2, &self.up3, &self.up4],
            head: &self.out_conv,
        }
    }
}

impl Architecture for ResUNet {
    type Config = ResUNetConfig;

    fn config(&self) -> ResUNetConfig {
        ResUNetConfig::from_dims(self.in_conv.conv1.weight.dims(), self.out_conv.weight.dims())
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        self.u_shape().compute(stage, inputs, Residual::forward, Down::forward, Up::forward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::u_shape::SIDE_MIN;

    #[test]
    fn the_parameter_counts() {
        for (name, config, expected) in
            [("default", ResUNetConfig::new(), 5_500_418), ("base 8", ResUNetConfig::new().with_base_width(8), 345_218)]
        {
            let net = config.init(&Device::flex());
            assert_eq!(net.num_learnable(), expected, "{name}");
            assert_eq!(net.config(), config, "{name}");
            let identities = [&net.in_conv, &net.down3.conv, &net.down4.conv, &net.up4.conv];
            assert_eq!(identities.map(|block| block.shortcut.is_none()), [false, false, true, false], "{name}");
        }
    }

    #[test]
    fn any_size_from_the_smallest_comes_back_at_its_size() {
        let device = Device::flex();
        let net = ResUNetConfig::new().with_base_width(3).init(&device);
        for [h, w] in [[SIDE_MIN, SIDE_MIN], [17, 31], [40, 23]] {
            let y = net.forward(Tensor::zeros([2, 3, h, w], &device));
            assert_eq!(y.dims(), [2, 2, h, w], "{h}x{w}");
        }
    }
}
