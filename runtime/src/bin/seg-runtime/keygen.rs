//! `seg-runtime keygen`: a key to sign certificates with.

use seg_cli::{Shown, note};
use seg_verify::generate_key;

use crate::args::Keygen;

pub(crate) fn keygen(args: &Keygen) -> anyhow::Result<()> {
    let [private, public] = generate_key(&args.out)?;
    note(&format!("private key  {} (for `seg verify --sign`; keep it)", private.shown()));
    note(&format!("public key   {} (for `--public-key`; give it away)", public.shown()));
    Ok(())
}
