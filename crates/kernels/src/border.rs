//! A border of mirrored pixels, and the map without its border.

use rayon::prelude::*;

use super::buffer::zeros;
use super::map::Map;
use super::operator::Operator;

/// `[x]` `[n, c, h, w]` to `[n, c, h + 2 reach, w + 2 reach]`, mirrored at the outermost pixels,
/// which are not repeated; `reach` is less than each side.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The pixels on each side.
    pub reach: usize,
}

/// `[x]` `[n, c, h, w]` to `[n, c, h - 2 reach, w - 2 reach]`, without the outermost pixels.
#[derive(Clone, Debug)]
pub struct Crop {
    /// The pixels on each side.
    pub reach: usize,
}

/// Returns the place that a place of the larger line shows.
fn mirrored(place: usize, reach: usize, length: usize) -> usize {
    let inside = place.abs_diff(reach);
    inside.min(2 * (length - 1) - inside)
}

impl Operator<1> for Mirror {
    type Saved = ();

    fn forward(&self, [x]: &[Map; 1]) -> (Map, ()) {
        let (reach, [n, c, h, w]) = (self.reach, x.shape());
        let [height, width] = [h + 2 * reach, w + 2 * reach];
        let mut y = zeros(n * c * height * width);
        let planes = y.par_chunks_exact_mut(height * width).zip(x.values().par_chunks_exact(h * w));
        planes.for_each(|(y, x)| {
            for (row, y) in y.chunks_exact_mut(width).enumerate() {
                let x = &x[mirrored(row, reach, h) * w..][..w];
                y[reach..reach + w].copy_from_slice(x);
                for column in (0..reach).chain(reach + w..width) {
                    y[column] = x[mirrored(column, reach, w)];
                }
            }
        });
        (Map::new(y, [n, c, height, width]), ())
    }

    fn kept(inputs: [Map; 1]) -> [Map; 1] {
        inputs.map(Map::without_values)
    }

    fn backward(&self, [x]: &[Map; 1], (): (), gradient: Map) -> [Vec<f32>; 1] {
        let (reach, [_, _, h, w]) = (self.reach, x.shape());
        let [height, width] = [h + 2 * reach, w + 2 * reach];
        let mut x_gradient = zeros(x.count());
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(gradient.values().par_chunks_exact(height * width));
        planes.for_each(|(x, y)| {
            for (row, y) in y.chunks_exact(width).enumerate() {
                let x = &mut x[mirrored(row, reach, h) * w..][..w];
                x.iter_mut().zip(&y[reach..]).for_each(|(x, y)| *x += y);
                for column in (0..reach).chain(reach + w..width) {
                    x[mirrored(column, reach, w)] += y[column];
                }
            }
        });
        [x_gradient]
    }
}

impl Operator<1> for Crop {
    type Saved = ();

    fn forward(&self, [x]: &[Map; 1]) -> (Map, ()) {
        let (reach, [n, c, h, w]) = (self.reach, x.shape());
        let [height, width] = [h - 2 * reach, w - 2 * reach];
        let mut y = zeros(n * c * height * width);
        let planes = y.par_chunks_exact_mut(height * width).zip(x.values().par_chunks_exact(h * w));
        planes.for_each(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(width).zip(x[reach * w..].chunks_exact(w)) {
                y.copy_from_slice(&x[reach..][..width]);
            }
        });
        (Map::new(y, [n, c, height, width]), ())
    }

    fn kept(inputs: [Map; 1]) -> [Map; 1] {
        inputs.map(Map::without_values)
    }

    fn backward(&self, [x]: &[Map; 1], (): (), gradient: Map) -> [Vec<f32>; 1] {
        let (reach, [_, _, h, w]) = (self.reach, x.shape());
        let [height, width] = [h - 2 * reach, w - 2 * reach];
        let mut x_gradient = zeros(x.count());
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(gradient.values().par_chunks_exact(height * width));
        planes.for_each(|(x, y)| {
            for (x, y) in x[reach * w..].chunks_exact_mut(w).zip(y.chunks_exact(width)) {
                x[reach..][..width].copy_from_slice(y);
            }
        });
        [x_gradient]
    }
}
