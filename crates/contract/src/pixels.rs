//! The pixels of an image at the bit depth in which they were stored.

use image::{ImageBuffer, Rgb, Rgb32FImage, RgbImage};

use crate::resample::stretch;

/// An image of red, green and blue with 16 bits each.
pub type Rgb16Image = ImageBuffer<Rgb<u16>, Vec<u16>>;

/// Red, green and blue of an image, row by row from the top.
///
/// Functions that take an image accept any type that converts to this: images of 8 and of 16 bits
/// as they are in a file, and floating-point values in [0, 1]. None of them is rounded before the
/// network.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// Height and width, in pixels.
    pub(super) size: [usize; 2],
    pub(super) samples: Samples<'a>,
    /// The millimetres between rows and between columns, where they are known.
    pub(super) spacing: Option<[f64; 2]>,
}

/// The values of [`Pixels`].
#[derive(Clone, Copy, Debug)]
pub enum Samples<'a> {
    /// 8 bits; 255 stands for 1.
    Bits8(&'a [[u8; 3]]),
    /// 16 bits; 65535 stands for 1.
    Bits16(&'a [[u16; 3]]),
    /// Floats in [0, 1].
    Float(&'a [[f32; 3]]),
}

impl<'a> Pixels<'a> {
    /// Returns height and width in pixels.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Returns the millimetres between rows and between columns, where they are known.
    pub fn spacing(&self) -> Option<[f64; 2]> {
        self.spacing
    }

    /// States the millimetres between rows and between columns, which a contract with a
    /// [spacing](crate::Reading::resample) asks for.
    #[must_use]
    pub fn with_spacing(self, spacing: Option<[f64; 2]>) -> Self {
        Self { spacing, ..self }
    }

    /// Resizes the image to a height and width, bilinearly where it grows, and by an average where
    /// it shrinks, as a contract does that stretches or resamples images.
    pub fn resized(&self, to: [usize; 2]) -> Rgb32FImage {
        let pixels = match self.samples {
            Samples::Bits8(pixels) => stretch(pixels, self.size, to),
            Samples::Bits16(pixels) => stretch(pixels, self.size, to),
            Samples::Float(pixels) => stretch(pixels, self.size, to),
        };
        let [height, width] = to.map(|side| side as u32);
        Rgb32FImage::from_raw(width, height, pixels.into_flattened()).expect("each pixel has three values")
    }

    /// Returns the values.
    pub fn samples(&self) -> Samples<'a> {
        self.samples
    }
}

/// Returns the size and the pixels of an image.
macro_rules! from_image {
    ($image:ty, $samples:ident) => {
        impl<'a> From<&'a $image> for Pixels<'a> {
            fn from(image: &'a $image) -> Self {
                let size = [image.height() as usize, image.width() as usize];
                Self { size, samples: Samples::$samples(image.as_raw().as_chunks().0), spacing: None }
            }
        }
    };
}
from_image!(RgbImage, Bits8);
from_image!(Rgb16Image, Bits16);
from_image!(Rgb32FImage, Float);

/// Returns a value as a share of the largest possible one.
pub(super) trait Share: Copy {
    fn share(self) -> f32;
}

impl Share for u8 {
    fn share(self) -> f32 {
        f32::from(self) / 255.0
    }
}

impl Share for u16 {
    fn share(self) -> f32 {
        f32::from(self) / 65535.0
    }
}

impl Share for f32 {
    fn share(self) -> f32 {
        self
    }
}
