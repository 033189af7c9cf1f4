//! The largest value of each 2x2 square.

use rayon::prelude::*;

use super::buffer::zeros;
use super::map::Map;
use super::operator::Operator;

/// `[x]` `[n, c, h, w]` to `[n, c, floor(h / 2), floor(w / 2)]`.
#[derive(Clone, Debug)]
pub struct MaxPool;

/// Returns the place of the largest value: the first of equal ones, or the last that is not a
/// number, as in PyTorch.
fn largest(square: [f32; 4]) -> usize {
    let mut place = 0;
    for (other, value) in square.into_iter().enumerate().skip(1) {
        if value > square[place] || value.is_nan() {
            place = other;
        }
    }
    place
}

/// Returns the values of a square of two rows, whose first column is given.
fn square([above, below]: [&[f32]; 2], column: usize) -> [f32; 4] {
    [above[column], above[column + 1], below[column], below[column + 1]]
}

impl Operator<1> for MaxPool {
    type Saved = ();

    fn forward(&self, [x]: &[Map; 1]) -> (Map, ()) {
        let [n, c, h, w] = x.shape();
        let [rows, columns] = [h / 2, w / 2];
        let mut y = zeros(n * c * rows * columns);
        let planes = y.par_chunks_exact_mut((rows * columns).max(1)).zip(x.values().par_chunks_exact(h * w));
        planes.for_each(|(y, x)| {
            for (pair, y) in x.chunks_exact(2 * w).zip(y.chunks_exact_mut(columns)) {
                let lines = pair.split_at(w).into();
                for (column, y) in y.iter_mut().enumerate() {
                    let square = square(lines, 2 * column);
                    *y = square[largest(square)];
                }
            }
        });
        (Map::new(y, [n, c, rows, columns]), ())
    }

    fn backward(&self, [x]: &[Map; 1], (): (), gradient: Map) -> [Vec<f32>; 1] {
        let [_, _, h, w] = x.shape();
        let [rows, columns] = [h / 2, w / 2];
        let mut x_gradient = zeros(x.values().len());
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(x.values().par_chunks_exact(h * w));
        let of_planes = gradient.values().par_chunks_exact((rows * columns).max(1));
        planes.zip(of_planes).for_each(|((x_gradient, x), gradient)| {
            let pairs = x_gradient.chunks_exact_mut(2 * w).zip(x.chunks_exact(2 * w));
            for ((to, pair), gradient) in pairs.zip(gradient.chunks_exact(columns)) {
                let lines = pair.split_at(w).into();
                for (column, gradient) in gradient.iter().enumerate() {
                    let place = largest(square(lines, 2 * column));
                    to[place / 2 * w + 2 * column + place % 2] = *gradient;
                }
            }
        });
        [x_gradient]
    }
}
