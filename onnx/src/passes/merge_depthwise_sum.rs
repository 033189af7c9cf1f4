//! Merges a sum of depthwise convolutions of one map into one convolution.
//!
//! Consecutive convolutions are one whose kernel is the convolution of theirs, and a sum of
//! convolutions of one map is one whose kernel is their sum; the map itself is a kernel of one tap.
//! At the border a chain of two is different: the values that the first computes outside of the
//! image are replaced by zeros before the second reads them. Outside, a `1 x k` kernel sees nothing
//! but zeros beyond the reach of a `k x 1` kernel, so without biases the two are the same. But the
//! first one's bias `b` reaches the second, `V`, only where `V`'s taps are inside, as `b * V(1)`,
//! with `V(1)` the convolution of ones surrounded by zeros. So the convolution gets a second map
//! per channel, all ones, with the kernel `sum of b*V`: exact for every size, and without a node
//! that depends on the size. The ones come from the depthwise convolution `A` that computes the
//! map, as an output channel with zero weights and a bias of one. The map that `A` reads comes from
//! it in the same way, if it is a term too.
//!
//! The merged convolution cannot be split into two, along rows and along columns: each chain is a
//! product of its own two directions, and a sum of such products is not a product.
//!
//! Refuses unless at least two chains can be merged. Also refuses if the map does not come from a
//! depthwise convolution of its own or has other readers, and a chain that is longer than two,
//! strided or dilated, changes the size, or has two kernels that both extend along an axis.

use std::collections::BTreeMap;

use super::conv_parameters::{ConvParameters, add_conv};
use crate::graph::{Conv, Graph, Index, Op};

/// The weights of one channel by their distance in rows and columns from the output pixel.
type Taps = BTreeMap<[i64; 2], Vec<f64>>;

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Merge::at, Merge::apply)
}

/// A depthwise convolution that keeps the size.
struct Depthwise {
    input: String,
    taps: Taps,
    bias: Vec<f64>,
}

impl Depthwise {
    fn from_conv(graph: &Graph, index: &Index<'_>, node: usize) -> Option<Self> {
        let (parameters, conv) = ConvParameters::from_conv(graph, index, node)?;
        let [channels, 1, height, width] = parameters.shape() else { return None };
        let input = graph.nodes[node].inputs[0].clone();
        let keeps_type = *graph.tensor_type(&input)? == graph.nodes[node].output;
        if conv.group != channels || conv.strides != [1, 1] || !keeps_type {
            return None;
        }
        let distance = |tap: usize, axis: usize| (tap * conv.dilations[axis]) as i64 - conv.pads[axis] as i64;
        let mut taps = Taps::new();
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
            let values = (0..channels).map(|c| parameters.weights()[(c * height + row) * width + column]);
            taps.insert([distance(row, 0), distance(column, 1)], values.collect());
        }
        Some(Self { input, taps, bias: parameters.bias })
    }

    fn extends_along(&self, axis: usize) -> bool {
        self.taps.keys().any(|distance| distance[axis] != 0)
    }
}

/// The kernels that the merged convolution applies to the map, to the map before it and to ones.
#[derive(Default)]
struct Kernels {
    map: Taps,
    before: Taps,
    ones: Taps,
    bias: Vec<f64>,
}

impl Kernels {
    fn add(taps: &mut Taps, at: [i64; 2], values: impl Iterator<Item = f64>) {
        let sum = taps.entry(at).or_default();
        for (place, value) in values.enumerate() {
            match sum.get_mut(place) {
                Some(sum) => *sum += value,
                None => sum.push(value),
            }
        }
    }

    /// Adds the chain of depthwise convolutions, the last one first.
    fn add_chain(&mut self, chain: &[Depthwise]) -> Option<()> {
        match chain {
            [only] => {
                only.taps.iter().for_each(|(&at, values)| Self::add(&mut self.map, at, values.iter().copied()));
                self.add_bias(&only.bias);
            }
            [second, first] => {
                if (0..2).any(|axis| first.extends_along(axis) && second.extends_along(axis)) {
                    return None;
                }
                for (outer, weights) in &second.taps {
                    for (inner, others) in &first.taps {
                        let at = [outer[0] + inner[0], outer[1] + inner[1]];
                        Self::add(&mut self.map, at, weights.iter().zip(others).map(|(a, b)| a * b));
                    }
                    if first.bias.iter().any(|bias| *bias != 0.0) {
                        Self::add(&mut self.ones, *outer, weights.iter().zip(&first.bias).map(|(a, b)| a * b));
                    }
                }
                self.add_bias(&second.bias);
            }
            _ => return None,
        }
        Some(())
    }

    fn add_bias(&mut self, bias: &[f64]) {
        self.bias.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
    }
}

struct Merge {
    sum: String,
    source: usize,
    kernels: Kernels,
    /// The terms that remain.
    rest: Vec<String>,
}

impl Merge {
    fn at(graph: &Graph, index: &Index<'_>, node: usize) -> Option<Self> {
        let sum = &graph.nodes[node];
        let is_sum = |value: &str| index.producer(value).is_some_and(|node| graph.nodes[node].op == Op::Add);
        let reader = index.sole_reader(&sum.name);
        if sum.op != Op::Add || reader.is_some_and(|reader| graph.nodes[reader].op == Op::Add) {
            return None;
        }
        let (mut open, mut terms) = (vec![sum.name.clone()], Vec::new());
        while let Some(value) = open.pop() {
            let goes_in = value == sum.name || index.sole_reader(&value).is_some();
            match index.producer(&value).filter(|_| goes_in && is_sum(&value)) {
                Some(inner) => open.extend(graph.nodes[inner].inputs.iter().rev().cloned()),
                None => terms.push(value),
            }
        }
        if terms.iter().any(|term| graph.tensor_type(term) != Some(&sum.output)) {
            return None;
        }
        // Each term may be a chain over its operand, over that one's operand, and so on. The source
        // is where most chains begin, the nearest of several.
        let sources = graph.nodes.iter().enumerate().rev().filter(|(_, node)| index.readers(&node.name).len() > 1);
        let (source, chains) = sources
            .map(|(place, node)| {
                let chains = terms.iter().map(|term| chain(graph, index, term, &node.name).filter(|c| c.len() < 3));
                (place, chains.collect::<Vec<_>>())
            })
            .find(|(_, chains)| chains.iter().flatten().filter(|chain| !chain.is_empty()).count() >= 2)?;
        let before = Depthwise::from_conv(graph, index, source)?;
        let value = &graph.nodes[source].name;
        let channels = before.bias.len();
        let mut kernels = Kernels { bias: vec![0.0; channels], ..Kernels::default() };
        let (mut rest, mut reads) = (Vec::new(), 0);
        for (term, chain) in terms.iter().zip(&chains) {
            let ones = || std::iter::repeat_n(1.0, channels);
            match chain.as_deref() {
                Some([]) => Kernels::add(&mut kernels.map, [0, 0], ones()),
                Some(chain) => kernels.add_chain(chain)?,
                None if *term == before.input && before.taps.contains_key(&[0, 0]) => {
                    Kernels::add(&mut kernels.before, [0, 0], ones());
                    continue;
                }
                None => {
                    rest.push(term.clone());
                    continue;
                }
            }
            reads += 1;
        }
        let seen_elsewhere = graph.outputs.contains(value) || index.readers(value).len() != reads;
        (!seen_elsewhere).then(|| Self { sum: sum.name.clone(), source, kernels, rest })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let Self { sum, source, kernels: Kernels { map, before, ones, bias }, rest } = self;
        let channels = bias.len();
        let planes: Vec<&Taps> = [&map, &before, &ones].into_iter().filter(|taps| !taps.is_empty()).collect();
        let read = if planes.len() == 1 {
            graph.nodes[source].name.clone()
        } else {
            widen(graph, source, !before.is_empty(), !ones.is_empty())
        };
        let [top, left, bottom, right] = [(0, -1), (1, -1), (0, 1), (1, 1)].map(|(axis, sign)| {
            let distances = planes.iter().flat_map(|taps| taps.keys()).map(|distance| sign * distance[axis]);
            distances.max().unwrap_or(0).max(0)
        });
        let [height, width] = [top + bottom + 1, left + right + 1];
        let mut weight = Vec::with_capacity(channels * planes.len() * (height * width) as usize);
        for channel in 0..channels {
            for taps in &planes {
                for at in (0..height).flat_map(|row| (0..width).map(move |column| [row - top, column - left])) {
                    weight.push(taps.get(&at).map_or(0.0, |values| values[channel]));
                }
            }
        }
        let shape = [channels, planes.len(), height as usize, width as usize];
        let conv =
            Conv { pads: [top, left, bottom, right].map(|pad| pad as usize), group: channels, ..Conv::default() };
        graph.take_node(&sum);
        let name = if rest.is_empty() { sum.clone() } else { format!("{sum}.merged") };
        let mut result = add_conv(graph, &name, &read, (shape, weight), Some(bias), conv);
        for (place, term) in rest.iter().enumerate() {
            let name = if place + 1 == rest.len() { sum.clone() } else { format!("{sum}.{}", place + 1) };
            result = graph.add_node(&name, Op::Add, &[&result, term]);
        }
        sum
    }
}

/// Returns the depthwise convolutions from `source` to `term`, the last one first; empty if both
/// are one value.
fn chain(graph: &Graph, index: &Index<'_>, term: &str, source: &str) -> Option<Vec<Depthwise>> {
    let (mut chain, mut value) = (Vec::new(), term.to_owned());
    while value != source {
        let depthwise = Depthwise::from_conv(graph, index, index.producer(&value)?)?;
        index.sole_reader(&value)?;
        value.clone_from(&depthwise.input);
        chain.push(depthwise);
    }
    Some(chain)
}

/// Gives each channel of a depthwise convolution more outputs, one after another: its result, its
/// operand, ones.
fn widen(graph: &mut Graph, source: usize, with_input: bool, with_ones: bool) -> String {
    let index = graph.index();
    let (parameters, conv) = ConvParameters::from_conv(graph, &index, source).expect("the source was read before");
    let [channels, _, height, width] = parameters.shape();
    let name = format!("{}.planes", graph.nodes[source].name);
    let input = graph.nodes[source].inputs[0].clone();
    let (mut weight, mut bias) = (Vec::new(), Vec::new());
    let is_center = |[row, column]: [usize; 2]| [row * conv.dilations[0], column * conv.dilations[1]] == conv.pads[..2];
    for (channel, kernel) in parameters.weights().chunks_exact(height * width).enumerate() {
        weight.extend_from_slice(kernel);
        bias.push(parameters.bias[channel]);
        if with_input {
            let taps = (0..height).flat_map(|row| (0..width).map(move |column| [row, column]));
            weight.extend(taps.map(|tap| f64::from(u8::from(is_center(tap)))));
            bias.push(0.0);
        }
        if with_ones {
            weight.extend(std::iter::repeat_n(0.0, height * width));
            bias.push(1.0);
        }
    }
    let shape = [bias.len(), 1, height, width];
    add_conv(graph, &name, &input, (shape, weight), Some(bias), Conv { group: channels, ..conv })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Dim, GraphBuilder, Scope, Value};
    use crate::passes::agreement::{assert_agree, assert_refused};

    const CHANNELS: usize = 3;

    struct Block<'b> {
        root: Scope<'b>,
        random: Random,
    }

    impl Block<'_> {
        fn depthwise(&mut self, name: &str, x: Value, kernel: [usize; 2], dilation: usize) -> Value {
            let [height, width] = kernel.map(|len| (len - 1) * dilation / 2);
            let conv = Conv {
                pads: [height, width, height, width],
                dilations: [dilation; 2],
                group: CHANNELS,
                ..Conv::default()
            };
            let weight = self.random.tensor([CHANNELS, 1, kernel[0], kernel[1]]);
            let bias = self.random.tensor([CHANNELS]);
            self.root.conv(name, x, weight, Some(bias), conv).unwrap()
        }

        fn strip(&mut self, name: &str, x: Value, len: usize) -> Value {
            let horizontal = self.depthwise(&format!("{name}.horizontal"), x, [1, len], 1);
            self.depthwise(&format!("{name}.vertical"), horizontal, [len, 1], 1)
        }

        fn sum(&mut self, terms: &[Value]) -> Value {
            let mut terms = terms.iter().copied().enumerate();
            let (_, first) = terms.next().unwrap();
            terms.fold(first, |sum, (place, term)| self.root.add(&format!("sum{place}"), sum, term).unwrap())
        }
    }

    /// Builds the value that `sum` makes of the image, a depthwise convolution of it, and a dilated
    /// one of that.
    fn network(sum: impl FnOnce(&mut Block<'_>, [Value; 3]) -> Value) -> Graph {
        let mut builder = GraphBuilder::new("network");
        let shape = [Dim::batch(), Dim::try_from(CHANNELS).unwrap(), Dim::height(), Dim::width()];
        let image = builder.input("image", shape).unwrap();
        let mut block = Block { root: builder.root(), random: Random(5) };
        let local = block.depthwise("local", image, [3, 3], 1);
        let atrous = block.depthwise("atrous", local, [3, 3], 2);
        let x = sum(&mut block, [image, local, atrous]);
        let y = block.root.relu("relu", x).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    fn strips(block: &mut Block<'_>, [_, local, atrous]: [Value; 3]) -> Value {
        let terms = [local, atrous, block.strip("strip3", atrous, 3), block.strip("strip5", atrous, 5)];
        block.sum(&terms)
    }

    #[test]
    fn fires_on_sums_of_chains_and_the_outputs_agree() {
        type Sum = fn(&mut Block<'_>, [Value; 3]) -> Value;
        let rows: [(&str, Sum, usize); 4] = [
            ("strips, the map and the map before", strips, 4),
            (
                "another term",
                |b, [image, local, atrous]| {
                    let terms = [image, b.strip("strip3", atrous, 3), local, b.depthwise("single", atrous, [3, 3], 1)];
                    b.sum(&terms)
                },
                5,
            ),
            (
                "kernels without an inner bias",
                |b, [_, _, atrous]| {
                    let terms = [b.depthwise("a", atrous, [3, 1], 1), b.depthwise("b", atrous, [1, 5], 1), atrous];
                    b.sum(&terms)
                },
                4,
            ),
            (
                "a dilated kernel",
                |b, [_, local, atrous]| {
                    let terms = [b.depthwise("a", atrous, [3, 3], 2), b.strip("strip7", atrous, 7), local];
                    b.sum(&terms)
                },
                4,
            ),
        ];
        for (name, sum, nodes) in rows {
            let before = network(sum);
            let mut after = before.clone();
            assert_eq!(run(&mut after).len(), 1, "{name}");
            after.check().unwrap();
            assert_eq!(after.nodes.len(), nodes, "{name}: {after}");
            assert_agree(&before, &after);
        }
    }

    #[test]
    fn one_map_of_ones_carries_the_inner_biases() {
        let mut graph = network(strips);
        run(&mut graph);
        let nodes: Vec<_> = graph.nodes.iter().map(|node| (node.name.as_str(), node.output.to_string())).collect();
        let image = "f32[batch, 3, height, width]";
        let wide = "f32[batch, 9, height, width]";
        let expected = [("local", image), ("atrous.planes", wide), ("sum3", image), ("y", image)];
        assert_eq!(nodes, expected.map(|(name, tensor_type)| (name, tensor_type.to_owned())));
        assert_eq!(graph.initializers["sum3.weight"].shape(), [3, 3, 5, 5]);
    }

    /// Builds a graph that has a value among its outputs.
    fn seen(value: &str) -> Graph {
        let mut graph = network(strips);
        graph.outputs.push(value.into());
        graph
    }

    #[test]
    fn refuses_what_a_border_would_change_or_others_read() {
        let mut computed = network(strips);
        let bias = computed.initializers.remove("strip5.vertical.bias").unwrap();
        computed.inputs.push(crate::graph::Input {
            name: "strip5.vertical.bias".into(),
            tensor_type: bias.tensor_type().unwrap(),
        });
        for (name, before) in [
            (
                "two kernels in a row that both extend",
                network(|b, [_, local, atrous]| {
                    let first = b.depthwise("first", atrous, [3, 3], 1);
                    let terms =
                        [b.depthwise("second", first, [3, 3], 1), b.depthwise("single", atrous, [1, 3], 1), local];
                    b.sum(&terms)
                }),
            ),
            (
                "one chain",
                network(|b, [_, local, atrous]| {
                    let terms = [local, atrous, b.strip("strip3", atrous, 3)];
                    b.sum(&terms)
                }),
            ),
            ("the map is an output", seen("atrous")),
            (
                "no convolution of its own gives the map",
                network(|b, [_, _, atrous]| {
                    let map = b.root.gelu("gelu", atrous).unwrap();
                    let terms = [b.strip("strip3", map, 3), b.strip("strip5", map, 5)];
                    b.sum(&terms)
                }),
            ),
        ] {
            assert_refused(name, &before, run);
        }
        let mut after = computed.clone();
        // The chain with the computed bias is left out, and a single one is not worth merging.
        assert_eq!(run(&mut after), Vec::<String>::new());
    }
}
