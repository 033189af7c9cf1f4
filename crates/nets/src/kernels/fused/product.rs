//! The two matrix products of a 1x1 convolution over panels of pixels: its value, and its weight's
//! gradient.
//!
//! A panel holds [`LANES`] neighbouring pixels of all channels, `[channels][pixels]`. A tile of a
//! feature map is a list of panels, small enough to stay in the cache while several operators pass
//! over it. In a product, a block of six rows times a panel stays in registers.

use super::lanes::{Lanes, Vector, half, load, store, vectorized};

/// Rows that are computed together: with two registers per row and AVX2's sixteen, more would
/// spill.
const ROWS: usize = 6;

/// A matrix, its rows in blocks of up to six that are interleaved.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    depth: usize,
    /// The first row and the height of each block.
    blocks: Vec<(usize, usize)>,
    values: Vec<f32>,
}

/// The start of the sums of a product.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    /// Nothing.
    Zero,
    /// A value per row.
    Bias(&'a [f32]),
    /// The values that the output holds.
    Output,
}

/// The layout of the output: row `r` of panel `j` lies at `j * panel + r * row`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strides {
    panel: usize,
    row: usize,
}

impl Strides {
    /// Packs values as panels of `rows` rows.
    pub(super) fn panels(rows: usize) -> Self {
        Self { panel: rows, row: 1 }
    }

    /// Unpacks values as planes of `panels` panels, row by row.
    pub(super) fn planes(panels: usize) -> Self {
        Self { panel: 1, row: panels }
    }
}

impl Matrix {
    /// Creates the matrix of `rows` x `depth` whose values a function gives by row and column.
    pub(super) fn new([rows, depth]: [usize; 2], value: impl Fn(usize, usize) -> f32) -> Self {
        let (mut blocks, mut values, mut first) = (Vec::new(), Vec::with_capacity(rows * depth), 0);
        while first < rows {
            let left = rows - first;
            // Two blocks of four keep more registers busy than one of six and one of two.
            let height = if left == 8 { 4 } else { left.min(ROWS) };
            for column in 0..depth {
                values.extend((first..first + height).map(|row| value(row, column)));
            }
            blocks.push((first, height));
            first += height;
        }
        Self { depth, blocks, values }
    }
}

vectorized! {
    /// `y = matrix * x`, added to what `start` says. `x` holds panels of as many rows as the matrix
    /// is deep.
    pub(super) fn multiply(matrix: &Matrix, x: &[Lanes], start: Start<'_>, y: &mut [Lanes], strides: Strides) = multiply_with
}

#[inline(always)]
fn multiply_with<V: Vector>(matrix: &Matrix, x: &[Lanes], start: Start<'_>, y: &mut [Lanes], strides: Strides) {
    // One loop for each way to start, so that none asks for it in its middle.
    match start {
        Start::Zero => multiply_from::<V, ZERO>(matrix, x, &[], y, strides),
        Start::Bias(bias) => multiply_from::<V, BIAS>(matrix, x, bias, y, strides),
        Start::Output => multiply_from::<V, OUTPUT>(matrix, x, &[], y, strides),
    }
}

/// [`Start`], known when a loop is compiled.
const ZERO: usize = 0;
const BIAS: usize = 1;
const OUTPUT: usize = 2;

#[inline(always)]
fn multiply_from<V: Vector, const START: usize>(
    matrix: &Matrix,
    x: &[Lanes],
    bias: &[f32],
    y: &mut [Lanes],
    strides: Strides,
) {
    for (panel, x) in x.chunks_exact(matrix.depth).enumerate() {
        let y = &mut y[panel * strides.panel..];
        for &(first, height) in &matrix.blocks {
            let values = &matrix.values[first * matrix.depth..(first + height) * matrix.depth];
            let y = &mut y[first * strides.row..];
            let bias = if START == BIAS { &bias[first..] } else { bias };
            match height {
                6 => block::<V, START, 6>(values, x, bias, y, strides.row),
                5 => block::<V, START, 5>(values, x, bias, y, strides.row),
                4 => block::<V, START, 4>(values, x, bias, y, strides.row),
                3 => block::<V, START, 3>(values, x, bias, y, strides.row),
                2 => block::<V, START, 2>(values, x, bias, y, strides.row),
                _ => block::<V, START, 1>(values, x, bias, y, strides.row),
            }
        }
    }
}

/// `H` rows of one panel.
#[inline(always)]
fn block<V: Vector, const START: usize, const H: usize>(
    matrix: &[f32],
    x: &[Lanes],
    bias: &[f32],
    y: &mut [Lanes],
    stride: usize,
) {
    let mut sums = [[V::splat(0.0); 2]; H];
    for row in 0..H {
        if START == BIAS {
            sums[row] = [V::splat(bias[row]); 2];
        } else if START == OUTPUT {
            sums[row] = load(&y[row * stride].0);
        }
    }
    for (x, weights) in x.iter().zip(matrix.as_chunks::<H>().0) {
        let x = load::<V>(&x.0);
        for row in 0..H {
            let weight = V::splat(weights[row]);
            sums[row] = [sums[row][0].add_product(x[0], weight), sums[row][1].add_product(x[1], weight)];
        }
    }
    for row in 0..H {
        store(sums[row], &mut y[row * stride].0);
    }
}

/// The bytes of the right factor that stay in the second-level cache while the left one's rows pass
/// over them.
const NEAR: usize = 128 << 10;
/// The most panels that are summed before the sums leave their registers.
const PANELS: usize = 16;
vectorized! {
    /// `sums += a * b^T` over all pixels. `a` holds panels of `rows[0]` rows, `b` of `rows[1]`,
    /// `sums` is `rows[0]` x `rows[1]`.
    pub(super) fn multiply_transposed(a: &[Lanes], b: &[Lanes], rows: [usize; 2], sums: &mut [f32]) = multiply_transposed_with
}

#[inline(always)]
fn multiply_transposed_with<V: Vector>(a: &[Lanes], b: &[Lanes], rows: [usize; 2], sums: &mut [f32]) {
    let panels = (NEAR / (rows[1] * size_of::<Lanes>())).clamp(1, PANELS);
    for (a, b) in a.chunks(panels * rows[0]).zip(b.chunks(panels * rows[1])) {
        for row in (0..rows[0]).step_by(3) {
            for column in (0..rows[1]).step_by(4) {
                match ((rows[0] - row).min(3), (rows[1] - column).min(4)) {
                    (3, 4) => dots::<V, 3, 4>(a, b, rows, row, column, sums),
                    (2, 4) => dots::<V, 2, 4>(a, b, rows, row, column, sums),
                    (1, 4) => dots::<V, 1, 4>(a, b, rows, row, column, sums),
                    (height, width) => {
                        for row in row..row + height {
                            for column in column..column + width {
                                dots::<V, 1, 1>(a, b, rows, row, column, sums);
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
fn dots<V: Vector, const H: usize, const W: usize>(
    a: &[Lanes],
    b: &[Lanes],
    rows: [usize; 2],
    row: usize,
    column: usize,
    sums: &mut [f32],
) {
    let mut partial = [[V::splat(0.0); W]; H];
    for (a, b) in a.chunks_exact(rows[0]).zip(b.chunks_exact(rows[1])) {
        let a: &[Lanes; H] = a[row..].first_chunk().expect("the block lies inside the matrix");
        let b: &[Lanes; W] = b[column..].first_chunk().expect("the block lies inside the matrix");
        for part in 0..2 {
            // Twelve sums, three of `a` and one of `b` at a time: AVX2's sixteen registers.
            let mut rows = [V::splat(0.0); H];
            for height in 0..H {
                rows[height] = V::load(half(&a[height].0, part));
            }
            for width in 0..W {
                let b = V::load(half(&b[width].0, part));
                for height in 0..H {
                    partial[height][width] = partial[height][width].add_product(rows[height], b);
                }
            }
        }
    }
    for height in 0..H {
        for width in 0..W {
            sums[(row + height) * rows[1] + column + width] += partial[height][width].sum();
        }
    }
}
