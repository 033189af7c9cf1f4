//! Maps that several threads write at a time.

#![allow(unsafe_code, reason = "threads write to parts of a map that interleave")]

use std::marker::PhantomData;
use std::ops::Range;

use super::lanes::Lanes;

/// A map's lanes that several threads write at a time, each to its own pixels.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut Lanes,
    count: usize,
    lanes: PhantomData<&'a mut [Lanes]>,
}

// SAFETY: lanes are plain values; who reads or writes which is promised to the functions that do.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Creates the map of lanes.
    pub(crate) fn new(lanes: &'a mut [Lanes]) -> Self {
        Self { start: lanes.as_mut_ptr(), count: lanes.len(), lanes: PhantomData }
    }

    /// Returns the number of lanes.
    #[inline(always)]
    pub(crate) fn count(self) -> usize {
        self.count
    }

    /// Returns the lanes from one on.
    pub(crate) fn from(self, first: usize) -> Self {
        assert!(first <= self.count, "the map has as many lanes");
        // SAFETY: the place lies in the map or just behind it.
        Self { start: unsafe { self.start.add(first) }, count: self.count - first, ..self }
    }

    /// Returns the place of a value.
    ///
    /// # Safety
    /// The map has as many values.
    #[inline(always)]
    pub(crate) unsafe fn place(self, index: usize) -> *mut Lanes {
        // SAFETY: the caller's promise.
        unsafe { self.start.add(index) }
    }

    /// Returns some of the lanes.
    ///
    /// # Safety
    /// Nobody else reads or writes these meanwhile.
    #[allow(clippy::mut_from_ref, reason = "the caller promises that there is no other")]
    pub(crate) unsafe fn part(self, range: Range<usize>) -> &'a mut [Lanes] {
        assert!(range.start <= range.end && range.end <= self.count, "the map has these lanes");
        // SAFETY: the lanes exist, and the caller promises that they are free.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
