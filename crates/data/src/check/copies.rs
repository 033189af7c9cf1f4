//! Images that occur more than once: a training image must not occur again in validation or test.

use std::collections::BTreeMap;

use rayon::prelude::*;
use seg_metrics::DisjointSets;
use serde::Serialize;

use super::examine::{Examined, Hash, Picture};

/// The way in which samples are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likeness {
    /// The image files hold the same bytes.
    SameFile,
    /// The image files differ, but their pixels, rounded to 8 bits, do not.
    SamePixels,
    /// The images look alike: one was probably made from the other, or they are neighbouring frames
    /// of a video.
    Alike,
    /// The images differ, but their masks, which are not blank, do not.
    SameMask,
}

/// A group of samples that are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copies {
    /// The way in which they are the same.
    pub likeness: Likeness,
    /// True if they lie in different parts, so that a training image is scored, or a test image is
    /// used to choose an epoch.
    pub across_parts: bool,
    /// The parts and names of the samples, as `train/21`.
    pub samples: Vec<String>,
}

/// Finds all samples that are the same, those across parts first.
pub(super) fn copies(examined: &[Examined]) -> Vec<Copies> {
    let mut found =
        same(examined, Likeness::SameFile, |sample| sample.picture.as_ref().map(|picture| (picture.file, None)));
    let pixels = |sample: &Examined| sample.picture.as_ref().map(|picture| (picture.pixels, Some(picture.file)));
    found.extend(same(examined, Likeness::SamePixels, pixels));
    found.extend(alike(examined));
    found.extend(same(examined, Likeness::SameMask, mask_hashes));
    found.sort_by_key(|copies| (!copies.across_parts, copies.likeness));
    found
}

/// Returns the hashes of a sample's mask, if it is not blank, and of its image.
fn mask_hashes(sample: &Examined) -> Option<(Hash, Option<Hash>)> {
    let labels = sample.labels.as_ref()?;
    let classes = labels.counts.iter().filter(|count| **count > 0).count();
    (classes > 1).then(|| (labels.hash, sample.picture.as_ref().map(|picture| picture.pixels)))
}

/// Groups samples whose first hashes agree, unless their second ones, if any, agree as well.
fn same(
    examined: &[Examined],
    likeness: Likeness,
    hashes: impl Fn(&Examined) -> Option<(Hash, Option<Hash>)>,
) -> Vec<Copies> {
    let mut groups = BTreeMap::<Hash, Vec<(&Examined, Option<Hash>)>>::new();
    for sample in examined {
        if let Some((key, other)) = hashes(sample) {
            groups.entry(key).or_default().push((sample, other));
        }
    }
    groups
        .values()
        .filter(|group| group.len() > 1)
        .filter(|group| group[0].1.is_none() || group.iter().any(|(_, other)| *other != group[0].1))
        .map(|group| Copies::new(likeness, &group.iter().map(|(sample, _)| *sample).collect::<Vec<_>>()))
        .collect()
}

/// Groups images in which each looks like another one of the group that has other pixels.
fn alike(examined: &[Examined]) -> Vec<Copies> {
    let pictures: Vec<(&Examined, &Picture)> =
        examined.iter().filter_map(|sample| Some((sample, sample.picture.as_ref()?))).collect();
    let later: Vec<Vec<usize>> = pictures
        .par_iter()
        .enumerate()
        .map(|(index, (_, picture))| {
            let is_alike = |other: &Picture| other.pixels != picture.pixels && other.look.is_alike(&picture.look);
            (index + 1..pictures.len()).filter(|other| is_alike(pictures[*other].1)).collect()
        })
        .collect();
    // A set is known by its first image: all frames of a video form one group, not a pair for every
    // two of them.
    let mut sets = DisjointSets::new(pictures.len());
    for (index, others) in later.iter().enumerate() {
        for other in others {
            sets.join(index, *other);
        }
    }
    let mut groups = BTreeMap::<usize, Vec<&Examined>>::new();
    for (index, (sample, _)) in pictures.iter().enumerate() {
        groups.entry(sets.first(index)).or_default().push(sample);
    }
    groups.values().filter(|group| group.len() > 1).map(|group| Copies::new(Likeness::Alike, group)).collect()
}

impl Copies {
    fn new(likeness: Likeness, samples: &[&Examined]) -> Self {
        Self {
            likeness,
            across_parts: samples.iter().any(|sample| sample.role != samples[0].role),
            samples: samples.iter().map(|sample| sample.label()).collect(),
        }
    }
}
