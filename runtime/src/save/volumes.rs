//! Masks and probabilities of whole volumes, made of those of their pictures when all of these are
//! complete.
//!
//! A run makes the files of all complete volumes at its end. They follow from the masks and the
//! images alone, so that a run that continues makes the same ones again.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use image::GrayImage;
use seg_contract::{Class, Reading, Sha256};
use seg_data::{
    MaskCoding, PicturePath, ReadError, SegmentationKind, SegmentationLabels, Stack, VolumeError, WriteError,
    read_mask, stacks, write_atomic, write_bytes,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Save;

/// The file with a line of JSON for each file of a volume.
pub const VOLUMES: &str = "volumes.jsonl";

/// The volumes of a run.
#[derive(Debug)]
pub struct Volumes<'a> {
    kinds: Vec<Save>,
    stacks: Vec<(String, Stack)>,
    /// The names of the pictures' results.
    names: &'a [String],
    reading: Reading,
}

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VolumeFile {
    /// The name of the volume's files.
    pub name: String,
    /// The kind of result.
    pub kind: Save,
    /// The path in the folder of the results, with `/` between names.
    pub path: String,
    /// The SHA-256 of the content, in hexadecimal.
    pub sha256: String,
    /// The names of the pictures, in their order in the volume.
    pub pictures: Vec<String>,
}

/// The reason for which the file of a volume cannot be written.
#[derive(Debug, Error)]
pub enum VolumeFileError {
    /// The images cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The mask cannot be made.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl VolumeFileError {
    /// Returns whether the images are to blame, and not the folder of the results.
    pub fn is_about_the_images(&self) -> bool {
        match self {
            Self::Read(_) | Self::Volume(VolumeError::Read(_) | VolumeError::Refused { .. }) => true,
            Self::Write(WriteError::Content { source, .. }) => {
                source.get_ref().is_some_and(|cause| cause.is::<VolumeError>())
            }
            Self::Volume(_) | Self::Write(_) => false,
        }
    }
}

impl<'a> Volumes<'a> {
    /// Finds the volumes of pictures, whose results have these names, and checks that each kind of
    /// file can hold their masks. Without such kinds there are none.
    ///
    /// # Errors
    /// When an image cannot be read, or a kind cannot hold the mask of a volume.
    pub fn new(
        save: &[Save],
        pictures: &[PathBuf],
        names: &'a [String],
        reading: &Reading,
    ) -> Result<Self, VolumeFileError> {
        let kinds: Vec<Save> = save.iter().copied().filter(|save| save.is_of_volumes()).collect();
        let found = if kinds.is_empty() { Vec::new() } else { stacks(pictures)? };
        let mut taken = HashSet::new();
        let mut named = Vec::new();
        for stack in found {
            for kind in &kinds {
                match kind {
                    Save::DicomSeg | Save::DicomLabelmap => stack.check_dicom_seg()?,
                    Save::Nifti | Save::ProbabilitiesNifti => stack.check_nifti(reading)?,
                    _ => {}
                }
            }
            // The name of the first picture, without its number.
            let first = &names[stack.pictures[0]];
            let is_numbered = PicturePath::new(&pictures[stack.pictures[0]]).number.is_some();
            let name = first.rsplit_once('#').filter(|_| is_numbered).map_or(first.as_str(), |(name, _)| name);
            let numbers = (2_usize..).map(|number| format!("{name}-{number}"));
            let mut candidates = std::iter::once(name.to_owned()).chain(numbers);
            let name = candidates.find(|name| taken.insert(name.to_lowercase())).expect("the numbers do not end");
            named.push((name, stack));
        }
        Ok(Self { kinds, stacks: named, names, reading: *reading })
    }

    /// Lists the paths of all files, in the folder of the results.
    pub fn paths(&self) -> impl Iterator<Item = String> + '_ {
        self.stacks.iter().flat_map(|(name, _)| self.kinds.iter().map(|kind| kind.place(None).path(name)))
    }

    /// Returns whether there are files to write.
    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }

    /// Writes the files of the volumes whose pictures are all complete, and their record. Reports
    /// each file with its error, if it has one; a volume that is not complete has none.
    ///
    /// # Errors
    /// When a file or the record cannot be written; errors of images are reported instead.
    pub fn write(
        &self,
        folder: &Path,
        labels: &SegmentationLabels<'_>,
        is_complete: impl Fn(&str) -> bool,
        mut report: impl FnMut(&str, Option<&VolumeFileError>),
    ) -> Result<(), VolumeFileError> {
        let mut record = String::new();
        for kind in &self.kinds {
            let path = folder.join(kind.place(None).folder);
            fs::create_dir_all(&path).map_err(|source| WriteError::Create { path, source })?;
        }
        for (name, stack) in &self.stacks {
            let pictures: Vec<&String> = stack.pictures.iter().map(|place| &self.names[*place]).collect();
            if !pictures.iter().all(|name| is_complete(name)) {
                continue;
            }
            for kind in &self.kinds {
                let path = kind.place(None).path(name);
                match self.write_one(*kind, stack, &folder.join(&path), folder, labels) {
                    Ok(sha256) => {
                        let pictures = pictures.iter().map(|name| (*name).clone()).collect();
                        let file = VolumeFile { name: name.clone(), kind: *kind, path: path.clone(), sha256, pictures };
                        record +=
                            &serde_json::to_string(&file).expect("a line has no map with keys that are no strings");
                        record.push('\n');
                        report(&path, None);
                    }
                    Err(error) if error.is_about_the_images() => report(&path, Some(&error)),
                    Err(error) => return Err(error),
                }
            }
        }
        write_bytes(&folder.join(VOLUMES), record.as_bytes())?;
        Ok(())
    }

    /// Writes a file and returns its hash.
    fn write_one(
        &self,
        kind: Save,
        stack: &Stack,
        path: &Path,
        folder: &Path,
        labels: &SegmentationLabels<'_>,
    ) -> Result<String, VolumeFileError> {
        let mut masks = |place: usize| mask(folder, &self.names[stack.pictures[place]], labels.classes);
        let mut sha256 = String::new();
        write_atomic(path, |out| {
            let mut hashed = Hashed { out, hash: Sha256::new() };
            let written = match kind {
                Save::DicomSeg => stack.write_dicom_seg(labels, SegmentationKind::Binary, &mut masks, &mut hashed),
                Save::DicomLabelmap => {
                    stack.write_dicom_seg(labels, SegmentationKind::LabelMap, &mut masks, &mut hashed)
                }
                Save::ProbabilitiesNifti => {
                    let classes = labels.classes.len();
                    let mut maps = |class: usize, place: usize| {
                        probabilities(folder, &self.names[stack.pictures[place]], class, classes)
                    };
                    stack.write_nifti_probabilities(&self.reading, classes, &mut maps, &mut hashed)
                }
                Save::Nifti => stack.write_nifti(&self.reading, &mut masks, &mut hashed),
                _ => {
                    // The places of pages are known only when they are written.
                    let mut content = Cursor::new(Vec::new());
                    stack.write_tiff(&mut masks, &mut content).and_then(|()| Ok(hashed.write_all(content.get_ref())?))
                }
            };
            written.map_err(|error| match error {
                VolumeError::Io(source) => source,
                other => io::Error::other(other),
            })?;
            sha256 = hashed.hash.hex();
            Ok(())
        })?;
        Ok(sha256)
    }
}

/// Reads the mask that the run has written of a picture.
fn mask(folder: &Path, name: &str, classes: &[Class]) -> io::Result<GrayImage> {
    let classes = u8::try_from(classes.len()).unwrap_or(u8::MAX);
    let path = folder.join(Save::Mask.place(None).path(name));
    read_mask(&path, &MaskCoding::Index { classes }).map_err(io::Error::other)
}

/// Reads the probabilities of a class that the run has written of a picture as a NumPy file.
fn probabilities(folder: &Path, name: &str, class: usize, classes: usize) -> io::Result<Vec<f32>> {
    let path = folder.join(Save::ProbabilitiesNpy.place(None).path(name));
    let mut file = fs::File::open(&path)?;
    // The magic number, the version, and the length of the text behind it.
    let mut head = [0; 10];
    file.read_exact(&mut head)?;
    let start = 10 + u64::from(u16::from_le_bytes([head[8], head[9]]));
    let plane = file.metadata()?.len().saturating_sub(start) / classes.max(1) as u64;
    file.seek(SeekFrom::Start(start + plane * class as u64))?;
    let mut bytes = vec![0; plane as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

/// A writer that hashes the content.
struct Hashed<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
