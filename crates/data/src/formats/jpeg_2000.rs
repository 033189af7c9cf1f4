//! JPEG 2000 files: codestreams, and the boxes of JP2 around them.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageBuffer, RgbImage};
use jpeg2k::{ColorSpace, DecodeParameters, Image};

use super::error::ReadError;
use super::format::{Format, Header};
use super::limits::{check_size, reserve};

/// The signatures of a file of boxes, and of a codestream alone.
const BOXES: &[u8] = b"\0\0\0\x0cjP  \r\n\x87\n";
const CODESTREAM: &[u8] = b"\xff\x4f\xff\x51";
/// The bytes in which the head of a file is looked for.
const HEAD_BYTES: u64 = 1 << 16;

/// JPEG 2000. As most of its files are lossy, none of them keeps values.
pub(super) struct Jpeg2000;

impl Format for Jpeg2000 {
    fn name(&self) -> &'static str {
        "JPEG 2000"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jp2", "j2k", "j2c", "jpc", "jpf"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(BOXES) || head.starts_with(CODESTREAM)
    }

    fn keeps_values(&self) -> bool {
        false
    }

    fn stored_size(&self, path: &Path, file: BufReader<File>) -> Result<(u32, u32), ReadError> {
        let mut head = Vec::new();
        let read = file.take(HEAD_BYTES).read_to_end(&mut head);
        read.map_err(|source| ReadError::File { path: path.into(), source })?;
        self.size(path, &head)
    }

    fn header(&self, path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
        let (width, height) = self.size(path, bytes)?;
        check_size(path, width, height)?;
        Ok(Header { width, height, orientation: 1 })
    }

    fn decode(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        // Before the decoder takes memory for the size that it finds.
        let (width, height) = self.size(path, bytes)?;
        check_size(path, width, height)?;
        reserve(path, u64::from(width) * u64::from(height) * 4 * size_of::<i32>() as u64)?;
        let refuse =
            |source: Box<dyn Error + Send + Sync>| ReadError::Decode { path: path.into(), format: self.name(), source };
        // Missing data would become grey otherwise.
        let image = Image::from_bytes_with(bytes, DecodeParameters::new().strict(true))
            .map_err(|source| refuse(source.into()))?;
        match pixels(&image, [width, height]) {
            Ok(image) => Ok(image),
            Err(kind) => Err(ReadError::Kind { path: path.into(), format: self.name(), kind }),
        }
    }
}

impl Jpeg2000 {
    fn size(&self, path: &Path, bytes: &[u8]) -> Result<(u32, u32), ReadError> {
        let side = |side: u64| u32::try_from(side).ok();
        let size = codestream_size(bytes).and_then(|[height, width]| Some((side(width)?, side(height)?)));
        size.ok_or_else(|| ReadError::CutOff { path: path.into(), format: self.name() })
    }
}

/// Returns the pixels of an image, scaled to 8 or 16 bits.
///
/// # Errors
/// When it is of a kind that is not read: the name of the kind.
fn pixels(image: &Image, [width, height]: [u32; 2]) -> Result<DynamicImage, String> {
    let components = image.components();
    let colors = match components.len() {
        1 | 2 => 1,
        3 | 4 => 3,
        other => return Err(format!("{other} components")),
    };
    match image.color_space() {
        ColorSpace::SYCC | ColorSpace::EYCC if colors == 3 => return Err("luma and colour differences".into()),
        ColorSpace::CMYK => return Err("CMYK".into()),
        _ => {}
    }
    let components = &components[..colors];
    let bits = components[0].precision();
    let is_usual = |component: &jpeg2k::ImageComponent| {
        !component.is_signed()
            && component.precision() == bits
            && (component.width(), component.height()) == (width, height)
    };
    if !(1..=16).contains(&bits) || !components.iter().all(is_usual) {
        return Err("components that are signed, of more than 16 bits, or that differ".into());
    }
    let largest = (1_u64 << bits) - 1;
    let most = if bits > 8 { 0xffff } else { 0xff };
    // To the nearest.
    let scaled = |value: i32| (2 * value.max(0) as u64 * most + largest) / (2 * largest);
    let places = 0..width as usize * height as usize;
    let values = places.flat_map(|place| components.iter().map(move |component| scaled(component.data()[place])));
    const FITS: &str = "each pixel has its components";
    Ok(match (colors, bits > 8) {
        (1, false) => GrayImage::from_raw(width, height, values.map(|value| value as u8).collect()).expect(FITS).into(),
        (_, false) => RgbImage::from_raw(width, height, values.map(|value| value as u8).collect()).expect(FITS).into(),
        (1, true) => {
            let words = values.map(|value| value as u16).collect();
            DynamicImage::ImageLuma16(ImageBuffer::from_raw(width, height, words).expect(FITS))
        }
        (_, true) => {
            let words = values.map(|value| value as u16).collect();
            DynamicImage::ImageRgb16(ImageBuffer::from_raw(width, height, words).expect(FITS))
        }
    })
}

/// Returns height and width that a JPEG 2000 codestream states, alone or in the boxes of a file
/// (ITU-T T.800, A.5.1).
pub(super) fn codestream_size(content: &[u8]) -> Option<[u64; 2]> {
    let start = content.windows(4).position(|bytes| bytes == [0xff, 0x4f, 0xff, 0x51])?;
    let number = |place: usize| {
        let bytes = content.get(start + place..start + place + 4)?;
        Some(u64::from(u32::from_be_bytes(bytes.try_into().ok()?)))
    };
    Some([number(12)?.checked_sub(number(20)?)?, number(8)?.checked_sub(number(16)?)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_states_its_size_or_is_cut_off() {
        let mut head = b"....\xff\x4f\xff\x51\0\x2f\0\0".to_vec();
        // Width, height, and where the image begins on its grid.
        [41_u32, 29, 1, 9].iter().for_each(|number| head.extend(number.to_be_bytes()));
        assert_eq!(codestream_size(&head), Some([20, 40]));
        for length in 0..head.len() {
            assert_eq!(codestream_size(&head[..length]), None, "{length}");
        }
    }

    /// Files of Pillow 13.0 and imagecodecs 2026.3.6, without loss: 13x9 and 5x4 pixels.
    const FILES: [(&str, &[u8]); 4] = [
        ("grey", include_bytes!("../../tests/data/grey.jp2")),
        ("red, green and blue, without boxes", include_bytes!("../../tests/data/rgb.j2k")),
        ("16 bits", include_bytes!("../../tests/data/grey-16.jp2")),
        ("12 bits", include_bytes!("../../tests/data/grey-12.jp2")),
    ];

    #[test]
    fn pixels_are_those_that_were_written() {
        let decoded = |place: usize| crate::formats::decode(Path::new("a.jp2"), FILES[place].1).unwrap();
        let grey = (0..117_u32).map(|index| (2 * index % 256) as u8).collect();
        assert_eq!(decoded(0), GrayImage::from_raw(13, 9, grey).unwrap().into());
        let rgb = (0..20_u32).flat_map(|index| [3, 7, 11].map(|factor| (factor * index % 256) as u8)).collect();
        assert_eq!(decoded(1), RgbImage::from_raw(5, 4, rgb).unwrap().into());
        let words = |value: &dyn Fn(u32) -> u16| {
            DynamicImage::ImageLuma16(ImageBuffer::from_raw(5, 4, (0..20).map(value).collect()).unwrap())
        };
        assert_eq!(decoded(2), words(&|index| (3001 * index) as u16));
        assert_eq!(decoded(3), words(&|index| (f64::from(200 * index) / 4095.0 * 65535.0).round() as u16));
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error_or_lacks_no_pixel() {
        for (name, bytes) in FILES {
            let whole = crate::formats::decode(Path::new("a.jp2"), bytes).unwrap();
            for length in 0..bytes.len() {
                if let Ok(image) = crate::formats::decode(Path::new("a.jp2"), &bytes[..length]) {
                    assert!(image == whole, "{name}: another image from {length} of {} bytes", bytes.len());
                }
            }
            assert!(crate::formats::decode(Path::new("a.jp2"), &bytes[..bytes.len() - 20]).is_err(), "{name}");
        }
    }
}
