//! The product of a matrix and a map: a 1x1 convolution, or several taps of a larger one.
//!
//! With the output's sixteen channels in a register, a value of the input is broadcast and the
//! weights are loaded: twelve pixels by two blocks of AVX-512's thirty-two registers take 24
//! multiply-adds for 14 loads, six pixels by one block of AVX2's sixteen 12 for 8. Integers of
//! eight bits go the same way, four channels at once.

#![allow(unsafe_code, reason = "leaves out checks of bounds that are checked once for a tile")]
#![allow(clippy::too_many_arguments, reason = "a structure's fields would not stay in registers")]

use super::matrix::{Part, Scaling};
use super::terms::{Floats, Rounded, Start, Terms};
use crate::bytes::Bytes;
use crate::integers::{Integers, Quads};
use crate::lanes::{LANES, Lanes, block_count};
use crate::shared::Shared;
use crate::vector::{Vector, vectorized};

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

vectorized! { integers
    /// Computes [`each_pixel`] in integers.
    pub(super) fn each_rounded_pixel(matrix: Part<'_, Quads>, scaling: Scaling<'_>, taps: &[usize], x: &[Bytes], start: Start<'_>, y: Shared<'_>, strides: [usize; 2], pixels: usize) = each_rounded_pixel_with
}

vectorized! { integers
    /// Computes [`each_second_pixel`] in integers.
    pub(super) fn each_second_rounded_pixel(matrix: Part<'_, Quads>, scaling: Scaling<'_>, taps: &[usize], x: &[Bytes], start: Start<'_>, y: Shared<'_>, strides: [usize; 2], pixels: usize) = each_second_rounded_pixel_with
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
    multiply_with::<Floats<V>, 1>(Floats::NEW, matrix, taps, x, start, y, strides, pixels);
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
    multiply_with::<Floats<V>, 2>(Floats::NEW, matrix, taps, x, start, y, strides, pixels);
}

#[inline(always)]
pub(super) fn each_rounded_pixel_with<I: Integers>(
    matrix: Part<'_, Quads>,
    scaling: Scaling<'_>,
    taps: &[usize],
    x: &[Bytes],
    start: Start<'_>,
    y: Shared<'_>,
    strides: [usize; 2],
    pixels: usize,
) {
    scaling.check(&matrix);
    multiply_with::<Rounded<'_, I>, 1>(Rounded::new(scaling), matrix, taps, x, start, y, strides, pixels);
}

#[inline(always)]
fn each_second_rounded_pixel_with<I: Integers>(
    matrix: Part<'_, Quads>,
    scaling: Scaling<'_>,
    taps: &[usize],
    x: &[Bytes],
    start: Start<'_>,
    y: Shared<'_>,
    strides: [usize; 2],
    pixels: usize,
) {
    scaling.check(&matrix);
    multiply_with::<Rounded<'_, I>, 2>(Rounded::new(scaling), matrix, taps, x, start, y, strides, pixels);
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
fn multiply_with<T: Terms, const S: usize>(
    terms: T,
    matrix: Part<'_, T::Weights>,
    taps: &[usize],
    x: &[T::Input],
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
    assert!((matrix.depth / taps.len()).is_multiple_of(T::TOGETHER), "channels go together inside a tap");
    let weights = matrix.depth / T::TOGETHER;
    assert!(matrix.values.len() >= (matrix.blocks - 1) * matrix.stride + weights, "the matrix is whole");
    assert!(x.len() > (blocks - 1) * strides[0] + farthest + (pixels - 1) * S, "the input has all pixels");
    assert!(y.count() >= (matrix.blocks - 1) * strides[1] + pixels, "the output has room for all pixels");
    if let Start::Bias(bias) = start {
        assert!(bias.len() >= matrix.blocks, "there is a bias for each row");
    }
    let mut block = 0;
    while block < matrix.blocks {
        // SAFETY: the assertions above.
        unsafe {
            if T::MANY && block + 2 <= matrix.blocks {
                strip::<T, 2, S>(terms, matrix, taps, block, x, start, y, strides, pixels);
                block += 2;
            } else {
                strip::<T, 1, S>(terms, matrix, taps, block, x, start, y, strides, pixels);
                block += 1;
            }
        }
    }
}

/// `B` blocks of rows for all pixels.
#[inline(always)]
unsafe fn strip<T: Terms, const B: usize, const S: usize>(
    terms: T,
    matrix: Part<'_, T::Weights>,
    taps: &[usize],
    block: usize,
    x: &[T::Input],
    start: Start<'_>,
    y: Shared<'_>,
    strides: [usize; 2],
    pixels: usize,
) {
    // SAFETY: the caller has checked that there are as many blocks.
    let mut first = [unsafe { terms.first(start, block) }; B];
    for b in 1..B {
        // SAFETY: as above.
        first[b] = unsafe { terms.first(start, block + b) };
    }
    let mut pixel = 0;
    while pixel < pixels {
        let left = pixels - pixel;
        // SAFETY: the caller has checked all pixels of all blocks.
        unsafe {
            if T::MANY && left >= 12 {
                tile::<T, B, 12, S>(first, matrix, taps, block, x, start, y, strides, pixel);
                pixel += 12;
            } else if T::MANY && left >= 8 {
                tile::<T, B, 8, S>(first, matrix, taps, block, x, start, y, strides, pixel);
                pixel += 8;
            } else if !T::MANY && left >= 6 {
                tile::<T, B, 6, S>(first, matrix, taps, block, x, start, y, strides, pixel);
                pixel += 6;
            } else if left >= 4 {
                tile::<T, B, 4, S>(first, matrix, taps, block, x, start, y, strides, pixel);
                pixel += 4;
            } else {
                tile::<T, B, 1, S>(first, matrix, taps, block, x, start, y, strides, pixel);
                pixel += 1;
            }
        }
    }
}

/// `B` blocks of rows of `P` pixels, in registers.
#[inline(always)]
unsafe fn tile<T: Terms, const B: usize, const P: usize, const S: usize>(
    first: [T::First; B],
    matrix: Part<'_, T::Weights>,
    taps: &[usize],
    block: usize,
    x: &[T::Input],
    start: Start<'_>,
    y: Shared<'_>,
    strides: [usize; 2],
    pixel: usize,
) {
    // SAFETY: the caller has checked that all rows and pixels exist.
    unsafe {
        let mut sums = [[T::begin(first[0], start, y.place(block * strides[1] + pixel)); B]; P];
        for p in 0..P {
            for b in 0..B {
                sums[p][b] = T::begin(first[b], start, y.place((block + b) * strides[1] + pixel + p));
            }
        }
        let depth = matrix.depth / taps.len();
        let mut weights: [*const T::Weights; B] =
            std::array::from_fn(|b| matrix.values.as_ptr().add((block + b) * matrix.stride));
        for tap in taps {
            let mut k = 0;
            while k < depth {
                let x = x.as_ptr().add(k / LANES * strides[0] + tap + pixel * S);
                let count = LANES.min(depth - k).div_ceil(T::TOGETHER);
                for group in 0..count {
                    let mut row = [T::row(&*weights[0].add(group)); B];
                    for b in 1..B {
                        row[b] = T::row(&*weights[b].add(group));
                    }
                    for p in 0..P {
                        let value = T::value(&*x.add(p * S), group * T::TOGETHER);
                        for b in 0..B {
                            sums[p][b] = T::add(sums[p][b], value, row[b]);
                        }
                    }
                }
                for b in 0..B {
                    weights[b] = weights[b].add(count);
                }
                k += LANES;
            }
        }
        // A branch for each result would keep the sums from staying in registers.
        if matches!(start, Start::Output) {
            end::<T, B, P, true>(sums, first, block, y, strides[1], pixel);
        } else {
            end::<T, B, P, false>(sums, first, block, y, strides[1], pixel);
        }
    }
}

/// Stores the results of [`tile`].
#[inline(always)]
unsafe fn end<T: Terms, const B: usize, const P: usize, const OUTPUT: bool>(
    sums: [[T::Sums; B]; P],
    first: [T::First; B],
    block: usize,
    y: Shared<'_>,
    stride: usize,
    pixel: usize,
) {
    for p in 0..P {
        for b in 0..B {
            // SAFETY: the caller has checked that all rows and pixels exist.
            unsafe { T::end::<OUTPUT>(sums[p][b], first[b], y.place((block + b) * stride + pixel + p)) };
        }
    }
}
