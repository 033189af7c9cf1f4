//! The verdict on a run, in sentences: what its curves and its scores say, and what may help.

use seg_contract::{Class, ConfusionMatrix};

use crate::run::record::EpochRecord;

/// The share of the validated epochs, the last ones, that show where the curve goes.
const END_SHARE: f64 = 0.2;
/// The fewest validated epochs of which such a share says something.
const EPOCHS_MIN: usize = 10;
/// The change of the mean Dice from one such share to the next that is more than noise.
const CHANGE: f64 = 0.005;
/// The loss of Dice from the best epoch to the last ones that says that training went on too long.
const FALL: f64 = 0.02;
/// The deviation of the Dice from its course in the last epochs that is unsteady.
const JUMPS: f64 = 0.03;
/// The fewest validation images that choose an epoch by more than luck.
const IMAGES_MIN: usize = 5;

/// A sentence of the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// The sentence, without a full stop at its end.
    pub text: String,
    /// True if it says that something is wrong.
    pub is_warning: bool,
}

/// The results that a verdict is about.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// A record per epoch.
    pub log: &'a [EpochRecord],
    /// The classes.
    pub classes: &'a [Class],
    /// The pixels of the validation images by true and predicted class.
    pub confusion: &'a ConfusionMatrix,
    /// The number of validation images.
    pub images: usize,
    /// The validation images that the network has learned from.
    pub learned: usize,
}

impl Evidence<'_> {
    /// Returns the verdict, the curve first.
    pub fn verdict(&self) -> Vec<Sentence> {
        let warnings = [self.same_images(), self.few_images()].into_iter().flatten();
        let warnings = warnings.chain(self.classes_not_found()).map(|text| Sentence { text, is_warning: true });
        self.curve().into_iter().chain(warnings).collect()
    }

    /// Says where the Dice of the validation images went in the last epochs.
    fn curve(&self) -> Option<Sentence> {
        let dice: Vec<(usize, f64)> =
            self.log.iter().filter_map(|record| Some((record.epoch, record.dice()?))).collect();
        let note = |text: String| Some(Sentence { text, is_warning: false });
        let warning = |text: String| Some(Sentence { text, is_warning: true });
        if dice.len() < EPOCHS_MIN {
            return note(format!("{} validated epochs are too few to say where the curve goes", dice.len()));
        }
        let count = ((dice.len() as f64 * END_SHARE).round() as usize).max(2);
        let mean = |part: &[(usize, f64)]| part.iter().map(|(_, dice)| dice).sum::<f64>() / part.len() as f64;
        let (before, end) = dice[dice.len() - 2 * count..].split_at(count);
        let (first, last) = (end[0].0, end[count - 1].0);
        let (change, level) = (mean(end) - mean(before), mean(end));
        let deviation = unsteadiness(&dice[dice.len() - 2 * count..]);
        let (best_epoch, best) = dice.iter().fold(dice[0], |best, each| if each.1 > best.1 { *each } else { best });
        if deviation > JUMPS {
            return warning(format!(
                "the Dice jumps in the last epochs, by about {deviation:.3} up to epoch {last}: the best epoch may be luck; larger \
                 batches, a lower `--lr` or more validation images steady it"
            ));
        }
        if best - level > FALL && best_epoch < first {
            return warning(format!(
                "the Dice has fallen since epoch {best_epoch}, from {best:.3} to {level:.3}: the network learns its images by heart; \
                 epoch {best_epoch} is kept, and `--patience`, more images or more augmentation help"
            ));
        }
        if change > CHANGE {
            return note(format!(
                "the Dice was still rising at the end, by {change:.3} in the last {count} validated epochs: more epochs may help"
            ));
        }
        note(format!("the Dice was level at the end, within {CHANGE} over the last {} validated epochs", 2 * count))
    }

    /// Says that validation images were learned from.
    fn same_images(&self) -> Option<String> {
        (self.learned > 0).then(|| {
            format!(
                "trained and scored on the same images: {} of {} validation images were learned from, here as copies or before by the \
                 weights of `--init`; the scores are too good",
                self.learned, self.images
            )
        })
    }

    /// Says that so few images chose the epoch that chance did.
    fn few_images(&self) -> Option<String> {
        (self.images < IMAGES_MIN).then(|| {
            format!(
                "{} validation images leave the choice of the epoch to chance; `--folds 5 --all` uses all images",
                self.images
            )
        })
    }

    /// Names the classes of which no pixel was found.
    fn classes_not_found(&self) -> impl Iterator<Item = String> {
        let pixels: u64 = self.confusion.counts().iter().flatten().sum();
        self.classes.iter().enumerate().skip(1).filter_map(move |(index, class)| {
            let row = self.confusion.counts().get(index)?;
            let truth: u64 = row.iter().sum();
            (truth > 0 && row[index] == 0).then(|| {
                format!(
                    "`{}` was never found, though {:.3} % of the pixels are of it; `--class-weights balanced` and `--augment \
                     target=0.5` let it count for more, more epochs let it be learned",
                    class.name,
                    100.0 * truth as f64 / pixels.max(1) as f64
                )
            })
        })
    }
}

/// Returns the deviation of values from a straight course: that of their differences, divided by
/// the root of two, which is the deviation of the values where each errs for itself.
fn unsteadiness(values: &[(usize, f64)]) -> f64 {
    let steps: Vec<f64> = values.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    let count = steps.len().max(1) as f64;
    let mean = steps.iter().sum::<f64>() / count;
    (steps.iter().map(|step| (step - mean).powi(2)).sum::<f64>() / count / 2.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::record::tests::record;

    /// Returns a log with these Dice.
    fn log(dice: impl IntoIterator<Item = f64>) -> Vec<EpochRecord> {
        let with = |(epoch, dice)| {
            let mut record = record(epoch);
            record.validation.as_mut().unwrap().scores.dice_per_image = dice;
            record
        };
        (1..).zip(dice).map(with).collect()
    }

    fn classes() -> Vec<Class> {
        ["ground", "disc", "rim"].iter().enumerate().map(|(index, name)| Class::new(*name, index)).collect()
    }

    fn texts(log: &[EpochRecord], counts: &str, images: usize, learned: usize) -> Vec<Sentence> {
        let confusion: ConfusionMatrix = serde_json::from_str(&format!(r#"{{"counts":{counts}}}"#)).unwrap();
        let classes = classes();
        Evidence { log, classes: &classes, confusion: &confusion, images, learned }.verdict()
    }

    /// Counts in which every class is found.
    const FOUND: &str = "[[80,1,1],[1,9,1],[1,1,5]]";

    #[test]
    fn the_curve_is_told_in_words() {
        let ramp = |count: usize, last: f64| (1..=count).map(move |epoch| last * epoch as f64 / count as f64);
        for (name, dice, part, is_warning) in [
            ("rising", ramp(20, 0.8).collect::<Vec<_>>(), "still rising at the end", false),
            ("level", ramp(10, 0.8).chain([0.8; 20]).collect(), "was level at the end", false),
            ("few", ramp(4, 0.8).collect(), "4 validated epochs are too few", false),
            (
                "falling",
                ramp(10, 0.8).chain([0.7; 20]).collect(),
                "has fallen since epoch 10, from 0.800 to 0.700",
                true,
            ),
            (
                "jumping",
                (0..20).map(|epoch| 0.6 + 0.2 * f64::from(epoch % 2)).collect(),
                "jumps in the last epochs",
                true,
            ),
        ] {
            let found = texts(&log(dice), FOUND, 9, 0);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].text.contains(part) && found[0].is_warning == is_warning, "{name}: {found:?}");
        }
    }

    #[test]
    fn a_class_that_is_never_found_is_named_with_its_share() {
        let log = log(vec![0.8; 20]);
        let found = texts(&log, "[[80,1,0],[1,9,0],[6,3,0]]", 9, 0);
        assert!(found[1].is_warning && found[1].text.contains("`rim` was never found, though 9.000 % of"), "{found:?}");
        let absent = texts(&log, "[[80,1,0],[1,9,0],[0,0,0]]", 9, 0);
        assert_eq!(absent.len(), 1, "a class that no mask shows is not missed: {absent:?}");
    }

    #[test]
    fn images_that_were_learned_from_and_too_few_are_told() {
        let log = log(vec![0.8; 20]);
        let found = texts(&log, FOUND, 9, 2);
        assert!(found[1].text.starts_with("trained and scored on the same images: 2 of 9 validation"), "{found:?}");
        let few = texts(&log, FOUND, 2, 0);
        assert!(few[1].text.contains("2 validation images leave the choice"), "{few:?}");
    }
}
