//! SegNeXt as a graph; each file is the twin of the one of the same name in
//! [`seg_nets::seg_next`].

mod attention;
mod block;
mod conv_norm;
mod embed;
mod factors;
mod feed_forward;
mod hamburger;
mod network;
mod squeeze;
mod stage;
mod stem;
