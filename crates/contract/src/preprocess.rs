//! Preprocessing: from an image to the network's input, in training and deployment alike.

use ndarray::Array3;
use thiserror::Error;

use crate::pixels::Share;
use crate::resample::Stretcher;
use crate::window::mirrored;
use crate::{Contract, Geometry, Input, Pixels, Placement, Samples, Spacing, Window};

/// An image as the network takes it, with the geometry that maps its output back.
#[derive(Clone, Debug)]
pub struct Preprocessed {
    /// `[channels, height, width]`, normalised.
    pub tensor: Array3<f32>,
    /// The relation of the tensor's pixels to the image's.
    pub geometry: Geometry,
}

/// An error in preprocessing an image.
#[derive(Debug, Error)]
pub enum PreprocessError {
    /// The image has no pixels.
    #[error("the image has no pixels: it is {width}x{height}")]
    Empty {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// The graph takes one size, and the image would be run at another.
    #[error(
        "the model takes images of {}x{} (height x width) only, this one is {}x{}; cut it into tiles of that size, or \
         export the model with `--size dynamic`", expected[0], expected[1], found[0], found[1]
    )]
    Size {
        /// Height and width that the graph takes.
        expected: [usize; 2],
        /// Height and width at which the image would be run.
        found: [usize; 2],
    },
    /// The model takes images of one spacing, and the image does not state its own.
    #[error(
        "the model takes images resampled to {spacing} mm a pixel, but the size of the image's pixels is not known; give it as \
         DICOM, NIfTI or a TIFF file that states lengths, or use a model without a spacing"
    )]
    NoSpacing {
        /// The spacing that the model takes.
        spacing: Spacing,
    },
    /// The image's spacing makes no size that can be computed.
    #[error(
        "an image of {}x{} (height x width) with pixels of {}x{} mm cannot be resampled to {spacing} mm a pixel: it would be too \
         large, or a length is no positive number; correct the spacing in the file", image[0], image[1], own[0], own[1]
    )]
    Spacing {
        /// Height and width of the image.
        image: [usize; 2],
        /// The millimetres between its rows and between its columns.
        own: [f64; 2],
        /// The spacing that the model takes.
        spacing: Spacing,
    },
}

impl Contract {
    /// Computes the network's input for an image of any size.
    ///
    /// # Errors
    /// When the image has no pixels, the graph takes only another size, or the model a spacing that
    /// the image does not state.
    pub fn preprocess<'a>(&self, image: impl Into<Pixels<'a>>) -> Result<Preprocessed, PreprocessError> {
        let image = image.into();
        let geometry = self.geometry(&image)?;
        let tensor = match geometry.placement {
            Placement::Extended => self.input.normalize(image, geometry.network),
            Placement::Stretched | Placement::Resampled { .. } => {
                self.input.normalize(&image.resized(geometry.shown()), geometry.network)
            }
        };
        Ok(Preprocessed { tensor, geometry })
    }

    /// Returns the geometry of an image.
    fn geometry(&self, image: &Pixels<'_>) -> Result<Geometry, PreprocessError> {
        let [height, width] = image.size();
        if width == 0 || height == 0 {
            return Err(PreprocessError::Empty { width, height });
        }
        let seen = self.input.resampled(image.size(), image.spacing())?;
        let geometry = self.input.geometry(seen).of_resampled(image.size());
        match self.input.form.size.filter(|size| *size != geometry.network) {
            Some(expected) => Err(PreprocessError::Size { expected, found: geometry.network }),
            None => Ok(geometry),
        }
    }

    /// Starts the network's input for an image whose rows come one after the other, and whose
    /// `spacing` are the millimetres between rows and between columns where they are known; `None`
    /// where the network neither stretches nor resamples it. The result is that of
    /// [`preprocess`](Self::preprocess), to the last bit, and only a few rows of the image are
    /// kept.
    ///
    /// # Errors
    /// As [`preprocess`](Self::preprocess).
    pub fn stretching(
        &self,
        image: [usize; 2],
        spacing: Option<[f64; 2]>,
    ) -> Result<Option<Stretching>, PreprocessError> {
        let empty = Pixels { size: image, samples: Samples::Bits8(&[]), spacing };
        if self.input.resampled(image, spacing)? == image && self.input.geometry(image).placement == Placement::Extended
        {
            return Ok(None);
        }
        let geometry = self.geometry(&empty)?;
        Ok(Some(Stretching { stretcher: Stretcher::new(image, geometry.shown()), geometry }))
    }

    /// Computes the network's input for an image of any size, as [`preprocess`](Self::preprocess)
    /// does. If the graph takes only another size, it is that of the [middle](Window::middle), cut
    /// as a tile of that size; the window is one of the resampled image where the network sees
    /// that.
    ///
    /// # Errors
    /// When the image has no pixels, or the model takes a spacing that the image does not state.
    pub fn preprocess_middle<'a>(
        &self,
        image: impl Into<Pixels<'a>>,
    ) -> Result<(Preprocessed, Option<Window>), PreprocessError> {
        let image = image.into();
        match self.preprocess(image) {
            Err(PreprocessError::Size { expected, .. }) => {
                let seen = self.input.resampled(image.size(), image.spacing())?;
                let window = Window::middle(seen, expected);
                let tensor = match seen == image.size() {
                    true => self.input.normalize_window(image, &window),
                    false => self.input.normalize_window(&image.resized(seen), &window),
                };
                let geometry = Geometry { image: window.inside(), network: expected, placement: Placement::Extended };
                Ok((Preprocessed { tensor, geometry }, Some(window)))
            }
            done => Ok((done?, None)),
        }
    }
}

/// The network's input while the rows of an image come.
pub struct Stretching {
    stretcher: Stretcher<3>,
    geometry: Geometry,
}

impl Stretching {
    /// Takes the next rows, from top to bottom.
    ///
    /// # Panics
    /// When they have another width than the image, or the image has fewer rows.
    pub fn push<'a>(&mut self, rows: impl Into<Pixels<'a>>) {
        let rows = rows.into();
        let (width, image) = (rows.size()[1], self.geometry.image);
        assert_eq!(width, image[1], "the rows of an image have its width");
        assert!(self.stretcher.missing() >= rows.size()[0], "an image has no more than its {} rows", image[0]);
        match rows.samples() {
            Samples::Bits8(pixels) => pixels.chunks_exact(width).for_each(|line| self.stretcher.push(line)),
            Samples::Bits16(pixels) => pixels.chunks_exact(width).for_each(|line| self.stretcher.push(line)),
            Samples::Float(pixels) => pixels.chunks_exact(width).for_each(|line| self.stretcher.push(line)),
        }
    }

    /// Returns the input of the contract's network.
    ///
    /// # Panics
    /// When not all rows have come.
    pub fn finish(self, contract: &Contract) -> Preprocessed {
        let stretched = self.stretcher.finish();
        let (size, samples) = (self.geometry.shown(), Samples::Float(&stretched));
        let tensor = contract.input.normalize(Pixels { size, samples, spacing: None }, self.geometry.network);
        Preprocessed { tensor, geometry: self.geometry }
    }
}

impl Input {
    /// Returns `(x - mean) / std` per channel as `[channels, height, width]`.
    ///
    /// Beyond the image its last row and column are repeated. Where sides are multiples of a number
    /// it is mirrored there, as a [window](Self::normalize_window) is: the added part can then be
    /// wide, and a repeated border has no texture.
    pub fn normalize<'a>(&self, image: impl Into<Pixels<'a>>, size: [usize; 2]) -> Array3<f32> {
        let image = image.into();
        let [rows, columns] = [0, 1].map(|axis| self.extended(image.size()[axis], size[axis]));
        self.gather(image, &rows, &columns)
    }

    /// Returns the places along a side of the image that are read for each place of the network's
    /// side.
    fn extended(&self, image: usize, network: usize) -> Vec<usize> {
        let last = image - 1;
        if self.side_multiple == 1 {
            (0..network).map(|place| place.min(last)).collect()
        } else {
            (0..network).map(|place| mirrored(place, last)).collect()
        }
    }

    /// Normalises a window of an image that is given in a band of rows; beyond the image it is
    /// mirrored at its last pixels.
    ///
    /// # Panics
    /// When the band lacks a row that the window reads; [`Window::rows`] suffice.
    pub fn normalize_window<'a>(&self, band: impl Into<Pixels<'a>>, window: &Window) -> Array3<f32> {
        let band = band.into();
        let rows = window.mirrored(0).map(|row| row - window.band_top).collect::<Vec<_>>();
        let columns = window.mirrored(1).collect::<Vec<_>>();
        self.gather(band, &rows, &columns)
    }

    /// Computes `(x - mean) / std` per channel of the given rows and columns of an image.
    fn gather(&self, image: Pixels<'_>, rows: &[usize], columns: &[usize]) -> Array3<f32> {
        match image.samples() {
            Samples::Bits8(pixels) => self.gather_from(pixels, image.size()[1], rows, columns),
            Samples::Bits16(pixels) => self.gather_from(pixels, image.size()[1], rows, columns),
            Samples::Float(pixels) => self.gather_from(pixels, image.size()[1], rows, columns),
        }
    }

    fn gather_from<T: Share>(&self, pixels: &[[T; 3]], width: usize, rows: &[usize], columns: &[usize]) -> Array3<f32> {
        let channels = self.color.channels();
        let plane = rows.len() * columns.len();
        let mut values = vec![0.0; channels * plane];
        let (first, last) =
            columns.iter().fold((usize::MAX, 0), |(first, last), place| (first.min(*place), last.max(*place)));
        // The pixels that are read of each row, in the network's channels.
        let mut line = vec![[0.0; 3]; (last + 1).saturating_sub(first)];
        for (index, row) in rows.iter().enumerate() {
            let read = &pixels[row * width + first..][..line.len()];
            for (arranged, pixel) in line.iter_mut().zip(read) {
                *arranged = self.color.arrange(pixel.map(Share::share));
            }
            for channel in 0..channels {
                let (mean, std) = (self.mean[channel], self.std[channel]);
                let target = &mut values[channel * plane + index * columns.len()..][..columns.len()];
                for (value, place) in target.iter_mut().zip(columns) {
                    *value = (line[place - first][channel] - mean) / std;
                }
            }
        }
        Array3::from_shape_vec((channels, rows.len(), columns.len()), values).expect("the planes have these sizes")
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, Rgb32FImage, RgbImage};
    use ndarray::Axis;

    use super::*;
    use crate::example::contract;
    use crate::{ColorOrder, Rgb16Image, SizePolicy};

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
    fn images_are_mirrored_up_to_a_multiple_and_the_answer_is_cut() {
        let mut contract = contract();
        (contract.input.mean, contract.input.std) = (vec![0.0; 3], vec![64.0_f32.recip(); 3]);
        contract.input.side_multiple = 16;
        // Width, height, and the network's height and width.
        for (name, width, height, network) in [
            ("a multiple", 32, 16, [16, 32]),
            ("odd sides", 19, 33, [48, 32]),
            ("one above a multiple", 17, 16, [16, 32]),
            ("narrower than half a multiple", 5, 16, [16, 16]),
            ("one pixel", 1, 1, [16, 16]),
        ] {
            let image = ramp(width, height);
            let Preprocessed { tensor, geometry } = contract.preprocess(&image).unwrap();
            assert_eq!((geometry.network, tensor.dim()), (network, (3, network[0], network[1])), "{name}");
            let window = Window { image: geometry.image, corner: [0, 0], size: geometry.network, band_top: 0 };
            assert_eq!(tensor, contract.input.normalize_window(&image, &window), "{name}: as a tile has it");
            if network[1] > width as usize && width > 1 {
                let column = tensor[[0, 0, width as usize]];
                assert_eq!(column, (width - 2) as f32, "{name}: the first column that was added");
            }
            // Class 1 beyond the image, class 0 in it.
            let scores = Array3::from_shape_fn((2, network[0], network[1]), |(class, y, x)| {
                f32::from((class == 1) == (y >= height as usize || x >= width as usize))
            });
            let mask = contract.postprocess(scores.view(), &geometry).unwrap();
            assert_eq!(mask.dimensions(), (width, height), "{name}");
            assert!(mask.iter().all(|class| *class == 0), "{name}");
            let classes = scores.index_axis(Axis(0), 1).mapv(|score| score as u8);
            assert_eq!(contract.postprocess_mask(classes.view(), &geometry).unwrap(), mask, "{name}");
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
    fn rows_that_come_one_after_the_other_give_the_bits_of_the_whole() {
        let mut contract = contract();
        assert!(contract.stretching([20, 20], None).unwrap().is_none(), "an image that is not stretched");
        contract.input.size = SizePolicy::Resize { height: 16, width: 24 };
        for (name, size, rows) in [
            ("shrunk", [70, 50], 9),
            ("grown", [5, 7], 2),
            ("as large", [16, 24], 1),
            ("flat", [1, 500], 1),
            ("upright", [500, 1], 7),
        ] {
            let [height, width] = size;
            let value = |index: usize| (index * 7919 % 65536) as u16;
            let image = Rgb16Image::from_fn(width as u32, height as u32, |x, y| {
                let index = y as usize * width + x as usize;
                Rgb([value(index), value(3 * index + 1), value(index * index)])
            });
            let mut stretching = contract.stretching(size, None).unwrap().expect(name);
            for band in image.as_raw().as_chunks::<3>().0.chunks(rows * width) {
                stretching.push(Pixels {
                    size: [band.len() / width, width],
                    samples: Samples::Bits16(band),
                    spacing: None,
                });
            }
            let expected = contract.preprocess(&image).unwrap();
            let found = stretching.finish(&contract);
            assert!(found.tensor == expected.tensor && found.geometry == expected.geometry, "{name}");
        }
        assert!(matches!(contract.stretching([0, 3], None), Err(PreprocessError::Empty { .. })));
    }

    #[test]
    fn rows_that_the_image_does_not_have_are_refused() {
        let mut contract = contract();
        contract.input.size = SizePolicy::Resize { height: 16, width: 24 };
        let image = ramp(30, 20);
        let whole = contract.preprocess(&image).unwrap().tensor;
        for (name, width, height, is_accepted) in [
            ("its rows", 30, 12, true),
            ("narrower", 29, 12, false),
            ("half as wide", 15, 12, false),
            ("wider", 31, 12, false),
            ("one row more", 30, 13, false),
        ] {
            let pushed = std::panic::catch_unwind(|| {
                let mut stretching = contract.stretching([20, 30], None).unwrap().unwrap();
                stretching.push(&image::imageops::crop_imm(&image, 0, 0, 30, 8).to_image());
                stretching.push(&Rgb32FImage::from_fn(width, height, |x, y| {
                    Rgb([x as f32 / 64.0, (y + 8) as f32 / 64.0, 0.5])
                }));
                stretching.finish(&contract).tensor
            });
            match pushed {
                Ok(tensor) => assert!(is_accepted && tensor == whole, "{name}"),
                Err(_) => assert!(!is_accepted, "{name}"),
            }
        }
    }

    #[test]
    fn another_size_than_the_only_one_is_an_error() {
        let mut contract = contract();
        contract.input.form.size = Some([16, 24]);
        for (name, width, height, accepted) in [
            ("the size", 24, 16, true),
            ("extended to the size", 24, 3, true),
            ("larger", 24, 17, false),
            ("turned", 16, 24, false),
        ] {
            let found = contract.preprocess(&ramp(width, height));
            assert_eq!(found.is_ok(), accepted, "{name}");
        }
        let message = contract.preprocess(&ramp(30, 20)).unwrap_err().to_string();
        assert!(
            message.starts_with("the model takes images of 16x24 (height x width) only, this one is 20x30"),
            "{message}"
        );
        contract.input.size = SizePolicy::Resize { height: 16, width: 24 };
        assert!(contract.preprocess(&ramp(30, 20)).is_ok(), "stretched to the size");
    }

    #[test]
    fn of_an_image_of_another_size_the_middle_is_looked_at() {
        let mut contract = contract();
        contract.input.mean = vec![0.0; 3];
        contract.input.std = vec![64.0_f32.recip(); 3];
        contract.input.form.size = Some([16, 24]);
        for (name, width, height, corner, inside) in [
            ("the size", 24, 16, None, [16, 24]),
            ("extended to the size", 24, 3, None, [3, 24]),
            ("larger", 31, 20, Some([2, 3]), [16, 24]),
            ("wider and lower", 30, 10, Some([0, 3]), [10, 24]),
            ("smaller", 20, 10, Some([0, 0]), [10, 20]),
        ] {
            let (Preprocessed { tensor, geometry }, window) = contract.preprocess_middle(&ramp(width, height)).unwrap();
            assert_eq!(window.map(|window| window.corner), corner, "{name}");
            assert_eq!((tensor.dim(), geometry.network, geometry.image), ((3, 16, 24), [16, 24], inside), "{name}");
            let [top, left] = corner.unwrap_or_default();
            for (row, column) in [(0, 0), (inside[0] - 1, inside[1] - 1)] {
                let found = [1, 0].map(|channel| tensor[[channel, row, column]]);
                assert_eq!(found, [(top + row) as f32, (left + column) as f32], "{name}");
            }
        }
    }

    #[test]
    fn an_image_without_pixels_is_an_error() {
        assert!(contract().preprocess(&Rgb32FImage::new(0, 0)).unwrap_err().to_string().contains("0x0"));
    }

    #[test]
    fn stored_bits_reach_the_network_as_their_exact_share() {
        let mut contract = contract();
        contract.input.side_min = 1;
        let bytes = RgbImage::from_fn(256, 1, |x, _| Rgb([x as u8; 3]));
        let words = Rgb16Image::from_fn(256, 256, |x, y| Rgb([(256 * y + x) as u16; 3]));
        let red = |image: Pixels<'_>| contract.preprocess(image).unwrap().tensor.index_axis(Axis(0), 0).to_owned();
        assert!(red((&bytes).into()).iter().enumerate().all(|(i, v)| *v == (i as f32 / 255.0 - 0.5) / 0.5), "8 bits");
        let words = red((&words).into());
        assert!(words.iter().enumerate().all(|(i, v)| *v == (i as f32 / 65535.0 - 0.5) / 0.5), "16 bits");
        let mut levels: Vec<_> = words.iter().map(|value| value.to_bits()).collect();
        levels.sort_unstable();
        levels.dedup();
        assert_eq!(levels.len(), 65536, "levels that a network can tell apart");
    }

    #[test]
    fn an_image_is_resampled_to_the_spacing_in_any_way_that_it_comes() {
        let mut contract = contract();
        contract.input.reading.resample = Some(Spacing([0.5, 0.5]));
        for (name, [height, width], own, seen) in [
            ("larger", [20, 31], [1.0, 0.75], [40, 47]),
            ("smaller", [70, 90], [0.25, 0.2], [35, 36]),
            ("smaller than the network", [20, 20], [0.2, 0.3], [8, 12]),
            ("as it is", [20, 31], [0.5, 0.5], [20, 31]),
            ("nearly as it is", [20, 31], [0.5001, 0.4999], [20, 31]),
        ] {
            let image = Rgb16Image::from_fn(width as u32, height as u32, |x, y| {
                Rgb([x * 977 + y * 31, x * y * 7, y * 4001].map(|value| value as u16))
            });
            let pixels = Pixels::from(&image).with_spacing(Some(own));
            let found = contract.preprocess(pixels).unwrap();
            let mut plain = contract.clone();
            plain.input.reading.resample = None;
            let resized = match seen == [height, width] {
                true => plain.preprocess(&image).unwrap(),
                false => plain.preprocess(&pixels.resized(seen)).unwrap(),
            };
            assert!(found.tensor == resized.tensor, "{name}");
            assert_eq!(found.geometry, resized.geometry.of_resampled([height, width]), "{name}");
            assert_eq!((found.geometry.image, found.geometry.shown()), ([height, width], seen), "{name}");
            match contract.stretching([height, width], Some(own)).unwrap() {
                None => assert_eq!(seen, [height, width], "{name}"),
                Some(mut stretching) => {
                    for band in image.as_raw().as_chunks::<3>().0.chunks(3 * width) {
                        let size = [band.len() / width, width];
                        stretching.push(Pixels { size, samples: Samples::Bits16(band), spacing: None });
                    }
                    let banded = stretching.finish(&contract);
                    assert!(banded.tensor == found.tensor && banded.geometry == found.geometry, "{name}");
                }
            }
            let (_, rows, columns) = found.tensor.dim();
            let mask = contract.postprocess(Array3::zeros((2, rows, columns)).view(), &found.geometry).unwrap();
            assert_eq!(mask.dimensions(), (width as u32, height as u32), "{name}");
        }
    }

    #[test]
    fn an_image_without_a_spacing_is_refused_where_the_network_needs_one() {
        let mut contract = contract();
        contract.input.reading.resample = Some(Spacing([0.5, 0.8]));
        let image = ramp(20, 20);
        let message = contract.preprocess(&image).unwrap_err().to_string();
        assert!(message.contains("resampled to 0.5x0.8 mm a pixel, but the size of the image's pixels"), "{message}");
        let of = |own| contract.preprocess(Pixels::from(&image).with_spacing(Some(own))).map(|_| ());
        let message = of([1e6, 1e6]).unwrap_err().to_string();
        assert!(message.contains("pixels of 1000000x1000000 mm cannot be resampled to 0.5x0.8 mm"), "{message}");
        assert!(of([-1.0, 1.0]).is_err() && of([0.5, f64::NAN]).is_err() && of([1.0, 1.0]).is_ok());
    }

    #[test]
    fn the_middle_is_that_of_the_resampled_image() {
        let mut contract = contract();
        contract.input.reading.resample = Some(Spacing([0.5, 0.5]));
        contract.input.form.size = Some([16, 24]);
        let image = ramp(20, 30);
        let pixels = Pixels::from(&image).with_spacing(Some([1.0, 1.0]));
        let (found, window) = contract.preprocess_middle(pixels).unwrap();
        let window = window.unwrap();
        assert_eq!((window.image, window.corner), ([60, 40], [22, 8]));
        let expected = contract.input.normalize_window(&pixels.resized([60, 40]), &window);
        assert!(found.tensor == expected);
        assert_eq!(found.geometry, Geometry { image: [16, 24], network: [16, 24], placement: Placement::Extended });
    }
}
