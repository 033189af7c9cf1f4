//! ResUNet as a graph; each file is the twin of the one of the same name in [`seg_nets::res_unet`].

mod residual;

mod down;
mod up;

mod network;
