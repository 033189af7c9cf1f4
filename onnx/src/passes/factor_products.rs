//! Multiplies factors that are smaller than a map with each other before the map.
//!
//! `(x*a) * (x*b)` is `((a*b) * x) * x`: as many products, but one map fewer is kept.
//!
//! Refuses if either factor is as large as the map, if the products inside have another reader, or
//! if they have no factor in common.

use crate::graph::{Graph, Index, Op};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Factoring::at, Factoring::apply)
}

struct Factoring {
    product: String,
    common: String,
    factors: [String; 2],
}

impl Factoring {
    fn at(graph: &Graph, index: &Index<'_>, node: usize) -> Option<Self> {
        let product = &graph.nodes[node];
        let (Op::Mul, [left, right]) = (&product.op, &product.inputs[..]) else { return None };
        let (left, right) = (factors(graph, index, left, node)?, factors(graph, index, right, node)?);
        let is_smaller = |value: &String| graph.tensor_type(value).is_some_and(|found| *found != product.output);
        for (common, a) in [(&left[0], &left[1]), (&left[1], &left[0])] {
            for (other, b) in [(&right[0], &right[1]), (&right[1], &right[0])] {
                if common == other && is_smaller(a) && is_smaller(b) && !is_smaller(common) {
                    let factors = [a, b].map(String::clone);
                    return Some(Self { product: product.name.clone(), common: common.clone(), factors });
                }
            }
        }
        None
    }

    fn apply(self, graph: &mut Graph) -> String {
        let Self { product, common, factors: [a, b] } = self;
        graph.take_node(&product);
        let factor = graph.add_node(&format!("{product}.factor"), Op::Mul, &[&a, &b]);
        let once = graph.add_node(&format!("{product}.once"), Op::Mul, &[&factor, &common]);
        graph.add_node(&product, Op::Mul, &[&once, &common])
    }
}

/// Returns the two factors of a product that `reader` alone reads.
fn factors<'g>(graph: &'g Graph, index: &Index<'_>, product: &str, reader: usize) -> Option<&'g [String; 2]> {
    let node = &graph.nodes[index.producer(product)?];
    let is_inner = node.op == Op::Mul && index.sole_reader(product) == Some(reader);
    node.inputs.as_slice().try_into().ok().filter(|_| is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Conv, Dim, GraphBuilder, Scope, Value};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// Builds the product that `product` makes of an image, a factor for each pixel and one for
    /// each channel.
    fn network(product: impl FnOnce(&mut Scope<'_>, [Value; 3]) -> Value) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let place = root.conv("place", image, random.tensor([1, 4, 1, 1]), None, Conv::default()).unwrap();
        let channel = root.global_average_pool("channel", image).unwrap();
        let x = product(&mut root, [image, place, channel]);
        let y = root.add("sum", x, image).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_in_any_order_of_factors_and_the_outputs_agree() {
        for (name, swapped) in [("as named", [false, false]), ("one swapped", [true, false]), ("both", [true, true])] {
            let before = network(|root, [x, a, b]| {
                let mut mul = |name: &str, [left, right]: [Value; 2], swap: bool| {
                    root.mul(name, if swap { right } else { left }, if swap { left } else { right }).unwrap()
                };
                let places = mul("places", [x, a], swapped[0]);
                let channels = mul("channels", [x, b], swapped[1]);
                mul("product", [places, channels], false)
            });
            let mut after = before.clone();
            assert_eq!(run(&mut after), ["product"], "{name}");
            after.check().unwrap();
            assert_agree(&before, &after);
            let products: Vec<_> = after.nodes.iter().filter(|node| node.op == Op::Mul).collect();
            let products: Vec<_> = products.iter().map(|node| format!("{} {:?}", node.name, node.inputs)).collect();
            assert_eq!(
                products,
                [
                    r#"product.factor ["place", "channel"]"#,
                    r#"product.once ["product.factor", "image"]"#,
                    r#"product ["product.once", "image"]"#,
                ],
                "{name}"
            );
        }
    }

    fn product(root: &mut Scope<'_>, [x, a, b]: [Value; 3]) -> Value {
        let places = root.mul("places", x, a).unwrap();
        let channels = root.mul("channels", x, b).unwrap();
        root.mul("product", places, channels).unwrap()
    }

    #[test]
    fn refuses_large_factors_and_other_readers() {
        let mut seen = network(product);
        seen.outputs.push("places".into());
        for (name, before) in [
            ("a factor is as large", network(|root, [x, a, _]| product(root, [x, a, x]))),
            (
                "nothing in common",
                network(|root, [x, a, b]| {
                    let other = root.relu("other", x).unwrap();
                    let places = root.mul("places", x, a).unwrap();
                    let channels = root.mul("channels", other, b).unwrap();
                    root.mul("product", places, channels).unwrap()
                }),
            ),
            ("a product inside is an output", seen),
        ] {
            assert_refused(name, &before, run);
        }
    }
}
