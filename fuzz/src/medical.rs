//! DICOM and NIfTI files.

use std::fs;
use std::path::Path;

use seg_contract::{Reading, Slices};
use seg_data::{Picture, open_image_as, open_image_bytes, pictures, stored_size_as};

/// The most pixels of an image that is read, so that a run of the fuzzer is short.
const PIXELS_MAX: u64 = 1 << 20;
/// The most pictures of a file that are read.
const PICTURES_MAX: usize = 4;

/// Reads bytes as a DICOM file, and returns whether all of it was read.
///
/// # Panics
/// When a picture has another size than was said, or differs from the one that is read from memory.
pub fn dicom(bytes: &[u8]) -> bool {
    all_pictures(bytes, "image.dcm", &[Reading::default()])
}

/// Reads bytes as a NIfTI file in several directions, and returns whether all of it was read.
///
/// # Panics
/// As [`dicom`].
pub fn nifti(bytes: &[u8]) -> bool {
    let slices =
        [Slices::K, Slices::I, Slices::Axial].map(|slices| Reading { slices: Some(slices), ..Reading::default() });
    all_pictures(bytes, "image.nii", &slices[..2]) & all_pictures(bytes, "image.nii", &slices[2..])
}

/// Reads the first pictures of a file in each way, and returns whether all of them were read.
fn all_pictures(bytes: &[u8], name: &str, readings: &[Reading]) -> bool {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a new folder can be written");
    readings.iter().all(|reading| {
        let Ok(found) = pictures(&path, reading) else { return false };
        let is_alone = found.len() == 1;
        found.iter().take(PICTURES_MAX).all(|picture| {
            let Some(read) = read(picture, reading) else { return false };
            let alone = is_alone.then(|| open_image_bytes(Path::new(name), bytes.to_vec(), reading));
            if let Some(Ok(mut reader)) = alone {
                let height = reader.info().height;
                let from_memory = reader.rows(0..height).expect("it was read from its file").into_owned();
                assert!(from_memory == read, "the image in memory differs from the file");
            }
            true
        })
    })
}

/// Reads a picture; `None` where it is refused.
fn read(path: &Path, reading: &Reading) -> Option<Picture> {
    let mut reader = open_image_as(path, reading).ok()?;
    let (width, height) = (reader.info().width, reader.info().height);
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return None;
    }
    let picture = reader.rows(0..height).ok()?.into_owned();
    assert_eq!(picture.dimensions(), (width, height));
    // The head alone may lack what stands behind the pixels of a damaged file.
    if let Ok(size) = stored_size_as(path, reading) {
        assert_eq!(size, (width, height));
    }
    Some(picture)
}
