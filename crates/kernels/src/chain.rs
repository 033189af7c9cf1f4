//! The chain of depthwise convolutions in AMSUnet's attention, over one block of sixteen channels:
//! `local + atrous + sum over strips of vertical(horizontal(atrous))` with
//! `local = dw3x3(g)`, `atrous = dilated dw3x3(local)`.
//!
//! Columns of up to sixty-four pixels pass through all of it row by row; of each map between two
//! convolutions only the rows that the next one still reads are kept, in the second-level cache
//! (see [`Ring`]). A column's edges are computed twice; what lies outside the image is zero for
//! every convolution.

use std::ops::Range;

use super::lanes::{LANES, Lanes, room};
use super::map::Map;
use super::ring::Ring;
use super::rows::{Column, TOGETHER, add, add_in_place, add_sum, convolve, convolve_columns, correlate};

/// The number of strips.
pub(crate) const STRIPS: usize = 3;
/// The depthwise convolutions: local, atrous, and two for each strip, the horizontal one first.
pub const DEPTHWISE: usize = 2 + 2 * STRIPS;
/// The widest column.
const COLUMN: usize = 64;
/// The taps of a 3x3 convolution.
const TAPS: usize = 9;

/// The chain's weights, for one size of image.
pub(crate) struct Chain {
    /// Height and width.
    size: [usize; 2],
    /// The dilation of the atrous convolution.
    dilation: usize,
    /// The reach of each strip to either side, and the farthest.
    reaches: [usize; STRIPS],
    reach: usize,
    /// The kernels and biases of each convolution, block by block, and the kernels turned by 180
    /// degrees.
    convolutions: [[Vec<Lanes>; 3]; DEPTHWISE],
    /// The number of taps of each.
    taps: [usize; DEPTHWISE],
}

/// The rows of a thread.
#[derive(Default)]
pub(crate) struct Rows {
    x: Ring,
    local: Ring,
    atrous: Ring,
    strips: [Ring; STRIPS],
    of_all: Ring,
    of_atrous: Ring,
    of_local: Ring,
    of_strips: [Vec<Lanes>; STRIPS],
    line: Vec<Lanes>,
}

/// The next row that is copied or computed of each map.
struct Next {
    x: usize,
    local: usize,
    atrous: usize,
}

impl Next {
    /// Returns the rows from which on the atrous convolution's row `atrous` can be computed.
    fn new(atrous: usize, dilation: usize) -> Self {
        let local = atrous.saturating_sub(dilation);
        Self { x: local.saturating_sub(1), local, atrous }
    }
}

/// A column of pixels, with what is computed around it.
struct Span {
    /// The pixels that are the column's own.
    own: Range<usize>,
    /// The pixel that a ring's first lane holds; it may lie before the image.
    first: isize,
    width: usize,
}

impl Span {
    /// Returns the pixels up to `halo` beyond the column, inside the image.
    fn around(&self, halo: usize) -> Range<usize> {
        self.own.start.saturating_sub(halo)..(self.own.end + halo).min(self.width)
    }

    /// Returns the lanes of a ring's row that hold pixels.
    fn lanes(&self, pixels: &Range<usize>) -> Range<usize> {
        let place = |pixel: usize| (pixel as isize - self.first) as usize;
        place(pixels.start)..place(pixels.end)
    }
}

impl Chain {
    /// Creates the chain from weights and biases of its convolutions, in their order.
    pub(crate) fn new(layers: &[[Map; 2]], size: [usize; 2], dilation: usize) -> Self {
        let kernel = |index: usize| layers[index][0].shape();
        let taps = std::array::from_fn(|index| kernel(index)[2] * kernel(index)[3]);
        let reaches = std::array::from_fn(|strip| kernel(2 + 2 * strip)[3] / 2);
        let convolutions = std::array::from_fn(|index| {
            let kernels = super::feed_forward::kernels(layers[index][0].values(), taps[index]);
            let turned = super::feed_forward::turned(&kernels, taps[index]);
            [kernels, super::blocks::vector(layers[index][1].values()), turned]
        });
        let reach = reaches.iter().copied().max().expect("there are strips");
        Self { size, dilation, reaches, reach, convolutions, taps }
    }

    fn kernel(&self, index: usize, block: usize) -> &[Lanes] {
        &self.convolutions[index][0][block * self.taps[index]..][..self.taps[index]]
    }

    fn bias(&self, index: usize, block: usize) -> &Lanes {
        &self.convolutions[index][1][block]
    }

    fn turned(&self, index: usize, block: usize) -> &[Lanes] {
        &self.convolutions[index][2][block * self.taps[index]..][..self.taps[index]]
    }

    /// Returns the number of lanes that [`Self::backward`] adds to for a block: a convolution's
    /// taps and its bias behind the other's.
    pub(crate) fn parameters(&self) -> usize {
        self.taps.iter().map(|taps| taps + 1).sum()
    }

    /// Returns gradients of weight and bias of one convolution, from the sums of all blocks.
    pub(crate) fn gradients(&self, index: usize, sums: &[Lanes], channels: usize) -> [Vec<f32>; 2] {
        let start: usize = self.taps[..index].iter().map(|taps| taps + 1).sum();
        let value =
            |channel: usize, tap: usize| sums[channel / LANES * self.parameters() + start + tap].0[channel % LANES];
        let taps = self.taps[index];
        let weights = (0..channels).flat_map(|channel| (0..taps).map(move |tap| value(channel, tap)));
        [weights.collect(), (0..channels).map(|channel| value(channel, taps)).collect()]
    }

    /// Returns the columns that an image is cut into, with the border that the taps need.
    fn columns(&self, border: usize) -> impl Iterator<Item = Span> {
        let width = self.size[1];
        let column = width.div_ceil(width.div_ceil(COLUMN));
        (0..width).step_by(column).map(move |start| Span {
            own: start..(start + column).min(width),
            first: start as isize - border as isize,
            width,
        })
    }

    /// Computes one of the two 3x3 convolutions of a row.
    #[allow(clippy::too_many_arguments, reason = "each names another thing")]
    fn square(&self, index: usize, block: usize, from: &Ring, row: usize, span: &Span, halo: usize, to: &mut Ring) {
        let (dilation, pixels) = (if index == 1 { self.dilation } else { 1 }, span.lanes(&span.around(halo)));
        let rows = from.around::<3>(0, row, dilation, pixels.start - dilation);
        convolve(
            &rows,
            dilation,
            self.kernel(index, block),
            self.bias(index, block),
            &mut to.block_row_mut(0, row)[pixels],
        );
    }

    /// Computes a row of the horizontal half of a strip.
    fn horizontal(&self, strip: usize, block: usize, atrous: &Ring, row: usize, span: &Span, to: &mut Ring) {
        let own = span.lanes(&span.own);
        let x = &atrous.row(0, row as isize)[own.start - self.reaches[strip]..];
        let index = 2 + 2 * strip;
        convolve(
            &[x],
            1,
            self.kernel(index, block),
            self.bias(index, block),
            &mut to.block_row_mut(0, row)[..own.len()],
        );
    }

    /// Computes rows of the atrous convolution and of the strips' horizontal halves up to `end`,
    /// with those that they read.
    fn advance(
        &self,
        block: usize,
        x: &[Lanes],
        span: &Span,
        end: usize,
        next: &mut Next,
        (near, local, atrous, strips): (&mut Ring, &mut Ring, &mut Ring, &mut [Ring; STRIPS]),
    ) {
        let ([height, width], reach, dilation) = (self.size, self.reach, self.dilation);
        while next.atrous < end.min(height) {
            while next.local < (next.atrous + dilation + 1).min(height) {
                while next.x < (next.local + 2).min(height) {
                    let pixels = span.around(reach + dilation + 1);
                    let row = &mut near.block_row_mut(0, next.x)[span.lanes(&pixels)];
                    row.copy_from_slice(&x[next.x * width..][pixels]);
                    next.x += 1;
                }
                self.square(0, block, near, next.local, span, reach + dilation, local);
                next.local += 1;
            }
            self.square(1, block, local, next.atrous, span, reach, atrous);
            for (strip, to) in strips.iter_mut().enumerate() {
                self.horizontal(strip, block, atrous, next.atrous, span, to);
            }
            next.atrous += 1;
        }
    }

    /// Computes rows of the map of one block, from all rows of `x`.
    pub(crate) fn forward(&self, block: usize, x: &[Lanes], rows: Range<usize>, work: &mut Rows, y: &mut [Lanes]) {
        const STEP: usize = 4 * TOGETHER;
        let ([height, width], reach, dilation) = (self.size, self.reach, self.dilation);
        let border = reach + dilation + 1;
        let Rows { x: near, local, atrous, strips, .. } = work;
        for span in self.columns(border) {
            let lanes = span.own.len() + 2 * border;
            near.reset(1, height, lanes, 3);
            local.reset(1, height, lanes, STEP + reach + 2 * dilation + 1);
            atrous.reset(1, height, lanes, STEP + reach + 1);
            for strip in &mut *strips {
                strip.reset(1, height, span.own.len(), STEP + 2 * reach);
            }
            let mut next = Next::new(rows.start.saturating_sub(reach), dilation);
            let own = span.lanes(&span.own);
            for top in rows.clone().step_by(STEP) {
                let end = (top + STEP).min(rows.end);
                self.advance(block, x, &span, end + reach, &mut next, (near, local, atrous, strips));
                let mut bias = Lanes::ZERO;
                for strip in 0..STRIPS {
                    let other = self.bias(3 + 2 * strip, block);
                    bias = Lanes(std::array::from_fn(|lane| bias.0[lane] + other.0[lane]));
                }
                for row in top..end {
                    let y = &mut y[(row - rows.start) * width..][span.own.clone()];
                    add(&local.row(0, row as isize)[own.clone()], &atrous.row(0, row as isize)[own.clone()], &bias, y);
                }
                let mut row = top;
                while row < end {
                    let count = if end - row >= TOGETHER { TOGETHER } else { 1 };
                    let read: [Vec<&[Lanes]>; STRIPS] =
                        std::array::from_fn(|strip| below(&strips[strip], row, self.reaches[strip], count, 0));
                    let columns: [Column<'_>; STRIPS] =
                        std::array::from_fn(|strip| (&read[strip][..], self.kernel(3 + 2 * strip, block)));
                    let y = &mut y[(row - rows.start) * width + span.own.start..];
                    convolve_columns(&columns, count, y, width, span.own.len());
                    row += count;
                }
            }
        }
    }

    /// Adds the gradient of `x` to `of_x`, from that of the map; adds the parameters' to `sums`.
    pub(crate) fn backward(
        &self,
        block: usize,
        x: &[Lanes],
        of_map: &[Lanes],
        work: &mut Rows,
        of_x: &mut [Lanes],
        sums: &mut [Lanes],
    ) {
        const STEP: usize = TOGETHER;
        let ([height, width], reach, dilation) = (self.size, self.reach, self.dilation);
        let border = reach + dilation + 1;
        let Rows { x: near, local, atrous, strips, of_all, of_atrous, of_local, of_strips, line } = work;
        let mut rest = sums;
        let parts: [(&mut [Lanes], &mut Lanes); DEPTHWISE] = std::array::from_fn(|index| {
            let (weight, others) = std::mem::take(&mut rest).split_at_mut(self.taps[index]);
            let (bias, others) = others.split_first_mut().expect("there is a bias behind the taps");
            rest = others;
            (weight, bias)
        });
        for span in self.columns(border) {
            let lanes = span.own.len() + 2 * border;
            let own = span.lanes(&span.own);
            // Rows that wait for the slowest of their readers, see below.
            near.reset(1, height, lanes, STEP + reach + 2 * dilation + 4);
            local.reset(1, height, lanes, STEP + reach + 2 * dilation + 2);
            atrous.reset(1, height, lanes, STEP + reach + 1);
            of_all.reset(1, height, lanes, STEP + 2 * reach + dilation + 1);
            of_atrous.reset(1, height, lanes, STEP + 2 * dilation + 1);
            of_local.reset(1, height, lanes, STEP + 3);
            for strip in &mut *strips {
                strip.reset(1, height, span.own.len(), STEP + 2 * reach + 1);
            }
            for of_strip in &mut *of_strips {
                super::lanes::zeroed(of_strip, STEP * lanes);
            }
            let mut next_above = Next::new(0, dilation);
            let [mut next_of_all, mut next_of_atrous, mut next_of_local, mut next] = [0; 4];
            while next < height {
                // The gradients of the strips and of the atrous convolution, some rows together.
                let end = (next_of_atrous + STEP).min(height);
                self.advance(block, x, &span, end + reach, &mut next_above, (near, local, atrous, strips));
                while next_of_all < (end + reach).min(height) {
                    let pixels = span.around(border);
                    let row = &mut of_all.block_row_mut(0, next_of_all)[span.lanes(&pixels)];
                    row.copy_from_slice(&of_map[next_of_all * width..][pixels]);
                    next_of_all += 1;
                }
                let wide = span.lanes(&span.around(border));
                let inner = span.lanes(&span.around(dilation + 1));
                let rows = next_of_atrous..end;
                for strip in 0..STRIPS {
                    let (reach, index) = (self.reaches[strip], 2 + 2 * strip);
                    let of_strip = &mut of_strips[strip];
                    for row in 0..rows.len() {
                        of_strip[row * lanes..][wide.clone()].fill(Lanes::ZERO);
                    }
                    let mut row = rows.start;
                    while row < end {
                        let count = if end - row >= TOGETHER { TOGETHER } else { 1 };
                        let read = below(of_all, row, reach, count, wide.start);
                        let y = &mut of_strip[(row - rows.start) * lanes + wide.start..];
                        convolve_columns(&[(&read[..], self.turned(index + 1, block))], count, y, lanes, wide.len());
                        row += count;
                    }
                    for row in rows.clone() {
                        let gradient = &of_all.row(0, row as isize)[own.clone()];
                        let read = below(&strips[strip], row, reach, 1, 0);
                        correlate(&read, gradient, parts[index + 1].0);
                        let gradient = &of_strip[(row - rows.start) * lanes..][own.clone()];
                        let read = beside(atrous.row(0, row as isize), own.start, reach);
                        correlate(&read, gradient, parts[index].0);
                        add_sum(gradient, parts[index].1);
                    }
                }
                for row in rows.clone() {
                    add_sum(&of_all.row(0, row as isize)[own.clone()], parts[3].1);
                    let y = room(line, inner.len());
                    let to = &mut of_atrous.block_row_mut(0, row)[inner.clone()];
                    to.copy_from_slice(&of_all.row(0, row as isize)[inner.clone()]);
                    for strip in 0..STRIPS {
                        let from = &of_strips[strip][(row - rows.start) * lanes..][..lanes];
                        let x = &from[inner.start - self.reaches[strip]..];
                        convolve(&[x], 1, self.turned(2 + 2 * strip, block), &Lanes::ZERO, y);
                        add_in_place(y, to);
                    }
                    let gradient = &of_atrous.row(0, row as isize)[own.clone()];
                    let around = local.around::<3>(0, row, dilation, own.start - dilation);
                    let read: [&[Lanes]; TAPS] = std::array::from_fn(|tap| &around[tap / 3][tap % 3 * dilation..]);
                    correlate(&read, gradient, parts[1].0);
                    add_sum(gradient, parts[1].1);
                }
                next_of_atrous = end;
                // The gradient of the local convolution, as far as that of the atrous one is there.
                let reached = if end == height { height } else { end.saturating_sub(dilation) };
                while next_of_local < reached {
                    let (row, near_own) = (next_of_local, span.lanes(&span.around(1)));
                    let around = of_atrous.around::<3>(0, row, dilation, near_own.start - dilation);
                    let to = &mut of_local.block_row_mut(0, row)[near_own.clone()];
                    convolve(&around, dilation, self.turned(1, block), &Lanes::ZERO, to);
                    add_in_place(&of_all.row(0, row as isize)[near_own], to);
                    let gradient = &of_local.row(0, row as isize)[own.clone()];
                    let around = near.around::<3>(0, row, 1, own.start - 1);
                    let read: [&[Lanes]; TAPS] = std::array::from_fn(|tap| &around[tap / 3][tap % 3..]);
                    correlate(&read, gradient, parts[0].0);
                    add_sum(gradient, parts[0].1);
                    next_of_local += 1;
                    // And of the input.
                    let reached = if next_of_local == height { height } else { next_of_local - 1 };
                    while next < reached {
                        let y = room(line, own.len());
                        let around = of_local.around::<3>(0, next, 1, own.start - 1);
                        convolve(&around, 1, self.turned(0, block), &Lanes::ZERO, y);
                        add_in_place(y, &mut of_x[next * width..][span.own.clone()]);
                        next += 1;
                    }
                }
            }
        }
        // All vertical strips end in the same sum.
        let bias = *parts[3].1;
        for strip in 1..STRIPS {
            *parts[3 + 2 * strip].1 = bias;
        }
    }
}

/// Returns the rows that the taps of a vertical strip read for `count` rows, from a lane on.
fn below(ring: &Ring, row: usize, reach: usize, count: usize, start: usize) -> Vec<&[Lanes]> {
    (0..2 * reach + count).map(|tap| &ring.row(0, (row + tap) as isize - reach as isize)[start..]).collect()
}

/// Returns what the taps of a horizontal strip read for the pixels from a lane on.
fn beside(row: &[Lanes], start: usize, reach: usize) -> Vec<&[Lanes]> {
    (0..=2 * reach).map(|tap| &row[start + tap - reach..]).collect()
}
