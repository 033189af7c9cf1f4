//! A convolution in integers of eight bits: its operand and its weight are rounded in the graph,
//! and everything else is in floats.

use seg_kernels::inference::{Dense, Integers, Steps};
use seg_onnx::graph::{Data, Op, Tensor};

use super::walk::{Form, Unrecognized, Walk};

/// The description of an operand in integers.
const OPERAND: &str =
    "DequantizeLinear of QuantizeLinear, u8 in one step, or in a step for each channel that becomes 1";
/// The axis of a map's channels.
const CHANNELS: usize = 1;
/// The description of a weight in integers.
const WEIGHT: &str = "DequantizeLinear of constants, i8 in a step for each output channel around zero";
/// The remedy for values that are rounded elsewhere.
pub(super) const REMEDY: &str = "no integers here; `seg export --precision int8 --target fused` rounds what the kernel \
                                 computes in integers, and nothing else";

impl<'g> Walk<'g> {
    /// Returns the integers of a dequantised value.
    pub(super) fn dequantized(&self, value: &str) -> Option<&'g str> {
        let node = self.node(value)?;
        matches!(node.op, Op::DequantizeLinear { .. }).then(|| node.inputs.first().map(String::as_str)).flatten()
    }

    /// Returns whether the node of a value rounds it, or is the inverse.
    pub(super) fn is_rounding(&self, value: &str) -> bool {
        self.node(value).is_some_and(|node| matches!(node.op, Op::QuantizeLinear { .. } | Op::DequantizeLinear { .. }))
    }

    /// Takes a convolution of a form whose weight is dequantised; returns its operand and its
    /// parameters.
    pub(super) fn integers_of(
        &mut self,
        value: &str,
        weight: &'g str,
        form: &Form,
    ) -> Result<(&'g str, Dense), Unrecognized> {
        let (quantized, row_steps) = self.take_weight(weight)?;
        let constant = self.graph.initializers.get(quantized).ok_or_else(|| self.unrecognized(weight, WEIGHT))?;
        let (Data::I8(values), [rows, columns, height, width]) = (constant.data(), constant.shape()) else {
            return Err(self.unrecognized(weight, WEIGHT));
        };
        let shape = [*rows, *columns, *height, *width];
        if row_steps.len() != shape[0] || shape[1..].iter().product::<usize>() > Integers::WEIGHTS_MAX {
            let most = Integers::WEIGHTS_MAX;
            return Err(self.unrecognized(weight, format!("{WEIGHT}, of at most {most} weights for each")));
        }
        let (rounded, bias) = self.take_conv(value, form, &shape)?;
        let (x, input) = self.take_operand(rounded, shape[1])?;
        let integers = Integers { weight: values.clone(), shape, row_steps: row_steps.to_vec(), input, bias };
        Ok((x, Dense::Integers(integers)))
    }

    /// Takes what dequantises a weight; returns its integers and its steps.
    fn take_weight(&mut self, weight: &str) -> Result<(&'g str, &'g [f32]), Unrecognized> {
        let [quantized, steps, zeros] = self
            .take(weight, WEIGHT, |op| *op == Op::DequantizeLinear { axis: 0 })
            .map_err(|_| self.unrecognized(weight, WEIGHT))?;
        let zero = self.graph.initializers.get(zeros).map(|zeros| zeros.data());
        let positive = |steps: &&[f32]| steps.iter().all(|step| step.is_normal() && *step > 0.0);
        let is_list = self.graph.initializers.get(steps).is_some_and(|steps| steps.shape().len() == 1);
        match (self.values(steps).filter(positive), zero) {
            (Some(steps), Some(Data::I8(zeros)))
                if is_list && zeros.len() == steps.len() && zeros.iter().all(|zero| *zero == 0) =>
            {
                Ok((quantized, steps))
            }
            _ => Err(self.unrecognized(weight, WEIGHT)),
        }
    }

    /// Takes what rounds an operand of a number of channels, which several convolutions may read;
    /// returns the operand and its steps.
    fn take_operand(&mut self, value: &str, channels: usize) -> Result<(&'g str, Steps), Unrecognized> {
        let refused = || self.unrecognized(value, OPERAND);
        let dequantize = self.node(value).filter(|node| matches!(node.op, Op::DequantizeLinear { .. }));
        let dequantize = dequantize.ok_or_else(refused)?;
        let [quantized, back @ ..] = &dequantize.inputs[..] else { return Err(refused()) };
        let quantize = self.node(quantized).filter(|node| matches!(node.op, Op::QuantizeLinear { .. }));
        let quantize = quantize.ok_or_else(refused)?;
        let [x, steps @ ..] = &quantize.inputs[..] else { return Err(refused()) };
        let [unit, zero_point] = back else { return Err(refused()) };
        let (unit, zero_point) = self.scale(unit).zip(self.zero_point(zero_point)).ok_or_else(refused)?;
        let steps = match steps {
            same if same == back => Steps::new(unit, zero_point),
            [scales, zero_points] if quantize.op == (Op::QuantizeLinear { axis: CHANNELS }) => {
                let scales = self.vector(scales, channels).and_then(Tensor::as_f32);
                let zero_points = self.vector(zero_points, channels).map(Tensor::data);
                let same = matches!(zero_points, Some(Data::U8(zeros)) if zeros.iter().all(|zero| *zero == zero_point));
                scales.filter(|_| same).and_then(|scales| Steps::of_channels(scales, zero_point, unit))
            }
            _ => None,
        };
        let steps = steps.ok_or_else(refused)?;
        self.taken.extend([dequantize.name.as_str(), quantize.name.as_str()]);
        Ok((x, steps))
    }

    /// Returns a constant without axes.
    fn scalar(&self, name: &str) -> Option<&'g Tensor> {
        self.graph.initializers.get(name).filter(|tensor| tensor.shape().is_empty())
    }

    /// Returns a constant with one value for each channel.
    fn vector(&self, name: &str, channels: usize) -> Option<&'g Tensor> {
        self.graph.initializers.get(name).filter(|tensor| tensor.shape() == [channels])
    }

    /// Returns a scale that is one number.
    fn scale(&self, name: &str) -> Option<f32> {
        self.scalar(name)?.as_f32()?.first().copied()
    }

    /// Returns a zero point that is one number.
    fn zero_point(&self, name: &str) -> Option<u8> {
        match self.scalar(name)?.data() {
            Data::U8(zero) => zero.first().copied(),
            _ => None,
        }
    }
}
