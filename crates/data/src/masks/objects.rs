//! Masks of one object each, merged into one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use image::GrayImage;
use seg_contract::IGNORE_LABEL;
use serde::{Deserialize, Serialize};

use super::{MaskCoding, MaskError, read_mask};

/// Masks of one object each, which together are the mask of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// The mask of each object, as [`MaskCoding::Binary`].
    pub paths: Vec<PathBuf>,
    /// The label of pixels that touch another object.
    pub border: Border,
}

/// The label of an object's pixels that touch another object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Border {
    /// The target, as all other pixels of objects.
    #[default]
    None,
    /// A class of its own, behind the target.
    Class,
    /// [`IGNORE_LABEL`](seg_contract::IGNORE_LABEL).
    Ignore,
}

impl Border {
    const ALL: [(Self, &str); 3] = [(Self::None, "none"), (Self::Class, "class"), (Self::Ignore, "ignore")];
}

impl fmt::Display for Border {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(border, _)| border == self).map_or("", |(_, name)| name);
        formatter.write_str(name)
    }
}

impl FromStr for Border {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text).map(|(border, _)| *border);
        found.ok_or_else(|| format!("`{text}` is no treatment of borders; expected none, class or ignore"))
    }
}

/// The label of pixels that touch another object, as a class.
const BORDER_LABEL: u8 = 2;

/// Returns the labels of all objects.
///
/// A pixel of an object touches another one if that has a pixel among its eight neighbours, or the
/// same pixel. Pixels that a mask ignores and no object has are ignored.
pub(super) fn labels(objects: &Objects) -> Result<GrayImage, MaskError> {
    const NONE: u32 = 0;
    const SHARED: u32 = u32::MAX;
    let mut owners: Option<(PathBuf, (u32, u32), Vec<u32>)> = None;
    let mut ignored = Vec::new();
    for (number, path) in (1..).zip(&objects.paths) {
        let mask = read_mask(path, &MaskCoding::Binary)?;
        let (first, size, owners) =
            owners.get_or_insert_with(|| (path.clone(), mask.dimensions(), vec![NONE; mask.len()]));
        refuse_size(path, mask.dimensions(), first, *size)?;
        for (index, (owner, label)) in owners.iter_mut().zip(mask.iter()).enumerate() {
            match *label {
                0 => {}
                IGNORE_LABEL => ignored.push(index),
                _ if *owner == NONE => *owner = number,
                _ => *owner = SHARED,
            }
        }
    }
    let (_, (width, height), owners) = owners.unwrap_or_default();
    let [columns, rows] = [width, height].map(|side| side as usize);
    let touches = |index: usize| {
        let (x, y) = (index % columns, index / columns);
        let near = |at: usize, end: usize| at.saturating_sub(1)..(at + 2).min(end);
        let mut others = near(y, rows).flat_map(|y| near(x, columns).map(move |x| y * columns + x));
        owners[index] == SHARED || others.any(|other| owners[other] != NONE && owners[other] != owners[index])
    };
    let border = match objects.border {
        Border::None => 1,
        Border::Class => BORDER_LABEL,
        Border::Ignore => IGNORE_LABEL,
    };
    let label = |(index, owner): (usize, &u32)| match *owner {
        NONE => 0,
        _ if border != 1 && touches(index) => border,
        _ => 1,
    };
    let mut labels: Vec<u8> = owners.iter().enumerate().map(label).collect();
    ignored.into_iter().filter(|index| owners[*index] == NONE).for_each(|index| labels[index] = IGNORE_LABEL);
    Ok(GrayImage::from_raw(width, height, labels).expect("there is one label per pixel"))
}

fn refuse_size(path: &Path, size: (u32, u32), first: &Path, expected: (u32, u32)) -> Result<(), MaskError> {
    if size == expected {
        return Ok(());
    }
    Err(MaskError::ObjectSize { path: path.into(), size, first: first.into(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_have_one_name() {
        for (border, name) in Border::ALL {
            assert_eq!((border.to_string().as_str(), name.parse()), (name, Ok(border)));
        }
        assert!("edge".parse::<Border>().unwrap_err().contains("`edge`"));
    }

    /// Merges objects, each given as rows of 6 pixels.
    fn merged(objects: &[[u8; 12]], border: Border) -> Result<Vec<u8>, MaskError> {
        let folder = tempfile::tempdir().unwrap();
        let paths = objects.iter().enumerate().map(|(number, pixels)| {
            let path = folder.path().join(format!("{number}.png"));
            GrayImage::from_raw(6, 2, pixels.map(|pixel| pixel * 255).to_vec()).unwrap().save(&path).unwrap();
            path
        });
        let objects = Objects { paths: paths.collect(), border };
        Ok(labels(&objects)?.into_raw())
    }

    #[test]
    fn objects_are_one_mask_and_their_borders_what_was_chosen() {
        let left = [1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0];
        let middle = [0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0];
        let over = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        for (name, objects, border, expected) in [
            ("one", &[left][..], Border::Class, left),
            ("merged", &[left, middle], Border::None, [1, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0]),
            ("a class", &[left, middle], Border::Class, [1, 1, 2, 2, 1, 0, 1, 1, 0, 0, 0, 0]),
            ("ignored", &[left, middle], Border::Ignore, [1, 1, 255, 255, 1, 0, 1, 1, 0, 0, 0, 0]),
            ("shared", &[middle, over], Border::Class, [0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(merged(objects, border).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn objects_of_other_sizes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [(4, "a.png"), (5, "b.png")].map(|(width, name)| {
            let path = folder.path().join(name);
            GrayImage::new(width, 3).save(&path).unwrap();
            path
        });
        let objects = Objects { paths: paths.into(), border: Border::None };
        let message = labels(&objects).unwrap_err().to_string();
        assert!(message.contains("b.png` is 5x3") && message.contains("a.png` is 4x3"), "{message}");
    }
}
