//! The values that stored samples stand for, and the window through which they are shown.
//!
//! DICOM PS3.3, C.11.1 (modality) and C.11.2 (values of interest).

use std::path::Path;

use dicom_dictionary_std::tags;
use seg_contract::Windowing;

use super::DICOM;
use super::file::{DicomFile, items, text};
use super::pixels::{PixelLayout, Stored};
use super::tables::{LUT, Table};
use crate::formats::error::ReadError;
use crate::formats::shown::{Curve, WindowSource};

/// The step from stored samples to values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Modality {
    /// `slope * stored + intercept`.
    Rescale(f64, f64),
    /// A table.
    Table(Table),
}

/// The attributes that decide the values of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    modality: Modality,
    /// The stored samples, from one to another, that are no image.
    padding: Option<(f64, f64)>,
}

impl Values {
    /// Reads the attributes of a frame.
    ///
    /// # Errors
    /// When a table is damaged, or the slope is no number.
    pub(crate) fn new(path: &Path, file: &DicomFile, layout: &PixelLayout, frame: usize) -> Result<Self, ReadError> {
        let tables = items(&file.object, tags::MODALITY_LUT_SEQUENCE);
        let rescale = |tag| {
            let numbers = file.frame_numbers(frame, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tag);
            numbers.first().copied()
        };
        let modality = match (rescale(tags::RESCALE_SLOPE), tables.first()) {
            (None, Some(table)) => Modality::Table(Table::read(path, table, LUT, layout.is_signed)?),
            (slope, _) => Modality::Rescale(slope.unwrap_or(1.0), rescale(tags::RESCALE_INTERCEPT).unwrap_or(0.0)),
        };
        if let Modality::Rescale(slope, intercept) = modality
            && !(slope.is_finite() && slope != 0.0 && intercept.is_finite())
        {
            let found = format!("its rescale slope (0028,1053) is {slope}, its intercept (0028,1052) {intercept}");
            return Err(ReadError::Damaged { path: path.into(), format: DICOM, found });
        }
        let signed = |number: f64| {
            let half = f64::from(1_u32 << 15);
            if layout.is_signed && layout.allocated <= 16 && number >= half { number - 2.0 * half } else { number }
        };
        let first = file.number(tags::PIXEL_PADDING_VALUE).map(signed);
        let limit = file.number(tags::PIXEL_PADDING_RANGE_LIMIT).map(signed);
        let padding = first.map(|first| {
            let limit = limit.unwrap_or(first);
            (first.min(limit), first.max(limit))
        });
        Ok(Self { modality, padding })
    }

    /// Converts stored samples to values, in the same order.
    pub(crate) fn values(&self, stored: &Stored) -> Vec<f64> {
        let value = |stored: f64| match &self.modality {
            Modality::Rescale(slope, intercept) => stored * slope + intercept,
            Modality::Table(table) => f64::from(table.at(stored)),
        };
        match stored {
            Stored::Integers(samples) => samples.iter().map(|sample| value(*sample as f64)).collect(),
            // Floating-point pixels are values already.
            Stored::Floats(samples) => samples.clone(),
        }
    }

    /// Returns the values that are image, without padding and what is not finite, one of `step`.
    pub(crate) fn counted(&self, stored: &Stored, step: usize) -> Vec<f32> {
        let is_padding = |sample: f64| self.padding.is_some_and(|(low, high)| (low..=high).contains(&sample));
        let stored = match stored {
            Stored::Integers(samples) => {
                let image = samples.iter().step_by(step).copied().filter(|sample| !is_padding(*sample as f64));
                Stored::Integers(image.collect())
            }
            Stored::Floats(samples) => Stored::Floats(samples.iter().step_by(step).copied().collect()),
        };
        self.values(&stored).into_iter().map(|value| value as f32).filter(|value| value.is_finite()).collect()
    }

    /// Returns whether stored samples are values.
    fn is_plain(&self) -> bool {
        self.modality == Modality::Rescale(1.0, 0.0)
    }
}

/// Returns the curve by which the values of a frame are shown, and its origin; `None` where
/// percentiles decide.
///
/// # Errors
/// When a table is damaged, or a window has no width.
pub(crate) fn curve(
    path: &Path,
    file: &DicomFile,
    layout: &PixelLayout,
    frame: usize,
    windowing: Windowing,
) -> Result<Option<(Curve, WindowSource)>, ReadError> {
    match windowing {
        Windowing::Fixed { center, width } => return Ok(Some((Curve::Linear(center, width), WindowSource::Given))),
        Windowing::Percentiles { .. } => return Ok(None),
        Windowing::File => {}
    }
    if let Some(table) = items(&file.object, tags::VOILUT_SEQUENCE).first() {
        let table = Table::read(path, table, LUT, true)?;
        let largest = table.largest();
        let shares = table.entries.iter().map(|entry| f64::from(*entry) / largest).collect();
        return Ok(Some((Curve::Table(table.first, shares), WindowSource::FileTable)));
    }
    let group = tags::FRAME_VOILUT_SEQUENCE;
    // Several are alternatives, of which the first counts.
    let first = |tag| file.frame_numbers(frame, group, tag).first().copied();
    if let (Some(center), Some(width)) = (first(tags::WINDOW_CENTER), first(tags::WINDOW_WIDTH)) {
        let function = file.of_frame(frame, group, tags::VOILUT_FUNCTION).and_then(text);
        let curve = match function.as_deref() {
            None | Some("LINEAR") if width >= 1.0 => Curve::Linear(center, width),
            Some("LINEAR_EXACT") if width > 0.0 => Curve::LinearExact(center, width),
            Some("SIGMOID") if width > 0.0 => Curve::Sigmoid(center, width),
            function => {
                let found = format!(
                    "its window has the width (0028,1051) {width} and the function (0028,1056) {}",
                    function.unwrap_or("LINEAR")
                );
                return Err(ReadError::Damaged { path: path.into(), format: DICOM, found });
            }
        };
        return Ok(Some((curve, WindowSource::FileWindow)));
    }
    let is_plain = layout.stored <= 8 && !layout.is_signed && Values::new(path, file, layout, frame)?.is_plain();
    if is_plain {
        let largest = f64::from((1_u32 << layout.stored) - 1);
        return Ok(Some((Curve::Range(0.0, largest), WindowSource::TypeRange)));
    }
    Ok(None)
}
