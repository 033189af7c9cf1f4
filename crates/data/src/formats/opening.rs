//! Image files that are opened: their pictures, their sizes, and readers of their rows.

use std::path::{Path, PathBuf};

use seg_contract::Reading;

use super::decoding::read_image_file;
use super::error::ReadError;
use super::file::open_file;
use super::guard::{Guarded, guard};
use super::limits::check_size;
use super::picture_path::PicturePath;
use super::reader::ImageReader;
use super::recognition::{check_level, find, format_of, whole_file};
use super::whole::WholeImage;

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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use image::{Rgb, Rgb32FImage, RgbImage};

    use super::*;
    use crate::formats::{ImageInfo, read_image};
    use crate::picture::Picture;

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
    fn what_cannot_be_read_is_an_error_when_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("text.tif"), "II*\0 no image").unwrap();
        for (name, part) in [("missing.png", "missing.png"), (".", "a folder"), ("text.tif", "TIFF")] {
            let error = open_image(&folder.path().join(name)).err().map(|error| error.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains(part)), "{name}: {error:?}");
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
}
