//! An image at the bit depth of its file.

use std::ops::Range;

use image::{DynamicImage, ImageBuffer, Rgb32FImage, RgbImage};
use seg_contract::{Pixels, Rgb16Image, Samples};

use crate::colors::in_color;

/// Red, green and blue of an image, at the bit depth of its file.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
    /// 8 bits; 255 stands for 1.
    Bits8(RgbImage),
    /// 16 bits; 65535 stands for 1.
    Bits16(Rgb16Image),
    /// Floats in [0, 1].
    Float(Rgb32FImage),
}

impl Picture {
    /// Returns width and height in pixels.
    pub fn dimensions(&self) -> (u32, u32) {
        match self {
            Self::Bits8(image) => image.dimensions(),
            Self::Bits16(image) => image.dimensions(),
            Self::Float(image) => image.dimensions(),
        }
    }

    /// Returns the pixels in the type that functions on images take.
    pub fn pixels(&self) -> Pixels<'_> {
        match self {
            Self::Bits8(image) => image.into(),
            Self::Bits16(image) => image.into(),
            Self::Float(image) => image.into(),
        }
    }

    /// Copies some rows of an image.
    ///
    /// # Panics
    /// When it does not have that many.
    pub fn copy_rows(pixels: Pixels<'_>, rows: Range<u32>) -> Self {
        let width = pixels.size()[1];
        let (columns, height) = (width as u32, rows.end - rows.start);
        let part = rows.start as usize * width..rows.end as usize * width;
        const FITS: &str = "the rows have this size";
        match pixels.samples() {
            Samples::Bits8(pixels) => {
                Self::Bits8(RgbImage::from_raw(columns, height, pixels[part].as_flattened().to_vec()).expect(FITS))
            }
            Samples::Bits16(pixels) => {
                Self::Bits16(Rgb16Image::from_raw(columns, height, pixels[part].as_flattened().to_vec()).expect(FITS))
            }
            Samples::Float(pixels) => {
                Self::Float(Rgb32FImage::from_raw(columns, height, pixels[part].as_flattened().to_vec()).expect(FITS))
            }
        }
    }

    /// Converts the values to [0, 1]: `v / 255` of 8-bit values, `v / 65535` of 16-bit ones.
    pub fn to_float(&self) -> Rgb32FImage {
        let (width, height) = self.dimensions();
        let values = match self {
            Self::Bits8(image) => image.iter().map(|value| f32::from(*value) / 255.0).collect(),
            Self::Bits16(image) => image.iter().map(|value| f32::from(*value) / 65535.0).collect(),
            Self::Float(image) => return image.clone(),
        };
        Rgb32FImage::from_raw(width, height, values).expect("each value has become one")
    }
}

impl From<DynamicImage> for Picture {
    /// Grey becomes three equal values. Transparency is dropped, so that a pixel keeps the colour
    /// stored under it.
    fn from(image: DynamicImage) -> Self {
        match image {
            DynamicImage::ImageLuma8(image) => Self::Bits8(in_color(&image)),
            DynamicImage::ImageLumaA8(image) => Self::Bits8(in_color(&image)),
            DynamicImage::ImageRgb8(image) => Self::Bits8(image),
            DynamicImage::ImageRgba8(image) => Self::Bits8(in_color(&image)),
            DynamicImage::ImageLuma16(image) => Self::Bits16(in_color(&image)),
            DynamicImage::ImageLumaA16(image) => Self::Bits16(in_color(&image)),
            DynamicImage::ImageRgb16(image) => Self::Bits16(image),
            DynamicImage::ImageRgba16(image) => Self::Bits16(in_color(&image)),
            image => Self::Float(image.into_rgb32f()),
        }
    }
}

impl From<Picture> for DynamicImage {
    /// Three equal values in every pixel become grey.
    fn from(picture: Picture) -> Self {
        fn is_grey<T: PartialEq>(pixels: &[[T; 3]]) -> bool {
            pixels.iter().all(|[red, green, blue]| red == green && green == blue)
        }
        let (width, height) = picture.dimensions();
        const FITS: &str = "each pixel has one value";
        match (picture.pixels().samples(), &picture) {
            (Samples::Bits8(pixels), _) if is_grey(pixels) => {
                let values = pixels.iter().map(|pixel| pixel[0]).collect();
                Self::ImageLuma8(ImageBuffer::from_raw(width, height, values).expect(FITS))
            }
            (Samples::Bits16(pixels), _) if is_grey(pixels) => {
                let values = pixels.iter().map(|pixel| pixel[0]).collect();
                Self::ImageLuma16(ImageBuffer::from_raw(width, height, values).expect(FITS))
            }
            (_, Picture::Bits8(image)) => image.clone().into(),
            (_, Picture::Bits16(image)) => image.clone().into(),
            (_, Picture::Float(image)) => image.clone().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn rows_are_those_of_the_whole() {
        let bytes = RgbImage::from_fn(3, 4, |x, y| Rgb([x as u8, y as u8, 7]));
        let words = Rgb16Image::from_fn(3, 4, |x, y| Rgb([x as u16, 300 * y as u16, 7]));
        let floats = Rgb32FImage::from_fn(3, 4, |x, y| Rgb([x as f32 / 3.0, y as f32 / 4.0, 0.5]));
        for picture in [Picture::Bits8(bytes), Picture::Bits16(words), Picture::Float(floats)] {
            let rows = Picture::copy_rows(picture.pixels(), 1..3);
            assert_eq!(rows.dimensions(), (3, 2), "{picture:?}");
            for (x, y) in [(0, 0), (2, 1)] {
                assert_eq!(rows.to_float().get_pixel(x, y), picture.to_float().get_pixel(x, y + 1), "{picture:?}");
            }
        }
    }
}
