//! The unit of a residual stage: three convolutions, and what it was given.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::root::{EPSILON, GROUPS};
use super::{StandardConv, StandardConvConfig};
use crate::blocks::{GroupNorm, GroupNormConfig};

/// Added to the variance on the shortcut.
const EPSILON_SHORTCUT: f64 = 1e-5;

/// Configuration of [`Unit`].
#[derive(Config, Debug)]
pub struct UnitConfig {
    /// Input channels.
    pub channels_in: usize,
    /// The channels in the middle, a multiple of 32.
    pub channels_middle: usize,
    /// Output channels, a multiple of 32; where they differ from the input's, the shortcut has a
    /// convolution.
    pub channels_out: usize,
    /// The step along both axes.
    pub stride: usize,
}

/// `ReLU(shortcut + GN(conv1x1(ReLU(GN(conv3x3(ReLU(GN(conv1x1(x)))))))))`.
#[derive(Module, Debug)]
pub struct Unit {
    /// `[channels_middle, channels_in, 1, 1]`
    pub conv1: StandardConv,
    /// After the first convolution.
    pub norm1: GroupNorm,
    /// `[channels_middle, channels_middle, 3, 3]`, with the unit's stride
    pub conv2: StandardConv,
    /// After the second convolution.
    pub norm2: GroupNorm,
    /// `[channels_out, channels_middle, 1, 1]`
    pub conv3: StandardConv,
    /// After the third convolution.
    pub norm3: GroupNorm,
    /// The way around the convolutions; none where it changes nothing.
    pub shortcut: Option<Shortcut>,
}

/// `GN(conv1x1(x))` with a group for each channel.
#[derive(Module, Debug)]
pub struct Shortcut {
    /// `[channels_out, channels_in, 1, 1]`, with the unit's stride
    pub conv: StandardConv,
    /// After the convolution.
    pub norm: GroupNorm,
}

impl UnitConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Unit {
        let Self { channels_in, channels_middle, channels_out, stride } = *self;
        let conv = |channels_in, channels_out, kernel, stride| {
            StandardConvConfig::new(channels_in, channels_out, kernel, stride).init(device)
        };
        let norm = |channels| GroupNormConfig::new(GROUPS, channels, EPSILON).init(device);
        let shortcut = (channels_in != channels_out || stride != 1).then(|| Shortcut {
            conv: conv(channels_in, channels_out, 1, stride),
            norm: GroupNormConfig::new(channels_out, channels_out, EPSILON_SHORTCUT).init(device),
        });
        Unit {
            conv1: conv(channels_in, channels_middle, 1, 1),
            norm1: norm(channels_middle),
            conv2: conv(channels_middle, channels_middle, 3, stride),
            norm2: norm(channels_middle),
            conv3: conv(channels_middle, channels_out, 1, 1),
            norm3: norm(channels_out),
            shortcut,
        }
    }
}

impl Unit {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, ceil(h / stride), ceil(w / stride)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.norm1.forward_relu(self.conv1.forward(x.clone()));
        let y = self.norm2.forward_relu(self.conv2.forward(y));
        let y = self.norm3.forward(self.conv3.forward(y));
        let x = match &self.shortcut {
            Some(Shortcut { conv, norm }) => norm.forward(conv.forward(x)),
            None => x,
        };
        relu(x + y)
    }
}
