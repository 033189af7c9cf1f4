//! The samples of a TIFF file's strips and tiles as colours.

use std::path::Path;

use tiff::decoder::DecodingResult;

use super::error::ReadError;
use super::lab;
use super::tiff_band::Band;
use super::tiff_layout::{CIE_LAB, CMYK, ICC_LAB, Layout, PALETTE, UNSIGNED, WHITE_IS_ZERO, YCBCR};

/// The samples of a strip or a tile: 8 bits, of which 255 stands for 1, 16 bits, or floats.
pub(super) enum Samples {
    Bits8(Vec<u8>),
    Bits16(Vec<u16>),
    Float(Vec<f32>),
}

impl Samples {
    /// Converts what the decoder gives for a strip or a tile of some rows. Indices of a palette
    /// keep their value.
    ///
    /// # Errors
    /// When a value is negative; `None` when there are too few.
    pub(super) fn new(
        path: &Path,
        layout: &Layout,
        decoded: DecodingResult,
        rows: usize,
    ) -> Result<Option<Self>, ReadError> {
        let row = layout.chunk[1] as usize * usize::from(layout.samples_together());
        let samples = match decoded {
            DecodingResult::U8(bytes) if !layout.is_in_samples() => return Ok(unpack(layout, &bytes, row, rows)),
            DecodingResult::U8(values) => Self::Bits8(values),
            DecodingResult::U16(values) => Self::Bits16(values),
            DecodingResult::U32(values) => {
                Self::Float(values.into_iter().map(|value| (f64::from(value) / f64::from(u32::MAX)) as f32).collect())
            }
            DecodingResult::I8(values) => Self::Float(shares(path, values, i8::MAX.into())?),
            DecodingResult::I16(values) => Self::Float(shares(path, values, i16::MAX.into())?),
            DecodingResult::I32(values) => Self::Float(shares(path, values, i32::MAX)?),
            DecodingResult::F16(values) => Self::Float(values.into_iter().map(|value| value.to_f32()).collect()),
            DecodingResult::F32(values) => Self::Float(values),
            DecodingResult::F64(values) => Self::Float(values.into_iter().map(|value| value as f32).collect()),
            _ => return Ok(None),
        };
        if samples.len() < row * rows {
            return Ok(None);
        }
        Ok(Some(if layout.interpretation == CMYK { samples.without_inks(layout) } else { samples }))
    }

    /// Converts four inks a pixel to red, green and blue: what each ink and black let through.
    fn without_inks(self, layout: &Layout) -> Self {
        let count = usize::from(layout.samples);
        match self {
            Self::Bits8(values) => {
                let through = |ink: u8, black: u8| {
                    let product = u32::from(u8::MAX - ink) * u32::from(u8::MAX - black);
                    ((product + 127) / 255) as u8
                };
                let pixels = values.chunks_exact(count);
                Self::Bits8(pixels.flat_map(|pixel| [0, 1, 2].map(|ink| through(pixel[ink], pixel[3]))).collect())
            }
            Self::Bits16(values) => {
                let through = |ink: u16, black: u16| {
                    let product = u64::from(u16::MAX - ink) * u64::from(u16::MAX - black);
                    ((product + 32767) / 65535) as u16
                };
                let pixels = values.chunks_exact(count);
                Self::Bits16(pixels.flat_map(|pixel| [0, 1, 2].map(|ink| through(pixel[ink], pixel[3]))).collect())
            }
            // Inks are unsigned integers.
            other => other,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bits8(values) => values.len(),
            Self::Bits16(values) => values.len(),
            Self::Float(values) => values.len(),
        }
    }
}

/// Converts signed integers to their share of the largest one.
fn shares<T: Into<i32> + Copy>(path: &Path, values: Vec<T>, largest: i32) -> Result<Vec<f32>, ReadError> {
    let share = |value: T| match value.into() {
        value @ 0.. => Ok((f64::from(value) / f64::from(largest)) as f32),
        value => Err(ReadError::Negative { path: path.into(), value }),
    };
    values.into_iter().map(share).collect()
}

/// Unpacks rows of values of less than 16 bits, each of which begins with a byte of its own.
fn unpack(layout: &Layout, bytes: &[u8], row: usize, rows: usize) -> Option<Samples> {
    let bits = u32::from(layout.bits);
    let row_bytes = (row * bits as usize).div_ceil(8);
    let largest = (1_u32 << bits) - 1;
    let lines = bytes.get(..row_bytes * rows)?.chunks_exact(row_bytes);
    let values = lines.flat_map(|line| {
        (0..row).map(move |index| {
            let start = index * bits as usize;
            // A value lies in at most three bytes.
            let byte = |place: usize| u32::from(line.get(start / 8 + place).copied().unwrap_or(0));
            let window = (byte(0) << 16) | (byte(1) << 8) | byte(2);
            (window >> (24 - bits - (start % 8) as u32)) & largest
        })
    });
    // To the nearest.
    let scaled = |value: u32, most: u32| match layout.keeps_samples {
        true => value,
        false => (2 * value * most + largest) / (2 * largest),
    };
    Some(match (layout.interpretation, bits) {
        (PALETTE, _) => Samples::Bits8(values.map(|value| value as u8).collect()),
        (_, ..=8) => Samples::Bits8(values.map(|value| scaled(value, 0xff) as u8).collect()),
        _ => Samples::Bits16(values.map(|value| scaled(value, 0xffff) as u16).collect()),
    })
}

/// Converts samples in the place of red, green and blue to colours.
pub(super) fn to_colors(layout: &Layout, band: Band) -> Band {
    // The value of white in as many bits as samples have.
    let white = |bits| u16::MAX >> (16 - if layout.keeps_samples { layout.bits.min(bits) } else { bits });
    match (layout.interpretation, band) {
        (WHITE_IS_ZERO, Band::Bits8(pixels)) => {
            let white = white(8) as u8;
            Band::Bits8(pixels.into_iter().map(|pixel| pixel.map(|value| white - value)).collect())
        }
        (WHITE_IS_ZERO, Band::Bits16(pixels)) => {
            let white = white(16);
            Band::Bits16(pixels.into_iter().map(|pixel| pixel.map(|value| white - value)).collect())
        }
        (WHITE_IS_ZERO, Band::Float(pixels)) => {
            Band::Float(pixels.into_iter().map(|pixel| pixel.map(|value| 1.0 - value)).collect())
        }
        (CIE_LAB | ICC_LAB, band) => from_lab(layout.interpretation, band),
        (YCBCR, Band::Bits8(pixels)) => Band::Bits8(pixels.into_iter().map(rgb).collect()),
        (PALETTE, Band::Bits8(pixels)) if layout.format == UNSIGNED && !layout.keeps_samples => {
            from_palette(layout, &pixels)
        }
        (_, band) => band,
    }
}

/// Converts L\*a\*b\* of 8 or 16 bits to sRGB; of the two kinds, one has signed colours and the
/// other shifted ones (TIFF 6.0, section 23; TIFF Technical Note 4).
fn from_lab(interpretation: u16, band: Band) -> Band {
    let is_signed = interpretation == CIE_LAB;
    match band {
        Band::Bits8(pixels) => {
            let color = |value: u8| if is_signed { f64::from(value as i8) } else { f64::from(value) - 128.0 };
            let convert = |[light, a, b]: [u8; 3]| {
                let rgb = lab::to_rgb([f64::from(light) / 2.55, color(a), color(b)]);
                rgb.map(|share| (share * 255.0).round() as u8)
            };
            Band::Bits8(pixels.into_iter().map(convert).collect())
        }
        Band::Bits16(pixels) => {
            let (white, middle) = if is_signed { (65535.0, 0.0) } else { (65280.0, 128.0) };
            let color = |value: u16| match is_signed {
                true => f64::from(value as i16) / 256.0,
                false => f64::from(value) / 256.0 - middle,
            };
            let convert = |[light, a, b]: [u16; 3]| {
                let rgb = lab::to_rgb([f64::from(light) * 100.0 / white, color(a), color(b)]);
                rgb.map(|share| (share * 65535.0).round() as u16)
            };
            Band::Bits16(pixels.into_iter().map(convert).collect())
        }
        other => other,
    }
}

/// Replaces indices by the colours of the palette. Of its 16 bits the high 8 are taken, or the low
/// ones if no high byte is used, as some writers leave it.
fn from_palette(layout: &Layout, pixels: &[[u8; 3]]) -> Band {
    let shift = if layout.palette.iter().all(|value| *value <= 0xff) { 0 } else { 8 };
    let entries = 1 << layout.bits;
    let color = |index: usize| [0, 1, 2].map(|color| (layout.palette[color * entries + index] >> shift) as u8);
    let colors: Vec<_> = (0..entries).map(color).collect();
    Band::Bits8(pixels.iter().map(|pixel| colors[usize::from(pixel[0])]).collect())
}

/// Converts luma and chroma to red, green and blue by ITU-R BT.601 in full range, in the
/// fixed-point numbers of libjpeg.
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let fixed = |factor: f64| (factor * f64::from(1 << 16) + 0.5) as i32;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((fixed(1.402) * cr + HALF) >> 16);
    let green = y + ((-fixed(0.344_136_286) * cb - fixed(0.714_136_286) * cr + HALF) >> 16);
    let blue = y + ((fixed(1.772) * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}
