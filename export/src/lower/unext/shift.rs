//! The shift of channels along an axis, which lets a linear map see neighbours.

use seg_nets::unext::{REACH, chunks};
use seg_onnx::graph::{PadMode, Scope, Value};

use crate::lower::LowerError;

/// Adds the shift of the chunks of `channels` channels along height (axis 2) or width (axis 3).
pub(super) fn shift(
    at: &mut Scope<'_>,
    name: &str,
    x: Value,
    channels: usize,
    axis: usize,
) -> Result<Value, LowerError> {
    let at = &mut at.scope(name);
    let reach = REACH as i64;
    // One pixel more behind, so that each end can be counted from there.
    let (before, behind) = (REACH as u32, REACH as u32 + 1);
    let pads = if axis == 2 { [before, 0, behind, 0] } else { [0, before, 0, behind] };
    let padded = at.pad("pad", x, pads, PadMode::Constant)?;
    let mut moved = Vec::new();
    for (chunk, (first, len, start)) in chunks(channels).enumerate() {
        let (first, len, start) = (first as i64, len as i64, start as i64);
        let ranges = [(1, first, first + len), (axis as i64, start, start - 2 * reach - 1)];
        moved.push(at.slice(&format!("chunk_{chunk}"), padded, ranges)?);
    }
    Ok(at.concat_channels("joined", &moved)?)
}
