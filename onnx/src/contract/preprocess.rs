//! From an image to the network's input, for training and deployment alike.

use image::{Rgb32FImage, imageops};
use ndarray::{Array3, Axis};
use thiserror::Error;

use super::{Contract, Input, SizePolicy};

/// An image as the network takes it, with what is needed to bring its answer back.
#[derive(Clone, Debug)]
pub struct Preprocessed {
    /// `[channels, height, width]`, normalised.
    pub tensor: Array3<f32>,
    /// How the tensor's pixels relate to the image's.
    pub geometry: Geometry,
}

/// How the network's pixels relate to the image's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width of the image, in pixels.
    pub image: [usize; 2],
    /// Height and width at which the network runs, in pixels.
    pub network: [usize; 2],
    /// How the one became the other.
    pub placement: Placement,
}

/// How an image was brought to the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// At the top left corner, its last row and column repeated to the right and below where that was needed.
    Extended,
    /// Stretched, with a triangle filter that is widened when the image shrinks.
    Stretched,
}

/// Why an image cannot be preprocessed.
#[derive(Debug, Error)]
pub enum PreprocessError {
    /// The image has no pixel.
    #[error("the image has no pixels: it is {width}x{height}")]
    Empty {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
}

impl Contract {
    /// The network's input for an image whose values are in [0, 1], whatever its size.
    ///
    /// # Errors
    /// When the image has no pixels.
    pub fn preprocess(&self, image: &Rgb32FImage) -> Result<Preprocessed, PreprocessError> {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return Err(PreprocessError::Empty { width, height });
        }
        let geometry = self.input.geometry([height as usize, width as usize]);
        let tensor = match geometry.placement {
            Placement::Extended => self.input.normalize(image, geometry.network),
            Placement::Stretched => {
                let [height, width] = geometry.network.map(|side| side as u32);
                let stretched = imageops::resize(image, width, height, imageops::FilterType::Triangle);
                self.input.normalize(&stretched, geometry.network)
            }
        };
        Ok(Preprocessed { tensor, geometry })
    }
}

impl Input {
    /// How an image of the given height and width is brought to the network.
    pub fn geometry(&self, image: [usize; 2]) -> Geometry {
        match self.size {
            SizePolicy::Native => {
                Geometry { image, network: image.map(|side| side.max(self.side_min)), placement: Placement::Extended }
            }
            SizePolicy::Resize { height, width } => {
                Geometry { image, network: [height, width], placement: Placement::Stretched }
            }
        }
    }

    /// `(x - mean) / std` per channel as `[channels, height, width]`; beyond the image its border is repeated.
    pub fn normalize(&self, image: &Rgb32FImage, [height, width]: [usize; 2]) -> Array3<f32> {
        let channels = self.color.channels();
        let (right, bottom) = (image.width() - 1, image.height() - 1);
        let mut tensor = Array3::zeros((channels, height, width));
        for y in 0..height {
            let mut row = tensor.index_axis_mut(Axis(1), y);
            for x in 0..width {
                let pixel = image.get_pixel((x as u32).min(right), (y as u32).min(bottom));
                let values = self.color.arrange(pixel.0);
                for channel in 0..channels {
                    row[[channel, x]] = (values[channel] - self.mean[channel]) / self.std[channel];
                }
            }
        }
        tensor
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::super::{ColorOrder, tests::contract};
    use super::*;

    fn ramp(width: u32, height: u32) -> Rgb32FImage {
        Rgb32FImage::from_fn(width, height, |x, y| Rgb([x as f32 / 64.0, y as f32 / 64.0, 0.5]))
    }

    #[test]
    fn native_images_keep_their_size_and_small_ones_repeat_their_border() {
        for (name, size, network) in
            [("large enough", (20, 33), [33, 20]), ("narrow", (5, 33), [33, 16]), ("one pixel", (1, 1), [16, 16])]
        {
            let image = ramp(size.0, size.1);
            let done = contract().preprocess(&image).unwrap();
            assert_eq!(done.geometry.network, network, "{name}");
            let last = image.get_pixel(size.0 - 1, size.1 - 1);
            assert_eq!(done.tensor[[0, network[0] - 1, network[1] - 1]], (last[0] - 0.5) / 0.5, "{name}");
            assert_eq!(done.tensor[[1, 0, 0]], (0.0 - 0.25) / 0.25, "{name}");
        }
    }

    #[test]
    fn channels_come_in_the_contracts_order() {
        let image = Rgb32FImage::from_pixel(16, 16, Rgb([0.1, 0.2, 0.3]));
        let gray = 0.2126 * 0.1 + 0.7152 * 0.2 + 0.0722 * 0.3;
        for (color, expected) in [
            (ColorOrder::Rgb, vec![0.1, 0.2, 0.3]),
            (ColorOrder::Bgr, vec![0.3, 0.2, 0.1]),
            (ColorOrder::Gray, vec![gray]),
        ] {
            let mut contract = contract();
            contract.input.color = color;
            contract.input.mean = vec![0.0; expected.len()];
            contract.input.std = vec![1.0; expected.len()];
            let tensor = contract.preprocess(&image).unwrap().tensor;
            assert_eq!(tensor.slice(ndarray::s![.., 3, 7]).to_vec(), expected, "{color:?}");
        }
    }

    #[test]
    fn stretching_keeps_a_constant_and_the_mean_of_a_ramp() {
        let mut contract = contract();
        contract.input.size = SizePolicy::Resize { height: 24, width: 32 };
        let done = contract.preprocess(&ramp(64, 48)).unwrap();
        assert_eq!(done.tensor.dim(), (3, 24, 32));
        assert!(done.tensor.index_axis(Axis(0), 2).iter().all(|value| (value - (0.5 - 0.125) / 0.25).abs() < 1e-6));
        let mean = done.tensor.index_axis(Axis(0), 0).mean().unwrap();
        assert!((mean - ((31.5 / 64.0) - 0.5) / 0.5).abs() < 1e-3, "{mean}");
    }

    #[test]
    fn an_image_without_pixels_is_an_error() {
        assert!(contract().preprocess(&Rgb32FImage::new(0, 0)).unwrap_err().to_string().contains("0x0"));
    }
}
