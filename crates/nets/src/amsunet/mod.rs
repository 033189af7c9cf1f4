//! AMSUnet, block by block; each file has its twin of the same name in the exporter.

mod strip;

mod ams;
mod attention;
mod ffn;

mod amse;
mod rsc;

mod down;
mod stem;
mod up;

mod names;
mod network;

pub use ams::{Ams, AmsConfig};
pub use amse::{Amse, AmseConfig};
pub use attention::{Attention, AttentionConfig};
pub use down::{Down, DownConfig};
pub use ffn::{Ffn, FfnConfig};
pub(crate) use names::PUBLISHED;
pub use network::{AmsUnet, AmsUnetConfig};
pub use rsc::{Rsc, RscConfig};
pub use stem::{Stem, StemConfig};
pub use strip::{Strip, StripConfig};
pub use up::{Up, UpConfig};
