//! ConvUNeXt as a graph; each file is the twin of the one of the same name in
//! [`seg_nets::conv_unext`].

mod block;
mod down;
mod gate;
mod network;
mod stem;
mod up;
