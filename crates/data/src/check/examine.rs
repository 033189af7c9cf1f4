//! The content of one sample's files.

use std::error::Error;
use std::path::Path;

use image::DynamicImage;
use seg_contract::{IGNORE_LABEL, Level, Reading, Sha256, sha256_digest};

use super::alike::Look;
use super::quick::of_sample;
use super::role::Role;
use crate::colors::to_rgb8;
use crate::datasets::Sample;
use crate::formats::{PicturePath, ReadError, decode, decode_as, format_of_picture, read_image_file};
use crate::masks::{Suspicion, read_mask_as};

/// A SHA-256 digest.
pub(super) type Hash = [u8; 32];

/// The findings about a sample's files.
pub(super) struct Examined {
    pub(super) role: Role,
    pub(super) name: String,
    /// The errors that keep the sample from being loaded.
    pub(super) problems: Vec<String>,
    /// True if the image is rotated as its camera noted and the mask is not.
    pub(super) turned: bool,
    /// The signs that the mask says something else than what is read.
    pub(super) suspicions: Vec<Suspicion>,
    pub(super) picture: Option<Picture>,
    pub(super) labels: Option<Labels>,
}

/// The facts about an image.
pub(super) struct Picture {
    /// Width and height.
    pub(super) size: [u32; 2],
    /// Width and height after resampling, where that is asked for.
    pub(super) resampled: Option<[u32; 2]>,
    /// Bits and channels, in words.
    pub(super) kind: String,
    /// True if all pixels have the same colour.
    pub(super) blank: bool,
    /// The largest value as a share of the largest that the type holds, if that is more than a
    /// byte.
    pub(super) range: Option<f64>,
    pub(super) file: Hash,
    pub(super) pixels: Hash,
    pub(super) look: Look,
}

/// The facts about a mask.
pub(super) struct Labels {
    /// The counted pixels of each class.
    pub(super) counts: Vec<u64>,
    /// The number of ignored pixels.
    pub(super) ignored: u64,
    pub(super) hash: Hash,
}

impl Examined {
    /// Returns the name in a report, which is unique across parts.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.role, self.name)
    }
}

/// Reads each of a sample's files, even if another cannot be read.
pub(super) fn examine(role: Role, sample: &Sample, classes: usize) -> Examined {
    let mut problems = Vec::new();
    let mut picture = picture(&sample.image, &sample.reading).map_err(|error| problems.push(chain(&error))).ok();
    if let Some(picture) = picture.as_mut().filter(|_| sample.reading.resample.is_some()) {
        match sample.seen_size() {
            Ok([height, width]) => picture.resampled = Some([width, height].map(|side| side as u32)),
            Err(error) => problems.push(chain(&error)),
        }
    }
    let labels = match &picture {
        Some(picture) => sample.labels(picture.size.into()).map_err(|error| problems.push(chain(&error))),
        None => {
            read_mask_as(&sample.mask, &sample.coding, &sample.reading).map_err(|error| problems.push(chain(&error)))
        }
    };
    let labels = labels.ok().map(|labels| {
        let mut counts = [0; 256];
        labels.iter().for_each(|label| counts[usize::from(*label)] += 1);
        Labels {
            counts: counts[..classes].to_vec(),
            ignored: counts[usize::from(IGNORE_LABEL)],
            hash: hash(labels.dimensions(), &labels),
        }
    });
    Examined {
        role,
        name: sample.name.clone(),
        problems,
        turned: sample.is_turned(),
        suspicions: of_sample(sample),
        picture,
        labels,
    }
}

fn picture(path: &Path, reading: &Reading) -> Result<Picture, ReadError> {
    let format = format_of_picture(path)?;
    let is_whole = reading.level() == Level::Number(0) && PicturePath::new(path).number.is_none();
    let is_file = is_whole && !format.is_known_by_content();
    let (image, file) = if is_file {
        let bytes = read_image_file(path)?;
        (decode(path, &bytes)?, Some(sha256_digest(&bytes)))
    } else {
        // Other pictures of the same file are no copies.
        (decode_as(path, reading)?, None)
    };
    let (width, height) = (image.width(), image.height());
    let pixels = hash((width, height), to_rgb8(&image).as_raw());
    Ok(Picture {
        size: [width, height],
        resampled: None,
        kind: kind(&image),
        blank: is_blank(&image),
        range: range(&image),
        file: file.unwrap_or(pixels),
        pixels,
        look: Look::new(&image),
    })
}

/// Returns true if all pixels have the same colour; their transparency does not matter.
fn is_blank(image: &DynamicImage) -> bool {
    let kind = image.color();
    let bytes = usize::from(kind.bytes_per_pixel());
    // Alpha is the last channel.
    let color = bytes - if kind.has_alpha() { bytes / usize::from(kind.channel_count()) } else { 0 };
    let mut pixels = image.as_bytes().chunks_exact(bytes).map(|pixel| &pixel[..color]);
    let first = pixels.next();
    pixels.all(|pixel| Some(pixel) == first)
}

/// Returns the largest value of an image of more than 8 bits, as a share of the largest possible.
fn range(image: &DynamicImage) -> Option<f64> {
    let largest = |values: &[u16]| values.iter().max().map_or(0.0, |value| f64::from(*value) / 65_535.0);
    match image {
        DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_) => Some(largest(&image.to_rgb16())),
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
            Some(image.to_rgb32f().iter().map(|value| f64::from(*value)).fold(0.0, f64::max))
        }
        _ => None,
    }
}

/// Describes the channels and bits of an image.
fn kind(image: &DynamicImage) -> String {
    let bits = 8 * image.color().bytes_per_pixel() / image.color().channel_count();
    let channels = if image.color().has_color() { "colour" } else { "grey" };
    let alpha = if image.color().has_alpha() { " with transparency" } else { "" };
    format!("{bits}-bit {channels}{alpha}")
}

fn hash((width, height): (u32, u32), values: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(width.to_le_bytes());
    hasher.update(height.to_le_bytes());
    hasher.update(values);
    hasher.digest()
}

/// Formats an error with its causes.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
