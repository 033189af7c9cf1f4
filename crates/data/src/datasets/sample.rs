//! One image of a data set with its mask.

use std::path::{Path, PathBuf};

use image::{GrayImage, Rgb32FImage};
use seg_contract::{Pixels, Reading, Spacing, resize_labels};
use thiserror::Error;

use crate::formats::{PicturePath, ReadError, header, open_image_as, read_image_file, read_sized_image};
use crate::masks::{MaskCoding, MaskError, ignore_outside, read_mask_as};

/// The files of an image and its mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The part of their names that image and mask share.
    pub name: String,
    /// The image file.
    pub image: PathBuf,
    /// The mask file.
    pub mask: PathBuf,
    /// The coding of the classes in the mask file.
    pub coding: MaskCoding,
    /// A binary mask of the pixels that count, if the data set has one.
    pub field_of_view: Option<PathBuf>,
    /// The way in which medical images become pictures.
    pub reading: Reading,
}

/// An image with values in [0, 1], its labels, and the millimetres between rows and between columns
/// where they are known.
pub type SizedSample = (Rgb32FImage, GrayImage, Option<[f64; 2]>);

/// An error in loading a sample.
#[derive(Debug, Error)]
pub enum SampleError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ReadError),
    /// The mask or the field of view cannot be read.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// The image does not state the size of its pixels, which resampling needs.
    #[error(
        "`{path}` cannot be resampled to {spacing} mm a pixel: it does not state the size of its pixels; give it as DICOM, NIfTI or \
         a TIFF file that states lengths, or leave out `--resample`"
    )]
    NoSpacing {
        /// The image file.
        path: PathBuf,
        /// The spacing that was asked for.
        spacing: Spacing,
    },
    /// The size of the image's pixels makes no size that can be computed.
    #[error(
        "`{path}` has {}x{} pixels (height x width) of {}x{} mm and cannot be resampled to {spacing} mm a pixel: it would be too \
         large, or a length is no positive number; correct the spacing in the file", image[0], image[1], own[0], own[1]
    )]
    Spacing {
        /// The image file.
        path: PathBuf,
        /// Height and width of the image.
        image: [usize; 2],
        /// The millimetres between its rows and between its columns.
        own: [f64; 2],
        /// The spacing that was asked for.
        spacing: Spacing,
    },
    /// Image and mask, or image and field of view, differ in size.
    #[error(
        "the mask `{mask}` is {}x{}, but its image `{image}` is {}x{}; they must show the same pixels{}",
        mask_size.0, mask_size.1, image_size.0, image_size.1,
        if *turned { ", and the image is turned as its camera noted (EXIF): turn the mask as well, or take out the note" } else { "" }
    )]
    Size {
        /// The mask file.
        mask: PathBuf,
        /// Width and height of the mask, in pixels.
        mask_size: (u32, u32),
        /// The image file.
        image: PathBuf,
        /// Width and height of the image, in pixels.
        image_size: (u32, u32),
        /// True if the image is rotated as its camera noted and the mask is not.
        turned: bool,
    },
}

impl Sample {
    /// Reads the image, values in [0, 1], and its mask, labels of the same size.
    ///
    /// Pixels outside the field of view have the label
    /// [`IGNORE_LABEL`](seg_contract::IGNORE_LABEL).
    ///
    /// # Errors
    /// When a file cannot be read or the sizes differ.
    pub fn load(&self) -> Result<(Rgb32FImage, GrayImage), SampleError> {
        let (image, labels, _) = self.load_sized()?;
        Ok((image, labels))
    }

    /// Reads the image and its mask as [`load`](Self::load) does, and the millimetres between rows
    /// and between columns, where the image names them.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_sized(&self) -> Result<SizedSample, SampleError> {
        let (image, spacing) = read_sized_image(&self.image, &self.reading)?;
        let labels = self.labels(image.dimensions())?;
        Ok((image, labels, spacing))
    }

    /// Reads the image and its mask as the network sees them: resampled where the
    /// [reading](Self::reading) names a spacing, the image as a deployment resamples it, and each
    /// label that of the nearest pixel.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when the image does not state the spacing that this needs.
    pub fn load_seen(&self) -> Result<(Rgb32FImage, GrayImage), SampleError> {
        let (image, labels, own) = self.load_sized()?;
        let size = [image.height(), image.width()].map(|side| side as usize);
        let seen = self.seen(size, own)?;
        if seen == size {
            return Ok((image, labels));
        }
        Ok((Pixels::from(&image).resized(seen), resize_labels(&labels, seen)))
    }

    /// Reads the height and width at which the network sees the image, without its pixels.
    ///
    /// # Errors
    /// When the image cannot be opened, or does not state the spacing that resampling needs.
    pub fn seen_size(&self) -> Result<[usize; 2], SampleError> {
        let reader = open_image_as(&self.image, &self.reading)?;
        let info = reader.info();
        self.seen([info.height, info.width].map(|side| side as usize), info.spacing)
    }

    /// Returns the height and width to which an image of this sample is resampled.
    fn seen(&self, image: [usize; 2], own: Option<[f64; 2]>) -> Result<[usize; 2], SampleError> {
        let Some(spacing) = self.reading.resample else { return Ok(image) };
        let own = own.ok_or_else(|| SampleError::NoSpacing { path: self.image.clone(), spacing })?;
        let of_own = || SampleError::Spacing { path: self.image.clone(), image, own, spacing };
        spacing.size(image, own).ok_or_else(of_own)
    }

    /// Returns true if the image names the size of a pixel; false also for one that cannot be read.
    pub fn is_sized(&self) -> bool {
        open_image_as(&self.image, &self.reading).is_ok_and(|reader| reader.info().spacing.is_some())
    }

    /// Reads the labels of an image of the given width and height.
    pub(crate) fn labels(&self, image_size: (u32, u32)) -> Result<GrayImage, SampleError> {
        let mut labels = self.read_same_size(&self.mask, &self.coding, image_size)?;
        if let Some(path) = &self.field_of_view {
            ignore_outside(&mut labels, &self.read_same_size(path, &MaskCoding::Binary, image_size)?);
        }
        Ok(labels)
    }

    /// Returns true if the image is rotated as its camera noted and the mask is rotated differently
    /// or not at all.
    pub(crate) fn is_turned(&self) -> bool {
        let orientation = |path: &Path| {
            let file = PicturePath::new(path).file;
            header(&file, &read_image_file(&file).ok()?).ok().map(|header| header.orientation)
        };
        let (image, mask) = (orientation(&self.image), orientation(&self.mask));
        image.is_some() && mask.is_some() && image != mask
    }

    /// Reads a mask that must have the image's size.
    fn read_same_size(
        &self,
        path: &Path,
        coding: &MaskCoding,
        image_size: (u32, u32),
    ) -> Result<GrayImage, SampleError> {
        let mask = read_mask_as(path, coding, &self.reading)?;
        if mask.dimensions() != image_size {
            return Err(SampleError::Size {
                mask: path.into(),
                mask_size: mask.dimensions(),
                image: self.image.clone(),
                image_size,
                turned: self.is_turned(),
            });
        }
        Ok(mask)
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use tempfile::TempDir;

    use super::*;

    /// Writes a sample of an image of 4x3 pixels, a mask, and a field of view; the last two as rows
    /// of 4.
    fn sample(mask: &[u8], field_of_view: Option<&[u8]>) -> (TempDir, Sample) {
        let folder = tempfile::tempdir().unwrap();
        let [image, mask_path, field_path] =
            ["image.png", "mask.png", "field.png"].map(|name| folder.path().join(name));
        let save = |values: &[u8], path: &Path| {
            GrayImage::from_raw(4, values.len() as u32 / 4, values.to_vec()).unwrap().save(path).unwrap();
        };
        RgbImage::from_pixel(4, 3, [51, 102, 255].into()).save(&image).unwrap();
        save(mask, &mask_path);
        if let Some(field) = field_of_view {
            save(field, &field_path);
        }
        let field_of_view = field_of_view.map(|_| field_path);
        (
            folder,
            Sample {
                name: "a".into(),
                image,
                mask: mask_path,
                coding: MaskCoding::Binary,
                field_of_view,
                reading: Reading::default(),
            },
        )
    }

    #[test]
    fn a_sample_is_its_image_and_its_labels() {
        let mask = [0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 255, 255];
        let field = [0, 255, 255, 255, 0, 255, 255, 255, 255, 255, 255, 0];
        for (name, field_of_view, labels) in [
            ("without a field of view", None, [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]),
            ("with one", Some(&field[..]), [255, 0, 1, 1, 255, 0, 1, 1, 0, 0, 1, 255]),
        ] {
            let (_folder, sample) = sample(&mask, field_of_view);
            let (image, mask) = sample.load().unwrap();
            assert_eq!(image.dimensions(), (4, 3), "{name}");
            assert_eq!(image.get_pixel(3, 2).0, [0.2, 0.4, 1.0], "{name}");
            assert_eq!(mask.into_raw(), labels, "{name}");
        }
    }

    #[test]
    fn files_of_another_size_are_named_with_both_sizes() {
        for (name, mask, field_of_view, part) in [
            ("mask", &[0; 8][..], None, "mask.png` is 4x2, but its image"),
            ("field of view", &[0; 12][..], Some(&[255; 16][..]), "field.png` is 4x4, but its image"),
        ] {
            let (_folder, sample) = sample(mask, field_of_view);
            let message = sample.load().unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("image.png` is 4x3"), "{name}: {message}");
        }
    }

    #[test]
    fn an_image_without_a_spacing_cannot_be_resampled() {
        let (_folder, mut sample) = sample(&[0; 12], None);
        assert_eq!(sample.load_seen().unwrap(), sample.load().unwrap());
        assert_eq!(sample.seen_size().unwrap(), [3, 4]);
        sample.reading.resample = Some(Spacing([0.5, 0.5]));
        let messages = [sample.load_seen().err(), sample.seen_size().err()].map(|error| error.unwrap().to_string());
        for message in messages {
            assert!(
                message.contains("image.png` cannot be resampled to 0.5 mm a pixel: it does not state"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_file_that_vanished_is_an_error() {
        let (folder, sample) = sample(&[0; 12], None);
        std::fs::remove_file(folder.path().join("mask.png")).unwrap();
        assert!(sample.load().unwrap_err().to_string().contains("mask.png"));
    }
}
