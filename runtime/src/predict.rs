//! One image file, segmented into files.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use image::GrayImage;
use seg_data::{EncodeError, OverlayError, ReadError, WriteError};
use seg_onnx::contract::Class;
use serde::Serialize;
use thiserror::Error;

use crate::{
    outputs::OutputPaths,
    provider::Provider,
    segmenter::{SegmentError, Segmenter},
};

/// What is reported of one image: a line of `predictions.jsonl`.
///
/// Paths that are no Unicode are given with a replacement character in place of what is not.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// The image.
    pub input: String,
    /// The mask written.
    pub mask: String,
    /// The overlay written.
    pub overlay: String,
    /// Width of image, mask and overlay, in pixels.
    pub width: u32,
    /// Height of image, mask and overlay, in pixels.
    pub height: u32,
    /// What each class covers, by class index.
    pub area: Vec<ClassArea>,
    /// What computed it.
    pub provider: Provider,
    /// Reading and decoding the file, in milliseconds.
    pub decode_ms: f64,
    /// From the image to the network's input, in milliseconds.
    pub preprocess_ms: f64,
    /// The network, in milliseconds.
    pub infer_ms: f64,
    /// From the network's output to the mask, in milliseconds.
    pub postprocess_ms: f64,
    /// Drawing the overlay and writing both files, in milliseconds.
    pub encode_ms: f64,
}

/// What a class covers in a mask.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassArea {
    /// The name of the class.
    pub class: String,
    /// Its pixels.
    pub pixels: u64,
    /// Its share of the pixels, 0 to 1.
    pub share: f64,
}

/// Why an image file could not be segmented into files.
#[derive(Debug, Error)]
pub enum PredictError {
    /// The image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The image cannot be segmented.
    #[error("cannot segment `{path}`")]
    Segment {
        /// The image.
        path: PathBuf,
        /// Why.
        source: SegmentError,
    },
    /// The overlay cannot be drawn.
    #[error("cannot draw the overlay of `{path}`")]
    Overlay {
        /// The image.
        path: PathBuf,
        /// Why.
        source: OverlayError,
    },
    /// The mask cannot be written.
    #[error(transparent)]
    Mask(#[from] EncodeError),
    /// The overlay cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl PredictError {
    /// Whether the image is to blame, so that others may still succeed; otherwise the output folder is.
    pub fn is_about_the_image(&self) -> bool {
        match self {
            Self::Read(_) | Self::Segment { .. } | Self::Overlay { .. } => true,
            Self::Mask(_) | Self::Write(_) => false,
        }
    }
}

/// Segments the image in a file and writes its mask and overlay, whose folders must exist.
///
/// # Errors
/// When the image cannot be read or segmented, or a file cannot be written.
pub fn predict(segmenter: &mut Segmenter, input: &Path, outputs: &OutputPaths) -> Result<Prediction, PredictError> {
    let start = Instant::now();
    let image = seg_data::read_image(input)?;
    let decode = start.elapsed();

    let segmentation =
        segmenter.segment(&image).map_err(|source| PredictError::Segment { path: input.into(), source })?;
    let mask = &segmentation.mask;

    let start = Instant::now();
    let palette: Vec<_> = segmenter.contract().classes.iter().map(|class| class.color).collect();
    let overlay = seg_data::overlay(&image, mask, &palette)
        .map_err(|source| PredictError::Overlay { path: input.into(), source })?;
    seg_data::write_mask_png(&outputs.mask, mask, &palette)?;
    seg_data::write_png(&outputs.overlay, &overlay)?;
    let encode = start.elapsed();

    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(Prediction {
        input: text(input),
        mask: text(&outputs.mask),
        overlay: text(&outputs.overlay),
        width: mask.width(),
        height: mask.height(),
        area: areas(mask, &segmenter.contract().classes),
        provider: segmenter.provider(),
        decode_ms: milliseconds(decode),
        preprocess_ms: milliseconds(segmentation.timings.preprocess),
        infer_ms: milliseconds(segmentation.timings.infer),
        postprocess_ms: milliseconds(segmentation.timings.postprocess),
        encode_ms: milliseconds(encode),
    })
}

/// What each class covers.
fn areas(mask: &GrayImage, classes: &[Class]) -> Vec<ClassArea> {
    let mut pixels = [0_u64; 256];
    for label in mask.iter() {
        pixels[usize::from(*label)] += 1;
    }
    let all = mask.len() as f64;
    let area =
        |(class, pixels): (&Class, u64)| ClassArea { class: class.name.clone(), pixels, share: pixels as f64 / all };
    classes.iter().zip(pixels).map(area).collect()
}

/// A duration in milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_counted_by_class_and_absent_classes_cover_nothing() {
        let mask = GrayImage::from_raw(4, 1, vec![0, 2, 2, 0]).unwrap();
        let classes = ["background", "cell", "nucleus"].map(|name| Class::new(name, 0));
        let found: Vec<_> =
            areas(&mask, &classes).into_iter().map(|area| (area.class, area.pixels, area.share)).collect();
        let expected = [("background", 2, 0.5), ("cell", 0, 0.0), ("nucleus", 2, 0.5)];
        assert_eq!(found, expected.map(|(name, pixels, share)| (name.to_owned(), pixels, share)));
    }
}
