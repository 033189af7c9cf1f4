//! Maps in eight bits: sixteen neighbouring channels of a pixel as bytes, and how floats become
//! them.
//!
//! ONNX's `QuantizeLinear` is `round(x / scale) + zero point` within `0..=255`, with halves to even
//! numbers. A division takes as long as five products, so `q = x * (1/scale)` is corrected by what
//! it leaves over: `q + (x - q * scale) * (1/scale)`, each rounded once. The result is the rounded
//! quotient wherever that decides about a whole number, for every scale.

use crate::lanes::{LANES, Lanes};
use crate::vector::{Vector, vectorized};

/// Sixteen neighbouring channels of a pixel in eight bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub(crate) struct Bytes(pub(crate) [u8; LANES]);

/// The steps that floats are rounded to: `byte = round(value / scale) + zero_point`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    scale: f32,
    zero_point: u8,
}

/// The largest binary exponent of a scale, to either side: reciprocals and what a product leaves
/// over stay normal numbers.
const EXPONENT_MAX: i32 = 64;

impl Steps {
    /// Creates the steps; `None` unless the scale is positive, and neither huge nor tiny.
    pub fn new(scale: f32, zero_point: u8) -> Option<Self> {
        let reach = 2_f32.powi(EXPONENT_MAX);
        (1.0 / reach..=reach).contains(&scale).then_some(Self { scale, zero_point })
    }

    /// Returns the value of a step.
    pub(crate) fn scale(self) -> f32 {
        self.scale
    }

    /// Returns the byte that stands for zero.
    pub(crate) fn zero_point(self) -> u8 {
        self.zero_point
    }

    /// Rounds `pixels` pixels of blocks that lie `stride` lanes apart; those of the result lie
    /// side by side.
    pub(crate) fn round<'a>(
        self,
        x: &[Lanes],
        stride: usize,
        blocks: usize,
        pixels: usize,
        bytes: &'a mut Vec<Bytes>,
    ) -> &'a [Bytes] {
        bytes.resize(blocks * pixels, Bytes::default());
        for (block, bytes) in bytes.chunks_exact_mut(pixels.max(1)).enumerate() {
            round(&x[block * stride..][..pixels], self, bytes);
        }
        bytes
    }
}

vectorized! {
    /// Rounds values to steps.
    fn round(x: &[Lanes], steps: Steps, bytes: &mut [Bytes]) = round_with
}

#[inline(always)]
fn round_with<V: Vector>(x: &[Lanes], steps: Steps, bytes: &mut [Bytes]) {
    let Steps { scale, zero_point } = steps;
    let zero = f32::from(zero_point);
    let [least, most] = [-zero * scale, (255.0 - zero) * scale].map(V::splat);
    let (scale, reciprocal) = (V::splat(scale), V::splat(1.0 / scale));
    for (x, bytes) in x.iter().zip(bytes) {
        // What is not a number is none of the bytes, and becomes the least.
        let x = least.at_least(V::load(&x.0)).at_most(most);
        x.divide(scale, reciprocal).store_bytes(zero_point, &mut bytes.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula of ONNX, as it is written.
    fn plain(x: f32, scale: f32, zero_point: u8) -> u8 {
        ((x / scale).round_ties_even() + f32::from(zero_point)).clamp(0.0, 255.0) as u8
    }

    fn check(name: &str, scale: f32, zero_point: u8, values: &[f32]) {
        let steps = Steps::new(scale, zero_point).unwrap();
        let lanes: Vec<_> = values
            .chunks(LANES)
            .map(|values| Lanes(std::array::from_fn(|lane| values.get(lane).copied().unwrap_or_default())))
            .collect();
        type Round = fn(&[Lanes], Steps, &mut [Bytes]);
        for (set, round) in [("best", round as Round), ("portable", round_with::<[f32; LANES]>)] {
            let mut bytes = vec![Bytes::default(); lanes.len()];
            round(&lanes, steps, &mut bytes);
            for (index, x) in values.iter().enumerate() {
                let found = bytes[index / LANES].0[index % LANES];
                assert_eq!(found, plain(*x, scale, zero_point), "{set}, {name}: {x:e} / {scale:e} + {zero_point}");
            }
        }
    }

    #[test]
    fn values_round_as_by_a_division_next_to_every_tie() {
        // Near a power of two, and everywhere: the low bits of the mantissa decide.
        let mantissas = (0..600).chain((0..600).map(|low| (1 << 23) - 1 - low)).chain((0..1500).map(|i| i * 5591 + 7));
        for (index, mantissa) in mantissas.enumerate() {
            let exponent = [127, 120, 127 + 60, 127 - 60, 110][index % 5];
            let scale = f32::from_bits(exponent << 23 | mantissa);
            let zero_point = [0, 128, 255, 3, 77][index / 5 % 5];
            let ties = (-1..256).map(|step| (step as f32 - f32::from(zero_point) + 0.5) * scale);
            let near = |tie: f32| (0..9).map(move |index| f32::from_bits(tie.to_bits().saturating_add(index) - 4));
            let values: Vec<_> = ties.filter(|tie| *tie != 0.0).flat_map(near).collect();
            check("near a tie", scale, zero_point, &values);
        }
    }

    #[test]
    fn values_beyond_the_bytes_become_the_last_ones() {
        let ends = [0.0, -0.0, 1e-40, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, 254.5, 255.5, -0.5, -1.5];
        for zero_point in [0, 1, 100, 255] {
            check("ends", 1.0, zero_point, &ends);
            check("ends", 0.003, zero_point, &ends);
        }
        assert!([0.0, -1.0, f32::NAN, f32::INFINITY, 1e-38, 1e30].iter().all(|scale| Steps::new(*scale, 0).is_none()));
    }
}
