//! Sixteen neighbouring channels of a pixel as one value, the unit of every buffer here.

#![allow(unsafe_code, reason = "views lanes as their values")]

/// The channels that are computed together: 64 bytes, one cache line and one to four registers.
pub(crate) const LANES: usize = 16;

/// The values of neighbouring channels, aligned to a cache line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

impl Lanes {
    /// Zeros.
    pub(crate) const ZERO: Self = Self([0.0; LANES]);
}

/// Returns the lanes as separate values.
pub(crate) fn flat(lanes: &[Lanes]) -> &[f32] {
    // SAFETY: `Lanes` is `repr(C)` over an array of `f32` whose size is the alignment, so there is
    // no padding.
    unsafe { std::slice::from_raw_parts(lanes.as_ptr().cast(), lanes.len() * LANES) }
}

/// Returns the lanes as separate values.
pub(crate) fn flat_mut(lanes: &mut [Lanes]) -> &mut [f32] {
    // SAFETY: as in `flat`.
    unsafe { std::slice::from_raw_parts_mut(lanes.as_mut_ptr().cast(), lanes.len() * LANES) }
}

/// Makes room for `count` lanes in a buffer that keeps its memory, with whatever they held.
pub(crate) fn room(buffer: &mut Vec<Lanes>, count: usize) -> &mut [Lanes] {
    buffer.resize(count, Lanes::ZERO);
    buffer
}

/// Makes room for `count` lanes in a buffer that keeps its memory, all zero.
pub(crate) fn zeroed(buffer: &mut Vec<Lanes>, count: usize) -> &mut [Lanes] {
    buffer.clear();
    buffer.resize(count, Lanes::ZERO);
    buffer
}

/// Returns the number of blocks of sixteen that hold a number of channels; the last may be part
/// empty.
pub(crate) fn block_count(channels: usize) -> usize {
    channels.div_ceil(LANES)
}
