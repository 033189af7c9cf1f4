//! The cost of a graph: parameters, bytes and multiply-adds.

use std::collections::BTreeSet;

use super::{Dim, DimError, Graph, Node, Op, Tensor};

/// The cost of each node and of all together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// One entry for each node of the graph, in its order.
    pub nodes: Vec<NodeCost>,
    /// The sum over all nodes, under the name of the graph.
    pub total: NodeCost,
}

/// The cost of one node. A constant with several readers is counted at the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCost {
    /// The node.
    pub name: String,
    /// Learned numbers: weights and biases of convolutions, factors and shifts of normalisations,
    /// and what is added to maps or multiplied with them channel by channel or place by place.
    /// Running statistics are not learned, and single numbers belong to a formula.
    pub parameters: u64,
    /// Bytes of all constants.
    pub constant_bytes: u64,
    /// Multiply-adds of convolutions and matrix products, as papers count them: no biases and no
    /// other operators.
    pub multiply_adds: u64,
}

impl Graph {
    /// Computes the cost of running the graph once, with the given values for the symbols of its
    /// shapes.
    ///
    /// ```
    /// # use seg_onnx::graph::{Conv, Dim, GraphBuilder, Tensor};
    /// # let mut builder = GraphBuilder::new("model");
    /// # let shape = [Dim::batch(), Dim::from(3), Dim::height(), Dim::width()];
    /// # let image = builder.input("image", shape)?;
    /// # let weight = Tensor::new([2, 3, 1, 1], vec![0.5; 6])?;
    /// # let logits = builder.root().conv("out_conv", image, weight, None, Conv::default())?;
    /// # let graph = builder.finish(&[("logits", logits)])?;
    /// let cost = graph.cost(&[("batch", 1), ("height", 10), ("width", 10)])?;
    /// let total = cost.total;
    /// assert_eq!((total.parameters, total.constant_bytes, total.multiply_adds), (6, 24, 600));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cost(&self, bindings: &[(&str, i64)]) -> Result<Cost, DimError> {
        let mut counted = BTreeSet::new();
        let mut total = NodeCost { name: self.name.clone(), ..NodeCost::default() };
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let mut cost = NodeCost { name: node.name.clone(), ..NodeCost::default() };
            for (position, name) in node.inputs.iter().enumerate() {
                let Some(tensor) = self.initializers.get(name).filter(|_| counted.insert(name)) else { continue };
                cost.constant_bytes += tensor.size_bytes() as u64;
                if is_learned(&node.op, position, tensor) {
                    cost.parameters += tensor.data().len() as u64;
                }
            }
            cost.multiply_adds = self.multiply_adds(node, bindings)?;
            total.parameters += cost.parameters;
            total.constant_bytes += cost.constant_bytes;
            total.multiply_adds = total.multiply_adds.checked_add(cost.multiply_adds).ok_or(DimError::Overflow)?;
            nodes.push(cost);
        }
        Ok(Cost { nodes, total })
    }

    /// Returns a constant, even if it is held in 8 bits.
    fn constant(&self, name: &str) -> Option<&Tensor> {
        self.initializers.get(name).or_else(|| {
            let held = self.nodes.iter().find(|node| node.name == name)?;
            let is_held = matches!(held.op, Op::DequantizeLinear { .. });
            self.initializers.get(held.inputs.first().filter(|_| is_held)?)
        })
    }

    /// Counts one multiply-add for each output element of a convolution and each weight of its
    /// output channel, for each input element of a transposed one and each weight of its input
    /// channel, and for each output element of a matrix product and each of its terms.
    fn multiply_adds(&self, node: &Node, bindings: &[(&str, i64)]) -> Result<u64, DimError> {
        let weight = node.inputs.get(1).and_then(|weight| self.constant(weight)).map(Tensor::shape);
        let operand = || node.inputs.first().and_then(|x| self.shape_of(x)).unwrap_or_default();
        let sizes = |weights: &[usize]| weights.iter().map(|&size| Dim::try_from(size)).collect::<Result<Vec<_>, _>>();
        // The elements, and the weights or terms that each of them meets.
        let (elements, terms) = match (&node.op, weight) {
            (Op::Conv(_), Some([_, per_output @ ..])) => (node.output.shape.clone(), sizes(per_output)?),
            (Op::ConvTranspose { .. }, Some([_, per_input @ ..])) => (operand(), sizes(per_input)?),
            (Op::MatMul, _) => (node.output.shape.clone(), operand().last().cloned().into_iter().collect()),
            _ => return Ok(0),
        };
        elements.iter().chain(&terms).try_fold(1u64, |product, size| {
            let size = u64::try_from(size.evaluate(bindings)?).map_err(|_| DimError::Overflow)?;
            product.checked_mul(size).ok_or(DimError::Overflow)
        })
    }

    /// Returns the shape of an input, a constant or a node's value.
    fn shape_of(&self, name: &str) -> Option<Vec<Dim>> {
        let constant = || self.initializers.get(name)?.tensor_type().ok();
        self.tensor_type(name).cloned().or_else(constant).map(|found| found.shape)
    }
}

fn is_learned(op: &Op, operand: usize, constant: &Tensor) -> bool {
    match op {
        Op::Conv(_) | Op::ConvTranspose { .. } | Op::BatchNormalization { .. } | Op::LayerNormalization { .. } => {
            matches!(operand, 1 | 2)
        }
        Op::Add | Op::Mul => constant.as_f32().is_some() && !constant.shape().is_empty(),
        // Only weights: other values that are held in 8 bits are not constant.
        Op::DequantizeLinear { .. } => operand == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::{self, Random};
    use crate::graph::{Conv, Data, GraphBuilder, PadMode};

    #[test]
    fn each_kind_of_number_is_counted_where_it_belongs() {
        let mut random = Random(1);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let strided = Conv { strides: [2, 2], group: 2, ..Conv::default() };
        let x = root.conv("conv", image, random.tensor([6, 2, 2, 2]), Some(random.tensor([6])), strided).unwrap();
        let x = root.batch_norm("norm", x, random.batch_norm(6)).unwrap();
        let x = root.pad("pad", x, [1; 4], PadMode::Edge).unwrap();
        let graph = builder.finish(&[("y", x)]).unwrap();

        let cost = graph.cost(&[("batch", 3), ("height", 5), ("width", 9)]).unwrap();
        let rows: Vec<_> = cost
            .nodes
            .iter()
            .chain([&cost.total])
            .map(|node| (node.name.as_str(), node.parameters, node.constant_bytes, node.multiply_adds))
            .collect();
        assert_eq!(
            rows,
            [
                ("conv", 48 + 6, 4 * (48 + 6), 3 * 6 * (2 * 4) * (2 * 2 * 2)),
                ("norm", 12, 4 * 24, 0),
                ("y", 0, 8 * 8, 0),
                ("network", 66, 376, 1152),
            ]
        );
    }

    #[test]
    fn a_shared_weight_is_counted_once_and_its_work_each_time() {
        let mut builder = GraphBuilder::new("twice");
        let image = builder.input("image", [Dim::batch(), 1.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let weight = root.constant("weight", Tensor::new([1, 1, 1, 1], vec![2.0]).unwrap()).unwrap();
        let x = root.node("first", Op::Conv(Conv::default()), &[image, weight]).unwrap();
        let x = root.node("second", Op::Conv(Conv::default()), &[x, weight]).unwrap();
        let total =
            builder.finish(&[("y", x)]).unwrap().cost(&[("batch", 1), ("height", 3), ("width", 5)]).unwrap().total;
        assert_eq!((total.parameters, total.constant_bytes, total.multiply_adds), (1, 4, 30));
    }

    #[test]
    fn a_matrix_product_works_on_each_of_its_terms_and_learned_factors_count() {
        let mut builder = GraphBuilder::new("tokens");
        let image = builder.input("image", [Dim::batch(), 2.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let x = root.scale_channels("scale", image, Tensor::new([1, 2, 1, 1], vec![0.5; 2]).unwrap()).unwrap();
        let turned = root.transpose("turned", x, [0, 1, 3, 2]).unwrap();
        let product = root.mat_mul("product", x, turned).unwrap();
        let half = root.constant("half", Tensor::scalar(0.5)).unwrap();
        let y = root.mul("halved", product, half).unwrap();
        let total =
            builder.finish(&[("y", y)]).unwrap().cost(&[("batch", 3), ("height", 5), ("width", 7)]).unwrap().total;
        assert_eq!((total.parameters, total.multiply_adds), (2, 3 * 2 * 5 * 5 * 7));
    }

    #[test]
    fn a_weight_in_8_bits_counts_as_much_and_takes_less_room() {
        let mut builder = GraphBuilder::new("few bits");
        let image = builder.input("image", [Dim::batch(), 2.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let weight = root.constant("held", Tensor::new([3, 2, 1, 1], Data::I8(vec![7; 6])).unwrap()).unwrap();
        let scale = root.constant("scale", Tensor::scalar(0.5)).unwrap();
        let zero = root.constant("zero", Tensor::new([], Data::I8(vec![0])).unwrap()).unwrap();
        let weight = root.node("weight", Op::DequantizeLinear { axis: 0 }, &[weight, scale, zero]).unwrap();
        let x = root.node("conv", Op::Conv(Conv::default()), &[image, weight]).unwrap();
        let total =
            builder.finish(&[("y", x)]).unwrap().cost(&[("batch", 1), ("height", 3), ("width", 5)]).unwrap().total;
        assert_eq!((total.parameters, total.constant_bytes, total.multiply_adds), (6, 6 + 4 + 1, 6 * 15));
    }

    #[test]
    fn a_symbol_without_a_value_is_an_error() {
        let graph = example::encoder_decoder();
        assert_eq!(graph.cost(&[("batch", 1), ("height", 3)]), Err(DimError::Unbound("width".to_owned())));
    }
}
