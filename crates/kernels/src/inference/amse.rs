//! AMSUnet's block: attention, feed-forward half and residual.

use std::ops::Range;

use super::{Blocked, Constants, Memory, Weights, each_piece};
use crate::blocks::{tile_pixels, vector};
use crate::chain::{Chain, DEPTHWISE};
use crate::feed_forward::{BAND, Middle};
use crate::gelu::{gelu_in_place, gelu_of_sum};
use crate::lanes::{Lanes, flat, flat_mut, room};
use crate::product::{Matrix, Start, multiply, multiply_shared};
use crate::rows::multiply_in_place;

/// The layers of the attention before its projection: the first 1x1 convolution, the depthwise ones
/// and the mixing one.
pub const LAYERS: usize = DEPTHWISE + 2;

/// `gelu(ffn(norm2(attention(norm1(x)))) + x)` for maps of one size.
pub(super) struct Amse {
    expand: Matrix,
    expand_bias: Vec<Lanes>,
    chain: Chain,
    mix: Matrix,
    mix_bias: Vec<Lanes>,
    /// Nothing where the layer is one with the next.
    project: Option<(Matrix, Vec<Lanes>)>,
    middle: Middle,
}

impl Amse {
    /// Prepares the layers.
    pub(super) fn new(
        size: [usize; 2],
        dilation: usize,
        norms: &[Constants; 2],
        attention: &[Weights; LAYERS],
        project: Option<&Weights>,
        feed_forward: &[Weights; 3],
    ) -> Self {
        let fold = |norm: &Constants, [weight, bias]: &Weights| norm.norm().fold(weight.values(), bias.values());
        let c = norms[0].weight.values().len();
        let layer = |[weight, bias]: &Weights| (Matrix::new(weight.values(), [c, c]), vector(bias.values()));
        let attend = || {
            let (expand, bias) = fold(&norms[0], &attention[0]);
            let chain = Chain::new(&attention[1..=DEPTHWISE], size, dilation);
            let mix = layer(&attention[LAYERS - 1]);
            (Matrix::new(&expand, [c, c]), vector(&bias), chain, mix, project.map(layer))
        };
        let feed = || {
            let (expand, bias) = fold(&norms[1], &feed_forward[0]);
            let [[local, local_bias], [project, project_bias]] = [&feed_forward[1], &feed_forward[2]];
            Middle::new(size, &expand, &bias, [local, local_bias, project, project_bias].map(|map| map.values()))
        };
        let ((expand, expand_bias, chain, mix, project), middle) = (attend(), feed());
        let (mix, mix_bias) = mix;
        Self { expand, expand_bias, chain, mix, mix_bias, project, middle }
    }

    /// Computes the block in place of its input.
    pub(super) fn forward(&self, x: &mut Blocked, memory: &mut Memory) {
        let ([n, c, height, width], size, blocks) = (x.shape, x.size(), x.blocks());
        let pixels = tile_pixels(c);
        let (mut g, mut map) = (memory.temporary(x.shape), memory.temporary(x.shape));
        let shared = g.shared();
        each_piece(n, size, pixels, |image, tile, _| {
            let start = image * blocks * size + tile.start;
            let (x, bias) = (&x.image(image)[tile.start..], Start::Bias(&self.expand_bias));
            // SAFETY: tiles have no pixel in common.
            unsafe {
                multiply_shared(self.expand.whole(), &[0], x, bias, shared.from(start), [size; 2], tile.len());
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
            let bias = Start::Bias(&self.mix_bias);
            multiply(self.mix.whole(), &map.image(image)[tile.start..], bias, mixed, [size, pixels], pixels);
            // SAFETY: tiles have no pixel in common.
            unsafe {
                for (block, mixed) in mixed.chunks_exact_mut(pixels).enumerate() {
                    let g = shared.part(start + block * size..start + block * size + pixels);
                    match &self.project {
                        Some(_) => multiply_in_place(g, mixed),
                        None => multiply_in_place(mixed, g),
                    }
                }
                if let Some((project, bias)) = &self.project {
                    let (y, bias) = (shared.from(start), Start::Bias(bias));
                    multiply_shared(project.whole(), &[0], mixed, bias, y, [pixels, size], pixels);
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
