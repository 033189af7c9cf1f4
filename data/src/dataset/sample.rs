//! One image of a data set with its mask.

use std::path::{Path, PathBuf};

use image::{GrayImage, Rgb32FImage};
use thiserror::Error;

use crate::decode::{ReadError, read_image};
use crate::mask::{MaskCoding, MaskError, ignore_outside, read_mask};

/// Where an image and its mask are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What image and mask have in common in their names.
    pub name: String,
    /// The image file.
    pub image: PathBuf,
    /// The mask file.
    pub mask: PathBuf,
    /// How the mask file says which class a pixel has.
    pub coding: MaskCoding,
    /// A binary mask of the part of the image that counts, where the data set has one.
    pub field_of_view: Option<PathBuf>,
}

/// Why a sample cannot be loaded.
#[derive(Debug, Error)]
pub enum SampleError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ReadError),
    /// The mask or the field of view cannot be read.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// Image and mask, or image and field of view, differ in size.
    #[error(
        "the mask `{mask}` is {}x{}, but its image `{image}` is {}x{}; they must show the same pixels",
        mask_size.0, mask_size.1, image_size.0, image_size.1
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
    },
}

impl Sample {
    /// Reads the image, values in [0, 1], and its mask, labels of the same size.
    ///
    /// Pixels outside the field of view have the label [`IGNORE_LABEL`](seg_onnx::contract::IGNORE_LABEL).
    ///
    /// # Errors
    /// When a file cannot be read or the sizes differ.
    pub fn load(&self) -> Result<(Rgb32FImage, GrayImage), SampleError> {
        let image = read_image(&self.image)?;
        let mut labels = self.read_same_size(&self.mask, self.coding, &image)?;
        if let Some(path) = &self.field_of_view {
            ignore_outside(&mut labels, &self.read_same_size(path, MaskCoding::Binary, &image)?);
        }
        Ok((image, labels))
    }

    /// Reads a mask that must be as large as the image.
    fn read_same_size(&self, path: &Path, coding: MaskCoding, image: &Rgb32FImage) -> Result<GrayImage, SampleError> {
        let mask = read_mask(path, coding)?;
        if mask.dimensions() != image.dimensions() {
            return Err(SampleError::Size {
                mask: path.into(),
                mask_size: mask.dimensions(),
                image: self.image.clone(),
                image_size: image.dimensions(),
            });
        }
        Ok(mask)
    }
}
