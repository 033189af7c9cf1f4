//! The two matrix products of a 1x1 convolution over blocks of channels: its value, in floats or in
//! integers of eight bits, and its weight's gradient.
//!
//! Each sum adds its terms in the same order whatever the tile is, so that bits depend on no cut.

mod gradient;
mod matrix;
mod terms;
mod value;
mod weight;

pub(crate) use gradient::{dense, multiply_transposed, sums};
pub(crate) use matrix::{Cut, Matrix};
pub(crate) use terms::Start;
pub(crate) use value::{multiply, multiply_shared, multiply_taps};
pub(crate) use weight::Layer;

#[cfg(test)]
mod tests {
    use super::gradient::multiply_transposed_with;
    use super::matrix::Part;
    use super::value::multiply_slice;
    use super::*;
    use crate::blocks::{pack, unpack, vector};
    use crate::lanes::{LANES, Lanes, block_count};

    /// Small whole numbers, so that sums are exact in any order.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7 + seed * 13) % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn products_over_blocks_are_matrix_products() {
        type Multiply = fn(Part<'_>, &[usize], &[Lanes], Start<'_>, &mut [Lanes], [usize; 2], usize);
        let sets: [(&str, Multiply); 2] = [("best", multiply_taps), ("portable", multiply_slice::<[f32; LANES]>)];
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
