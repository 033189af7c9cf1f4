//! The options of a server.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use seg_inference::{Options as EngineOptions, Settings};

use crate::access::Access;
use crate::catalog::Source;
use crate::connection::Tls;

/// The options of a server.
pub struct Options {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The models.
    pub sources: Vec<Source>,
    /// The provider of the models and its options.
    pub engine: EngineOptions,
    /// The settings for segmenting, which requests may change in part.
    pub settings: Settings,
    /// The number of sessions of a model that run side by side, each with its CPU threads.
    pub lanes: Vec<NonZeroUsize>,
    /// The most images or tensors of one size that run at once.
    pub batch: NonZeroUsize,
    /// The time that a lane waits for a batch to fill.
    pub batch_delay: Duration,
    /// The certificate that each model must have.
    pub certified: Option<Certified>,
    /// The period in which files of models are looked at; `None` to open them once.
    pub reload: Option<Duration>,
    /// The clients that are admitted.
    pub access: Access,
    /// The certificate and key for TLS.
    pub tls: Option<Tls>,
    /// The limits.
    pub limits: Limits,
    /// The time that requests get to end when the server is stopped.
    pub shutdown: Duration,
}

/// The certificate that a model must have beside it.
#[derive(Clone, Debug, Default)]
pub struct Certified {
    /// The key with which it must be signed.
    pub public_key: Option<PathBuf>,
}

/// The limits of a server, so that no client takes more than its share.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body of a request, in bytes, also after it is decompressed.
    pub body_bytes: usize,
    /// The most bytes of bodies of all requests in memory.
    pub bodies_bytes: usize,
    /// The most pixels of an image.
    pub image_pixels: u64,
    /// The most pixels of all images in memory, with all that is made of them.
    pub pixels_in_memory: NonZeroU64,
    /// The most pixels that networks work on at once.
    pub pixels_in_networks: NonZeroU64,
    /// The most requests that are worked on or wait for it; more are refused.
    pub requests: NonZeroUsize,
    /// The most connections.
    pub connections: NonZeroUsize,
    /// The time in which a request must have been read and answered.
    pub request: Duration,
    /// The time in which the head of a request must arrive, also on a connection that is idle.
    pub head: Duration,
}
