//! The two matrix products of a 1x1 convolution over blocks of channels: its value, and its
//! weight's gradient.
//!
//! With the output's sixteen channels in a register, a value of the input is broadcast and the
//! weights are loaded: twelve pixels by two blocks of AVX-512's thirty-two registers take 24
//! multiply-adds for 14 loads, six pixels by one block of AVX2's sixteen 12 for 8. Each sum adds
//! its terms in the same order whatever the tile is, so that bits depend on no cut.

#![allow(unsafe_code, reason = "leaves out checks of bounds that are checked once for a tile")]
#![allow(clippy::too_many_arguments, reason = "a structure's fields would not stay in registers")]

use super::lanes::{LANES, Lanes, block_count, flat};
use super::vector::{Vector, vectorized};

/// A matrix, its rows in blocks of sixteen: `[rows / 16][depth][16]`, zeros behind the last row.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    depth: usize,
    values: Vec<Lanes>,
}

/// Blocks of rows and a range of columns of a [`Matrix`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// The first block's first column is the first value.
    values: &'a [Lanes],
    /// The distance between blocks.
    stride: usize,
    depth: usize,
    blocks: usize,
}

impl Matrix {
    /// Creates the matrix of `rows` x `depth` values, row by row.
    pub(super) fn new(weights: &[f32], [rows, depth]: [usize; 2]) -> Self {
        let mut values = vec![Lanes::ZERO; block_count(rows) * depth];
        for (row, weights) in weights.chunks_exact(depth).take(rows).enumerate() {
            let block = &mut values[row / LANES * depth..][..depth];
            for (lanes, weight) in block.iter_mut().zip(weights) {
                lanes.0[row % LANES] = *weight;
            }
        }
        Self { depth, values }
    }

    /// Creates the transpose of a matrix of `rows` x `depth` values, row by row.
    pub(super) fn transposed(weights: &[f32], [rows, depth]: [usize; 2]) -> Self {
        let mut values = vec![Lanes::ZERO; block_count(depth) * rows];
        for (row, weights) in weights.chunks_exact(depth).take(rows).enumerate() {
            for (block, weights) in weights.chunks(LANES).enumerate() {
                values[block * rows + row].0[..weights.len()].copy_from_slice(weights);
            }
        }
        Self { depth: rows, values }
    }

    /// Returns all of it.
    pub(super) fn whole(&self) -> Part<'_> {
        self.rows(0, self.values.len() / self.depth)
    }

    /// Returns `count` blocks of rows from `first` on.
    pub(super) fn rows(&self, first: usize, count: usize) -> Part<'_> {
        let values = &self.values[first * self.depth..(first + count) * self.depth];
        Part { values, stride: self.depth, depth: self.depth, blocks: count }
    }

    /// Returns the columns of `count` blocks of the input from `first` on.
    pub(super) fn columns(&self, first: usize, count: usize) -> Part<'_> {
        let (start, end) = (first * LANES, ((first + count) * LANES).min(self.depth));
        let blocks = self.values.len() / self.depth;
        Part { values: &self.values[start..], stride: self.depth, depth: end - start, blocks }
    }
}

/// The start of the sums of a product.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    /// Nothing.
    Zero,
    /// A value per row.
    Bias(&'a [Lanes]),
    /// The values that the output holds.
    Output,
}

/// `y = matrix * x` for a number of pixels, added to what `start` says; blocks of `x` and `y` lie
/// `strides` lanes apart.
pub(super) fn multiply(
    matrix: Part<'_>,
    x: &[Lanes],
    start: Start<'_>,
    y: &mut [Lanes],
    strides: [usize; 2],
    pixels: usize,
) {
    multiply_taps(matrix, &[0], x, start, y, strides, pixels);
}

vectorized! {
    /// `y = sum over taps of matrix[tap] * x[pixel + tap]` for a number of pixels, added to what
    /// `start` says; the matrix has the columns of one tap behind those of the other, and blocks of
    /// `x` and `y` lie `strides` lanes apart.
    pub(super) fn multiply_taps(matrix: Part<'_>, taps: &[usize], x: &[Lanes], start: Start<'_>, y: &mut [Lanes], strides: [usize; 2], pixels: usize) = multiply_with
}

#[inline(always)]
fn multiply_with<V: Vector>(
    matrix: Part<'_>,
    taps: &[usize],
    x: &[Lanes],
    start: Start<'_>,
    y: &mut [Lanes],
    strides: [usize; 2],
    pixels: usize,
) {
    let Some(farthest) = taps.iter().max() else { return };
    if matrix.blocks == 0 || pixels == 0 || matrix.depth == 0 {
        return;
    }
    // All that the tiles read and write.
    assert!(matrix.depth.is_multiple_of(taps.len()), "each tap has as many columns");
    let blocks = block_count(matrix.depth / taps.len());
    assert!(matrix.values.len() >= (matrix.blocks - 1) * matrix.stride + matrix.depth, "the matrix is whole");
    assert!(x.len() >= (blocks - 1) * strides[0] + farthest + pixels, "the input has all pixels");
    assert!(y.len() >= (matrix.blocks - 1) * strides[1] + pixels, "the output has room for all pixels");
    if let Start::Bias(bias) = start {
        assert!(bias.len() >= matrix.blocks, "there is a bias for each row");
    }
    let mut block = 0;
    while block < matrix.blocks {
        // SAFETY: the assertions above.
        unsafe {
            if V::MANY && block + 2 <= matrix.blocks {
                strip::<V, 2>(matrix, taps, block, x, start, y, strides, pixels);
                block += 2;
            } else {
                strip::<V, 1>(matrix, taps, block, x, start, y, strides, pixels);
                block += 1;
            }
        }
    }
}

/// `B` blocks of rows for all pixels.
#[inline(always)]
unsafe fn strip<V: Vector, const B: usize>(
    matrix: Part<'_>,
    taps: &[usize],
    block: usize,
    x: &[Lanes],
    start: Start<'_>,
    y: &mut [Lanes],
    strides: [usize; 2],
    pixels: usize,
) {
    let mut pixel = 0;
    while pixel < pixels {
        let left = pixels - pixel;
        // SAFETY: the caller has checked all pixels of all blocks.
        unsafe {
            if V::MANY && left >= 12 {
                tile::<V, B, 12>(matrix, taps, block, x, start, y, strides, pixel);
                pixel += 12;
            } else if V::MANY && left >= 8 {
                tile::<V, B, 8>(matrix, taps, block, x, start, y, strides, pixel);
                pixel += 8;
            } else if !V::MANY && left >= 6 {
                tile::<V, B, 6>(matrix, taps, block, x, start, y, strides, pixel);
                pixel += 6;
            } else if left >= 4 {
                tile::<V, B, 4>(matrix, taps, block, x, start, y, strides, pixel);
                pixel += 4;
            } else {
                tile::<V, B, 1>(matrix, taps, block, x, start, y, strides, pixel);
                pixel += 1;
            }
        }
    }
}

/// `B` blocks of rows of `P` pixels, in registers.
#[inline(always)]
unsafe fn tile<V: Vector, const B: usize, const P: usize>(
    matrix: Part<'_>,
    taps: &[usize],
    block: usize,
    x: &[Lanes],
    start: Start<'_>,
    y: &mut [Lanes],
    strides: [usize; 2],
    pixel: usize,
) {
    // SAFETY: the caller has checked that all rows and pixels exist.
    unsafe {
        let mut sums = [[V::splat(0.0); B]; P];
        match start {
            Start::Zero => {}
            Start::Bias(bias) => {
                for b in 0..B {
                    let bias = V::load(&bias.get_unchecked(block + b).0);
                    for p in 0..P {
                        sums[p][b] = bias;
                    }
                }
            }
            Start::Output => {
                for p in 0..P {
                    for b in 0..B {
                        sums[p][b] = V::load(&y.get_unchecked((block + b) * strides[1] + pixel + p).0);
                    }
                }
            }
        }
        let depth = matrix.depth / taps.len();
        let mut weights: [*const Lanes; B] =
            std::array::from_fn(|b| matrix.values.as_ptr().add((block + b) * matrix.stride));
        for tap in taps {
            let mut k = 0;
            while k < depth {
                let x = x.as_ptr().add(k / LANES * strides[0] + tap + pixel);
                let count = LANES.min(depth - k);
                for lane in 0..count {
                    let mut row = [V::splat(0.0); B];
                    for b in 0..B {
                        row[b] = V::load(&(*weights[b].add(lane)).0);
                    }
                    for p in 0..P {
                        let value = V::splat(*(*x.add(p)).0.get_unchecked(lane));
                        for b in 0..B {
                            sums[p][b] = sums[p][b].add_product(value, row[b]);
                        }
                    }
                }
                for b in 0..B {
                    weights[b] = weights[b].add(count);
                }
                k += LANES;
            }
        }
        for p in 0..P {
            for b in 0..B {
                sums[p][b].store(&mut y.get_unchecked_mut((block + b) * strides[1] + pixel + p).0);
            }
        }
    }
}

/// Makes zeros for the sums of products of `rows` rows with `columns` columns:
/// `[rows][columns / 16][16]`, the rows up to a whole block.
pub(super) fn sums([rows, columns]: [usize; 2]) -> Vec<Lanes> {
    vec![Lanes::ZERO; rows.next_multiple_of(LANES) * block_count(columns)]
}

/// Returns sums row by row.
pub(super) fn dense(sums: &[Lanes], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let row = |lanes: &[Lanes]| flat(lanes)[..columns].to_vec();
    sums.chunks_exact(block_count(columns)).take(rows).flat_map(row).collect()
}

vectorized! {
    /// `sums += a * b^T` over a number of pixels, for `blocks` of `a` and of `b` that lie `strides`
    /// lanes apart.
    pub(super) fn multiply_transposed(a: &[Lanes], b: &[Lanes], blocks: [usize; 2], strides: [usize; 2], pixels: usize, sums: &mut [Lanes]) = multiply_transposed_with
}

/// The pixels that are summed before the sums leave their registers: short sums, so that rounding
/// is small, of maps that stay in the cache.
const RUN: usize = 256;

#[inline(always)]
fn multiply_transposed_with<V: Vector>(
    a: &[Lanes],
    b: &[Lanes],
    blocks: [usize; 2],
    strides: [usize; 2],
    pixels: usize,
    sums: &mut [Lanes],
) {
    if pixels == 0 || blocks[0] == 0 || blocks[1] == 0 {
        return;
    }
    assert!(a.len() >= (blocks[0] - 1) * strides[0] + pixels, "the left factor has all pixels");
    assert!(b.len() >= (blocks[1] - 1) * strides[1] + pixels, "the right factor has all pixels");
    assert!(sums.len() >= blocks[0] * LANES * blocks[1], "there is room for all sums");
    let mut start = 0;
    while start < pixels {
        let run = (pixels - start).min(RUN);
        for row in 0..blocks[0] {
            let mut column = 0;
            while column < blocks[1] {
                let (a, place) = (&a[row * strides[0] + start..], row * LANES * blocks[1] + column);
                let b = &b[column * strides[1] + start..];
                // SAFETY: the assertions above.
                unsafe {
                    if V::MANY && column + 2 <= blocks[1] {
                        outer::<V, 8, 2, 0>(a, b, strides[1], run, sums, place, blocks[1]);
                        outer::<V, 8, 2, 8>(a, b, strides[1], run, sums, place, blocks[1]);
                        column += 2;
                    } else if V::MANY {
                        outer::<V, 16, 1, 0>(a, b, strides[1], run, sums, place, blocks[1]);
                        column += 1;
                    } else {
                        outer::<V, 4, 1, 0>(a, b, strides[1], run, sums, place, blocks[1]);
                        outer::<V, 4, 1, 4>(a, b, strides[1], run, sums, place, blocks[1]);
                        outer::<V, 4, 1, 8>(a, b, strides[1], run, sums, place, blocks[1]);
                        outer::<V, 4, 1, 12>(a, b, strides[1], run, sums, place, blocks[1]);
                        column += 1;
                    }
                }
            }
        }
        start += run;
    }
}

/// `R` of a block's sixteen rows, from `FIRST` on, by `B` blocks of columns, in registers.
#[inline(always)]
unsafe fn outer<V: Vector, const R: usize, const B: usize, const FIRST: usize>(
    a: &[Lanes],
    b: &[Lanes],
    stride: usize,
    pixels: usize,
    sums: &mut [Lanes],
    place: usize,
    width: usize,
) {
    // SAFETY: the caller has checked that all rows, columns and pixels exist.
    unsafe {
        let mut products = [[V::splat(0.0); B]; R];
        for pixel in 0..pixels {
            let a = &a.get_unchecked(pixel).0;
            let mut columns = [V::splat(0.0); B];
            for c in 0..B {
                columns[c] = V::load(&b.get_unchecked(c * stride + pixel).0);
            }
            for r in 0..R {
                let value = V::splat(a[FIRST + r]);
                for c in 0..B {
                    products[r][c] = products[r][c].add_product(value, columns[c]);
                }
            }
        }
        for r in 0..R {
            for c in 0..B {
                let sum = &mut sums.get_unchecked_mut(place + (FIRST + r) * width + c).0;
                V::load(sum).add(products[r][c]).store(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::fused::blocks::{pack, unpack, vector};

    /// Small whole numbers, so that sums are exact in any order.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7 + seed * 13) % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn products_over_blocks_are_matrix_products() {
        type Multiply = fn(Part<'_>, &[usize], &[Lanes], Start<'_>, &mut [Lanes], [usize; 2], usize);
        let sets: [(&str, Multiply); 2] = [("best", multiply_taps), ("portable", multiply_with::<[f32; LANES]>)];
        for (name, [rows, depth], pixels) in [
            ("one", [1, 1], 1),
            ("less than a block", [2, 3], 7),
            ("one block", [16, 16], 16),
            ("more than a block", [17, 20], 33),
            ("three blocks", [48, 27], 100),
            ("odd", [37, 70], 61),
        ] {
            let (weight, x) = (numbers(rows * depth, 1), numbers(depth * (pixels + 3), 2));
            let (bias, stride) = (numbers(rows, 3), pixels + 5);
            let blocks = [rows, depth].map(block_count);
            let mut lanes = vec![Lanes::ZERO; blocks[1] * stride];
            pack(&x, pixels + 3, 2, pixels, &mut lanes, stride);
            let matrix = Matrix::new(&weight, [rows, depth]);
            let turned: Vec<f32> = (0..rows * depth).map(|i| weight[i % rows * depth + i / rows]).collect();
            let plain = |row: usize, pixel: usize| -> f32 {
                (0..depth).map(|k| weight[row * depth + k] * x[k * (pixels + 3) + 2 + pixel]).sum()
            };
            for (set, multiply) in sets {
                let mut y = vec![Lanes::ZERO; blocks[0] * pixels];
                let strides = [stride, pixels];
                multiply(matrix.whole(), &[0], &lanes, Start::Bias(&vector(&bias)), &mut y, strides, pixels);
                let mut planes = vec![0.0; rows * pixels];
                unpack(&y, pixels, &mut planes.chunks_mut(pixels).collect::<Vec<_>>());
                for (index, found) in planes.iter().enumerate() {
                    let (row, pixel) = (index / pixels, index % pixels);
                    assert_eq!(*found, plain(row, pixel) + bias[row], "{set}, {name}: row {row}, pixel {pixel}");
                }
                // In parts: blocks of columns, added up, of the transpose's transpose.
                let again = Matrix::transposed(&turned, [depth, rows]);
                for block in 0..blocks[1] {
                    let start = if block == 0 { Start::Zero } else { Start::Output };
                    multiply(again.columns(block, 1), &[0], &lanes[block * stride..], start, &mut y, strides, pixels);
                }
                unpack(&y, pixels, &mut planes.chunks_mut(pixels).collect::<Vec<_>>());
                for (index, found) in planes.iter().enumerate() {
                    let (row, pixel) = (index / pixels, index % pixels);
                    assert_eq!(*found, plain(row, pixel), "{set}, {name} in parts: row {row}, pixel {pixel}");
                }
            }
            let mut y = vec![Lanes::ZERO; blocks[0] * pixels];
            multiply(matrix.whole(), &lanes, Start::Zero, &mut y, [stride, pixels], pixels);
            type Transposed = fn(&[Lanes], &[Lanes], [usize; 2], [usize; 2], usize, &mut [Lanes]);
            let sets: [(&str, Transposed); 2] =
                [("best", multiply_transposed), ("portable", multiply_transposed_with::<[f32; LANES]>)];
            for (set, multiply_transposed) in sets {
                let mut totals = sums([rows, depth]);
                multiply_transposed(&y, &lanes, blocks, [pixels, stride], pixels, &mut totals);
                for (index, found) in dense(&totals, [rows, depth]).iter().enumerate() {
                    let (row, k) = (index / depth, index % depth);
                    let exact: f32 = (0..pixels).map(|pixel| plain(row, pixel) * x[k * (pixels + 3) + 2 + pixel]).sum();
                    assert_eq!(*found, exact, "{set}, {name}: sum {row}, {k}");
                }
            }
        }
    }
}
