//! Series: which files of a folder belong together, and in which order.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dicom_dictionary_std::tags;
use rayon::prelude::*;

use super::file::{DicomFile, is_dicom};
use super::segmentation::is_segmentation;
use crate::formats::file::open_file;
use crate::formats::picture_path::PicturePath;

/// A slice of a volume: a file of one frame, or a frame of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slice {
    /// The file.
    pub(crate) file: PathBuf,
    /// The frame, counted from 1; `None` for a file of one frame.
    pub(crate) frame: Option<u32>,
    /// The uid of the series.
    pub(crate) series: String,
    /// The directions of rows and columns in the patient.
    pub(crate) orientation: Option<[f64; 6]>,
    /// The middle of the first pixel in the patient, in millimetres.
    pub(crate) position: Option<[f64; 3]>,
    /// Rows and columns.
    pub(crate) size: [u32; 2],
    /// The number in the series.
    pub(crate) instance: f64,
}

impl Slice {
    /// Returns the path of the picture.
    pub(crate) fn path(&self) -> PathBuf {
        match self.frame {
            Some(frame) => PicturePath::of(&self.file, frame).path,
            None => self.file.clone(),
        }
    }

    /// Returns the position along the normal of the slices.
    pub(crate) fn along_normal(&self) -> Option<f64> {
        let [x, y, z] = self.position?;
        let [nx, ny, nz] = normal(&self.orientation?);
        Some(nx * x + ny * y + nz * z)
    }

    /// Returns what slices of one stack share: orientation, size and series.
    fn stack(&self) -> (Option<[i64; 6]>, [u32; 2]) {
        (self.orientation.map(|all| all.map(|direction| (direction * 1e3).round() as i64)), self.size)
    }
}

/// Returns the product of the directions of rows and columns.
pub(crate) fn normal(orientation: &[f64; 6]) -> [f64; 3] {
    let [rx, ry, rz, cx, cy, cz] = *orientation;
    [ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx]
}

/// Returns the slices of a file, in the order of its frames.
pub(crate) fn slices_of(path: &Path, file: &DicomFile) -> Vec<Slice> {
    let frames = file.frames();
    let text = |tag| file.text(tag).unwrap_or_default();
    let size = [tags::ROWS, tags::COLUMNS].map(|tag| file.count(tag).unwrap_or(0));
    // A file may claim more frames than its functional groups have, or than memory holds.
    let slice = |frame: u32| {
        let numbers = |group, tag| file.frame_numbers(frame as usize, group, tag);
        Slice {
            file: path.into(),
            frame: (frames > 1).then_some(frame + 1),
            series: text(tags::SERIES_INSTANCE_UID),
            orientation: numbers(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT).try_into().ok(),
            position: numbers(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT).try_into().ok(),
            size,
            instance: file.number(tags::INSTANCE_NUMBER).unwrap_or(0.0),
        }
    };
    (0..frames.min(FRAMES_MAX)).map(slice).collect()
}

/// The most frames of a file.
pub(crate) const FRAMES_MAX: u32 = 1 << 20;

/// Sorts slices by series, then by stack, then by their position along the normal; those without a
/// position by their number, and then by the name of their file.
pub(crate) fn sort(slices: &mut [Slice]) {
    let mut order = HashMap::new();
    for slice in slices.iter() {
        let next = order.len();
        order.entry(slice.series.clone()).or_insert(next);
    }
    slices.sort_by(|one, other| {
        let series = |slice: &Slice| order.get(&slice.series).copied();
        series(one)
            .cmp(&series(other))
            .then_with(|| one.stack().cmp(&other.stack()))
            .then_with(|| match (one.along_normal(), other.along_normal()) {
                // Rounded, so that slices at one place keep their order.
                (Some(one), Some(other)) if (one - other).abs() > 1e-3 => one.total_cmp(&other),
                _ => std::cmp::Ordering::Equal,
            })
            .then_with(|| one.instance.total_cmp(&other.instance))
            .then_with(|| one.file.cmp(&other.file))
            .then_with(|| one.frame.cmp(&other.frame))
    });
}

/// Returns the slices of all DICOM files of a folder, unsorted; files that cannot be read have
/// none. They are read once.
pub(crate) fn in_folder(folder: &Path) -> Arc<Vec<Slice>> {
    static KNOWN: Mutex<Option<HashMap<PathBuf, Arc<Vec<Slice>>>>> = Mutex::new(None);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(slices) = known().as_ref().and_then(|known| known.get(folder)) {
        return Arc::clone(slices);
    }
    let mut files: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect(),
        Err(_) => Vec::new(),
    };
    files.sort();
    let slices: Vec<_> = files.par_iter().flat_map_iter(|path| read(path)).collect();
    let slices = Arc::new(slices);
    known().get_or_insert_default().insert(folder.into(), Arc::clone(&slices));
    slices
}

/// Returns the slices of a file; none if it cannot be read as DICOM with pixels.
pub(crate) fn read(path: &Path) -> Vec<Slice> {
    let is_read = open_file(path).is_ok_and(|(_, head)| is_dicom(&head));
    let file = is_read.then(|| DicomFile::open_head(path, path).ok()).flatten();
    match file {
        Some(file) if file.count(tags::ROWS).is_some() && !is_segmentation(&file) => slices_of(path, &file),
        _ => Vec::new(),
    }
}
