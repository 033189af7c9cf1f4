//! The mean over all pixels of each plane.

use rayon::prelude::*;

use super::operator::{Map, Operator};
use super::planes::sum;

/// `[x]` `[n, c, h, w]` to `[n, c, 1, 1]`.
#[derive(Clone, Debug)]
pub(super) struct Average;

impl Operator<1> for Average {
    type Saved = ();

    fn forward(&self, [x]: &[Map; 1]) -> (Map, ()) {
        let [n, c, h, w] = x.shape();
        (Map::new(x.values().par_chunks_exact(h * w).map(mean).collect(), [n, c, 1, 1]), ())
    }

    fn backward(&self, [x]: &[Map; 1], (): (), gradient: Map) -> [Vec<f32>; 1] {
        let [_, _, h, w] = x.shape();
        let mut x_gradient = vec![0.0; x.values().len()];
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(gradient.values());
        planes.for_each(|(plane, gradient)| plane.fill(gradient / (h * w) as f32));
        [x_gradient]
    }
}

/// Returns the mean of a plane.
fn mean(plane: &[f32]) -> f32 {
    (sum(plane) / plane.len() as f64) as f32
}
