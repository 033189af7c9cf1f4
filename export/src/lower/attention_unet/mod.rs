//! Attention U-Net as a graph; each file is the twin of the one of the same name in
//! [`seg_nets::attention_unet`].

mod gate;
mod up;

mod network;
