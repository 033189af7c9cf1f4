//! The 1x1 convolution to the logits.

use std::sync::{Mutex, PoisonError};

use super::{Blocked, Dense, each};
use crate::blocks::{tile_pixels, tiles, unpack};
use crate::buffer::zeros;
use crate::lanes::{block_count, room};
use crate::map::Map;
use crate::product::{Cut, Layer};

/// `W x + b`
pub(super) struct Head(Layer);

impl Head {
    /// Prepares the layer.
    pub(super) fn new(layer: &Dense) -> Self {
        Self(layer.layer())
    }

    /// Computes the planes.
    pub(super) fn forward(&self, x: &Blocked) -> Map {
        let ([n, c, h, w], size) = (x.shape, x.size());
        let rows = self.0.rows;
        let mut y = zeros(n * rows * size);
        let tiles: Vec<_> = tiles(&mut y, rows, size, tile_pixels(c.max(rows))).into_iter().map(Mutex::new).collect();
        each(tiles.len(), &|index, scratch| {
            let mut tile = tiles[index].lock().unwrap_or_else(PoisonError::into_inner);
            let pixels = tile.pixels();
            let x = &x.image(tile.image)[tile.start..];
            let output = room(&mut scratch.output, pixels * block_count(rows));
            let product = self.0.weight.of(x, 0..block_count(c), size, pixels, &mut scratch.bytes);
            product.write_to(Cut::Whole, self.0.bias_from(0), output, pixels, pixels);
            unpack(output, pixels, &mut tile.planes);
        });
        drop(tiles);
        Map::new(y, [n, rows, h, w])
    }
}
