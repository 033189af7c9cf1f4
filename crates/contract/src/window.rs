//! A part of an image that the network is run on.

use std::ops::Range;

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
    pub(super) fn mirrored(&self, axis: usize) -> impl Iterator<Item = usize> {
        let (corner, last) = (self.corner[axis], self.image[axis] - 1);
        (corner..corner + self.size[axis]).map(move |place| mirrored(place, last))
    }
}

/// Returns the place that is read for a place beyond the `last` one, mirrored there and at 0.
pub(super) fn mirrored(place: usize, last: usize) -> usize {
    let period = 2 * last.max(1);
    let place = place % period;
    place.min(period - place).min(last)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, Rgb32FImage};
    use ndarray::s;

    use super::*;
    use crate::example::contract;

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
