//! `seg-runtime merge`: one record out of those of a job's parts.

use anyhow::ensure;
use seg_cli::{Shown, note};
use seg_runtime::record::{Counts, PREDICTIONS};

use crate::args::Merge;

pub(crate) fn merge(args: &Merge) -> anyhow::Result<()> {
    let Counts { images, skipped } = seg_runtime::record::merge(&args.folder)?;
    note(&format!("{images} images in `{}`", args.folder.join(PREDICTIONS).shown()));
    ensure!(skipped == 0, "{skipped} of {images} images were skipped");
    Ok(())
}
