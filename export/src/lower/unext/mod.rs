//! UNeXt as a graph; each file is the twin of the one of the same name in [`seg_nets::unext`].

mod decoder;
mod encoder;
mod network;
mod shift;
mod shifted_block;
mod token_decoder;
mod token_encoder;
