//! The mean over all pixels of each plane.

use rayon::prelude::*;

use super::buffer::zeros;
use super::lanes::{LANES, Lanes};
use super::map::Map;
use super::operator::Operator;
use super::planes::{RUN, sum};
use super::vector::{Vector, vectorized};

/// `[x]` `[n, c, h, w]` to `[n, c, 1, 1]`.
#[derive(Clone, Debug)]
pub struct Average;

impl Operator<1> for Average {
    type Saved = ();

    fn forward(&self, [x]: &[Map; 1]) -> (Map, ()) {
        let [n, c, h, w] = x.shape();
        (Map::new(x.values().par_chunks_exact(h * w).map(mean).collect(), [n, c, 1, 1]), ())
    }

    fn kept(inputs: [Map; 1]) -> [Map; 1] {
        inputs.map(Map::without_values)
    }

    fn backward(&self, [x]: &[Map; 1], (): (), gradient: Map) -> [Vec<f32>; 1] {
        let [_, _, h, w] = x.shape();
        let mut x_gradient = zeros(x.count());
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(gradient.values());
        planes.for_each(|(plane, gradient)| plane.fill(gradient / (h * w) as f32));
        [x_gradient]
    }
}

/// Returns the mean of a plane.
fn mean(plane: &[f32]) -> f32 {
    (sum(plane) / plane.len() as f64) as f32
}

/// Returns the means of sixteen planes, each added up in the order in which [`mean`] adds.
pub(crate) fn average(pixels: &[Lanes]) -> Lanes {
    let mut totals = [0.0; LANES];
    for run in pixels.chunks(RUN) {
        let mut sums = Lanes::ZERO;
        sum_run(run, &mut sums);
        for (total, sum) in totals.iter_mut().zip(sums.0) {
            *total += f64::from(sum);
        }
    }
    Lanes(totals.map(|total| (total / pixels.len() as f64) as f32))
}

vectorized! {
    /// Computes the sums over a run of pixels, of every sixteenth first.
    fn sum_run(run: &[Lanes], sums: &mut Lanes) = sum_run_with
}

#[inline(always)]
fn sum_run_with<V: Vector>(run: &[Lanes], sums: &mut Lanes) {
    let mut totals = [V::splat(0.0); LANES];
    let (groups, rest) = run.as_chunks::<LANES>();
    for group in groups {
        for place in 0..LANES {
            totals[place] = totals[place].add(V::load(&group[place].0));
        }
    }
    for (place, pixel) in rest.iter().enumerate() {
        totals[place] = totals[place].add(V::load(&pixel.0));
    }
    for width in [8, 4, 2, 1] {
        for place in 0..width {
            totals[place] = totals[place].add(totals[place + width]);
        }
    }
    totals[0].store(&mut sums.0);
}
