//! The description of a run over many images: its models and settings, which are the same for all
//! its parts and continuations, and the images of the last one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use seg_contract::{Sha256, sha256};
use seg_inference::{ComputePrecision, ModelFile, Settings};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::save::Save;

/// The file that describes the results in a folder.
pub const JOB: &str = "job.json";

/// The description of a run over many images. A folder holds the results of one job, and results of
/// another never replace them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Job {
    /// The program and its version.
    pub tool: String,
    /// The models; the probabilities of several are averaged.
    pub models: Vec<ModelFile>,
    /// The precision in which each model computes float32 values.
    pub precisions: Vec<ComputePrecision>,
    /// The settings for segmenting.
    pub settings: Settings,
    /// The kinds of results that are saved.
    pub save: Vec<Save>,
    /// The number of images of all parts, in the run that was the last to begin.
    pub images: usize,
    /// The SHA-256 of the names of their results, a line each.
    pub names_sha256: String,
}

/// The reason for which a folder does not belong to a job.
#[derive(Debug, Error)]
pub enum JobError {
    /// The file cannot be read.
    #[error("cannot read the job `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file does not describe a job.
    #[error("cannot read `{path}` as a job; it belongs to another version or is damaged, choose another folder")]
    Format {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// The folder holds results of another job.
    #[error(
        "`{path}` is that of another job, which differs in {what}; choose another folder, remove this one, or give the flags and \
         inputs of that job"
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// The first difference.
        what: &'static str,
    },
    /// The folder holds results of the same job on other images.
    #[error(
        "`{path}` is that of another job, which differs in its images; `--continue` keeps its results and does what is new, but \
         not in parts, which divide one list; or choose another folder"
    )]
    Images {
        /// The file.
        path: PathBuf,
    },
}

impl Job {
    /// Describes a job on images whose results have these names.
    pub fn new(
        models: Vec<ModelFile>,
        precisions: Vec<ComputePrecision>,
        settings: Settings,
        save: Vec<Save>,
        names: &[String],
    ) -> Self {
        let mut hash = Sha256::new();
        names.iter().for_each(|name| hash.update(format!("{name}\n")));
        let tool = format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        // The batch size changes no result.
        let settings = Settings { batch: None, ..settings };
        Self { tool, models, precisions, settings, save, images: names.len(), names_sha256: hash.hex() }
    }

    /// Reads the job of a folder, if it has one.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, JobError> {
        let path = folder.join(JOB);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(job) => Ok(Some(job)),
                Err(source) => Err(JobError::Format { path, source }),
            },
            // Whoever writes there says that a file is no folder.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(source) => Err(JobError::Read { path, source }),
        }
    }

    /// Returns the content of the job's file.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a job has no map with keys that are no strings") + "\n"
    }

    /// Returns the identity of the job, which each entry of its records names: the SHA-256, in
    /// hexadecimal, of its description without the images, so that a folder of images may grow.
    pub(crate) fn id(&self) -> String {
        sha256(Self { images: 0, names_sha256: String::new(), ..self.clone() }.text())
    }

    /// Checks that the folder's job, if it has one, is this one; with `grows`, its images may be
    /// others.
    ///
    /// # Errors
    /// When the job is another one, or cannot be read.
    pub fn check(&self, folder: &Path, grows: bool) -> Result<(), JobError> {
        let Some(other) = Self::read(folder)? else { return Ok(()) };
        let rows = [
            (self.models != other.models, "its models"),
            (self.precisions != other.precisions, "the precision in which they are computed"),
            (self.settings != other.settings, "how masks are made"),
            (self.save != other.save, "what is saved"),
            (self.tool != other.tool, "the version of the program"),
        ];
        let same_images = (self.images, &self.names_sha256) == (other.images, &other.names_sha256);
        match rows.into_iter().find(|(differs, _)| *differs) {
            Some((_, what)) => Err(JobError::Other { path: folder.join(JOB), what }),
            None if grows || same_images => Ok(()),
            None => Err(JobError::Images { path: folder.join(JOB) }),
        }
    }
}

/// One of several parts of a job, each of which a process of its own does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobPart {
    /// The number of the part, counted from 1.
    pub part: usize,
    /// The number of parts.
    pub parts: usize,
}

impl JobPart {
    /// Returns whether the image at a place in the list of all images belongs to this part; the
    /// parts take images in turn.
    pub fn has(&self, index: usize) -> bool {
        index % self.parts == self.part - 1
    }

    /// Returns the number of images that belong to this part, of `images` in total.
    pub fn count(&self, images: usize) -> usize {
        (0..images).filter(|index| self.has(*index)).count()
    }

    /// Returns the name of the part's record.
    pub fn file_name(&self) -> String {
        format!("predictions-{}-of-{}.jsonl", self.part, self.parts)
    }
}

impl FromStr for JobPart {
    type Err = ();

    /// Parses the name of a part's record.
    fn from_str(name: &str) -> Result<Self, ()> {
        let middle = name.strip_prefix("predictions-").and_then(|rest| rest.strip_suffix(".jsonl")).ok_or(())?;
        let (part, parts) = middle.split_once("-of-").ok_or(())?;
        match (part.parse(), parts.parse()) {
            (Ok(part), Ok(parts)) if (1..=parts).contains(&part) => Ok(Self { part, parts }),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn each_image_belongs_to_one_part() {
        for (images, parts) in [(10, 3), (2, 5), (0, 2), (7, 1)] {
            let all: Vec<_> = (1..=parts).map(|part| JobPart { part, parts }).collect();
            assert!((0..images).all(|index| all.iter().filter(|part| part.has(index)).count() == 1), "{images}");
            assert_eq!(all.iter().map(|part| part.count(images)).sum::<usize>(), images, "{images} in {parts}");
            assert!(all.iter().all(|part| part.file_name().parse() == Ok(*part)), "{parts}");
        }
        for name in ["predictions.jsonl", "predictions-3-of-2.jsonl", "predictions-0-of-2.jsonl", "a"] {
            assert_eq!(name.parse::<JobPart>(), Err(()), "{name}");
        }
    }

    fn job_in(precision: ComputePrecision, model: ModelFile, save: Save, names: &[&str]) -> Job {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let settings = Settings { batch: NonZeroUsize::new(3), threshold: Some(0.1), ..Settings::default() };
        Job::new(vec![model], vec![precision], settings, vec![save], &names)
    }

    #[test]
    fn another_job_is_named_by_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        let model = |sha256: &str| ModelFile { file: "a.onnx".into(), file_raw: None, sha256: sha256.into() };
        let job = |model, save, names: &[&str]| job_in(ComputePrecision::Fp32, model, save, names);
        let first = job(model("1"), Save::Mask, &["a", "b"]);
        first.check(folder.path(), false).unwrap();
        fs::write(folder.path().join(JOB), serde_json::to_string(&first).unwrap()).unwrap();
        first.check(folder.path(), false).unwrap();
        for (other, part) in [
            (job(model("2"), Save::Mask, &["a", "b"]), "its models"),
            (job_in(ComputePrecision::Tf32, model("1"), Save::Mask, &["a", "b"]), "the precision"),
            (job(model("1"), Save::Overlay, &["a", "b"]), "what is saved"),
            (job(model("1"), Save::Mask, &["a", "c"]), "its images"),
        ] {
            let message = other.check(folder.path(), false).unwrap_err().to_string();
            assert!(message.contains(part), "{part}: {message}");
        }
        let more = job(model("1"), Save::Mask, &["a", "b", "c"]);
        more.check(folder.path(), true).unwrap();
        assert_eq!(more.id(), first.id());
        assert_ne!(more.id(), job(model("2"), Save::Mask, &["a", "b", "c"]).id());
        fs::write(folder.path().join(JOB), "{").unwrap();
        assert!(matches!(first.check(folder.path(), true), Err(JobError::Format { .. })));
    }
}
