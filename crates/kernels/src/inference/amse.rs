//! AMSUnet's block: attention, feed-forward half and residual.

use std::ops::Range;

use super::{BlockParameters, Blocked, Dense, Memory, each_piece};
use crate::blocks::tile_pixels;
use crate::chain::Chain;
use crate::feed_forward::{BAND, Middle};
use crate::gelu::{gelu_in_place, gelu_of_sum};
use crate::lanes::{Lanes, flat, flat_mut, room};
use crate::product::{Cut, Layer};
use crate::rows::multiply_in_place;

/// `gelu(ffn(norm2(attention(norm1(x)))) + x)` for maps of one size.
pub(super) struct Amse {
    expand: Layer,
    chain: Chain,
    mix: Layer,
    /// Nothing where the layer is one with the next.
    project: Option<Layer>,
    middle: Middle,
}

impl Amse {
    /// Prepares the layers.
    pub(super) fn new(size: [usize; 2], parameters: &BlockParameters) -> Self {
        let BlockParameters { expand, depthwise, mix, project, dilation, widen, local, narrow } = parameters;
        let [local, local_bias] = local;
        Self {
            expand: expand.layer(),
            chain: Chain::new(depthwise, size, *dilation),
            mix: mix.layer(),
            project: project.as_ref().map(Dense::layer),
            middle: Middle::new(size, widen.layer(), [local.values(), local_bias.values()], narrow.layer()),
        }
    }

    /// Computes the block in place of its input.
    pub(super) fn forward(&self, x: &mut Blocked, memory: &mut Memory) {
        let ([n, c, height, width], size, blocks) = (x.shape, x.size(), x.blocks());
        let pixels = tile_pixels(c);
        let (mut g, mut map) = (memory.temporary(x.shape), memory.temporary(x.shape));
        let shared = g.shared();
        each_piece(n, size, pixels, |image, tile, scratch| {
            let start = image * blocks * size + tile.start;
            let x = &x.image(image)[tile.start..];
            let product = self.expand.weight.of(x, 0..blocks, size, tile.len(), &mut scratch.bytes);
            // SAFETY: tiles have no pixel in common.
            unsafe {
                product.write(Cut::Whole, self.expand.bias_from(0), shared.from(start), size, tile.len());
                for block in 0..blocks {
                    let start = start + block * size;
                    gelu_in_place(flat_mut(shared.part(start..start + tile.len())));
                }
            }
        });

        // Values do not depend on the cut, so that there may be as many pieces as divide well.
        let (threads, jobs) = (rayon::current_num_threads(), n * blocks);
        let bands = if jobs.is_multiple_of(threads) || jobs >= 4 * threads { 1 } else { threads };
        let rows = height.div_ceil(bands);
        let shared = map.shared();
        each_piece(jobs, height, rows, |job, rows, scratch| {
            let (image, block) = (job / blocks, job % blocks);
            let start = job * size;
            // SAFETY: pieces have no row of a block in common.
            let map = unsafe { shared.part(start + rows.start * width..start + rows.end * width) };
            self.chain.forward(block, &g.image(image)[block * size..(block + 1) * size], rows, &mut scratch.chain, map);
        });

        let shared = g.shared();
        each_piece(n, size, pixels, |image, tile, scratch| {
            let (start, pixels) = (image * blocks * size + tile.start, tile.len());
            let mixed = room(&mut scratch.output, pixels * blocks);
            let map = &map.image(image)[tile.start..];
            let product = self.mix.weight.of(map, 0..blocks, size, pixels, &mut scratch.bytes);
            product.write_to(Cut::Whole, self.mix.bias_from(0), mixed, pixels, pixels);
            // SAFETY: tiles have no pixel in common.
            unsafe {
                for (block, mixed) in mixed.chunks_exact_mut(pixels).enumerate() {
                    let g = shared.part(start + block * size..start + block * size + pixels);
                    match &self.project {
                        Some(_) => multiply_in_place(g, mixed),
                        None => multiply_in_place(mixed, g),
                    }
                }
                if let Some(project) = &self.project {
                    let product = project.weight.of(mixed, 0..blocks, pixels, pixels, &mut scratch.bytes);
                    product.write(Cut::Whole, project.bias_from(0), shared.from(start), size, pixels);
                }
            }
        });
        memory.give(map);

        // Two bands for each thread, so that one that is held up does not hold up the other.
        let most = (n * height).div_ceil(2 * threads);
        let rows = if self.middle.is_near() { most } else { BAND.div_ceil(width).min(2 * most) }.clamp(1, height);
        let shared = x.shared();
        each_piece(n, height, rows, |image, rows, scratch| {
            let finish = |rows: Range<usize>, narrow: &[Lanes], stride: usize| {
                let (start, pixels) = (image * blocks * size + rows.start * width, rows.len() * width);
                for (block, narrow) in narrow.chunks(stride).enumerate() {
                    let start = start + block * size;
                    // SAFETY: bands have no row in common, and nobody reads `x`.
                    let x = unsafe { shared.part(start..start + pixels) };
                    gelu_of_sum(flat_mut(x), flat(&narrow[..pixels]));
                }
            };
            self.middle.rows(g.image(image), size, 0, rows, &mut scratch.middle, Some(finish));
        });
        memory.give(g);
    }
}
