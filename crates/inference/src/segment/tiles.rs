//! Large images in tiles of one size, blended into each other.

use ndarray::{Array2, Array3, ArrayView3, ArrayViewMut2, Axis, s};
use serde::{Deserialize, Serialize};

/// The division of an image into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tiling {
    /// Height and width of a tile, in pixels.
    pub size: [usize; 2],
    /// The share of a tile that it has in common with the next one, 0 to [`Tiling::OVERLAP_MAX`].
    pub overlap: f64,
}

impl Default for Tiling {
    /// The tiles for large images, unless the user chooses others.
    fn default() -> Self {
        Self { size: [512; 2], overlap: 0.25 }
    }
}

impl Tiling {
    /// The largest overlap; beyond it most of the work is done many times.
    pub const OVERLAP_MAX: f64 = 0.75;

    /// Returns the first pixels of the tiles along an axis of `len` pixels, 0 down and 1 across;
    /// the last tile may extend beyond it.
    pub(crate) fn starts(&self, axis: usize, len: usize) -> Vec<usize> {
        let stride = ((self.size[axis] as f64 * (1.0 - self.overlap)).round() as usize).max(1);
        let beyond = len.saturating_sub(self.size[axis]);
        (0..=beyond.div_ceil(stride)).map(|index| index * stride).collect()
    }

    /// Returns the weights of the pixels along a tile's side: a Gaussian around its middle, whose
    /// deviation is an eighth of the side, as in nnU-Net (Isensee et al. 2021).
    fn weights(&self, axis: usize) -> Vec<f32> {
        let side = self.size[axis];
        let (center, deviation) = ((side as f64 - 1.0) / 2.0, side as f64 / 8.0);
        (0..side).map(|place| (-0.5 * ((place as f64 - center) / deviation).powi(2)).exp() as f32).collect()
    }
}

/// A weighted mean of overlapping tiles, for as many rows as a tile has.
pub(crate) struct Blend {
    /// Down and across.
    weights: [Vec<f32>; 2],
    /// `[planes, tile height, width]`.
    sums: Array3<f32>,
    /// `[tile height, width]`.
    weight: Array2<f32>,
}

impl Blend {
    pub(crate) fn new(tiling: Tiling, planes: usize, width: usize) -> Self {
        let height = tiling.size[0];
        let weights = [0, 1].map(|axis| tiling.weights(axis));
        Self { weights, sums: Array3::zeros((planes, height, width)), weight: Array2::zeros((height, width)) }
    }

    /// Adds a tile, `[planes, tile height, tile width]`, whose first column is `left`; columns
    /// beyond the width are left out.
    pub(crate) fn add(&mut self, left: usize, tile: ArrayView3<'_, f32>) {
        let [down, across] = &self.weights;
        let columns = across.len().min(self.weight.dim().1 - left);
        for (y, weight) in down.iter().enumerate() {
            let mut sum = self.weight.slice_mut(s![y, left..left + columns]);
            sum.iter_mut().zip(across).for_each(|(sum, across)| *sum += weight * across);
            for (mut plane, tile) in self.sums.outer_iter_mut().zip(tile.outer_iter()) {
                let mut sums = plane.slice_mut(s![y, left..left + columns]);
                let values = tile.slice(s![y, ..columns]);
                for ((sum, value), across) in sums.iter_mut().zip(values).zip(across) {
                    *sum += weight * across * value;
                }
            }
        }
    }

    /// Takes the means of the first `rows`, `[planes, rows, width]`, and moves down by as many
    /// rows.
    pub(crate) fn take(&mut self, rows: usize) -> Array3<f32> {
        let mut means = self.sums.slice(s![.., ..rows, ..]).to_owned();
        let weight = self.weight.slice(s![..rows, ..]);
        means.outer_iter_mut().for_each(|mut plane| plane /= &weight);
        move_up(self.weight.view_mut(), rows);
        self.sums.axis_iter_mut(Axis(0)).for_each(|plane| move_up(plane, rows));
        means
    }
}

/// Moves values up by `rows`, and fills the rows that become free with zeros.
fn move_up(mut values: ArrayViewMut2<'_, f32>, rows: usize) {
    let height = values.nrows();
    for y in 0..height - rows {
        let (mut upper, lower) = values.multi_slice_mut((s![y, ..], s![y + rows, ..]));
        upper.assign(&lower);
    }
    values.slice_mut(s![height - rows.., ..]).fill(0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_each_pixel_and_overlap_as_asked() {
        for (name, side, overlap, len, expected) in [
            ("smaller than a tile", 8, 0.25, 5, vec![0]),
            ("just a tile", 8, 0.25, 8, vec![0]),
            ("a pixel more", 8, 0.25, 9, vec![0, 6]),
            ("several", 8, 0.25, 20, vec![0, 6, 12]),
            ("side by side", 8, 0.0, 17, vec![0, 8, 16]),
            ("three quarters", 8, 0.75, 12, vec![0, 2, 4]),
        ] {
            assert_eq!(Tiling { size: [side, 3], overlap }.starts(0, len), expected, "{name}");
        }
    }

    #[test]
    fn a_blend_of_equal_tiles_is_what_they_hold_and_middles_count_more() {
        let tiling = Tiling { size: [8, 8], overlap: 0.5 };
        let picture = Array3::from_shape_fn((2, 20, 19), |(plane, y, x)| (plane * 400 + y * 20 + x) as f32);
        let mut blend = Blend::new(tiling, 2, 19);
        let starts = [tiling.starts(0, 20), tiling.starts(1, 19)];
        let mut rows = Vec::new();
        for (index, top) in starts[0].iter().enumerate() {
            for left in &starts[1] {
                let tile = Array3::from_shape_fn((2, 8, 8), |(plane, y, x)| {
                    picture.get([plane, top + y, left + x]).copied().unwrap_or(0.0)
                });
                blend.add(*left, tile.view());
            }
            let end = starts[0].get(index + 1).copied().unwrap_or(20);
            rows.push(blend.take(end - top));
        }
        let views: Vec<_> = rows.iter().map(|rows| rows.view()).collect();
        let blended = ndarray::concatenate(Axis(1), &views).unwrap();
        let worst = (&blended - &picture).iter().fold(0.0_f32, |worst, error| worst.max(error.abs()));
        assert!(worst < 1e-3, "{worst}");

        let mut blend = Blend::new(tiling, 1, 12);
        blend.add(0, Array3::zeros((1, 8, 8)).view());
        blend.add(4, Array3::ones((1, 8, 8)).view());
        let row = blend.take(1).index_axis(Axis(1), 0).to_owned();
        assert!(row[[0, 4]] < 0.5 && row[[0, 7]] > 0.5 && row[[0, 3]] == 0.0 && row[[0, 8]] == 1.0, "{row}");
    }
}
