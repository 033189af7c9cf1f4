//! The product of two maps over their pixels: the gradient of a 1x1 convolution's weight.

#![allow(unsafe_code, reason = "leaves out checks of bounds that are checked once for a tile")]

use crate::lanes::{LANES, Lanes, block_count, flat};
use crate::vector::{Vector, vectorized};

/// Makes zeros for the sums of products of `rows` rows with `columns` columns:
/// `[rows][columns / 16][16]`, the rows up to a whole block.
pub(crate) fn sums([rows, columns]: [usize; 2]) -> Vec<Lanes> {
    vec![Lanes::ZERO; rows.next_multiple_of(LANES) * block_count(columns)]
}

/// Returns sums row by row.
pub(crate) fn dense(sums: &[Lanes], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let mut values = Vec::with_capacity(rows * columns);
    for row in sums.chunks_exact(block_count(columns)).take(rows) {
        values.extend_from_slice(&flat(row)[..columns]);
    }
    values
}

vectorized! {
    /// `sums += a * b^T` over a number of pixels, for `blocks` of `a` and of `b` that lie `strides`
    /// lanes apart.
    pub(crate) fn multiply_transposed(a: &[Lanes], b: &[Lanes], blocks: [usize; 2], strides: [usize; 2], pixels: usize, sums: &mut [Lanes]) = multiply_transposed_with
}

/// The pixels that are summed before the sums leave their registers: short sums, so that rounding
/// is small, of maps that stay in the cache.
const RUN: usize = 256;

#[inline(always)]
pub(crate) fn multiply_transposed_with<V: Vector>(
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
