//! Rows of a TIFF file, read strip by strip or tile by tile.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};

use image::{ImageBuffer, Rgb};
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::{SampleFormat, Tag};
use tiff::{ColorType, TiffError};

use super::error::ReadError;
use super::limits::checked_range;
use super::reader::{ImageInfo, ImageReader};
use super::tiff_band::{Band, Place};
use super::tiff_chunks::{CHUNK_BYTES_MAX, TIFF, view_band};
use super::tiff_layout::{BLACK_IS_ZERO, Layout, WHITE_IS_ZERO, is_plain_compression};
use super::tiff_view::View;
use crate::picture::Picture;

/// The largest lists of strips or tiles, in bytes.
const LIST_BYTES_MAX: usize = 1 << 26;

/// The rows of a TIFF file.
pub(super) struct TiffRows<R: Read + Seek> {
    path: PathBuf,
    info: ImageInfo,
    source: Source<R>,
    channels: usize,
    /// The bits of a value.
    bits: u8,
    /// Height and width of a strip or a tile.
    chunk: [u32; 2],
    /// Decoded rows of chunks by their number from the top, while later requests may need them.
    decoded: BTreeMap<u32, Band>,
    /// True for floating-point values.
    pub(super) is_float: bool,
}

/// The decoder of strips or tiles.
enum Source<R: Read + Seek> {
    /// The decoder of grey or colour values with 8, 16 or 32 bits, the last ones floating-point.
    Plain(Decoder<R>),
    /// The decoder of all other kinds.
    View(Box<Layout>, Decoder<View<R>>),
}

impl<R: Read + Seek> TiffRows<R> {
    /// Opens a file whose first image is of a kind that is read here; `None` for all others, and
    /// for damaged ones.
    pub(super) fn open(path: &Path, file: R) -> Option<Self> {
        let mut limits = Limits::default();
        limits.decoding_buffer_size = CHUNK_BYTES_MAX;
        limits.intermediate_buffer_size = CHUNK_BYTES_MAX;
        let mut decoder = Decoder::new(file).ok()?.with_limits(limits);
        let (width, height) = decoder.dimensions().ok()?;
        let (channels, bits) = match decoder.colortype().ok()? {
            ColorType::Gray(bits) => (1, bits),
            ColorType::GrayA(bits) => (2, bits),
            ColorType::RGB(bits) => (3, bits),
            ColorType::RGBA(bits) => (4, bits),
            _ => return None,
        };
        let formats = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).ok()?.unwrap_or_default();
        let all = |format: SampleFormat| formats.iter().all(|found| *found == format.to_u16());
        let is_float = bits == 32 && !formats.is_empty() && all(SampleFormat::IEEEFP);
        let is_integer = matches!(bits, 8 | 16) && all(SampleFormat::Uint);
        // Separate planes would each need a pass.
        let planar = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).ok()?.unwrap_or(1);
        let is_reversed = decoder.find_tag_unsigned::<u16>(Tag::FillOrder).ok()? == Some(2);
        let compression = decoder.find_tag_unsigned::<u16>(Tag::Compression).ok()?.unwrap_or(1);
        if is_reversed || !is_plain_compression(compression) {
            return None;
        }
        if width == 0 || height == 0 || planar != 1 || !(is_float || is_integer) {
            return None;
        }
        let orientation = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok()?.unwrap_or(1);
        let (chunk_width, chunk_height) = decoder.chunk_dimensions();
        // A file may claim more rows than it has.
        let chunk = [chunk_height.clamp(1, height), chunk_width.max(1)];
        let info = ImageInfo { orientation, band: Some(chunk[0]), ..ImageInfo::new(width, height) };
        let source = Source::Plain(decoder);
        Some(Self { path: path.into(), info, source, channels, bits, chunk, decoded: BTreeMap::new(), is_float })
    }

    /// Opens a file of a kind that neither [`TiffRows::open`] nor the image crate reads; `None` if
    /// one of them does, or if the file is damaged.
    ///
    /// # Errors
    /// When the kind is not read here either.
    pub(super) fn open_kind(path: &Path, file: R) -> Result<Option<Self>, ReadError> {
        let mut limits = Limits::default();
        limits.decoding_buffer_size = CHUNK_BYTES_MAX;
        limits.intermediate_buffer_size = CHUNK_BYTES_MAX;
        limits.ifd_value_size = LIST_BYTES_MAX;
        let mut file = file;
        let layout =
            Decoder::new(&mut file).and_then(|decoder| Layout::read(&mut decoder.with_limits(limits.clone()))).ok();
        // A damaged file is left to the decoder that names its damage.
        let Some(layout) = layout.filter(|layout| !layout.is_plain()) else { return Ok(None) };
        if let Some(kind) = layout.unread() {
            return Err(ReadError::Kind { path: path.into(), format: TIFF, kind });
        }
        let refuse = |source: TiffError| ReadError::Decode { path: path.into(), format: TIFF, source: source.into() };
        layout.check_chunks().map_err(refuse)?;
        let Layout { width, height, bits, orientation, chunk, .. } = layout;
        let info = ImageInfo { orientation, band: Some(chunk[0].min(height)), ..ImageInfo::new(width, height) };
        let channels = usize::from(layout.samples_together());
        let bits = bits.next_multiple_of(8) as u8;
        let chunk = [chunk[0].min(height), chunk[1]];
        // Before the view describes rows of that many bytes.
        check_chunk(path, chunk, channels, bits)?;
        let view = View::new(&layout, file).map_err(|source| ReadError::File { path: path.into(), source })?;
        let decoder = Decoder::new(view).map_err(refuse)?.with_limits(limits);
        let source = Source::View(Box::new(layout), decoder);
        let decoded = BTreeMap::new();
        Ok(Some(Self { path: path.into(), info, source, channels, bits, chunk, decoded, is_float: false }))
    }

    /// Takes samples as they are stored from now on, as class indices are read: without scaling
    /// them to 8 or 16 bits, and without the palette.
    pub(super) fn keep_samples(&mut self) {
        if let Source::View(layout, _) = &mut self.source {
            layout.keeps_samples = true;
        }
    }

    /// Sets the millimetres between rows and between columns.
    pub(super) fn set_spacing(&mut self, spacing: Option<[f64; 2]>) {
        self.info.spacing = spacing;
    }

    /// Sets the level of a pyramid.
    pub(super) fn set_level(&mut self, level: Option<u32>) {
        self.info.level = level;
    }

    /// Returns whether the file has one channel.
    pub(super) fn is_grey(&self) -> bool {
        match &self.source {
            Source::View(layout, _) => matches!(layout.interpretation, BLACK_IS_ZERO | WHITE_IS_ZERO),
            Source::Plain(_) => self.channels < 3,
        }
    }

    /// Checks that a strip or a tile is not too large to be read.
    pub(super) fn check_chunk(&self) -> Result<(), ReadError> {
        check_chunk(&self.path, self.chunk, self.channels, self.bits)
    }

    /// Decodes a row of chunks.
    fn band(&mut self, index: u32) -> Result<Band, ReadError> {
        self.check_chunk()?;
        let width = self.info.width;
        let height = self.chunk[0].min(self.info.height - index * self.chunk[0]);
        let refuse =
            |source: TiffError| ReadError::Decode { path: self.path.clone(), format: TIFF, source: source.into() };
        let decoder = match &mut self.source {
            Source::Plain(decoder) => decoder,
            Source::View(layout, decoder) => {
                let band = view_band(&self.path, layout, decoder, index, [height, width])?;
                return band.ok_or_else(|| refuse(TiffError::IntSizeError));
            }
        };
        let pixels = height as usize * width as usize;
        let across = width.div_ceil(self.chunk[1]);
        let mut band: Option<Band> = None;
        for column in 0..across {
            let chunk = index * across + column;
            let values = decoder.read_chunk(chunk).map_err(refuse)?;
            let (chunk_width, chunk_height) = decoder.chunk_data_dimensions(chunk);
            let place = Place {
                channels: self.channels,
                size: [chunk_height.min(height) as usize, chunk_width as usize],
                left: (column * self.chunk[1]) as usize,
                width: width as usize,
            };
            let expected = chunk_height as usize * chunk_width as usize * self.channels;
            match (&values, &mut band) {
                (DecodingResult::U8(values), None) if values.len() >= expected => {
                    let mut target = vec![[0; 3]; pixels];
                    place.copy(values, &mut target);
                    band = Some(Band::Bits8(target));
                }
                (DecodingResult::U16(values), None) if values.len() >= expected => {
                    let mut target = vec![[0; 3]; pixels];
                    place.copy(values, &mut target);
                    band = Some(Band::Bits16(target));
                }
                (DecodingResult::F32(values), None) if values.len() >= expected => {
                    let mut target = vec![[0.0; 3]; pixels];
                    place.copy(values, &mut target);
                    band = Some(Band::Float(target));
                }
                (DecodingResult::U8(values), Some(Band::Bits8(target))) if values.len() >= expected => {
                    place.copy(values, target);
                }
                (DecodingResult::U16(values), Some(Band::Bits16(target))) if values.len() >= expected => {
                    place.copy(values, target);
                }
                (DecodingResult::F32(values), Some(Band::Float(target))) if values.len() >= expected => {
                    place.copy(values, target);
                }
                _ => return Err(refuse(TiffError::IntSizeError)),
            }
        }
        // An image has at least one column of chunks.
        band.ok_or_else(|| refuse(TiffError::IntSizeError))
    }
}

/// Checks that a strip or a tile of this height and width is not too large to be read.
fn check_chunk(path: &Path, [rows, columns]: [u32; 2], channels: usize, bits: u8) -> Result<(), ReadError> {
    let values = u64::from(rows) * u64::from(columns) * channels as u64;
    match values.saturating_mul(u64::from(bits / 8)) {
        bytes if bytes > CHUNK_BYTES_MAX as u64 => {
            Err(ReadError::Strip { path: path.into(), rows, bytes, bytes_max: CHUNK_BYTES_MAX as u64 })
        }
        _ => Ok(()),
    }
}

impl<R: Read + Seek + Send> ImageReader for TiffRows<R> {
    fn info(&self) -> &ImageInfo {
        &self.info
    }

    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
        assert!(rows.start <= rows.end && rows.end <= self.info.height, "the image has not so many rows");
        let bands = rows.start / self.chunk[0]..rows.end.div_ceil(self.chunk[0]);
        self.decoded.retain(|index, _| bands.contains(index));
        for index in bands.clone() {
            if !self.decoded.contains_key(&index) {
                let band = self.band(index)?;
                self.decoded.insert(index, band);
            }
        }
        let (width, height) = (self.info.width, rows.end - rows.start);
        let picture = match self.decoded.values().next() {
            None | Some(Band::Bits8(_)) => Picture::Bits8(self.gather(&rows, |band| match band {
                Band::Bits8(pixels) => pixels,
                _ => &[],
            })),
            Some(Band::Bits16(_)) => Picture::Bits16(self.gather(&rows, |band| match band {
                Band::Bits16(pixels) => pixels,
                _ => &[],
            })),
            Some(Band::Float(_)) => Picture::Float(self.gather(&rows, |band| match band {
                Band::Float(pixels) => pixels,
                _ => &[],
            })),
        };
        debug_assert_eq!(picture.dimensions(), (width, height));
        checked_range(&self.path, picture).map(Cow::Owned)
    }
}

impl<R: Read + Seek> TiffRows<R> {
    /// Copies the requested rows from the bands that hold them.
    fn gather<T>(&self, rows: &Range<u32>, pixels: impl Fn(&Band) -> &[[T; 3]]) -> ImageBuffer<Rgb<T>, Vec<T>>
    where
        Rgb<T>: image::Pixel<Subpixel = T>,
        T: Copy,
    {
        let width = self.info.width as usize;
        let mut values = Vec::with_capacity((rows.end - rows.start) as usize * width * 3);
        for (index, band) in &self.decoded {
            let top = index * self.chunk[0];
            let pixels = pixels(band);
            let inside = |row: u32| row.saturating_sub(top) as usize * width;
            let part = inside(rows.start)..inside(rows.end).min(pixels.len());
            values.extend_from_slice(pixels[part].as_flattened());
        }
        ImageBuffer::from_raw(self.info.width, rows.end - rows.start, values)
            .expect("all bands are of one kind and cover the rows")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tiff::encoder::{TiffEncoder, colortype};

    use super::*;
    use crate::open_image;

    const SIZE: (u32, u32) = (13, 29);

    fn value(index: usize) -> f32 {
        (index * 37 % 101) as f32 / 101.0
    }

    /// Creates files of all kinds, with the values of their first channel.
    fn files() -> Vec<(&'static str, Vec<u8>, Vec<f32>)> {
        let (width, height) = SIZE;
        let pixels = (width * height) as usize;
        macro_rules! file {
            ($name:expr, $color:ty, $channels:expr, $scale:expr, $cast:expr) => {{
                let mut bytes = Cursor::new(Vec::new());
                let values: Vec<_> = (0..pixels * $channels).map(|index| $cast(value(index) * $scale)).collect();
                let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
                let mut image = encoder.new_image::<$color>(width, height).unwrap();
                image.rows_per_strip(4).unwrap();
                image.write_data(&values).unwrap();
                let first = values.iter().step_by($channels).map(|value| *value as f32 / $scale).collect();
                ($name, bytes.into_inner(), first)
            }};
        }
        vec![
            file!("grey, 8 bits", colortype::Gray8, 1, 255.0, |value| value as u8),
            file!("colour, 8 bits", colortype::RGB8, 3, 255.0, |value| value as u8),
            file!("transparent, 16 bits", colortype::RGBA16, 4, 65535.0, |value| value as u16),
            file!("grey, 16 bits", colortype::Gray16, 1, 65535.0, |value| value as u16),
            file!("grey, floats", colortype::Gray32Float, 1, 1.0, |value: f32| value),
            file!("colour, floats", colortype::RGB32Float, 3, 1.0, |value: f32| value),
        ]
    }

    #[test]
    fn any_rows_are_those_that_were_written() {
        for (name, bytes, red) in files() {
            let mut reader = TiffRows::open(Path::new("a.tif"), Cursor::new(bytes)).unwrap();
            assert_eq!(reader.chunk, [4, SIZE.0], "{name}");
            for rows in [0..SIZE.1, 0..1, 3..5, 4..8, 27..29, 7..21] {
                let picture = reader.rows(rows.clone()).unwrap();
                assert_eq!(picture.dimensions(), (SIZE.0, rows.end - rows.start), "{name}: {rows:?}");
                let found: Vec<_> = picture.to_float().pixels().map(|pixel| pixel[0]).collect();
                let [start, end] = [rows.start, rows.end].map(|row| (row * SIZE.0) as usize);
                assert_eq!(found, red[start..end], "{name}: {rows:?}");
                assert!(reader.decoded.len() <= (end - start) / (4 * SIZE.0 as usize) + 2, "{name}: rows are kept");
            }
        }
    }

    /// Creates a file without pixels, which describes one strip.
    fn header(width: u32, height: u32, rows_per_strip: u32) -> Vec<u8> {
        let entry = |tag: u16, kind: u16, count: u32, value: u32| {
            let (head, tail) = ([tag, kind].map(u16::to_le_bytes), [count, value].map(u32::to_le_bytes));
            [head.as_flattened(), tail.as_flattened()].concat()
        };
        let entries = [
            entry(256, 4, 1, width),
            entry(257, 4, 1, height),
            // Three times 8 bits, as stored at the beginning of the file behind its header.
            entry(258, 3, 3, 8),
            entry(259, 3, 1, 1),
            entry(262, 3, 1, 2),
            entry(273, 4, 1, 8),
            entry(277, 3, 1, 3),
            entry(278, 4, 1, rows_per_strip),
            entry(279, 4, 1, width.wrapping_mul(height).wrapping_mul(3)),
        ];
        let bits = [8_u8, 0, 8, 0, 8, 0, 0, 0];
        let count = (entries.len() as u16).to_le_bytes();
        [&b"II*\0\x10\0\0\0"[..], &bits, &count, &entries.concat(), &[0; 4]].concat()
    }

    #[test]
    fn a_strip_that_is_too_large_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tif");
        for (name, height, rows_per_strip, refused) in [
            ("a strip of all rows", 20_000, 20_000, Some("strips or tiles have 20000 rows and 1200000000 bytes")),
            ("a strip of more rows than there are", 20_000, u32::MAX, Some("have 20000 rows")),
            ("a strip that can be read", 17_000, 17_000, None),
        ] {
            std::fs::write(&path, header(20_000, height, rows_per_strip)).unwrap();
            let message = open_image(&path).err().map(|error| error.to_string());
            match refused {
                None => assert_eq!(message, None, "{name}"),
                Some(part) => {
                    let message = message.unwrap();
                    assert!(message.contains(part) && message.contains("tiles of fewer rows"), "{name}: {message}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error_and_never_other_pixels() {
        for (name, bytes, red) in files() {
            for length in (0..bytes.len()).step_by(11) {
                let Some(mut reader) = TiffRows::open(Path::new("a.tif"), Cursor::new(&bytes[..length])) else {
                    continue;
                };
                if let Ok(picture) = reader.rows(0..SIZE.1) {
                    let found: Vec<_> = picture.to_float().pixels().map(|pixel| pixel[0]).collect();
                    assert_eq!(found, red, "{name}: {length} bytes");
                }
            }
        }
    }
}
