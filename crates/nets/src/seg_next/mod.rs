//! SegNeXt, block by block; each file has its twin of the same name in the exporter.

mod attention;
mod block;
mod conv_norm;
mod embed;
mod factors;
mod feed_forward;
mod hamburger;
mod names;
mod network;
mod squeeze;
mod stage;
mod stem;

pub use attention::{Attention, AttentionConfig};
pub use block::{Block, BlockConfig};
pub use conv_norm::{ConvNorm, ConvNormConfig};
pub use embed::{Embed, EmbedConfig};
pub use factors::{EPSILON, Factors, FactorsConfig, STEPS};
pub use feed_forward::{FeedForward, FeedForwardConfig};
pub use hamburger::{Hamburger, HamburgerConfig};
pub(crate) use names::PUBLISHED;
pub use network::{Part, SIDE_MIN, SegNext, SegNextConfig};
pub use squeeze::{Squeeze, SqueezeConfig};
pub use stage::{First, FirstConfig, Next, NextConfig, Trunk, TrunkConfig};
pub use stem::{Stem, StemConfig};
