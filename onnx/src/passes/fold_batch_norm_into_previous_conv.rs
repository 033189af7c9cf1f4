//! Folds `BatchNormalization` into the `Conv` before it.
//!
//! With the normalisation as `s*y + t` per channel, `s*(W*x + b) + t` is again a convolution: `W' =
//! s*W` per output channel and `b' = s*b + t`. It takes the normalisation's name, because it
//! computes the normalisation's values.
//!
//! Refuses if the convolution's output, weight or bias has another reader, or if a parameter is not
//! constant.

use super::affine::Affine;
use super::conv_parameters::ConvParameters;
use crate::graph::{Graph, Index};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Fold::at, Fold::apply)
}

struct Fold {
    conv: usize,
    norm: usize,
    parameters: ConvParameters,
}

impl Fold {
    fn at(graph: &Graph, index: &Index<'_>, norm: usize) -> Option<Self> {
        let affine = Affine::from_batch_norm(graph, &graph.nodes[norm])?;
        let x = graph.nodes[norm].inputs.first()?;
        let conv = index.producer(x).filter(|_| index.sole_reader(x) == Some(norm))?;
        let (mut parameters, _) = ConvParameters::from_conv(graph, index, conv)?;
        for (filter, scale) in parameters.filters().zip(&affine.scale) {
            filter.iter_mut().for_each(|weight| *weight *= scale);
        }
        for ((bias, scale), shift) in parameters.bias.iter_mut().zip(&affine.scale).zip(&affine.shift) {
            *bias = scale * *bias + shift;
        }
        Some(Self { conv, norm, parameters })
    }

    fn apply(self, graph: &mut Graph) -> String {
        self.parameters.store(graph);
        let norm = graph.nodes.remove(self.norm);
        graph.nodes[self.conv].name.clone_from(&norm.name);
        graph.nodes[self.conv].output = norm.output;
        norm.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{BuildError, Conv, Dim, GraphBuilder, Scope, Tensor, Value};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// Builds `image` `[batch, 4, height, width]`, a padded convolution of two groups, and the
    /// value that `rest` makes of it.
    fn network(
        bias: Option<Tensor>,
        rest: impl Fn(&mut Scope<'_>, Value, &mut Random) -> Result<Value, BuildError>,
    ) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let conv = Conv { pads: [1, 0, 1, 2], strides: [1, 2], group: 2, ..Conv::default() };
        let x = root.conv("conv", image, random.tensor([6, 2, 3, 3]), bias, conv).unwrap();
        let y = rest(&mut root, x, &mut random).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    fn followed_by_norm(bias: Option<Tensor>) -> Graph {
        network(bias, |root, x, random| {
            let x = root.batch_norm("norm", x, random.batch_norm(6))?;
            root.relu("relu", x)
        })
    }

    #[test]
    fn fires_on_a_conv_with_and_without_a_bias_and_the_outputs_agree() {
        for (name, bias) in [("without", None), ("with", Some(Random(5).tensor([6])))] {
            let before = followed_by_norm(bias);
            let mut after = before.clone();
            assert_eq!(run(&mut after), ["norm"], "{name} a bias");
            after.check().unwrap();
            assert_agree(&before, &after);
        }
    }

    #[test]
    fn the_conv_takes_the_name_of_the_norm_and_keeps_its_constants() {
        let mut graph = followed_by_norm(None);
        run(&mut graph);
        let lines: Vec<_> = graph.to_string().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "graph network",
                "input image: f32[batch, 4, height, width]",
                "const conv.weight: f32[6, 2, 3, 3]",
                &format!("const conv.bias: {}", graph.initializers["conv.bias"]),
                "norm: f32[batch, 6, height, floor((width + 1)/2)] = Conv(image, conv.weight, conv.bias) \
                 strides=[1, 2] pads=[1, 0, 1, 2] dilations=[1, 1] group=2",
                "y: f32[batch, 6, height, floor((width + 1)/2)] = Relu(norm)",
                "output y",
            ]
        );
    }

    #[test]
    fn refuses_where_the_conv_is_seen_by_others_or_a_parameter_is_not_fit() {
        for (name, before) in [
            (
                "the conv's output has another reader",
                network(None, |root, x, random| {
                    let normed = root.batch_norm("norm", x, random.batch_norm(6))?;
                    root.add("sum", x, normed)
                }),
            ),
            (
                "something lies between",
                network(None, |root, x, random| {
                    let x = root.relu("relu", x)?;
                    root.batch_norm("norm", x, random.batch_norm(6))
                }),
            ),
            (
                "the variance is negative",
                network(None, |root, x, random| {
                    let mut norm = random.batch_norm(6);
                    norm.running_var = Tensor::vector(vec![-1.0; 6]);
                    root.batch_norm("norm", x, norm)
                }),
            ),
            ("the weight has another reader", with_shared_weight()),
            ("the conv's output is an output of the graph", {
                let mut graph = followed_by_norm(None);
                graph.outputs.push("conv".to_owned());
                graph
            }),
        ] {
            assert_refused(name, &before, run);
        }
    }

    fn with_shared_weight() -> Graph {
        let mut graph = followed_by_norm(None);
        let mut twin = graph.nodes[0].clone();
        twin.name = "twin".to_owned();
        graph.nodes.push(twin);
        graph.outputs.push("twin".to_owned());
        graph
    }
}
