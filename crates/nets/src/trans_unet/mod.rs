//! TransUNet, block by block; each file has its twin of the same name in the exporter.

mod attention;
mod embedding;
mod encoder;
mod layer;
mod mlp;
mod names;
mod network;
mod residual;
mod root;
mod standard_conv;
mod unit;
mod up;

pub use attention::{Attention, AttentionConfig};
pub use embedding::{Embedding, EmbeddingConfig};
pub use encoder::{Encoder, EncoderConfig};
pub use layer::{Layer, LayerConfig};
pub use mlp::{Mlp, MlpConfig};
pub(crate) use names::PUBLISHED;
pub use network::{Part, TransUNet, TransUNetConfig};
pub use residual::{Residual, ResidualConfig};
pub use root::{Root, RootConfig};
pub use standard_conv::{StandardConv, StandardConvConfig};
pub use unit::{Shortcut, Unit, UnitConfig};
pub use up::{Up, UpConfig};
