//! The product of a matrix and a map: a 1x1 convolution, or several taps of a larger one.
//!
//! With the output's sixteen channels in a register, a value of the input is broadcast and the
//! weights are loaded: twelve pixels by two blocks of AVX-512's thirty-two registers take 24
//! multiply-adds for 14 loads, six pixels by one block of AVX2's sixteen 12 for 8.

#![allow(unsafe_code, reason = "leaves out checks of bounds that are checked once for a tile")]
#![allow(clippy::too_many_arguments, reason = "a structure's fields would not stay in registers")]

use super::matrix::Part;
use crate::lanes::{LANES, Lanes, block_count};
use crate::shared::Shared;
use crate::vector::{Vector, vectorized};

/// The start of the sums of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a> {
    /// Nothing.
    Zero,
    /// A value per row.
    Bias(&'a [Lanes]),
    /// The values that the output holds.
    Output,
}

/// `y = matrix * x` for a number of pixels, added to what `start` says; blocks of `x` and `y` lie
/// `strides` lanes apart.
pub(crate) fn multiply(
    matrix: Part<'_>,
    x: &[Lanes],
    start: Start<'_>,
    y: &mut [Lanes],
    strides: [usize; 2],
    pixels: usize,
) {
    multiply_taps(matrix, &[0], x, start, y, strides, pixels);
}

/// `y = sum over taps of matrix[tap] * x[pixel + tap]` for a number of pixels, added to what
/// `start` says; the matrix has the columns of one tap behind those of the other, and blocks of `x`
/// and `y` lie `strides` lanes apart.
pub(crate) fn multiply_taps(
    matrix: Part<'_>,
    taps: &[usize],
    x: &[Lanes],
    start: Start<'_>,
    y: &mut [Lanes],
    strides: [usize; 2],
    pixels: usize,
) {
    each_pixel(matrix, taps, x, start, Shared::new(y), strides, pixels);
}

/// Computes [`multiply_taps`] into a map that others write at the same time.
///
/// # Safety
/// Nobody else reads or writes these pixels of `y` meanwhile.
pub(crate) unsafe fn multiply_shared(
    matrix: Part<'_>,
    taps: &[usize],
    x: &[Lanes],
    start: Start<'_>,
    y: Shared<'_>,
    strides: [usize; 2],
    pixels: usize,
) {
    each_pixel(matrix, taps, x, start, y, strides, pixels);
}

/// Computes [`multiply_taps`] for `x[2 * pixel + tap]` into a map that others write at the same
/// time.
///
/// # Safety
/// Nobody else reads or writes these pixels of `y` meanwhile.
pub(crate) unsafe fn multiply_halved(
    matrix: Part<'_>,
    taps: &[usize],
    x: &[Lanes],
    start: Start<'_>,
    y: Shared<'_>,
    strides: [usize; 2],
    pixels: usize,
) {
    each_second_pixel(matrix, taps, x, start, y, strides, pixels);
}

vectorized! {
    /// Reads `x[pixel + tap]`.
    fn each_pixel(matrix: Part<'_>, taps: &[usize], x: &[Lanes], start: Start<'_>, y: Shared<'_>, strides: [usize; 2], pixels: usize) = each_pixel_with
}

vectorized! {
    /// Reads `x[2 * pixel + tap]`.
    fn each_second_pixel(matrix: Part<'_>, taps: &[usize], x: &[Lanes], start: Start<'_>, y: Shared<'_>, strides: [usize; 2], pixels: usize) = each_second_pixel_with
}

#[inline(always)]
fn each_pixel_with<V: Vector>(
    matrix: Part<'_>,
    taps: &[usize],
    x: &[Lanes],
    start: Start<'_>,
    y: Shared<'_>,
    strides: [usize; 2],
    pixels: usize,
) {
    multiply_with::<V, 1>(matrix, taps, x, start, y, strides, pixels);
}

#[inline(always)]
fn each_second_pixel_with<V: Vector>(
    matrix: Part<'_>,
    taps: &[usize],
    x: &[Lanes],
    start: Start<'_>,
    y: Shared<'_>,
    strides: [usize; 2],
    pixels: usize,
) {
    multiply_with::<V, 2>(matrix, taps, x, start, y, strides, pixels);
}

/// [`multiply_taps`] with given vectors.
#[cfg(test)]
pub(crate) fn multiply_slice<V: Vector>(
    matrix: Part<'_>,
    taps: &[usize],
    x: &[Lanes],
    start: Start<'_>,
    y: &mut [Lanes],
    strides: [usize; 2],
    pixels: usize,
) {
    each_pixel_with::<V>(matrix, taps, x, start, Shared::new(y), strides, pixels);
}

/// Reads every `S`th pixel of `x`.
#[inline(always)]
fn multiply_with<V: Vector, const S: usize>(
    matrix: Part<'_>,
    taps: &[usize],
    x: &[Lanes],
    start: Start<'_>,
    y: Shared<'_>,
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
    assert!(x.len() > (blocks - 1) * strides[0] + farthest + (pixels - 1) * S, "the input has all pixels");
    assert!(y.count() >= (matrix.blocks - 1) * strides[1] + pixels, "the output has room for all pixels");
    if let Start::Bias(bias) = start {
        assert!(bias.len() >= matrix.blocks, "there is a bias for each row");
    }
    let mut block = 0;
    while block < matrix.blocks {
        // SAFETY: the assertions above.
        unsafe {
            if V::MANY && block + 2 <= matrix.blocks {
                strip::<V, 2, S>(matrix, taps, block, x, start, y, strides, pixels);
                block += 2;
            } else {
                strip::<V, 1, S>(matrix, taps, block, x, start, y, strides, pixels);
                block += 1;
            }
        }
    }
}

/// `B` blocks of rows for all pixels.
#[inline(always)]
unsafe fn strip<V: Vector, const B: usize, const S: usize>(
    matrix: Part<'_>,
    taps: &[usize],
    block: usize,
    x: &[Lanes],
    start: Start<'_>,
    y: Shared<'_>,
    strides: [usize; 2],
    pixels: usize,
) {
    let mut pixel = 0;
    while pixel < pixels {
        let left = pixels - pixel;
        // SAFETY: the caller has checked all pixels of all blocks.
        unsafe {
            if V::MANY && left >= 12 {
                tile::<V, B, 12, S>(matrix, taps, block, x, start, y, strides, pixel);
                pixel += 12;
            } else if V::MANY && left >= 8 {
                tile::<V, B, 8, S>(matrix, taps, block, x, start, y, strides, pixel);
                pixel += 8;
            } else if !V::MANY && left >= 6 {
                tile::<V, B, 6, S>(matrix, taps, block, x, start, y, strides, pixel);
                pixel += 6;
            } else if left >= 4 {
                tile::<V, B, 4, S>(matrix, taps, block, x, start, y, strides, pixel);
                pixel += 4;
            } else {
                tile::<V, B, 1, S>(matrix, taps, block, x, start, y, strides, pixel);
                pixel += 1;
            }
        }
    }
}

/// `B` blocks of rows of `P` pixels, in registers.
#[inline(always)]
unsafe fn tile<V: Vector, const B: usize, const P: usize, const S: usize>(
    matrix: Part<'_>,
    taps: &[usize],
    block: usize,
    x: &[Lanes],
    start: Start<'_>,
    y: Shared<'_>,
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
                        sums[p][b] = V::load(&(*y.place((block + b) * strides[1] + pixel + p)).0);
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
                let x = x.as_ptr().add(k / LANES * strides[0] + tap + pixel * S);
                let count = LANES.min(depth - k);
                for lane in 0..count {
                    let mut row = [V::splat(0.0); B];
                    for b in 0..B {
                        row[b] = V::load(&(*weights[b].add(lane)).0);
                    }
                    for p in 0..P {
                        let value = V::splat(*(*x.add(p * S)).0.get_unchecked(lane));
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
                sums[p][b].store(&mut (*y.place((block + b) * strides[1] + pixel + p)).0);
            }
        }
    }
}
