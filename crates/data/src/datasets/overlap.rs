//! The images of a data set that a model has seen in training.

use rayon::prelude::*;
use seg_contract::{ImageDigest, LearnedFrom};

use super::Sample;
use crate::formats::{ReadError, read_image_as};

/// The names of the images that a model has seen in training.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// The images that the model has learned from.
    pub training: Vec<String>,
    /// The images by which its epoch was chosen.
    pub validation: Vec<String>,
}

/// Computes the digests of images.
///
/// # Errors
/// When an image cannot be read.
pub fn image_digests(samples: &[Sample]) -> Result<Vec<ImageDigest>, ReadError> {
    samples.par_iter().map(|sample| Ok(ImageDigest::of(&read_image_as(&sample.image, &sample.reading)?))).collect()
}

impl Overlap {
    /// Finds the images among `samples` that a model has seen. One that cannot be read is left to
    /// whoever loads it.
    pub fn find(samples: &[Sample], learned: &LearnedFrom) -> Self {
        let digests: Vec<Option<ImageDigest>> = samples
            .par_iter()
            .map(|sample| read_image_as(&sample.image, &sample.reading).ok().map(|image| ImageDigest::of(&image)))
            .collect();
        let mut found = Self::default();
        for (sample, digest) in samples.iter().zip(digests) {
            let Some(digest) = digest else { continue };
            if learned.training.contains(&digest) {
                found.training.push(sample.name.clone());
            } else if learned.validation.contains(&digest) {
                found.validation.push(sample.name.clone());
            }
        }
        found
    }

    /// Returns the sentence that refuses scores on training images; `None` if there are none.
    pub fn refusal(&self, images: usize) -> Option<String> {
        let first = self.training.first()?;
        Some(format!(
            "the model has learned from {} of these {images} images, such as `{first}`: scores on them say nothing about other \
             images; choose images that it has not seen, or add `--allow-training-images`",
            self.training.len()
        ))
    }

    /// Returns the sentence about images that chose the epoch; `None` if there are none.
    pub fn note(&self, images: usize) -> Option<String> {
        (!self.validation.is_empty()).then(|| {
            format!(
                "{} of these {images} images chose the epoch of the model, so scores on them are better than on others",
                self.validation.len()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::RgbImage;

    use super::*;
    use crate::datasets::Dataset;

    #[test]
    fn images_are_known_again_by_their_pixels() {
        let root = tempfile::tempdir().unwrap();
        for kind in ["images", "masks"] {
            fs::create_dir(root.path().join(kind)).unwrap();
        }
        for number in 0..3_u8 {
            let image = RgbImage::from_pixel(4, 4, [number; 3].into());
            image.save(root.path().join(format!("images/{number}.png"))).unwrap();
            RgbImage::new(4, 4).save(root.path().join(format!("masks/{number}.png"))).unwrap();
        }
        let samples = Dataset::open(root.path()).unwrap().train;
        let digests = image_digests(&samples).unwrap();
        let learned = LearnedFrom { training: [digests[0]].into(), validation: [digests[1]].into() };
        // Another format with the same pixels.
        let image = image::open(&samples[0].image).unwrap();
        let bmp = samples[0].image.with_extension("bmp");
        image.save(&bmp).unwrap();
        let copy = Sample { name: "copy".into(), image: bmp, ..samples[0].clone() };
        let gone = Sample { image: "gone.png".into(), ..samples[1].clone() };
        let found = Overlap::find(&[samples, vec![copy, gone]].concat(), &learned);
        assert_eq!(found.training, ["0", "copy"]);
        assert_eq!(found.validation, ["1"]);
        assert!(found.refusal(5).unwrap().contains("learned from 2 of these 5 images, such as `0`"));
        assert!(found.note(5).unwrap().starts_with("1 of these 5 images chose the epoch"));
        assert_eq!(Overlap::default().refusal(5), None);
    }
}
