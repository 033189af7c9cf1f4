//! Image files to numbers.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::{
    ColorType, DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Pixel, Rgb,
    Rgb32FImage,
};
use thiserror::Error;

use crate::jpeg;

/// The formats that are read.
const FORMATS: [ImageFormat; 6] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP];

/// The largest image that is read, in pixels: 11585x11585, or 1.6 GB once its values are `f32`.
pub const PIXELS_MAX: u64 = 1 << 27;

/// Why a file cannot be read as an image.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file could not be read at all.
    #[error("cannot read the file `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder or a device.
    #[error("cannot read `{path}` as an image: it is {found}, expected a file")]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Its content is no image in a known format, whatever the file is called.
    #[error(
        "cannot read `{path}` as an image: {found}, expected the content of a PNG, JPEG, TIFF, GIF, BMP or WebP file; \
         convert it to PNG"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// How its content begins.
        found: String,
    },
    /// The file ends before its image does.
    #[error("cannot read `{path}`: the {format:?} file is cut off; fetch or save it again")]
    CutOff {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: ImageFormat,
    },
    /// The decoder gave up.
    #[error(
        "cannot decode `{path}`: the {format:?} file is damaged, cut off, or of an unusual kind; save it again as PNG"
    )]
    Decode {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: ImageFormat,
        /// What the decoder said.
        source: ImageError,
    },
    /// The image has no pixel or more than [`PIXELS_MAX`].
    #[error("cannot read `{path}`: its image is {width}x{height}, expected 1 to {PIXELS_MAX} pixels")]
    Size {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Floating-point values have no known range.
    #[error("cannot read `{path}`: its values are floating-point, expected 8 or 16 bits; save it with 16 bits")]
    Float {
        /// The file.
        path: PathBuf,
    },
}

/// Reads an image as red, green and blue in [0, 1]: `v / 255` of 8-bit values, `v / 65535` of 16-bit ones.
///
/// The format is told from the content, not from the name. The orientation that a camera noted (EXIF) is applied. Grey
/// becomes three equal values. Transparency is dropped, so that a pixel keeps the colour stored under it. Colour
/// profiles are not applied. Of several frames or pages the first is read.
///
/// # Errors
/// When the file cannot be read, is no image in a known format, is damaged, cut off, empty or larger than
/// [`PIXELS_MAX`], or holds floating-point values.
pub fn read_image(path: &Path) -> Result<Rgb32FImage, ReadError> {
    Ok(values(&decode(path)?))
}

/// Whether a file's name has the extension of a format that [`read_image`] reads.
pub fn has_image_extension(path: &Path) -> bool {
    path.extension().and_then(ImageFormat::from_extension).is_some_and(|format| FORMATS.contains(&format))
}

/// Reads an image in the channels and bits it was stored with, upright.
pub(crate) fn decode(path: &Path) -> Result<DynamicImage, ReadError> {
    decode_bytes(path, &read_file(path)?)
}

/// Whether an image has 16 bits per channel, and not 8.
pub(crate) fn has_16_bits(image: &DynamicImage) -> bool {
    image.color().bytes_per_pixel() / image.color().channel_count() > 1
}

/// The colours of an image in [0, 1].
///
/// `DynamicImage::into_rgb32f` is not used: it multiplies grey values by a rounded reciprocal, so that the same picture
/// stored in grey and in colour would differ.
fn values(image: &DynamicImage) -> Rgb32FImage {
    fn share<T: Copy + Into<f32>>(from: &ImageBuffer<Rgb<T>, Vec<T>>, largest: T) -> Rgb32FImage
    where
        Rgb<T>: Pixel<Subpixel = T>,
    {
        Rgb32FImage::from_fn(from.width(), from.height(), |x, y| {
            Rgb(from.get_pixel(x, y).0.map(|value| value.into() / largest.into()))
        })
    }
    if has_16_bits(image) { share(&image.to_rgb16(), u16::MAX) } else { share(&image.to_rgb8(), u8::MAX) }
}

/// Decodes the content of the file `path`.
pub(crate) fn decode_bytes(path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
    let format = match image::guess_format(bytes) {
        Ok(format) if FORMATS.contains(&format) => format,
        _ => return Err(ReadError::Format { path: path.into(), found: describe(bytes) }),
    };
    if format == ImageFormat::Jpeg && !jpeg::is_whole(bytes) {
        return Err(ReadError::CutOff { path: path.into(), format });
    }
    let refuse = |source| ReadError::Decode { path: path.into(), format, source };

    let mut limits = Limits::no_limits();
    // 8 bytes per pixel at most (four channels of 16 bits), and as much again for the decoder's own work.
    limits.max_alloc = Some(PIXELS_MAX * 16);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(refuse)?;
    let (width, height) = decoder.dimensions();
    if !(1..=PIXELS_MAX).contains(&(u64::from(width) * u64::from(height))) {
        return Err(ReadError::Size { path: path.into(), width, height });
    }
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(ReadError::Float { path: path.into() });
    }
    let orientation = decoder.orientation().map_err(refuse)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(refuse)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// The content of a regular file; a folder or a device is refused before it is read.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError::File { path: path.into(), source };
    let kind = fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        let found = if kind.is_dir() { "a folder" } else { "a device or a pipe" };
        return Err(ReadError::NotAFile { path: path.into(), found });
    }
    fs::read(path).map_err(failed)
}

/// How an unknown content begins, for a message.
fn describe(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "it is empty".into()
    } else {
        format!("it begins with \"{}\"", bytes[..bytes.len().min(12)].escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use image::{GrayAlphaImage, GrayImage, Luma, RgbImage, RgbaImage};
    use tempfile::TempDir;

    use super::*;

    /// A folder with one file of the given content.
    fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn read(bytes: &[u8]) -> Result<Rgb32FImage, ReadError> {
        Ok(values(&decode_bytes(Path::new("image"), bytes)?))
    }

    /// A picture in which any two pixels differ.
    fn noise() -> RgbImage {
        RgbImage::from_fn(23, 17, |x, y| [(x * 11) as u8, (y * 15) as u8, ((x * 37 + y * 91) % 256) as u8].into())
    }

    #[test]
    fn stored_values_become_their_exact_share_of_the_largest() {
        let gray8 = GrayImage::from_fn(256, 1, |x, _| [x as u8].into());
        let expected: Vec<_> = (0..256).flat_map(|value| [value as f32 / 255.0; 3]).collect();
        assert!(read(&encoded(gray8.clone(), ImageFormat::Png)).unwrap().into_raw() == expected, "8 bits");
        let color = DynamicImage::from(gray8).into_rgb8();
        assert!(read(&encoded(color, ImageFormat::Png)).unwrap().into_raw() == expected, "8 bits in colour");

        let gray16 = ImageBuffer::<Luma<u16>, _>::from_fn(256, 256, |x, y| Luma([(256 * y + x) as u16]));
        let expected: Vec<_> = (0..65536).flat_map(|value| [value as f32 / 65535.0; 3]).collect();
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            assert!(read(&encoded(gray16.clone(), format)).unwrap().into_raw() == expected, "16 bits, {format:?}");
        }
    }

    #[test]
    fn each_format_is_told_from_its_content() {
        // Quarters of one colour, which JPEG and GIF keep as well.
        let picture = RgbImage::from_fn(64, 32, |x, y| match (x < 32, y < 16) {
            (true, true) => [0, 0, 0].into(),
            (false, true) => [255, 0, 0].into(),
            (true, false) => [0, 0, 255].into(),
            (false, false) => [255, 255, 255].into(),
        });
        let expected = values(&picture.clone().into());
        for format in FORMATS {
            let tolerance = if format == ImageFormat::Jpeg { 0.02 } else { 0.0 };
            let (_folder, path) = file("misnamed.txt", &encoded(picture.clone(), format));
            let read = read_image(&path).unwrap();
            assert_eq!(read.dimensions(), (64, 32), "{format:?}");
            let worst = read.iter().zip(expected.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= tolerance, "{format:?}: {worst}");
        }
    }

    #[test]
    fn transparency_is_dropped_and_the_stored_color_kept() {
        let color = RgbaImage::from_pixel(1, 1, [51, 102, 255, 0].into());
        assert_eq!(read(&encoded(color, ImageFormat::Png)).unwrap().into_raw(), [0.2, 0.4, 1.0]);
        let gray = GrayAlphaImage::from_pixel(1, 1, [51, 7].into());
        assert_eq!(read(&encoded(gray, ImageFormat::Png)).unwrap().into_raw(), [0.2; 3]);
    }

    #[test]
    fn the_cameras_orientation_is_applied() {
        // A JPEG that is dark on its left half, and says how its camera was held.
        let upright = GrayImage::from_fn(32, 16, |x, _| [if x < 16 { 0 } else { 255 }].into());
        let jpeg = encoded(upright, ImageFormat::Jpeg);
        for (name, orientation, size, dark) in [
            ("as stored", 1, (32, 16), (4, 8)),
            ("half a turn", 3, (32, 16), (28, 8)),
            ("a quarter to the right", 6, (16, 32), (8, 4)),
            ("a quarter to the left", 8, (16, 32), (8, 28)),
        ] {
            let mut bytes = jpeg[..2].to_vec();
            bytes.extend(b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0");
            bytes.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend(&jpeg[2..]);
            let image = read(&bytes).unwrap();
            assert_eq!(image.dimensions(), size, "{name}");
            assert!(image.get_pixel(dark.0, dark.1)[0] < 0.1, "{name}");
            assert!(image.get_pixel(size.0 - 1 - dark.0, size.1 - 1 - dark.1)[0] > 0.9, "{name}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error_or_lacks_no_pixel() {
        for format in FORMATS {
            let bytes = encoded(noise(), format);
            let whole = read(&bytes).unwrap();
            for length in 0..bytes.len() {
                if let Ok(image) = read(&bytes[..length]) {
                    assert!(image == whole, "{format:?}: another image from {length} of {} bytes", bytes.len());
                }
            }
            let half = read(&bytes[..bytes.len() / 2]).unwrap_err();
            let message = half.to_string();
            assert!(message.contains("`image`") && message.contains("cut off"), "{format:?}: {message}");
        }
    }

    #[test]
    fn what_is_no_image_is_named_with_what_was_found() {
        for (name, bytes, part) in [
            ("empty", &b""[..], "it is empty"),
            ("text", b"Hello, \nworld, how are you", "it begins with \"Hello, \\nworl\""),
            ("an image format that is not read", b"P5\n1 1\n255\n0", "it begins with \"P5"),
        ] {
            let (_folder, path) = file("not.png", bytes);
            let message = read_image(&path).unwrap_err().to_string();
            assert!(message.contains("not.png") && message.contains(part), "{name}: {message}");
        }
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_image(folder.path()).unwrap_err();
        assert!(error.to_string().contains("it is a folder"), "{error}");
        let error = read_image(&folder.path().join("missing.png")).unwrap_err();
        assert!(error.to_string().contains("missing.png") && error.source().is_some(), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_refused() {
        let (folder, path) = file("a.png", &encoded(noise(), ImageFormat::Png));
        let [good, dangling] = ["good.png", "dangling.png"].map(|name| folder.path().join(name));
        std::os::unix::fs::symlink(&path, &good).unwrap();
        std::os::unix::fs::symlink("nowhere.png", &dangling).unwrap();
        assert!(read_image(&good).is_ok());
        assert!(matches!(read_image(&dangling), Err(ReadError::File { .. })));
        assert!(matches!(read_image(Path::new("/dev/zero")), Err(ReadError::NotAFile { .. })));
    }

    /// The start of a PNG file that claims a size.
    fn png_header([width, height]: [u32; 2]) -> Vec<u8> {
        let mut bytes = encoded(GrayImage::new(1, 1), ImageFormat::Png);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let mut crc = u32::MAX;
        for byte in &bytes[12..29] {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
        bytes
    }

    fn bmp_header([width, height]: [u32; 2]) -> Vec<u8> {
        let mut bytes = encoded(RgbImage::new(1, 1), ImageFormat::Bmp);
        bytes[18..22].copy_from_slice(&width.to_le_bytes());
        bytes[22..26].copy_from_slice(&height.to_le_bytes());
        bytes
    }

    fn gif_header([width, height]: [u32; 2]) -> Vec<u8> {
        let mut bytes = encoded(RgbImage::new(1, 1), ImageFormat::Gif);
        bytes[6..8].copy_from_slice(&(width as u16).to_le_bytes());
        bytes[8..10].copy_from_slice(&(height as u16).to_le_bytes());
        bytes
    }

    #[test]
    fn images_without_pixels_and_absurdly_large_ones_are_refused() {
        type Header = fn([u32; 2]) -> Vec<u8>;
        let headers: [(&str, Header); 3] = [("PNG", png_header), ("BMP", bmp_header), ("GIF", gif_header)];
        for (name, header) in headers {
            assert_eq!(read(&header([1, 1])).unwrap().dimensions(), (1, 1), "{name}");
            for size in [[0, 0], [0, 1], [60_000, 60_000]] {
                let refused = matches!(read(&header(size)), Err(ReadError::Size { .. } | ReadError::Decode { .. }));
                assert!(refused, "{name}: {size:?}");
            }
        }
    }

    #[test]
    fn floating_point_images_are_refused() {
        let image = Rgb32FImage::new(1, 1);
        assert!(matches!(read(&encoded(image, ImageFormat::Tiff)), Err(ReadError::Float { .. })));
    }

    #[test]
    fn image_files_are_told_by_their_extension() {
        for (name, expected) in
            [("a.png", true), ("a.JPG", true), ("a.b.tiff", true), ("a.webp", true), ("a.txt", false), ("png", false)]
        {
            assert_eq!(has_image_extension(Path::new(name)), expected, "{name}");
        }
    }
}
