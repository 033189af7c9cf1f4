//! Preprocessing: from an image to the network's input, in training and deployment alike.

use std::ops::Range;

use ndarray::{Array3, ArrayView3, s};
use thiserror::Error;

use crate::pixels::Share;
use crate::resample::{Stretcher, stretch};
use crate::{Contract, Input, Pixels, Samples, SizePolicy};

/// An image as the network takes it, with the geometry that maps its output back.
#[derive(Clone, Debug)]
pub struct Preprocessed {
    /// `[channels, height, width]`, normalised.
    pub tensor: Array3<f32>,
    /// The relation of the tensor's pixels to the image's.
    pub geometry: Geometry,
}

/// The relation of the network's pixels to the image's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width of the image, in pixels.
    pub image: [usize; 2],
    /// Height and width at which the network runs, in pixels.
    pub network: [usize; 2],
    /// The way in which the image was brought to that size.
    pub placement: Placement,
}

/// The way in which an image was brought to the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Placed at the top left corner, and extended to the right and below if necessary.
    Extended,
    /// Stretched, with a triangle filter that is widened if the image shrinks.
    Stretched,
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
}

impl Contract {
    /// Computes the network's input for an image of any size.
    ///
    /// # Errors
    /// When the image has no pixels, or the graph takes only another size.
    pub fn preprocess<'a>(&self, image: impl Into<Pixels<'a>>) -> Result<Preprocessed, PreprocessError> {
        let image = image.into();
        let [height, width] = image.size();
        if width == 0 || height == 0 {
            return Err(PreprocessError::Empty { width, height });
        }
        let geometry = self.input.geometry(image.size());
        if let Some(expected) = self.input.form.size.filter(|size| *size != geometry.network) {
            return Err(PreprocessError::Size { expected, found: geometry.network });
        }
        let tensor = match geometry.placement {
            Placement::Extended => self.input.normalize(image, geometry.network),
            Placement::Stretched => {
                let stretched = match image.samples() {
                    Samples::Bits8(pixels) => stretch(pixels, image.size(), geometry.network),
                    Samples::Bits16(pixels) => stretch(pixels, image.size(), geometry.network),
                    Samples::Float(pixels) => stretch(pixels, image.size(), geometry.network),
                };
                let stretched = Pixels { size: geometry.network, samples: Samples::Float(&stretched) };
                self.input.normalize(stretched, geometry.network)
            }
        };
        Ok(Preprocessed { tensor, geometry })
    }

    /// Starts the network's input for an image whose rows come one after the other; `None` where
    /// the network does not stretch images. The result is that of
    /// [`preprocess`](Self::preprocess), to the last bit, and only a few rows of the image are
    /// kept.
    ///
    /// # Errors
    /// When the image has no pixels, or the graph takes only another size.
    pub fn stretching(&self, image: [usize; 2]) -> Result<Option<Stretching>, PreprocessError> {
        let geometry = self.input.geometry(image);
        if geometry.placement != Placement::Stretched {
            return Ok(None);
        }
        let [height, width] = image;
        if width == 0 || height == 0 {
            return Err(PreprocessError::Empty { width, height });
        }
        if let Some(expected) = self.input.form.size.filter(|size| *size != geometry.network) {
            return Err(PreprocessError::Size { expected, found: geometry.network });
        }
        Ok(Some(Stretching { stretcher: Stretcher::new(image, geometry.network), geometry }))
    }

    /// Computes the network's input for an image of any size, as [`preprocess`](Self::preprocess)
    /// does. If the graph takes only another size, it is that of the [middle](Window::middle), cut
    /// as a tile of that size.
    ///
    /// # Errors
    /// When the image has no pixels.
    pub fn preprocess_middle<'a>(
        &self,
        image: impl Into<Pixels<'a>>,
    ) -> Result<(Preprocessed, Option<Window>), PreprocessError> {
        let image = image.into();
        match self.preprocess(image) {
            Err(PreprocessError::Size { expected, .. }) => {
                let window = Window::middle(image.size(), expected);
                let tensor = self.input.normalize_window(image, &window);
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
        let size = self.geometry.network;
        let tensor = contract.input.normalize(Pixels { size, samples: Samples::Float(&stretched) }, size);
        Preprocessed { tensor, geometry: self.geometry }
    }
}

impl Input {
    /// Returns the geometry of an image of the given height and width.
    pub fn geometry(&self, image: [usize; 2]) -> Geometry {
        match self.size {
            SizePolicy::Native => Geometry { image, network: self.next_size(image), placement: Placement::Extended },
            SizePolicy::Resize { height, width } => {
                Geometry { image, network: [height, width], placement: Placement::Stretched }
            }
        }
    }

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

/// A part of an image that the network is run on, which may reach beyond the image.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Height and width of the image.
    pub image: [usize; 2],
    /// The first row and the first column of the window in the image.
    pub corner: [usize; 2],
    /// Height and width of the window.
    pub size: [usize; 2],
    /// The row of the image with which the band begins.
    pub band_top: usize,
}

impl Window {
    /// Returns the window of a size in the middle of an image; along a side that is shorter, it
    /// begins at the image's corner.
    pub fn middle(image: [usize; 2], size: [usize; 2]) -> Self {
        let corner = [0, 1].map(|axis| image[axis].saturating_sub(size[axis]) / 2);
        Self { image, corner, size, band_top: 0 }
    }

    /// Returns height and width of the part of the window inside the image.
    pub fn inside(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.size[axis].min(self.image[axis] - self.corner[axis]))
    }

    /// Returns the rows of the image that the window reads, all in one range.
    pub fn rows(&self) -> Range<usize> {
        let (first, last) =
            self.mirrored(0).fold((usize::MAX, 0), |(first, last), row| (first.min(row), last.max(row)));
        first..last + 1
    }

    /// Returns the positions in the image of the window's rows or columns.
    fn mirrored(&self, axis: usize) -> impl Iterator<Item = usize> {
        let (corner, last) = (self.corner[axis], self.image[axis] - 1);
        (corner..corner + self.size[axis]).map(move |place| mirrored(place, last))
    }
}

/// Returns the place that is read for a place beyond the `last` one, mirrored there and at 0.
fn mirrored(place: usize, last: usize) -> usize {
    let period = 2 * last.max(1);
    let place = place % period;
    place.min(period - place).min(last)
}

impl Geometry {
    /// Resizes planes `[n, height, width]` from the network's size to the image's.
    pub fn restore(&self, planes: ArrayView3<'_, f32>) -> Array3<f32> {
        let [height, width] = self.image;
        let mut restored = Array3::zeros((planes.dim().0, height, width));
        let mut top = 0;
        self.restore_bands(planes, |rows| {
            let bottom = top + rows.dim().1;
            restored.slice_mut(s![.., top..bottom, ..]).assign(&rows);
            top = bottom;
        });
        restored
    }

    /// Resizes planes `[n, height, width]` from the network's size to the image's, and calls `see`
    /// with some rows of all planes at a time, `[n, rows, width]`, from top to bottom. Where the
    /// image was stretched, these are as many as lie between two rows of the network, so that a
    /// large image needs little memory.
    pub fn restore_bands(&self, planes: ArrayView3<'_, f32>, mut see: impl FnMut(Array3<f32>)) {
        let (count, [height, width]) = (planes.dim().0, self.image);
        if self.placement == Placement::Extended {
            return see(planes.slice(s![.., ..height, ..width]).to_owned());
        }
        let mut stretchers: Vec<_> = (0..count).map(|_| Stretcher::<1>::new(self.network, self.image)).collect();
        for row in 0..self.network[0] {
            let mut values = Vec::new();
            for (plane, stretcher) in planes.outer_iter().zip(&mut stretchers) {
                let line = plane.row(row).to_vec();
                stretcher.push(line.as_chunks::<1>().0);
                values.extend(stretcher.take().into_flattened());
            }
            let rows = values.len() / (count * width).max(1);
            if rows > 0 {
                see(Array3::from_shape_vec((count, rows, width), values).expect("all planes have as many rows"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, Rgb32FImage, RgbImage};
    use ndarray::Axis;

    use super::*;
    use crate::example::contract;
    use crate::{ColorOrder, Rgb16Image};

    fn ramp(width: u32, height: u32) -> Rgb32FImage {
        Rgb32FImage::from_fn(width, height, |x, y| Rgb([x as f32 / 64.0, y as f32 / 64.0, 0.5]))
    }

    #[test]
    fn planes_are_restored_in_few_rows_with_the_bits_of_the_image_crate() {
        for (name, network, image) in [
            ("grown", [16, 24], [400, 30]),
            ("grown by rows that repeat", [2, 3], [500, 4]),
            ("shrunk", [40, 30], [7, 9]),
            ("as large", [5, 6], [5, 6]),
            ("flat", [16, 24], [1, 500]),
            ("upright", [16, 24], [500, 1]),
        ] {
            let geometry = Geometry { image, network, placement: Placement::Stretched };
            let value = |(plane, y, x): (usize, usize, usize)| ((plane * 7 + y * 31 + x * 17) % 64) as f32 / 64.0;
            let planes = Array3::from_shape_fn((2, network[0], network[1]), value);
            let mut bands = Vec::new();
            geometry.restore_bands(planes.view(), |rows| bands.push(rows));
            let restored = geometry.restore(planes.view());
            for (plane, restored) in planes.outer_iter().zip(restored.outer_iter()) {
                let gray =
                    image::ImageBuffer::<image::Luma<f32>, _>::from_fn(network[1] as u32, network[0] as u32, |x, y| {
                        image::Luma([plane[[y as usize, x as usize]]])
                    });
                let filter = image::imageops::FilterType::Triangle;
                let expected = image::imageops::resize(&gray, image[1] as u32, image[0] as u32, filter).into_raw();
                assert!(restored.iter().eq(&expected), "{name}");
            }
            let views: Vec<_> = bands.iter().map(|rows| rows.view()).collect();
            assert!(ndarray::concatenate(Axis(1), &views).unwrap() == restored, "{name}");
            let most = bands.iter().map(|rows| rows.dim().1).max().unwrap();
            assert!(most <= 2 * image[0].div_ceil(network[0]), "{name}: {most} rows at once");
        }
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
        assert!(contract.stretching([20, 20]).unwrap().is_none(), "an image that is not stretched");
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
            let mut stretching = contract.stretching(size).unwrap().expect(name);
            for band in image.as_raw().as_chunks::<3>().0.chunks(rows * width) {
                stretching.push(Pixels { size: [band.len() / width, width], samples: Samples::Bits16(band) });
            }
            let expected = contract.preprocess(&image).unwrap();
            let found = stretching.finish(&contract);
            assert!(found.tensor == expected.tensor && found.geometry == expected.geometry, "{name}");
        }
        assert!(matches!(contract.stretching([0, 3]), Err(PreprocessError::Empty { .. })));
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
                let mut stretching = contract.stretching([20, 30]).unwrap().unwrap();
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
    fn a_window_beyond_the_image_is_mirrored() {
        let mut contract = contract();
        contract.input.mean = vec![0.0; 3];
        contract.input.std = vec![1.0; 3];
        let rows: [(&str, usize, usize, &[f32]); 4] = [
            ("inside", 5, 1, &[1.0, 2.0, 3.0]),
            ("to the right", 5, 3, &[3.0, 4.0, 3.0]),
            ("wider than twice the image", 2, 1, &[1.0, 0.0, 1.0]),
            ("one pixel", 1, 0, &[0.0, 0.0, 0.0]),
        ];
        for (name, side, start, expected) in rows {
            let image = Rgb32FImage::from_fn(side as u32, side as u32, |x, y| Rgb([x as f32, y as f32, 0.0]));
            let mut window = Window { image: [side, side], corner: [start, start], size: [3, 3], band_top: 0 };
            let whole = contract.input.normalize_window(&image, &window);
            for line in 0..3 {
                assert_eq!(whole.slice(s![0, line, ..]).to_vec(), expected, "{name}: columns");
                assert_eq!(whole.slice(s![1, .., line]).to_vec(), expected, "{name}: rows");
            }
            let rows = window.rows();
            let (top, height) = (rows.start as u32, rows.len() as u32);
            let band = image::imageops::crop_imm(&image, 0, top, side as u32, height).to_image();
            window.band_top = rows.start;
            assert_eq!(contract.input.normalize_window(&band, &window), whole, "{name}: from a band");
        }
    }
}
