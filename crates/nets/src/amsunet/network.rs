//! AMSUnet, the network of Yin et al., "AMSUnet: A neural network using atrous multi-scale
//! convolution for medical image segmentation", Computers in Biology and Medicine, 2023.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::{AmsUnetOptions, Dashed, Down, DownConfig, Skip, SkipKind, Stem, StemConfig, Up, UpConfig};
use crate::kernels::pointwise_layer;
use crate::network::Architecture;
use crate::topology::Stage;
use crate::u_shape::{STAGES, UShape};
use crate::u_shape_config::{UShapeConfig, UShaped};

/// Configuration of [`AmsUnet`]; the base width is a multiple of 4.
pub type AmsUnetConfig = UShapeConfig<AmsUnet, AmsUnetOptions>;

/// A U-Net of atrous and strip depthwise convolutions.
#[derive(Module, Debug)]
pub struct AmsUnet {
    /// `b` channels at full size.
    pub in_conv: Stem,
    /// `2b` channels at 1/2.
    pub down1: Down,
    /// `4b` channels at 1/4.
    pub down2: Down,
    /// `8b` channels at 1/8, dilation 3 in the published network.
    pub down3: Down,
    /// `8b` channels at 1/16, dilation 5 there.
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

impl UShaped<AmsUnetOptions> for AmsUnet {
    // The channel weights of a skip have a quarter of its channels.
    const BASE_WIDTH_MULTIPLE: usize = 4;
    const SOURCE: &'static str = "llluochen/AMSUnet; Yin et al. 2023";

    fn from_config(config: &AmsUnetConfig, device: &Device) -> Self {
        let b = config.base_width;
        let AmsUnetOptions { skip, dilation: Dashed(dilation), strips: Dashed(strips), .. } = config.options;
        let form = config.options.form();
        let stem = StemConfig::new(config.in_channels, b).with_dilation(dilation[0]).with_strips(strips);
        let down = |channels_in, channels_out, step: usize| {
            let down = DownConfig::new(channels_in, channels_out, dilation[step]).with_strips(strips);
            down.with_form(form).init(device)
        };
        let up = |channels_in, channels_out| {
            let up = UpConfig::new(channels_in, channels_out).with_skip(skip).with_strips(strips);
            up.with_form(form).init(device)
        };
        Self {
            in_conv: stem.with_form(form).init(device),
            down1: down(b, 2 * b, 1),
            down2: down(2 * b, 4 * b, 2),
            down3: down(4 * b, 8 * b, 3),
            down4: down(8 * b, 8 * b, 4),
            up1: up(16 * b, 4 * b),
            up2: up(8 * b, 2 * b),
            up3: up(4 * b, b),
            up4: up(2 * b, b),
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
        let downs = [&self.down1, &self.down2, &self.down3, &self.down4].map(|down| &down.amse);
        let [first, second, third, fourth] = downs.map(|amse| amse.attention.ams.dilation());
        let amse = &self.in_conv.amse;
        let skip = match self.up1.skip() {
            Skip::Plain => SkipKind::Plain,
            Skip::Rsc(_) => SkipKind::Rsc,
            Skip::Se(_) => SkipKind::Se,
            Skip::Cbam(_) => SkipKind::Cbam,
            Skip::Scse(_) => SkipKind::Scse,
        };
        let options = AmsUnetOptions {
            norm: amse.form.norm,
            residual: amse.form.residual,
            closing_gelu: amse.form.closing_gelu,
            skip,
            dilation: Dashed([amse.attention.ams.dilation(), first, second, third, fourth]),
            strips: Dashed(amse.attention.ams.strips()),
        };
        let config = AmsUnetConfig::from_dims(self.in_conv.conv.weight.dims(), self.out_conv.weight.dims());
        config.with_options(options)
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        // Without gradients, no map needs to be a tensor.
        self.infer(&image).unwrap_or_else(|| self.forward_observed(image, |_, _| {}))
    }

    fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        self.u_shape().compute(stage, inputs, Stem::forward, Down::forward, Up::forward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::NetworkConfig;
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
    fn the_counts_of_the_ablations() {
        for (settings, expected, statistics) in [
            (vec![("norm", "bb"), ("residual", "o")], 2_619_898, 5_952),
            (vec![("dilation", "1-2-3-4-5")], 2_619_898, 5_952),
            (vec![("skip", "plain")], 2_575_298, 5_952),
            (vec![("skip", "se")], 2_586_178, 5_952),
            (vec![("skip", "cbam")], 2_586_578, 5_960),
            (vec![("skip", "scse")], 2_587_172, 5_952),
            (vec![("strips", "7-11-21")], 2_651_642, 5_952),
            (vec![("strips", "3-5-7")], 2_604_026, 5_952),
        ] {
            let config = NetworkConfig::from(AmsUnetConfig::new()).with_settings(settings.iter().copied()).unwrap();
            let net = config.init(&Device::flex());
            assert_eq!(net.num_learnable(), expected, "{settings:?}");
            assert_eq!(crate::parameters::num_statistics(&net), statistics, "{settings:?}");
            assert_eq!(net.config(), config, "{settings:?}");
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
