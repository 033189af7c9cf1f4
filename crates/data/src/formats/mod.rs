//! Image files to numbers: one file per format and one list of them.

mod bmp_runs;
mod decoding;
pub(crate) mod dicom;
mod error;
mod file;
mod foreign;
mod format;
mod frames;
mod guard;
mod jpeg;
mod jpeg_2000;
mod jpeg_codes;
mod jpeg_scan;
mod lab;
mod lazy;
mod limits;
mod listing;
pub(crate) mod nifti;
mod opening;
mod orientation;
mod palette;
mod picture_path;
mod raster;
mod reader;
mod recognition;
mod references;
mod shown;
mod tiff;
mod tiff_band;
mod tiff_chunks;
mod tiff_codecs;
mod tiff_decode;
#[cfg(test)]
mod tiff_example;
mod tiff_fax;
mod tiff_layout;
mod tiff_page;
mod tiff_pages;
mod tiff_rows;
mod tiff_samples;
mod tiff_view;
mod whole;
mod xz;

use std::sync::{PoisonError, RwLock};

pub(crate) use decoding::{decode, decode_as, decode_indices, decode_integers, has_16_bits, header, read_image_file};
pub use decoding::{read_image, read_image_as, read_sized_image};
pub use error::{PIXELS_MAX, ReadError};
pub use format::{Format, Header};
pub use listing::{Listing, Unread, list_folder};
pub use opening::{open_image, open_image_as, open_image_bytes, pictures, stored_size, stored_size_as};
pub use picture_path::PicturePath;
pub use reader::{ImageInfo, ImageReader};
pub(crate) use recognition::{format_of_picture, is_known_by_content, levels};
pub use recognition::{has_image_extension, image_formats};
pub(crate) use references::References;
pub use shown::{ShownWindow, WindowSource};

/// The formats that are read, in the order in which messages and help list them.
static FORMATS: [&dyn Format; 9] = [
    &raster::PNG,
    &jpeg::Jpeg,
    &jpeg_2000::Jpeg2000,
    &tiff::Tiff,
    &raster::GIF,
    &raster::BMP,
    &raster::WEBP,
    &dicom::Dicom,
    &nifti::Nifti,
];

/// The formats that the program has added.
static ADDED: RwLock<Vec<&'static dyn Format>> = RwLock::new(Vec::new());

/// Adds a format to those that are read, until the program ends.
///
/// The formats of this crate are recognised before it.
pub fn add_format(format: &'static dyn Format) {
    ADDED.write().unwrap_or_else(PoisonError::into_inner).push(format);
}

/// Returns the formats that are read, in the order in which messages and help list them.
fn formats() -> Vec<&'static dyn Format> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    FORMATS.iter().chain(added.iter()).copied().collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::error::Error;
    use std::fs;
    use std::io::Cursor;
    use std::path::{Path, PathBuf};

    use image::{
        DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb32FImage, RgbImage, RgbaImage,
    };
    use seg_contract::Reading;
    use tempfile::TempDir;

    use super::*;
    use crate::picture::Picture;

    /// The formats as the image crate writes them.
    const WRITTEN: [ImageFormat; 6] =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP];

    /// Creates a folder with one file of the given content.
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
        Ok(Picture::from(decode(Path::new("image"), bytes)?).to_float())
    }

    /// Creates a picture in which any two pixels differ.
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
        // Quarters of one colour, which JPEG and GIF also keep.
        let picture = RgbImage::from_fn(64, 32, |x, y| match (x < 32, y < 16) {
            (true, true) => [0, 0, 0].into(),
            (false, true) => [255, 0, 0].into(),
            (true, false) => [0, 0, 255].into(),
            (false, false) => [255, 255, 255].into(),
        });
        let expected = Picture::Bits8(picture.clone()).to_float();
        for format in WRITTEN {
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

    /// Creates a JPEG with the camera's note on its orientation.
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
        let mut encoder = ::tiff::encoder::TiffEncoder::new_big(&mut file).unwrap();
        encoder.write_image::<::tiff::encoder::colortype::Gray8>(7, 5, &values).unwrap();
        let image = read(&file.into_inner()).unwrap();
        assert_eq!(image.dimensions(), (7, 5));
        assert_eq!(image.get_pixel(6, 4)[0], 238.0 / 255.0);
    }

    #[test]
    fn the_cameras_orientation_is_applied() {
        // Creates a JPEG that is dark on its left half, with the camera's note on its orientation.
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
        for format in WRITTEN {
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
            ("empty", &b""[..], "it is an empty file; fetch or save it again"),
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
    fn a_bmp_file_whose_pixels_begin_in_its_palette_is_damaged() {
        let mut bytes = Vec::new();
        let palette: Vec<[u8; 3]> = (0..252).map(|value| [value; 3]).collect();
        image::codecs::bmp::BmpEncoder::new(&mut bytes)
            .encode_with_palette(&[1, 2, 3, 4], 2, 2, image::ExtendedColorType::L8, Some(&palette))
            .unwrap();
        assert!(decode(Path::new("a.bmp"), &bytes).is_ok());
        bytes[10..14].copy_from_slice(&54_u32.to_le_bytes());
        let message = decode(Path::new("a.bmp"), &bytes).unwrap_err().to_string();
        assert!(message.contains("begin at byte 54, within the palette, which ends at byte 1062"), "{message}");
    }

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

    /// Creates the start of a PNG file that claims a size.
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
        let folder = tempfile::tempdir().unwrap();
        let mask = folder.path().join("mask");
        fs::write(&mask, tiff(0.5)).unwrap();
        assert!(matches!(decode_integers(&mask, &Reading::default()), Err(ReadError::MaskValues { .. })));
    }
}
