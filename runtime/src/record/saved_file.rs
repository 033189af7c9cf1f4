//! A file of results, and the hash that shows whether it is whole.

use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path};

use seg_contract::Sha256;
use seg_data::{WriteError, write_atomic};
use seg_inference::digest;
use serde::{Deserialize, Serialize};

use crate::save::{Finished, ResultWriter, Save};

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SavedFile {
    /// The kind of result.
    pub kind: Save,
    /// The path in the folder of the results, with `/` between names.
    pub path: String,
    /// The SHA-256 of the content, in hexadecimal.
    pub sha256: String,
}

impl SavedFile {
    /// Writes the file of an image below the folder of the results.
    ///
    /// # Errors
    /// When the image cannot be read again, or the file cannot be written; an older file then stays
    /// as it was.
    pub(crate) fn write(
        writer: &dyn ResultWriter,
        folder: &Path,
        finished: &mut Finished<'_>,
    ) -> Result<Self, WriteError> {
        let path = writer.place().path(finished.name);
        let mut sha256 = String::new();
        write_atomic(&folder.join(&path), |out| {
            let mut hashed = Hashed { out, hash: Sha256::new() };
            writer.write(finished, &mut hashed)?;
            sha256 = hashed.hash.hex();
            Ok(())
        })?;
        Ok(Self { kind: writer.place().save, path, sha256 })
    }

    /// Returns whether the file lies where a writer puts the file of the image `name`: in a folder
    /// of its kind, under that name, and not behind a link.
    pub(crate) fn is_in_place(&self, folder: &Path, name: &str) -> bool {
        let is_name = Path::new(name).components().eq([Component::Normal(name.as_ref())]);
        let is_link = |path: &Path| fs::symlink_metadata(folder.join(path)).is_ok_and(|found| found.is_symlink());
        is_name
            && self.kind.may_write(&self.path, name)
            && !Path::new(&self.path).ancestors().any(|path| path != Path::new("") && is_link(path))
    }

    /// Returns whether the file is in the folder of the results with the content that was written.
    pub(crate) fn is_whole(&self, folder: &Path) -> bool {
        digest(&folder.join(&self.path)).is_ok_and(|(_, found)| found == self.sha256)
    }
}

/// A writer that hashes the content.
struct Hashed<'a> {
    out: &'a mut dyn Write,
    hash: Sha256,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use image::GrayImage;
    use seg_data::open_image;
    use seg_inference::{Segmentation, Timings};

    use super::*;
    use crate::save::Place;

    /// A result that writes a text in pieces, and fails after them if asked to.
    struct Pieces {
        place: Place,
        fails: bool,
    }

    impl ResultWriter for Pieces {
        fn place(&self) -> &Place {
            &self.place
        }

        fn write(&self, _: &mut Finished<'_>, out: &mut dyn Write) -> io::Result<()> {
            ["one, ", "", "two"].iter().try_for_each(|piece| out.write_all(piece.as_bytes()))?;
            if self.fails { Err(io::Error::other("the image is gone")) } else { Ok(()) }
        }
    }

    #[test]
    fn a_file_is_whole_as_long_as_it_has_the_content_that_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::create_dir(folder.join("masks")).unwrap();
        let image = folder.join("image.png");
        let mask = GrayImage::new(1, 1);
        mask.save(&image).unwrap();
        let mut image = open_image(&image).unwrap();
        let segmentation = Segmentation {
            mask,
            probabilities: None,
            uncertainty: None,
            network: [1, 1],
            resampled: None,
            tiles: None,
            timings: Timings::default(),
        };
        let mut write = |fails| {
            let place = Place { save: Save::Mask, folder: "masks".into(), extension: "png" };
            let mut finished = Finished { name: "a", image: image.as_mut(), segmentation: &segmentation };
            SavedFile::write(&Pieces { place, fails }, folder, &mut finished)
        };
        let saved = write(false).unwrap();
        let path = folder.join(&saved.path);
        assert_eq!((saved.kind, saved.path.as_str()), (Save::Mask, "masks/a.png"));
        assert_eq!(fs::read(&path).unwrap(), b"one, two");
        assert!(saved.is_whole(folder));
        write(true).unwrap_err();
        assert!(saved.is_whole(folder), "a file that could not be written took the place of the one before");
        for (name, content) in [("longer", "one, two."), ("cut off", "one, "), ("as long", "one, too"), ("empty", "")] {
            fs::write(&path, content).unwrap();
            assert!(!saved.is_whole(folder), "{name}");
        }
        fs::remove_file(&path).unwrap();
        assert!(!saved.is_whole(folder), "removed");
    }
}
