//! Dense convolution of stride 1 as products: at each pixel, one for every tap, in the registers of
//! one tile.
//!
//! The image lies in blocks of channels with its padding around it, so that a tap is one offset.
//! The input's gradient is the convolution of the output's with the kernel turned by 180 degrees; a
//! weight's gradient is a product over all pixels, which threads share by blocks of output
//! channels, so that no sum exists twice.

use rayon::prelude::*;

use super::blocks::{pack, tiles, unpack, vector};
use super::buffer::zeros;
use super::lanes::{LANES, Lanes, block_count, flat, room};
use super::map::Map;
use super::norm_pointwise::image;
use super::operator::Operator;
use super::product::{Matrix, Start, dense, multiply_taps, multiply_transposed, sums};
use super::rows::add_sum;

/// The approximate values of a band of the input: they stay in the second-level cache.
const BAND: usize = 96 << 10;

/// `W * x + b` of `[x, W, b]`, with zeros around `x`.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// The rows above and below, the columns before and behind; less than the kernel's sides.
    pub padding: [usize; 2],
}

/// The geometry of a convolution.
#[derive(Clone, Copy)]
struct Shape {
    /// Height and width of the input, of the kernel and of the padding.
    size: [usize; 2],
    kernel: [usize; 2],
    padding: [usize; 2],
}

impl Shape {
    /// Returns height and width of the output.
    fn output(&self) -> [usize; 2] {
        std::array::from_fn(|axis| self.size[axis] + 2 * self.padding[axis] + 1 - self.kernel[axis])
    }

    /// Returns the width of an input's row with its padding.
    fn stride(&self) -> usize {
        self.size[1] + 2 * self.padding[1]
    }

    /// Returns the offsets of the taps.
    fn taps(&self) -> Vec<usize> {
        let [height, width] = self.kernel;
        (0..height * width).map(|tap| tap / width * self.stride() + tap % width).collect()
    }

    /// Copies what `rows` rows of the output from `first` on read into blocks; returns the distance
    /// between these.
    fn pack(&self, planes: &[f32], first: usize, rows: usize, lanes: &mut Vec<Lanes>) -> usize {
        let (lanes, distance) = self.room(planes, rows, lanes);
        for (planes, lanes) in planes.chunks(LANES * self.plane()).zip(lanes.chunks_exact_mut(distance)) {
            self.pack_block(planes, first, lanes);
        }
        distance
    }

    /// Copies a whole image into blocks, on all threads; returns the distance between these.
    fn pack_all(&self, planes: &[f32], lanes: &mut Vec<Lanes>) -> usize {
        let [height, _] = self.output();
        let (lanes, distance) = self.room(planes, height, lanes);
        let blocks = planes.par_chunks(LANES * self.plane()).zip(lanes.par_chunks_exact_mut(distance));
        blocks.for_each(|(planes, lanes)| self.pack_block(planes, 0, lanes));
        distance
    }

    /// Makes room for what `rows` rows of the output read; returns it with the distance between
    /// blocks.
    fn room<'a>(&self, planes: &[f32], rows: usize, lanes: &'a mut Vec<Lanes>) -> (&'a mut [Lanes], usize) {
        let distance = (rows + self.kernel[0] - 1) * self.stride();
        (room(lanes, block_count(planes.len() / self.plane()) * distance), distance)
    }

    /// Copies what a block's rows read that begin with the output's row `first`.
    fn pack_block(&self, planes: &[f32], first: usize, lanes: &mut [Lanes]) {
        let ([h, w], before) = (self.size, self.padding[1]);
        let distance = lanes.len();
        for row in 0..distance / self.stride() {
            let lanes = &mut lanes[row * self.stride()..];
            match (first + row).checked_sub(self.padding[0]).filter(|from| *from < h) {
                Some(from) => {
                    pack(planes, h * w, from * w, w, &mut lanes[before..], distance);
                    lanes[..before].fill(Lanes::ZERO);
                    lanes[before + w..self.stride()].fill(Lanes::ZERO);
                }
                None => lanes[..self.stride()].fill(Lanes::ZERO),
            }
        }
    }

    /// Returns the pixels of the input's planes.
    fn plane(&self) -> usize {
        self.size[0] * self.size[1]
    }
}

/// Returns weights `[rows, columns, taps]` with a tap's columns together: `[rows, taps, columns]`.
pub(crate) fn by_tap(weights: &[f32], taps: usize, columns: usize) -> Vec<f32> {
    let mut ordered = vec![0.0; weights.len()];
    for (row, ordered) in weights.chunks_exact(columns * taps).zip(ordered.chunks_exact_mut(columns * taps)) {
        for (column, weights) in row.chunks_exact(taps).enumerate() {
            for (tap, weight) in weights.iter().enumerate() {
                ordered[tap * columns + column] = *weight;
            }
        }
    }
    ordered
}

/// Returns weights `[rows, columns, taps]` as the turned kernel's, `[columns, taps, rows]`.
fn turned(weights: &[f32], taps: usize, columns: usize) -> Vec<f32> {
    let rows = weights.len() / (columns * taps);
    let mut ordered = vec![0.0; weights.len()];
    for (row, weights) in weights.chunks_exact(columns * taps).enumerate() {
        for (column, weights) in weights.chunks_exact(taps).enumerate() {
            for (tap, weight) in weights.iter().enumerate() {
                ordered[(column * taps + taps - 1 - tap) * rows + row] = *weight;
            }
        }
    }
    ordered
}

/// Convolves all images with a matrix of `rows` rows whose columns are those of every tap.
fn convolve(x: &Map, shape: Shape, matrix: &Matrix, rows: usize, bias: Option<&[Lanes]>) -> Vec<f32> {
    let ([n, c, _, _], [height, width]) = (x.shape(), shape.output());
    let (taps, blocks) = (shape.taps(), block_count(rows));
    let mut y = zeros(n * rows * height * width);
    // Values do not depend on the cut, so that each thread may have a band.
    let most = (n * height).div_ceil(rayon::current_num_threads());
    let band = (BAND / (c.next_multiple_of(LANES) * width)).max(4).min(most).clamp(1, height);
    tiles(&mut y, rows, height * width, band * width).into_par_iter().for_each_init(
        || [(); 2].map(|()| Vec::new()),
        |[input, output], mut tile| {
            let pixels = tile.pixels();
            let (first, count) = (tile.start / width, pixels / width);
            let distance = shape.pack(image(x, tile.image), first, count, input);
            let output = room(output, pixels * blocks);
            // Two blocks' weights stay near for all rows.
            for block in (0..blocks).step_by(2) {
                let part = matrix.rows(block, 2.min(blocks - block));
                let start = bias.map_or(Start::Zero, |bias| Start::Bias(&bias[block..]));
                for row in 0..count {
                    let x = &input[row * shape.stride()..];
                    let y = &mut output[block * pixels + row * width..];
                    multiply_taps(part, &taps, x, start, y, [distance, pixels], width);
                }
            }
            unpack(output, pixels, &mut tile.planes);
        },
    );
    y
}

impl Convolution {
    fn shape(&self, x: &Map, weight: &Map) -> Shape {
        let ([_, _, h, w], [_, _, kh, kw]) = (x.shape(), weight.shape());
        Shape { size: [h, w], kernel: [kh, kw], padding: self.padding }
    }
}

impl Operator<3> for Convolution {
    type Saved = ();

    fn forward(&self, [x, weight, bias]: &[Map; 3]) -> (Map, ()) {
        let ([n, _, _, _], [rows, columns, kh, kw]) = (x.shape(), weight.shape());
        let (shape, taps) = (self.shape(x, weight), kh * kw);
        let matrix = Matrix::new(&by_tap(weight.values(), taps, columns), [rows, taps * columns]);
        let y = convolve(x, shape, &matrix, rows, Some(&vector(bias.values())));
        let [height, width] = shape.output();
        (Map::new(y, [n, rows, height, width]), ())
    }

    fn backward(&self, [x, weight, _]: &[Map; 3], (): (), gradient: Map) -> [Vec<f32>; 3] {
        let ([n, _, _, _], [rows, columns, kh, kw]) = (x.shape(), weight.shape());
        let (shape, [_, _, height, width], taps) = (self.shape(x, weight), gradient.shape(), kh * kw);
        let opposite = Shape {
            size: [height, width],
            kernel: shape.kernel,
            padding: [kh - 1 - self.padding[0], kw - 1 - self.padding[1]],
        };
        let matrix = Matrix::new(&turned(weight.values(), taps, columns), [columns, taps * rows]);
        let x_gradient = convolve(&gradient, opposite, &matrix, columns, None);

        let (offsets, [row_blocks, column_blocks]) = (shape.taps(), [rows, columns].map(block_count));
        // By blocks of rows: the sums of every tap, and those of the bias.
        let mut totals: Vec<_> = (0..row_blocks).map(|_| (vec![sums([LANES, columns]); taps], [Lanes::ZERO])).collect();
        let [mut input, mut of_output] = [(); 2].map(|()| Vec::new());
        for index in 0..n {
            let distance = shape.pack_all(image(x, index), &mut input);
            let pixels = height * width;
            let of_output = room(&mut of_output, row_blocks * pixels);
            let planes = image(&gradient, index).par_chunks(LANES * pixels);
            planes.zip(of_output.par_chunks_exact_mut(pixels)).for_each(|(planes, lanes)| {
                pack(planes, pixels, 0, pixels, lanes, pixels);
            });
            totals.par_iter_mut().zip(of_output.par_chunks_exact(pixels)).for_each(|((totals, bias), of_output)| {
                for (row, of_row) in of_output.chunks_exact(width).enumerate() {
                    for (tap, totals) in offsets.iter().zip(&mut *totals) {
                        let x = &input[row * shape.stride() + tap..];
                        multiply_transposed(of_row, x, [1, column_blocks], [pixels, distance], width, totals);
                    }
                    add_sum(of_row, &mut bias[0]);
                }
            });
        }
        let mut of_weight = vec![0.0; weight.values().len()];
        let mut of_bias = Vec::with_capacity(rows);
        for (block, (totals, bias)) in totals.iter().enumerate() {
            let count = (rows - block * LANES).min(LANES);
            of_bias.extend_from_slice(&flat(bias)[..count]);
            for (tap, totals) in totals.iter().enumerate() {
                for (index, value) in dense(totals, [count, columns]).into_iter().enumerate() {
                    of_weight[(block * LANES * columns + index) * taps + tap] = value;
                }
            }
        }
        [x_gradient, of_weight, of_bias]
    }
}
