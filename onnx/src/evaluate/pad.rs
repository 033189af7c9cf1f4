//! Padding.

use ndarray::{ArrayD, IxDyn};

use super::OpError;
use crate::graph::PadMode;

/// Adds `pads[axis]` values before `x` and `pads[rank + axis]` values after it on each axis.
pub(super) fn pad<T: Copy + Default>(mode: PadMode, x: &ArrayD<T>, pads: &ArrayD<i64>) -> Result<ArrayD<T>, OpError> {
    let rank = x.ndim();
    let mut before = Vec::with_capacity(rank);
    let mut shape = Vec::with_capacity(rank);
    for (axis, &size) in x.shape().iter().enumerate() {
        let pads = [pads[axis], pads[rank + axis]];
        let size_max = if mode == PadMode::Reflect { size.saturating_sub(1) } else { usize::MAX };
        let [first, last] = pads.map(|pad| usize::try_from(pad).ok().filter(|&pad| pad <= size_max));
        let (Some(first), Some(last)) = (first, last) else {
            return Err(OpError::Pads { size, pads });
        };
        before.push(first);
        shape.push(first + size + last);
    }
    let mut source = IxDyn(&shape);
    Ok(ArrayD::from_shape_fn(IxDyn(&shape), |target| {
        for axis in 0..rank {
            match inside(mode, target[axis], before[axis], x.shape()[axis]) {
                Some(position) => source[axis] = position,
                None => return T::default(),
            }
        }
        x[&source]
    }))
}

/// Returns the position on an axis whose value stands at `target` of the padded axis; `None` for a
/// zero.
fn inside(mode: PadMode, target: usize, before: usize, size: usize) -> Option<usize> {
    if (before..before + size).contains(&target) {
        return Some(target - before);
    }
    match mode {
        PadMode::Constant => None,
        PadMode::Reflect if target < before => Some(before - target),
        PadMode::Reflect => Some(2 * (size - 1) - (target - before)),
        PadMode::Edge if target < before => Some(0),
        PadMode::Edge => size.checked_sub(1),
    }
}
