//! AMS: the atrous multi-scale attention map, and its product with what it attends to.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::{Strip, StripConfig};
use crate::kernels::{depthwise, depthwise_layer, pointwise, pointwise_layer};

/// The lengths of the strips of the published network, after which they are named.
pub(crate) const STRIPS: [usize; 3] = [5, 7, 11];

/// Configuration of [`Ams`].
#[derive(Config, Debug)]
pub struct AmsConfig {
    /// The number of channels.
    pub channels: usize,
    /// The dilation of the atrous convolution.
    pub dilation: usize,
    /// The lengths of the strips, odd.
    #[config(default = "STRIPS")]
    pub strips: [usize; 3],
}

/// `conv1x1(a + t + strip5(t) + strip7(t) + strip11(t)) * x` with `a = dw3x3(x)` and `t = dilated
/// dw3x3(a)`.
#[derive(Module, Debug)]
pub struct Ams {
    /// `[c, 1, 3, 3]`
    pub local: Conv2d,
    /// `[c, 1, 3, 3]`, dilated
    pub atrous: Conv2d,
    /// The shortest strips, of length 5 in the published network.
    pub strip_5: Strip,
    /// The middle ones, of length 7 there.
    pub strip_7: Strip,
    /// The longest ones, of length 11 there.
    pub strip_11: Strip,
    /// `[c, c, 1, 1]`
    pub mix: Conv2d,
}

impl AmsConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Ams {
        let [strip_5, strip_7, strip_11] =
            self.strips.map(|length| StripConfig::new(self.channels, length).init(device));
        Ams {
            local: depthwise_layer(self.channels, [3, 3], 1, device),
            atrous: depthwise_layer(self.channels, [3, 3], self.dilation, device),
            strip_5,
            strip_7,
            strip_11,
            mix: pointwise_layer(self.channels, self.channels, device),
        }
    }
}

impl Ams {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let local = depthwise(&self.local, x.clone());
        let atrous = depthwise(&self.atrous, local.clone());
        let strip_5 = self.strip_5.forward(atrous.clone());
        let strip_7 = self.strip_7.forward(atrous.clone());
        let strip_11 = self.strip_11.forward(atrous.clone());
        let sum = local + atrous + strip_5 + strip_7 + strip_11;
        pointwise(&self.mix, sum) * x
    }

    /// Returns the dilation of the atrous convolution.
    pub(super) fn dilation(&self) -> usize {
        self.atrous.dilation[0]
    }

    /// Returns the lengths of the strips.
    pub(super) fn strips(&self) -> [usize; 3] {
        [&self.strip_5, &self.strip_7, &self.strip_11].map(|strip| strip.horizontal.weight.dims()[3])
    }
}
