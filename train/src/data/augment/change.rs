//! A change to the augmentation, as a person writes it: `rotation=180@0.5`, `flip-vertical=0`,
//! `none`.

use std::str::FromStr;

use thiserror::Error;

use super::Augmentation;
use super::effect::{Chance, EFFECTS, Effect, PROBABILITY, Single, Unit};

/// A change to the augmentation.
///
/// | text | meaning |
/// |---|---|
/// | `none` | turns everything off, scale and flips included |
/// | `scale=MIN..MAX` | the scale's range |
/// | `flip-horizontal=P`, `flip-vertical=P`, `turn=P`, `target=P`, `mix=P` | a probability; `off` is 0 |
/// | `NAME`, `NAME@P` | an effect with its usual range |
/// | `NAME=V`, `NAME=MIN..MAX`, each also with `@P` | an effect with a range; one number spreads around what changes nothing |
/// | `brightness=Vsd`, `noise=MIN..MAXsd` | a range in standard deviations of the training images |
/// | `NAME=off` | an effect is turned off |
///
/// An effect is one of `rotation`, `elastic`, `brightness`, `contrast`, `gamma`, `saturation`,
/// `hue`, `blur` and `noise`; its probability is 0.5 unless `@P` says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    name: String,
    value: Value,
}

/// The mark behind strengths that are measured in standard deviations of the training images.
const DEVIATIONS: &str = "sd";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Nothing,
    Probability(f64),
    Range([f64; 2]),
    Chance(Option<Chance>),
}

/// An error in a text that should change the augmentation.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ChangeError {
    /// The augmentation is unknown.
    #[error(
        "`{name}` is no augmentation; expected none, scale, flip-horizontal, flip-vertical, turn, target, mix, rotation, \
         elastic, brightness, contrast, gamma, saturation, hue, blur or noise"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The value is not of the kind that the augmentation takes.
    #[error("cannot read `{text}`; expected {expected}")]
    Value {
        /// The whole text.
        text: String,
        /// The expected form.
        expected: &'static str,
    },
}

impl FromStr for Change {
    type Err = ChangeError;

    fn from_str(text: &str) -> Result<Self, ChangeError> {
        let (rest, probability) = split(text, '@');
        let (name, value) = split(rest, '=');
        let expect = |expected| ChangeError::Value { text: text.into(), expected };
        let value = match name {
            "none" if rest == text && value.is_none() => Value::Nothing,
            "none" => return Err(expect("`none` without a value")),
            "scale" => {
                let range = value.filter(|_| probability.is_none()).and_then(range);
                Value::Range(range.ok_or_else(|| expect("a range as scale=0.7..1.3"))?)
            }
            "flip-horizontal" | "flip-vertical" | "turn" | "target" | "mix" => {
                let number = value.filter(|_| probability.is_none()).and_then(|value| match value {
                    "off" => Some(0.0),
                    value => number(value),
                });
                Value::Probability(number.ok_or_else(|| expect("off or a probability, as turn=0.5"))?)
            }
            _ => {
                let Some(effect) = EFFECTS.iter().find(|effect| effect.name == name) else {
                    return Err(ChangeError::Name { name: name.into() });
                };
                Value::Chance(chance(effect, value, probability).ok_or_else(|| {
                    expect(
                        "off, a number or a range, and then perhaps a probability, as rotation=180@0.5, gamma=0.8..1.2 or \
                         brightness=0.5sd",
                    )
                })?)
            }
        };
        Ok(Self { name: name.into(), value })
    }
}

impl Augmentation {
    /// Makes the change. Whether the numbers make sense is for [`check`](Self::check) to say.
    pub fn apply(&mut self, change: &Change) {
        match (change.name.as_str(), change.value) {
            (_, Value::Nothing) => *self = Self::none(self.short_side, self.crop),
            (_, Value::Range(range)) => [self.scale_min, self.scale_max] = range,
            ("flip-horizontal", Value::Probability(probability)) => self.flip_horizontal = probability,
            ("flip-vertical", Value::Probability(probability)) => self.flip_vertical = probability,
            ("target", Value::Probability(probability)) => self.target = probability,
            ("mix", Value::Probability(probability)) => self.mix = probability,
            (_, Value::Probability(probability)) => self.turn = probability,
            (name, Value::Chance(chance)) => {
                let effect = EFFECTS.iter().find(|effect| effect.name == name);
                *(effect.expect("only the names of effects are parsed into chances").field)(self) = chance;
            }
        }
    }
}

/// Parses the setting of an effect; `None` where the text is not one.
fn chance(effect: &Effect, value: Option<&str>, probability: Option<&str>) -> Option<Option<Chance>> {
    if value == Some("off") {
        return probability.is_none().then_some(None);
    }
    let probability = probability.map_or(Some(PROBABILITY), number)?;
    let Some(text) = value else { return Some(Some(effect.usual(probability))) };
    let (text, unit) = match text.strip_suffix(DEVIATIONS) {
        Some(text) => (text, Unit::Deviation),
        None => (text, Unit::Own),
    };
    let range = range(text).or_else(|| {
        let strength = number(text)?;
        Some(match effect.single {
            Single::AroundZero => [-strength, strength],
            Single::AroundOne => [1.0 - strength, 1.0 + strength],
            Single::UpTo => [0.0, strength],
        })
    })?;
    Some(Some(Chance { probability, range, unit }))
}

/// Splits a text at a mark; without the mark all of it is before.
fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn range(text: &str) -> Option<[f64; 2]> {
    let (min, max) = text.split_once("..")?;
    Some([number(min)?, number(max)?])
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_changes_what_it_names() {
        let base = || Augmentation::recipe(100, [64, 64]);
        let chance = |probability, min, max| Some(Chance { probability, range: [min, max], unit: Unit::Own });
        let of_data = |probability, min, max| Some(Chance { probability, range: [min, max], unit: Unit::Deviation });
        for (text, expected) in [
            ("none", Augmentation::none(100, [64, 64])),
            ("scale=0.5..2", Augmentation { scale_min: 0.5, scale_max: 2.0, ..base() }),
            ("flip-horizontal=0", Augmentation { flip_horizontal: 0.0, ..base() }),
            ("flip-vertical=0.25", Augmentation { flip_vertical: 0.25, ..base() }),
            ("turn=1", Augmentation { turn: 1.0, ..base() }),
            ("target=0.5", Augmentation { target: 0.5, ..base() }),
            ("mix=0.5", Augmentation { mix: 0.5, ..base() }),
            ("rotation=30", Augmentation { rotation: chance(0.5, -30.0, 30.0), ..base() }),
            ("rotation=-10..20@0.2", Augmentation { rotation: chance(0.2, -10.0, 20.0), ..base() }),
            ("elastic", Augmentation { elastic: chance(0.5, 0.0, 10.0), ..base() }),
            ("elastic@0.3", Augmentation { elastic: chance(0.3, 0.0, 10.0), ..base() }),
            ("brightness=0.1", Augmentation { brightness: chance(0.5, -0.1, 0.1), ..base() }),
            ("brightness", Augmentation { brightness: of_data(0.5, -0.5, 0.5), ..base() }),
            ("brightness=0.3sd@0.2", Augmentation { brightness: of_data(0.2, -0.3, 0.3), ..base() }),
            ("noise=0.1..0.4sd", Augmentation { noise: of_data(0.5, 0.1, 0.4), ..base() }),
            ("contrast=0.25", Augmentation { contrast: chance(0.5, 0.75, 1.25), ..base() }),
            ("gamma=0.5..2", Augmentation { gamma: chance(0.5, 0.5, 2.0), ..base() }),
            ("saturation=0..1@1", Augmentation { saturation: chance(1.0, 0.0, 1.0), ..base() }),
            ("hue=20", Augmentation { hue: chance(0.5, -20.0, 20.0), ..base() }),
            ("blur=2@0.1", Augmentation { blur: chance(0.1, 0.0, 2.0), ..base() }),
            ("noise=0.01..0.02", Augmentation { noise: chance(0.5, 0.01, 0.02), ..base() }),
            ("noise=off", base()),
            ("turn=off", Augmentation { turn: 0.0, ..base() }),
        ] {
            let mut augmentation = base();
            augmentation.apply(&text.parse().unwrap());
            assert_eq!(augmentation, expected, "{text}");
            let mut off = Augmentation { noise: chance(1.0, 0.0, 1.0), ..base() };
            off.apply(&"noise=off".parse().unwrap());
            assert_eq!(off, base());
        }
    }

    #[test]
    fn a_text_that_says_nothing_is_an_error() {
        for (text, part) in [
            ("shear=3", "`shear` is no augmentation; expected none, scale"),
            ("", "`` is no augmentation"),
            ("none=1", "`none` without a value"),
            ("none@1", "`none` without a value"),
            ("scale=2", "cannot read `scale=2`; expected a range"),
            ("scale=1..2@0.5", "expected a range"),
            ("turn", "expected off or a probability"),
            ("turn=0.5@1", "expected off or a probability"),
            ("rotation=", "cannot read `rotation=`"),
            ("rotation=1..", "cannot read `rotation=1..`"),
            ("rotation=inf", "cannot read `rotation=inf`"),
            ("brightness=sd", "cannot read `brightness=sd`; expected off, a number or a range"),
            ("noise=0.1sd..0.4sd", "or brightness=0.5sd"),
            ("rotation@", "cannot read `rotation@`"),
            ("rotation=off@1", "cannot read `rotation=off@1`"),
        ] {
            let message = text.parse::<Change>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
