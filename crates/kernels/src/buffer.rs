//! The memory of maps.

#![allow(unsafe_code, reason = "views values as lanes, and zeros that threads have written as values")]

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::lanes::{LANES, Lanes};

/// The values that a thread writes at a time.
const PART: usize = 1 << 16;

/// The values beyond those of a map that there is room for, as many as a [`Buffer`] has: when the
/// memory of one is free again, the other fits into it.
const MORE: usize = 64;

/// Makes zeros for a map, on all threads.
pub(crate) fn zeros(count: usize) -> Vec<f32> {
    written(count, &|_, part| part.fill(MaybeUninit::new(0.0)))
}

/// Copies the values of a map, on all threads.
pub(crate) fn copied(values: &[f32]) -> Vec<f32> {
    written(values.len(), &|first, part| {
        for (place, value) in part.iter_mut().zip(&values[first..]) {
            place.write(*value);
        }
    })
}

/// Makes `count` values by parts, each from its first index on, which `write` fills.
fn written(count: usize, write: &(dyn Fn(usize, &mut [MaybeUninit<f32>]) + Sync)) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + MORE);
    let room = &mut values.spare_capacity_mut()[..count];
    room.par_chunks_mut(PART).enumerate().for_each(|(index, part)| write(index * PART, part));
    // SAFETY: there is room for `count` values, and both callers write all of a part.
    unsafe { values.set_len(count) }
    values
}

/// Lanes for a whole map, in memory that a map of planes fits into when it is free again, and the
/// other way round: an allocator finds no room for aligned memory where a map of the same size was.
pub(crate) struct Buffer {
    values: Vec<f32>,
    count: usize,
}

impl Buffer {
    /// Makes `count` zeros.
    pub(crate) fn zeros(count: usize) -> Self {
        let mut values = zeros(count * LANES);
        // Up to a cache line more, inside the room that is there.
        values.resize((count + 1) * LANES, 0.0);
        Self { values, count }
    }

    /// Returns the number of lanes that there is room for.
    pub(crate) fn room(&self) -> usize {
        self.values.len() / LANES - 1
    }

    /// Returns the same memory for as many lanes, with whatever they hold.
    ///
    /// # Panics
    /// When there is no [`room`](Self::room) for them.
    pub(crate) fn resized(self, count: usize) -> Self {
        assert!(count <= self.room(), "the caller has seen that there is room");
        Self { count, ..self }
    }

    /// Returns the lanes.
    pub(crate) fn get(&self) -> &[Lanes] {
        // SAFETY: lanes are sixteen `f32` without padding, and hold any values.
        let (_, lanes, _) = unsafe { self.values.align_to::<Lanes>() };
        &lanes[..self.count]
    }

    /// Returns the lanes.
    pub(crate) fn lanes(&mut self) -> &mut [Lanes] {
        // SAFETY: as in `get`.
        let (_, lanes, _) = unsafe { self.values.align_to_mut::<Lanes>() };
        &mut lanes[..self.count]
    }
}
