//! The pictures of a folder, in their order, and the files that are not read.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use seg_contract::Reading;

use super::dicom::file::is_dicom;
use super::dicom::series;
use super::file::open_file;
use super::foreign::{Foreign, recognize_foreign};
use super::recognition::is_named_image;
use super::{is_known_by_content, pictures};

/// The pictures of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The paths of all pictures, as [`PicturePath`](super::PicturePath) says: by the names of
    /// their files, and the slices of a DICOM series by their position in the patient.
    pub pictures: Vec<PathBuf>,
    /// The files that are not images.
    pub unread: Vec<Unread>,
}

/// A file that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The file.
    pub path: PathBuf,
    /// The kind of file, with its article.
    pub kind: &'static str,
}

/// Lists the pictures of the files directly in a folder; hidden files and folders are left out.
///
/// A file is an image by its extension, and DICOM and NIfTI files are images whatever their name.
/// A file that cannot be read stands for one picture, so that reading it reports the error.
///
/// # Errors
/// When the folder cannot be read.
pub fn list_folder(folder: &Path, reading: &Reading) -> io::Result<Listing> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    let mut listing = Listing::default();
    let mut slices: Option<Vec<PathBuf>> = None;
    let mut of_series = HashSet::new();
    for path in &files {
        let may_be_dicom = !is_named_image(path) || path.extension().is_some_and(is_dicom_extension);
        let head = if may_be_dicom { open_file(path).ok().map(|(_, head)| head) } else { None };
        if head.as_deref().is_some_and(is_dicom) {
            if slices.is_none() {
                let mut all = series::in_folder(folder).to_vec();
                series::sort(&mut all);
                of_series.extend(all.iter().map(|slice| slice.file.clone()));
                slices = Some(all.iter().map(series::Slice::path).collect());
                // The place of the first file is that of all slices.
                listing.pictures.extend(slices.iter().flatten().cloned());
            }
            if of_series.contains(path) {
                continue;
            }
            listing.unread.push(Unread { path: path.clone(), kind: "DICOM without an image, or damaged" });
        } else if is_named_image(path) || is_known_by_content(path) {
            match pictures(path, reading) {
                Ok(pictures) => listing.pictures.extend(pictures),
                Err(_) => listing.pictures.push(path.clone()),
            }
        } else if !is_part_of_pair(path) {
            let foreign = head.as_deref().and_then(recognize_foreign);
            let unknown = Foreign { kind: "of an unknown kind", remedy: "leave it out" };
            listing.unread.push(Unread { path: path.clone(), kind: foreign.unwrap_or(unknown).kind });
        }
    }
    Ok(listing)
}

fn is_dicom_extension(extension: &OsStr) -> bool {
    ["dcm", "dicom"].iter().any(|dicom| extension.eq_ignore_ascii_case(dicom))
}

/// Returns whether a file holds the voxels of a NIfTI header beside it.
fn is_part_of_pair(path: &Path) -> bool {
    let is_voxels = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("img"));
    is_voxels && is_known_by_content(&path.with_extension("hdr"))
}

#[cfg(test)]
mod tests {
    use image::GrayImage;

    use super::*;

    #[test]
    fn files_that_are_not_images_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for name in ["b.png", "a.png"] {
            GrayImage::new(3, 2).save(folder.join(name)).unwrap();
        }
        fs::write(folder.join("c.pdf"), "%PDF-1.4").unwrap();
        fs::write(folder.join("notes"), "text").unwrap();
        fs::write(folder.join(".hidden"), "text").unwrap();
        fs::write(folder.join("broken.png"), "").unwrap();
        fs::create_dir(folder.join("folder.png")).unwrap();
        let listing = list_folder(folder, &Reading::default()).unwrap();
        assert_eq!(listing.pictures, ["a.png", "b.png", "broken.png"].map(|name| folder.join(name)));
        let unread: Vec<_> = listing.unread.iter().map(|unread| (unread.path.clone(), unread.kind)).collect();
        assert_eq!(unread, [(folder.join("c.pdf"), "a PDF file"), (folder.join("notes"), "a text file")]);
    }
}
