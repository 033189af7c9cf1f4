//! The learning rate of the recipe: linear warm-up, then polynomial decay, step by step.

/// The epochs of warm-up.
const WARM_UP_EPOCHS: usize = 1;
/// The share of the rate at which warm-up starts.
const WARM_UP_FACTOR: f64 = 1e-3;
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
}

impl Schedule {
    /// Creates the schedule of a run of `epochs` epochs of `steps_per_epoch` steps.
    pub fn new(learning_rate: f64, epochs: usize, steps_per_epoch: usize) -> Self {
        let warm_up = WARM_UP_EPOCHS.min(epochs) * steps_per_epoch;
        Self { learning_rate, warm_up, steps: epochs * steps_per_epoch }
    }

    /// Returns the rate of a step, counted from 0.
    ///
    /// With `s` the step, `w` the warm-up's steps and `n` all: `0.001 + 0.999 s / w` of the rate up
    /// to step `w`, `(1 - (s - w) / (n - w))^0.9` of it after.
    pub fn rate(&self, step: usize) -> f64 {
        let (step, warm_up, steps) = (step as f64, self.warm_up as f64, self.steps as f64);
        let factor = if step <= warm_up {
            let done = step / warm_up.max(1.0);
            WARM_UP_FACTOR * (1.0 - done) + done
        } else {
            (1.0 - (step - warm_up) / (steps - warm_up)).max(0.0).powf(DECAY_POWER)
        };
        self.learning_rate * factor
    }
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
    fn one_epoch_is_all_warm_up() {
        let schedule = Schedule::new(1.0, 1, 4);
        assert!((0..4).all(|step| schedule.rate(step) < schedule.rate(step + 1)));
    }
}
