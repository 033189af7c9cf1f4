//! The wide middle of the feed-forward half: expansion, depthwise convolution, GELU and projection,
//! a few channels and rows at a time.

use std::ops::Range;

use crate::blocks::{Tile, pack, vector};
use crate::bytes::Bytes;
use crate::gelu::gelu_in_place;
use crate::lanes::{LANES, Lanes, block_count, flat_mut, room};
use crate::product::{Cut, Layer, Start};
use crate::ring::Ring;
use crate::rows::convolve;

/// The blocks of the middle's channels whose gradient is computed at a time.
pub(crate) const CHUNK: usize = 2;
/// The bytes of rows and weights that are computed with at a time: they stay in the second-level
/// cache.
const NEAR: usize = 640 << 10;
/// The approximate pixels of the rows that take a step together.
const STEP: usize = 256;
/// The taps of the depthwise convolution.
pub(crate) const TAPS: usize = 9;

/// The wide middle.
pub(crate) struct Middle {
    /// Height and width.
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    pub(crate) wide: usize,
    pub(crate) expand: Layer,
    /// The taps of each block of channels.
    pub(crate) depthwise: Vec<Lanes>,
    pub(crate) depthwise_bias: Vec<Lanes>,
    pub(crate) project: Layer,
}

/// Returns the kernels of depthwise channels as lanes, one tap behind the other for each block.
pub(crate) fn kernels(weights: &[f32], taps: usize) -> Vec<Lanes> {
    let mut lanes = vec![Lanes::ZERO; block_count(weights.len() / taps) * taps];
    for (channel, kernel) in weights.chunks_exact(taps).enumerate() {
        for (lanes, weight) in lanes[channel / LANES * taps..].iter_mut().zip(kernel) {
            lanes.0[channel % LANES] = *weight;
        }
    }
    lanes
}

/// Turns kernels by 180 degrees.
pub(crate) fn turned(kernels: &[Lanes], taps: usize) -> Vec<Lanes> {
    kernels.chunks_exact(taps).flat_map(|kernel| kernel.iter().rev().copied()).collect()
}

/// The buffers of a thread.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The input and the projection's value; in the gradient, the input's.
    pub(crate) input: Vec<Lanes>,
    pub(crate) narrow: Vec<Lanes>,
    /// The expansion.
    pub(crate) wide: Ring,
    /// The convolution, then the inner GELU's value, and its slope.
    pub(crate) middle: Vec<Lanes>,
    /// The input of a product in integers.
    pub(crate) bytes: Vec<Bytes>,
    pub(crate) slope: Vec<Lanes>,
    /// For the gradient: those of the output, the middle and the expansion.
    pub(crate) of_output: Vec<Lanes>,
    pub(crate) of_middle: Vec<Lanes>,
    pub(crate) of_middle_rows: Ring,
    pub(crate) of_wide: Vec<Lanes>,
}

impl Middle {
    /// Creates the middle with the normalisation in its expansion.
    pub(crate) fn new(
        size: [usize; 2],
        expand: Layer,
        [depthwise, depthwise_bias]: [&[f32]; 2],
        project: Layer,
    ) -> Self {
        Self {
            size,
            channels: project.rows,
            wide: expand.rows,
            expand,
            depthwise: kernels(depthwise, TAPS),
            depthwise_bias: vector(depthwise_bias),
            project,
        }
    }

    /// Returns the blocks of channels, `count` together.
    pub(crate) fn chunks(&self, count: usize) -> impl Iterator<Item = Range<usize>> {
        let blocks = block_count(self.wide);
        (0..blocks).step_by(count).map(move |first| first..(first + count).min(blocks))
    }

    /// Returns the blocks of channels whose value is computed together: at least two.
    fn near(&self) -> usize {
        let (width, step) = (self.size[1], self.step());
        let block = ((step + 2) * (width + 2) + step * width + 2 * self.channels) * size_of::<Lanes>();
        1 << (NEAR / block).max(2).ilog2()
    }

    /// Returns whether all channels are computed together, so that bands may have any length.
    pub(crate) fn is_near(&self) -> bool {
        self.near() >= block_count(self.wide)
    }

    /// Returns the rows that take a step together.
    pub(crate) fn step(&self) -> usize {
        STEP.div_ceil(self.size[1])
    }

    /// Computes a row of the expansion, from the input's rows from `first` on.
    #[allow(clippy::too_many_arguments, reason = "each names another thing")]
    pub(crate) fn widen(
        &self,
        chunk: &Range<usize>,
        input: &[Lanes],
        stride: usize,
        first: usize,
        row: usize,
        wide: &mut Ring,
        bytes: &mut Vec<Bytes>,
    ) {
        let (width, wide_stride) = (self.size[1], wide.stride());
        let x = &input[(row - first) * width..];
        let (cut, bias) = (Cut::Rows(chunk.start, chunk.len()), self.expand.bias_from(chunk.start));
        let product = self.expand.weight.of(x, 0..block_count(self.channels), stride, width, bytes);
        product.write_to(cut, bias, &mut wide.row_mut(row)[1..], wide_stride, width);
    }

    /// `W2 gelu(dw3x3(W1 x + b1)) + b2` of a band of planes, in `scratch.narrow`.
    pub(crate) fn forward(&self, x: &[f32], tile: &Tile<'_>, scratch: &mut Scratch) {
        let [height, width] = self.size;
        let rows = tile.start / width..(tile.start + tile.pixels()) / width;
        let outer = rows.start.saturating_sub(1)..(rows.end + 1).min(height);
        let stride = outer.len() * width;
        let mut input = std::mem::take(&mut scratch.input);
        let lanes = room(&mut input, stride * block_count(self.channels));
        pack(x, height * width, outer.start * width, stride, lanes, stride);
        self.rows(lanes, stride, outer.start, rows, scratch, None::<fn(Range<usize>, &[Lanes], usize)>);
        scratch.input = input;
    }

    /// `W2 gelu(dw3x3(W1 x + b1)) + b2` of rows; the input's blocks hold its rows from `first` on
    /// and lie `stride` lanes apart.
    ///
    /// `take` gets some rows after the other, with the distance between their blocks; without it,
    /// `scratch.narrow` holds all of them.
    pub(crate) fn rows(
        &self,
        input: &[Lanes],
        stride: usize,
        first: usize,
        rows: Range<usize>,
        scratch: &mut Scratch,
        mut take: Option<impl FnMut(Range<usize>, &[Lanes], usize)>,
    ) {
        let [height, width] = self.size;
        let step = self.step();
        // Rows that are taken at once need no room for the others.
        let passing = take.is_some() && self.is_near();
        let pixels = if passing { step.min(rows.len()) } else { rows.len() } * width;
        let Scratch { narrow, wide, middle, bytes, .. } = scratch;
        let narrow = room(narrow, pixels * block_count(self.channels));
        for chunk in self.chunks(self.near()) {
            wide.reset(chunk.len(), height, width + 2, step + 2);
            let mut next = rows.start.saturating_sub(1);
            for top in rows.clone().step_by(step) {
                let end = (top + step).min(rows.end);
                while next < (end + 1).min(height) {
                    self.widen(&chunk, input, stride, first, next, wide, bytes);
                    next += 1;
                }
                let count = (end - top) * width;
                let middle = room(middle, count * chunk.len());
                for (index, block) in chunk.clone().enumerate() {
                    for row in top..end {
                        let y = &mut middle[index * count + (row - top) * width..][..width];
                        self.convolve(block, wide.around::<3>(index, row, 1, 0), y);
                        gelu_in_place(flat_mut(y));
                    }
                }
                let start = if chunk.start == 0 { self.project.bias_from(0) } else { Start::Output };
                let cut = Cut::Columns(chunk.start, chunk.len());
                let narrow = &mut narrow[if passing { 0 } else { (top - rows.start) * width }..];
                let product = self.project.weight.of(middle, chunk.clone(), count, count, bytes);
                product.write_to(cut, start, narrow, pixels, count);
                if let (Some(take), true) = (&mut take, chunk.end == block_count(self.wide)) {
                    take(top..end, narrow, pixels);
                }
            }
        }
    }

    /// Computes a row of the depthwise convolution.
    pub(crate) fn convolve(&self, block: usize, rows: [&[Lanes]; 3], y: &mut [Lanes]) {
        convolve(&rows, 1, &self.depthwise[block * TAPS..(block + 1) * TAPS], &self.depthwise_bias[block], y);
    }
}
