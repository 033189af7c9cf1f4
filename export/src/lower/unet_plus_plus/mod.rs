//! UNet++ as a graph; each file is the twin of the one of the same name in
//! [`seg_nets::unet_plus_plus`].

mod join;
mod network;
