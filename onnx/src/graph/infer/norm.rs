//! Normalisations by statistics of the value itself.

use super::{Fact, Mismatch, axes, float, property, require};
use crate::graph::TensorType;

/// Infers a normalisation over all axes from one on, which scale and shift have too.
pub(super) fn layer(axis: usize, x: &Fact, parameters: [&Fact; 2]) -> Result<Fact, Mismatch> {
    float(x)?;
    axes::within("the axis", axis, x)?;
    like(x, TensorType::new(x.tensor_type.data_type, &x.shape()[axis..]), parameters)
}

/// Infers a normalisation over all axes behind the channels, of which scale and shift have one
/// value each.
pub(super) fn instance(x: &Fact, parameters: [&Fact; 2]) -> Result<Fact, Mismatch> {
    float(x)?;
    match x.shape() {
        [_, channels, _, ..] => like(x, TensorType::new(x.tensor_type.data_type, [channels.clone()]), parameters),
        _ => Err(property("the operand", "of rank 3 or more", &x.tensor_type)),
    }
}

fn like(x: &Fact, expected: TensorType, parameters: [&Fact; 2]) -> Result<Fact, Mismatch> {
    for parameter in parameters {
        require("scale and shift", &expected, &parameter.tensor_type)?;
    }
    Ok(Fact::from_type(x.tensor_type.clone()))
}

#[cfg(test)]
mod tests {
    use crate::graph::Op;
    use crate::graph::infer::tests::{assert_rows, f32_fact, integers};

    #[test]
    fn a_normalisation_keeps_the_shape_or_is_refused() {
        let layer = |axis| Op::LayerNormalization { axis, epsilon: 1e-5 };
        let instance = || Op::InstanceNormalization { epsilon: 1e-5 };
        let x = || f32_fact(["batch", "height", "width", "8"]);
        let rows = |size: &str| vec![x(), f32_fact([size]), f32_fact([size])];
        let channels =
            |size: &str| vec![f32_fact(["batch", "8", "height", "width"]), f32_fact([size]), f32_fact([size])];
        assert_rows(&[
            ("over the last axis", layer(3), rows("8"), "f32[batch, height, width, 8]"),
            (
                "over two axes",
                layer(2),
                vec![x(), f32_fact(["width", "8"]), f32_fact(["width", "8"])],
                "f32[batch, height, width, 8]",
            ),
            ("other factors", layer(3), rows("4"), "scale and shift must be f32[8], found f32[4]"),
            ("beyond", layer(4), rows("8"), "the axis must be less than 4, found 4"),
            ("without a shift", layer(3), vec![x(), f32_fact(["8"])], "the number of operands must be 3, found 2"),
            (
                "integers",
                layer(0),
                vec![integers(["1"]), f32_fact(["1"]), f32_fact(["1"])],
                "the element type must be f32 or f16, found i64",
            ),
            ("each channel", instance(), channels("8"), "f32[batch, 8, height, width]"),
            ("other channels", instance(), channels("height"), "scale and shift must be f32[8], found f32[height]"),
            (
                "no pixels",
                instance(),
                vec![f32_fact(["batch", "8"]), f32_fact(["8"]), f32_fact(["8"])],
                "the operand must be of rank 3 or more, found f32[batch, 8]",
            ),
        ]);
    }
}
