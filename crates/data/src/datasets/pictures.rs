//! Samples of files that hold several pictures: one for each picture.

use seg_contract::Reading;

use super::{Dataset, DatasetError, Sample};
use crate::formats::{PicturePath, References, is_known_by_content, pictures};

impl Dataset {
    /// Reads medical images in the way that `reading` names: through another window, in other
    /// slices of volumes, or resampled to a spacing.
    ///
    /// # Errors
    /// When an image and its mask hold different numbers of pictures.
    pub fn with_reading(mut self, reading: &Reading) -> Result<Self, DatasetError> {
        let mut problems = Vec::new();
        if *reading != Reading::default() {
            self.divide(reading, &mut problems);
        }
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(self),
        }
    }

    /// Returns whether images are medical ones, whose values are shown through a window.
    pub fn is_medical(&self) -> bool {
        let samples = self.train.iter().chain(&self.test);
        let mut files: Vec<_> = samples.map(|sample| PicturePath::new(&sample.image).file).collect();
        files.dedup();
        files.iter().any(|file| is_known_by_content(file))
    }

    /// Makes a sample of each picture of a file, in the order of the pictures.
    pub(crate) fn divide(&mut self, reading: &Reading, problems: &mut Vec<DatasetError>) {
        let mut chosen = Vec::new();
        for samples in [&mut self.train, &mut self.test] {
            let mut divided = Vec::new();
            for sample in joined(std::mem::take(samples)) {
                let is_chosen = self.validation.iter().any(|name| is_of(name, &sample));
                let parts = sample_pictures(sample, reading, problems);
                if is_chosen {
                    chosen.extend(parts.iter().map(|part| part.name.clone()));
                }
                divided.extend(parts);
            }
            *samples = divided;
        }
        self.validation = chosen;
    }
}

/// Returns whether a name is that of a sample or of one of its pictures.
fn is_of(name: &str, sample: &Sample) -> bool {
    let rest = name.strip_prefix(sample.name.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('#').is_some_and(|rest| rest.parse::<u32>().is_ok()))
}

/// Joins the samples of the pictures of one file.
fn joined(samples: Vec<Sample>) -> Vec<Sample> {
    let mut joined: Vec<Sample> = Vec::new();
    for mut sample in samples {
        let image = PicturePath::new(&sample.image);
        if let Some(number) = image.number {
            let end = format!("#{number}");
            sample.name = sample.name.strip_suffix(&end).unwrap_or(&sample.name).to_owned();
            (sample.image, sample.mask) = (image.file, PicturePath::new(&sample.mask).file);
            sample.field_of_view = sample.field_of_view.map(|path| PicturePath::new(&path).file);
        }
        if joined.last().is_none_or(|last| last.image != sample.image) {
            joined.push(sample);
        }
    }
    joined
}

/// Makes a sample of each picture of a sample's files; a file that cannot be read is left to the
/// reader, which names the problem.
fn sample_pictures(mut sample: Sample, reading: &Reading, problems: &mut Vec<DatasetError>) -> Vec<Sample> {
    sample.reading = *reading;
    let Ok(images) = pictures(&sample.image, reading) else { return vec![sample] };
    let mut references = References::default();
    let masks = if references.add(&sample.mask) {
        // A segmentation names the frames that it shows.
        images.iter().map(|image| references.mask_of(image).unwrap_or_else(|| sample.mask.clone())).collect()
    } else {
        let Ok(masks) = pictures(&sample.mask, reading) else { return vec![sample] };
        masks
    };
    let fields = sample.field_of_view.as_deref().map(|path| pictures(path, reading));
    let fields = match fields {
        Some(Ok(fields)) => Some(fields),
        Some(Err(_)) => return vec![sample],
        None => None,
    };
    for files in std::iter::once(&masks).chain(&fields) {
        if files.len() != images.len() {
            problems.push(DatasetError::Pictures {
                image: sample.image.clone(),
                images: images.len(),
                mask: files.first().map_or_else(|| sample.mask.clone(), |file| PicturePath::new(file).file),
                masks: files.len(),
            });
            return Vec::new();
        }
    }
    if images.len() == 1 {
        return vec![sample];
    }
    let parts = images.into_iter().zip(masks).enumerate().map(|(index, (image, mask))| {
        let number = PicturePath::new(&image).number.unwrap_or(1);
        let field_of_view = fields.as_ref().map(|fields| fields[index].clone());
        Sample { name: format!("{}#{number}", sample.name), image, mask, field_of_view, ..sample.clone() }
    });
    parts.collect()
}
