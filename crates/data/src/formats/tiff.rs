//! TIFF files, including BigTIFF.
//!
//! The image crate decodes most of them. Floating-point values, large files and the kinds that it
//! does not know are read by [`TiffRows`].

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage};
use seg_contract::{Level, Reading};
use tiff::decoder::Decoder;
use tiff::tags::Tag;

use super::dicom::file::is_dicom;
use super::error::ReadError;
use super::format::{Format, Header};
use super::lazy::LazyImage;
use super::limits::{check_size, reserve};
use super::picture_path::PicturePath;
use super::raster::Raster;
use super::reader::{ImageInfo, ImageReader};
use super::tiff_pages::{Page, Paged, all_pages, levels, pictures};
use super::tiff_rows::{TIFF, TiffRows};
use super::whole::upright;
use crate::picture::Picture;

/// The number of pixels from which a file is read in bands.
const BANDS_PIXELS_MIN: u64 = 1 << 24;

/// TIFF; a path without a number stands for the first page.
pub(super) struct Tiff;

const RASTER: Raster = Raster::new(ImageFormat::Tiff, TIFF, &["tif", "tiff"]);

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

/// Decodes the first page of a file, which is opened as often as it takes.
fn decode<R: BufRead + Seek + Send>(
    path: &Path,
    open: impl Fn() -> Result<R, ReadError>,
) -> Result<DynamicImage, ReadError> {
    match own_rows(path, &open)? {
        Some(rows) => decode_rows(path, rows),
        None => RASTER.decode_file(path, open()?, &[]),
    }
}

/// Decodes the first page of a file as a mask of class indices.
fn decode_indices<R: BufRead + Seek + Send>(
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

/// One of several pages of a file, or one of its levels.
#[derive(Clone)]
struct TiffPage {
    path: PicturePath,
    page: Page,
    /// The millimetres between rows and between columns, as they are stored.
    spacing: Option<[f64; 2]>,
    /// The number of the level, in a pyramid.
    level: Option<u32>,
}

impl TiffPage {
    /// Opens the page that a path and a reading name; `None` where they name the first one in full
    /// size.
    fn named(path: &PicturePath, reading: &Reading) -> Result<Option<Self>, ReadError> {
        if path.number.is_none() && reading.level() == Level::Number(0) {
            return Ok(None);
        }
        let levels = Self::levels(path)?;
        let found = match reading.level() {
            Level::Number(number) => levels.get(number as usize),
            Level::Micrometres(size) => levels
                .iter()
                .filter_map(|level| Some((level, (level.micrometres()? / size).ln().abs())))
                .filter(|(_, ratio)| *ratio <= Level::TOLERANCE.ln_1p())
                .min_by(|(_, one), (_, other)| one.total_cmp(other))
                .map(|(level, _)| level),
        };
        match found {
            Some(level) => Ok(Some(level.clone())),
            None => {
                let listed: Vec<_> = levels.iter().map(Self::in_words).collect();
                let (path, level) = (path.path.clone(), reading.level());
                Err(ReadError::Level { path, level, levels: listed.join(", ") })
            }
        }
    }

    /// Lists the levels of the page that a path names.
    fn levels(path: &PicturePath) -> Result<Vec<Self>, ReadError> {
        let open = || File::open(&path.file).map_err(|source| ReadError::File { path: path.path.clone(), source });
        let refuse =
            |source: std::io::Error| ReadError::Decode { path: path.path.clone(), format: TIFF, source: source.into() };
        let all = all_pages(BufReader::new(open()?)).map_err(refuse)?;
        let pages = pictures(all.clone());
        let Some(page) = pages.get(path.index()) else {
            return Err(ReadError::Number { path: path.path.clone(), format: TIFF, pictures: pages.len() });
        };
        let levels = levels(BufReader::new(open()?), &all, page).map_err(refuse)?;
        let is_pyramid = levels.len() > 1;
        let full = page.spacing();
        let sized = |(number, level): (usize, Page)| {
            let share = |full: u64, own: u64| full as f64 / own.max(1) as f64;
            let smaller = [share(page.height, level.height), share(page.width, level.width)];
            let spacing = full.map(|[rows, columns]| [rows * smaller[0], columns * smaller[1]]);
            Self { path: path.clone(), page: level, spacing, level: is_pyramid.then_some(number as u32) }
        };
        Ok(levels.into_iter().enumerate().map(sized).collect())
    }

    /// Returns the size of a pixel in micrometres: the mean of its height and width.
    fn micrometres(&self) -> Option<f64> {
        self.spacing.map(|[rows, columns]| 500.0 * (rows + columns))
    }

    /// Describes the level.
    fn in_words(&self) -> String {
        let (number, Page { width, height, .. }) = (self.level.unwrap_or(0), &self.page);
        let size = self.micrometres().map_or_else(String::new, |size| format!(", {size:.3} µm a pixel"));
        format!("{number} ({width}x{height}{size})")
    }

    /// Opens the file, in which this page is the first.
    fn file(&self) -> Result<BufReader<Paged<File>>, ReadError> {
        let failed = |source| ReadError::File { path: self.path.path.clone(), source };
        let file = File::open(&self.path.file).map_err(failed)?;
        Ok(BufReader::with_capacity(1 << 16, Paged::new(file, &self.page).map_err(failed)?))
    }

    /// Returns the reader of the page: in bands if it is large.
    fn reader(self) -> Result<Box<dyn ImageReader>, ReadError> {
        let path = self.path.path.clone();
        let rows = match TiffRows::open(&path, self.file()?) {
            Some(rows) => Some(rows),
            None => TiffRows::open_kind(&path, self.file()?)?,
        };
        let refuse =
            |source: tiff::TiffError| ReadError::Decode { path: path.clone(), format: TIFF, source: source.into() };
        let mut decoder = Decoder::new(self.file()?).map_err(refuse)?;
        let (width, height) = decoder.dimensions().map_err(refuse)?;
        let orientation = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten().unwrap_or(1);
        let is_turned = orientation >= 5;
        let (spacing, level) = (self.spacing.map(|spacing| upright(spacing, orientation)), self.level);
        if let Some(mut rows) = rows
            && orientation == 1
            && u64::from(width) * u64::from(height) >= BANDS_PIXELS_MIN
        {
            rows.check_chunk()?;
            rows.set_spacing(spacing);
            rows.set_level(level);
            return Ok(Box::new(rows));
        }
        check_size(&path, width, height)?;
        let (width, height) = if is_turned { (height, width) } else { (width, height) };
        let info = ImageInfo { orientation, spacing, level, ..ImageInfo::new(width, height) };
        Ok(Box::new(LazyImage::new(info, move || Ok(decode(&self.path.path, || self.file())?.into()))))
    }
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
fn own_rows<R: Read + Seek + Send>(
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
    use super::*;
    use crate::formats::decode;
    use crate::masks::{MaskCoding, read_mask};

    /// The numbers of tags and their short values.
    type Tags<'a> = Vec<(u16, &'a [u16])>;

    /// Writes a file of one strip or tile from its tags and their short values.
    fn file(is_big_endian: bool, tags: &[(u16, &[u16])], data: &[u8]) -> Vec<u8> {
        let short = |value: u16| if is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: usize| {
            if is_big_endian { (value as u32).to_be_bytes() } else { (value as u32).to_le_bytes() }
        };
        let mut tags = tags.to_vec();
        let is_tiled = tags.iter().any(|(tag, _)| *tag == 322);
        let [places, counts] = if is_tiled { [324, 325] } else { [273, 279] };
        // The planes lie one behind the other.
        let planes = tags.iter().find(|(tag, _)| *tag == 284).map_or(1, |_| 3);
        let sizes = vec![0; planes];
        tags.extend([(places, sizes.as_slice()), (counts, sizes.as_slice())]);
        tags.sort_by_key(|(tag, _)| *tag);
        let mut bytes = if is_big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        bytes.extend(long(8));
        bytes.extend(short(tags.len() as u16));
        let mut behind = Vec::new();
        let start = 8 + 2 + 12 * tags.len() + 4;
        let values: usize = tags.iter().map(|(_, values)| if values.len() > 2 { 2 * values.len() } else { 0 }).sum();
        let data_place = start + values + if planes > 1 { 4 * 2 * planes - 2 * 2 * planes } else { 0 };
        for (tag, values) in tags {
            bytes.extend(short(tag));
            if tag == places || tag == counts {
                let length = data.len() / planes;
                let value = |plane: usize| if tag == places { data_place + plane * length } else { length };
                bytes.extend(short(4));
                bytes.extend(long(planes));
                if planes == 1 {
                    bytes.extend(long(value(0)));
                } else {
                    bytes.extend(long(start + behind.len()));
                    (0..planes).for_each(|plane| behind.extend(long(value(plane))));
                }
                continue;
            }
            bytes.extend(short(3));
            bytes.extend(long(values.len()));
            let mut content: Vec<u8> = values.iter().flat_map(|value| short(*value)).collect();
            if content.len() > 4 {
                bytes.extend(long(start + behind.len()));
                behind.extend(content);
            } else {
                content.resize(4, 0);
                bytes.extend(content);
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(behind);
        assert_eq!(bytes.len(), data_place);
        bytes.extend(data);
        bytes
    }

    /// The tags of 5x2 pixels.
    fn tags<'a>(more: &[(u16, &'a [u16])]) -> Tags<'a> {
        let mut tags: Tags<'a> = vec![(256, &[5]), (257, &[2]), (259, &[1]), (278, &[2])];
        tags.retain(|(tag, _)| more.iter().all(|(other, _)| other != tag));
        tags.extend(more);
        tags
    }

    fn read(bytes: &[u8]) -> Result<Picture, ReadError> {
        Ok(decode(Path::new("a.tif"), bytes)?.into())
    }

    /// Packs values of a few bits into rows of whole bytes.
    fn packed(bits: usize, row: usize, values: &[u16]) -> Vec<u8> {
        values
            .chunks(row)
            .flat_map(|row| {
                let mut bytes = vec![0; (row.len() * bits).div_ceil(8)];
                for (index, value) in row.iter().enumerate() {
                    for bit in 0..bits {
                        let place = index * bits + bit;
                        bytes[place / 8] |= ((value >> (bits - 1 - bit) & 1) as u8) << (7 - place % 8);
                    }
                }
                bytes
            })
            .collect()
    }

    const VALUES: [u16; 10] = [0, 1, 2, 3, 1, 3, 2, 0, 0, 3];

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

    #[test]
    fn floats_are_turned_as_their_header_says() {
        let data: Vec<u8> = VALUES.iter().flat_map(|value| (f32::from(*value) / 3.0).to_le_bytes()).collect();
        let whole = file(false, &tags(&[(258, &[32]), (262, &[1]), (274, &[6]), (339, &[3])]), &data);
        let header = crate::formats::header(Path::new("a.tif"), &whole).unwrap();
        assert_eq!(((header.width, header.height), header.orientation), ((2, 5), 6));
        assert_eq!(read(&whole).unwrap().dimensions(), (2, 5));
    }
}
