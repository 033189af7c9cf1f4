//! TIFF files, including BigTIFF.
//!
//! The image crate decodes most of them. Floating-point values, large files and the kinds that it
//! does not know are read by [`TiffRows`].

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use image::DynamicImage;
use seg_contract::{Level, Reading};
use tiff::decoder::Decoder;

use super::dicom::file::is_dicom;
use super::error::ReadError;
use super::format::{Format, Header};
use super::picture_path::PicturePath;
use super::reader::{ImageInfo, ImageReader};
use super::tiff_chunks::TIFF;
use super::tiff_decode::{RASTER, decode, decode_indices, own_rows};
use super::tiff_page::{BANDS_PIXELS_MIN, TiffPage};
use super::tiff_pages::{all_pages, pictures};
use super::tiff_rows::TiffRows;

/// TIFF; a path without a number stands for the first page.
pub(super) struct Tiff;

impl Format for Tiff {
    fn name(&self) -> &'static str {
        RASTER.name()
    }

    fn extensions(&self) -> &'static [&'static str] {
        RASTER.extensions()
    }

    fn sniff(&self, head: &[u8]) -> bool {
        let is_tiff = matches!(head, [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..]) || RASTER.sniff(head);
        // The preamble of a DICOM file may be the head of a TIFF file.
        is_tiff && !is_dicom(head)
    }

    fn stored_size(&self, path: &Path, file: BufReader<File>) -> Result<(u32, u32), ReadError> {
        size(path, file)
    }

    fn pictures(&self, path: &Path, _: &Reading) -> Result<Vec<u32>, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::File { path: path.into(), source })?;
        match all_pages(BufReader::new(file)) {
            Ok(pages) => Ok((1..=pictures(pages).len().max(1) as u32).collect()),
            // The decoder has the better message.
            Err(_) => Ok(vec![1]),
        }
    }

    fn open_picture(&self, path: &PicturePath, reading: &Reading) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        match TiffPage::named(path, reading)? {
            Some(page) => page.reader().map(Some),
            None => Ok(None),
        }
    }

    fn picture_size(
        &self,
        path: &PicturePath,
        file: BufReader<File>,
        reading: &Reading,
    ) -> Result<(u32, u32), ReadError> {
        match TiffPage::named(path, reading)? {
            Some(page) => size(&path.path, page.file()?),
            None => self.stored_size(&path.file, file),
        }
    }

    fn open_labels(&self, path: &PicturePath, reading: &Reading) -> Result<Option<DynamicImage>, ReadError> {
        match TiffPage::named(path, reading)? {
            Some(page) => decode_indices(&path.path, || page.file()).map(Some),
            None => Ok(None),
        }
    }

    fn open_content(
        &self,
        name: &Path,
        content: &[u8],
        reading: &Reading,
    ) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        if reading.level() != Level::Number(0) {
            let (path, levels) = (name.into(), "the full size, level 0, where it is not a file".into());
            return Err(ReadError::Level { path, level: reading.level(), levels });
        }
        // The decoder has the better message for a damaged file.
        match all_pages(Cursor::new(content)).map(|pages| pictures(pages).len()) {
            Ok(pictures @ 2..) => Err(ReadError::Several { path: name.into(), format: TIFF, pictures }),
            _ => Ok(None),
        }
    }

    fn has_levels(&self) -> bool {
        true
    }

    fn levels(&self, path: &PicturePath) -> Result<usize, ReadError> {
        Ok(TiffPage::levels(path)?.len())
    }

    fn spacing(&self, bytes: &[u8]) -> Option<[f64; 2]> {
        all_pages(Cursor::new(bytes)).ok()?.first()?.spacing()
    }

    fn header(&self, path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
        let Some(rows) = own_rows(path, || Ok(Cursor::new(bytes)))? else { return RASTER.header(path, bytes) };
        let ImageInfo { width, height, orientation, .. } = *rows.info();
        let (width, height) = if orientation >= 5 { (height, width) } else { (width, height) };
        Ok(Header { width, height, orientation })
    }

    fn decode(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        decode(path, || Ok(Cursor::new(bytes)))
    }

    fn decode_indices(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        decode_indices(path, || Ok(Cursor::new(bytes)))
    }

    fn open_bands(&self, path: &Path) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        let open = || -> Result<_, ReadError> {
            let file = File::open(path).map_err(|source| ReadError::File { path: path.into(), source })?;
            Ok(BufReader::with_capacity(1 << 16, file))
        };
        let rows = match TiffRows::open(path, open()?) {
            Some(rows) => Some(rows),
            None => TiffRows::open_kind(path, open()?)?,
        };
        let Some(rows) = rows else { return Ok(None) };
        let info = rows.info();
        if info.orientation != 1 || u64::from(info.width) * u64::from(info.height) < BANDS_PIXELS_MIN {
            return Ok(None);
        }
        rows.check_chunk()?;
        let mut rows = rows;
        let first = all_pages(open()?).ok().and_then(|pages| pages.first().cloned());
        rows.set_spacing(first.and_then(|page| page.spacing()));
        Ok(Some(Box::new(rows)))
    }
}

/// Reads the size of the first page; the image crate does not know that of floating-point values.
fn size(path: &Path, file: impl Read + Seek) -> Result<(u32, u32), ReadError> {
    Decoder::new(file).and_then(|mut decoder| decoder.dimensions()).map_err(|source| ReadError::Decode {
        path: path.into(),
        format: TIFF,
        source: source.into(),
    })
}

#[cfg(test)]
mod tests {
    use crate::formats::tiff_example::{Tags, VALUES, file, packed, read, tags};
    use crate::picture::Picture;

    #[test]
    fn channels_lie_together_or_in_planes_and_more_than_three_are_dropped() {
        let colors: Vec<[u8; 4]> = (0..10).map(|index| [index, 10 + index, 20 + index, 99]).collect();
        let first = |count: usize| colors.iter().flat_map(|pixel| pixel[..count].to_vec()).collect::<Vec<_>>();
        let planes: Vec<u8> = (0..3).flat_map(|plane| colors.iter().map(move |pixel| pixel[plane])).collect();
        let padded: Vec<u8> = [&[0, 1, 2, 3, 4], &[7; 11][..], &[5, 6, 7, 8, 9], &[7; 11], &[7; 14 * 16]].concat();
        let bits = [8; 4];
        let reversed = |data: &[u8]| data.iter().map(|byte| byte.reverse_bits()).collect::<Vec<_>>();
        let rows: [(&str, Tags<'_>, Vec<u8>, usize); 6] = [
            ("grey and transparency", vec![(258, &bits[..2]), (262, &[1]), (277, &[2]), (338, &[2])], first(2), 1),
            ("grey and two more", vec![(258, &bits[..3]), (262, &[1]), (277, &[3]), (338, &[0, 0])], first(3), 1),
            (
                "colours and transparency, reversed bits",
                vec![(258, &bits), (262, &[2]), (266, &[2]), (277, &[4]), (338, &[2])],
                reversed(&first(4)),
                3,
            ),
            (
                "planes, reversed bits",
                vec![(258, &bits[..3]), (262, &[2]), (266, &[2]), (277, &[3]), (284, &[2])],
                reversed(&planes),
                3,
            ),
            (
                "tiles, reversed bits",
                vec![(258, &[8]), (262, &[1]), (266, &[2]), (322, &[16]), (323, &[16])],
                reversed(&padded),
                1,
            ),
            (
                "tiles, half floats",
                vec![(258, &[16]), (262, &[1]), (322, &[16]), (323, &[16]), (339, &[3])],
                vec![0; 512],
                0,
            ),
        ];
        for (name, more, data, count) in rows {
            let mut tags = tags(&more);
            if more.iter().any(|(tag, _)| *tag == 322) {
                tags.retain(|(tag, _)| *tag != 278);
            }
            let picture = read(&file(true, &tags, &data)).expect(name);
            let expected = colors.iter().flat_map(|pixel| match count {
                0 => [0; 3],
                1 => [pixel[0]; 3],
                _ => [pixel[0], pixel[1], pixel[2]],
            });
            let found: Vec<_> = picture.to_float().iter().map(|value| (value * 255.0).round() as u8).collect();
            assert_eq!(found, expected.collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn palettes_become_the_colours_of_their_indices() {
        let whole = include_bytes!("../../tests/data/palette-8.tif");
        let expected = image::load_from_memory(include_bytes!("../../tests/data/palette-8.expected.png")).unwrap();
        assert!(read(whole).unwrap() == expected.into(), "8 bits");
        let entries: [[u16; 3]; 4] = [[0, 65535, 1], [513, 2, 65280], [7, 8, 9], [60_000, 50_000, 40_000]];
        let map = |scale: fn(u16) -> u16| -> Vec<u16> {
            (0..3).flat_map(|color| (0..16).map(move |index| scale(entries[index % 4][color]))).collect()
        };
        let data = packed(4, 5, &VALUES);
        type Map = (&'static str, fn(u16) -> u16, fn(u16) -> f32);
        let rows: [Map; 4] = [
            ("16 bits", |value| value, |value| f32::from(value >> 8) / 255.0),
            ("8 bits times 256", |value| value & 0xff00, |value| f32::from(value >> 8) / 255.0),
            ("8 bits times 257", |value| (value >> 8) * 257, |value| f32::from(value >> 8) / 255.0),
            ("8 bits as they are", |value| value >> 8, |value| f32::from(value >> 8) / 255.0),
        ];
        for (name, scale, share) in rows {
            let map = map(scale);
            let whole = file(false, &tags(&[(258, &[4]), (262, &[3]), (320, &map)]), &data);
            let found = read(&whole).expect(name).to_float().into_raw();
            let expected = VALUES.iter().flat_map(|value| entries[usize::from(*value)].map(share));
            assert_eq!(found, expected.collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn luma_and_chroma_become_colours() {
        let data: Vec<u8> =
            [[0, 128, 128], [255, 128, 128], [76, 85, 255], [150, 44, 21], [29, 255, 107]].concat().repeat(2);
        let whole = file(false, &tags(&[(258, &[8; 3]), (262, &[6]), (277, &[3]), (530, &[1, 1])]), &data);
        let Picture::Bits8(found) = read(&whole).unwrap() else { panic!("it has 8 bits") };
        let expected = [[0; 3], [255; 3], [254, 0, 0], [0, 255, 1], [0, 0, 254]];
        for (found, expected) in found.pixels().zip(expected.iter().cycle()) {
            assert!(found.0.iter().zip(expected).all(|(found, expected)| found.abs_diff(*expected) <= 1), "{found:?}");
        }
    }

    #[test]
    fn jpeg_in_strips_is_read_and_its_damage_is_noticed() {
        let whole = include_bytes!("../../tests/data/strips-jpeg.tif");
        let Picture::Bits8(found) = read(whole).unwrap() else { panic!("it has 8 bits") };
        assert_eq!(found.dimensions(), (41, 29));
        let expected = image::load_from_memory(include_bytes!("../../tests/data/strips-jpeg.expected.png")).unwrap();
        let worst = found.iter().zip(expected.to_rgb8().iter()).map(|(a, b)| a.abs_diff(*b)).max();
        // Decoders differ in the last bits of the transform.
        assert!(worst <= Some(3), "{worst:?}");
        let place = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 30;
        let mut damaged = whole.to_vec();
        damaged[place..place + 40].fill(0xff);
        let message = read(&damaged).unwrap_err().to_string();
        assert!(message.contains("the TIFF file is damaged (strip or tile 0: "), "{message}");
    }

    #[test]
    fn a_strip_in_jpeg_has_the_size_that_the_file_says() {
        let whole = include_bytes!("../../tests/data/strips-jpeg.tif");
        let frame = whole.windows(3).position(|bytes| bytes == [0xff, 0xc0, 0]).unwrap() + 5;
        let [h1, h0, w1, w0] = whole[frame..frame + 4] else { panic!("the header has a size") };
        let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
        for (name, size, is_read) in [
            ("its own", [height, width], true),
            ("higher", [height + 8, width], false),
            ("lower", [height - 8, width], false),
            ("wider", [height, width + 8], false),
            ("narrower", [height, width - 8], false),
        ] {
            let mut bytes = whole.to_vec();
            bytes[frame..frame + 4].copy_from_slice(&size.map(u16::to_be_bytes).concat());
            let found = read(&bytes).map_err(|error| error.to_string());
            let part = format!("strip or tile 0: its image is {}x{}, expected {width}x{height})", size[1], size[0]);
            match found {
                Ok(_) => assert!(is_read, "{name}"),
                Err(message) => assert!(!is_read && message.contains(&part), "{name}: {message}"),
            }
        }
    }

    #[test]
    fn planes_in_tiles_are_put_together() {
        const SIDE: u16 = 16;
        let value = |plane: u8, x: u8, y: u8| 100 * plane + 10 * y + x;
        let pixels =
            |plane| (0..SIDE).flat_map(move |y| (0..SIDE).map(move |x| value(plane, x as u8 % 5, y as u8 % 2)));
        let data: Vec<u8> = (0..3).map(|plane| plane % 3).flat_map(pixels).collect();
        let more: Tags<'_> =
            vec![(258, &[8; 3]), (262, &[2]), (277, &[3]), (284, &[2]), (322, &[SIDE]), (323, &[SIDE])];
        let mut tags = tags(&more);
        tags.retain(|(tag, _)| *tag != 278);
        let Picture::Bits8(found) = read(&file(false, &tags, &data)).unwrap() else { panic!("it has 8 bits") };
        assert_eq!(found.dimensions(), (5, 2));
        for (x, y, pixel) in found.enumerate_pixels() {
            assert_eq!(pixel.0, [0, 1, 2].map(|plane| value(plane, x as u8, y as u8)), "{x}, {y}");
        }
    }

    #[test]
    fn a_file_with_reversed_bits_has_its_own_values() {
        let Picture::Bits8(found) = read(include_bytes!("../../tests/data/fill-order-2.tif")).unwrap() else {
            panic!("it has 8 bits")
        };
        assert!(found.pixels().zip(0..).all(|(pixel, index)| pixel.0 == [(index % 256) as u8; 3]));
    }

    #[test]
    fn what_is_not_read_is_named() {
        let data = [0; 60];
        let rows: [(&str, Tags<'_>); 7] = [
            ("CCITT compression (3) of 1 values of 2 bits", vec![(258, &[2]), (259, &[3]), (262, &[0])]),
            ("LERC compression (34887)", vec![(258, &[8]), (259, &[34887]), (262, &[1])]),
            ("JPEG XL compression (50002)", vec![(258, &[8]), (259, &[50002]), (262, &[1])]),
            ("the colour space Lab of this kind (10)", vec![(258, &[8; 3]), (262, &[10]), (277, &[3])]),
            ("YCbCr with subsampled colours", vec![(258, &[8; 3]), (262, &[6]), (277, &[3])]),
            ("a palette of 3 colours for 8 bits", vec![(258, &[8]), (262, &[3]), (320, &[0; 9])]),
            ("values of 64 bits that are unsigned integers", vec![(258, &[64]), (262, &[1])]),
        ];
        for (kind, more) in rows {
            let message = read(&file(false, &tags(&more), &data)).unwrap_err().to_string();
            assert_eq!(message, format!("cannot read {kind} in TIFF files, as `a.tif` has; save it again as PNG"));
        }
    }
}
