//! A contact sheet: images beside their masks, for a person to spot what is shifted, inverted or exchanged.

use image::RgbImage;
use rayon::prelude::*;
use seg_contract::Class;
use thiserror::Error;

use super::digit::write_number;
use crate::datasets::{Sample, SampleError};
use crate::write::{OverlayError, Pair, sheet};

/// How many samples lie side by side.
const COLUMNS: usize = 4;

/// Why there is no contact sheet.
#[derive(Debug, Error)]
pub enum SheetError {
    /// A sample cannot be loaded.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A mask cannot be drawn.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

/// Each sample's image and, beside it, the same with its mask drawn in the classes' colours; numbered from 1, row by row.
///
/// What does not count is striped.
///
/// # Errors
/// When a sample cannot be loaded or has a label without a class.
pub fn contact_sheet(samples: &[Sample], classes: &[Class]) -> Result<RgbImage, SheetError> {
    let palette: Vec<[u8; 3]> = classes.iter().map(|class| class.color).collect();
    let pair = |(index, sample): (usize, &Sample)| {
        let (image, labels) = sample.load()?;
        let mut pair = Pair::new(&image, &labels, &palette)?;
        write_number(&mut pair.plain, index + 1);
        Ok(pair)
    };
    let pairs: Vec<Pair> = samples.par_iter().enumerate().map(pair).collect::<Result<_, SheetError>>()?;
    Ok(sheet(&pairs, COLUMNS))
}
