//! Folds `BatchNormalization` into the unpadded `Conv` that reads it.
//!
//! With the normalisation as `s*x + t` per channel, `W*(s*x + t) + b` is again a convolution: `W' =
//! W*s` per input channel and `b' = b + sum of W*t` over all weights of an output channel. Every
//! tap must see `t`. So it holds for any kernel size, stride, dilation and grouping, but not if
//! taps reach into zero padding. A `Pad` in between that mirrors or repeats pixels is allowed: it
//! does to `s*x + t` what it does to `x`. It then pads other values, so it gets another name.
//!
//! Refuses if the convolution is padded, if the normalisation's output, the weight or the bias has
//! another reader, or if a parameter is not constant.

use super::affine::Affine;
use super::conv_parameters::ConvParameters;
use crate::graph::{Graph, Index, Op, PadMode};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Fold::at, Fold::apply)
}

struct Fold {
    norm: usize,
    pad: Option<usize>,
    conv: usize,
    parameters: ConvParameters,
}

impl Fold {
    fn at(graph: &Graph, index: &Index<'_>, norm: usize) -> Option<Self> {
        let affine = Affine::from_batch_norm(graph, &graph.nodes[norm])?;
        let pad = index.sole_reader(&graph.nodes[norm].name).filter(|&reader| repeats_pixels(graph, norm, reader));
        let image = &graph.nodes[pad.unwrap_or(norm)].name;
        let conv = index.sole_reader(image)?;
        let (mut parameters, attributes) = ConvParameters::from_conv(graph, index, conv)?;
        let reads_it_as_image = graph.nodes[conv].inputs.first() == Some(image);
        if attributes.pads != [0; 4] || !reads_it_as_image {
            return None;
        }
        let kernel_len = parameters.kernel_len();
        let filters_per_group = parameters.bias.len() / attributes.group;
        let mut bias_gains = Vec::with_capacity(parameters.bias.len());
        for (o, filter) in parameters.filters().enumerate() {
            let first = o / filters_per_group * (filter.len() / kernel_len);
            let channels = affine.scale.iter().zip(&affine.shift).skip(first);
            let mut gain = 0.0;
            for (kernel, (scale, shift)) in filter.chunks_exact_mut(kernel_len).zip(channels) {
                for weight in kernel {
                    gain += *weight * shift;
                    *weight *= scale;
                }
            }
            bias_gains.push(gain);
        }
        parameters.bias.iter_mut().zip(bias_gains).for_each(|(bias, gain)| *bias += gain);
        Some(Self { norm, pad, conv, parameters })
    }

    fn apply(self, graph: &mut Graph) -> String {
        self.parameters.store(graph);
        let mut x = graph.nodes[self.norm].inputs[0].clone();
        if let Some(pad) = self.pad {
            let name = graph.unused_name(&format!("{}.raw", graph.nodes[pad].name));
            graph.nodes[pad].inputs[0] = x;
            graph.nodes[pad].name.clone_from(&name);
            x = name;
        }
        graph.nodes[self.conv].inputs[0] = x;
        graph.nodes.remove(self.norm).name
    }
}

/// Returns true if a reader of a normalisation pads its image, along height and width only, with
/// pixels of the image itself.
fn repeats_pixels(graph: &Graph, norm: usize, reader: usize) -> bool {
    let (norm, pad) = (&graph.nodes[norm], &graph.nodes[reader]);
    matches!(pad.op, Op::Pad { mode: PadMode::Reflect | PadMode::Edge })
        && pad.inputs.first() == Some(&norm.name)
        && pad.output.shape.get(..2) == norm.output.shape.get(..2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Conv, Dim, GraphBuilder, Input};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// Builds `image` `[batch, 4, height, width]`, normalised, and a convolution with kernel `[2,
    /// 3]` of six channels.
    fn network(conv: Conv, has_bias: bool) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let x = root.batch_norm("norm", image, random.batch_norm(4)).unwrap();
        let weight = random.tensor([6, 4 / conv.group, 2, 3]);
        let bias = has_bias.then(|| random.tensor([6]));
        let x = root.conv("conv", x, weight, bias, conv).unwrap();
        let y = root.relu("relu", x).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_on_every_unpadded_conv_and_the_outputs_agree() {
        for (name, conv, has_bias) in [
            ("plain", Conv::default(), false),
            ("with a bias", Conv::default(), true),
            ("of two groups", Conv { group: 2, ..Conv::default() }, true),
            ("with strides", Conv { strides: [2, 3], ..Conv::default() }, true),
            ("with dilations", Conv { dilations: [3, 1], ..Conv::default() }, false),
        ] {
            let before = network(conv, has_bias);
            let mut after = before.clone();
            assert_eq!(run(&mut after), ["norm"], "{name}");
            after.check().unwrap();
            assert_agree(&before, &after);
        }
    }

    #[test]
    fn the_conv_reads_what_the_norm_read() {
        let mut graph = network(Conv::default(), false);
        run(&mut graph);
        let lines: Vec<_> = graph.to_string().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "graph network",
                "input image: f32[batch, 4, height, width]",
                "const conv.weight: f32[6, 4, 2, 3]",
                &format!("const conv.bias: {}", graph.initializers["conv.bias"]),
                "conv: f32[batch, 6, height - 1, width - 2] = Conv(image, conv.weight, conv.bias) \
                 strides=[1, 1] pads=[0, 0, 0, 0] dilations=[1, 1] group=1",
                "y: f32[batch, 6, height - 1, width - 2] = Relu(conv)",
                "output y",
            ]
        );
    }

    /// Builds a normalised image, padded, and a convolution.
    fn padded_network(pads: [u32; 4], mode: PadMode) -> Graph {
        let mut random = Random(4);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let x = root.batch_norm("norm", image, random.batch_norm(4)).unwrap();
        let x = root.pad("pad", x, pads, mode).unwrap();
        let x = root.conv("conv", x, random.tensor([6, 4, 3, 3]), None, Conv::default()).unwrap();
        let y = root.relu("relu", x).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_through_padding_by_the_images_own_pixels_only() {
        for (name, mode, fired) in
            [("mirrored", PadMode::Reflect, 1), ("repeated", PadMode::Edge, 1), ("zeros", PadMode::Constant, 0)]
        {
            let before = padded_network([1, 0, 2, 1], mode);
            let mut after = before.clone();
            assert_eq!(run(&mut after).len(), fired, "{name}");
            after.check().unwrap();
            assert_agree(&before, &after);
            assert_eq!(after.nodes[0].name == "pad.raw", fired == 1, "{name}: other values have another name");
        }
    }

    #[test]
    fn refuses_where_the_conv_is_padded_or_the_norm_is_seen_by_others() {
        type Change = fn(&mut Graph);
        fn share(graph: &mut Graph, node: usize) {
            let mut twin = graph.nodes[node].clone();
            twin.name = "twin".to_owned();
            graph.outputs.push("twin".to_owned());
            graph.nodes.push(twin);
        }
        let padded = |pads| Conv { pads, ..Conv::default() };
        let rows: [(&str, Conv, Change); 6] = [
            ("padded at the top", padded([1, 0, 0, 0]), |_| ()),
            ("padded at the right", padded([0, 0, 0, 1]), |_| ()),
            ("the norm is an output", Conv::default(), |graph| graph.outputs.push("norm".to_owned())),
            ("the norm and the weight have another reader", Conv::default(), |graph| share(graph, 1)),
            ("the weight has another reader", Conv::default(), |graph| {
                share(graph, 1);
                graph.nodes[3].inputs[0] = "image".to_owned();
            }),
            ("a statistic is not constant", Conv::default(), |graph| {
                let mean = graph.initializers.remove("norm.running_mean").unwrap().tensor_type().unwrap();
                graph.inputs.push(Input { name: "norm.running_mean".to_owned(), tensor_type: mean });
            }),
        ];
        for (name, conv, change) in rows {
            let mut before = network(conv, true);
            change(&mut before);
            assert_refused(name, &before, run);
        }
    }
}
