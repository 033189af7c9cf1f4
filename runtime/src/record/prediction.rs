//! The report on one image.

use std::fs;
use std::path::Path;

use image::GrayImage;
use seg_contract::Class;
use seg_data::{PicturePath, ShownWindow, count_labels};
use seg_inference::{RunsOn, digest};
use serde::{Deserialize, Serialize};

use super::saved_file::SavedFile;
use crate::save::Save;

/// The report on one image: a line of `predictions.jsonl`.
///
/// If the path of the image is not UTF-8, a replacement character stands for each invalid byte, and
/// the entry has the path without loss as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Prediction {
    /// The name of the image's files.
    pub name: String,
    /// The image.
    pub input: String,
    /// The size of the image's file, in bytes.
    pub input_bytes: u64,
    /// The SHA-256 of the image's file, in hexadecimal.
    pub input_sha256: String,
    /// Width of image and mask, upright, in pixels.
    pub width: u32,
    /// Height of image and mask, upright, in pixels.
    pub height: u32,
    /// The orientation of the camera, as EXIF counts it, 1 to 8. All results are upright, as if it
    /// were 1.
    pub orientation: u8,
    /// The millimetres between rows and between columns, where the file names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[f64; 2]>,
    /// The level of a pyramid, 0 for the full size, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u32>,
    /// The window through which the network saw the values of a medical image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<ShownWindow>,
    /// Height and width of the network's input, in pixels.
    pub network: [usize; 2],
    /// Height and width to which the image was resampled, in pixels, where the model names a
    /// spacing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resampled: Option<[usize; 2]>,
    /// The number of tiles; `None` if the image was run whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<usize>,
    /// The area of each class, by class index.
    pub area: Vec<ClassArea>,
    /// The files that were written.
    pub files: Vec<SavedFile>,
    /// The provider that computed the result.
    pub runs_on: RunsOn,
    /// The time to read, hash and decode the file, in milliseconds.
    pub decode_ms: f64,
    /// The time to convert the image to the network's input, in milliseconds.
    pub preprocess_ms: f64,
    /// The time of the network, in milliseconds; for an image in a batch, its share.
    pub infer_ms: f64,
    /// The time to convert the network's output to the mask, in milliseconds.
    pub postprocess_ms: f64,
    /// The time to write all files, in milliseconds.
    pub encode_ms: f64,
}

/// The area of a class in a mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClassArea {
    /// The name of the class.
    pub class: String,
    /// The number of its pixels.
    pub pixels: u64,
    /// Its share of the pixels, 0 to 1.
    pub share: f64,
    /// Its area in square millimetres, where the file names the size of pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mm2: Option<f64>,
}

impl Prediction {
    /// Returns whether a file has the content of the image that was segmented; one that cannot be
    /// read does not.
    pub(crate) fn is_content_of(&self, input: &Path) -> bool {
        // Most differences show without reading the file.
        fs::metadata(PicturePath::new(input).file).is_ok_and(|found| found.len() == self.input_bytes)
            && digest(input).is_ok_and(|(_, sha256)| sha256 == self.input_sha256)
    }

    /// Returns whether all files are in the folder of the results with the content that was
    /// written.
    pub(crate) fn is_whole(&self, folder: &Path) -> bool {
        self.files.iter().all(|file| file.is_whole(folder))
    }

    /// Returns the path of the first file of a kind, in the folder of the results.
    pub fn file(&self, kind: Save) -> Option<&str> {
        self.files.iter().find(|file| file.kind == kind).map(|file| file.path.as_str())
    }
}

/// Measures the area of each class.
pub fn areas(mask: &GrayImage, classes: &[Class], spacing: Option<[f64; 2]>) -> Vec<ClassArea> {
    let pixels = count_labels(mask);
    let all = mask.len() as f64;
    let areas = classes.iter().zip(pixels).map(|(class, pixels)| {
        let share = pixels as f64 / all;
        let mm2 = spacing.map(|[rows, columns]| pixels as f64 * rows * columns);
        ClassArea { class: class.name.clone(), pixels, share, mm2 }
    });
    areas.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_counted_by_class_and_absent_classes_cover_nothing() {
        let mask = GrayImage::from_raw(4, 1, vec![0, 2, 2, 0]).unwrap();
        let classes = ["background", "cell", "nucleus"].map(|name| Class::new(name, 0));
        let found: Vec<_> =
            areas(&mask, &classes, None).into_iter().map(|area| (area.class, area.pixels, area.share)).collect();
        let expected = [("background", 2, 0.5), ("cell", 0, 0.0), ("nucleus", 2, 0.5)];
        assert_eq!(found, expected.map(|(name, pixels, share)| (name.to_owned(), pixels, share)));
        // Rows 0.5 mm and columns 0.25 mm apart.
        let found: Vec<_> = areas(&mask, &classes, Some([0.5, 0.25])).into_iter().map(|area| area.mm2).collect();
        assert_eq!(found, [Some(0.25), Some(0.0), Some(0.25)]);
    }
}
