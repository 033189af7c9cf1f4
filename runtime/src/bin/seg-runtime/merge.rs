//! `seg-runtime merge`: one record out of those of a job's parts.

use anyhow::ensure;
use seg_runtime::{Line, PREDICTIONS};

use crate::{args::Merge, note};

pub(crate) fn merge(args: &Merge) -> anyhow::Result<()> {
    let lines = seg_runtime::merge(&args.folder)?;
    let skipped = lines.iter().filter(|line| matches!(line, Line::Skipped { .. })).count();
    note(&format!("{} images in `{}`", lines.len(), args.folder.join(PREDICTIONS).display()));
    ensure!(skipped == 0, "{skipped} of {} images were skipped", lines.len());
    Ok(())
}
