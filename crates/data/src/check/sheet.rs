//! A contact sheet: images beside their masks, on which shifted, inverted or exchanged masks are
//! easy to spot.

use image::RgbImage;
use rayon::prelude::*;
use seg_contract::Class;
use thiserror::Error;

use super::digit::write_number;
use crate::datasets::{Sample, SampleError};
use crate::write::{OverlayError, Pair, sheet};

/// The number of samples in a row.
const COLUMNS: usize = 4;

/// An error in drawing a contact sheet.
#[derive(Debug, Error)]
pub enum SheetError {
    /// A sample cannot be loaded.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A mask cannot be drawn.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

/// Draws each sample's image and, beside it, the same image with its mask in the classes' colours;
/// numbered from 1, row by row.
///
/// Ignored pixels are striped.
///
/// # Errors
/// When a sample cannot be loaded or has a label without a class.
pub fn contact_sheet(samples: &[Sample], classes: &[Class]) -> Result<RgbImage, SheetError> {
    let palette: Vec<[u8; 3]> = classes.iter().map(|class| class.color).collect();
    let numbered = samples.par_iter().enumerate();
    let pairs = numbered.map(|(index, sample)| numbered_pair(index + 1, sample, &palette));
    Ok(sheet(&pairs.collect::<Result<Vec<_>, _>>()?, COLUMNS))
}

fn numbered_pair(number: usize, sample: &Sample, palette: &[[u8; 3]]) -> Result<Pair, SheetError> {
    let (image, labels) = sample.load()?;
    let mut pair = Pair::new(&image, &labels, palette)?;
    write_number(&mut pair.plain, number);
    Ok(pair)
}
