//! A layer in floats or in integers, and its product with a map of floats.

#![allow(unsafe_code, reason = "passes the promises of the products on")]
#![allow(clippy::too_many_arguments, reason = "as the products")]

use std::ops::Range;

use super::matrix::{Cut, Integers, Matrix};
use super::terms::Start;
use super::value::{each_rounded_pixel, each_second_rounded_pixel, multiply_halved, multiply_shared};
use crate::blocks::vector;
use crate::bytes::{Bytes, Steps};
use crate::lanes::Lanes;
use crate::shared::Shared;

/// A convolution of one group as its products read it.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// The channels of its result.
    pub(crate) rows: usize,
    pub(crate) weight: Weight,
    pub(crate) bias: Vec<Lanes>,
}

impl Layer {
    /// Creates a layer in floats of `rows` x `depth` weights, row by row.
    pub(crate) fn floats(weights: &[f32], [rows, depth]: [usize; 2], bias: &[f32]) -> Self {
        Self { rows, weight: Weight::Floats(Matrix::new(weights, [rows, depth])), bias: vector(bias) }
    }

    /// Creates a layer in integers of `rows` x `depth` weights, row by row, each row in steps of
    /// its own, for an input in steps.
    pub(crate) fn integers(
        weights: &[i8],
        [rows, depth]: [usize; 2],
        row_steps: &[f32],
        input: Steps,
        bias: &[f32],
    ) -> Self {
        let scales: Vec<f32> = row_steps.iter().map(|step| step * input.unit()).collect();
        let integers = Integers::new(weights, [rows, depth], input.zero_point(), vector(&scales));
        Self { rows, weight: Weight::Integers(integers, input), bias: vector(bias) }
    }

    /// Returns the bias as the start of sums, from a block of rows on.
    pub(crate) fn bias_from(&self, block: usize) -> Start<'_> {
        Start::Bias(&self.bias[block..])
    }
}

/// The matrix of a layer.
#[derive(Clone, Debug)]
pub(crate) enum Weight {
    /// In floats.
    Floats(Matrix),
    /// In integers, for an input in steps.
    Integers(Integers, Steps),
}

/// A weight beside its input, whose blocks lie a stride apart.
#[derive(Clone, Copy)]
pub(crate) enum Product<'a> {
    Floats(&'a Matrix, &'a [Lanes], usize),
    Integers(&'a Integers, &'a [Bytes], usize),
}

impl Weight {
    /// Returns the product with `pixels` pixels of some `blocks` of the input, which lie `stride`
    /// lanes apart; integers read them as `bytes`.
    pub(crate) fn of<'a>(
        &'a self,
        x: &'a [Lanes],
        blocks: Range<usize>,
        stride: usize,
        pixels: usize,
        bytes: &'a mut Vec<Bytes>,
    ) -> Product<'a> {
        match self {
            Self::Floats(matrix) => Product::Floats(matrix, x, stride),
            Self::Integers(matrix, steps) => {
                Product::Integers(matrix, steps.round(x, stride, blocks, pixels, bytes), pixels)
            }
        }
    }
}

impl Product<'_> {
    /// Returns the product from a pixel on.
    pub(crate) fn from(self, pixel: usize) -> Self {
        match self {
            Self::Floats(matrix, x, stride) => Self::Floats(matrix, &x[pixel..], stride),
            Self::Integers(matrix, x, stride) => Self::Integers(matrix, &x[pixel..], stride),
        }
    }

    /// Computes some of it for a number of pixels, added to what `start` says, into a map whose
    /// blocks lie `stride` lanes apart and that others write at the same time.
    ///
    /// # Safety
    /// Nobody else reads or writes these pixels of `y` meanwhile.
    pub(crate) unsafe fn write(self, cut: Cut, start: Start<'_>, y: Shared<'_>, stride: usize, pixels: usize) {
        match self {
            Self::Floats(matrix, x, own) => {
                // SAFETY: the caller's promise.
                unsafe { multiply_shared(matrix.cut(cut), &[0], x, start, y, [own, stride], pixels) }
            }
            Self::Integers(matrix, x, own) => {
                let (part, scaling) = matrix.cut(cut);
                each_rounded_pixel(part, scaling, &[0], x, start, y, [own, stride], pixels);
            }
        }
    }

    /// Computes some of `sum over taps of W[tap] * x[2 * pixel + tap]`, as [`write`](Self::write).
    ///
    /// # Safety
    /// Nobody else reads or writes these pixels of `y` meanwhile.
    pub(crate) unsafe fn write_halved(
        self,
        cut: Cut,
        taps: &[usize],
        start: Start<'_>,
        y: Shared<'_>,
        stride: usize,
        pixels: usize,
    ) {
        match self {
            Self::Floats(matrix, x, own) => {
                // SAFETY: the caller's promise.
                unsafe { multiply_halved(matrix.cut(cut), taps, x, start, y, [own, stride], pixels) }
            }
            Self::Integers(matrix, x, own) => {
                let (part, scaling) = matrix.cut(cut);
                each_second_rounded_pixel(part, scaling, taps, x, start, y, [own, stride], pixels);
            }
        }
    }

    /// Computes some of it into a map of one's own, as [`write`](Self::write).
    pub(crate) fn write_to(self, cut: Cut, start: Start<'_>, y: &mut [Lanes], stride: usize, pixels: usize) {
        // SAFETY: nobody else has the map.
        unsafe { self.write(cut, start, Shared::new(y), stride, pixels) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix::{Part, Scaling};
    use super::super::value::each_rounded_pixel_with;
    use super::*;
    use crate::blocks::{pack, unpack};
    use crate::down::{WINDOW, by_pixel};
    use crate::integers::Quads;
    use crate::lanes::{LANES, block_count};

    type Multiply = fn(Part<'_, Quads>, Scaling<'_>, &[usize], &[Bytes], Start<'_>, Shared<'_>, [usize; 2], usize);

    /// Defines the product for given integers.
    #[cfg(target_arch = "x86_64")]
    macro_rules! of_set {
        ($name:ident, $features:literal, $integers:ty) => {
            #[allow(unsafe_code, reason = "calls a function that is compiled for features which are there")]
            fn $name(
                matrix: Part<'_, Quads>,
                scaling: Scaling<'_>,
                taps: &[usize],
                x: &[Bytes],
                start: Start<'_>,
                y: Shared<'_>,
                strides: [usize; 2],
                pixels: usize,
            ) {
                crate::vector::compiled!(
                    $features,
                    each_rounded_pixel_with::<$integers>(
                        matrix: Part<'_, Quads>,
                        scaling: Scaling<'_>,
                        taps: &[usize],
                        x: &[Bytes],
                        start: Start<'_>,
                        y: Shared<'_>,
                        strides: [usize; 2],
                        pixels: usize
                    )
                )
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    of_set!(avx512_vnni, "avx512f,avx512vnni,avx2,fma", crate::x86_integers::Avx512Vnni);
    #[cfg(target_arch = "x86_64")]
    of_set!(avx2_vnni, "avx2,fma,avxvnni", crate::x86_integers::Avx2Vnni);
    #[cfg(target_arch = "x86_64")]
    of_set!(avx2, "avx2,fma", crate::x86_integers::Avx2Products);

    /// The sets that this processor has, and the one that is chosen.
    fn sets() -> Vec<(&'static str, Multiply)> {
        let mut sets: Vec<(_, Multiply)> =
            vec![("chosen", each_rounded_pixel), ("portable", each_rounded_pixel_with::<[i32; LANES]>)];
        #[cfg(target_arch = "x86_64")]
        {
            use crate::vector::Set;
            let all: [(_, _, Multiply); 3] = [
                ("AVX-512 with VNNI", Set::Avx512Vnni, avx512_vnni),
                ("AVX2 with VNNI", Set::Avx2Vnni, avx2_vnni),
                ("AVX2", Set::Avx2, avx2),
            ];
            sets.extend(all.into_iter().filter(|(_, set, _)| set.is_here()).map(|(name, _, set)| (name, set)));
        }
        sets
    }

    /// Weights and inputs of all values, the ends too often.
    fn numbers(count: usize, seed: usize) -> Vec<u8> {
        (0..count)
            .map(|index| match (index * 7919 + seed * 104_729) % 1009 {
                large if large > 800 => [255, 128, 127, 0][large % 4],
                number => (number % 256) as u8,
            })
            .collect()
    }

    /// Sums of 24 bits are exact as floats, so that results tell every bit of the integers.
    const EXACT: usize = (1 << 24) / (255 * 128);

    #[test]
    fn sums_of_integers_are_the_same_to_the_bit_on_every_set() {
        for (name, [rows, depth], pixels, zero_point) in [
            ("one", [1, 1], 1, 0),
            ("less than a quad", [2, 3], 7, 255),
            ("one block", [16, 16], 16, 128),
            ("more than a block", [17, 21], 33, 3),
            ("three blocks", [48, 27], 100, 77),
            ("odd", [37, 70], 61, 200),
            ("deep", [40, EXACT], 29, 131),
        ] {
            let weights: Vec<i8> = numbers(rows * depth, 1).into_iter().map(|weight| weight as i8).collect();
            let x: Vec<f32> = numbers(depth * pixels, 2).into_iter().map(f32::from).collect();
            // A step of one, so that bytes are the values beside the zero point.
            let steps = Steps::new(1.0, zero_point).unwrap();
            let shifted: Vec<f32> = x.iter().map(|x| x - f32::from(zero_point)).collect();
            let layer = Layer::integers(&weights, [rows, depth], &vec![1.0; rows], steps.clone(), &vec![0.0; rows]);
            let Weight::Integers(matrix, _) = &layer.weight else { panic!("it is in integers") };
            let (blocks, stride) = ([rows, depth].map(block_count), pixels + 3);
            let mut lanes = vec![Lanes::ZERO; blocks[1] * stride];
            pack(&shifted, pixels, 0, pixels, &mut lanes, stride);
            let mut bytes = Vec::new();
            let bytes = steps.round(&lanes, stride, 0..blocks[1], pixels, &mut bytes);
            let plain = |row: usize, pixel: usize, columns: Range<usize>| -> i32 {
                let value = |k: usize| x[k * pixels + pixel] as i32 - i32::from(zero_point);
                columns.map(|k| i32::from(weights[row * depth + k]) * value(k)).sum()
            };
            for (set, multiply) in sets() {
                let mut y = vec![Lanes::ZERO; blocks[0] * pixels];
                let mut planes = vec![0.0; rows * pixels];
                let mut run = |cut, start: Start<'_>, from: usize| {
                    let (part, scaling) = matrix.cut(cut);
                    let x = &bytes[from * pixels..];
                    multiply(part, scaling, &[0], x, start, Shared::new(&mut y), [pixels; 2], pixels);
                    unpack(&y, pixels, &mut planes.chunks_mut(pixels).collect::<Vec<_>>());
                    planes.clone()
                };
                let whole = run(Cut::Whole, Start::Zero, 0);
                for (index, found) in whole.iter().enumerate() {
                    let expected = plain(index / pixels, index % pixels, 0..depth);
                    assert_eq!(*found as i32, expected, "{set}, {name}: {index}");
                }
                // In parts of columns, which are added as floats.
                for block in 0..blocks[1] {
                    let start = if block == 0 { Start::Zero } else { Start::Output };
                    let found = run(Cut::Columns(block, 1), start, block);
                    if block == 0 {
                        let expected = plain(rows - 1, pixels - 1, 0..depth.min(LANES));
                        assert_eq!(found[rows * pixels - 1] as i32, expected, "{set}, {name}: columns");
                    }
                }
                assert_eq!(planes, whole, "{set}, {name}: all columns");
                let last = blocks[0] - 1;
                let (part, scaling) = matrix.cut(Cut::Rows(last, 1));
                let mut y = vec![Lanes::ZERO; pixels];
                multiply(part, scaling, &[0], bytes, Start::Zero, Shared::new(&mut y), [pixels; 2], pixels);
                assert_eq!(y[0].0[0] as i32, plain(last * LANES, 0, 0..depth), "{set}, {name}: rows");
            }
        }
    }

    #[test]
    fn a_layer_in_integers_is_its_formula() {
        let ([rows, columns], [pixels, stride]) = ([20, 19], [23, 29]);
        let weights: Vec<i8> = numbers(rows * columns, 3).into_iter().map(|weight| weight as i8).collect();
        let x: Vec<f32> = numbers(columns * pixels, 4).iter().map(|x| f32::from(*x) / 40.0 - 3.0).collect();
        let row_steps: Vec<f32> = (0..rows).map(|row| 0.01 + row as f32 / 1000.0).collect();
        let bias: Vec<f32> = (0..rows).map(|row| row as f32 - 7.5).collect();
        let steps = Steps::new(0.023, 120).unwrap();
        let layer = Layer::integers(&weights, [rows, columns], &row_steps, steps, &bias);
        let mut lanes = vec![Lanes::ZERO; block_count(columns) * stride];
        pack(&x, pixels, 0, pixels, &mut lanes, stride);
        let (mut y, mut bytes) = (vec![Lanes::ZERO; block_count(rows) * pixels], Vec::new());
        let product = layer.weight.of(&lanes, 0..block_count(columns), stride, pixels, &mut bytes);
        product.write_to(Cut::Whole, layer.bias_from(0), &mut y, pixels, pixels);
        for (row, pixel) in (0..rows).flat_map(|row| (0..pixels).map(move |pixel| (row, pixel))) {
            let rounded = |x: f32| (x / 0.023).round_ties_even().clamp(-120.0, 135.0) * 0.023;
            let terms = (0..columns).map(|k| {
                f64::from(weights[row * columns + k]) * f64::from(row_steps[row] * rounded(x[k * pixels + pixel]))
            });
            let expected = terms.sum::<f64>() + f64::from(bias[row]);
            let found = f64::from(y[row / LANES * pixels + pixel].0[row % LANES]);
            assert!((found - expected).abs() < 1e-4, "row {row}, pixel {pixel}: {found}, expected {expected}");
        }
    }

    #[test]
    fn windows_of_integers_are_those_of_floats() {
        let ([rows, columns], width) = ([18, 20], 10);
        let weights: Vec<i8> = numbers(rows * columns * WINDOW, 5).into_iter().map(|weight| weight as i8).collect();
        let floats: Vec<f32> = weights.iter().map(|weight| f32::from(*weight)).collect();
        let x: Vec<f32> = numbers(columns * 2 * width, 6).iter().map(|x| f32::from(*x) - 99.0).collect();
        let blocks = block_count(columns);
        let shape = [rows, WINDOW * blocks * LANES];
        let bias = vec![0.5; rows];
        let steps = Steps::new(1.0, 99).unwrap();
        let layers = [
            Layer::floats(&by_pixel(&floats, columns), shape, &bias),
            Layer::integers(&by_pixel(&weights, columns), shape, &vec![1.0; rows], steps, &bias),
        ];
        let mut lanes = vec![Lanes::ZERO; blocks * 2 * width];
        pack(&x, 2 * width, 0, 2 * width, &mut lanes, 2 * width);
        let [found, expected] = layers.map(|layer| {
            let (mut y, mut bytes) = (vec![Lanes::ZERO; block_count(rows) * width / 2], Vec::new());
            let product = layer.weight.of(&lanes, 0..blocks, 2 * width, 2 * width, &mut bytes);
            let taps = [0, 1, width, width + 1];
            let shared = Shared::new(&mut y);
            // SAFETY: nobody else has the map.
            unsafe { product.write_halved(Cut::Whole, &taps, layer.bias_from(0), shared, width / 2, width / 2) };
            y
        });
        assert_eq!(found, expected, "sums of 24 bits are exact in floats");
    }
}
