//! The gradient of the wide middle: it computes the middle again, and turns back row by row.

use super::middle::{CHUNK, Middle, Scratch, TAPS};
use crate::blocks::{Tile, pack};
use crate::gelu::gelu_and_slope;
use crate::lanes::{LANES, Lanes, block_count, room};
use crate::norm_pointwise::add_sums;
use crate::product::{Matrix, Start, multiply, multiply_transposed};
use crate::rows::{add_sum, convolve, correlate, times};

/// The weights that the gradient needs beside it.
pub(crate) struct Turned {
    pub(crate) expand: Matrix,
    pub(crate) depthwise: Vec<Lanes>,
    pub(crate) project: Matrix,
}

/// The sums of the weights' gradients, in the order of the indices below; matrices have the wide
/// side first.
pub(crate) type Sums = [Vec<Lanes>; 6];
pub(crate) const EXPAND: usize = 0;
pub(crate) const EXPAND_BIAS: usize = 1;
pub(crate) const DEPTHWISE: usize = 2;
pub(crate) const DEPTHWISE_BIAS: usize = 3;
pub(crate) const PROJECT: usize = 4;
pub(crate) const PROJECT_BIAS: usize = 5;

impl Middle {
    /// Computes the gradient of a band's input in `scratch.narrow`, from the output's of the whole
    /// image; adds those of the weights to `sums`.
    pub(crate) fn backward(
        &self,
        turned: &Turned,
        x: &[f32],
        of_output: &[f32],
        tile: &Tile<'_>,
        scratch: &mut Scratch,
        sums: &mut Sums,
    ) {
        let ([height, width], blocks) = (self.size, block_count(self.channels));
        let rows = tile.start / width..(tile.start + tile.pixels()) / width;
        let [outer, outmost] = [1, 2].map(|halo| rows.start.saturating_sub(halo)..(rows.end + halo).min(height));
        let [pixels, of_stride, stride] = [&rows, &outer, &outmost].map(|rows| rows.len() * width);
        let Scratch { input, narrow, wide, middle, bytes, slope, of_middle_rows, of_wide, .. } = scratch;
        let input = room(input, stride * blocks);
        pack(x, height * width, outmost.start * width, stride, input, stride);
        let own_input = &input[(rows.start - outmost.start) * width..];
        let of_output_lanes = room(&mut scratch.of_output, of_stride * blocks);
        pack(of_output, height * width, outer.start * width, of_stride, of_output_lanes, of_stride);
        let of_output = &*of_output_lanes;
        let own_output = (rows.start - outer.start) * width;
        for (block, sum) in sums[PROJECT_BIAS].iter_mut().enumerate() {
            add_sum(&of_output[block * of_stride + own_output..][..pixels], sum);
        }
        let narrow = room(narrow, pixels * blocks);
        let step = self.step();
        for chunk in self.chunks(CHUNK) {
            let (count, taps) = (chunk.len(), chunk.start * TAPS..chunk.end * TAPS);
            let matrix = chunk.start * LANES * blocks..chunk.end * LANES * blocks;
            wide.reset(count, height, width + 2, step + 4);
            of_middle_rows.reset(count, height, width + 2, step + 3);
            let (mut next_wide, mut next_middle) = (outmost.start, outer.start);
            for top in rows.clone().step_by(step) {
                let end = (top + step).min(rows.end);
                // Rows of the middle, with their gradients.
                while next_middle < (end + 1).min(height) {
                    let new = next_middle..(end + 1).min(height).min(next_middle + step);
                    let size = new.len() * width;
                    let middle = room(middle, size * count);
                    while next_wide < (new.end + 1).min(height) {
                        self.widen(&chunk, input, stride, outmost.start, next_wide, wide, bytes);
                        next_wide += 1;
                    }
                    for (index, block) in chunk.clone().enumerate() {
                        for row in new.clone() {
                            let y = &mut middle[index * size + (row - new.start) * width..][..width];
                            self.convolve(block, wide.around::<3>(index, row, 1, 0), y);
                        }
                    }
                    let slope = room(slope, size * count);
                    gelu_and_slope(middle, slope);
                    let of_middle = room(&mut scratch.of_middle, size * count);
                    let of_rows = &of_output[(new.start - outer.start) * width..];
                    let part = turned.project.rows(chunk.start, count);
                    multiply(part, of_rows, Start::Zero, of_middle, [of_stride, size], size);
                    for index in 0..count {
                        for row in new.clone() {
                            let place = index * size + (row - new.start) * width;
                            let y = &mut of_middle_rows.block_row_mut(index, row)[1..=width];
                            times(&of_middle[place..][..width], &slope[place..][..width], y);
                        }
                    }
                    let own = new.start.max(rows.start)..new.end.min(rows.end);
                    if !own.is_empty() {
                        multiply_transposed(
                            &middle[(own.start - new.start) * width..],
                            &of_output[(own.start - outer.start) * width..],
                            [count, blocks],
                            [size, of_stride],
                            own.len() * width,
                            &mut sums[PROJECT][matrix.clone()],
                        );
                    }
                    next_middle = new.end;
                }
                // Rows of the expansion's gradient.
                let size = (end - top) * width;
                let of_wide = room(of_wide, size * count);
                for (index, block) in chunk.clone().enumerate() {
                    let kernel = &turned.depthwise[block * TAPS..(block + 1) * TAPS];
                    for row in top..end {
                        let gradient = &of_middle_rows.row(index, row as isize)[1..=width];
                        let around = wide.around::<3>(index, row, 1, 0);
                        let read: [&[Lanes]; TAPS] = std::array::from_fn(|tap| &around[tap / 3][tap % 3..]);
                        correlate(
                            &read,
                            gradient,
                            &mut sums[DEPTHWISE][taps.clone()][index * TAPS..(index + 1) * TAPS],
                        );
                        add_sum(gradient, &mut sums[DEPTHWISE_BIAS][block]);
                        let y = &mut of_wide[index * size + (row - top) * width..][..width];
                        convolve(&of_middle_rows.around::<3>(index, row, 1, 0), 1, kernel, &Lanes::ZERO, y);
                    }
                }
                let place = (top - rows.start) * width;
                let (blocks, strides) = ([count, blocks], [size, stride]);
                multiply_transposed(
                    of_wide,
                    &own_input[place..],
                    blocks,
                    strides,
                    size,
                    &mut sums[EXPAND][matrix.clone()],
                );
                add_sums(of_wide, size, &mut sums[EXPAND_BIAS][chunk.clone()]);
                let start = if chunk.start == 0 { Start::Zero } else { Start::Output };
                let part = turned.expand.columns(chunk.start, count);
                multiply(part, of_wide, start, &mut narrow[place..], [size, pixels], size);
            }
        }
    }
}
