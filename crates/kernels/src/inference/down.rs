//! The convolution that halves a map, with the normalisation before it.

use super::{Blocked, Constants, Memory, Weights, each_piece};
use crate::blocks::{tile_pixels, vector};
use crate::down::{WINDOW, by_pixel};
use crate::lanes::{LANES, Lanes, block_count};
use crate::product::{Matrix, Start, multiply_halved};

/// `conv2x2(norm(x))` of stride 2; an odd last row or column is left out.
pub(super) struct Down {
    rows: usize,
    matrix: Matrix,
    bias: Vec<Lanes>,
}

impl Down {
    /// Prepares the layer.
    pub(super) fn new(norm: &Constants, [weight, bias]: &Weights) -> Self {
        let [rows, c, _, _] = weight.shape();
        let (weight, bias) = norm.norm().fold(weight.values(), bias.values());
        let matrix = Matrix::new(&by_pixel(&weight, c), [rows, WINDOW * block_count(c) * LANES]);
        Self { rows, matrix, bias: vector(&bias) }
    }

    /// Computes the map.
    pub(super) fn forward(&self, x: &Blocked, memory: &mut Memory) -> Blocked {
        let ([n, c, h, w], size, blocks) = (x.shape, x.size(), block_count(self.rows));
        let (height, width) = (h / 2, w / 2);
        let mut y = memory.lasting([n, self.rows, height, width]);
        let (y_size, shared) = (height * width, y.shared());
        let taps = [0, 1, w, w + 1];
        let rows = tile_pixels(WINDOW * c).div_ceil(width).min(height.div_ceil(rayon::current_num_threads())).max(1);
        each_piece(n, height, rows, |image, rows, _| {
            let x = x.image(image);
            // Two blocks' weights stay near for all rows.
            for block in (0..blocks).step_by(2) {
                let part = self.matrix.rows(block, 2.min(blocks - block));
                for row in rows.clone() {
                    let start = (image * blocks + block) * y_size + row * width;
                    let (x, bias) = (&x[2 * row * w..], Start::Bias(&self.bias[block..]));
                    // SAFETY: pieces have no row in common.
                    unsafe { multiply_halved(part, &taps, x, bias, shared.from(start), [size, y_size], width) };
                }
            }
        });
        y
    }
}
