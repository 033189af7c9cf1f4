//! The 1x1 convolution to the logits.

use std::sync::{Mutex, PoisonError};

use super::{Blocked, Weights, each};
use crate::blocks::{tile_pixels, tiles, unpack, vector};
use crate::buffer::zeros;
use crate::lanes::{Lanes, block_count, room};
use crate::map::Map;
use crate::product::{Matrix, Start, multiply};

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
        let tiles: Vec<_> =
            tiles(&mut y, self.rows, size, tile_pixels(c.max(self.rows))).into_iter().map(Mutex::new).collect();
        each(tiles.len(), &|index, scratch| {
            let mut tile = tiles[index].lock().unwrap_or_else(PoisonError::into_inner);
            let pixels = tile.pixels();
            let x = &x.image(tile.image)[tile.start..];
            let output = room(&mut scratch.output, pixels * block_count(self.rows));
            multiply(self.matrix.whole(), x, Start::Bias(&self.bias), output, [size, pixels], pixels);
            unpack(output, pixels, &mut tile.planes);
        });
        drop(tiles);
        Map::new(y, [n, self.rows, h, w])
    }
}
