//! A step for each channel of what a convolution reads.
//!
//! `sum over c of W[o,c]*x[c] = sum over c of (W[o,c]*s[c]) * (x[c]/s[c])`: the weight takes the
//! steps `s` of the channels before it is rounded itself, so that the sum is one of integers. The
//! graph divides by them in `QuantizeLinear`, which has a scale for each channel, and its
//! `DequantizeLinear` has the scale 1: what the convolution reads are steps.
//!
//! With one step for all channels, the widest one decides: the others have few steps, or its
//! largest values are cut off. A step of its own costs a channel nothing at run time.
//!
//! All channels share the zero point `z`, which stands for zeros around a map too. A channel from
//! `min` to `max` needs a step of `s = max(-min/z, max/(255-z))`. The rounding of a channel adds a
//! variance of `s*s/12` times its squared weights, and `z` is the one with the smallest sum.

use super::ranges::Range;

/// The smallest step beside the largest: a channel that was always zero, or nearly, need not have
/// been so in other images, and its weights stay far from where floats end.
const SHARE_MIN: f32 = 1e-3;

/// The step of each channel, and the zero point of all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OperandSteps {
    pub(super) steps: Vec<f32>,
    pub(super) zero_point: u8,
}

impl OperandSteps {
    /// Chooses the steps for channels of finite ranges, whose readers weigh a channel's squared
    /// error by `gains`.
    pub(super) fn new(channels: &[Range], gains: &[f64]) -> Self {
        let of = |zero_point: u8| Self::at(channels, zero_point);
        let error = |Self { steps, .. }: &Self| -> f64 {
            // A gain of zero does not excuse a step that is infinite.
            if steps.iter().any(|step| step.is_infinite()) {
                return f64::INFINITY;
            }
            steps.iter().zip(gains).map(|(step, gain)| gain * f64::from(*step).powi(2)).sum()
        };
        let all = (0..=u8::MAX).map(of).map(|steps| (error(&steps), steps));
        let best = all.min_by(|(one, _), (other, _)| one.total_cmp(other));
        best.expect("there are 256 zero points").1
    }

    /// Returns the smallest steps at a zero point.
    fn at(channels: &[Range], zero_point: u8) -> Self {
        let zero = f32::from(zero_point);
        // Nothing reaches to a side of no steps, except zero itself.
        let share = |end: f32, steps: f32| if end > 0.0 { end / steps } else { 0.0 };
        let need = |range: &Range| share(-range.min, zero).max(share(range.max, 255.0 - zero));
        let steps: Vec<f32> = channels.iter().map(need).collect();
        let largest = steps.iter().copied().fold(0.0, f32::max);
        let least = if largest > 0.0 { (largest * SHARE_MIN).max(f32::MIN_POSITIVE) } else { 1.0 };
        Self { steps: steps.into_iter().map(|step| step.max(least)).collect(), zero_point }
    }

    /// Multiplies the weights of each channel, of a weight `[channels out, channels in, h, w]`, by
    /// its step.
    pub(super) fn take(&self, weight: &[f32], shape: &[usize]) -> Vec<f32> {
        let channel = channel_of(shape);
        weight.iter().enumerate().map(|(index, weight)| weight * self.steps[channel(index)]).collect()
    }
}

/// Adds the squared weights of each channel of a weight `[channels out, channels in, h, w]`.
pub(super) fn add_gains(weight: &[f32], shape: &[usize], gains: &mut [f64]) {
    let channel = channel_of(shape);
    for (index, weight) in weight.iter().enumerate() {
        gains[channel(index)] += f64::from(*weight).powi(2);
    }
}

/// Returns the input channel of each place in a weight `[channels out, channels in, h, w]`.
fn channel_of(shape: &[usize]) -> impl Fn(usize) -> usize + use<> {
    let (channels, taps) = (shape[1].max(1), shape[2..].iter().product::<usize>().max(1));
    move |index| index / taps % channels
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn};

    use super::super::{Quantized, Ranges, Scheme, quantizable, quantize, values_around};
    use super::*;
    use crate::evaluate::{Array, evaluate_each};
    use crate::graph::example::Random;
    use crate::graph::{Conv, Dim, Graph, GraphBuilder, Op, Tensor};

    #[test]
    fn every_channel_fits_its_steps_and_a_large_gain_has_the_smallest() {
        let range = |min, max| Range { min, max };
        for (name, channels, gains, expected, zero_point) in [
            ("only positive", vec![range(0.0, 255.0), range(0.0, 25.5)], [1.0, 1.0], [1.0, 0.1], 0),
            ("only negative", vec![range(-255.0, -10.0), range(-25.5, 0.0)], [1.0, 1.0], [1.0, 0.1], 255),
            ("positive but for zero", vec![range(3.0, 255.0), range(0.0, 0.0)], [1.0, 1.0], [1.0, 1e-3], 0),
            ("always zero", vec![range(0.0, 0.0); 2], [1.0, 1.0], [1.0, 1.0], 0),
            ("the first one counts", vec![range(-1.0, 1.55), range(-1.55, 1.0)], [1.0, 0.0], [0.01, 0.0155], 100),
            ("the second one counts", vec![range(-1.0, 1.55), range(-1.55, 1.0)], [0.0, 1.0], [0.0155, 0.01], 155),
        ] {
            let found = OperandSteps::new(&channels, &gains);
            assert_eq!(found.zero_point, zero_point, "{name}");
            for (found, expected) in found.steps.iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-5, "{name}: {found}, expected {expected}");
            }
        }
    }

    /// Builds two convolutions that share an operand, one of them with a kernel of 3x3, and one
    /// that shares its weight; the channels of the operand differ by a factor of 10 each, and
    /// weights make up for it.
    fn network() -> Graph {
        let mut random = Random(12);
        let mut builder = GraphBuilder::new("network");
        let x = builder.input("image", [Dim::batch(), 8.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let widths: Vec<f32> = (0..8).map(|channel| 10_f32.powi(channel % 3) / 10.0).collect();
        let mut weight = |shape: [usize; 4]| {
            let channel = channel_of(&shape);
            let weight = random.tensor(shape);
            let values = weight.as_f32().unwrap().iter().enumerate();
            Tensor::new(shape, values.map(|(index, value)| value / widths[channel(index)]).collect::<Vec<_>>()).unwrap()
        };
        let [shared, own] = [[8, 8, 1, 1], [8, 8, 3, 3]].map(&mut weight);
        let widths = root.constant("widths", Tensor::new([1, 8, 1, 1], widths).unwrap()).unwrap();
        let uneven = root.mul("uneven", x, widths).unwrap();
        let shared = root.constant("shared", shared).unwrap();
        let one = root.node("one", Op::Conv(Conv::default()), &[uneven, shared]).unwrap();
        let other = root.conv("other", uneven, own, None, Conv { pads: [1; 4], ..Conv::default() });
        let gelu = root.gelu("gelu", one).unwrap();
        let third = root.node("third", Op::Conv(Conv::default()), &[gelu, shared]).unwrap();
        let sum = root.add("sum", third, other.unwrap()).unwrap();
        let y = root.relu("y", sum).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    fn values(graph: &Graph) -> Vec<(String, ArrayD<f64>)> {
        let mut random = Random(4);
        let image = ArrayD::from_shape_fn(IxDyn(&[2, 8, 5, 6]), |_| f64::from(random.number()));
        let mut values = Vec::new();
        let note = |name: &str, value: &mut Array| {
            if let Array::F64(value) = value {
                values.push((name.to_owned(), value.clone()));
            }
        };
        evaluate_each(graph, &[("image", image)], note).unwrap();
        values
    }

    /// Quantises the convolutions, with ranges of channels or without.
    fn quantized(graph: &Graph, by_channel: bool) -> Quantized {
        let range = |values: ArrayViewD<'_, f64>| {
            Range::from_values(&values.iter().map(|value| *value as f32).collect::<Vec<_>>())
        };
        let mut ranges = Ranges::default();
        for (name, values) in values(graph).iter().filter(|(_, values)| values.ndim() == 4) {
            let channels = if by_channel { values.axis_iter(Axis(1)).map(range).collect() } else { Vec::new() };
            ranges.insert(name.clone(), range(values.view()), channels);
        }
        let nodes: BTreeSet<_> = quantizable(graph, Scheme::Fused).into_iter().collect();
        assert_eq!(nodes, BTreeSet::from(["one", "other", "third"]));
        assert_eq!(values_around(graph, &nodes, Scheme::Fused), BTreeSet::from(["uneven", "gelu"]));
        quantize(graph, &nodes, &ranges, Scheme::Fused).unwrap()
    }

    /// The largest error of a value, relative to its largest magnitude.
    fn worst(graph: &Graph, before: &Graph, name: &str) -> f64 {
        let [found, expected] =
            [graph, before].map(|graph| values(graph).into_iter().find(|(found, _)| found == name).unwrap().1);
        let largest = |values: &ArrayD<f64>| values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        largest(&(&found - &expected)) / largest(&expected)
    }

    #[test]
    fn channels_with_steps_of_their_own_lose_less() {
        let before = network();
        let [whole, by_channel] = [false, true].map(|by_channel| quantized(&before, by_channel));
        assert_eq!(whole.values, by_channel.values);
        assert_eq!(by_channel.values, ["gelu", "uneven"].map(str::to_owned).into());
        for name in ["one", "other", "y"] {
            let [whole, by_channel] = [&whole, &by_channel].map(|quantized| worst(&quantized.graph, &before, name));
            assert!(by_channel < 0.02 && whole > 10.0 * by_channel, "{name}: {by_channel:e} by channel, {whole:e}");
        }
    }

    #[test]
    fn each_operand_has_its_own_form_of_a_shared_weight() {
        let graph = quantized(&network(), true).graph;
        let node = |name: &str| graph.nodes.iter().find(|node| node.name == name).unwrap();
        assert_eq!(node("one").inputs[..2], ["uneven.dequantized", "shared.dequantized"]);
        assert_eq!(node("other").inputs[0], "uneven.dequantized");
        assert_eq!(node("third").inputs[..2], ["gelu.dequantized", "shared.of.gelu.dequantized"]);
        assert_eq!(
            ["uneven.quantized", "uneven.dequantized"].map(|name| node(name).to_string()),
            [
                "uneven.quantized: u8[batch, 8, height, width] = QuantizeLinear(uneven, uneven.scales, uneven.zeros) axis=1",
                "uneven.dequantized: f32[batch, 8, height, width] = DequantizeLinear(uneven.quantized, uneven.scale, \
                 uneven.zero) axis=0",
            ]
        );
        assert_eq!(graph.initializers["uneven.scale"].as_f32(), Some(&[1.0_f32][..]));
        assert_eq!(graph.initializers["uneven.scales"].shape(), [8]);
    }

    #[test]
    fn without_ranges_of_channels_or_for_another_engine_there_is_one_step() {
        let before = network();
        // The ranges are of another number of channels.
        let range = Range { min: -1.0, max: 1.0 };
        let mut ranges = Ranges::default();
        ranges.insert("uneven".into(), range, vec![range; 7]);
        let graph = quantize(&before, &["one"].into(), &ranges, Scheme::Fused).unwrap().graph;
        assert_eq!(graph.initializers["uneven.scale"].as_f32(), Some(&[2.0_f32 / 255.0][..]));
        ranges.insert("uneven".into(), range, vec![range; 8]);
        ranges.insert("one".into(), range, vec![range; 8]);
        for (name, scheme) in [("for CPUs", Scheme::Cpu), ("for TensorRT", Scheme::TensorRt)] {
            let graph = quantize(&before, &["one"].into(), &ranges, scheme).unwrap().graph;
            assert!(graph.initializers["uneven.scale"].shape().is_empty(), "{name}");
            assert!(!graph.initializers.contains_key("uneven.scales"), "{name}");
        }
    }
}
