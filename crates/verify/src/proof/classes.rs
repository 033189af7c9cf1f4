//! The verdict on each class over the masks of all images: whether the model keeps what the exact
//! masks show.
//!
//! Pixels are counted over all images together, so that a rare class is judged by all of its
//! pixels. A class that the exact masks do not show cannot be judged: that is reported, and is not
//! a finding.

use std::fmt;

use seg_contract::Class;
use serde::{Deserialize, Serialize};

use super::masks::{MaskReport, Overlap};
use crate::bounds::{Bound, CLASS_PIXELS_LEAST};
use crate::finding::Finding;

/// The verdict on a class over the masks of all image files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClassReport {
    /// The class's name.
    pub class: String,
    /// The class's pixels.
    pub pixels: Overlap,
    /// The [Dice](Overlap::dice) of the pixels, if there are any.
    pub dice: Option<f64>,
    /// The verdict.
    pub verdict: ClassVerdict,
}

/// The verdict on a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClassVerdict {
    /// The model keeps it.
    Kept,
    /// The model loses it, invents it or places it elsewhere.
    NotKept,
    /// Neither mask has [enough](CLASS_PIXELS_LEAST) of it.
    NothingProven,
}

/// Judges each class over the masks of images, if there are any and the bound asks for it.
pub(crate) fn judge<'m>(
    classes: &[Class],
    masks: impl IntoIterator<Item = &'m MaskReport>,
    bound: &Bound,
) -> Vec<ClassReport> {
    let mut masks = masks.into_iter().peekable();
    let (Some(least), true) = (bound.dice, masks.peek().is_some()) else { return Vec::new() };
    let mut pixels = vec![Overlap::default(); classes.len()];
    for mask in masks {
        for (all, one) in pixels.iter_mut().zip(&mask.classes) {
            *all = all.and(*one);
        }
    }
    classes.iter().zip(pixels).map(|(class, pixels)| judge_class(class, pixels, least)).collect()
}

/// Judges a class by its pixels; `least` is the least Dice that passes.
fn judge_class(class: &Class, pixels: Overlap, least: f64) -> ClassReport {
    let dice = pixels.dice();
    let verdict = match dice.filter(|_| pixels.exact.max(pixels.exported) >= CLASS_PIXELS_LEAST) {
        None => ClassVerdict::NothingProven,
        Some(dice) if dice >= least => ClassVerdict::Kept,
        Some(_) => ClassVerdict::NotKept,
    };
    ClassReport { class: class.name.clone(), pixels, dice, verdict }
}

/// Returns a finding for each class that is not kept. If everything rests on images and they show
/// one class only, that is a finding too: a model that returns this class everywhere would pass.
pub(crate) fn findings(classes: &[ClassReport], bound: &Bound) -> Vec<Finding> {
    let allowed = bound.dice.unwrap_or_default();
    let mut findings: Vec<_> = classes
        .iter()
        .filter(|report| report.verdict == ClassVerdict::NotKept)
        .map(|report| Finding::Class {
            class: report.class.clone(),
            pixels: report.pixels,
            found: report.dice.unwrap_or_default(),
            allowed,
        })
        .collect();
    let shown = classes.iter().filter(|report| report.pixels.exact >= CLASS_PIXELS_LEAST).count();
    if bound.rests_on_images() && !classes.is_empty() && shown < 2 {
        findings.push(Finding::OneClass { precision: bound.precision });
    }
    findings
}

impl fmt::Display for ClassReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, pixels: Overlap { exact, exported, both }, dice, verdict } = self;
        let verdict = match verdict {
            ClassVerdict::Kept => "kept",
            ClassVerdict::NotKept => "not kept",
            ClassVerdict::NothingProven => "nothing proven",
        };
        let dice = dice.map_or("no".to_owned(), |dice| dice.to_string());
        write!(f, "`{class}` {verdict}: {exact} exact and {exported} exported pixels, {both} in both, {dice} Dice")
    }
}

impl ClassReport {
    /// Returns a sentence for a class that was not judged. If not everything [rests on
    /// images](Bound::rests_on_images), its scores were compared all the same.
    pub fn unknown(&self, rests_on_images: bool) -> Option<String> {
        let Self { class, pixels, .. } = self;
        let shown = match pixels.exact {
            0 => "does not occur".to_owned(),
            exact => format!("has {exact} pixels only"),
        };
        let what = if rests_on_images { "nothing is proven of it" } else { "its masks are not judged" };
        (self.verdict == ClassVerdict::NothingProven)
            .then(|| format!("class `{class}` {shown} in the exact masks of these images; {what}"))
    }
}

#[cfg(test)]
mod tests {
    use seg_inference::Provider;

    use super::*;
    use crate::bounds::ModelPrecision;

    #[test]
    fn a_class_that_is_lost_or_invented_is_named_and_one_that_is_not_shown_is_said() {
        use ClassVerdict::{Kept, NotKept, NothingProven};
        let classes = ["background", "vessel", "disc"].map(|name| Class::new(name, 0));
        // Pixels of the exact mask, of the exported one and of both, in each of two images; then
        // the verdict.
        let all = [99_000, 99_000, 99_000];
        let rows = [
            ("the same", [[150, 150, 150], [0, 0, 0]], Kept, 0),
            ("borders moved", [[500, 500, 480], [500, 500, 480]], Kept, 0),
            ("borders moved too far", [[500, 500, 480], [500, 500, 460]], NotKept, 1),
            ("kept in one image and lost in the other", [[150, 150, 150], [150, 0, 0]], NotKept, 1),
            ("lost", [[60, 0, 0], [60, 0, 0]], NotKept, 1),
            ("invented", [[0, 150, 0], [0, 0, 0]], NotKept, 1),
            ("not shown", [[0, 0, 0], [0, 0, 0]], NothingProven, 0),
            ("too few to say", [[50, 0, 0], [49, 0, 0]], NothingProven, 0),
            ("invented, too few to say", [[0, 50, 0], [0, 49, 0]], NothingProven, 0),
        ];
        for (name, images, expected, against) in rows {
            let overlap = |[exact, exported, both]: [usize; 3]| Overlap { exact, exported, both };
            let mask = |vessel| MaskReport {
                classes: [all, vessel, [400, 400, 400]].map(overlap).to_vec(),
                ..MaskReport::default()
            };
            let masks = images.map(mask);
            for (provider, precision, judged) in [
                (Provider::Cpu, ModelPrecision::Int8, true),
                (Provider::Cpu, ModelPrecision::Float16, true),
                (Provider::Cuda, ModelPrecision::TensorFloat32, true),
                (Provider::Cpu, ModelPrecision::Float32, false),
            ] {
                let bound = &Bound::find(provider, precision).unwrap();
                assert_eq!(judge(&classes, [], bound), [], "{name}, {precision}: there is no image");
                let reports = judge(&classes, &masks, bound);
                let verdicts: Vec<_> = reports.iter().map(|report| report.verdict).collect();
                let found = findings(&reports, bound);
                if judged {
                    assert_eq!(verdicts, [Kept, expected, Kept], "{name}, {precision}");
                    assert_eq!(found.len(), against, "{name}, {precision}: {found:?}");
                    assert_eq!(reports[1].unknown(true).is_some(), expected == NothingProven, "{name}, {precision}");
                } else {
                    assert!(verdicts.is_empty() && found.is_empty(), "{name}, {precision}");
                }
                assert!(
                    found.iter().all(|finding| finding.to_string().contains("class `vessel`")),
                    "{name}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn images_that_show_one_class_prove_nothing_where_all_rests_on_them() {
        let classes = ["background", "vessel"].map(|name| Class::new(name, 0));
        for (vessel, exported, one) in [(0, 0, true), (99, 99, true), (100, 100, false)] {
            let overlap = |exact, exported| Overlap { exact, exported, both: exact.min(exported) };
            let mask =
                MaskReport { classes: vec![overlap(9_000, 9_000), overlap(vessel, exported)], ..MaskReport::default() };
            for (precision, rests) in [(ModelPrecision::Int8, true), (ModelPrecision::Float16, false)] {
                let bound = &Bound::find(Provider::Cpu, precision).unwrap();
                let found = findings(&judge(&classes, [&mask], bound), bound);
                let expected = if one && rests { vec![Finding::OneClass { precision }] } else { Vec::new() };
                assert_eq!(found, expected, "{vessel} pixels, {precision}");
            }
        }
    }
}
