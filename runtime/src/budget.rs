//! A bound on how much is in memory at once, over all threads.

use std::sync::{Condvar, Mutex, PoisonError};

/// So many units that threads take and give back.
#[derive(Debug)]
pub(crate) struct Budget {
    all: u64,
    left: Mutex<u64>,
    returned: Condvar,
}

/// Units that were taken; they are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    budget: &'a Budget,
    units: u64,
}

impl Budget {
    pub(crate) fn new(all: u64) -> Self {
        Self { all, left: Mutex::new(all), returned: Condvar::new() }
    }

    /// Waits until so many units are left, and takes them. What needs more than there are takes all.
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

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread,
    };

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
}
