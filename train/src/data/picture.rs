//! A decoded image with its labels, in as few bits as hold it.

use image::imageops::{self, FilterType};
use image::{GrayImage, Rgb32FImage};
use rand::Rng;
use seg_contract::{IGNORE_LABEL, SizePolicy};
use seg_data::{Sample, SampleError};

/// A decoded image with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    width: u32,
    height: u32,
    /// Width and height at which the network sees it.
    seen: (u32, u32),
    pixels: Pixels,
}

/// Red, green, blue and the label of each pixel, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Colours in 8 bits: 255 stands for 1.
    Bits8(Vec<[u8; 4]>),
    /// Colours in 16 bits: 65535 stands for 1.
    Bits16(Vec<[u16; 4]>),
}

impl Picture {
    /// Keeps an image of values in [0, 1] and its labels, which have the same size.
    ///
    /// The values are kept in 8 bits where that loses nothing, else in 16: exactly where they were
    /// read from a file, and to the nearest step where an image was stretched.
    ///
    /// # Panics
    /// When the sizes differ.
    pub fn new(image: &Rgb32FImage, labels: &GrayImage) -> Self {
        assert_eq!(image.dimensions(), labels.dimensions(), "an image and its labels have one size");
        let pixels = image.pixels().map(|pixel| pixel.0).zip(labels.iter().copied());
        // The casts round, for what they cut off is at least 0.
        let byte = |value: f32| (value * 255.0 + 0.5) as u8;
        let wide = |value: f32| (value * 65535.0 + 0.5) as u16;
        let pixels = if image.iter().all(|value| f32::from(byte(*value)) / 255.0 == *value) {
            Pixels::Bits8(pixels.map(|([r, g, b], label)| [byte(r), byte(g), byte(b), label]).collect())
        } else {
            Pixels::Bits16(pixels.map(|([r, g, b], label)| [wide(r), wide(g), wide(b), label.into()]).collect())
        };
        Self { width: image.width(), height: image.height(), seen: image.dimensions(), pixels }
    }

    /// Loads a sample for a network of this size policy: [resampled](Sample::load_seen) where the
    /// sample's reading names a spacing, else with as many pixels as its file has, but at most
    /// `detail` times those that the network sees in each direction.
    ///
    /// It is not stretched to the network's size: a view does that in the same step as all else
    /// that moves pixels, so that it is as sharp as what a deployment sees.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn load(sample: &Sample, size: SizePolicy, detail: u32) -> Result<Self, SampleError> {
        let (mut image, mut labels) = sample.load_seen()?;
        let SizePolicy::Resize { height, width } = size else { return Ok(Self::new(&image, &labels)) };
        let seen = (width as u32, height as u32);
        let kept = (image.width().min(detail * seen.0), image.height().min(detail * seen.1));
        if kept != image.dimensions() {
            // This filter keeps most of what the view's own filter, which follows, lets through.
            image = imageops::resize(&image, kept.0, kept.1, FilterType::Lanczos3);
            labels = imageops::resize(&labels, kept.0, kept.1, FilterType::Nearest);
        }
        Ok(Self { seen, ..Self::new(&image, &labels) })
    }

    /// Draws a pixel of a class: a class among those of the picture but the background, then one of
    /// its pixels. `None` where there is no class but the background.
    pub fn draw_target(&self, rng: &mut impl Rng) -> Option<[u32; 2]> {
        let labels: Box<dyn Iterator<Item = u8>> = match &self.pixels {
            Pixels::Bits8(pixels) => Box::new(pixels.iter().map(|pixel| pixel[3])),
            Pixels::Bits16(pixels) => Box::new(pixels.iter().map(|pixel| pixel[3] as u8)),
        };
        let mut counts = [0_usize; 256];
        let labels: Vec<u8> = labels.inspect(|label| counts[usize::from(*label)] += 1).collect();
        let classes: Vec<u8> = (1..IGNORE_LABEL).filter(|class| counts[usize::from(*class)] > 0).collect();
        if classes.is_empty() {
            return None;
        }
        let class = classes[rng.random_range(0..classes.len())];
        let number = rng.random_range(0..counts[usize::from(class)]);
        let (place, _) = labels.iter().enumerate().filter(|(_, label)| **label == class).nth(number)?;
        Some([place as u32 % self.width, place as u32 / self.width])
    }

    /// Width and height in pixels.
    pub fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Width and height at which the network sees it, in pixels: what a scale of 1 stands for.
    pub fn seen(&self) -> (u32, u32) {
        self.seen
    }

    /// Red, green, blue and the label of each pixel, row by row.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// Returns the memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.pixels {
            Pixels::Bits8(pixels) => size_of_val(pixels.as_slice()),
            Pixels::Bits16(pixels) => size_of_val(pixels.as_slice()),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb};

    use super::*;

    #[test]
    fn what_a_file_held_is_kept_exactly_in_as_few_bits_as_hold_it() {
        let labels = GrayImage::from_fn(256, 256, |x, y| Luma([(x ^ y) as u8]));
        for (name, largest, bytes_per_pixel) in [("8 bits", 255u32, 4), ("16 bits", 65535, 8)] {
            let image = Rgb32FImage::from_fn(256, 256, |x, y| {
                let value = (256 * y + x) % (largest + 1);
                Rgb([value, largest - value, 0].map(|value| value as f32 / largest as f32))
            });
            let picture = Picture::new(&image, &labels);
            assert_eq!(picture.bytes(), bytes_per_pixel * 256 * 256, "{name}");
            let kept: Vec<[u32; 4]> = match picture.pixels() {
                Pixels::Bits8(pixels) => pixels.iter().map(|pixel| pixel.map(u32::from)).collect(),
                Pixels::Bits16(pixels) => pixels.iter().map(|pixel| pixel.map(u32::from)).collect(),
            };
            for ((kept, pixel), label) in kept.iter().zip(image.pixels()).zip(labels.iter()) {
                let [red, green, blue, kept_label] = *kept;
                assert_eq!([red, green, blue].map(|value| value as f32 / largest as f32), pixel.0, "{name}");
                assert_eq!(kept_label, u32::from(*label), "{name}");
            }
        }
    }
}
