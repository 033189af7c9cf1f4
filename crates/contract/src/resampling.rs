//! Images that are resampled to the network's grid in bands of rows, planes that come back from it,
//! and labels that go there.

use std::ops::Range;

use image::{GrayImage, Luma, Rgb32FImage};
use ndarray::{Array3, ArrayView3};

use crate::pixels::{Pixels, Samples, Share};
use crate::resample::{Stretcher, Window, windows};

/// An image that is resized in bands of rows, which may be asked for in any order. The bands are
/// those of [`Pixels::resized`], to the last bit.
pub struct Resampling {
    rows: Vec<Window>,
    columns: Vec<Window>,
    /// The width of the image.
    width: usize,
}

impl Resampling {
    /// Starts with an image of height and width `from`, to be of height and width `to`; sizes are
    /// not zero.
    pub fn new(from: [usize; 2], to: [usize; 2]) -> Self {
        let [rows, columns] = [0, 1].map(|axis| windows(from[axis], to[axis]));
        Self { rows, columns, width: from[1] }
    }

    /// Returns the rows of the image that some rows of the result are computed from.
    ///
    /// # Panics
    /// When the result has fewer rows, or none are asked for.
    pub fn read(&self, rows: Range<usize>) -> Range<usize> {
        let windows = &self.rows[rows];
        let (first, last) = (&windows[0], &windows[windows.len() - 1]);
        first.first..last.first + last.weights.len()
    }

    /// Computes some rows of the result from a band of the image: those that
    /// [`read`](Self::read) names.
    ///
    /// # Panics
    /// When the band has another size.
    pub fn band<'a>(&self, band: impl Into<Pixels<'a>>, rows: Range<usize>) -> Rgb32FImage {
        let (band, read) = (band.into(), self.read(rows.clone()));
        assert_eq!(band.size(), [read.len(), self.width], "a band has the rows that are read");
        let pixels = match band.samples() {
            Samples::Bits8(pixels) => self.stretch(pixels, &read, rows.clone()),
            Samples::Bits16(pixels) => self.stretch(pixels, &read, rows.clone()),
            Samples::Float(pixels) => self.stretch(pixels, &read, rows.clone()),
        };
        let [height, width] = [rows.len(), self.columns.len()].map(|side| side as u32);
        Rgb32FImage::from_raw(width, height, pixels.into_flattened()).expect("each pixel has three values")
    }

    fn stretch<T: Share>(&self, pixels: &[[T; 3]], read: &Range<usize>, rows: Range<usize>) -> Vec<[f32; 3]> {
        let windows = self.rows[rows].iter().map(|window| window.after(read.start)).collect();
        let mut stretcher = Stretcher::of_windows([read.len(), self.width], windows, self.columns.clone());
        pixels.chunks_exact(self.width).for_each(|line| stretcher.push(line));
        stretcher.finish()
    }
}

/// Planes that are resized while their rows come, from top to bottom.
pub struct Restoring {
    planes: Vec<Stretcher<1>>,
    /// The width of the result.
    width: usize,
}

impl Restoring {
    /// Starts with `count` planes of height and width `from`, to be of height and width `to`.
    pub fn new(count: usize, from: [usize; 2], to: [usize; 2]) -> Self {
        Self { planes: (0..count).map(|_| Stretcher::new(from, to)).collect(), width: to[1] }
    }

    /// Takes the next rows of all planes, `[n, rows, width]`, and returns the rows of the result
    /// that are complete, `[n, rows, width]`; there may be none.
    pub fn push(&mut self, planes: ArrayView3<'_, f32>) -> Array3<f32> {
        let mut values = Vec::new();
        for (plane, stretcher) in planes.outer_iter().zip(&mut self.planes) {
            for row in plane.outer_iter() {
                stretcher.push(row.to_vec().as_chunks::<1>().0);
            }
            values.extend(stretcher.take().into_flattened());
        }
        let count = self.planes.len();
        let rows = values.len() / (count * self.width).max(1);
        Array3::from_shape_vec((count, rows, self.width), values).expect("all planes have as many rows")
    }
}

/// Returns the place along an axis of `from` places that is nearest to the centre of a place of
/// `to`.
pub(super) fn nearest(place: usize, from: usize, to: usize) -> usize {
    (2 * place + 1) * from / (2 * to)
}

/// Resizes labels to a height and width: each pixel takes the label at its centre, as labels have
/// nothing between them.
pub fn resize_labels(labels: &GrayImage, to: [usize; 2]) -> GrayImage {
    let from = [labels.height(), labels.width()].map(|side| side as usize);
    let at = |axis: usize, place: u32| nearest(place as usize, from[axis], to[axis]) as u32;
    let columns: Vec<u32> = (0..to[1] as u32).map(|x| at(1, x)).collect();
    GrayImage::from_fn(to[1] as u32, to[0] as u32, |x, y| Luma(labels.get_pixel(columns[x as usize], at(0, y)).0))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::Rgb16Image;

    #[test]
    fn bands_in_any_order_have_the_bits_of_the_whole() {
        for (name, from, to) in [
            ("grown", [7, 5], [18, 11]),
            ("shrunk", [61, 40], [13, 17]),
            ("down and across apart", [40, 9], [11, 30]),
            ("rows alone", [40, 9], [23, 9]),
            ("columns alone", [9, 40], [9, 23]),
            ("to a pixel", [9, 40], [1, 1]),
            ("from a pixel", [1, 1], [6, 5]),
        ] {
            let value = |x: u32, y: u32| Rgb([x * 977 + y * 31, x * y * 7, y * 4001].map(|value| value as u16));
            let image = Rgb16Image::from_fn(from[1] as u32, from[0] as u32, value);
            let whole = Pixels::from(&image).resized(to);
            let resampling = Resampling::new(from, to);
            for start in (0..to[0]).rev() {
                for end in start + 1..=to[0] {
                    let read = resampling.read(start..end);
                    let crop = |image: &Rgb32FImage, rows: Range<usize>| {
                        let (top, height) = (rows.start as u32, rows.len() as u32);
                        image::imageops::crop_imm(image, 0, top, image.width(), height).to_image()
                    };
                    let (top, height) = (read.start as u32, read.len() as u32);
                    let band = image::imageops::crop_imm(&image, 0, top, image.width(), height).to_image();
                    let found = resampling.band(&band, start..end);
                    assert_eq!(found, crop(&whole, start..end), "{name}: {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn an_image_is_resampled_as_pytorch_does_with_antialiasing() {
        // 4 rows, 5 columns; torch 2.15.0: `interpolate(x, size, mode="bilinear", antialias=True)`.
        let image = [
            [0.1, 0.9, 0.3, 0.4, 0.0],
            [0.2, 0.8, 0.5, 1.0, 0.6],
            [0.7, 0.0, 0.25, 0.35, 0.15],
            [0.05, 0.45, 0.65, 0.85, 0.95_f32],
        ];
        let image = Rgb32FImage::from_fn(5, 4, |x, y| Rgb([image[y as usize][x as usize]; 3]));
        for (to, expected) in TORCH {
            let found = Pixels::from(&image).resized(*to);
            let found: Vec<f32> = found.pixels().map(|pixel| pixel[1]).collect();
            assert_eq!(found.len(), expected.len(), "{to:?}");
            for (found, expected) in found.iter().zip(*expected) {
                assert!((found - expected).abs() < 1e-6, "{to:?}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn labels_are_resampled_as_pytorch_does_with_exact_neighbours() {
        let labels = GrayImage::from_raw(5, 4, (0..20).collect()).unwrap();
        for (to, expected) in TORCH_LABELS {
            let found = resize_labels(&labels, *to);
            assert_eq!((found.height() as usize, found.width() as usize), (to[0], to[1]));
            assert_eq!(found.as_raw(), expected, "{to:?}");
        }
    }

    const TORCH: &[([usize; 2], &[f32])] = &[
        ([2, 3], &[0.442857, 0.516667, 0.437755, 0.331633, 0.468254, 0.6]),
        (
            [6, 9],
            &[
                0.1, 0.366667, 0.811111, 0.633333, 0.3, 0.355556, 0.355556, 0.133333, 0.0, 0.15, 0.383333, 0.772222,
                0.65, 0.4, 0.566667, 0.655556, 0.433333, 0.3, 0.283333, 0.411111, 0.624074, 0.574074, 0.458333,
                0.699074, 0.850926, 0.647222, 0.525, 0.616667, 0.455556, 0.187037, 0.203704, 0.291667, 0.384259,
                0.432407, 0.302778, 0.225, 0.375, 0.325, 0.241667, 0.325, 0.45, 0.533333, 0.594444, 0.566667, 0.55,
                0.05, 0.183333, 0.405556, 0.538889, 0.65, 0.761111, 0.861111, 0.916667, 0.95,
            ],
        ),
        ([4, 2], &[0.486364, 0.272727, 0.55, 0.75, 0.295455, 0.247727, 0.386364, 0.818182]),
        (
            [3, 7],
            &[
                0.13, 0.552857, 0.724286, 0.36, 0.517143, 0.408571, 0.18, 0.45, 0.421429, 0.392857, 0.375, 0.589286,
                0.546429, 0.375, 0.245, 0.285, 0.376429, 0.53, 0.651429, 0.704286, 0.71,
            ],
        ),
        ([1, 1], &[0.467873]),
    ];

    const TORCH_LABELS: &[([usize; 2], &[u8])] = &[
        ([2, 3], &[5, 7, 9, 15, 17, 19]),
        (
            [6, 9],
            &[
                0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 8, 9, 9, 5, 5, 6, 6, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12,
                13, 13, 14, 14, 15, 15, 16, 16, 17, 18, 18, 19, 19, 15, 15, 16, 16, 17, 18, 18, 19, 19,
            ],
        ),
        ([4, 2], &[1, 3, 6, 8, 11, 13, 16, 18]),
        ([3, 7], &[0, 1, 1, 2, 3, 3, 4, 10, 11, 11, 12, 13, 13, 14, 15, 16, 16, 17, 18, 18, 19]),
        ([1, 1], &[12]),
    ];
}
