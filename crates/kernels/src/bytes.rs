//! Maps in eight bits: sixteen neighbouring channels of a pixel as bytes, and how floats become
//! them.
//!
//! ONNX's `QuantizeLinear` is `round(x / scale) + zero point` within `0..=255`, with halves to even
//! numbers. A division takes as long as five products, so `q = x * (1/scale)` is corrected by what
//! it leaves over: `q + (x - q * scale) * (1/scale)`, each rounded once. The result is the rounded
//! quotient wherever that decides about a whole number, for every scale.

use std::ops::Range;

use crate::lanes::{LANES, Lanes};
use crate::vector::{Vector, vectorized};

/// Sixteen neighbouring channels of a pixel in eight bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub(crate) struct Bytes(pub(crate) [u8; LANES]);

/// The steps that floats are rounded to, `byte = round(value / scale) + zero_point`, with a scale
/// for all channels or for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    /// The scales of each block of channels, or those of all blocks.
    scales: Vec<Lanes>,
    zero_point: u8,
    unit: f32,
}

/// The largest binary exponent of a scale, to either side: reciprocals and what a product leaves
/// over stay normal numbers.
const EXPONENT_MAX: i32 = 64;

impl Steps {
    /// Creates the steps with one scale; `None` unless it is positive, and neither huge nor tiny.
    pub fn new(scale: f32, zero_point: u8) -> Option<Self> {
        let scales = vec![Lanes([scale; LANES])];
        is_moderate(scale).then_some(Self { scales, zero_point, unit: scale })
    }

    /// Creates the steps with a scale for each channel, whose bytes stand for as many times `unit`
    /// in each; `None` unless all of them are positive, and neither huge nor tiny.
    pub fn of_channels(scales: &[f32], zero_point: u8, unit: f32) -> Option<Self> {
        let block = |scales: &[f32]| {
            // What lies behind the last channel is zero, at any scale.
            Lanes(std::array::from_fn(|lane| scales.get(lane).copied().unwrap_or(1.0)))
        };
        let are_moderate = !scales.is_empty() && scales.iter().chain([&unit]).all(|scale| is_moderate(*scale));
        are_moderate.then(|| Self { scales: scales.chunks(LANES).map(block).collect(), zero_point, unit })
    }

    /// Returns the value of a step to what reads the bytes.
    pub(crate) fn unit(&self) -> f32 {
        self.unit
    }

    /// Returns the byte that stands for zero.
    pub(crate) fn zero_point(&self) -> u8 {
        self.zero_point
    }

    /// Returns the scales of a block of channels.
    fn of_block(&self, block: usize) -> &Lanes {
        match &self.scales[..] {
            [scale] => scale,
            scales => &scales[block],
        }
    }

    /// Rounds `pixels` pixels of blocks of channels that lie `stride` lanes apart; those of the
    /// result lie side by side.
    pub(crate) fn round<'a>(
        &self,
        x: &[Lanes],
        stride: usize,
        blocks: Range<usize>,
        pixels: usize,
        bytes: &'a mut Vec<Bytes>,
    ) -> &'a [Bytes] {
        bytes.resize(blocks.len() * pixels, Bytes::default());
        for (index, (block, bytes)) in blocks.zip(bytes.chunks_exact_mut(pixels.max(1))).enumerate() {
            round(&x[index * stride..][..pixels], self.of_block(block), self.zero_point, bytes);
        }
        bytes
    }
}

/// Returns true for a positive number that is neither huge nor tiny.
fn is_moderate(scale: f32) -> bool {
    let reach = 2_f32.powi(EXPONENT_MAX);
    (1.0 / reach..=reach).contains(&scale)
}

vectorized! {
    /// Rounds values of a block of channels by their scales.
    fn round(x: &[Lanes], scales: &Lanes, zero_point: u8, bytes: &mut [Bytes]) = round_with
}

#[inline(always)]
fn round_with<V: Vector>(x: &[Lanes], scales: &Lanes, zero_point: u8, bytes: &mut [Bytes]) {
    let zero = f32::from(zero_point);
    let scale = V::load(&scales.0);
    let [least, most] = [-zero, 255.0 - zero].map(|steps| V::splat(steps).multiply(scale));
    let reciprocal = V::load(&scales.0.map(|scale| 1.0 / scale));
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
        let scales = steps.of_block(values.len());
        let lanes: Vec<_> = values
            .chunks(LANES)
            .map(|values| Lanes(std::array::from_fn(|lane| values.get(lane).copied().unwrap_or_default())))
            .collect();
        type Round = fn(&[Lanes], &Lanes, u8, &mut [Bytes]);
        for (set, round) in [("best", round as Round), ("portable", round_with::<[f32; LANES]>)] {
            let mut bytes = vec![Bytes::default(); lanes.len()];
            round(&lanes, scales, zero_point, &mut bytes);
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

    #[test]
    fn each_channel_has_its_scale_from_any_block_on() {
        let (channels, pixels, zero_point) = (3 * LANES - 5, 7, 31);
        let scales: Vec<f32> = (0..channels).map(|channel| 0.01 * 1.2_f32.powi(channel as i32)).collect();
        let steps = Steps::of_channels(&scales, zero_point, 1.0).unwrap();
        assert_eq!((steps.unit(), steps.zero_point()), (1.0, zero_point));
        let value = |channel: usize, pixel: usize| (channel * 37 + pixel * 101) as f32 % 17.0 - 4.0;
        for first in 0..3 {
            let (stride, channel) = (pixels + 2, |block: usize, lane| (first + block) * LANES + lane);
            let mut lanes = vec![Lanes::ZERO; (3 - first) * stride];
            for (index, lanes) in lanes.iter_mut().enumerate() {
                let of_lane = |lane| value(channel(index / stride, lane), index % stride);
                *lanes = Lanes(std::array::from_fn(of_lane));
            }
            let mut bytes = Vec::new();
            let bytes = steps.round(&lanes, stride, first..3, pixels, &mut bytes);
            assert_eq!(bytes.len(), (3 - first) * pixels);
            for (index, bytes) in bytes.iter().enumerate() {
                let own = |lane| channel(index / pixels, lane);
                for lane in (0..LANES).filter(|lane| own(*lane) < channels) {
                    let expected = plain(value(own(lane), index % pixels), scales[own(lane)], zero_point);
                    assert_eq!(bytes.0[lane], expected, "from block {first}: channel {}", own(lane));
                }
            }
        }
        for (name, scales, unit) in
            [("none", &[][..], 1.0), ("zero", &[1.0, 0.0], 1.0), ("huge", &[1e30], 1.0), ("no unit", &[1.0], 0.0)]
        {
            assert!(Steps::of_channels(scales, 0, unit).is_none(), "{name}");
        }
    }
}
