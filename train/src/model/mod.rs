//! The networks, block by block; each file has its twin of the same name in the exporter.

mod batch_norm;
mod strip;

mod ams;
mod attention;
mod ffn;

mod amse;
mod rsc;

mod down;
mod stem;
mod up;

mod amsunet;

pub use ams::{Ams, AmsConfig};
pub use amse::{Amse, AmseConfig};
pub use amsunet::{AmsUnet, AmsUnetConfig, SIDE_MIN};
pub use attention::{Attention, AttentionConfig};
pub use batch_norm::{BatchNorm, BatchNormConfig};
pub use down::{Down, DownConfig};
pub use ffn::{Ffn, FfnConfig};
pub use rsc::{Rsc, RscConfig};
pub use stem::{Stem, StemConfig};
pub use strip::{Strip, StripConfig};
pub use up::{Up, UpConfig};

use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::Device;

/// A 1x1 convolution with bias.
fn pointwise_layer(channels_in: usize, channels_out: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([channels_in, channels_out], [1, 1]).init(device)
}

/// A depthwise convolution with bias whose output has the size of its input; `kernel` must be odd.
fn depthwise_layer(channels: usize, kernel: [usize; 2], dilation: usize, device: &Device) -> Conv2d {
    let [vertical, horizontal] = kernel.map(|side| dilation * (side - 1) / 2);
    Conv2dConfig::new([channels, channels], kernel)
        .with_groups(channels)
        .with_dilation([dilation, dilation])
        .with_padding(PaddingConfig2d::Explicit(vertical, horizontal, vertical, horizontal))
        .init(device)
}
