//! Strips and tiles in compressions that the TIFF decoder lacks: LZMA, JPEG 2000, PNG, and JPEG
//! that is lossless, of four inks, or of the old style.

use std::io::Cursor;

use jpeg_decoder::{ColorTransform, Decoder as JpegDecoder, PixelFormat};
use jpeg2k::{DecodeParameters, Image};
use png::{BitDepth, Decoder as PngDecoder, Transformations};
use tiff::decoder::DecodingResult;

use super::jpeg_2000::codestream_size;
use super::jpeg_scan;
use super::tiff_layout::{FLOAT, Layout, SIGNED};
use super::xz;

/// The error of a decoder.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A compression that is decoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Jpeg,
    Jpeg2000,
    Lzma,
    Png,
}

impl Codec {
    /// Decodes the content of a strip or a tile of some rows, samples of a pixel together. It may
    /// have more rows.
    ///
    /// # Errors
    /// When it is damaged, or of another size or depth.
    pub(super) fn decode(self, layout: &Layout, content: &[u8], rows: usize) -> Result<DecodingResult, Fault> {
        let columns = layout.chunk[1] as usize;
        let samples = usize::from(layout.samples_together());
        let pixels = match self {
            Self::Lzma => return Ok(lzma(layout, xz::decompress(content, rows * layout.row_bytes() as usize)?)),
            Self::Jpeg => jpeg(content)?,
            Self::Jpeg2000 => jpeg_2000(content, layout.chunk, samples)?,
            Self::Png => png(content)?,
        };
        let found = (pixels.width, pixels.samples, pixels.bits);
        let expected = (columns, samples, layout.bits);
        if found != expected || pixels.height < rows {
            return Err(format!(
                "it is {}x{} with {} samples of {} bits, expected {columns}x{rows} with {samples} of {}",
                pixels.width, pixels.height, pixels.samples, pixels.bits, layout.bits
            )
            .into());
        }
        let values = pixels.values;
        Ok(match layout.bits {
            8 => DecodingResult::U8(values.into_iter().map(|value| value as u8).collect()),
            _ => DecodingResult::U16(values),
        })
    }
}

/// Decoded pixels.
struct Pixels {
    width: usize,
    height: usize,
    samples: usize,
    bits: u16,
    values: Vec<u16>,
}

/// Returns the samples of bytes in the file's order, after the differences between neighbours that
/// a predictor left.
fn lzma(layout: &Layout, mut bytes: Vec<u8>) -> DecodingResult {
    let word = if layout.is_in_samples() { usize::from(layout.bits / 8) } else { 1 };
    if layout.is_big_endian {
        bytes.chunks_exact_mut(word).for_each(<[u8]>::reverse);
    }
    if layout.predictor == 2 {
        let row = layout.row_bytes() as usize;
        let before = word * usize::from(layout.samples_together());
        for line in bytes.chunks_exact_mut(row.max(1)) {
            for place in (before..line.len()).step_by(word) {
                let mut carry = 0;
                for byte in place..place + word {
                    let sum = u16::from(line[byte]) + u16::from(line[byte - before]) + carry;
                    (line[byte], carry) = (sum as u8, sum >> 8);
                }
            }
        }
    }
    macro_rules! words {
        ($variant:ident, $number:ty) => {{
            let number = |bytes: &[u8]| <$number>::from_le_bytes(bytes.try_into().expect("a sample has its bytes"));
            DecodingResult::$variant(bytes.chunks_exact(size_of::<$number>()).map(number).collect())
        }};
    }
    match (layout.format, if layout.is_in_samples() { layout.bits } else { 8 }) {
        (SIGNED, 8) => DecodingResult::I8(bytes.into_iter().map(|byte| byte as i8).collect()),
        (SIGNED, 16) => words!(I16, i16),
        (SIGNED, 32) => words!(I32, i32),
        (FLOAT, 32) => words!(F32, f32),
        (FLOAT, 64) => words!(F64, f64),
        (_, 16) => words!(U16, u16),
        (_, 32) => words!(U32, u32),
        _ => DecodingResult::U8(bytes),
    }
}

/// Decodes JPEG without a change of colours.
fn jpeg(content: &[u8]) -> Result<Pixels, Fault> {
    let mut decoder = JpegDecoder::new(Cursor::new(content));
    decoder.read_info()?;
    let info = decoder.info().ok_or("it has no frame")?;
    let (samples, bits) = match info.pixel_format {
        PixelFormat::L8 => (1, 8),
        PixelFormat::L16 => (1, 16),
        PixelFormat::RGB24 => (3, 8),
        PixelFormat::CMYK32 => (4, 8),
    };
    // Without a transform, the samples of a row would not lie pixel by pixel.
    match samples {
        3 => decoder.set_color_transform(ColorTransform::RGB),
        4 => decoder.set_color_transform(ColorTransform::CMYK),
        _ => {}
    }
    let bytes = decoder.decode()?;
    let values = match (bits, samples) {
        (16, _) => bytes.chunks_exact(2).map(|word| u16::from_ne_bytes([word[0], word[1]])).collect(),
        // That transform inverts inks, where there is one.
        (_, 4) if !jpeg_scan::is_lossless(content) => bytes.into_iter().map(|ink| u16::from(u8::MAX - ink)).collect(),
        _ => bytes.into_iter().map(u16::from).collect(),
    };
    Ok(Pixels { width: info.width.into(), height: info.height.into(), samples, bits, values })
}

/// Decodes JPEG 2000 that has at least this many components. Those of less width or height, as
/// colour differences may be, are repeated.
fn jpeg_2000(content: &[u8], [rows, columns]: [u32; 2], samples: usize) -> Result<Pixels, Fault> {
    // Before the decoder takes memory for the size that it finds.
    match codestream_size(content) {
        Some([height, width]) if height <= u64::from(rows) && width <= u64::from(columns) => {}
        Some([height, width]) => return Err(format!("it is {width}x{height}, expected {columns}x{rows}").into()),
        None => return Err("it has no head of a JPEG 2000 code".into()),
    }
    // Missing data would become grey otherwise.
    let image = Image::from_bytes_with(content, DecodeParameters::new().strict(true))?;
    let components = image.components();
    if components.len() < samples {
        return Err(format!("it has {} components, expected {samples}", components.len()).into());
    }
    let components = &components[..samples];
    let first = &components[0];
    let [width, height] = [first.width() as usize, first.height() as usize];
    let bits = first.precision() as u16;
    let mut planes = Vec::new();
    for component in components {
        let size = [component.width() as usize, component.height() as usize];
        let is_whole = component.data().len() == size[0] * size[1] && size[0] > 0 && size[1] > 0;
        if component.is_signed() || component.precision() as u16 != bits || !is_whole {
            return Err("its components are signed, or differ in depth".into());
        }
        let [across, down] = [width.div_ceil(size[0]), height.div_ceil(size[1])];
        planes.push((component.data(), size, [across.max(1), down.max(1)]));
    }
    let mut values = Vec::with_capacity(width * height * samples);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        for (data, size, [across, down]) in &planes {
            let place = (y / down).min(size[1] - 1) * size[0] + (x / across).min(size[0] - 1);
            values.push(data[place] as u16);
        }
    }
    Ok(Pixels { width, height, samples, bits, values })
}

/// Decodes PNG.
fn png(content: &[u8]) -> Result<Pixels, Fault> {
    let mut decoder = PngDecoder::new(Cursor::new(content));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info()?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    let (samples, bits) = (info.color_type.samples(), info.bit_depth);
    let size = reader.output_buffer_size().filter(|size| *size <= 1 << 30).ok_or("it is too large")?;
    let mut bytes = vec![0; size];
    reader.next_frame(&mut bytes)?;
    let (bits, values) = match bits {
        BitDepth::Sixteen => (16, bytes.chunks_exact(2).map(|word| u16::from_be_bytes([word[0], word[1]])).collect()),
        BitDepth::Eight => (8, bytes.into_iter().map(u16::from).collect()),
        other => return Err(format!("its samples have {} bits", other as u8).into()),
    };
    Ok(Pixels { width, height, samples, bits, values })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use image::DynamicImage;

    use crate::formats::decode;

    /// Files of tifffile 2026.3.3: 18x20 pixels, in tiles of 16x16 or strips of 7 rows.
    const COLORS: [(&str, &[u8]); 3] = [
        ("LZMA", include_bytes!("../../tests/data/lzma.tif")),
        ("JPEG 2000", include_bytes!("../../tests/data/jpeg-2000.tif")),
        ("lossless JPEG", include_bytes!("../../tests/data/jpeg-lossless-rgb.tif")),
    ];
    const WORDS: [(&str, &[u8]); 3] = [
        ("LZMA of differences, highest byte first", include_bytes!("../../tests/data/lzma-predictor.tif")),
        ("PNG", include_bytes!("../../tests/data/png.tif")),
        ("lossless JPEG", include_bytes!("../../tests/data/jpeg-lossless.tif")),
    ];

    fn read(bytes: &[u8]) -> Result<DynamicImage, String> {
        decode(Path::new("a.tif"), bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn strips_and_tiles_have_the_values_that_were_written() {
        for (name, bytes) in COLORS {
            let found = read(bytes).unwrap().into_rgb8();
            assert_eq!(found.dimensions(), (18, 20), "{name}");
            assert!(found.iter().zip(0_u32..).all(|(found, index)| *found == (7 * index % 256) as u8), "{name}");
        }
        for (name, bytes) in WORDS {
            let found = read(bytes).unwrap().into_luma16();
            assert_eq!(found.dimensions(), (18, 20), "{name}");
            assert!(found.iter().zip(0_u32..).all(|(found, index)| *found == (181 * index) as u16), "{name}");
        }
        // Inks of 10, 200, 100 and 30 let through (255 - ink) (255 - 30) / 255; JPEG rounds them.
        let found = read(include_bytes!("../../tests/data/jpeg-cmyk.tif")).unwrap().into_rgb8();
        for pixel in found.pixels() {
            let is_near = |(found, expected): (&u8, f64)| (f64::from(*found) - expected).abs() <= 2.0;
            assert!(pixel.0.iter().zip([216.2, 48.5, 136.8]).all(is_near), "{pixel:?}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error_or_lacks_no_pixel() {
        for (name, bytes) in COLORS.into_iter().chain(WORDS) {
            let whole = read(bytes).unwrap();
            for length in (0..bytes.len()).step_by(3) {
                if let Ok(image) = read(&bytes[..length]) {
                    assert!(image == whole, "{name}: another image from {length} of {} bytes", bytes.len());
                }
            }
            let half = read(&bytes[..bytes.len() / 2]);
            assert!(half.is_err(), "{name}");
        }
    }
}
