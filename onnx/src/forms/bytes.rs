//! A graph that takes the bytes of images as they are read, and normalises them itself.
//!
//! `[n, h, w, c]` in u8 becomes `[n, c, h, w]` in f32, and `(x/255 - mean)/std` is a batch
//! normalisation with the mean `255*mean`, the variance `(255*std)^2`, the factor 1 and the shift
//! 0, which the passes fold into the first convolution. The cast comes first because TensorRT takes
//! bytes nowhere but at its input.

use seg_contract::Input;

use super::{FormError, image_input};
use crate::graph::{DataType, Graph, Node, Op, Tensor, TensorType};

/// The largest byte, which stands for 1 in an image in [0, 1].
const WHITE: f64 = 255.0;

/// Applies a function to each value, in 64 bits.
fn scaled(values: &[f32], scale: fn(f64) -> f64) -> Tensor {
    Tensor::vector(values.iter().map(|&value| scale(f64::from(value)) as f32).collect::<Vec<_>>())
}

pub(super) fn take_bytes(graph: &mut Graph, input: &Input) -> Result<(), FormError> {
    let tensor_type = image_input(graph, &input.name)?;
    let [batch, channels, height, width] = &tensor_type.shape[..] else { unreachable!("an image has four axes") };
    let bytes = TensorType::new(DataType::U8, [batch.clone(), height.clone(), width.clone(), channels.clone()]);
    let name = |part: &str| graph.unused_name(&format!("{}.{part}", input.name));
    let [float, planes, normalized] = ["float", "planes", "normalized"].map(name);
    let constant = |part: &str| graph.unused_name(&format!("{normalized}.{part}"));
    let [factor, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map(constant);

    let operands = [&planes, &factor, &shift, &mean, &variance].map(String::clone).to_vec();
    for (name, tensor) in [
        (factor, scaled(&input.std, |_| 1.0)),
        (shift, scaled(&input.std, |_| 0.0)),
        (mean, scaled(&input.mean, |mean| WHITE * mean)),
        (variance, scaled(&input.std, |std| (WHITE * std).powi(2))),
    ] {
        graph.initializers.insert(name, tensor);
    }
    for node in &mut graph.nodes {
        for operand in node.inputs.iter_mut().filter(|operand| **operand == input.name) {
            operand.clone_from(&normalized);
        }
    }
    let node = |name: String, op, inputs| Node { name, op, inputs, output: bytes.clone() };
    let added = [
        node(float.clone(), Op::Cast { to: DataType::F32 }, vec![input.name.clone()]),
        node(planes, Op::Transpose { perm: vec![0, 3, 1, 2] }, vec![float]),
        node(normalized, Op::BatchNormalization { epsilon: 0.0 }, operands),
    ];
    graph.nodes.splice(..0, added);
    graph.inputs[0].tensor_type = bytes;
    Ok(graph.infer_outputs()?)
}

#[cfg(test)]
mod tests {
    use seg_contract::example::contract;

    use super::*;
    use crate::graph::example;
    use crate::{Opset, Target, passes};

    #[test]
    fn the_first_convolution_takes_the_normalisation_through_the_mirrored_border() {
        let mut graph = example::encoder_decoder();
        take_bytes(&mut graph, &contract().input).unwrap();
        passes::run(&mut graph, Opset::V20, Target::Portable).unwrap();
        let lines: Vec<_> = graph.to_string().lines().take(6).map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "graph example",
                "input input: u8[batch, height, width, 3]",
                "input.float: f32[batch, height, width, 3] = Cast(input) to=1",
                "input.planes: f32[batch, 3, height, width] = Transpose(input.float) perm=[0, 3, 1, 2]",
                "const in_conv.reflect.pads: i64[8] = [0, 0, 1, 1, 0, 0, 1, 1]",
                "in_conv.reflect.raw: f32[batch, 3, height + 2, width + 2] = Pad(input.planes, in_conv.reflect.pads) \
                 mode=reflect",
            ]
        );
    }
}
