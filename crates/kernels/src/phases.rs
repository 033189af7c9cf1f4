//! The four phases of a map: its pixels of even and odd rows and columns, as channels.
//!
//! A convolution of stride 2 reads each phase at every pixel, so that it is one of stride 1 of the
//! phases, with half the kernel's sides.

use rayon::prelude::*;

use super::buffer::zeros;
use super::map::Map;
use super::operator::Operator;

/// `[x]` `[n, c, h, w]` to `[n, 4c, size[0], size[1]]`: channel `4k + 2a + b` has the pixels
/// `[2i + a - padding[0], 2j + b - padding[1]]` of channel `k`, and zeros where there are none.
#[derive(Clone, Debug)]
pub struct Phases {
    /// The rows above and the columns before.
    pub padding: [usize; 2],
    /// Height and width of a phase.
    pub size: [usize; 2],
}

/// Every second index of a line, and the places that they have.
struct Line {
    /// The first index of the line.
    first: usize,
    /// The place of the first index.
    place: usize,
    /// The number of indices.
    count: usize,
}

impl Line {
    /// Returns the indices `2 place + phase - padding` of a line of `length`, for `places` places.
    fn new(phase: usize, padding: usize, length: usize, places: usize) -> Self {
        let place = padding.saturating_sub(phase).div_ceil(2);
        let first = 2 * place + phase - padding;
        Self { first, place, count: length.saturating_sub(first).div_ceil(2).min(places.saturating_sub(place)) }
    }
}

impl Phases {
    /// Returns the rows and the columns of the phase that a plane of the output is.
    fn lines(&self, plane: usize, [h, w]: [usize; 2]) -> [Line; 2] {
        let line =
            |axis: usize, phase: usize, length: usize| Line::new(phase, self.padding[axis], length, self.size[axis]);
        [line(0, plane % 4 / 2, h), line(1, plane % 2, w)]
    }
}

impl Operator<1> for Phases {
    type Saved = ();

    fn forward(&self, [x]: &[Map; 1]) -> (Map, ()) {
        let ([n, c, h, w], [height, width]) = (x.shape(), self.size);
        let mut y = zeros(n * 4 * c * height * width);
        y.par_chunks_exact_mut(height * width).enumerate().for_each(|(plane, y)| {
            let x = &x.values()[plane / 4 * h * w..][..h * w];
            let [rows, columns] = self.lines(plane, [h, w]);
            for row in 0..rows.count {
                let x = x[(rows.first + 2 * row) * w..][..w].iter().skip(columns.first).step_by(2);
                let y = &mut y[(rows.place + row) * width + columns.place..][..columns.count];
                y.iter_mut().zip(x).for_each(|(y, x)| *y = *x);
            }
        });
        (Map::new(y, [n, 4 * c, height, width]), ())
    }

    fn kept(inputs: [Map; 1]) -> [Map; 1] {
        inputs.map(Map::without_values)
    }

    fn backward(&self, [x]: &[Map; 1], (): (), gradient: Map) -> [Vec<f32>; 1] {
        let ([_, _, h, w], [height, width]) = (x.shape(), self.size);
        let mut x_gradient = zeros(x.count());
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(gradient.values().par_chunks_exact(4 * height * width));
        planes.for_each(|(x, phases)| {
            for (phase, y) in phases.chunks_exact(height * width).enumerate() {
                let [rows, columns] = self.lines(phase, [h, w]);
                for row in 0..rows.count {
                    let x = x[(rows.first + 2 * row) * w..][..w].iter_mut().skip(columns.first).step_by(2);
                    let y = &y[(rows.place + row) * width + columns.place..][..columns.count];
                    x.zip(y).for_each(|(x, y)| *x = *y);
                }
            }
        });
        [x_gradient]
    }
}
