//! Operators between floats and quantised integers.

use super::axes::within;
use super::{Fact, Mismatch, property, require};
use crate::graph::{DataType, TensorType};

/// Infers the result of `(x, scale, zero)` with `x` in f32, which has the type of `zero`.
pub(super) fn quantize(axis: usize, x: &Fact, scale: &Fact, zero: &Fact) -> Result<Fact, Mismatch> {
    require("the element type", &DataType::F32, &x.tensor_type.data_type)?;
    let quantized = zero.tensor_type.data_type;
    if !matches!(quantized, DataType::U8 | DataType::I8) {
        return Err(property("the zero point", "of type u8 or i8", &zero.tensor_type));
    }
    fits(axis, x, scale, zero)?;
    Ok(Fact::from_type(TensorType::new(quantized, x.shape())))
}

/// Infers the result of `(x, scale, zero)` with `x` in the type of `zero`, which is f32.
pub(super) fn dequantize(axis: usize, x: &Fact, scale: &Fact, zero: &Fact) -> Result<Fact, Mismatch> {
    let quantized = x.tensor_type.data_type;
    if !matches!(quantized, DataType::U8 | DataType::I8 | DataType::I32) {
        return Err(property("the operand", "of type u8, i8 or i32", &x.tensor_type));
    }
    require("the type of the zero point", &quantized, &zero.tensor_type.data_type)?;
    fits(axis, x, scale, zero)?;
    Ok(Fact::from_type(TensorType::new(DataType::F32, x.shape())))
}

/// Checks that scale and zero point are both scalars, or both vectors along the axis.
fn fits(axis: usize, x: &Fact, scale: &Fact, zero: &Fact) -> Result<(), Mismatch> {
    require("the type of the scale", &DataType::F32, &scale.tensor_type.data_type)?;
    if scale.shape().is_empty() && zero.shape().is_empty() {
        return Ok(());
    }
    within("the axis", axis, x)?;
    let along = [x.shape()[axis].clone()];
    for (what, fact) in [("the scale", scale), ("the zero point", zero)] {
        let expected = TensorType::new(fact.tensor_type.data_type, along.clone());
        require(what, &expected, &fact.tensor_type)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Op;
    use crate::graph::infer::tests::{assert_rows, f32_fact, integers, typed};

    #[test]
    fn quantised_values_take_the_type_of_their_zero_point() {
        use DataType::{F32, I8, I32, U8};
        let image = |data_type| typed(data_type, ["batch", "4", "height", "width"]);
        let quantize = Op::QuantizeLinear { axis: 1 };
        let dequantize = Op::DequantizeLinear { axis: 1 };
        let all = |data_type, zero| vec![image(data_type), typed(F32, []), typed(zero, [])];
        let each = |data_type, zero, len| vec![image(data_type), typed(F32, [len]), typed(zero, [len])];
        assert_rows(&[
            ("to u8", quantize.clone(), all(F32, U8), "u8[batch, 4, height, width]"),
            ("by channel", quantize.clone(), each(F32, I8, "4"), "i8[batch, 4, height, width]"),
            ("back", dequantize.clone(), all(U8, U8), "f32[batch, 4, height, width]"),
            ("biases", dequantize.clone(), each(I32, I32, "4"), "f32[batch, 4, height, width]"),
            ("integers", quantize.clone(), all(U8, U8), "the element type must be f32, found u8"),
            ("to i32", quantize.clone(), all(F32, I32), "the zero point must be of type u8 or i8, found i32[]"),
            (
                "from f32",
                dequantize.clone(),
                all(F32, F32),
                "the operand must be of type u8, i8 or i32, found f32[batch, 4, height, width]",
            ),
            ("mixed", dequantize.clone(), all(U8, I8), "the type of the zero point must be u8, found i8"),
            ("another length", quantize.clone(), each(F32, U8, "3"), "the scale must be f32[4], found f32[3]"),
            (
                "a scalar and a vector",
                dequantize.clone(),
                vec![image(U8), typed(F32, ["4"]), typed(U8, [])],
                "the zero point must be u8[4], found u8[]",
            ),
            (
                "a scale of integers",
                dequantize,
                vec![image(U8), integers(["1"]), typed(U8, [])],
                "the type of the scale must be f32, found i64",
            ),
            (
                "no such axis",
                Op::QuantizeLinear { axis: 4 },
                each(F32, U8, "4"),
                "the axis must be less than 4, found 4",
            ),
        ]);
        // Without an axis there is none to be wrong.
        let weight = [f32_fact(["4"]), typed(F32, []), typed(I8, [])];
        let found = super::super::infer("", &quantize, &weight.each_ref()).unwrap();
        assert_eq!(found.tensor_type.to_string(), "i8[4]");
    }
}
