//! The 1x1 convolution to the logits.

use rayon::prelude::*;

use super::{Blocked, SCRATCH, Weights};
use crate::kernels::fused::blocks::{tile_pixels, tiles, unpack, vector};
use crate::kernels::fused::buffer::zeros;
use crate::kernels::fused::lanes::{Lanes, block_count, room};
use crate::kernels::fused::operator::Map;
use crate::kernels::fused::product::{Matrix, Start, multiply};

/// `W x + b`
pub(super) struct Head {
    rows: usize,
    matrix: Matrix,
    bias: Vec<Lanes>,
}

impl Head {
    /// Prepares the layer.
    pub(super) fn new([weight, bias]: &Weights) -> Self {
        let [rows, c, _, _] = weight.shape();
        Self { rows, matrix: Matrix::new(weight.values(), [rows, c]), bias: vector(bias.values()) }
    }

    /// Computes the planes.
    pub(super) fn forward(&self, x: &Blocked) -> Map {
        let ([n, c, h, w], size) = (x.shape, x.size());
        let mut y = zeros(n * self.rows * size);
        tiles(&mut y, self.rows, size, tile_pixels(c.max(self.rows))).into_par_iter().for_each(|mut tile| {
            let pixels = tile.pixels();
            let x = &x.image(tile.image)[tile.start..];
            SCRATCH.with_borrow_mut(|scratch| {
                let output = room(&mut scratch.output, pixels * block_count(self.rows));
                multiply(self.matrix.whole(), x, Start::Bias(&self.bias), output, [size, pixels], pixels);
                unpack(output, pixels, &mut tile.planes);
            });
        });
        Map::new(y, [n, self.rows, h, w])
    }
}
