//! AMSUnet as a graph; each file is the twin of the one of the same name in [`seg_nets::amsunet`].

mod strip;

mod ams;
mod attention;
mod ffn;

mod amse;
mod cbam;
mod rsc;
mod scse;
mod se;

mod down;
mod stem;
mod up;

mod network;
