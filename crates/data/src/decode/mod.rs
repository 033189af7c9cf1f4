//! Image files to numbers.

mod error;

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader as FormatReader, Limits, Rgb32FImage};

pub use error::ReadError;

use crate::jpeg;
use crate::picture::Picture;
use crate::reader::ImageReader;
use crate::tiff_rows::TiffRows;

/// The formats that are read.
pub(crate) const FORMATS: [ImageFormat; 6] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP];

/// The largest image that is read, in pixels: 11585x11585, or 1.6 GB once its values are `f32`.
pub const PIXELS_MAX: u64 = 1 << 27;

/// Reads an image as red, green and blue in [0, 1]: `v / 255` of 8-bit values, `v / 65535` of 16-bit ones, floating-point
/// values (TIFF) as they are.
///
/// The format is told from the content, not from the name. The orientation that a camera noted (EXIF) is applied. Grey
/// becomes three equal values. Transparency is dropped, so that a pixel keeps the colour stored under it. Colour
/// profiles are not applied. Of several frames or pages the first is read.
///
/// # Errors
/// When the file cannot be read, is no image in a known format, is damaged, cut off, empty or larger than
/// [`PIXELS_MAX`], or holds floating-point values beyond [0, 1].
pub fn read_image(path: &Path) -> Result<Rgb32FImage, ReadError> {
    Ok(Picture::from(decode_bytes(path, &read_file(path)?)?).to_float())
}

/// Whether a file's name has the extension of a format that [`read_image`] reads.
pub fn has_image_extension(path: &Path) -> bool {
    path.extension().and_then(ImageFormat::from_extension).is_some_and(|format| FORMATS.contains(&format))
}

/// Whether an image has 16 bits per channel, and not 8.
pub(crate) fn has_16_bits(image: &DynamicImage) -> bool {
    image.color().bytes_per_pixel() / image.color().channel_count() > 1
}

/// What a file says of its image before it is decoded; width and height are those of the upright image.
pub(crate) struct Header {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// As EXIF counts it, 1 to 8.
    pub(crate) orientation: u8,
}

/// Reads the header of the content of the file `path`.
pub(crate) fn header(path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
    if let Some(rows) = float_rows(path, bytes) {
        let info = rows.info();
        return Ok(Header { width: info.width, height: info.height, orientation: info.orientation });
    }
    let (mut decoder, format) = decoder(path, bytes)?;
    let refuse = |source| ReadError::Decode { path: path.into(), format, source };
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().map_err(refuse)?.to_exif();
    let is_turned = orientation >= 5;
    let (width, height) = if is_turned { (height, width) } else { (width, height) };
    Ok(Header { width, height, orientation })
}

/// Decodes the content of the file `path` in the channels and bits it was stored with, upright.
pub(crate) fn decode_bytes(path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
    if let Some(mut rows) = float_rows(path, bytes) {
        let height = rows.info().height;
        let orientation = Orientation::from_exif(rows.info().orientation).unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from(rows.rows(0..height)?.to_float());
        image.apply_orientation(orientation);
        return Ok(image);
    }
    let (mut decoder, format) = decoder(path, bytes)?;
    let refuse = |source| ReadError::Decode { path: path.into(), format, source };
    let orientation = decoder.orientation().map_err(refuse)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(refuse)?;
    if matches!(image.color(), ColorType::Rgb32F | ColorType::Rgba32F) {
        checked_range(path, Picture::Float(image.to_rgb32f()))?;
    }
    image.apply_orientation(orientation);
    Ok(image)
}

/// Decodes the content of the file `path` as [`decode_bytes`] does, but refuses floating-point values.
pub(crate) fn decode_integers(path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
    let image = decode_bytes(path, bytes)?;
    match image.color() {
        ColorType::Rgb32F | ColorType::Rgba32F => Err(ReadError::Float { path: path.into() }),
        _ => Ok(image),
    }
}

/// The format of a file that begins so, BigTIFF among TIFF.
pub(crate) fn format_of(bytes: &[u8]) -> Option<ImageFormat> {
    match bytes {
        [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..] => Some(ImageFormat::Tiff),
        _ => image::guess_format(bytes).ok(),
    }
}

/// The decoder of a file's content, which has been found whole as far as that can be told, and of a size that is read.
fn decoder<'a>(path: &Path, bytes: &'a [u8]) -> Result<(impl ImageDecoder + 'a, ImageFormat), ReadError> {
    let format = match format_of(bytes) {
        Some(format) if FORMATS.contains(&format) => format,
        _ => return Err(ReadError::Format { path: path.into(), found: describe(bytes) }),
    };
    if format == ImageFormat::Jpeg && !jpeg::is_whole(bytes) {
        return Err(ReadError::CutOff { path: path.into(), format });
    }
    let mut limits = Limits::no_limits();
    // 8 bytes per pixel at most (four channels of 16 bits), and as much again for the decoder's own work.
    limits.max_alloc = Some(PIXELS_MAX * 16);
    let mut reader = FormatReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|source| ReadError::Decode { path: path.into(), format, source })?;
    let (width, height) = decoder.dimensions();
    check_size(path, width, height)?;
    Ok((decoder, format))
}

/// The rows of a TIFF file with floating-point values, most kinds of which the image crate does not read.
fn float_rows<'a>(path: &Path, bytes: &'a [u8]) -> Option<TiffRows<Cursor<&'a [u8]>>> {
    let rows =
        if format_of(bytes) == Some(ImageFormat::Tiff) { TiffRows::open(path, Cursor::new(bytes)) } else { None };
    rows.filter(|rows| rows.is_float && check_size(path, rows.info().width, rows.info().height).is_ok())
}

fn check_size(path: &Path, width: u32, height: u32) -> Result<(), ReadError> {
    match u64::from(width) * u64::from(height) {
        1..=PIXELS_MAX => Ok(()),
        _ => Err(ReadError::Size { path: path.into(), width, height }),
    }
}

/// The picture, unless it holds values that have no meaning.
pub(crate) fn checked_range(path: &Path, picture: Picture) -> Result<Picture, ReadError> {
    if let Picture::Float(image) = &picture
        && let Some(value) = image.iter().find(|value| !(0.0..=1.0).contains(*value))
    {
        return Err(ReadError::Range { path: path.into(), value: *value });
    }
    Ok(picture)
}

/// The content of a regular file; a folder or a device is refused before it is read.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    check_file(path)?;
    fs::read(path).map_err(|source| ReadError::File { path: path.into(), source })
}

/// Makes sure that a path is that of a regular file.
pub(crate) fn check_file(path: &Path) -> Result<(), ReadError> {
    let kind = fs::metadata(path).map_err(|source| ReadError::File { path: path.into(), source })?;
    if !kind.is_file() {
        let found = if kind.is_dir() { "a folder" } else { "a device or a pipe" };
        return Err(ReadError::NotAFile { path: path.into(), found });
    }
    Ok(())
}

/// How an unknown content begins, for a message.
pub(crate) fn describe(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "it is empty".into()
    } else {
        format!("it begins with \"{}\"", bytes[..bytes.len().min(12)].escape_ascii())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::error::Error;
    use std::path::PathBuf;

    use image::{GrayAlphaImage, GrayImage, ImageBuffer, Luma, RgbImage, RgbaImage};
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
        Ok(Picture::from(decode_bytes(Path::new("image"), bytes)?).to_float())
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
        let expected = Picture::Bits8(picture.clone()).to_float();
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

    /// A JPEG with the camera's note on how it was held.
    pub(crate) fn turned_by_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let mut bytes = jpeg[..2].to_vec();
        bytes.extend(b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0");
        bytes.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(&jpeg[2..]);
        bytes
    }

    #[test]
    fn a_tiff_file_of_any_length_is_one() {
        let values: Vec<u8> = (0..35).map(|value| 7 * value).collect();
        let mut file = Cursor::new(Vec::new());
        let mut encoder = tiff::encoder::TiffEncoder::new_big(&mut file).unwrap();
        encoder.write_image::<tiff::encoder::colortype::Gray8>(7, 5, &values).unwrap();
        let image = read(&file.into_inner()).unwrap();
        assert_eq!(image.dimensions(), (7, 5));
        assert_eq!(image.get_pixel(6, 4)[0], 238.0 / 255.0);
    }

    #[test]
    fn the_cameras_orientation_is_applied() {
        // A JPEG that is dark on its left half, and says how its camera was held.
        let upright = GrayImage::from_fn(32, 16, |x, _| [if x < 16 { 0 } else { 255 }].into());
        let jpeg = encoded(upright, ImageFormat::Jpeg);
        for (name, orientation, size, dark) in [
            ("as stored", 1, (32, 16), (4, 8)),
            ("mirrored", 2, (32, 16), (28, 8)),
            ("half a turn", 3, (32, 16), (28, 8)),
            ("upside down", 4, (32, 16), (4, 8)),
            ("mirrored along the diagonal", 5, (16, 32), (8, 4)),
            ("a quarter to the right", 6, (16, 32), (8, 4)),
            ("mirrored along the other diagonal", 7, (16, 32), (8, 28)),
            ("a quarter to the left", 8, (16, 32), (8, 28)),
        ] {
            let bytes = turned_by_exif(&jpeg, orientation);
            let image = read(&bytes).unwrap();
            assert_eq!(image.dimensions(), size, "{name}");
            assert!(image.get_pixel(dark.0, dark.1)[0] < 0.1, "{name}");
            assert!(image.get_pixel(size.0 - 1 - dark.0, size.1 - 1 - dark.1)[0] > 0.9, "{name}");
            let header = header(Path::new("image"), &bytes).unwrap();
            assert_eq!(((header.width, header.height), header.orientation), (size, orientation), "{name}");
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
    fn floating_point_values_are_taken_as_they_are_and_only_in_their_range() {
        let image = |value| Rgb32FImage::from_pixel(2, 1, [0.0, value, 1.0].into());
        let tiff = |value| encoded(image(value), ImageFormat::Tiff);
        for value in [0.0, 0.1, 1.0, f32::MIN_POSITIVE] {
            assert_eq!(read(&tiff(value)).unwrap(), image(value), "{value}");
        }
        for value in [-0.001, 1.001, f32::NAN, f32::INFINITY] {
            assert!(matches!(read(&tiff(value)), Err(ReadError::Range { .. })), "{value}");
        }
        assert!(matches!(decode_integers(Path::new("mask"), &tiff(0.5)), Err(ReadError::Float { .. })));
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
