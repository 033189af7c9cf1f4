//! The augmentations that are off unless chosen: their names, their ranges, and when they happen.

use rand::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Augmentation;
use super::elastic::AMPLITUDE_MAX;

/// The probability of an effect on an image, and the range of its strength.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chance {
    /// The probability that it happens.
    pub probability: f64,
    /// The smallest and the largest strength; every one between is as likely.
    pub range: [f64; 2],
    /// The unit of the strength.
    #[serde(default, skip_serializing_if = "Unit::is_own")]
    pub unit: Unit,
}

/// The unit of an effect's strength.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// The effect's own: for brightness and noise, values from 0 (black) to 1 (white).
    #[default]
    Own,
    /// The standard deviation of the training images, in each channel its own.
    Deviation,
}

impl Unit {
    /// Returns whether the unit is the effect's own.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

/// Draws the strength of the effect, if it happens this time.
pub(super) fn draw(chance: Option<Chance>, rng: &mut impl Rng) -> Option<f64> {
    let Chance { probability, range: [min, max], .. } = chance?;
    rng.random_bool(probability).then(|| rng.random_range(min..=max))
}

/// Draws the strength of an effect on values, if it happens this time, as what it comes to in each
/// channel.
///
/// `deviation` is the standard deviation of the training images.
pub(super) fn draw_values(chance: Option<Chance>, deviation: [f32; 3], rng: &mut impl Rng) -> Option<[f32; 3]> {
    let strength = draw(chance, rng)? as f32;
    Some(match chance?.unit {
        Unit::Own => [strength; 3],
        Unit::Deviation => deviation.map(|deviation| strength * deviation),
    })
}

/// The meaning of one number that stands for a range.
#[derive(Clone, Copy, Debug)]
pub(super) enum Single {
    /// `v` is `-v` to `v`.
    AroundZero,
    /// `v` is `1 - v` to `1 + v`.
    AroundOne,
    /// `v` is 0 to `v`.
    UpTo,
}

/// An augmentation that is off unless chosen.
pub(super) struct Effect {
    /// Its name, which is that of its field as well.
    pub(super) name: &'static str,
    /// The field of its setting.
    pub(super) field: fn(&mut Augmentation) -> &mut Option<Chance>,
    /// The strengths that make sense, in the effect's own unit.
    pub(super) bounds: [f64; 2],
    /// The strengths that make sense in deviations, where the effect can be measured in them.
    pub(super) deviations: Option<[f64; 2]>,
    /// The range of one that is only named; in deviations where it can be.
    pub(super) usual: [f64; 2],
    /// The meaning of one number.
    pub(super) single: Single,
}

/// The probability of an effect for which none is named.
pub(super) const PROBABILITY: f64 = 0.5;

impl Effect {
    /// Returns the effect as it usually is, which happens with a probability.
    pub(super) fn usual(&self, probability: f64) -> Chance {
        let unit = if self.deviations.is_some() { Unit::Deviation } else { Unit::Own };
        Chance { probability, range: self.usual, unit }
    }
}

/// All effects.
pub(super) const EFFECTS: [Effect; 9] = {
    use Single::{AroundOne, AroundZero, UpTo};
    const fn effect(
        name: &'static str,
        field: fn(&mut Augmentation) -> &mut Option<Chance>,
        bounds: [f64; 2],
        usual: [f64; 2],
        single: Single,
    ) -> Effect {
        Effect { name, field, bounds, deviations: None, usual, single }
    }
    const fn of_values(effect: Effect, deviations: [f64; 2]) -> Effect {
        Effect { deviations: Some(deviations), ..effect }
    }
    [
        effect("rotation", |a| &mut a.rotation, [-180.0, 180.0], [-15.0, 15.0], AroundZero),
        effect("elastic", |a| &mut a.elastic, [0.0, AMPLITUDE_MAX], [0.0, 10.0], UpTo),
        of_values(effect("brightness", |a| &mut a.brightness, [-1.0, 1.0], [-0.5, 0.5], AroundZero), [-4.0, 4.0]),
        effect("contrast", |a| &mut a.contrast, [0.0, 4.0], [0.75, 1.25], AroundOne),
        effect("gamma", |a| &mut a.gamma, [0.1, 10.0], [0.75, 1.25], AroundOne),
        effect("saturation", |a| &mut a.saturation, [0.0, 4.0], [0.75, 1.25], AroundOne),
        effect("hue", |a| &mut a.hue, [-180.0, 180.0], [-10.0, 10.0], AroundZero),
        effect("blur", |a| &mut a.blur, [0.0, 16.0], [0.0, 1.5], UpTo),
        of_values(effect("noise", |a| &mut a.noise, [0.0, 1.0], [0.0, 0.2], UpTo), [0.0, 4.0]),
    ]
};

/// An error in the settings of the augmentation.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum AugmentationError {
    /// A probability is none.
    #[error("the probability of `{name}` is {found}, expected 0 to 1")]
    Probability {
        /// The augmentation.
        name: &'static str,
        /// The probability.
        found: f64,
    },
    /// An effect cannot be measured in the unit.
    #[error("`{name}` cannot be measured in deviations of the data; only brightness and noise can")]
    Unit {
        /// The augmentation.
        name: &'static str,
    },
    /// A range is empty or leaves what makes sense.
    #[error("the range of `{name}` is {}..{}, expected a lower and an upper end within {}..{}", found[0], found[1], bounds[0], bounds[1])]
    Range {
        /// The augmentation.
        name: &'static str,
        /// The range.
        found: [f64; 2],
        /// The range that is allowed.
        bounds: [f64; 2],
    },
}

/// The scales that make sense.
const SCALES: [f64; 2] = [0.05, 20.0];

impl Augmentation {
    /// Checks what a file or a person wrote.
    ///
    /// # Errors
    /// When a probability is not between 0 and 1, a range is empty or out of its bounds, or the
    /// effect has no such unit.
    pub fn check(&self) -> Result<(), AugmentationError> {
        let flips = [
            ("flip-horizontal", self.flip_horizontal),
            ("flip-vertical", self.flip_vertical),
            ("turn", self.turn),
            ("target", self.target),
            ("mix", self.mix),
        ];
        for (name, probability) in flips {
            check_probability(name, probability)?;
        }
        check_range("scale", [self.scale_min, self.scale_max], SCALES)?;
        let mut settings = self.clone();
        for Effect { name, field, bounds, deviations, .. } in EFFECTS {
            if let Some(Chance { probability, range, unit }) = *field(&mut settings) {
                check_probability(name, probability)?;
                let bounds = match unit {
                    Unit::Own => bounds,
                    Unit::Deviation => deviations.ok_or(AugmentationError::Unit { name })?,
                };
                check_range(name, range, bounds)?;
            }
        }
        Ok(())
    }
}

fn check_probability(name: &'static str, found: f64) -> Result<(), AugmentationError> {
    if (0.0..=1.0).contains(&found) { Ok(()) } else { Err(AugmentationError::Probability { name, found }) }
}

fn check_range(name: &'static str, found: [f64; 2], bounds: [f64; 2]) -> Result<(), AugmentationError> {
    let fits = bounds[0] <= found[0] && found[0] <= found[1] && found[1] <= bounds[1];
    if fits { Ok(()) } else { Err(AugmentationError::Range { name, found, bounds }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_makes_sense() {
        let mut augmentation = Augmentation::recipe(100, [64, 64]);
        for effect in EFFECTS {
            *(effect.field)(&mut augmentation) = Some(effect.usual(PROBABILITY));
            assert_eq!(augmentation.check(), Ok(()), "{}", effect.name);
        }
    }

    #[test]
    fn an_effects_name_is_its_fields() {
        for effect in EFFECTS {
            let mut augmentation = Augmentation::none(100, [64, 64]);
            *(effect.field)(&mut augmentation) = Some(effect.usual(1.0));
            let json = serde_json::to_value(augmentation).unwrap();
            assert_eq!(json[effect.name]["probability"], 1.0, "{}", effect.name);
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let base = || Augmentation::recipe(100, [64, 64]);
        let chance = |probability, range| Some(Chance { probability, range, unit: Unit::Own });
        let of_data = |range| Some(Chance { probability: 1.0, range, unit: Unit::Deviation });
        for (augmentation, part) in [
            (Augmentation { flip_vertical: 1.5, ..base() }, "`flip-vertical` is 1.5"),
            (Augmentation { turn: f64::NAN, ..base() }, "`turn` is NaN"),
            (Augmentation { scale_min: 1.4, ..base() }, "`scale` is 1.4..1.3"),
            (Augmentation { scale_min: 0.0, ..base() }, "`scale` is 0..1.3"),
            (Augmentation { rotation: chance(-0.5, [0.0, 1.0]), ..base() }, "`rotation` is -0.5"),
            (
                Augmentation { noise: chance(0.5, [0.0, 2.0]), ..base() },
                "`noise` is 0..2, expected a lower and an upper end within 0..1",
            ),
            (Augmentation { gamma: chance(0.5, [f64::NAN, 2.0]), ..base() }, "`gamma` is NaN..2"),
            (Augmentation { blur: of_data([0.0, 1.0]), ..base() }, "`blur` cannot be measured in deviations"),
            (Augmentation { noise: of_data([0.0, 5.0]), ..base() }, "`noise` is 0..5, expected"),
        ] {
            let message = augmentation.check().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
