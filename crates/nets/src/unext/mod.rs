//! UNeXt, block by block; each file has its twin of the same name in the exporter.

mod decoder;
mod encoder;
mod names;
mod network;
mod shift;
mod shifted_block;
mod token_decoder;
mod token_encoder;

pub use decoder::{Decoder, DecoderConfig};
pub use encoder::{Encoder, EncoderConfig};
pub(crate) use names::PUBLISHED;
pub use network::{Part, SIDE_MULTIPLE, UNext, UNextConfig};
pub use shift::{REACH, chunks, shift};
pub use shifted_block::{ShiftedBlock, ShiftedBlockConfig};
pub use token_decoder::{TokenDecoder, TokenDecoderConfig};
pub use token_encoder::{TokenEncoder, TokenEncoderConfig};
