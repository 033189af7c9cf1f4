//! Twice the height and width, bilinear with aligned corners, in a border of zeros.
//!
//! Coordinates are rounded to 32 bits, once, as ONNX Runtime's `Resize` rounds them: what is
//! learned with reads beside the pixel by as much as what is deployed, up to 6e-8 of the side, and
//! the two differ by none of it.

use rayon::prelude::*;

use super::operator::{Map, Operator};

/// Upsamples `[x]` and adds zeros until the map has `size`: `floor(difference / 2)` before, the
/// rest after.
#[derive(Clone, Debug)]
pub(super) struct Upsample {
    /// Height and width.
    pub(super) size: [usize; 2],
}

/// The two values of an axis that a new one lies between, and its share of the second.
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

/// Returns the positions of twice as many values, the first and the last on the old ones.
fn places(count: usize) -> Vec<Between> {
    (0..2 * count).map(|index| place(index, count)).collect()
}

/// Returns the position of one of twice as many values.
fn place(index: usize, count: usize) -> Between {
    let place = (index * (count - 1)) as f32 / (2 * count - 1) as f32;
    let first = (place as usize).min(count - 1);
    Between { first, second: (first + 1).min(count - 1), share: place - first as f32 }
}

impl Upsample {
    /// Returns the positions of both axes, and the rows and columns of zeros before the first.
    fn geometry(&self, [height, width]: [usize; 2]) -> ([Vec<Between>; 2], [usize; 2]) {
        ([places(height), places(width)], [(self.size[0] - 2 * height) / 2, (self.size[1] - 2 * width) / 2])
    }
}

impl Operator<1> for Upsample {
    type Saved = ();

    fn forward(&self, [x]: &[Map; 1]) -> (Map, ()) {
        let ([n, c, h, w], [height, width]) = (x.shape(), self.size);
        let ([rows, columns], [top, left]) = self.geometry([h, w]);
        let mut y = vec![0.0; n * c * height * width];
        let planes = y.par_chunks_exact_mut(height * width).zip(x.values().par_chunks_exact(h * w));
        planes.for_each_init(
            || vec![0.0; w],
            |line, (y, x)| {
                for (row, y) in rows.iter().zip(y.chunks_exact_mut(width).skip(top)) {
                    let (first, second) = (&x[row.first * w..][..w], &x[row.second * w..][..w]);
                    for ((value, first), second) in line.iter_mut().zip(first).zip(second) {
                        *value = first + row.share * (second - first);
                    }
                    for (column, y) in columns.iter().zip(&mut y[left..]) {
                        *y = line[column.first] + column.share * (line[column.second] - line[column.first]);
                    }
                }
            },
        );
        (Map::new(y, [n, c, height, width]), ())
    }

    fn backward(&self, [x]: &[Map; 1], (): (), gradient: Map) -> [Vec<f32>; 1] {
        let ([_, _, h, w], [height, width]) = (x.shape(), self.size);
        let ([rows, columns], [top, left]) = self.geometry([h, w]);
        let mut x_gradient = vec![0.0; x.values().len()];
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(gradient.values().par_chunks_exact(height * width));
        planes.for_each_init(
            || vec![0.0; w],
            |line, (x_gradient, gradient)| {
                for (row, gradient) in rows.iter().zip(gradient.chunks_exact(width).skip(top)) {
                    line.fill(0.0);
                    for (column, gradient) in columns.iter().zip(&gradient[left..]) {
                        line[column.first] += (1.0 - column.share) * gradient;
                        line[column.second] += column.share * gradient;
                    }
                    for (part, share) in [(row.first, 1.0 - row.share), (row.second, row.share)] {
                        for (sum, value) in x_gradient[part * w..][..w].iter_mut().zip(&*line) {
                            *sum += share * value;
                        }
                    }
                }
            },
        );
        [x_gradient]
    }
}
