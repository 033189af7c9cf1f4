//! A graph that outputs probabilities or classes instead of logits.
//!
//! The class is `argmax` over the logits, the lowest on a tie. Of two classes it is `l1 - l0 > 0`,
//! and where the logits come from a convolution, their difference is one of half the work: `(W1 -
//! W0)*x + (b1 - b0)`.
//!
//! A mask is u8. It is computed in f32 first, because TensorRT converts only floats to bytes.

use super::FormError;
use crate::graph::{DataType, Graph, Node, Op, Tensor, TensorType};

/// The axis of the classes in logits `[n, classes, h, w]`.
const CLASSES: usize = 1;

/// The nodes that are appended to a graph: the name, the operator and the operands of each.
type Step = (String, Op, Vec<String>);

/// Appends the softmax over the classes of the logits, under a new name.
pub(super) fn give_probabilities(graph: &mut Graph, logits: &str, name: &str) -> Result<(), FormError> {
    check(graph, logits, name)?;
    append(graph, vec![(name.into(), Op::Softmax { axis: CLASSES }, vec![logits.into()])])
}

/// Appends the class of each pixel, `[n, h, w]`, under a new name.
pub(super) fn give_mask(graph: &mut Graph, logits: &str, name: &str) -> Result<(), FormError> {
    check(graph, logits, name)?;
    let steps = match Difference::between_classes(graph, logits) {
        Some(difference) => difference.replace(graph, name),
        None => {
            let class = graph.unused_name(&format!("{name}.class"));
            vec![(class.clone(), Op::ArgMax { axis: CLASSES }, vec![logits.into()]), float(graph, name, class)]
        }
    };
    let (last, _, _) = steps.last().expect("there are steps").clone();
    append(graph, [steps, vec![(name.into(), Op::Cast { to: DataType::U8 }, vec![last])]].concat())
}

fn float(graph: &Graph, name: &str, x: String) -> Step {
    (graph.unused_name(&format!("{name}.float")), Op::Cast { to: DataType::F32 }, vec![x])
}

fn check(graph: &Graph, logits: &str, name: &str) -> Result<(), FormError> {
    if graph.outputs != [logits] {
        let found = format!("`{}`", graph.outputs.join("`, `"));
        return Err(FormError::Edge { what: "output", name: logits.into(), expected: "logits", found });
    }
    if graph.unused_name(name) != name {
        return Err(FormError::Taken(name.into()));
    }
    Ok(())
}

/// Appends nodes to the graph and makes the last one its output.
fn append(graph: &mut Graph, steps: Vec<Step>) -> Result<(), FormError> {
    graph.outputs = steps.last().map(|(name, ..)| name.clone()).into_iter().collect();
    // The types are inferred once all nodes exist.
    let output = TensorType::new(DataType::F32, []);
    graph.nodes.extend(steps.into_iter().map(|(name, op, inputs)| Node { name, op, inputs, output: output.clone() }));
    Ok(graph.infer_outputs()?)
}

/// The difference of the second class's logit and the first's, as a convolution of one channel.
struct Difference {
    conv: usize,
    weight: Tensor,
    bias: Tensor,
}

impl Difference {
    /// Returns `None` unless the logits are those of two classes from a convolution with constant
    /// parameters.
    fn between_classes(graph: &Graph, logits: &str) -> Option<Self> {
        // With several groups each class would read channels of its own.
        let is_conv = |op: &Op| matches!(op, Op::Conv(conv) if conv.group == 1);
        let conv = graph.nodes.iter().position(|node| node.name == logits && is_conv(&node.op))?;
        let [_, weight, bias @ ..] = &graph.nodes[conv].inputs[..] else { return None };
        let weight = graph.initializers.get(weight)?;
        let [2, shape @ ..] = weight.shape() else { return None };
        let (ground, target) = weight.as_f32()?.split_at(shape.iter().product());
        let bias = match bias.first() {
            Some(bias) => {
                let (ground, target) = graph.initializers.get(bias)?.as_f32()?.split_at(1);
                subtract(target, ground)
            }
            None => vec![0.0],
        };
        let weight = Tensor::new([&[1], shape].concat(), subtract(target, ground)).expect("half of the weight remains");
        Some(Self { conv, weight, bias: Tensor::vector(bias) })
    }

    /// Computes the difference in place of the logits, and then where it is positive, `[n, h, w]`
    /// in f32.
    fn replace(self, graph: &mut Graph, name: &str) -> Vec<Step> {
        let unused = |part: &str| graph.unused_name(&format!("{name}.{part}"));
        let [difference, weight, bias] = ["difference", "difference.weight", "difference.bias"].map(unused);
        let [zero, is_target, axes, plane] = ["zero", "is_target", "axes", "plane"].map(unused);
        let conv = &mut graph.nodes[self.conv];
        conv.name.clone_from(&difference);
        conv.inputs.truncate(1);
        conv.inputs.extend([weight.clone(), bias.clone()]);
        graph.drop_unread_initializers();
        let axis = Tensor::vector(vec![CLASSES as i64]);
        let constants =
            [(weight, self.weight), (bias, self.bias), (zero.clone(), Tensor::scalar(0.0)), (axes.clone(), axis)];
        graph.initializers.extend(constants);
        let float = float(graph, name, is_target.clone());
        vec![(is_target, Op::Greater, vec![difference, zero]), float.clone(), (plane, Op::Squeeze, vec![float.0, axes])]
    }
}

/// Subtracts values one by one, in 64 bits.
fn subtract(target: &[f32], ground: &[f32]) -> Vec<f32> {
    let difference = |(target, ground): (&f32, &f32)| (f64::from(*target) - f64::from(*ground)) as f32;
    target.iter().zip(ground).map(difference).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::*;
    use crate::evaluate::{Array, evaluate};
    use crate::graph::example::Random;
    use crate::graph::{Conv, Dim, GraphBuilder};

    /// Builds an image of two channels, and a 1x1 convolution to some classes, or the image itself
    /// as logits.
    fn network(classes: usize, group: usize, has_conv: bool) -> Graph {
        let mut builder = GraphBuilder::new("network");
        let x = builder.input("input", [Dim::batch(), 2.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let logits = if has_conv {
            let conv = Conv { group, ..Conv::default() };
            root.conv("logits", x, Random(2).tensor([classes, 2 / group, 1, 1]), None, conv).unwrap()
        } else {
            root.node("logits", Op::Identity, &[x]).unwrap()
        };
        builder.finish(&[("logits", logits)]).unwrap()
    }

    fn lines(graph: &Graph) -> Vec<String> {
        graph.nodes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn two_classes_are_one_difference_and_more_a_search() {
        let mut two = network(2, 1, true);
        give_mask(&mut two, "logits", "mask").unwrap();
        assert_eq!(
            lines(&two),
            [
                "mask.difference: f32[batch, 1, height, width] = Conv(input, mask.difference.weight, \
                 mask.difference.bias) strides=[1, 1] pads=[0, 0, 0, 0] dilations=[1, 1] group=1",
                "mask.is_target: bool[batch, 1, height, width] = Greater(mask.difference, mask.zero)",
                "mask.float: f32[batch, 1, height, width] = Cast(mask.is_target) to=1",
                "mask.plane: f32[batch, height, width] = Squeeze(mask.float, mask.axes)",
                "mask: u8[batch, height, width] = Cast(mask.plane) to=2",
            ]
        );
        let mut three = network(3, 1, true);
        give_mask(&mut three, "logits", "mask").unwrap();
        assert_eq!(
            lines(&three)[1..],
            [
                "mask.class: i64[batch, height, width] = ArgMax(logits) axis=1 keepdims=0 select_last_index=0",
                "mask.float: f32[batch, height, width] = Cast(mask.class) to=1",
                "mask: u8[batch, height, width] = Cast(mask.float) to=2",
            ]
        );
    }

    #[test]
    fn the_class_is_the_largest_logit_and_the_lowest_on_a_tie() {
        for (name, graph) in [
            ("difference", network(2, 1, true)),
            ("in groups", network(2, 2, true)),
            ("search of two", network(2, 1, false)),
            ("search of four", network(4, 1, true)),
        ] {
            let mut random = Random(9);
            let mut image = ArrayD::from_shape_fn(IxDyn(&[2, 2, 5, 7]), |_| f64::from(random.number()));
            // All logits are zero here.
            image.slice_mut(ndarray::s![0, .., 0, 0]).fill(0.0);
            let input = [("input", image)];
            let Some(Array::F64(logits)) = evaluate(&graph, &input, &["logits"]).unwrap().remove("logits") else {
                panic!("{name}: logits are floats")
            };
            let mut mask = graph.clone();
            give_mask(&mut mask, "logits", "mask").unwrap();
            mask.check().unwrap();
            let Some(Array::I64(found)) = evaluate(&mask, &input, &["mask"]).unwrap().remove("mask") else {
                panic!("{name}: classes are integers")
            };
            let expected = logits.map_axis(ndarray::Axis(1), |pixel| {
                (1..pixel.len()).fold(0, |best, class| if pixel[class] > pixel[best] { class } else { best }) as i64
            });
            assert_eq!(found, expected, "{name}");
            assert_eq!(found[[0, 0, 0]], 0, "{name}: a tie");
        }
    }
}
