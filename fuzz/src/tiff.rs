//! Image files, TIFF files above all: their rows are read by code of this project.

use std::fs;

use seg_data::{Picture, open_image, read_image};

/// The most pixels of an image that is read whole, so that a run of the fuzzer is short.
const PIXELS_MAX: u64 = 1 << 20;

/// The most pixels of a band of rows that is read.
const BAND_PIXELS_MAX: u64 = 1 << 24;

/// Reads bytes as an image file, whole and row by row, and returns whether all of it was read.
///
/// # Panics
/// When rows that are read alone differ from those of the whole image.
pub fn tiff(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let path = folder.path().join("image.tif");
    fs::write(&path, bytes).expect("a new folder can be written");
    let Ok(mut reader) = open_image(&path) else { return false };
    let info = reader.info().clone();
    let (width, height) = (u64::from(info.width), info.height);
    let band = u64::from(info.band.unwrap_or(height));
    if width * band > BAND_PIXELS_MAX {
        return false;
    }
    if width * u64::from(height) > PIXELS_MAX {
        // A few rows: at the top, in the middle across the bands' border, and at the bottom.
        let middle = info.band.unwrap_or(1).min(height - 1);
        let ranges = [0..1, middle.saturating_sub(1)..middle + 1, height - 1..height];
        return ranges.into_iter().all(|rows| {
            let rows_read = rows.end - rows.start;
            reader.rows(rows).is_ok_and(|picture| picture.dimensions() == (info.width, rows_read))
        });
    }
    let Ok(whole) = reader.rows(0..height).map(|picture| picture.into_owned()) else { return false };
    assert_eq!(whole.dimensions(), (info.width, height));
    for row in 0..height {
        let alone = reader.rows(row..row + 1).expect("the rows were read before").into_owned();
        let expected = Picture::copy_rows(whole.pixels(), row..row + 1);
        assert!(alone == expected, "row {row}");
    }
    let read = read_image(&path).expect("the rows were read before");
    assert_eq!(read.dimensions(), (info.width, height));
    assert!(read.as_raw() == whole.to_float().as_raw(), "the image differs from its rows");
    true
}
