//! Mask files to labels.

mod binary;
mod counts;
mod exact;
mod objects;
mod suspicion;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use binary::THRESHOLD;
pub use counts::count_labels;
use image::{DynamicImage, GrayImage};
pub use objects::{Border, Objects};
use seg_contract::{IGNORE_LABEL, Reading};
pub(crate) use suspicion::{Suspicion, suspicions};
use thiserror::Error;

use crate::annotations::{AnnotationError, Drawing};
use crate::formats::{ReadError, decode_indices, decode_integers, format_of_picture, levels};

/// The coding of classes in a mask file.
#[derive(Clone, Debug, PartialEq)]
pub enum MaskCoding {
    /// Two classes in grey.
    ///
    /// A mask of the values 0, 1 and 255 in which 1 occurs holds labels, of which 255 is
    /// [`IGNORE_LABEL`]. In every other mask the values from 128 are class 1 and those below are
    /// class 0, because masks saved as JPEG are blurred at their borders. A mask that looks like
    /// indices is refused: all values from 0 to a largest one that is not white. A bright JPEG is
    /// not refused.
    Binary,
    /// The label is the grey value or, in an indexed PNG, GIF or TIFF, the palette's index;
    /// [`IGNORE_LABEL`] is allowed. In a TIFF file of any depth the grey value is the one stored;
    /// PNG defines that grey of less than 8 bits is scaled to 8.
    Index {
        /// The number of classes.
        classes: u8,
    },
    /// Each class has a colour of its own: the labels by red, green and blue.
    Color(Arc<BTreeMap<[u8; 3], u8>>),
    /// Each of several binary masks shows an object of the image.
    Objects(Arc<Objects>),
    /// Annotations say the areas of the classes; the mask file is theirs.
    Drawn(Arc<Drawing>),
}

/// An error in reading a file as a mask.
#[derive(Debug, Error)]
pub enum MaskError {
    /// The file cannot be read as an image.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Annotations cannot be read or drawn.
    #[error(transparent)]
    Annotation(#[from] AnnotationError),
    /// A binary mask has a coloured pixel.
    #[error(
        "cannot read `{path}` as a binary mask: it has pixels of the colour {color:?}, expected grey; save it with 0 for \
         the background and 255 for the target, or name the colours of the classes in a `classes.json`, as {EXAMPLE_COLOR}"
    )]
    Colored {
        /// The mask file.
        path: PathBuf,
        /// The red, green and blue of one such pixel.
        color: [u8; 3],
    },
    /// The colour of a binary mask is the same everywhere, its transparency is not.
    #[error(
        "cannot read `{path}` as a mask: its colour is the same everywhere, and the drawing is in its transparency, which is not \
         read; save it without transparency, with 0 for the background and 255 for the target"
    )]
    Transparent {
        /// The mask file.
        path: PathBuf,
    },
    /// A binary mask holds labels of more than two classes, or object numbers.
    #[error(
        "cannot read `{path}` as a binary mask: its values up to {largest} look like class indices or numbers of objects; name \
         the classes in a `classes.json` in the data set's folder, as {EXAMPLE_INDEX}, or save it with 255 for all objects"
    )]
    Indices {
        /// The mask file.
        path: PathBuf,
        /// The largest index.
        largest: u16,
    },
    /// A binary mask is not blank and has neither labels nor values of at least 128.
    #[error(
        "cannot read `{path}` as a binary mask: its largest value is {largest}, expected 0, 1 or at least {THRESHOLD}; save \
         it with 0 for the background and 255 for the target"
    )]
    Dark {
        /// The mask file.
        path: PathBuf,
        /// The largest value.
        largest: u8,
    },
    /// A mask whose values must be exact is in a format that blurs them.
    #[error(
        "cannot read `{path}` as a mask of class indices or colours: it is a {format} file, whose compression changes \
         values; save it as PNG, or say `\"masks\": \"binary\"` where there are two classes"
    )]
    Lossy {
        /// The mask file.
        path: PathBuf,
        /// The name of its format.
        format: &'static str,
    },
    /// A mask of class indices has a coloured pixel.
    #[error(
        "cannot read `{path}` as a mask of class indices: the pixel at ({x}, {y}) has the colour {color:?}, expected grey or \
         an indexed PNG, GIF or TIFF; say `\"masks\": \"color\"` in `classes.json` if colours are the classes"
    )]
    NotGrey {
        /// The mask file.
        path: PathBuf,
        /// The pixel's column.
        x: u32,
        /// The pixel's row.
        y: u32,
        /// The red, green and blue as stored.
        color: [u16; 3],
    },
    /// A value of an index mask belongs to no class.
    #[error(
        "cannot read `{path}` as a mask of class indices: the pixel at ({x}, {y}) has the value {value}, expected 0 to {} for \
         the classes in `classes.json` or {IGNORE_LABEL} to ignore it; name the missing class there or correct the mask",
        classes - 1
    )]
    Value {
        /// The mask file.
        path: PathBuf,
        /// The pixel's column.
        x: u32,
        /// The pixel's row.
        y: u32,
        /// The value.
        value: u16,
        /// The number of classes.
        classes: u8,
    },
    /// The masks of an image's objects differ in size.
    #[error(
        "the mask `{path}` is {}x{}, but `{first}` is {}x{}; all masks of one image must have its size",
        size.0, size.1, expected.0, expected.1
    )]
    ObjectSize {
        /// The mask file.
        path: PathBuf,
        /// Its width and height, in pixels.
        size: (u32, u32),
        /// The first mask of the image.
        first: PathBuf,
        /// Its width and height, in pixels.
        expected: (u32, u32),
    },
    /// A colour of a colour-coded mask belongs to no class.
    #[error(
        "cannot read `{path}` as a mask of colours: the pixel at ({x}, {y}) has the colour {color:?}, which belongs to no class \
         in `classes.json`; name its class there, make it the colour to `ignore`, or correct the mask"
    )]
    Color {
        /// The mask file.
        path: PathBuf,
        /// The pixel's column.
        x: u32,
        /// The pixel's row.
        y: u32,
        /// The red, green and blue.
        color: [u8; 3],
    },
}

/// An example of a `classes.json` for class indices.
pub(crate) const EXAMPLE_INDEX: &str =
    r#"{"masks": "index", "classes": [{"name": "background"}, {"name": "disc"}, {"name": "cup"}]}"#;
/// An example of a `classes.json` for colours.
const EXAMPLE_COLOR: &str = r#"{"masks": "color", "classes": [{"name": "background", "color": [0, 0, 0]}, {"name": "vessel", "color": [128, 0, 0]}]}"#;

/// Reads a mask as labels: class indices from 0, and [`IGNORE_LABEL`].
///
/// # Errors
/// When the file cannot be read as an image or does not follow `coding`.
pub fn read_mask(path: &Path, coding: &MaskCoding) -> Result<GrayImage, MaskError> {
    read_mask_as(path, coding, &Reading::default())
}

/// Reads a mask as [`read_mask`] does, a slice of a medical volume and the level of a pyramid in
/// the way that `reading` names. A mask that is no pyramid has one size, whatever the level.
///
/// # Errors
/// As [`read_mask`].
pub fn read_mask_as(path: &Path, coding: &MaskCoding, reading: &Reading) -> Result<GrayImage, MaskError> {
    let is_file = !matches!(coding, MaskCoding::Objects(_) | MaskCoding::Drawn(_));
    let level = reading.level.filter(|_| is_file && levels(path).is_ok_and(|levels| levels > 1));
    let reading = &Reading { level, ..*reading };
    match coding {
        MaskCoding::Objects(objects) => objects::labels(objects),
        MaskCoding::Drawn(drawing) => Ok(drawing.labels()?),
        MaskCoding::Binary => {
            let is_blurred = !format_of_picture(path)?.keeps_values();
            binary::labels(path, &decode_integers(path, reading)?, is_blurred)
        }
        MaskCoding::Index { classes } => {
            check_exact(path)?;
            exact::from_indices(path, &decode_indices(path, reading)?, *classes)
        }
        MaskCoding::Color(labels) => {
            check_exact(path)?;
            exact::from_colors(path, &decode_integers(path, reading)?, labels)
        }
    }
}

/// Reads a mask as the indices of its palette or its grey values.
///
/// # Errors
/// When the file cannot be read as an image or its compression changes values.
pub(crate) fn read_indices(path: &Path) -> Result<DynamicImage, MaskError> {
    check_exact(path)?;
    Ok(decode_indices(path, &Reading::default())?)
}

/// Checks that a file's format keeps values.
fn check_exact(path: &Path) -> Result<(), MaskError> {
    let format = format_of_picture(path)?;
    match format.keeps_values() {
        false => Err(MaskError::Lossy { path: path.into(), format: format.name() }),
        true => Ok(()),
    }
}

/// Sets the labels outside a field of view, where its own label is 0, to [`IGNORE_LABEL`]; both
/// have the same size.
pub(crate) fn ignore_outside(labels: &mut GrayImage, field_of_view: &GrayImage) {
    for (label, inside) in labels.iter_mut().zip(field_of_view.iter()) {
        if *inside == 0 {
            *label = IGNORE_LABEL;
        }
    }
}

/// Returns the number of bits by which values of 16 bits are shifted to become bytes: 0 if no high
/// byte is used.
fn shift_to_byte(values: &[u16]) -> u32 {
    if values.iter().all(|value| *value <= u16::from(u8::MAX)) { 0 } else { 8 }
}

impl MaskCoding {
    /// Returns the files that are read in addition to the mask file of a sample.
    pub(crate) fn files(&self) -> &[PathBuf] {
        match self {
            // The first of them is the sample's mask file.
            Self::Objects(objects) => objects.paths.get(1..).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Returns the name in `classes.json`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Index { .. } => "index",
            Self::Color(_) => "color",
            Self::Objects(_) => "objects",
            Self::Drawn(_) => "drawn",
        }
    }
}

/// Returns everything that decides the labels: the name and, of colours, the label of each.
impl fmt::Display for MaskCoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())?;
        if let Self::Color(labels) = self {
            for ([red, green, blue], label) in labels.iter() {
                write!(formatter, " {red:02x}{green:02x}{blue:02x}={label}")?;
            }
        }
        if let Self::Objects(objects) = self {
            write!(formatter, " border={}", objects.border)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;

    /// Reads a file of the given content as a mask.
    pub(crate) fn read_bytes(bytes: &[u8], coding: &MaskCoding) -> Result<Vec<u8>, MaskError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        fs::write(&path, bytes).unwrap();
        Ok(read_mask(&path, coding)?.into_raw())
    }

    /// Saves the image as a PNG file and reads it as a mask.
    pub(super) fn read(image: &DynamicImage, coding: &MaskCoding) -> Result<Vec<u8>, MaskError> {
        read_bytes(&encoded(image, ImageFormat::Png), coding)
    }

    pub(crate) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    pub(crate) fn gray8(values: &[u8]) -> DynamicImage {
        GrayImage::from_raw(values.len() as u32, 1, values.to_vec()).unwrap().into()
    }

    pub(super) fn gray16(values: &[u16]) -> DynamicImage {
        let values = values.to_vec();
        image::ImageBuffer::<image::Luma<u16>, _>::from_raw(values.len() as u32, 1, values).unwrap().into()
    }

    pub(super) fn rgb(values: &[[u8; 3]]) -> DynamicImage {
        RgbImage::from_fn(values.len() as u32, 1, |x, _| Rgb(values[x as usize])).into()
    }

    #[test]
    fn what_lies_outside_the_field_of_view_is_ignored() {
        let mut labels = GrayImage::from_raw(4, 1, vec![0, 1, 0, 1]).unwrap();
        ignore_outside(&mut labels, &GrayImage::from_raw(4, 1, vec![0, 0, 1, 1]).unwrap());
        assert_eq!(labels.into_raw(), [IGNORE_LABEL, IGNORE_LABEL, 0, 1]);
    }

    #[test]
    fn only_binary_masks_may_be_blurred() {
        let picture = rgb(&[[255; 3]; 8]);
        let color = MaskCoding::Color(Arc::new([([255; 3], 1)].into()));
        for (format, name) in [(ImageFormat::Jpeg, "a JPEG file"), (ImageFormat::WebP, "a WebP file")] {
            let bytes = encoded(&picture, format);
            assert_eq!(read_bytes(&bytes, &MaskCoding::Binary).unwrap(), [1; 8], "{name}");
            for coding in [MaskCoding::Index { classes: 2 }, color.clone()] {
                let message = read_bytes(&bytes, &coding).unwrap_err().to_string();
                assert!(message.contains("mask.png`") && message.contains(name), "{coding}: {message}");
            }
        }
    }
}
