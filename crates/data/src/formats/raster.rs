//! The formats that the image crate decodes as they are.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader as FormatReader, Limits};
use seg_contract::Reading;

use super::bmp_runs::Runs;
use super::error::{PIXELS_MAX, ReadError};
use super::format::{Format, Header};
use super::frames;
use super::lazy::LazyImage;
use super::limits::{check_size, checked_range, reserve};
use super::orientation::noted_orientation;
use super::palette::{fill_around_frame, with_indices};
use super::picture_path::PicturePath;
use super::reader::{ImageInfo, ImageReader};
use crate::picture::Picture;

/// The largest colour profile, text and the like of a file, in bytes, all together.
const METADATA_BYTES_MAX: u64 = 1 << 26;

/// PNG.
pub(super) static PNG: Raster = Raster::new(ImageFormat::Png, "PNG", &["png", "apng"]);
/// GIF; the first frame is read.
pub(super) static GIF: Raster = Raster::new(ImageFormat::Gif, "GIF", &["gif"]);
/// BMP.
pub(super) static BMP: Raster = Raster::new(ImageFormat::Bmp, "BMP", &["bmp"]);
/// WebP. Both of its kinds count as lossy: the lossless one is rare.
pub(super) static WEBP: Raster = Raster { keeps_values: false, ..Raster::new(ImageFormat::WebP, "WebP", &["webp"]) };

/// A format that the image crate decodes.
pub(super) struct Raster {
    format: ImageFormat,
    name: &'static str,
    extensions: &'static [&'static str],
    keeps_values: bool,
}

impl Raster {
    /// Creates a lossless format of the image crate.
    pub(super) const fn new(format: ImageFormat, name: &'static str, extensions: &'static [&'static str]) -> Self {
        Self { format, name, extensions, keeps_values: true }
    }

    /// Returns the decoder of a file, whose image is of a size that is read; `head` is its
    /// beginning.
    fn decoder<'a>(
        &self,
        path: &Path,
        file: impl BufRead + Seek + 'a,
        head: &[u8],
    ) -> Result<impl ImageDecoder + 'a, ReadError> {
        self.check_head(path, head)?;
        let mut reader = FormatReader::with_format(file, self.format);
        reader.limits(self.limits(head));
        let decoder = reader.into_decoder().map_err(|source| self.refuse(path, source))?;
        let (width, height) = decoder.dimensions();
        check_size(path, width, height)?;
        Ok(decoder)
    }

    /// Checks what the decoder takes as it is: the place of the pixels in a BMP file, which some
    /// files put into the palette.
    fn check_head(&self, path: &Path, head: &[u8]) -> Result<(), ReadError> {
        let number = |place: usize| {
            head.get(place..place + 4).map(|bytes| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
        };
        let (ImageFormat::Bmp, Some(pixels), Some(length @ 40..), Some(bits), Some(listed)) =
            (self.format, number(10), number(14), number(28).map(|number| number & 0xffff), number(46))
        else {
            return Ok(());
        };
        let colors = match (bits, listed) {
            (1..=8, 0) => 1 << bits,
            (1..=8, colors) => colors.min(1 << bits),
            _ => 0,
        };
        let end = 14 + length + 4 * colors;
        if pixels >= end {
            return Ok(());
        }
        let found = format!("its pixels begin at byte {pixels}, within the palette, which ends at byte {end}");
        Err(ReadError::Damaged { path: path.into(), format: self.name, found })
    }

    /// Returns the limits for a file that begins with `head`.
    fn limits(&self, head: &[u8]) -> Limits {
        let pixels = match (self.format, head.get(16..24)) {
            // A profile in a PNG file is compressed, so the file's length does not limit it.
            (ImageFormat::Png, Some(&[w3, w2, w1, w0, h3, h2, h1, h0])) => {
                let [width, height] = [[w3, w2, w1, w0], [h3, h2, h1, h0]].map(u32::from_be_bytes);
                u64::from(width) * u64::from(height)
            }
            _ => PIXELS_MAX,
        };
        let mut limits = Limits::no_limits();
        // 8 bytes per pixel at most (four channels of 16 bits), and as much for the decoder's own
        // work.
        limits.max_alloc = Some(pixels.min(PIXELS_MAX) * 16 + METADATA_BYTES_MAX);
        limits
    }

    /// Reads the camera's orientation: EXIF where the decoder finds it, else from the content.
    fn orientation(
        &self,
        path: &Path,
        bytes: &[u8],
        decoder: &mut impl ImageDecoder,
    ) -> Result<Orientation, ReadError> {
        let exif = decoder.exif_metadata().map_err(|source| self.refuse(path, source))?;
        if let Some(orientation) = exif.and_then(|exif| Orientation::from_exif_chunk(&exif)) {
            return Ok(orientation);
        }
        match noted_orientation(self.format, bytes) {
            Some(orientation) => Ok(orientation),
            None => decoder.orientation().map_err(|source| self.refuse(path, source)),
        }
    }

    fn refuse(&self, path: &Path, source: ImageError) -> ReadError {
        if let ImageError::Limits(_) = source {
            return ReadError::Metadata { path: path.into(), format: self.name, bytes_max: METADATA_BYTES_MAX };
        }
        ReadError::Decode { path: path.into(), format: self.name, source: source.into() }
    }
}

impl Format for Raster {
    fn name(&self) -> &'static str {
        self.name
    }

    fn extensions(&self) -> &'static [&'static str] {
        self.extensions
    }

    fn sniff(&self, head: &[u8]) -> bool {
        image::guess_format(head).is_ok_and(|format| format == self.format)
    }

    fn keeps_values(&self) -> bool {
        self.keeps_values
    }

    fn stored_size(&self, path: &Path, mut file: BufReader<File>) -> Result<(u32, u32), ReadError> {
        let failed = |source| ReadError::File { path: path.into(), source };
        let limits = self.limits(file.fill_buf().map_err(failed)?);
        let mut reader = FormatReader::with_format(file, self.format);
        reader.limits(limits);
        reader.into_dimensions().map_err(|source| self.refuse(path, source))
    }

    fn header(&self, path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
        if self.format == ImageFormat::Bmp
            && let Some(Runs { width, height, .. }) = Runs::new(bytes)
        {
            check_size(path, width, height)?;
            return Ok(Header { width, height, orientation: 1 });
        }
        let mut decoder = self.decoder(path, Cursor::new(bytes), bytes)?;
        let (width, height) = decoder.dimensions();
        let orientation = self.orientation(path, bytes, &mut decoder)?.to_exif();
        let is_turned = orientation >= 5;
        let (width, height) = if is_turned { (height, width) } else { (width, height) };
        Ok(Header { width, height, orientation })
    }

    fn decode(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        if self.format == ImageFormat::Bmp
            && let Some(runs) = Runs::new(bytes)
        {
            return self.decode_runs(path, bytes, &runs);
        }
        let mut image = self.decode_file(path, Cursor::new(bytes), bytes)?;
        if self.format == ImageFormat::Gif {
            fill_around_frame(bytes, &mut image);
        }
        Ok(image)
    }

    fn decode_indices(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        self.decode(path, &with_indices(bytes))
    }

    fn pictures(&self, path: &Path, _: &Reading) -> Result<Vec<u32>, ReadError> {
        Ok((1..=frames::count(path, self.format)?).collect())
    }

    fn open_picture(&self, path: &PicturePath, _: &Reading) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        // The first frame is the image of a file without others.
        let Some(number @ 2..) = path.number else { return Ok(None) };
        let count = frames::count(&path.file, self.format)?;
        if number > count {
            let pictures = count as usize;
            return Err(ReadError::Number { path: path.path.clone(), format: self.name, pictures });
        }
        let (width, height) = {
            let file = File::open(&path.file).map_err(|source| ReadError::File { path: path.path.clone(), source })?;
            self.stored_size(&path.path, BufReader::new(file))?
        };
        check_size(&path.path, width, height)?;
        let (path, format, name) = (path.clone(), self.format, self.name);
        let load = move || {
            let refuse = |source: Box<dyn std::error::Error + Send + Sync>| ReadError::Decode {
                path: path.path.clone(),
                format: name,
                source,
            };
            match frames::decode(&path.file, format, path.index()) {
                Ok(Some(image)) => Ok(Picture::from(image)),
                Ok(None) => Err(refuse("it has fewer frames than it announces".into())),
                Err(source) => Err(refuse(source.into())),
            }
        };
        Ok(Some(Box::new(LazyImage::new(ImageInfo::new(width, height), load))))
    }
}

impl Raster {
    /// Decodes a BMP file of run lengths.
    fn decode_runs(&self, path: &Path, bytes: &[u8], runs: &Runs<'_>) -> Result<DynamicImage, ReadError> {
        self.check_head(path, bytes)?;
        check_size(path, runs.width, runs.height)?;
        reserve(path, 4 * u64::from(runs.width) * u64::from(runs.height))?;
        let cut_off = || ReadError::CutOff { path: path.into(), format: self.name };
        Ok(runs.decode().ok_or_else(cut_off)?.into())
    }

    /// Decodes a file, whose content, or its beginning, is `head`, and turns the image upright.
    pub(super) fn decode_file(
        &self,
        path: &Path,
        file: impl BufRead + Seek,
        head: &[u8],
    ) -> Result<DynamicImage, ReadError> {
        let mut decoder = self.decoder(path, file, head)?;
        let orientation = self.orientation(path, head, &mut decoder)?;
        // The pixels, and once more where they are turned or become three channels.
        reserve(path, decoder.total_bytes().saturating_mul(2))?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(|source| self.refuse(path, source))?;
        if matches!(image.color(), ColorType::Rgb32F | ColorType::Rgba32F) {
            checked_range(path, Picture::Float(image.to_rgb32f()))?;
        }
        image.apply_orientation(orientation);
        Ok(image)
    }
}
