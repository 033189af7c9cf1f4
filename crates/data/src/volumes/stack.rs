//! The pictures of one volume.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::formats::dicom::series::{self, Slice};
use crate::formats::{PicturePath, ReadError, format_of_picture};

/// The pictures that belong to one volume: the slices of a series or a NIfTI file, or the pages of
/// a file; a picture that belongs to no other is a stack of its own.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The places of the pictures in the list that was given, in their order.
    pub pictures: Vec<usize>,
    /// The paths of the pictures.
    pub(super) paths: Vec<PathBuf>,
    pub(super) origin: Origin,
}

/// The files of a stack.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// A NIfTI file.
    Nifti(PathBuf),
    /// The slices of DICOM files, one for each picture.
    Dicom(Vec<Slice>),
    /// Another file.
    File,
}

/// The reason for which the mask of a volume cannot be written.
#[derive(Debug, Error)]
pub enum VolumeError {
    /// The images cannot be read again.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The masks cannot be read or the file not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file format cannot hold the mask of such images.
    #[error("cannot write a mask of `{path}` as {format}: {reason}")]
    Refused {
        /// The first image.
        path: PathBuf,
        /// The file format.
        format: &'static str,
        /// The reason and the remedy.
        reason: String,
    },
}

/// Slices by their file and the number of their frame.
type Slices = HashMap<(PathBuf, Option<u32>), Slice>;

/// Finds the volumes that pictures belong to, in the order of their first pictures.
///
/// # Errors
/// When a file cannot be read.
pub fn stacks(pictures: &[PathBuf]) -> Result<Vec<Stack>, ReadError> {
    let mut places: HashMap<(PathBuf, String), usize> = HashMap::new();
    let mut stacks: Vec<Stack> = Vec::new();
    // The slices of the folder that was looked at last.
    let mut known: Option<(PathBuf, Slices)> = None;
    for (index, path) in pictures.iter().enumerate() {
        let PicturePath { file, number, .. } = PicturePath::new(path);
        let (key, slice) = match format_of_picture(path)?.name() {
            "DICOM" => {
                let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
                let folder = if folder == Path::new("") { PathBuf::from(".") } else { folder };
                if known.as_ref().is_none_or(|known| known.0 != folder) {
                    let all = series::in_folder(&folder);
                    let all = all.iter().map(|slice| ((slice.file.clone(), slice.frame), slice.clone())).collect();
                    known = Some((folder.clone(), all));
                }
                let found = known.as_ref().and_then(|(_, slices)| slices.get(&(folder.join(name(&file)), number)));
                let slice = match found {
                    Some(slice) => Some(Slice { file: file.clone(), ..slice.clone() }),
                    None => series::read(&file).into_iter().find(|slice| slice.frame == number),
                };
                let series = slice.as_ref().map(|slice| slice.series.clone()).unwrap_or_default();
                (if series.is_empty() { (file.clone(), series) } else { (folder, series) }, slice)
            }
            _ => ((file.clone(), String::new()), None),
        };
        let place = *places.entry(key).or_insert(stacks.len());
        if place == stacks.len() {
            let origin = match (&slice, format_of_picture(path)?.name()) {
                (Some(_), _) => Origin::Dicom(Vec::new()),
                (None, "NIfTI") => Origin::Nifti(file),
                _ => Origin::File,
            };
            stacks.push(Stack { pictures: Vec::new(), paths: Vec::new(), origin });
        }
        let stack = &mut stacks[place];
        stack.pictures.push(index);
        stack.paths.push(path.clone());
        if let (Origin::Dicom(slices), Some(slice)) = (&mut stack.origin, slice) {
            slices.push(slice);
        }
    }
    stacks.iter_mut().for_each(Stack::sort);
    Ok(stacks)
}

fn name(path: &Path) -> &Path {
    Path::new(path.file_name().unwrap_or_default())
}

impl Stack {
    /// Sorts slices by their position.
    fn sort(&mut self) {
        let Origin::Dicom(slices) = &mut self.origin else { return };
        if slices.len() != self.paths.len() {
            // A file that has changed meanwhile; its pictures are in the order of the list.
            return;
        }
        let mut sorted = slices.clone();
        series::sort(&mut sorted);
        let place = |slice: &Slice| slices.iter().position(|other| other == slice);
        let order: Vec<usize> = sorted.iter().filter_map(place).collect();
        if order.len() == self.paths.len() {
            self.pictures = order.iter().map(|place| self.pictures[*place]).collect();
            self.paths = order.iter().map(|place| self.paths[*place].clone()).collect();
            *slices = sorted;
        }
    }

    /// Returns the path of the first picture.
    pub fn first(&self) -> &Path {
        &self.paths[0]
    }

    /// Makes the error of a mask that cannot be written.
    pub(super) fn refuse(&self, format: &'static str, reason: impl Into<String>) -> VolumeError {
        VolumeError::Refused { path: self.first().into(), format, reason: reason.into() }
    }
}
