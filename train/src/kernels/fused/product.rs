//! The two matrix products of a 1x1 convolution over panels of pixels: its value, and its weight's gradient.
//!
//! A panel holds [`LANES`] neighbouring pixels of all channels, `[channels][pixels]`. A tile of a feature map is a list
//! of panels, small enough to stay in the cache while several operators pass over it. In a product, a block of six
//! rows times a panel stays in registers.

use super::lanes::{LANES, Lanes, MultiplyAdd, vectorized};

/// Rows that are computed together: with two registers per row and AVX2's sixteen, more would spill.
const ROWS: usize = 6;

/// A matrix, its rows in blocks of up to six that are interleaved.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    rows: usize,
    depth: usize,
    values: Vec<f32>,
}

/// What a product is added to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    /// Nothing.
    Zero,
    /// A value per row.
    Bias(&'a [f32]),
    /// What the output holds.
    Output,
}

/// Where the output's row `r` of panel `j` lies: at `j * panel + r * row`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strides {
    panel: usize,
    row: usize,
}

impl Strides {
    /// As panels of `rows` rows.
    pub(super) fn panels(rows: usize) -> Self {
        Self { panel: rows, row: 1 }
    }

    /// As planes of `panels` panels, one row behind the other.
    pub(super) fn planes(panels: usize) -> Self {
        Self { panel: 1, row: panels }
    }
}

impl Matrix {
    /// The matrix of `rows` x `depth` whose values a function gives by row and column.
    pub(super) fn new([rows, depth]: [usize; 2], value: impl Fn(usize, usize) -> f32) -> Self {
        let mut values = Vec::with_capacity(rows * depth);
        for (start, height) in blocks(rows) {
            for column in 0..depth {
                values.extend((start..start + height).map(|row| value(row, column)));
            }
        }
        Self { rows, depth, values }
    }
}

/// The first row and the height of each block.
fn blocks(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        // Two blocks of four keep more registers busy than one of six and one of two.
        let height = match rows - start {
            0 => return None,
            8 => 4,
            left => left.min(ROWS),
        };
        start += height;
        Some((start - height, height))
    })
}

vectorized! {
    /// `y = matrix * x`, added to what `start` says. `x` holds panels of as many rows as the matrix is deep.
    pub(super) fn multiply(matrix: &Matrix, x: &[Lanes], start: Start<'_>, y: &mut [Lanes], strides: Strides) = multiply_with
}

#[inline(always)]
fn multiply_with<M: MultiplyAdd>(matrix: &Matrix, x: &[Lanes], start: Start<'_>, y: &mut [Lanes], strides: Strides) {
    for (panel, x) in x.chunks_exact(matrix.depth).enumerate() {
        let y = &mut y[panel * strides.panel..];
        for (first, height) in blocks(matrix.rows) {
            let values = &matrix.values[first * matrix.depth..(first + height) * matrix.depth];
            match height {
                6 => block::<M, 6>(values, x, start, first, y, strides.row),
                5 => block::<M, 5>(values, x, start, first, y, strides.row),
                4 => block::<M, 4>(values, x, start, first, y, strides.row),
                3 => block::<M, 3>(values, x, start, first, y, strides.row),
                2 => block::<M, 2>(values, x, start, first, y, strides.row),
                _ => block::<M, 1>(values, x, start, first, y, strides.row),
            }
        }
    }
}

/// `H` rows of one panel.
#[inline(always)]
fn block<M: MultiplyAdd, const H: usize>(
    matrix: &[f32],
    x: &[Lanes],
    start: Start<'_>,
    first: usize,
    y: &mut [Lanes],
    stride: usize,
) {
    let mut sums: [[f32; LANES]; H] = match start {
        Start::Zero => [[0.0; LANES]; H],
        Start::Bias(bias) => std::array::from_fn(|row| [bias[first + row]; LANES]),
        Start::Output => std::array::from_fn(|row| y[(first + row) * stride].0),
    };
    for (x, weights) in x.iter().zip(matrix.as_chunks::<H>().0) {
        for (sums, weight) in sums.iter_mut().zip(weights) {
            for (sum, x) in sums.iter_mut().zip(&x.0) {
                *sum = M::multiply_add(*x, *weight, *sum);
            }
        }
    }
    for (row, sums) in sums.into_iter().enumerate() {
        y[(first + row) * stride] = Lanes(sums);
    }
}

/// How many bytes of the right factor a pass over the left one keeps in the first-level cache.
const NEAR: usize = 16 << 10;
/// Half of a panel's pixels: one register of AVX2.
const HALF: usize = LANES / 2;

vectorized! {
    /// `sums += a * b^T` over all pixels. `a` holds panels of `rows[0]` rows, `b` of `rows[1]`, `sums` is `rows[0]` x `rows[1]`.
    pub(super) fn multiply_transposed(a: &[Lanes], b: &[Lanes], rows: [usize; 2], sums: &mut [f32]) = multiply_transposed_with
}

#[inline(always)]
fn multiply_transposed_with<M: MultiplyAdd>(a: &[Lanes], b: &[Lanes], rows: [usize; 2], sums: &mut [f32]) {
    let panels = (NEAR / (rows[1] * size_of::<Lanes>())).max(1);
    for (a, b) in a.chunks(panels * rows[0]).zip(b.chunks(panels * rows[1])) {
        for row in (0..rows[0]).step_by(3) {
            for column in (0..rows[1]).step_by(4) {
                match ((rows[0] - row).min(3), (rows[1] - column).min(4)) {
                    (3, 4) => dots::<M, 3, 4>(a, b, rows, row, column, sums),
                    (2, 4) => dots::<M, 2, 4>(a, b, rows, row, column, sums),
                    (1, 4) => dots::<M, 1, 4>(a, b, rows, row, column, sums),
                    (height, width) => {
                        for row in row..row + height {
                            for column in column..column + width {
                                dots::<M, 1, 1>(a, b, rows, row, column, sums);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `H` x `W` of the sums, over the panels of `a` and `b`.
#[inline(always)]
fn dots<M: MultiplyAdd, const H: usize, const W: usize>(
    a: &[Lanes],
    b: &[Lanes],
    rows: [usize; 2],
    row: usize,
    column: usize,
    sums: &mut [f32],
) {
    let mut partial = [[[0.0; HALF]; W]; H];
    for (a, b) in a.chunks_exact(rows[0]).zip(b.chunks_exact(rows[1])) {
        let (a, b): (&[Lanes], &[Lanes]) = (&a[row..row + H], &b[column..column + W]);
        for half in [0, HALF] {
            for (a, partial) in a.iter().zip(&mut partial) {
                for (b, partial) in b.iter().zip(partial) {
                    for lane in 0..HALF {
                        partial[lane] = M::multiply_add(a.0[half + lane], b.0[half + lane], partial[lane]);
                    }
                }
            }
        }
    }
    for (height, partial) in partial.iter().enumerate() {
        for (width, partial) in partial.iter().enumerate() {
            sums[(row + height) * rows[1] + column + width] += partial.iter().sum::<f32>();
        }
    }
}
