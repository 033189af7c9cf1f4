//! A bound on the amount of memory that all threads use at once.

use std::sync::{Condvar, Mutex, PoisonError};

/// The memory for a pixel of an image, in bytes: its colours, and three `f32` for the network.
pub(super) const BYTES_PER_PIXEL: u64 = 16;

/// A number of units that threads take and give back.
#[derive(Debug)]
pub(crate) struct Budget {
    all: u64,
    left: Mutex<u64>,
    returned: Condvar,
}

/// Units that a thread has taken; dropping this gives them back.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    budget: &'a Budget,
    units: u64,
}

impl Budget {
    pub(crate) fn new(all: u64) -> Self {
        Self { all, left: Mutex::new(all), returned: Condvar::new() }
    }

    /// Waits until enough units are left, and takes them. A request for more than the total takes
    /// all.
    pub(crate) fn take(&self, units: u64) -> Permit<'_> {
        let units = units.min(self.all);
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = self.returned.wait_while(left, |left| *left < units).unwrap_or_else(PoisonError::into_inner);
        *left -= units;
        Permit { budget: self, units }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.budget.left.lock().unwrap_or_else(PoisonError::into_inner) += self.units;
        self.budget.returned.notify_all();
    }
}

/// Returns the number of rows of an image that are in memory at once while it is cut into tiles:
/// the rows of two tiles, or of two bands of the file if these are higher.
pub(crate) fn rows_held(height: usize, tile: usize, band: u32) -> usize {
    height.min(tile.max(band as usize).saturating_mul(2))
}

/// Returns the pixels for which an image counts while it is in memory: the rows of it that are
/// there at once, and the bytes of the whole mask and of `maps` maps of `f32`.
pub(crate) fn pixels_held(rows: usize, size: [usize; 2], maps: usize) -> u64 {
    let [rows, height, width, maps] = [rows, size[0], size[1], maps].map(|count| count as u64);
    let results = height.saturating_mul(width).saturating_mul(1 + maps * size_of::<f32>() as u64);
    rows.saturating_mul(width).saturating_add(results / BYTES_PER_PIXEL)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_nobody_waits_forever() {
        let (budget, held, most) = (Budget::new(10), AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for units in [1, 3, 7, 10, 1000, 4] {
                scope.spawn({
                    let (budget, held, most) = (&budget, &held, &most);
                    move || {
                        for _ in 0..200 {
                            let permit = budget.take(units);
                            let now = held.fetch_add(permit.units, Ordering::SeqCst) + permit.units;
                            most.fetch_max(now, Ordering::SeqCst);
                            held.fetch_sub(permit.units, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 10);
        assert_eq!(*budget.left.lock().unwrap(), 10);
    }

    #[test]
    fn an_image_in_bands_counts_with_those_of_its_tiles_or_of_its_file() {
        for (name, tile, band, expected) in [
            ("low strips", 512, 16, 1024),
            ("high strips", 512, 3000, 6000),
            ("one strip", 512, 20_000, 20_000),
            ("tiles as high as the image", 20_000, 1, 20_000),
        ] {
            assert_eq!(rows_held(20_000, tile, band), expected, "{name}");
        }
    }

    #[test]
    fn an_image_counts_with_its_whole_mask_and_its_maps() {
        const MIB: u64 = 1 << 20;
        for (name, rows, size, maps, expected) in [
            ("a pixel", 1, [1, 1], 0, 1),
            ("in memory as a whole", 1024, [1024, 2048], 0, 2 * MIB + MIB / 8),
            ("with three maps", 1024, [1024, 2048], 3, 2 * MIB + 13 * MIB / 8),
            ("in bands", 1024, [32 * 1024, 1024], 0, MIB + 2 * MIB),
            ("in bands with two maps", 1024, [32 * 1024, 1024], 2, MIB + 18 * MIB),
            ("more than can be counted", usize::MAX, [usize::MAX; 2], 1, u64::MAX),
        ] {
            assert_eq!(pixels_held(rows, size, maps), expected, "{name}");
        }
    }
}
