//! Numbers in 8 bits: a step and a number of steps from zero.
//!
//! CPUs without VNNI add the products of two neighbouring weights in 16 bits, which hold at most
//! `32767 = 128.5 * 255`. The step of a filter's weights is therefore chosen so that neither a
//! weight nor two neighbours of one sign together are more than 127 steps; rounding may add one.
//! Neighbours are adjacent in ONNX Runtime's layout of a filter: all channels of a tap, then those
//! of the next. Depthwise convolutions add in 32 bits, and so do TensorRT and the fused kernel, for
//! which weights take all 127 steps.

use super::histogram::CalibrationMethod;
use super::ranges::Range;
use crate::graph::Data;

/// The values of a graph that become integers, and the type that they become: what an engine
/// computes fast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Scheme {
    /// Whole stretches of convolutions, sums and products, in `0..=255` with a zero point: for
    /// ONNX Runtime on CPUs.
    #[default]
    #[cfg_attr(feature = "cli", value(name = "u8"))]
    Cpu,
    /// The operands of convolutions in `-127..=127` around zero: for TensorRT.
    #[cfg_attr(feature = "cli", value(name = "i8"))]
    TensorRt,
    /// The operands of dense convolutions in `0..=255` with a zero point: for the project's own
    /// kernels, which keep everything else in floats.
    #[cfg_attr(feature = "cli", value(skip))]
    Fused,
}

/// The largest weight, in steps.
const WEIGHT_MAX: f32 = 127.0;

impl Scheme {
    /// Names the kinds of nodes that become integers.
    pub fn kinds(self) -> &'static str {
        match self {
            Self::Cpu => "convolutions, sums and products",
            Self::TensorRt | Self::Fused => "convolutions",
        }
    }

    /// Returns the method that chooses the ranges unless another one is asked for. A channel with a
    /// step of its own needs nothing cut off.
    pub fn calibration_method(self) -> CalibrationMethod {
        match self {
            Self::Cpu | Self::TensorRt => CalibrationMethod::Percentile,
            Self::Fused => CalibrationMethod::MinMax,
        }
    }

    /// Returns whether the results of nodes become integers too, and not their operands alone.
    pub(super) fn rounds_results(self) -> bool {
        self == Self::Cpu
    }

    /// Converts values within the range to steps.
    pub(super) fn hold(self, values: &[f32], range: &Range) -> Data {
        let (step, zero) = self.step(range);
        let steps = values.iter().map(|value| (value / step).round_ties_even());
        match zero {
            Data::U8(zero) => Data::U8(steps.map(|steps| (steps + f32::from(zero[0])) as u8).collect()),
            _ => Data::I8(steps.map(|steps| steps as i8).collect()),
        }
    }

    /// Returns the step and the zero point that can represent the range, and zero itself.
    pub(super) fn step(self, range: &Range) -> (f32, Data) {
        let (min, max) = (range.min.min(0.0), range.max.max(0.0));
        match self {
            Self::Cpu | Self::Fused => {
                let step = positive((max - min) / 255.0);
                (step, Data::U8(vec![(-min / step).round() as u8]))
            }
            Self::TensorRt => (positive(max.max(-min) / 127.0), Data::I8(vec![0])),
        }
    }
}

/// Returns the step of each output channel of a weight `[channels out, channels in / group, h, w]`,
/// and the weight in these steps.
pub(super) fn in_steps(weight: &[f32], shape: &[usize], group: usize, scheme: Scheme) -> (Vec<f32>, Vec<i8>) {
    let filter_len = shape[1..].iter().product::<usize>().max(1);
    let is_depthwise = group > 1 && shape[..2] == [group, 1];
    let (mut steps, mut quantized) = (Vec::new(), Vec::new());
    for filter in weight.chunks_exact(filter_len) {
        let mut reach = filter.iter().fold(0.0, |reach: f32, value| reach.max(value.abs()));
        if !is_depthwise && scheme == Scheme::Cpu {
            let by_tap = by_tap(filter, shape[1]);
            reach = by_tap.windows(2).fold(reach, |reach, pair| reach.max(one_sign_sum(pair[0], pair[1])));
        }
        let step = positive(reach / WEIGHT_MAX);
        steps.push(step);
        quantized.extend(filter.iter().map(|value| (value / step).round_ties_even() as i8));
    }
    (steps, quantized)
}

/// Returns the weights of a filter with a number of channels, tap after tap.
fn by_tap(filter: &[f32], channels: usize) -> Vec<f32> {
    let taps = filter.len() / channels;
    (0..taps).flat_map(|tap| filter.iter().skip(tap).step_by(taps)).copied().collect()
}

/// Returns the magnitude of the larger of two sums: of the positive and of the negative ones of two
/// weights.
fn one_sign_sum(a: f32, b: f32) -> f32 {
    (a.max(0.0) + b.max(0.0)).max(-(a.min(0.0) + b.min(0.0)))
}

/// Returns a step that can be divided by, even for values that are zero or nearly zero.
fn positive(step: f32) -> f32 {
    if step.is_normal() { step } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_products_of_neighbouring_weights_fit_16_bits() {
        for (name, weight, shape, group, expected) in [
            // The third and the fourth are the largest sum of one sign: -1.5 is 127 steps.
            ("neighbours", vec![1.0, -0.5, -0.5, -1.0], [1, 4, 1, 1], 1, vec![85, -42, -42, -85]),
            ("opposite signs", vec![1.0, -1.0, 1.0, -1.0], [1, 4, 1, 1], 1, vec![127, -127, 127, -127]),
            // A channel's weights are its taps: by taps these are 1, -1, 0, 0 and 1, -1, 0, 0.
            (
                "taps of one channel",
                vec![1.0, 1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0],
                [1, 4, 2, 1],
                1,
                vec![127, 127, -127, -127, 0, 0, 0, 0],
            ),
            // 1, 0, 0.5 and 0.5, 0, 0: the last channel of the first tap is next to the first
            // channel of the second.
            (
                "from tap to tap, odd channels",
                vec![1.0, 0.5, 0.0, 0.0, 0.5, 0.0],
                [1, 3, 2, 1],
                1,
                vec![127, 64, 0, 0, 64, 0],
            ),
            (
                "from tap to tap, too much",
                vec![1.0, 1.0, 0.0, 0.0, 1.0, 0.0],
                [1, 3, 2, 1],
                1,
                vec![64, 64, 0, 0, 64, 0],
            ),
            // Two maps of each channel: not a depthwise convolution to ONNX Runtime, so that taps
            // are neighbours.
            ("several of a channel", vec![1.0, 1.0, 1.0, -1.0], [2, 1, 2, 1], 1, vec![64, 64, 127, -127]),
            ("depthwise", vec![1.0, 1.0, 0.5, -2.0], [2, 1, 2, 1], 2, vec![127, 127, 32, -127]),
            ("next to nothing", vec![1e-44, -1e-44], [1, 2, 1, 1], 1, vec![0, 0]),
        ] {
            assert_eq!(in_steps(&weight, &shape, group, Scheme::Cpu).1, expected, "{name}");
        }
        let weight = [1.0, -0.5, -0.5, -1.0];
        assert_eq!(in_steps(&weight, &[1, 4, 1, 1], 1, Scheme::TensorRt).1, [127, -64, -64, -127], "in 32 bits");
    }

    #[test]
    fn a_range_always_holds_zero_exactly() {
        for (min, max, expected) in
            [(-1.0, 1.55, (0.01, 100)), (1.0, 2.55, (0.01, 0)), (-2.55, -1.0, (0.01, 255)), (0.0, 0.0, (1.0, 0))]
        {
            let (step, zero) = Scheme::Cpu.step(&Range { min, max });
            assert!((step - expected.0).abs() < 1e-7, "{min}..{max}: {step}");
            assert_eq!(zero, Data::U8(vec![expected.1]), "{min}..{max}");
        }
        assert_eq!(Scheme::TensorRt.step(&Range { min: -2.54, max: 1.0 }), (0.02, Data::I8(vec![0])));
    }
}
