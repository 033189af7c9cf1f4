//! The convolution that halves a map, with the normalisation before it.

use super::{Blocked, Dense, Memory, each_piece};
use crate::blocks::tile_pixels;
use crate::down::WINDOW;
use crate::lanes::block_count;
use crate::product::{Cut, Layer};

/// `conv2x2(norm(x))` of stride 2; an odd last row or column is left out.
pub(super) struct Down(Layer);

impl Down {
    /// Prepares the layer.
    pub(super) fn new(conv: &Dense) -> Self {
        Self(conv.layer())
    }

    /// Computes the map.
    pub(super) fn forward(&self, x: &Blocked, memory: &mut Memory) -> Blocked {
        let ([n, c, h, w], size, blocks) = (x.shape, x.size(), block_count(self.0.rows));
        let (height, width) = (h / 2, w / 2);
        let mut y = memory.lasting([n, self.0.rows, height, width]);
        let (y_size, shared) = (height * width, y.shared());
        let taps = [0, 1, w, w + 1];
        let rows = tile_pixels(WINDOW * c).div_ceil(width).min(height.div_ceil(rayon::current_num_threads())).max(1);
        each_piece(n, height, rows, |image, rows, scratch| {
            let (x, pixels) =
                (&x.image(image)[2 * rows.start * w..], (2 * rows.len() * w).min(size - 2 * rows.start * w));
            let product = self.0.weight.of(x, 0..block_count(c), size, pixels, &mut scratch.bytes);
            // Two blocks' weights stay near for all rows.
            for block in (0..blocks).step_by(2) {
                let cut = Cut::Rows(block, 2.min(blocks - block));
                for row in rows.clone() {
                    let start = (image * blocks + block) * y_size + row * width;
                    let (product, bias) = (product.from(2 * (row - rows.start) * w), self.0.bias_from(block));
                    // SAFETY: pieces have no row in common.
                    unsafe { product.write_halved(cut, &taps, bias, shared.from(start), y_size, width) };
                }
            }
        });
        y
    }
}
