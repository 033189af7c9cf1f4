//! The positions of a moving kernel's taps on one axis.

use std::ops::Range;

use super::OpError;

/// The pixels under a kernel on one axis.
pub(super) struct Taps {
    /// Pixels, without padding.
    pub(super) size: usize,
    /// The number of the kernel's taps.
    pub(super) kernel: usize,
    /// Step from one output to the next.
    pub(super) stride: usize,
    /// Distance from one tap to the next.
    pub(super) dilation: usize,
    /// Padding before the first pixel.
    pub(super) before: usize,
}

impl Taps {
    /// Returns the number of outputs, with `after` pixels of padding behind the last pixel.
    pub(super) fn outputs(&self, after: usize) -> Result<usize, OpError> {
        let reach = self.dilation * (self.kernel - 1) + 1;
        let padded = self.before + self.size + after;
        let steps = padded.checked_sub(reach).ok_or(OpError::Kernel { reach, padded })?;
        Ok(steps / self.stride + 1)
    }

    /// Returns true if each of the outputs sees the pixel in its own place and no other.
    pub(super) fn is_identity(&self, outputs: usize) -> bool {
        (self.kernel, self.stride, self.before) == (1, 1, 0) && outputs <= self.size
    }

    /// Returns the pixel under a tap, or none if the tap lies in the padding.
    pub(super) fn source(&self, output: usize, tap: usize) -> Option<usize> {
        let position = (output * self.stride + tap * self.dilation).checked_sub(self.before)?;
        (position < self.size).then_some(position)
    }

    /// Returns the outputs for which a tap lies on a pixel.
    pub(super) fn inside(&self, tap: usize, outputs: usize) -> Range<usize> {
        let reached = |position: usize| position.saturating_sub(tap * self.dilation).div_ceil(self.stride).min(outputs);
        reached(self.before)..reached(self.before + self.size)
    }
}
