//! Images with their masks, found by their names.

use std::collections::{BTreeMap, BTreeSet};

use super::affix::{Difference, Name, Pairing, find, mask_name};
use super::listing::File;

/// Images with the masks of each.
#[derive(Debug, Default)]
pub(super) struct Matched {
    /// Each image with at least one mask; several show an object each.
    pub(super) pairs: Vec<(File, Vec<File>)>,
    pub(super) images_alone: Vec<File>,
    pub(super) masks_alone: Vec<File>,
    /// The rule of the names, in words that follow "masks".
    pub(super) rule: String,
    /// The difference between the names, if they are paired by names.
    pub(super) difference: Option<Difference>,
}

/// Two rules by which all images have a mask, in words.
#[derive(Debug)]
pub(super) struct TwoRules(pub(super) [Difference; 2]);

/// A rule by which an image has several masks.
struct Rule {
    belongs: fn(&File, &File) -> bool,
    /// True if an image must be the only one to which a mask may belong.
    alone: bool,
    words: &'static str,
}

const RULES: [Rule; 3] = [
    Rule { belongs: own_folder, alone: true, words: "of one object each, in the folder of their image" },
    Rule { belongs: folder_of_name, alone: false, words: "of one object each, in a folder of the image's name" },
    Rule { belongs: numbered, alone: false, words: "of one object each, by the image's name and a number" },
];

/// Finds the masks of each image: of equal names, of names with one difference throughout, of the
/// image's own folder, or of its name with a number.
pub(super) fn match_up(images: Vec<File>, masks: Vec<File>) -> Result<Matched, TwoRules> {
    let [image_names, mask_names] = [&images, &masks].map(|files| files.iter().map(File::key).collect::<BTreeSet<_>>());
    let (best, other) = find(&image_names, &mask_names);
    let whole = best.pairs == image_names.len();
    if let (true, Some(other)) = (whole, other) {
        return Err(TwoRules([best.difference, other.difference]));
    }
    if !whole || mask_names.len() > image_names.len() {
        for rule in &RULES {
            if let Some(pairs) = several(&images, &masks, rule) {
                let single = pairs.iter().all(|(_, masks)| masks.len() == 1);
                let rule = if single { "in the folder of their image" } else { rule.words };
                return Ok(Matched { pairs, rule: rule.into(), ..Matched::default() });
            }
        }
    }
    if !whole && let Some(matched) = by_stem_alone(&images, &masks) {
        return Ok(matched);
    }
    Ok(by_difference(images, masks, best))
}

/// Returns the images with several masks each, if every image and every mask is in one of them.
fn several(images: &[File], masks: &[File], rule: &Rule) -> Option<Vec<(File, Vec<File>)>> {
    // The folders of images and masks are compared, so that this is not the product of all files.
    let mut near = BTreeMap::<String, Vec<&File>>::new();
    for image in images {
        for place in [image.key().folder, below(&image.key())] {
            near.entry(place).or_default().push(image);
        }
    }
    let mut found = BTreeMap::<&str, Vec<File>>::new();
    for mask in masks {
        let own: Vec<&&File> =
            near.get(&mask.key().folder)?.iter().filter(|image| (rule.belongs)(image, mask)).collect();
        if rule.alone && own.len() > 1 {
            return None;
        }
        // `a` and `a_1` both begin `a_1_2`: the longer one is meant.
        let longest = own.iter().map(|image| image.name.stem.len()).max()?;
        let mut longest = own.iter().filter(|image| image.name.stem.len() == longest);
        let (image, other) = (longest.next()?, longest.next());
        if other.is_some() {
            return None;
        }
        found.entry(&image.relative).or_default().push(mask.clone());
    }
    images.iter().map(|image| Some((image.clone(), found.remove(image.relative.as_str())?))).collect()
}

/// Returns the name of the folder that has an image's name.
fn below(image: &Name) -> String {
    let separator = if image.folder.ends_with(':') { "" } else { "/" };
    format!("{}{separator}{}", image.folder, image.stem)
}

fn same_folder(image: &File, mask: &File) -> bool {
    image.portion == mask.portion && image.name.folder == mask.name.folder
}

fn own_folder(image: &File, mask: &File) -> bool {
    !image.name.folder.is_empty() && same_folder(image, mask)
}

fn folder_of_name(image: &File, mask: &File) -> bool {
    !image.name.stem.is_empty() && below(&image.key()) == mask.key().folder
}

/// Returns true if a mask's name is that of its image, a sign and something with a number in it.
fn numbered(image: &File, mask: &File) -> bool {
    let rest = mask.name.stem.strip_prefix(image.name.stem.as_str());
    same_folder(image, mask)
        && !image.name.stem.is_empty()
        && rest.is_some_and(|rest| {
            rest.starts_with(|sign: char| !sign.is_alphanumeric()) && rest.ends_with(|sign: char| sign.is_ascii_digit())
        })
}

/// Pairs files whose folders differ, if their names alone are unique and pair all images.
fn by_stem_alone(images: &[File], masks: &[File]) -> Option<Matched> {
    let flat = |files: &[File]| -> Option<BTreeMap<Name, File>> {
        let name = |file: &File| Name { folder: String::new(), stem: file.name.stem.clone() };
        let map: BTreeMap<Name, File> = files.iter().map(|file| (name(file), file.clone())).collect();
        (map.len() == files.len()).then_some(map)
    };
    let (images, mut masks) = (flat(images)?, flat(masks)?);
    let names = |files: &BTreeMap<Name, File>| files.keys().cloned().collect::<BTreeSet<_>>();
    let (best, other) = find(&names(&images), &names(&masks));
    if best.pairs != images.len() || masks.len() != images.len() || other.is_some() {
        return None;
    }
    let rule = format!("{}, in other folders", best.difference);
    let pairs = images
        .into_iter()
        .filter_map(|(name, image)| Some((image, vec![masks.remove(&mask_name(&best.difference, &name))?])))
        .collect();
    Some(Matched { pairs, rule, difference: Some(best.difference), ..Matched::default() })
}

fn by_difference(images: Vec<File>, masks: Vec<File>, best: Pairing) -> Matched {
    let mut matched = Matched { rule: best.difference.to_string(), ..Matched::default() };
    let mut by_name = BTreeMap::<Name, File>::new();
    for mask in masks {
        by_name.insert(mask.key(), mask);
    }
    let claimed: BTreeSet<Name> = images.iter().map(|image| mask_name(&best.difference, &image.key())).collect();
    for image in images {
        let name = mask_name(&best.difference, &image.key());
        match by_name.remove(&name) {
            Some(mask) => {
                let more = numbers_of(&name, &by_name);
                let more = more.iter().filter(|name| !claimed.contains(name));
                let more: Vec<File> = more.filter_map(|name| by_name.remove(name)).collect();
                if !more.is_empty() && !matched.rule.ends_with("numbered") {
                    matched.rule += ", some of several objects, numbered";
                }
                matched.pairs.push((image, [mask].into_iter().chain(more).collect()));
            }
            None => matched.images_alone.push(image),
        }
    }
    matched.masks_alone = by_name.into_values().collect();
    matched.difference = Some(best.difference);
    matched
}

/// Returns the names that are one name and a number: `a_mask_1` of `a_mask`.
fn numbers_of(name: &Name, masks: &BTreeMap<Name, File>) -> Vec<Name> {
    if name.stem.is_empty() {
        return Vec::new();
    }
    let near = masks.range(name.clone()..).map(|(near, _)| near);
    let near = near.take_while(|near| near.folder == name.folder && near.stem.starts_with(&name.stem));
    let is_number = |rest: &str| {
        let digits = rest.trim_start_matches(['_', '-', ' ', '.', '(']).trim_end_matches(')');
        digits.len() < rest.len() && !digits.is_empty() && digits.bytes().all(|sign| sign.is_ascii_digit())
    };
    near.filter(|near| is_number(&near.stem[name.stem.len()..])).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::listing::tests::files;
    use super::*;

    /// Returns each image's path with those of its masks, and what is left.
    fn matched(images: &[&str], masks: &[&str]) -> (Vec<String>, usize, String) {
        let found = match_up(files(images), files(masks)).unwrap();
        let pair = |(image, masks): &(File, Vec<File>)| {
            let masks: Vec<_> = masks.iter().map(|mask| mask.relative.as_str()).collect();
            format!("{} {}", image.relative, masks.join(" "))
        };
        (found.pairs.iter().map(pair).collect(), found.images_alone.len() + found.masks_alone.len(), found.rule)
    }

    #[test]
    fn masks_are_found_by_names_folders_and_numbers() {
        for (name, images, masks, expected) in [
            ("names", ["images/a.png", "images/b.png"], &["masks/a.png", "masks/b.png"][..], "a.png masks/a.png"),
            (
                "an end",
                ["images/a.png", "images/b.png"],
                &["masks/a_seg.png", "masks/b_seg.png"],
                "a.png masks/a_seg.png",
            ),
            (
                "an object each, in the image's folder",
                ["a/images/a.png", "b/images/b.png"],
                &["a/masks/1.png", "a/masks/2.png", "b/masks/3.png"],
                "a.png a/masks/1.png a/masks/2.png",
            ),
            (
                "an object each, in a folder of the name",
                ["images/a.png", "images/b.png"],
                &["masks/a/1.png", "masks/a/2.png", "masks/b/3.png"],
                "a.png masks/a/1.png masks/a/2.png",
            ),
            (
                "an object each, numbered",
                ["images/a.png", "images/a_1.png"],
                &["masks/a_0.png", "masks/a_1_0.png", "masks/a_1_1.png"],
                "a.png masks/a_0.png",
            ),
            (
                "a few of several objects",
                ["images/a.png", "images/b.png"],
                &["masks/a_mask.png", "masks/a_mask_1.png", "masks/b_mask.png"],
                "a.png masks/a_mask.png masks/a_mask_1.png",
            ),
            (
                "other folders",
                ["images/x/a.png", "images/y/b.png"],
                &["masks/a_m.png", "masks/b_m.png"],
                "a.png masks/a_m.png",
            ),
            (
                "one in each folder",
                ["a/image.png", "b/image.png"],
                &["a/label.png", "b/label.png"],
                "a/image.png a/label.png",
            ),
        ] {
            let (pairs, alone, rule) = matched(&images, masks);
            assert_eq!((pairs.len(), alone), (2, 0), "{name}: {rule}");
            assert!(pairs[0].ends_with(expected), "{name}: {pairs:?}");
        }
    }

    #[test]
    fn numbers_in_names_are_no_objects() {
        let (pairs, alone, _) = matched(&["images/a.png", "images/a_1.png"], &["masks/a.png", "masks/a_1.png"]);
        assert_eq!((pairs.len(), alone), (2, 0));
        assert_eq!(pairs[0], "images/a.png masks/a.png");
    }

    #[test]
    fn two_rules_are_named() {
        let masks = files(&["masks/a_edge.png", "masks/a_mask.png", "masks/b_edge.png", "masks/b_mask.png"]);
        let TwoRules(rules) = match_up(files(&["images/a.png", "images/b.png"]), masks).unwrap_err();
        let ends = rules.map(|rule| rule.of_mask().to_owned());
        assert_eq!(ends, ["_edge", "_mask"]);
    }
}
