//! Composes a 1x1 `Conv` with the `Conv` that reads it, if one needs fewer multiplications than
//! two.
//!
//! `V*(W*x + b) + c` is again a convolution: `U = V*W`, summed over the channels between them, and
//! the bias is `c + sum of V*b` over all weights of an output channel. A bias `b` must reach every
//! tap, so it must not meet padding.
//!
//! Refuses if the second convolution is padded and the first has a bias, if either has groups, if
//! the first is larger than 1x1 or strided or read by others, or if multiplications would increase,
//! as for a bottleneck.

use super::conv_parameters::{ConvParameters, add_conv};
use crate::graph::{Conv, Graph, Index};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Composition::at, Composition::apply)
}

struct Composition {
    first: usize,
    second: usize,
    shape: [usize; 4],
    weight: Vec<f64>,
    bias: Vec<f64>,
    attributes: Conv,
}

impl Composition {
    fn at(graph: &Graph, index: &Index<'_>, first: usize) -> Option<Self> {
        let (inner, inner_attributes) = ConvParameters::from_conv(graph, index, first)?;
        let second = index.sole_reader(&graph.nodes[first].name)?;
        let (outer, attributes) = ConvParameters::from_conv(graph, index, second)?;
        let ([between, channels, 1, 1], [filters, _, height, width]) = (inner.shape(), outer.shape()) else {
            return None;
        };
        let reads_it_as_image = graph.nodes[second].inputs.first() == Some(&graph.nodes[first].name);
        let bias_meets_padding = attributes.pads != [0; 4] && inner.bias.iter().any(|bias| *bias != 0.0);
        let area = height * width;
        // The multiplications for each pixel of the second convolution, which stands for as many of
        // the first as the stride is large.
        let [before, after] = {
            let pixels = attributes.strides[0] * attributes.strides[1];
            [between * channels * pixels + filters * between * area, filters * channels * area]
        };
        let fits = inner_attributes == Conv::default() && attributes.group == 1;
        if !fits || !reads_it_as_image || bias_meets_padding || after >= before {
            return None;
        }
        let mut weight = vec![0.0; filters * channels * area];
        let mut bias = outer.bias.clone();
        for (filter, kernels) in outer.weights().chunks_exact(between * area).enumerate() {
            let composed = &mut weight[filter * channels * area..][..channels * area];
            for (kernel, row) in kernels.chunks_exact(area).zip(inner.weights().chunks_exact(channels)) {
                for (composed, inner) in composed.chunks_exact_mut(area).zip(row) {
                    composed.iter_mut().zip(kernel).for_each(|(composed, outer)| *composed += outer * inner);
                }
            }
            let taps = kernels.chunks_exact(area).map(|kernel| kernel.iter().sum::<f64>());
            bias[filter] += taps.zip(&inner.bias).map(|(taps, inner)| taps * inner).sum::<f64>();
        }
        Some(Self { first, second, shape: [filters, channels, height, width], weight, bias, attributes })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let [first, second] = [self.first, self.second].map(|node| graph.nodes[node].clone());
        let has_bias = first.inputs.len().max(second.inputs.len()) > 2;
        for node in [&first, &second] {
            graph.take_node(&node.name);
        }
        // The constants keep the names that show their origin.
        graph.initializers.retain(|name, _| !second.inputs[1..].contains(name));
        let bias = has_bias.then_some(self.bias);
        add_conv(graph, &second.name, &first.inputs[0], (self.shape, self.weight), bias, self.attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Dim, GraphBuilder};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// Builds two convolutions of `[channels, between, filters]`, the second with the given kernel.
    fn network(widths: [usize; 3], kernel: [usize; 2], biases: [bool; 2], conv: Conv, first: Conv) -> Graph {
        let [channels, between, filters] = widths;
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let shape = [Dim::batch(), Dim::try_from(channels).unwrap(), Dim::height(), Dim::width()];
        let image = builder.input("image", shape).unwrap();
        let mut root = builder.root();
        let weight = random.tensor([between, channels, 1, 1]);
        let x = root.conv("first", image, weight, biases[0].then(|| random.tensor([between])), first).unwrap();
        let weight = random.tensor([filters, between / conv.group, kernel[0], kernel[1]]);
        let x = root.conv("second", x, weight, biases[1].then(|| random.tensor([filters])), conv).unwrap();
        let y = root.relu("relu", x).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_where_it_saves_and_the_outputs_agree() {
        let padded = Conv { pads: [1, 0, 0, 1], ..Conv::default() };
        for (name, widths, kernel, biases, conv) in [
            ("to more channels", [4, 4, 16], [1, 1], [true, true], Conv::default()),
            ("without biases", [4, 4, 16], [1, 1], [false, false], Conv::default()),
            ("the first has a bias", [4, 4, 5], [1, 1], [true, false], Conv::default()),
            ("wide between", [4, 9, 5], [1, 1], [false, true], Conv::default()),
            ("unpadded 2x3", [4, 4, 4], [2, 3], [true, true], Conv::default()),
            ("padded without a bias in front", [4, 4, 4], [2, 2], [false, true], padded),
        ] {
            let before = network(widths, kernel, biases, conv, Conv::default());
            let mut after = before.clone();
            assert_eq!(run(&mut after), ["second"], "{name}");
            after.check().unwrap();
            assert_eq!(after.nodes.len(), 2, "{name}");
            assert_agree(&before, &after);
        }
    }

    #[test]
    fn one_convolution_is_left() {
        let mut graph = network([2, 2, 8], [1, 1], [true, true], Conv::default(), Conv::default());
        run(&mut graph);
        let lines: Vec<_> = graph.to_string().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "graph network",
                "input image: f32[batch, 2, height, width]",
                "const second.weight: f32[8, 2, 1, 1]",
                &format!("const second.bias: {}", graph.initializers["second.bias"]),
                "second: f32[batch, 8, height, width] = Conv(image, second.weight, second.bias) \
                 strides=[1, 1] pads=[0, 0, 0, 0] dilations=[1, 1] group=1",
                "y: f32[batch, 8, height, width] = Relu(second)",
                "output y",
            ]
        );
    }

    #[test]
    fn refuses_bottlenecks_and_biases_at_a_border() {
        let plain = Conv::default;
        let mut seen = network([4, 4, 16], [1, 1], [true; 2], plain(), plain());
        seen.outputs.push("first".into());
        for (name, before) in [
            ("a bottleneck", network([8, 2, 8], [1, 1], [true; 2], plain(), plain())),
            (
                "a bias that meets padding",
                network([4, 4, 4], [3, 3], [true; 2], Conv { pads: [1; 4], ..plain() }, plain()),
            ),
            ("groups", network([4, 4, 16], [1, 1], [true; 2], Conv { group: 2, ..plain() }, plain())),
            ("a stride in front", network([4, 4, 16], [1, 1], [true; 2], plain(), Conv { strides: [2, 2], ..plain() })),
            ("the first is an output", seen),
        ] {
            assert_refused(name, &before, run);
        }
    }
}
