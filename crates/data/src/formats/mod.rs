//! Image files to numbers: one file per format and one list of them.

mod bmp_runs;
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
mod orientation;
mod palette;
mod picture_path;
mod raster;
mod reader;
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

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use image::{ColorType, DynamicImage, Rgb32FImage};
use seg_contract::{Level, Reading};

pub use error::{PIXELS_MAX, ReadError};
pub(crate) use file::read_file;
use file::{describe, open_file};
use foreign::recognize_foreign;
pub use format::{Format, Header};
use guard::{Guarded, guard};
use limits::{check_size, reserve};
pub use listing::{Listing, Unread, list_folder};
pub use picture_path::PicturePath;
pub use reader::{ImageInfo, ImageReader};
pub(crate) use references::References;
pub use shown::{ShownWindow, WindowSource};
use whole::WholeImage;

use crate::picture::Picture;

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

/// Reads an image as red, green and blue in [0, 1]: `v / 255` of 8-bit values, `v / 65535` of
/// 16-bit ones, floating-point values (TIFF) as they are, and medical values through the window
/// that their file names.
///
/// The format is recognised by the content, not by the name. The orientation that a camera noted
/// (EXIF) is applied. Grey becomes three equal values. Transparency is dropped, so that a pixel
/// keeps the colour stored under it. Colour profiles are not applied. The path may be that of one
/// of several pictures in a file, as [`PicturePath`] says; a path that names the file alone stands
/// for the first.
///
/// # Errors
/// When the file cannot be read, is not an image in a known format, is damaged, cut off, empty or
/// larger than [`PIXELS_MAX`], or holds floating-point values outside of [0, 1].
pub fn read_image(path: &Path) -> Result<Rgb32FImage, ReadError> {
    read_image_as(path, &Reading::default())
}

/// Reads an image as [`read_image`] does, medical ones in the way that `reading` names.
///
/// # Errors
/// As [`read_image`].
pub fn read_image_as(path: &Path, reading: &Reading) -> Result<Rgb32FImage, ReadError> {
    Ok(read_sized_image(path, reading)?.0)
}

/// Reads an image as [`read_image_as`] does, and returns the millimetres between its rows and
/// between its columns, where the file names them.
///
/// # Errors
/// As [`read_image`].
pub fn read_sized_image(path: &Path, reading: &Reading) -> Result<(Rgb32FImage, Option<[f64; 2]>), ReadError> {
    let (image, spacing) = decode_sized(path, reading)?;
    let picture = Picture::from(image);
    let (width, height) = picture.dimensions();
    reserve(path, u64::from(width) * u64::from(height) * size_of::<[f32; 3]>() as u64)?;
    Ok((picture.to_float(), spacing))
}

/// Opens an image file, or one of several pictures in it.
///
/// TIFF files with many pixels in upright rows are read in bands: only the requested rows are in
/// memory, with the rest of the strips or tiles that they lie in. All others are decoded whole.
///
/// # Errors
/// When the file cannot be read, is not an image in a known format, or it or one of its strips is
/// too large.
pub fn open_image(path: &Path) -> Result<Box<dyn ImageReader>, ReadError> {
    open_image_as(path, &Reading::default())
}

/// Opens an image file as [`open_image`] does, medical ones in the way that `reading` names.
///
/// # Errors
/// As [`open_image`].
pub fn open_image_as(path: &Path, reading: &Reading) -> Result<Box<dyn ImageReader>, ReadError> {
    let (picture, format) = find(path)?;
    check_level(path, format, reading)?;
    let reader = guard(path, format.name(), || {
        let opened = match format.open_picture(&picture, reading)? {
            Some(reader) => Some(reader),
            None => format.open_bands(&picture.file)?,
        };
        let reader = match opened {
            Some(reader) => reader,
            None => {
                let file = whole_file(&picture, format)?;
                Box::new(WholeImage::new(file, format, read_image_file(file)?)?)
            }
        };
        Ok(Guarded::new(path, format.name(), reader))
    })?;
    Ok(Box::new(reader))
}

/// Opens the only image in a file's content that is in memory, and never on the disk, medical ones
/// in the way that `reading` names; `name` stands for its path in errors. The image is decoded
/// whole.
///
/// # Errors
/// When the content is not an image in a known format, holds several pictures, or its image is too
/// large.
pub fn open_image_bytes(name: &Path, bytes: Vec<u8>, reading: &Reading) -> Result<Box<dyn ImageReader>, ReadError> {
    let format = format_of(name, &bytes)?;
    check_level(name, format, reading)?;
    let reader = guard(name, format.name(), || {
        let reader = match format.open_content(name, &bytes, reading)? {
            Some(reader) => reader,
            None => Box::new(WholeImage::new(name, format, bytes)?),
        };
        check_size(name, reader.info().width, reader.info().height)?;
        Ok(Guarded::new(name, format.name(), reader))
    })?;
    Ok(Box::new(reader))
}

/// Finds the file of a picture and its format.
fn find(path: &Path) -> Result<(PicturePath, &'static dyn Format), ReadError> {
    let picture = PicturePath::new(path);
    let (_, head) = open_file(&picture.file)?;
    let format = format_of(path, &head)?;
    Ok((picture, format))
}

/// Refuses a level other than the full size of a format without pyramids.
fn check_level(path: &Path, format: &dyn Format, reading: &Reading) -> Result<(), ReadError> {
    match reading.level() {
        Level::Number(0) => Ok(()),
        _ if format.has_levels() => Ok(()),
        level => Err(ReadError::Level { path: path.into(), level, levels: "one size, level 0".into() }),
    }
}

/// Counts the levels of a picture: the sizes in which a pyramid holds it.
pub(crate) fn levels(path: &Path) -> Result<usize, ReadError> {
    let (picture, format) = find(path)?;
    guard(path, format.name(), || format.levels(&picture))
}

/// Returns the file of a picture that is the only one of its file.
fn whole_file<'a>(picture: &'a PicturePath, format: &dyn Format) -> Result<&'a Path, ReadError> {
    match picture.number {
        None | Some(1) => Ok(&picture.file),
        Some(_) => Err(ReadError::Number { path: picture.path.clone(), format: format.name(), pictures: 1 }),
    }
}

/// Lists the pictures of an image file: the file itself if it holds one, else the paths of all of
/// them, as [`PicturePath`] says, in their order. A path that names a picture stands for that one.
///
/// # Errors
/// When the file cannot be read, or is damaged as far as its head shows.
pub fn pictures(path: &Path, reading: &Reading) -> Result<Vec<PathBuf>, ReadError> {
    let (picture, format) = find(path)?;
    let numbers = guard(path, format.name(), || format.pictures(&picture.file, reading))?;
    match (picture.number, numbers.as_slice()) {
        (Some(number), _) if numbers.contains(&number) => Ok(vec![path.into()]),
        (Some(_), _) => Err(ReadError::Number { path: path.into(), format: format.name(), pictures: numbers.len() }),
        (None, [_] | []) => Ok(vec![path.into()]),
        (None, numbers) => Ok(numbers.iter().map(|number| PicturePath::of(path, *number).path).collect()),
    }
}

/// Reads the content of a file that begins as an image and is no larger than one can be.
pub(crate) fn read_image_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    let (file, head) = open_file(path)?;
    let format = format_of(path, &head)?;
    // Errors of the head are left to the decoder, which has the better message.
    if let Ok((width, height)) = guard(path, format.name(), || format.stored_size(path, file)) {
        check_size(path, width, height)?;
    }
    read_file(path)
}

/// Reads width and height of an image as it is stored, before it is turned upright, from the head
/// of its file. The rest of the file may be damaged all the same.
///
/// # Errors
/// When the file cannot be read, or does not begin as an image in a known format.
pub fn stored_size(path: &Path) -> Result<(u32, u32), ReadError> {
    stored_size_as(path, &Reading::default())
}

/// Reads width and height of an image as [`stored_size`] does, medical ones in the way that
/// `reading` names.
///
/// # Errors
/// As [`stored_size`].
pub fn stored_size_as(path: &Path, reading: &Reading) -> Result<(u32, u32), ReadError> {
    let picture = PicturePath::new(path);
    let (file, head) = open_file(&picture.file)?;
    let format = format_of(path, &head)?;
    check_level(path, format, reading)?;
    guard(path, format.name(), || format.picture_size(&picture, file, reading))
}

/// Returns whether a file is one of the images of its folder: by the extension of its name or, in
/// the formats whose files often have none, by its content.
pub fn has_image_extension(path: &Path) -> bool {
    is_named_image(path) || is_known_by_content(path)
}

/// Returns whether a file's name has the extension of a format that [`read_image`] reads.
fn is_named_image(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let name = name.to_ascii_lowercase();
    let ends =
        |extension: &&str| name.strip_suffix(extension).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    formats().iter().any(|format| format.extensions().iter().any(ends))
}

/// Returns whether a file's content is of a format whose files often have no extension.
pub(crate) fn is_known_by_content(path: &Path) -> bool {
    let Ok((_, head)) = open_file(path) else { return false };
    matches!(recognize(path, &head), Ok(Some(format)) if format.is_known_by_content())
}

/// Returns the names of the formats that [`read_image`] reads, for messages and help: `PNG, JPEG or
/// TIFF`.
pub fn image_formats() -> String {
    let mut names: Vec<_> = formats().iter().map(|format| format.name()).collect();
    let last = names.pop().unwrap_or_default();
    format!("{} or {last}", names.join(", "))
}

/// Returns the format of the file `path`, whose content begins with `bytes`; `None` if no format
/// recognises it.
///
/// # Errors
/// When a format panics.
pub(crate) fn recognize(path: &Path, bytes: &[u8]) -> Result<Option<&'static dyn Format>, ReadError> {
    for format in formats() {
        if guard(path, format.name(), || Ok(format.sniff(bytes)))? {
            return Ok(Some(format));
        }
    }
    Ok(None)
}

/// Returns the format of the file `path`, whose content begins with `bytes`.
fn format_of(path: &Path, bytes: &[u8]) -> Result<&'static dyn Format, ReadError> {
    if let Some(format) = recognize(path, bytes)? {
        return Ok(format);
    }
    Err(match recognize_foreign(bytes) {
        Some(foreign) if foreign.kind != foreign::TEXT => {
            ReadError::Foreign { path: path.into(), kind: foreign.kind, remedy: foreign.remedy }
        }
        _ => ReadError::Format { path: path.into(), found: describe(bytes), expected: image_formats() },
    })
}

/// Reads the properties of the image in the content of the file `path`.
pub(crate) fn header(path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
    let format = format_of(path, bytes)?;
    guard(path, format.name(), || format.header(path, bytes))
}

/// Decodes the content of the file `path` in the channels and bits it was stored with, upright.
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
    let format = format_of(path, bytes)?;
    guard(path, format.name(), || format.decode(path, bytes))
}

/// Decodes a picture in the channels and bits it was stored with, upright, medical ones through a
/// window.
pub(crate) fn decode_as(path: &Path, reading: &Reading) -> Result<DynamicImage, ReadError> {
    Ok(decode_sized(path, reading)?.0)
}

/// Decodes a picture as [`decode_as`] does, and returns the millimetres between its rows and
/// between its columns, where the file names them.
fn decode_sized(path: &Path, reading: &Reading) -> Result<(DynamicImage, Option<[f64; 2]>), ReadError> {
    let (picture, format) = find(path)?;
    check_level(path, format, reading)?;
    let opened = guard(path, format.name(), || {
        let Some(mut reader) = format.open_picture(&picture, reading)? else { return Ok(None) };
        let ImageInfo { height, spacing, .. } = *reader.info();
        Ok(Some((reader.rows(0..height)?.into_owned(), spacing)))
    })?;
    match opened {
        Some((picture, spacing)) => Ok((picture.into(), spacing)),
        None => {
            let file = whole_file(&picture, format)?;
            let bytes = read_image_file(file)?;
            Ok((decode(file, &bytes)?, guard(path, format.name(), || whole::spacing(format, file, &bytes))?))
        }
    }
}

/// Decodes a picture as [`decode`] does, but refuses floating-point values.
pub(crate) fn decode_integers(path: &Path, reading: &Reading) -> Result<DynamicImage, ReadError> {
    let (picture, format) = find(path)?;
    if format.is_known_by_content() {
        // The labels of a medical image are its values, which no window changes.
        let labels = guard(path, format.name(), || format.open_labels(&picture, reading))?;
        if let Some(labels) = labels {
            return integers(path, labels);
        }
    }
    integers(path, decode_as(path, reading)?)
}

/// Decodes a picture as a mask of class indices, but refuses floating-point values.
pub(crate) fn decode_indices(path: &Path, reading: &Reading) -> Result<DynamicImage, ReadError> {
    let (picture, format) = find(path)?;
    match guard(path, format.name(), || format.open_labels(&picture, reading))? {
        Some(labels) => integers(path, labels),
        None => {
            let file = whole_file(&picture, format)?;
            let bytes = read_image_file(file)?;
            integers(path, guard(path, format.name(), || format.decode_indices(file, &bytes))?)
        }
    }
}

/// Returns the format of a picture.
pub(crate) fn format_of_picture(path: &Path) -> Result<&'static dyn Format, ReadError> {
    Ok(find(path)?.1)
}

/// Returns the image, unless its values are floating-point.
fn integers(path: &Path, image: DynamicImage) -> Result<DynamicImage, ReadError> {
    match image.color() {
        ColorType::Rgb32F | ColorType::Rgba32F => Err(ReadError::MaskValues { path: path.into() }),
        _ => Ok(image),
    }
}

/// Returns whether an image has 16 bits per channel, and not 8.
pub(crate) fn has_16_bits(image: &DynamicImage) -> bool {
    image.color().bytes_per_pixel() / image.color().channel_count() > 1
}

#[cfg(test)]
pub(crate) mod tests {
    use std::error::Error;
    use std::fs::{self, File};
    use std::io::Cursor;
    use std::path::PathBuf;

    use image::{GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, RgbaImage};
    use tempfile::TempDir;

    use super::*;

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

    #[test]
    fn image_files_are_told_by_their_extension() {
        for (name, expected) in
            [("a.png", true), ("a.JPG", true), ("a.b.tiff", true), ("a.webp", true), ("a.txt", false), ("png", false)]
        {
            assert_eq!(has_image_extension(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn the_head_of_a_file_gives_the_size_of_its_image() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "a.jpg", "a.tif", "a.gif", "a.bmp", "a.webp"] {
            let path = folder.path().join(name);
            RgbImage::from_fn(37, 21, |x, y| Rgb([x as u8, y as u8, 9])).save(&path).unwrap();
            assert_eq!(stored_size(&path).unwrap(), (37, 21), "{name}");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..8]).unwrap();
            assert!(stored_size(&path).unwrap_err().to_string().contains(name), "{name}, cut off");
        }
        let path = folder.path().join("float.tif");
        Rgb32FImage::new(5, 3).save(&path).unwrap();
        assert_eq!(stored_size(&path).unwrap(), (5, 3));
        for (name, part) in [("missing.png", "missing.png"), (".", "a folder")] {
            let message = stored_size(&folder.path().join(name)).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }

    #[test]
    fn rows_of_a_file_are_those_of_the_whole_image() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "a.tif", "a.bmp"] {
            let path = folder.path().join(name);
            RgbImage::from_fn(9, 12, |x, y| Rgb([x as u8 * 20, y as u8 * 20, 99])).save(&path).unwrap();
            let mut reader = open_image(&path).unwrap();
            let info = ImageInfo::new(9, 12);
            assert_eq!(reader.info(), &info, "{name}");
            let whole = read_image(&path).unwrap();
            for rows in [0..12, 5..7, 0..1] {
                let read = reader.rows(rows.clone()).unwrap().to_float().into_raw();
                let expected = &whole.as_raw()[rows.start as usize * 27..rows.end as usize * 27];
                assert_eq!(read, expected, "{name}: {rows:?}");
            }
        }
    }

    #[test]
    fn a_large_tiff_file_is_read_in_bands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.tif");
        let side = 4096;
        let value = |x: u32, y: u32| (x / 16 + y) as u8;
        let values: Vec<_> = (0..side).flat_map(|y| (0..side).map(move |x| value(x, y))).collect();
        for rows_per_strip in [128, side] {
            let mut encoder = ::tiff::encoder::TiffEncoder::new(File::create(&path).unwrap()).unwrap();
            let mut image = encoder.new_image::<::tiff::encoder::colortype::Gray8>(side, side).unwrap();
            image.rows_per_strip(rows_per_strip).unwrap();
            image.write_data(&values).unwrap();
            assert_eq!(open_image(&path).unwrap().info().band, Some(rows_per_strip));
        }
        let mut reader = open_image(&path).unwrap();
        for rows in [0..3, 1000..1002, side - 1..side] {
            let Picture::Bits8(read) = reader.rows(rows.clone()).unwrap().into_owned() else { panic!("{rows:?}") };
            assert!(read.enumerate_pixels().all(|(x, y, pixel)| pixel.0 == [value(x, rows.start + y); 3]), "{rows:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error_when_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("text.tif"), "II*\0 no image").unwrap();
        for (name, part) in [("missing.png", "missing.png"), (".", "a folder"), ("text.tif", "TIFF")] {
            let error = open_image(&folder.path().join(name)).err().map(|error| error.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains(part)), "{name}: {error:?}");
        }
    }
}
