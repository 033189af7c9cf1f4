//! The checks that need only the masks, which training makes before its first epoch.

use std::collections::BTreeMap;

use rayon::prelude::*;
use seg_contract::Class;

use super::report::Finding;
use crate::datasets::Sample;
use crate::masks::{MaskCoding, Suspicion, read_mask_as, suspicions};

/// The findings about one mask.
struct Found {
    name: String,
    /// The classes that it shows; `None` if it cannot be read.
    shown: Option<Vec<bool>>,
    suspicions: Vec<Suspicion>,
    turned: bool,
}

/// Looks for what makes a run on these parts learn something else than what is meant: classes that
/// no mask shows, and masks that may say something else than what is read from them.
///
/// Files that cannot be read are left to whoever loads them.
pub fn quick_check(parts: &[(&str, &[Sample])], classes: &[Class]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (part, samples) in parts {
        let found: Vec<Found> = samples.par_iter().map(|sample| examine(sample, classes.len())).collect();
        findings.extend(absent(part, &found, classes));
        findings.extend(about_masks(part, &found));
    }
    findings
}

fn examine(sample: &Sample, classes: usize) -> Found {
    // A mask that cannot be read is an error where it is loaded.
    let labels = read_mask_as(&sample.mask, &sample.coding, &sample.reading).ok();
    let shown = labels.map(|labels| {
        let mut shown = vec![false; classes];
        labels.iter().for_each(|label| {
            if let Some(shown) = shown.get_mut(usize::from(*label)) {
                *shown = true;
            }
        });
        shown
    });
    Found { name: sample.name.clone(), shown, suspicions: of_sample(sample), turned: sample.is_turned() }
}

/// Looks for signs that a sample's mask says something else than what is read from it.
pub(super) fn of_sample(sample: &Sample) -> Vec<Suspicion> {
    match &sample.coding {
        MaskCoding::Binary => suspicions(&sample.mask).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Finds classes that no mask of a part shows.
fn absent(part: &str, found: &[Found], classes: &[Class]) -> Vec<Finding> {
    let read: Vec<&Vec<bool>> = found.iter().filter_map(|found| found.shown.as_ref()).collect();
    let is_absent = |index: usize| !read.is_empty() && !read.iter().any(|shown| shown[index]);
    let absent = classes.iter().enumerate().filter(|(index, _)| is_absent(*index));
    absent
        .map(|(_, class)| Finding {
            message: format!("no mask of {part} shows `{}`; it can be neither learned nor scored there", class.name),
            samples: Vec::new(),
        })
        .collect()
}

fn about_masks(part: &str, found: &[Found]) -> Vec<Finding> {
    let suspicions = found.iter().map(|found| (found.name.as_str(), found.suspicions.as_slice()));
    let turned = found.iter().filter(|found| found.turned).map(|found| found.name.clone()).collect();
    suspicious(part, suspicions).into_iter().chain(turned_finding(part, turned)).collect()
}

/// Describes images that are turned unlike their masks.
pub(super) fn turned_finding(part: &str, samples: Vec<String>) -> Option<Finding> {
    (!samples.is_empty()).then(|| Finding {
        message: format!(
            "{} of the images in {part} are turned as their camera noted (EXIF), unlike their masks; do the masks show them \
             upright, as the contact sheet does?",
            samples.len()
        ),
        samples,
    })
}

/// Describes the suspicions about the masks of a part.
pub(super) fn suspicious<'a>(part: &str, masks: impl Iterator<Item = (&'a str, &'a [Suspicion])>) -> Vec<Finding> {
    let (mut levels, mut clear, mut white) = (Vec::new(), Vec::new(), Vec::new());
    let mut shares = BTreeMap::<u16, f64>::new();
    let mut count = 0;
    for (name, suspicions) in masks {
        count += 1;
        for suspicion in suspicions {
            match suspicion {
                Suspicion::Levels(found) => {
                    levels.push(name.to_owned());
                    found.iter().for_each(|(value, share)| *shares.entry(*value).or_default() += share);
                }
                Suspicion::Transparency(_) => clear.push(name.to_owned()),
                Suspicion::WhiteIsZero => white.push(name.to_owned()),
            }
        }
    }
    let mut findings = Vec::new();
    if !levels.is_empty() {
        let shown =
            shares.iter().map(|(value, share)| format!("{value} ({:.1} %)", 100.0 * share / levels.len() as f64));
        let shown = shown.collect::<Vec<_>>().join(", ");
        findings.push(Finding {
            message: format!(
                "{} of the masks in {part} have regions of more than two values, {shown}, but are read as two classes: from 128 \
                 on the target; if each is a class, describe them in `classes.json`, as {}",
                levels.len(),
                description(shares.keys().copied())
            ),
            samples: levels,
        });
    }
    if !clear.is_empty() {
        findings.push(Finding {
            message: format!(
                "{} of the masks in {part} have a transparency that says something else than their colour, and only the colour \
                 is read; save them without transparency",
                clear.len()
            ),
            samples: clear,
        });
    }
    if !white.is_empty() {
        let mixed = if white.len() < count { ", the others do not" } else { "" };
        findings.push(Finding {
            message: format!(
                "{} of the masks in {part} say that 0 is white (TIFF's PhotometricInterpretation 0){mixed}; here as in Pillow and \
                 OpenCV white is the target, but tifffile and ImageJ read them the other way round: look at the contact sheet, and \
                 save them as PNG",
                white.len()
            ),
            samples: white,
        });
    }
    findings
}

/// Proposes a description of classes by grey values.
fn description(values: impl Iterator<Item = u16>) -> String {
    let class = |(index, value): (usize, u16)| {
        // The high bytes of 16 bits count.
        let byte = if value > 255 { value >> 8 } else { value };
        let name = if index == 0 { "background".into() } else { format!("class {index}") };
        format!(r#"{{"name": "{name}", "color": [{byte}, {byte}, {byte}]}}"#)
    };
    let classes: Vec<String> = values.enumerate().map(class).collect();
    format!(r#"{{"masks": "color", "classes": [{}]}}"#, classes.join(", "))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, RgbImage};

    use super::*;
    use crate::datasets::Dataset;

    #[test]
    fn what_would_be_learned_wrongly_is_said_before() {
        let draw = |values: [u8; 3]| GrayImage::from_fn(30, 10, |x, _| [values[x as usize / 10]].into());
        for (name, mask, parts) in [
            ("sound", draw([0, 255, 0]), &[][..]),
            ("blank", draw([0, 0, 0]), &["no mask of training shows `target`"]),
            ("full", draw([255, 255, 255]), &["no mask of training shows `background`"]),
            (
                "three levels",
                draw([0, 128, 255]),
                &["0 (33.3 %), 128 (33.3 %), 255 (33.3 %)", r#""color": [128, 128, 128]"#],
            ),
        ] {
            let root = tempfile::tempdir().unwrap();
            for kind in ["images", "masks"] {
                fs::create_dir(root.path().join(kind)).unwrap();
            }
            for number in 0..2 {
                RgbImage::new(30, 10).save(root.path().join(format!("images/{number}.png"))).unwrap();
                mask.save(root.path().join(format!("masks/{number}.png"))).unwrap();
            }
            let dataset = Dataset::open(root.path()).unwrap();
            let findings = quick_check(&[("training", &dataset.train)], &dataset.classes);
            let text = findings.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("\n");
            assert_eq!(findings.is_empty(), parts.is_empty(), "{name}: {text}");
            assert!(parts.iter().all(|part| text.contains(part)), "{name}: {text}");
        }
    }

    #[test]
    fn a_proposed_description_can_be_used() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("classes.json"), description([0, 128, 255].into_iter())).unwrap();
        for kind in ["images", "masks"] {
            fs::create_dir(root.path().join(kind)).unwrap();
        }
        RgbImage::new(3, 1).save(root.path().join("images/a.png")).unwrap();
        GrayImage::from_raw(3, 1, vec![0, 128, 255]).unwrap().save(root.path().join("masks/a.png")).unwrap();
        let dataset = Dataset::open(root.path()).unwrap();
        assert_eq!(dataset.train[0].load().unwrap().1.into_raw(), [0, 1, 2]);
    }
}
