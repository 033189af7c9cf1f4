//! The report of a check, in numbers and sentences.

use std::collections::BTreeMap;

use seg_contract::Class;
use serde::Serialize;

use super::copies::{Copies, copies};
use super::examine::{Examined, Labels, chain};
use super::quick::{suspicious, turned_finding};
use super::role::Role;
use crate::datasets::{Dataset, DatasetError};

/// The report of a check.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The data set's name.
    pub name: String,
    /// The layout of the folder.
    pub layout: String,
    /// The way in which the folder was read.
    pub reading: String,
    /// The use of its images: to learn, to choose an epoch, to test.
    pub use_of_images: String,
    /// The files that were not used, and why.
    pub notes: Vec<String>,
    /// The coding of the masks: `binary`, `index` or `color`.
    pub masks: &'static str,
    /// The classes by label.
    pub classes: Vec<Class>,
    /// [`Dataset::fingerprint`], if nothing stops training.
    pub fingerprint: Option<String>,
    /// The parts that hold samples.
    pub parts: Vec<PartReport>,
    /// The problems that stop training.
    pub problems: Vec<Finding>,
    /// The findings that may be intended or mistakes.
    pub warnings: Vec<Finding>,
    /// Images and masks that occur more than once.
    pub copies: Vec<Copies>,
    /// The samples on the contact sheet, in the order of their numbers from 1.
    pub contact_sheet: Vec<String>,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The finding and the remedy.
    pub message: String,
    /// The samples or files that it concerns, if there are several.
    pub samples: Vec<String>,
}

/// The numbers of a part.
#[derive(Clone, Debug, Serialize)]
pub struct PartReport {
    /// The part.
    pub part: Role,
    /// The number of samples.
    pub images: usize,
    /// The sizes of the images that can be read.
    pub sizes: Option<Sizes>,
    /// The sizes to which they are resampled, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resampled: Option<Sizes>,
    /// The number of images of each kind, as `8-bit colour`.
    pub kinds: BTreeMap<String, usize>,
    /// The share of each class in the counted pixels.
    pub classes: Vec<ClassShare>,
    /// The share of ignored pixels.
    pub ignored: f64,
}

/// The sizes of images, each width and height in pixels, ordered by their number of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// The number of different sizes.
    pub different: usize,
    /// The smallest.
    pub smallest: [u32; 2],
    /// The median of all images.
    pub median: [u32; 2],
    /// The largest.
    pub largest: [u32; 2],
}

/// The share of a class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassShare {
    /// The class's name.
    pub name: String,
    /// The share of the counted pixels.
    pub share: f64,
    /// The number of masks in which the class occurs.
    pub masks: usize,
}

impl Report {
    pub(super) fn new(dataset: &Dataset, refusals: &[DatasetError], examined: &[Examined]) -> Self {
        let listing =
            refusals.iter().map(|refusal| Finding { message: chain(refusal), samples: refusal.names().to_vec() });
        let files = examined.iter().flat_map(|sample| &sample.problems);
        let files = files.map(|problem| Finding { message: problem.clone(), samples: Vec::new() });
        let mut report = Self {
            name: dataset.name.clone(),
            layout: dataset.layout.to_string(),
            reading: dataset.reading.clone(),
            use_of_images: dataset.parts_in_words(),
            notes: dataset.notes.clone(),
            masks: dataset.train.iter().chain(&dataset.test).next().map_or("binary", |sample| sample.coding.name()),
            classes: dataset.classes.clone(),
            fingerprint: None,
            parts: Vec::new(),
            problems: listing.chain(files).collect(),
            warnings: Vec::new(),
            copies: copies(examined),
            contact_sheet: Vec::new(),
        };
        if let [_] = dataset.train[..] {
            let message = "there is one image to learn from, expected at least two: one of them chooses the best epoch";
            report.problems.push(Finding { message: message.into(), samples: Vec::new() });
        }
        for part in Role::ALL {
            let samples: Vec<&Examined> = examined.iter().filter(|sample| sample.role == part).collect();
            if !samples.is_empty() {
                let numbers = PartReport::new(part, &samples, &dataset.classes);
                report.warnings.extend(warnings(&numbers, &samples, &dataset.classes));
                report.parts.push(numbers);
            }
        }
        report
    }
}

impl PartReport {
    fn new(part: Role, samples: &[&Examined], classes: &[Class]) -> Self {
        let mut kinds = BTreeMap::new();
        let (mut sizes, mut resampled) = (Vec::new(), Vec::new());
        for picture in samples.iter().filter_map(|sample| sample.picture.as_ref()) {
            *kinds.entry(picture.kind.clone()).or_default() += 1;
            sizes.push(picture.size);
            resampled.extend(picture.resampled);
        }
        let labels: Vec<&Labels> = samples.iter().filter_map(|sample| sample.labels.as_ref()).collect();
        let counted: u64 = labels.iter().flat_map(|labels| &labels.counts).sum();
        let ignored: u64 = labels.iter().map(|labels| labels.ignored).sum();
        let share = |count: u64, of: u64| count as f64 / of.max(1) as f64;
        let classes = classes.iter().enumerate().map(|(index, class)| ClassShare {
            name: class.name.clone(),
            share: share(labels.iter().map(|labels| labels.counts[index]).sum(), counted),
            masks: labels.iter().filter(|labels| labels.counts[index] > 0).count(),
        });
        Self {
            part,
            images: samples.len(),
            sizes: Sizes::new(sizes),
            resampled: Sizes::new(resampled),
            kinds,
            classes: classes.collect(),
            ignored: share(ignored, counted + ignored),
        }
    }
}

impl Sizes {
    fn new(mut sizes: Vec<[u32; 2]>) -> Option<Self> {
        sizes.sort_unstable_by_key(|&[width, height]| (u64::from(width) * u64::from(height), width));
        let (smallest, median, largest) = (*sizes.first()?, sizes[sizes.len() / 2], *sizes.last()?);
        sizes.dedup();
        Some(Self { different: sizes.len(), smallest, median, largest })
    }
}

/// The largest value, as a share of what the type holds, of an image with fewer bits than its file:
/// 14 of 16.
const NARROW_MAX: f64 = 0.25;

/// Finds images that use a small part of what their type can hold.
fn narrow(part: &str, samples: &[&Examined]) -> Option<Finding> {
    let range =
        |sample: &Examined| sample.picture.as_ref().filter(|picture| !picture.blank).and_then(|picture| picture.range);
    let is_narrow = |sample: &Examined| range(sample).is_some_and(|range| range <= NARROW_MAX);
    let found = names(samples, is_narrow);
    if found.is_empty() {
        return None;
    }
    let largest =
        samples.iter().filter(|sample| is_narrow(sample)).filter_map(|sample| range(sample)).fold(0.0, f64::max);
    let pictures =
        samples.iter().filter(|sample| sample.picture.as_ref().is_some_and(|picture| !picture.blank)).count();
    let mixed = if found.len() < pictures {
        "; the others use more of theirs, so the same tissue has other values in them"
    } else {
        ""
    };
    let message = format!(
        "{} of the images in {part} use at most {:.1} % of the range of their type, as 10 or 12 bits in files of 16 do{mixed}; every image \
         that the model is given must be of that kind, and `--input u8` must be left out",
        found.len(),
        100.0 * largest
    );
    Some(Finding { message, samples: found })
}

/// Returns the names of the samples that satisfy a condition.
fn names(samples: &[&Examined], condition: impl Fn(&Examined) -> bool) -> Vec<String> {
    samples.iter().filter(|sample| condition(sample)).map(|sample| sample.name.clone()).collect()
}

/// Finds what may be a mistake in a part.
fn warnings(part: &PartReport, samples: &[&Examined], classes: &[Class]) -> Vec<Finding> {
    let only = |counts: &[u64], index: usize| counts[index] > 0 && counts.iter().sum::<u64>() == counts[index];
    let name = part.part;
    let mut groups = Vec::new();
    for (index, class) in classes.iter().enumerate() {
        let remedy = if index == 0 { "are there images without a target" } else { "are they inverted or truly full" };
        let blank = names(samples, |sample| sample.labels.as_ref().is_some_and(|labels| only(&labels.counts, index)));
        groups.push((blank, format!("masks in {name} hold nothing but `{}`; {remedy}?", class.name)));
    }
    let ignored = names(samples, |sample| {
        sample.labels.as_ref().is_some_and(|labels| labels.counts.iter().all(|count| *count == 0))
    });
    groups.push((ignored, format!("masks in {name} have no pixel that counts; is the field of view black?")));
    let blank = names(samples, |sample| sample.picture.as_ref().is_some_and(|picture| picture.blank));
    groups.push((blank, format!("images in {name} have one colour everywhere; are they damaged?")));
    let part_name = name.to_string();
    let narrow = narrow(&part_name, samples);
    let turned = turned_finding(&part_name, names(samples, |sample| sample.turned));
    let masks = samples.iter().map(|sample| (sample.name.as_str(), sample.suspicions.as_slice()));
    let masks = suspicious(&part_name, masks);
    let found = groups.into_iter().filter(|(samples, _)| !samples.is_empty());
    let found = found.map(|(samples, what)| Finding { message: format!("{} of the {what}", samples.len()), samples });
    // If no mask can be read, nothing is known.
    let read = samples.iter().any(|sample| sample.labels.is_some());
    let absent = part.classes.iter().filter(|class| read && class.masks == 0).map(|class| Finding {
        message: format!("no mask of {name} shows `{}`; it can be neither learned nor scored there", class.name),
        samples: Vec::new(),
    });
    found.chain(narrow).chain(turned).chain(masks).chain(absent).collect()
}
