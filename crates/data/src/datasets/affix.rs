//! Names that differ by one beginning or one end throughout: `cell_1` and `cell_1_mask`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The most images from which differences are guessed.
const GUESSED_FROM: usize = 12;
/// The most masks that an image is compared with for a guess.
const COMPARED_MAX: usize = 4_000;

/// The name of a file: its folder below the images or masks, and its name without the extension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub(super) folder: String,
    pub(super) stem: String,
}

/// The difference between the name of an image and that of its mask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Difference {
    /// None.
    Same,
    /// The end of the image's name is replaced by that of the mask's.
    End { image: String, mask: String },
    /// The beginning is replaced.
    Beginning { image: String, mask: String },
}

impl Difference {
    /// Returns the name of the mask that belongs to an image.
    pub(super) fn mask_of(&self, image: &str) -> Option<String> {
        match self {
            Self::Same => Some(image.to_owned()),
            Self::End { image: end, mask } => image.strip_suffix(end.as_str()).map(|core| format!("{core}{mask}")),
            Self::Beginning { image: begin, mask } => {
                image.strip_prefix(begin.as_str()).map(|core| format!("{mask}{core}"))
            }
        }
    }

    /// Returns the difference between two names that share a beginning or an end.
    fn between(image: &str, mask: &str) -> [Option<Self>; 2] {
        let same: usize = image
            .chars()
            .zip(mask.chars())
            .take_while(|(one, other)| one == other)
            .map(|(sign, _)| sign.len_utf8())
            .sum();
        let tail: usize = image
            .chars()
            .rev()
            .zip(mask.chars().rev())
            .take_while(|(one, other)| one == other)
            .map(|(sign, _)| sign.len_utf8())
            .sum();
        let (rest_image, rest_mask) = (image.len() - tail, mask.len() - tail);
        let end = (same > 0).then(|| Self::End { image: image[same..].into(), mask: mask[same..].into() });
        let begin =
            (tail > 0).then(|| Self::Beginning { image: image[..rest_image].into(), mask: mask[..rest_mask].into() });
        [end, begin]
    }

    /// Returns the differences by which one name becomes the other.
    pub(super) fn all(image: &str, mask: &str) -> impl Iterator<Item = Self> {
        Self::between(image, mask).into_iter().flatten()
    }

    /// Returns what the mask's name has and the image's has not.
    pub(super) fn of_mask(&self) -> &str {
        match self {
            Self::Same => "",
            Self::End { mask, .. } | Self::Beginning { mask, .. } => mask,
        }
    }

    /// Returns what the image's name has and the mask's has not.
    pub(super) fn of_image(&self) -> &str {
        match self {
            Self::Same => "",
            Self::End { image, .. } | Self::Beginning { image, .. } => image,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (image, mask, verb) = match self {
            Self::Same => return formatter.write_str("of the same names"),
            Self::End { image, mask } => (image, mask, "end"),
            Self::Beginning { image, mask } => (image, mask, "begin"),
        };
        match (image.as_str(), mask.as_str()) {
            ("", mask) => write!(formatter, "of the same names that {verb} with `{mask}`"),
            (image, "") => write!(formatter, "of the same names without `{image}`"),
            (image, mask) => write!(formatter, "of the same names that {verb} with `{mask}` instead of `{image}`"),
        }
    }
}

/// A way to pair names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pairing {
    pub(super) difference: Difference,
    /// The number of images that have a mask by it.
    pub(super) pairs: usize,
}

/// Finds the difference that pairs most images with a mask; the second value is another one that
/// pairs as many, but otherwise.
///
/// Equal names are preferred where they pair at least half of the images.
pub(super) fn find(images: &BTreeSet<Name>, masks: &BTreeSet<Name>) -> (Pairing, Option<Pairing>) {
    let rate = |difference: Difference| {
        let pairs = images.iter().filter(|image| masks.contains(&mask_name(&difference, image))).count();
        Pairing { difference, pairs }
    };
    let same = rate(Difference::Same);
    if same.pairs > 0 && 2 * same.pairs >= images.len() {
        return (same, None);
    }
    let mut rated: Vec<Pairing> = guesses(images, masks).into_iter().map(rate).collect();
    rated.push(same);
    // Something that only one of both names has is likelier than a replacement, and a short
    // difference likelier than a long one.
    let replaces =
        |pairing: &Pairing| !pairing.difference.of_image().is_empty() && !pairing.difference.of_mask().is_empty();
    let length = |pairing: &Pairing| pairing.difference.of_image().len() + pairing.difference.of_mask().len();
    rated.sort_by(|one, other| {
        let own = (std::cmp::Reverse(one.pairs), replaces(one), length(one), &one.difference);
        own.cmp(&(std::cmp::Reverse(other.pairs), replaces(other), length(other), &other.difference))
    });
    let best = rated[0].clone();
    let pairs_of =
        |difference: &Difference| -> Vec<Name> { images.iter().map(|image| mask_name(difference, image)).collect() };
    let other = rated.into_iter().skip(1).find(|other| {
        other.pairs == best.pairs
            && best.pairs > 0
            && replaces(other) == replaces(&best)
            && pairs_of(&other.difference) != pairs_of(&best.difference)
    });
    (best, other)
}

/// Returns the name of an image's mask, in the same folder.
pub(super) fn mask_name(difference: &Difference, image: &Name) -> Name {
    let stem = difference.mask_of(&image.stem).unwrap_or_else(|| "\0".into());
    Name { folder: image.folder.clone(), stem }
}

/// Returns the differences of a few images to the masks in the same folder that occur for most of
/// them.
fn guesses(images: &BTreeSet<Name>, masks: &BTreeSet<Name>) -> Vec<Difference> {
    let step = images.len().div_ceil(GUESSED_FROM).max(1);
    let mut counts = BTreeMap::<Difference, usize>::new();
    for image in images.iter().step_by(step) {
        let first = Name { folder: image.folder.clone(), stem: String::new() };
        let near = masks.range(first..).take_while(|mask| mask.folder == image.folder);
        let mut own = BTreeSet::new();
        for mask in near.take(COMPARED_MAX) {
            own.extend(Difference::all(&image.stem, &mask.stem));
        }
        for difference in own {
            *counts.entry(difference).or_default() += 1;
        }
    }
    const RATED_MAX: usize = 40;
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().take(RATED_MAX).map(|(difference, _)| difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(stems: &[&str]) -> BTreeSet<Name> {
        stems.iter().map(|stem| Name { folder: String::new(), stem: (*stem).into() }).collect()
    }

    fn end(image: &str, mask: &str) -> Difference {
        Difference::End { image: image.into(), mask: mask.into() }
    }

    fn begin(image: &str, mask: &str) -> Difference {
        Difference::Beginning { image: image.into(), mask: mask.into() }
    }

    #[test]
    fn one_difference_pairs_all_names() {
        for (name, images, masks, expected) in [
            ("equal", ["a", "b", "c"], ["a", "b", "c"], Difference::Same),
            ("an end", ["c1", "c10", "c2"], ["c1_mask", "c10_mask", "c2_mask"], end("", "_mask")),
            ("an end of each", ["1_sat", "2_sat", "3_sat"], ["1_mask", "2_mask", "3_mask"], end("sat", "mask")),
            ("a beginning", ["1", "2", "11"], ["seg1", "seg2", "seg11"], begin("", "seg")),
            (
                "a beginning of each",
                ["img_1", "img_2", "img_3"],
                ["label_1", "label_2", "label_3"],
                begin("img", "label"),
            ),
            ("an image's end", ["a_0000", "b_0000", "c_0000"], ["a", "b", "c"], end("_0000", "")),
            ("other letters", ["ä1", "ä2", "ö"], ["ä1_é", "ä2_é", "ö_é"], end("", "_é")),
            ("an end that is also within", ["a_1", "a_1_1", "b"], ["a_1_1", "a_1_1_1", "b_1"], end("", "_1")),
        ] {
            let (found, other) = find(&names(&images), &names(&masks));
            assert_eq!((&found.difference, other), (&expected, None), "{name}");
            assert_eq!(found.pairs, 3, "{name}");
        }
    }

    #[test]
    fn what_is_missing_does_not_hide_the_difference() {
        let (found, other) = find(&names(&["a", "b", "c", "d"]), &names(&["a_m", "b_m", "d_m", "e_m"]));
        assert_eq!((found, other), (Pairing { difference: end("", "_m"), pairs: 3 }, None));
        let (found, _) = find(&names(&["a", "b", "c"]), &names(&["a", "c", "d"]));
        assert_eq!(found, Pairing { difference: Difference::Same, pairs: 2 });
        let (found, _) = find(&names(&["a", "b"]), &names(&["x", "y"]));
        assert_eq!(found.pairs, 0);
    }

    #[test]
    fn two_differences_that_pair_all_are_both_found() {
        let (found, other) = find(&names(&["a", "b"]), &names(&["a_edge", "a_mask", "b_edge", "b_mask"]));
        assert_eq!((found.pairs, other.map(|other| other.pairs)), (2, Some(2)));
    }
}
