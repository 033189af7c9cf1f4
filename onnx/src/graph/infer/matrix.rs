//! Matrix products.

use super::{Fact, Mismatch, broadcast, float, property, require};
use crate::graph::TensorType;

/// Infers `[..., m, k]` times `[..., k, n]`; the axes in front are broadcast. ONNX also takes
/// vectors, which no graph here needs.
pub(super) fn product(a: &Fact, b: &Fact) -> Result<Fact, Mismatch> {
    float(a)?;
    let data_type = a.tensor_type.data_type;
    require("the element type", &data_type, &b.tensor_type.data_type)?;
    let ([front_a @ .., rows, inner], [front_b @ .., found, columns]) = (a.shape(), b.shape()) else {
        let vector = if a.tensor_type.rank() < 2 { a } else { b };
        return Err(property("an operand", "of rank 2 or more", &vector.tensor_type));
    };
    require("the rows of the second matrix", inner, found)?;
    let mut shape = broadcast(&TensorType::new(data_type, front_a), &TensorType::new(data_type, front_b))?;
    shape.extend([rows.clone(), columns.clone()]);
    Ok(Fact::from_type(TensorType::new(data_type, shape)))
}

#[cfg(test)]
mod tests {
    use crate::graph::infer::tests::{assert_rows, f32_fact, typed};
    use crate::graph::{DataType, Op};

    #[test]
    fn a_product_has_an_exact_shape_or_is_refused() {
        let a = || f32_fact(["batch", "height", "width", "8"]);
        assert_rows(&[
            ("two matrices", Op::MatMul, vec![f32_fact(["2", "3"]), f32_fact(["3", "4"])], "f32[2, 4]"),
            (
                "one matrix for each image",
                Op::MatMul,
                vec![a(), f32_fact(["batch", "1", "8", "4"])],
                "f32[batch, height, width, 4]",
            ),
            ("one matrix for all", Op::MatMul, vec![a(), f32_fact(["8", "4"])], "f32[batch, height, width, 4]"),
            (
                "sizes that do not meet",
                Op::MatMul,
                vec![a(), f32_fact(["6", "4"])],
                "the rows of the second matrix must be 8, found 6",
            ),
            (
                "batches that do not meet",
                Op::MatMul,
                vec![a(), f32_fact(["batch", "width", "8", "4"])],
                "shapes f32[batch, height] and f32[batch, width] cannot be broadcast together",
            ),
            ("a vector", Op::MatMul, vec![a(), f32_fact(["8"])], "an operand must be of rank 2 or more, found f32[8]"),
            (
                "two types",
                Op::MatMul,
                vec![a(), typed(DataType::F16, ["8", "4"])],
                "the element type must be f32, found f16",
            ),
        ]);
    }
}
