//! The networks, block by block; each file has its twin of the same name in the exporter.

mod batch_norm;
mod strip;

mod ams;
mod attention;
mod ffn;

mod amse;
mod rsc;

mod down;
mod stem;
mod up;

mod amsunet;

pub use ams::{Ams, AmsConfig};
pub use amse::{Amse, AmseConfig};
pub use amsunet::{AmsUnet, AmsUnetConfig, SIDE_MIN};
pub use attention::{Attention, AttentionConfig};
pub use batch_norm::{BatchNorm, BatchNormConfig};
pub use down::{Down, DownConfig};
pub use ffn::{Ffn, FfnConfig};
pub use rsc::{Rsc, RscConfig};
pub use stem::{Stem, StemConfig};
pub use strip::{Strip, StripConfig};
pub use up::{Up, UpConfig};
