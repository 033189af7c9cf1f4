//! U-Net as a graph; each file is the twin of the one of the same name in [`seg_nets::unet`].

mod down;
mod network;
mod up;
