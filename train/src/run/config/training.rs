//! The training loop's settings: its steps, its checks and its end.

use seg_nets::precision::Precision;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::learn::loss_terms::LossTerms;

/// The minutes of training that an interruption may cost.
const SAVE_MINUTES: f64 = 10.0;

/// The share of epochs at the end in which statistics stay fixed.
const FIXED_STATISTICS: f64 = 0.5;

/// The settings of the loop: its steps, its checks and its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// The bits of the maps between layers.
    pub precision: Precision,
    /// True if the maps inside a stage are computed again for its gradient instead of kept.
    pub checkpoint_activations: bool,
    /// The terms of the loss.
    #[serde(skip_serializing_if = "is_recipe")]
    pub loss: LossTerms,
    /// Batches per step.
    pub accumulate: usize,
    /// The L2 norm that the gradients of a step are scaled down to.
    pub clip_norm: Option<f64>,
    /// The decay of the weights' moving average, which is then what is validated and kept as the
    /// best.
    pub ema: Option<f64>,
    /// True if BatchNorm's running statistics are estimated again over training images before each
    /// validation. Runs that began before there was a choice keep those of the last steps.
    #[serde(default)]
    pub estimate_statistics: bool,
    /// The share of epochs, the last ones, in which BatchNorm normalises by its running statistics
    /// and leaves them as they are, so that the network learns as it will be used.
    #[serde(default)]
    pub fixed_statistics: f64,
    /// Epochs from one validation to the next.
    pub validate_every: usize,
    /// The epochs without a better one after which the run ends.
    pub patience: Option<usize>,
    /// The minutes after which the run ends with its epoch.
    pub minutes: Option<f64>,
    /// The minutes after which an unfinished epoch is saved.
    pub save_minutes: f64,
}

/// Returns whether a loss is the recipe's, which files leave out.
fn is_recipe(loss: &LossTerms) -> bool {
    *loss == LossTerms::default()
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            loss: LossTerms::default(),
            precision: Precision::default(),
            checkpoint_activations: false,
            accumulate: 1,
            clip_norm: None,
            ema: None,
            estimate_statistics: true,
            fixed_statistics: FIXED_STATISTICS,
            validate_every: 1,
            patience: None,
            minutes: None,
            save_minutes: SAVE_MINUTES,
        }
    }
}

impl TrainingConfig {
    /// Returns the first epoch in which statistics stay fixed, counted from 0, of a run of so many;
    /// `None` if there is none.
    pub fn first_fixed_epoch(&self, epochs: usize) -> Option<usize> {
        let first = (epochs as f64 * (1.0 - self.fixed_statistics)).ceil() as usize;
        (first < epochs).then_some(first)
    }

    /// Checks what a file or a person wrote.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let positive = |number: Option<f64>| number.is_none_or(|number| number.is_finite() && number > 0.0);
        let text = |number: Option<f64>| number.unwrap_or_default().to_string();
        let checks = [
            ("accumulate", self.accumulate > 0, "0".into(), "at least 1"),
            ("clip_norm", positive(self.clip_norm), text(self.clip_norm), "a positive number"),
            ("ema", self.ema.is_none_or(|ema| ema > 0.0 && ema < 1.0), text(self.ema), "a number between 0 and 1"),
            (
                "fixed_statistics",
                (0.0..=1.0).contains(&self.fixed_statistics),
                self.fixed_statistics.to_string(),
                "a number from 0 to 1",
            ),
            ("validate_every", self.validate_every > 0, "0".into(), "at least 1"),
            ("patience", self.patience != Some(0), "0".into(), "at least 1"),
            ("minutes", positive(self.minutes), text(self.minutes), "a positive number"),
            ("save_minutes", positive(Some(self.save_minutes)), self.save_minutes.to_string(), "a positive number"),
        ];
        match checks.into_iter().find(|(_, fits, ..)| !fits) {
            Some((name, _, found, expected)) => Err(ConfigError::Number { name, found, expected }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_named() {
        let base = TrainingConfig::default;
        for (config, expected) in [
            (TrainingConfig { accumulate: 0, ..base() }, "`accumulate` is 0, expected at least 1"),
            (TrainingConfig { clip_norm: Some(-1.0), ..base() }, "`clip_norm` is -1, expected a positive number"),
            (TrainingConfig { ema: Some(1.0), ..base() }, "`ema` is 1, expected a number between 0 and 1"),
            (TrainingConfig { ema: Some(f64::NAN), ..base() }, "`ema` is NaN"),
            (
                TrainingConfig { fixed_statistics: 1.5, ..base() },
                "`fixed_statistics` is 1.5, expected a number from 0 to 1",
            ),
            (TrainingConfig { validate_every: 0, ..base() }, "`validate_every` is 0"),
            (TrainingConfig { patience: Some(0), ..base() }, "`patience` is 0"),
            (TrainingConfig { minutes: Some(0.0), ..base() }, "`minutes` is 0"),
            (TrainingConfig { save_minutes: f64::INFINITY, ..base() }, "`save_minutes` is inf"),
        ] {
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{expected}: {message}");
        }
        assert_eq!(base().check(), Ok(()));
    }
}
