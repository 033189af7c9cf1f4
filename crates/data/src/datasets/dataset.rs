//! A data set on disk.

use std::fs;
use std::path::{Path, PathBuf};

use seg_contract::{Class, Reading};
use seg_text::control::escape;

use super::entries::{entries, name_of};
use super::layout::Layout;
use super::{DatasetError, Sample, Selection, drive, isic, kvasir, listing, table, tree};

/// A data set on disk.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The name in reports.
    pub name: String,
    /// The folder that was opened.
    pub root: PathBuf,
    /// The layout of the folder.
    pub layout: Layout,
    /// The classes by label; index 0 is the background.
    pub classes: Vec<Class>,
    /// The samples for training, sorted by name.
    pub train: Vec<Sample>,
    /// The names in `train` by which the publishers choose an epoch; empty if they do not say.
    pub validation: Vec<String>,
    /// The publishers' test samples, sorted by name; empty if there are none.
    pub test: Vec<Sample>,
    /// The way in which the folder was read, in words.
    pub reading: String,
    /// The files that were not used, and why, a sentence each.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Opens the data set in a folder and recognises its layout by the content.
    ///
    /// Only names are read, no images: see [`Sample::load`].
    ///
    /// # Errors
    /// When the folder does not exist, has an unknown layout, holds no image, or images and masks
    /// do not match one to one.
    pub fn open(root: &Path) -> Result<Self, DatasetError> {
        Self::open_with(root, &Selection::default())
    }

    /// Opens the data set in a folder as a person chose.
    ///
    /// # Errors
    /// As [`Dataset::open`], and when the choice fits nothing.
    pub fn open_with(root: &Path, selection: &Selection) -> Result<Self, DatasetError> {
        let (dataset, problems) = Self::survey(root, selection)?;
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(dataset),
        }
    }

    /// Lists the files of all samples: images, masks and fields of view.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let samples = self.train.iter().chain(&self.test);
        let files = samples.flat_map(|sample| {
            let own = [Some(&sample.image), Some(&sample.mask), sample.field_of_view.as_ref()];
            own.into_iter().flatten().chain(sample.coding.files())
        });
        files.map(PathBuf::as_path)
    }

    /// Surveys a data set: the samples that are complete, and every problem for which
    /// [`Dataset::open`] refuses it.
    pub(crate) fn survey(root: &Path, selection: &Selection) -> Result<(Self, Vec<DatasetError>), DatasetError> {
        let border = selection.border.unwrap_or_default();
        let mut problems = Vec::new();
        // A file is a table of files.
        let table = if root.is_file() { Some(root) } else { selection.pairs.as_deref() };
        if let Some(table) = table {
            let folder = if root.is_file() { root.parent().unwrap_or(root) } else { root };
            let name = escape(&listing::stem(&name_of(table)));
            let dataset = table::survey(folder, name, table, border, &mut problems)?;
            let mut dataset = Self { root: root.into(), ..dataset };
            dataset.divide(&Reading::default(), &mut problems);
            return Ok((dataset, problems));
        }
        entries(root)?;
        // `.` and `..` have a name only once they are resolved.
        let resolved = fs::canonicalize(root).map_err(|source| DatasetError::Read { path: root.into(), source })?;
        // It goes into the contract, which takes no control characters.
        let name = escape(&name_of(&resolved));
        let mut dataset = if !selection.is_open() {
            tree::survey(root, name, selection, &mut problems)?
        } else if drive::matches(root) {
            drive::survey(root, &mut problems)
        } else if isic::matches(root) {
            isic::survey(root, &mut problems)
        } else if kvasir::matches(root, &name) {
            kvasir::survey(root, &mut problems)?
        } else {
            tree::survey(root, name, selection, &mut problems)?
        };
        dataset.divide(&Reading::default(), &mut problems);
        Ok((dataset, problems))
    }

    /// Describes the parts: how many images are learned from, choose the best epoch, and are held
    /// out.
    pub fn parts_in_words(&self) -> String {
        let (validation, test) = (self.validation.len(), self.test.len());
        let train = self.train.len() - validation.min(self.train.len());
        let chosen = match validation {
            0 => ", a part of which chooses the best epoch".into(),
            _ => format!(", {validation} that choose the best epoch"),
        };
        let held = match test {
            0 => "none held out: scores on these images say nothing about others".into(),
            _ => format!("{test} held out for the test"),
        };
        format!("{train} images to learn from{chosen}; {held}")
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Creates a folder with the given files, all empty: opening a data set reads none of them.
    fn folder(files: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn names(samples: &[Sample]) -> Vec<&str> {
        samples.iter().map(|sample| sample.name.as_str()).collect()
    }

    #[test]
    fn a_survey_names_every_problem_and_keeps_what_is_whole() {
        let root = folder(&[
            "images/a.png",
            "images/b.png",
            "images/b.jpg",
            "images/c.png",
            "masks/a.png",
            "masks/b.png",
            "masks/d.png",
        ]);
        fs::write(root.path().join("train.txt"), "a\nx").unwrap();
        fs::write(root.path().join("val.txt"), "a\nb").unwrap();
        let (dataset, problems) = Dataset::survey(root.path(), &Selection::default()).unwrap();
        assert_eq!((names(&dataset.train), dataset.validation.concat().as_str()), (vec!["a", "b"], "ab"));
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(dataset.notes[0].starts_with("1 images in `images` have no mask"), "{:?}", dataset.notes);
        for part in ["stand for the same name", "`d`", "`x`", "are in both"] {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
        }
        assert_eq!(problems.len(), 4, "{problems:#?}");
    }
}
