//! The choice of a threshold and of the cleaning of masks, by predictions of images that no network
//! learned from.
//!
//! A change is kept if the interval of what it gains, a paired bootstrap over the images, lies
//! above zero: what gains by chance is not taken over.

use std::collections::BTreeMap;
use std::fmt;

use image::GrayImage;
use seg_metrics::{Bootstrap, Cleanup, Components, Connectivity, quantile};
use seg_text::shell;
use serde::Serialize;

use super::out_of_fold::{OutOfFold, OutOfFoldError, THRESHOLDS};

/// The share of true areas, the smallest, below whose size areas may be removed.
const SMALL_SHARE: f64 = 0.1;

/// The difference that a change makes to the Dice per image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    /// The mean over the images.
    pub mean: f64,
    /// Its 95 % interval; `None` of fewer than two images.
    pub interval: Option<[f64; 2]>,
}

/// A change that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// The flag of `infer` and `eval`.
    pub flag: &'static str,
    /// Its value.
    pub value: String,
    /// The gain over the changes that were kept before.
    pub gain: Gain,
    /// True if it was kept.
    pub is_kept: bool,
}

/// The steps behind a network: a threshold, and the cleaning of each class.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Choice {
    /// The threshold for the second of two classes; without one the more probable class wins.
    pub threshold: Option<f32>,
    /// The cleaning of classes by their names.
    pub cleanup: BTreeMap<String, Cleanup>,
    /// The changes that were tried, in their order.
    pub trials: Vec<Trial>,
    /// The Dice of each image after the changes that were kept.
    #[serde(skip)]
    pub dice: Vec<f64>,
}

/// A change to the masks of a class.
#[derive(Clone, Debug)]
struct Change {
    class: usize,
    cleanup: Cleanup,
    flag: &'static str,
    value: String,
}

impl Gain {
    /// Compares the values of the same images before and after a change.
    pub fn between(before: &[f64], after: &[f64], bootstrap: &Bootstrap) -> Self {
        let differences: Vec<f64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
        let mean = |drawn: &[usize]| {
            Some(drawn.iter().map(|image| differences[*image]).sum::<f64>() / drawn.len().max(1) as f64)
        };
        let all: Vec<_> = (0..differences.len()).collect();
        Self { mean: mean(&all).unwrap_or_default(), interval: bootstrap.interval(differences.len(), mean) }
    }

    /// Returns whether the change helps beyond chance.
    pub fn is_sure(&self) -> bool {
        self.interval.is_some_and(|[low, _]| low > 0.0)
    }
}

impl Choice {
    /// Chooses by the predictions of all images; `observe` hears what is tried.
    ///
    /// # Errors
    /// When a prediction or an image cannot be read.
    pub fn make(predictions: &OutOfFold, mut observe: impl FnMut(&str)) -> Result<Self, OutOfFoldError> {
        let bootstrap = Bootstrap::default();
        let mut choice = Self { dice: predictions.dice(), ..Self::default() };
        observe("the threshold");
        choice.choose_threshold(predictions, &bootstrap);
        let mut changes = changes(predictions)?;
        while !changes.is_empty() {
            observe("the cleaning of masks");
            let tried = choice.try_all(predictions, &changes)?;
            let gain = |dice: &Vec<f64>| Gain::between(&choice.dice, dice, &bootstrap);
            let gains: Vec<_> = tried.iter().map(gain).collect();
            let best = (0..gains.len()).max_by(|one, other| gains[*one].mean.total_cmp(&gains[*other].mean));
            let Some(best) = best.filter(|best| gains[*best].is_sure()) else {
                let refused = changes.into_iter().zip(gains);
                let refused = refused.map(|(change, gain)| change.tried(gain, false));
                choice.trials.extend(refused);
                break;
            };
            let change = changes.swap_remove(best);
            // Another least area of the class would replace this one.
            changes.retain(|other| other.class != change.class || !change.has_area() || !other.has_area());
            choice.trials.push(change.clone().tried(gains[best], true));
            let name = predictions.classes[change.class].name.clone();
            let cleanup = choice.cleanup.entry(name).or_default();
            *cleanup = joined(*cleanup, change.cleanup);
            choice.dice.clone_from(&tried[best]);
        }
        Ok(choice)
    }

    /// Returns the flags of `infer` and `eval` that were kept, as words of a command.
    pub fn flags(&self) -> Vec<String> {
        let kept = self.trials.iter().filter(|trial| trial.is_kept);
        kept.map(|trial| format!("{} {}", trial.flag, shell::path(trial.value.as_ref()))).collect()
    }

    fn choose_threshold(&mut self, predictions: &OutOfFold, bootstrap: &Bootstrap) {
        if predictions.images.iter().any(|image| image.at_thresholds.is_empty()) {
            return;
        }
        let at = |index: usize| predictions.images.iter().map(|image| image.at_thresholds[index]).collect::<Vec<_>>();
        let mean = |index: usize| at(index).iter().sum::<f64>();
        let best = (0..THRESHOLDS.len()).max_by(|one, other| mean(*one).total_cmp(&mean(*other)));
        let Some(best) = best else { return };
        let (threshold, dice) = (THRESHOLDS[best], at(best));
        let gain = Gain::between(&self.dice, &dice, bootstrap);
        let is_kept = gain.is_sure();
        self.trials.push(Trial { flag: "--threshold", value: threshold.to_string(), gain, is_kept });
        if is_kept {
            (self.threshold, self.dice) = (Some(threshold), dice);
        }
    }

    /// Returns the Dice of each image after each change, on top of those that were kept.
    fn try_all(&self, predictions: &OutOfFold, changes: &[Change]) -> Result<Vec<Vec<f64>>, OutOfFoldError> {
        let kept: Vec<_> = (0..)
            .zip(&predictions.classes)
            .map(|(label, class)| (label, self.cleanup.get(&class.name).copied().unwrap_or_default()))
            .collect();
        let change = |mask: &GrayImage| {
            let apply = |change: &Change| {
                let mut mask = mask.clone();
                for (label, cleanup) in &kept {
                    let own = usize::from(*label) == change.class;
                    let cleanup = if own { joined(*cleanup, change.cleanup) } else { *cleanup };
                    cleanup.apply(&mut mask, *label);
                }
                mask
            };
            changes.iter().map(apply).collect()
        };
        let by_image = predictions.rescore(self.threshold, change)?;
        Ok((0..changes.len()).map(|change| by_image.iter().map(|dice| dice[change]).collect()).collect())
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.flag, self.value)
    }
}

impl Change {
    fn tried(self, gain: Gain, is_kept: bool) -> Trial {
        Trial { flag: self.flag, value: self.value, gain, is_kept }
    }

    fn has_area(&self) -> bool {
        self.cleanup.min_area > 0
    }
}

/// Returns a cleaning that does what both do.
fn joined(one: Cleanup, other: Cleanup) -> Cleanup {
    Cleanup {
        fill_holes: one.fill_holes || other.fill_holes,
        min_area: one.min_area.max(other.min_area),
        largest_component: one.largest_component || other.largest_component,
    }
}

/// Lists the changes to try: for each class but the background filled holes, the largest area
/// alone, and the areas that are smaller than nearly all true ones removed.
fn changes(predictions: &OutOfFold) -> Result<Vec<Change>, OutOfFoldError> {
    let targets = 1..predictions.classes.len();
    let sizes = |truth: &GrayImage| {
        let of = |class| Components::from_mask(truth, class as u8, Connectivity::Eight).sizes;
        targets.clone().map(of).collect::<Vec<_>>()
    };
    let by_image = predictions.truths(sizes)?;
    let mut changes = Vec::new();
    for class in targets.clone() {
        let name = &predictions.classes[class].name;
        let mut add = |cleanup, flag, value| changes.push(Change { class, cleanup, flag, value });
        let nothing = Cleanup::default();
        add(Cleanup { fill_holes: true, ..nothing }, "--fill-holes", name.clone());
        add(Cleanup { largest_component: true, ..nothing }, "--largest-component", name.clone());
        let mut areas: Vec<f64> =
            by_image.iter().flat_map(|sizes| &sizes[class - 1]).map(|size| *size as f64).collect();
        areas.sort_by(f64::total_cmp);
        let small = quantile(&areas, SMALL_SHARE).unwrap_or_default() as u64;
        let mut tried = vec![small / 4, small / 2, small];
        tried.retain(|area| *area > 1);
        tried.dedup();
        for min_area in tried {
            add(Cleanup { min_area, ..nothing }, "--min-area", format!("{name}={min_area}"));
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use image::{Luma, Rgb, RgbImage};
    use seg_contract::{Class, ConfusionMatrix};
    use seg_data::{Dataset, write_mask_png, write_png};

    use super::super::out_of_fold::Predicted;
    use super::*;

    /// Creates images whose truth is a square, predicted with a hole and with specks around it.
    fn predictions(folder: &Path) -> OutOfFold {
        for name in ["images", "masks", "maps"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let palette = [[0; 3], [255; 3], [9; 3]];
        let is_target = |x: u32, y: u32| (8..20).contains(&x) && (6..18).contains(&y);
        for number in 0..8 {
            let image = RgbImage::from_pixel(32, 24, Rgb([number; 3]));
            write_png(&folder.join(format!("images/{number}.png")), &image).unwrap();
            let mask = GrayImage::from_fn(32, 24, |x, y| Luma([u8::from(is_target(x, y))]));
            write_mask_png(&folder.join(format!("masks/{number}.png")), &mask, &palette[..2]).unwrap();
            let column = u32::from(number);
            let predicted = |x: u32, y: u32| match (x, y) {
                (12, 12) | (13, 12) => 0,
                (x, y) if is_target(x, y) => 1,
                (x, 1) if x % 3 == 0 && x < 9 + column => 1,
                _ => 0,
            };
            let mask = GrayImage::from_fn(32, 24, |x, y| Luma([predicted(x, y)]));
            write_mask_png(&folder.join(format!("maps/{number}.png")), &mask, &palette).unwrap();
        }
        let dataset = Dataset::open(folder).unwrap();
        let image = |sample: &seg_data::Sample| {
            let file = folder.join(format!("maps/{}.png", sample.name));
            let mask = seg_data::read_mask(&file, &seg_data::MaskCoding::Index { classes: 3 }).unwrap();
            let mut confusion = ConfusionMatrix::new(3);
            confusion.add(&mask, &sample.load().unwrap().1).unwrap();
            Predicted { sample: sample.clone(), fold: 1, confusion, at_thresholds: Vec::new(), file }
        };
        let classes = ["ground", "square", "nothing"];
        OutOfFold {
            classes: classes.iter().enumerate().map(|(index, name)| Class::new(*name, index)).collect(),
            images: dataset.train.iter().map(image).collect(),
        }
    }

    #[test]
    fn what_helps_beyond_chance_is_kept_and_what_does_not_is_only_told() {
        let folder = tempfile::tempdir().unwrap();
        let choice = Choice::make(&predictions(folder.path()), |_| {}).unwrap();
        let square = choice.cleanup["square"];
        assert!(square.fill_holes, "{choice:?}");
        assert!(square.largest_component || square.min_area > 1, "{choice:?}");
        assert!(!choice.cleanup.contains_key("nothing"), "{choice:?}");
        assert_eq!(choice.threshold, None);
        assert!(choice.dice.iter().all(|dice| *dice == 1.0), "{:?}", choice.dice);
        assert!(choice.flags().contains(&"--fill-holes square".to_owned()), "{:?}", choice.flags());
        assert!(choice.trials.iter().any(|trial| !trial.is_kept && trial.to_string() == "--fill-holes nothing"));
    }

    #[test]
    fn a_gain_is_that_of_the_same_images() {
        let bootstrap = Bootstrap::default();
        let before = [0.1, 0.9, 0.5, 0.7, 0.3, 0.6];
        let better = before.map(|dice| dice + 0.01);
        let gain = Gain::between(&before, &better, &bootstrap);
        assert!((gain.mean - 0.01).abs() < 1e-12 && gain.is_sure(), "{gain:?}");
        let mixed = [0.3, 0.7, 0.6, 0.6, 0.4, 0.5];
        assert!(!Gain::between(&before, &mixed, &bootstrap).is_sure());
        assert!(!Gain::between(&before[..1], &better[..1], &bootstrap).is_sure(), "one image proves nothing");
        assert!(!Gain::between(&before, &before, &bootstrap).is_sure());
    }
}
