//! The learning rate of the recipe: linear warm-up, then polynomial decay, step by step; and
//! another warm-up where the network begins to learn with fixed statistics.

/// The epochs of warm-up.
const WARM_UP_EPOCHS: usize = 1;
/// The share of the rate at which warm-up starts.
const WARM_UP_FACTOR: f64 = 1e-3;
/// A second warm-up takes at most one in so many of the steps that are left.
const SECOND_WARM_UP_DIVISOR: usize = 4;
/// The power of the decay.
const DECAY_POWER: f64 = 0.9;

/// The learning rate over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The rate at the end of the warm-up.
    pub learning_rate: f64,
    /// The steps of the warm-up.
    warm_up: usize,
    /// The steps of the run.
    steps: usize,
    /// The step at which a second warm-up begins, and its steps.
    second: Option<[usize; 2]>,
}

impl Schedule {
    /// Creates the schedule of a run of `epochs` epochs of `steps_per_epoch` steps.
    pub fn new(learning_rate: f64, epochs: usize, steps_per_epoch: usize) -> Self {
        let warm_up = WARM_UP_EPOCHS.min(epochs) * steps_per_epoch;
        Self { learning_rate, warm_up, steps: epochs * steps_per_epoch, second: None }
    }

    /// Adds a second warm-up, from a step on: as long as the first, but at most a quarter of the
    /// steps that are left. At the start there is only one.
    pub fn with_second_warm_up(self, step: usize) -> Self {
        let steps = self.warm_up.min(self.steps.saturating_sub(step) / SECOND_WARM_UP_DIVISOR);
        Self { second: (step > 0).then_some([step, steps]), ..self }
    }

    /// Returns the rate of a step, counted from 0.
    ///
    /// With `s` the step, `w` the warm-up's steps and `n` all: `0.001 + 0.999 s / w` of the rate up
    /// to step `w`, `(1 - (s - w) / (n - w))^0.9` of it after; in a second warm-up of `v` steps
    /// from step `r` on, `0.001 + 0.999 (s - r) / v` of that.
    pub fn rate(&self, step: usize) -> f64 {
        let factor = if step <= self.warm_up {
            warmed_up(step, self.warm_up)
        } else {
            let done = (step - self.warm_up) as f64 / self.steps.saturating_sub(self.warm_up) as f64;
            (1.0 - done).max(0.0).powf(DECAY_POWER)
        };
        let again = match self.second {
            Some([begin, steps]) if step >= begin => warmed_up(step - begin, steps),
            _ => 1.0,
        };
        self.learning_rate * factor * again
    }
}

/// Returns the share of the rate after `step` of `steps` steps of a warm-up.
fn warmed_up(step: usize, steps: usize) -> f64 {
    let done = (step as f64 / steps.max(1) as f64).min(1.0);
    WARM_UP_FACTOR * (1.0 - done) + done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_warms_up_and_decays() {
        let schedule = Schedule::new(2e-3, 11, 10);
        for (name, step, expected) in [
            ("start", 0, 2e-6),
            ("halfway up", 5, 2e-3 * 0.5005),
            ("top", 10, 2e-3),
            ("halfway down", 60, 2e-3 * 0.5f64.powf(0.9)),
            ("last step", 109, 2e-3 * 0.01f64.powf(0.9)),
            ("end", 110, 0.0),
        ] {
            assert!((schedule.rate(step) - expected).abs() < 1e-12, "{name}: {}", schedule.rate(step));
        }
    }

    #[test]
    fn the_rate_warms_up_again_from_a_step_on() {
        let schedule = Schedule::new(2e-3, 11, 10);
        let again = schedule.with_second_warm_up(60);
        for (name, step, expected) in [
            ("before", 59, 1.0),
            ("its start", 60, 1e-3),
            ("halfway up", 65, 0.5005),
            ("its end", 70, 1.0),
            ("after", 71, 1.0),
        ] {
            let share = again.rate(step) / schedule.rate(step);
            assert!((share - expected).abs() < 1e-12, "{name}: {share}");
        }
        // Of eight steps that are left, it takes two.
        let short = schedule.with_second_warm_up(102);
        assert_eq!([103, 104].map(|step| short.rate(step) / schedule.rate(step) < 1.0), [true, false]);
        assert_eq!(schedule.with_second_warm_up(0), schedule);
    }

    #[test]
    fn one_epoch_is_all_warm_up() {
        let schedule = Schedule::new(1.0, 1, 4);
        assert!((0..4).all(|step| schedule.rate(step) < schedule.rate(step + 1)));
    }
}
