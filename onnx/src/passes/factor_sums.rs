//! Adds one to a factor instead of adding the map to its product.
//!
//! `x + x*y` is `x*(y + 1)`: as many nodes, but the sum reads one map instead of two and can be
//! written in place.
//!
//! Refuses if the product has another reader, or if it is not one of two 32-bit values.

use crate::graph::{DataType, Graph, Index, Op, Tensor};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Factoring::at, Factoring::apply)
}

struct Factoring {
    sum: String,
    product: String,
    common: String,
    factor: String,
}

impl Factoring {
    fn at(graph: &Graph, index: &Index<'_>, node: usize) -> Option<Self> {
        let sum = &graph.nodes[node];
        let (Op::Add, DataType::F32, [left, right]) = (&sum.op, sum.output.data_type, &sum.inputs[..]) else {
            return None;
        };
        [(left, right), (right, left)].into_iter().find_map(|(common, product)| {
            let inner = &graph.nodes[index.producer(product)?];
            let (Op::Mul, [a, b]) = (&inner.op, &inner.inputs[..]) else { return None };
            let factor = if a == common { b } else { a };
            let fits = (a == common || b == common) && index.sole_reader(product) == Some(node);
            let [sum, product, common, factor] = [&sum.name, product, common, factor].map(String::clone);
            fits.then_some(Self { sum, product, common, factor })
        })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let Self { sum, product, common, factor } = self;
        for node in [&sum, &product] {
            graph.take_node(node);
        }
        let one = graph.add_constant(&format!("{sum}.one"), Tensor::scalar(1.0));
        let more = graph.add_node(&format!("{sum}.factor"), Op::Add, &[&factor, &one]);
        graph.add_node(&sum, Op::Mul, &[&more, &common])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Conv, Dim, GraphBuilder, Scope, Value};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// Builds the value that `sum` makes of an image, a factor for each of its values and one for
    /// each of its pixels.
    fn network(sum: impl FnOnce(&mut Scope<'_>, [Value; 3]) -> Value) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let whole = root.conv("whole", image, random.tensor([4, 4, 1, 1]), None, Conv::default()).unwrap();
        let place = root.conv("place", image, random.tensor([1, 4, 1, 1]), None, Conv::default()).unwrap();
        let x = sum(&mut root, [image, whole, place]);
        let y = root.relu("y", x).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_in_any_order_and_the_outputs_agree() {
        type Pair = fn([Value; 3]) -> [Value; 2];
        let pairs: [(&str, Pair); 5] = [
            ("the common first", |[x, whole, _]| [x, whole]),
            ("the common last", |[x, whole, _]| [whole, x]),
            ("a smaller factor", |[x, _, place]| [x, place]),
            ("a larger factor", |[x, _, place]| [place, x]),
            ("a square", |[x, ..]| [x, x]),
        ];
        for (name, pair) in pairs {
            for swap in [false, true] {
                let before = network(|root, values| {
                    let [a, b] = pair(values);
                    let product = root.mul("product", a, b).unwrap();
                    let common = if name == "a larger factor" { values[2] } else { values[0] };
                    let [left, right] = if swap { [product, common] } else { [common, product] };
                    root.add("sum", left, right).unwrap()
                });
                let mut after = before.clone();
                assert_eq!(run(&mut after), ["sum"], "{name}");
                after.check().unwrap();
                assert_agree(&before, &after);
                let ops: Vec<_> = after.nodes.iter().filter(|node| node.name.starts_with("sum")).collect();
                let ops: Vec<_> = ops.iter().map(|node| (node.name.as_str(), &node.op)).collect();
                assert_eq!(ops, [("sum.factor", &Op::Add), ("sum", &Op::Mul)], "{name}");
            }
        }
    }

    #[test]
    fn refuses_other_sums_and_other_readers() {
        let mut seen = network(|root, [x, whole, _]| {
            let product = root.mul("product", x, whole).unwrap();
            root.add("sum", x, product).unwrap()
        });
        seen.outputs.push("product".into());
        let other = network(|root, [x, whole, place]| {
            let product = root.mul("product", whole, place).unwrap();
            root.add("sum", x, product).unwrap()
        });
        let no_product = network(|root, [x, whole, _]| root.add("sum", x, whole).unwrap());
        for (name, before) in
            [("the product is an output", seen), ("nothing in common", other), ("no product", no_product)]
        {
            assert_refused(name, &before, run);
        }
    }
}
