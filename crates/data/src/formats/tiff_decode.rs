//! The first page of a TIFF file as an image: by the image crate, or by [`TiffRows`] where that
//! does not know the kind.

use std::io::{BufRead, Read, Seek};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage};
use tiff::decoder::Decoder;

use super::error::ReadError;
use super::limits::{check_size, reserve};
use super::raster::Raster;
use super::reader::{ImageInfo, ImageReader};
use super::tiff_chunks::TIFF;
use super::tiff_rows::TiffRows;
use crate::picture::Picture;

/// The image crate's reader.
pub(super) const RASTER: Raster = Raster::new(ImageFormat::Tiff, TIFF, &["tif", "tiff"]);

/// Decodes the first page of a file, which is opened as often as it takes.
pub(super) fn decode<R: BufRead + Seek + Send>(
    path: &Path,
    open: impl Fn() -> Result<R, ReadError>,
) -> Result<DynamicImage, ReadError> {
    match own_rows(path, &open)? {
        Some(rows) => decode_rows(path, rows),
        None => RASTER.decode_file(path, open()?, &[]),
    }
}

/// Decodes the first page of a file as a mask of class indices.
pub(super) fn decode_indices<R: BufRead + Seek + Send>(
    path: &Path,
    open: impl Fn() -> Result<R, ReadError>,
) -> Result<DynamicImage, ReadError> {
    if let Some(mut rows) = own_rows(path, &open)? {
        rows.keep_samples();
        return decode_rows(path, rows);
    }
    let mut image = RASTER.decode_file(path, open()?, &[])?;
    if let DynamicImage::ImageLuma8(grey) = &mut image
        && is_bilevel(open()?)
    {
        // The image crate makes 255 of 1.
        grey.iter_mut().for_each(|value| *value /= u8::MAX);
    }
    Ok(image)
}

/// Decodes all rows and turns them upright.
fn decode_rows<R: Read + Seek + Send>(path: &Path, mut rows: TiffRows<R>) -> Result<DynamicImage, ReadError> {
    let is_grey = rows.is_grey();
    let ImageInfo { width, height, orientation, .. } = *rows.info();
    reserve(path, u64::from(width) * u64::from(height) * size_of::<[f32; 3]>() as u64)?;
    let orientation = Orientation::from_exif(orientation).unwrap_or(Orientation::NoTransforms);
    let mut image: DynamicImage = match rows.rows(0..height)?.into_owned() {
        Picture::Bits8(image) if is_grey => grey(&image).into(),
        Picture::Bits8(image) => image.into(),
        Picture::Bits16(image) => image.into(),
        Picture::Float(image) => image.into(),
    };
    image.apply_orientation(orientation);
    Ok(image)
}

/// Returns whether a file that the image crate reads has values of one bit.
fn is_bilevel(file: impl Read + Seek) -> bool {
    Decoder::new(file).and_then(|mut decoder| decoder.colortype()).is_ok_and(|color| color.bit_depth() == 1)
}

/// Returns the first channel of an image whose channels are equal.
fn grey(image: &RgbImage) -> GrayImage {
    GrayImage::from_fn(image.width(), image.height(), |x, y| Luma([image.get_pixel(x, y)[0]]))
}

/// Opens a file that the image crate does not read: most kinds with floating-point values, and the
/// other kinds that [`TiffRows::open_kind`] reads.
pub(super) fn own_rows<R: Read + Seek + Send>(
    path: &Path,
    open: impl Fn() -> Result<R, ReadError>,
) -> Result<Option<TiffRows<R>>, ReadError> {
    let rows = match TiffRows::open(path, open()?) {
        Some(rows) => rows.is_float.then_some(rows),
        None => TiffRows::open_kind(path, open()?)?,
    };
    if let Some(rows) = &rows {
        check_size(path, rows.info().width, rows.info().height)?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::formats::tiff_example::{VALUES, file, packed, read, tags};
    use crate::masks::{MaskCoding, read_mask};

    #[test]
    fn every_depth_of_grey_is_its_share_of_the_largest_value() {
        for (bits, is_white_zero, is_reversed) in [
            (1, false, false),
            (2, false, false),
            (2, true, false),
            (2, false, true),
            (3, false, false),
            (4, false, false),
            (4, true, true),
            (5, false, false),
            (6, false, false),
            (7, false, false),
            (8, false, true),
            (9, false, false),
            (10, false, false),
            (11, false, false),
            (12, false, false),
            (12, true, true),
            (13, false, false),
            (14, false, false),
            (15, false, false),
            (16, false, true),
        ] {
            for is_big_endian in [false, true] {
                let name = format!("{bits} bits, {is_white_zero}, {is_reversed}, {is_big_endian}");
                let most = ((1_u32 << bits) - 1) as u16;
                let values = VALUES.map(|value| (u32::from(value) * u32::from(most) / 3) as u16);
                let mut data = match (bits, is_big_endian) {
                    (16, false) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
                    _ => packed(bits, 5, &values),
                };
                if is_reversed {
                    data.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
                }
                let bits_tag = [bits as u16];
                let [zero, order] = [[u16::from(!is_white_zero)], [1 + u16::from(is_reversed)]];
                let tags = tags(&[(258, &bits_tag), (262, &zero), (266, &order)]);
                let picture = read(&file(is_big_endian, &tags, &data)).expect(&name);
                let share = |value: &u16| {
                    let share = f64::from(*value) / f64::from(most);
                    if is_white_zero { 1.0 - share } else { share }
                };
                let found: Vec<_> = picture.to_float().pixels().map(|pixel| f64::from(pixel[0])).collect();
                let step = if bits <= 8 { 255.0 } else { 65535.0 };
                for (found, expected) in found.iter().zip(values.iter().map(share)) {
                    assert!((found - expected).abs() * step <= 0.5001, "{name}: {found} and not {expected}");
                }
            }
        }
    }

    #[test]
    fn every_depth_of_grey_keeps_the_labels_of_a_mask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.tif");
        for bits in 1..=16_u16 {
            let most = (1_u32 << bits) - 1;
            let highest = most.min(254) as u16;
            let labels = [0, 1, 1, highest / 2, highest, highest, 1, 0, 1.max(highest / 3), 0];
            for (name, is_white_zero, is_reversed, is_big_endian) in [
                ("black is 0", false, false, true),
                ("white is 0", true, false, true),
                ("black is 0, reversed bits", false, true, true),
                ("white is 0, reversed bits", true, true, false),
            ] {
                let values = labels.map(|label| if is_white_zero { most as u16 - label } else { label });
                let mut data = match (bits, is_big_endian) {
                    (16, false) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
                    _ => packed(bits.into(), 5, &values),
                };
                if is_reversed {
                    data.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
                }
                let [bits_tag, zero, order] = [[bits], [u16::from(!is_white_zero)], [1 + u16::from(is_reversed)]];
                let tags = tags(&[(258, &bits_tag), (262, &zero), (266, &order)]);
                std::fs::write(&path, file(is_big_endian, &tags, &data)).unwrap();
                let found = read_mask(&path, &MaskCoding::Index { classes: 255 }).unwrap().into_raw();
                assert_eq!(found, labels.map(|label| label as u8), "{bits} bits, {name}");
            }
        }
    }

    #[test]
    fn a_value_above_all_labels_is_named_at_every_depth() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.tif");
        for bits in 2..=16_u16 {
            let data = packed(bits.into(), 5, &[0, 1, 0, 2, 0, 0, 0, 0, 0, 0]);
            let bits_tag = [bits];
            std::fs::write(&path, file(true, &tags(&[(258, &bits_tag), (262, &[1])]), &data)).unwrap();
            let message = read_mask(&path, &MaskCoding::Index { classes: 2 }).unwrap_err().to_string();
            let part = "the pixel at (3, 0) has the value 2, expected 0 to 1";
            assert!(message.contains(part), "{bits} bits: {message}");
        }
    }

    #[test]
    fn every_kind_of_number_is_its_share_of_the_largest_value() {
        fn bytes<const N: usize, T: Copy>(values: &[T], bytes: fn(T) -> [u8; N]) -> Vec<u8> {
            values.iter().flat_map(|value| bytes(*value)).collect()
        }
        let ones: Vec<i32> = VALUES.iter().map(|value| i32::from(*value) / 3).collect();
        let half: Vec<u16> = ones.iter().map(|value| 0x3c00 * *value as u16).collect();
        let of = |largest: i64| ones.iter().map(|value| i64::from(*value) * largest).collect::<Vec<_>>();
        let rows = [
            ("int8", 8, 2, of(127).iter().map(|value| *value as u8).collect()),
            ("int16", 16, 2, bytes(&of(32767), |value| (value as i16).to_le_bytes())),
            ("int32", 32, 2, bytes(&of(i32::MAX.into()), |value| (value as i32).to_le_bytes())),
            ("uint32", 32, 1, bytes(&of(u32::MAX.into()), |value| (value as u32).to_le_bytes())),
            ("float16", 16, 3, bytes(&half, u16::to_le_bytes)),
            ("float64", 64, 3, bytes(&ones, |value| f64::from(value).to_le_bytes())),
        ];
        for (name, bits, format, data) in rows {
            let [bits, format] = [[bits], [format]];
            let whole = file(false, &tags(&[(258, &bits), (262, &[1]), (339, &format)]), &data);
            let found: Vec<_> = read(&whole).expect(name).to_float().pixels().map(|pixel| pixel[1] as i32).collect();
            assert_eq!(found, ones, "{name}");
            assert!(read(&whole[..whole.len() - 3]).is_err(), "{name}, cut off");
        }
        let negative = file(false, &tags(&[(258, &[8]), (262, &[1]), (339, &[2])]), &[0xfe; 10]);
        let message = read(&negative).unwrap_err().to_string();
        assert!(message.contains("it holds the value -2"), "{message}");
    }

    #[test]
    fn floats_are_turned_as_their_header_says() {
        let data: Vec<u8> = VALUES.iter().flat_map(|value| (f32::from(*value) / 3.0).to_le_bytes()).collect();
        let whole = file(false, &tags(&[(258, &[32]), (262, &[1]), (274, &[6]), (339, &[3])]), &data);
        let header = crate::formats::header(Path::new("a.tif"), &whole).unwrap();
        assert_eq!(((header.width, header.height), header.orientation), ((2, 5), 6));
        assert_eq!(read(&whole).unwrap().dimensions(), (2, 5));
    }
}
