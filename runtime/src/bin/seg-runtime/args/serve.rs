//! The flags of the server.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Answers, Certified, Engine};

/// Serve models over HTTP, with a page to try them in a browser.
///
/// Tensors go by the Open Inference Protocol, version 2 (`/v2`), images by `/v1/segment`, and `/`
/// is the page. SIGTERM or Ctrl-C lets requests that are under way end. Uploaded images are never
/// written to the disk.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// A model file, and the name and version under which it is served
    #[arg(long, value_name = "[NAME[@VERSION]=]FILE", required_unless_present = "models")]
    pub(crate) model: Vec<String>,
    /// A folder of files NAME.onnx, and of folders NAME/VERSION with a model file
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Vec<PathBuf>,
    /// The address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,
    /// Seconds after which files of models are looked at again; 0 for never
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    pub(crate) reload: u64,
    /// The form of the log on standard error
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    pub(crate) log: Log,
    #[command(flatten)]
    pub(crate) access: Admitted,
    #[command(flatten)]
    pub(crate) limits: Bounds,
    #[command(flatten)]
    pub(crate) answers: Answers,
    #[command(flatten)]
    pub(crate) certified: Certified,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// The form of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// Lines for people
    #[default]
    Text,
    /// A line of JSON for each event
    Json,
}

/// The clients that are admitted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct Admitted {
    /// A file with the token that each request must send as `Authorization: Bearer TOKEN`
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Let everyone in who reaches the address
    #[arg(long, conflicts_with = "token_file")]
    pub(crate) no_auth: bool,
    /// A site whose pages may use the server, as https://lab.example; `*` for all
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) cors_origin: Vec<String>,
    /// The server's certificate with its chain, in PEM, for TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The key of the server's certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// The limits of the server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Bounds {
    /// Sessions of each model that run side by side; each has its share of the CPU threads
    /// [default: as many as processors and memory allow, at most 8; one on a GPU]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) lanes: Option<NonZeroUsize>,
    /// Milliseconds that a batch waits for more images of its size; see `--batch`
    #[arg(long, value_name = "MS", default_value = "0")]
    pub(crate) batch_delay: u64,
    /// The most requests that are worked on or wait; further ones get the status 503
    #[arg(long, value_name = "NUMBER", default_value = "64")]
    pub(crate) max_requests: NonZeroUsize,
    /// The largest body of a request, in MiB, also after it is decompressed
    #[arg(long, value_name = "MIB", default_value = "64")]
    pub(crate) max_body: NonZeroUsize,
    /// The most pixels of an image, in millions
    #[arg(long, value_name = "MILLIONS", default_value = "64")]
    pub(crate) max_pixels: NonZeroUsize,
    /// The most connections
    #[arg(long, value_name = "NUMBER", default_value = "4096")]
    pub(crate) max_connections: NonZeroUsize,
    /// Seconds in which a request must have been read and answered
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub(crate) timeout: NonZeroUsize,
    /// Seconds in which the head of a request must arrive, also on a connection that is idle
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub(crate) idle_timeout: NonZeroUsize,
    /// Seconds that requests get to end when the server is stopped
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub(crate) shutdown_timeout: u64,
}
