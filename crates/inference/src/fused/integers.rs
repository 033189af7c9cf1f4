//! A convolution in integers of eight bits: its operand and its weight are rounded in the graph,
//! and everything else is in floats.

use seg_kernels::inference::{Dense, Integers, Steps};
use seg_onnx::graph::{Data, Op};

use super::walk::{Form, Unrecognized, Walk};

/// The description of an operand in integers.
const OPERAND: &str = "DequantizeLinear of QuantizeLinear, u8 in one step";
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
        let (x, input) = self.take_operand(rounded)?;
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

    /// Takes what rounds an operand, which several convolutions may read; returns the operand and
    /// its steps.
    fn take_operand(&mut self, value: &str) -> Result<(&'g str, Steps), Unrecognized> {
        let refused = || self.unrecognized(value, OPERAND);
        let dequantize = self.node(value).filter(|node| matches!(node.op, Op::DequantizeLinear { .. }));
        let dequantize = dequantize.ok_or_else(refused)?;
        let [quantized, steps @ ..] = &dequantize.inputs[..] else { return Err(refused()) };
        let quantize = self.node(quantized).filter(|node| matches!(node.op, Op::QuantizeLinear { .. }));
        let quantize = quantize.ok_or_else(refused)?;
        let [x, same @ ..] = &quantize.inputs[..] else { return Err(refused()) };
        let [scale, zero_point] = steps else { return Err(refused()) };
        let scalar = |name: &String| self.graph.initializers.get(name).filter(|tensor| tensor.shape().is_empty());
        let scale = scalar(scale).and_then(|scale| scale.as_f32()?.first().copied());
        let zero_point = match scalar(zero_point).map(|zero| zero.data()) {
            Some(Data::U8(zero)) => zero.first().copied(),
            _ => None,
        };
        let steps_of = scale.zip(zero_point).and_then(|(scale, zero_point)| Steps::new(scale, zero_point));
        let steps_of = steps_of.filter(|_| same == steps).ok_or_else(refused)?;
        self.taken.extend([dequantize.name.as_str(), quantize.name.as_str()]);
        Ok((x, steps_of))
    }
}
