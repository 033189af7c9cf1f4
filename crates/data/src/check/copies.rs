//! Images that occur more than once: what is learned from must not come back in validation or test.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use super::examine::{Examined, Hash, Picture};

/// How samples are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likeness {
    /// The image files hold the same bytes.
    SameFile,
    /// The image files differ, but not their pixels, up to 8 bits.
    SamePixels,
    /// The images look alike: probably one was made from the other, or they follow each other in a film.
    Alike,
    /// The images differ, but not their masks, which are not blank.
    SameMask,
}

/// Samples that are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copies {
    /// How they are the same.
    pub likeness: Likeness,
    /// Whether they lie in different parts, so that what was learned is measured, or what is tested chosen by.
    pub across_parts: bool,
    /// Their parts and names, as `train/21`.
    pub samples: Vec<String>,
}

/// All samples that are the same, those across parts first.
pub(super) fn copies(examined: &[Examined]) -> Vec<Copies> {
    let mut found =
        same(examined, Likeness::SameFile, |sample| sample.picture.as_ref().map(|picture| (picture.file, None)));
    let pixels = |sample: &Examined| sample.picture.as_ref().map(|picture| (picture.pixels, Some(picture.file)));
    found.extend(same(examined, Likeness::SamePixels, pixels));
    found.extend(alike(examined));
    let mask = |sample: &Examined| {
        let labels =
            sample.labels.as_ref().filter(|labels| labels.counts.iter().filter(|count| **count > 0).count() > 1)?;
        Some((labels.hash, sample.picture.as_ref().map(|picture| picture.pixels)))
    };
    found.extend(same(examined, Likeness::SameMask, mask));
    found.sort_by_key(|copies| (!copies.across_parts, copies.likeness));
    found
}

/// Groups of samples that agree in the first hash, unless they agree in the second one, if any, as well.
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
    let differ = |group: &&Vec<(&Examined, Option<Hash>)>| {
        group.len() > 1 && (group[0].1.is_none() || group.iter().any(|(_, other)| *other != group[0].1))
    };
    groups
        .values()
        .filter(differ)
        .map(|group| Copies::new(likeness, &group.iter().map(|(sample, _)| *sample).collect::<Vec<_>>()))
        .collect()
}

/// Groups of images each of which looks like another one of them that has not the same pixels.
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
    // Each image's group goes by the first image in it: one of a film is one group and not a pair for every two pictures.
    let mut first: Vec<usize> = (0..pictures.len()).collect();
    let root = |first: &[usize], mut index: usize| {
        while first[index] != index {
            index = first[index];
        }
        index
    };
    for (index, others) in later.iter().enumerate() {
        for other in others {
            let (one, two) = (root(&first, index), root(&first, *other));
            first[one.max(two)] = one.min(two);
        }
    }
    let mut groups = BTreeMap::<usize, Vec<&Examined>>::new();
    for (index, (sample, _)) in pictures.iter().enumerate() {
        groups.entry(root(&first, index)).or_default().push(sample);
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
