//! The weight and bias of a convolution, taken out of a graph to be changed and put back.

use crate::graph::{Conv, Graph, Index, Op, Tensor};

/// The constants of a convolution in a graph, in 64 bits.
pub(super) struct ConvParameters {
    node: usize,
    shape: Vec<usize>,
    /// `[o, c / group, kh, kw]`, row-major.
    weight: Vec<f64>,
    /// `[o]`; zeros if the convolution has no bias.
    pub(super) bias: Vec<f64>,
}

/// Returns the values of a tensor of float32 in 64 bits.
fn wide(tensor: &Tensor) -> Option<Vec<f64>> {
    Some(tensor.as_f32()?.iter().copied().map(f64::from).collect())
}

impl ConvParameters {
    /// Reads the parameters; `None` if the node is not a convolution, or if its parameters are not
    /// its own: computed, or with another reader.
    pub(super) fn from_conv(graph: &Graph, index: &Index<'_>, node: usize) -> Option<(Self, Conv)> {
        let Op::Conv(conv) = &graph.nodes[node].op else { return None };
        let [_, weight, bias @ ..] = &graph.nodes[node].inputs[..] else { return None };
        let own = |name: &String| graph.initializers.get(name).filter(|_| index.sole_reader(name) == Some(node));
        let tensor = own(weight)?;
        let bias = match bias.first() {
            Some(bias) => wide(own(bias)?)?,
            None => vec![0.0; *tensor.shape().first()?],
        };
        Some((Self { node, shape: tensor.shape().to_vec(), weight: wide(tensor)?, bias }, conv.clone()))
    }

    /// Returns the size of each axis of the weight: `[o, c / group, kh, kw]`.
    pub(super) fn shape(&self) -> [usize; 4] {
        self.shape[..].try_into().expect("the weight of a checked convolution has four axes")
    }

    /// Returns the weights, row-major.
    pub(super) fn weights(&self) -> &[f64] {
        &self.weight
    }

    /// Returns the weights of each output channel, with the input channels of its group one after
    /// another.
    pub(super) fn filters(&mut self) -> impl Iterator<Item = &mut [f64]> {
        let len = (self.weight.len() / self.bias.len().max(1)).max(1);
        self.weight.chunks_exact_mut(len)
    }

    /// Returns the number of weights of one output channel for one input channel: the area of the
    /// kernel.
    pub(super) fn kernel_len(&self) -> usize {
        self.shape.iter().skip(2).product()
    }

    /// Writes the parameters back to the convolution, which must not have moved.
    pub(super) fn store(self, graph: &mut Graph) {
        let [_, weight, bias @ ..] = &graph.nodes[self.node].inputs[..] else { return };
        let weight = weight.clone();
        let bias = bias.first().cloned();
        let bias = bias.unwrap_or_else(|| {
            let bias = graph.unused_name(&format!("{}.bias", graph.nodes[self.node].name));
            graph.nodes[self.node].inputs.push(bias.clone());
            bias
        });
        let tensor = Tensor::new(self.shape, narrow(self.weight)).expect("the weight keeps its shape");
        graph.initializers.insert(weight, tensor);
        graph.initializers.insert(bias, Tensor::vector(narrow(self.bias)));
    }
}

/// Adds a convolution under an unused name like the given one, and returns the name.
pub(super) fn add_conv(
    graph: &mut Graph,
    name: &str,
    x: &str,
    (shape, weight): ([usize; 4], Vec<f64>),
    bias: Option<Vec<f64>>,
    conv: Conv,
) -> String {
    let name = graph.unused_name(name);
    let tensor = Tensor::new(shape, narrow(weight)).expect("a weight for each element of its shape");
    let weight = graph.add_constant(&format!("{name}.weight"), tensor);
    let bias = bias.map(|bias| graph.add_constant(&format!("{name}.bias"), Tensor::vector(narrow(bias))));
    let operands: Vec<_> = [Some(x), Some(&weight), bias.as_deref()].into_iter().flatten().collect();
    graph.add_node(&name, Op::Conv(conv), &operands)
}

fn narrow(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}
