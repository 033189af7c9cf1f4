//! Images and masks in the same folder: `a.png` beside `a_mask.png`, or `a.jpg` beside `a.png`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::DatasetError;
use super::affix::{Difference, Name};
use super::listing::{File, extension};
use super::words::speaks_of_masks;

/// The most files from which differences are guessed.
const GUESSED_FROM: usize = 24;

/// Images and their masks.
type Divided = (Vec<File>, Vec<File>);

/// Divides files into images and their masks; `None` if no rule divides nearly all of them.
pub(super) fn split(root: &Path, files: &[File]) -> Result<Option<Divided>, DatasetError> {
    let mut by_name = BTreeMap::<Name, Vec<&File>>::new();
    for file in files {
        by_name.entry(file.key()).or_default().push(file);
    }
    if !by_name.is_empty() && by_name.values().all(|files| files.len() == 2) {
        return by_extension(root, by_name.values()).map(Some);
    }
    let names: BTreeSet<Name> = by_name.keys().cloned().collect();
    let Some(difference) = difference(root, &names)? else { return Ok(None) };
    let masks: BTreeSet<Name> = names.iter().filter_map(|name| mask_in(&difference, name, &names)).collect();
    // Numbered masks of further objects: `a_mask_1`.
    let is_mask = |file: &File| {
        let name = file.key();
        let core = name.stem.trim_end_matches(|sign: char| sign.is_ascii_digit()).trim_end_matches(['_', '-', ' ']);
        masks.contains(&name) || masks.contains(&Name { folder: name.folder.clone(), stem: core.into() })
    };
    let (masks, images) = files.iter().cloned().partition(is_mask);
    Ok(Some((images, masks)))
}

/// Tells images from masks of the same names by their formats: JPEG changes the values of a mask.
fn by_extension<'a>(
    root: &Path,
    pairs: impl Iterator<Item = &'a Vec<&'a File>>,
) -> Result<(Vec<File>, Vec<File>), DatasetError> {
    let (mut images, mut masks) = (Vec::new(), Vec::new());
    for pair in pairs {
        let [first, second] = [pair[0], pair[1]];
        let is_lossy = |file: &File| extension(&file.path).is_some_and(|name| ["jpg", "jpeg"].contains(&name.as_str()));
        let (image, mask) = match [is_lossy(first), is_lossy(second)] {
            [true, false] => (first, second),
            [false, true] => (second, first),
            _ => {
                let name = |file: &File| extension(&file.path).unwrap_or_default();
                return Err(DatasetError::Ambiguous {
                    root: root.into(),
                    readings: [first, second].map(|file| format!("masks in the {} files", name(file))),
                    remedy: format!(
                        "choose by `--images '**/*.{}' --masks '**/*.{}'` or the other way round",
                        name(first),
                        name(second)
                    ),
                });
            }
        };
        images.push(image.clone());
        masks.push(mask.clone());
    }
    Ok((images, masks))
}

/// Returns the name of an image's mask, if it is among the names and another one.
fn mask_in(difference: &Difference, image: &Name, names: &BTreeSet<Name>) -> Option<Name> {
    let mask = Name { folder: image.folder.clone(), stem: difference.mask_of(&image.stem)? };
    (mask != *image && names.contains(&mask)).then_some(mask)
}

/// Finds the difference between images and masks among the names of both.
fn difference(root: &Path, names: &BTreeSet<Name>) -> Result<Option<Difference>, DatasetError> {
    let mut found = BTreeMap::<Difference, usize>::new();
    let step = names.len().div_ceil(GUESSED_FROM).max(1);
    for one in names.iter().step_by(step) {
        let first = Name { folder: one.folder.clone(), stem: String::new() };
        for other in names.range(first..).take_while(|other| other.folder == one.folder).filter(|other| *other != one) {
            for difference in Difference::all(&one.stem, &other.stem).chain(Difference::all(&other.stem, &one.stem)) {
                found.entry(difference).or_insert(0);
            }
        }
    }
    // From the image to the mask only: the other way round is the same pair.
    let directed = found.into_keys().filter(|difference| {
        let [image, mask] = [difference.of_image(), difference.of_mask()].map(speaks_of_masks);
        if image == mask { difference.of_image().len() <= difference.of_mask().len() } else { mask }
    });
    let mut rated: Vec<(usize, Difference)> = directed
        .map(|difference| (names.iter().filter(|name| mask_in(&difference, name, names).is_some()).count(), difference))
        .filter(|(pairs, _)| *pairs > 0)
        .collect();
    // A word for masks says the most, then something that only one of both names has.
    let rank = |difference: &Difference| match speaks_of_masks(difference.of_mask()) {
        true => 0,
        false if difference.of_image().is_empty() => 1,
        false => 2,
    };
    rated.sort_by_key(|(pairs, difference)| (std::cmp::Reverse(*pairs), rank(difference)));
    let Some((pairs, best)) = rated.first().cloned() else { return Ok(None) };
    let others = rated.iter().skip(1).filter(|(count, _)| *count == pairs);
    let rival = others.map(|(_, other)| other).find(|other| rank(other) == rank(&best));
    if let Some(other) = rival.filter(|_| 2 * pairs >= names.len().div_ceil(2)) {
        return Err(DatasetError::Ambiguous {
            root: root.into(),
            readings: [&best, other].map(|difference| format!("masks {difference}")),
            remedy: "choose both by `--images` and `--masks`, as `--images '*_a.png' --masks '*_b.png'`".into(),
        });
    }
    // Nearly all: a few may lack their counterpart, which is reported, or have several masks.
    Ok((10 * pairs >= 4 * names.len() && (pairs > 1 || names.len() == 2)).then_some(best))
}

#[cfg(test)]
mod tests {
    use super::super::listing::tests::files;
    use super::*;

    fn names(files: &[File]) -> Vec<&str> {
        files.iter().map(|file| file.relative.as_str()).collect()
    }

    #[test]
    fn masks_are_told_by_their_names_or_formats() {
        for (name, all, masks) in [
            ("an end", &["a.png", "a_mask.png", "b.png", "b_mask.png"][..], ["a_mask.png", "b_mask.png"]),
            (
                "an end that says nothing",
                &["a.png", "a_1stHO.png", "b.png", "b_1stHO.png"],
                ["a_1stHO.png", "b_1stHO.png"],
            ),
            ("an end of each", &["1_mask.png", "1_sat.jpg", "2_mask.png", "2_sat.jpg"], ["1_mask.png", "2_mask.png"]),
            ("a beginning", &["1.png", "2.png", "gt_1.png", "gt_2.png"], ["gt_1.png", "gt_2.png"]),
            ("formats", &["a.jpg", "a.png", "b.jpg", "b.png"], ["a.png", "b.png"]),
        ] {
            let (images, found) = split(Path::new("root"), &files(all)).unwrap().unwrap();
            assert_eq!(names(&found), masks, "{name}");
            assert_eq!(images.len(), 2, "{name}");
        }
        let several = ["a.png", "a_mask.png", "a_mask_1.png", "b.png", "b_mask.png"];
        let (images, masks) = split(Path::new("root"), &files(&several)).unwrap().unwrap();
        assert_eq!((names(&images), masks.len()), (vec!["a.png", "b.png"], 3));
    }

    #[test]
    fn what_can_be_read_in_two_ways_names_both() {
        for (name, all, parts) in [
            ("formats", &["a.tif", "a.png", "b.tif", "b.png"][..], ["png files", "tif files"]),
            (
                "two of each",
                &["a.png", "a_x.png", "a_y.png", "b.png", "b_x.png", "b_y.png", "c.png", "c_x.png", "c_y.png"],
                ["`_x`", "`_y`"],
            ),
        ] {
            let message = split(Path::new("root"), &files(all)).unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{name}: {message}");
        }
        assert!(split(Path::new("root"), &files(&["a.png", "b.png", "c.png"])).unwrap().is_none());
    }
}
