//! TransUNet as a graph; each file is the twin of the one of the same name in
//! [`seg_nets::trans_unet`].

mod attention;
mod embedding;
mod encoder;
mod layer;
mod mlp;
mod network;
mod residual;
mod root;
mod standard_conv;
mod unit;
mod up;
