//! AMSUnet, block by block; each file has its twin of the same name in the exporter.

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

mod inference;
mod names;
mod network;
mod options;

pub use crate::numbers::Dashed;
pub use ams::{Ams, AmsConfig};
pub use amse::{Amse, AmseConfig, AmseForm, NormPlace, Residuals};
pub use attention::{Attention, AttentionConfig};
pub use cbam::{Cbam, CbamConfig};
pub use down::{Down, DownConfig};
pub use ffn::{Ffn, FfnConfig};
pub(crate) use names::PUBLISHED;
pub use network::{AmsUnet, AmsUnetConfig};
pub use options::{AmsUnetOptions, SkipKind};
pub use rsc::{Rsc, RscConfig};
pub use scse::{Scse, ScseConfig};
pub use se::{Se, SeConfig};
pub use stem::{Stem, StemConfig};
pub use strip::{Strip, StripConfig};
pub use up::{Skip, Up, UpConfig};
