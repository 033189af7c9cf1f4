//! Two 3x3 convolutions beside a shortcut.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::blocks::{BatchNorm, BatchNormConfig, conv3x3};
use crate::kernels::convolution;

/// Configuration of [`Residual`].
#[derive(Config, Debug)]
pub struct ResidualConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Channels between the convolutions.
    pub channels_middle: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `relu(BN(conv3x3(relu(BN(conv3x3(x))))) + shortcut(x))`; the shortcut is the identity where the
/// channels stay as many.
#[derive(Module, Debug)]
pub struct Residual {
    /// `[channels_middle, channels_in, 3, 3]`, without bias
    pub conv1: Conv2d,
    /// After the first convolution.
    pub norm1: BatchNorm,
    /// `[channels_out, channels_middle, 3, 3]`, without bias
    pub conv2: Conv2d,
    /// After the second convolution.
    pub norm2: BatchNorm,
    /// The way beside the convolutions, if the channels change.
    pub shortcut: Option<Shortcut>,
}

/// `BN(conv3x3(x))`.
#[derive(Module, Debug)]
pub struct Shortcut {
    /// `[channels_out, channels_in, 3, 3]`, without bias
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: BatchNorm,
}

impl ResidualConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Residual {
        let Self { channels_in, channels_middle, channels_out } = *self;
        let shortcut = || Shortcut {
            conv: conv3x3(channels_in, channels_out, false, device),
            norm: BatchNormConfig::new(channels_out).init(device),
        };
        Residual {
            conv1: conv3x3(channels_in, channels_middle, false, device),
            norm1: BatchNormConfig::new(channels_middle).init(device),
            conv2: conv3x3(channels_middle, channels_out, false, device),
            norm2: BatchNormConfig::new(channels_out).init(device),
            shortcut: (channels_in != channels_out).then(shortcut),
        }
    }
}

impl Residual {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.norm1.forward_relu(convolution(&self.conv1, x.clone()));
        let y = convolution(&self.conv2, y);
        let x = match &self.shortcut {
            Some(Shortcut { conv, norm }) => norm.forward(convolution(conv, x)),
            None => x,
        };
        self.norm2.residual_relu(y, x)
    }
}
