//! Merges constants that are equal, bit by bit.
//!
//! The first by name stays. Runs after the passes that need constants with one reader.

use std::collections::BTreeMap;

use crate::graph::{Data, Graph, Tensor};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    let mut known = BTreeMap::new();
    let twins: Vec<_> = graph
        .initializers
        .iter()
        .filter_map(|(name, tensor)| match known.entry(key(tensor)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(name.clone());
                None
            }
            std::collections::btree_map::Entry::Occupied(entry) => Some((name.clone(), entry.get().clone())),
        })
        .collect();
    for (name, twin) in &twins {
        graph.redirect(name, twin);
    }
    graph.drop_unread_initializers();
    twins.into_iter().map(|(name, _)| name).collect()
}

/// Returns a key that is equal for equal constants only: floats are compared by their bits, so that
/// zeros of either sign differ.
fn key(tensor: &Tensor) -> (&'static str, Vec<usize>, Vec<u64>) {
    let (kind, bits) = match tensor.data() {
        Data::F32(values) => ("f32", values.iter().map(|value| value.to_bits().into()).collect()),
        Data::F16(values) => ("f16", values.iter().map(|value| value.to_bits().into()).collect()),
        Data::U8(values) => ("u8", values.iter().map(|&value| value.into()).collect()),
        Data::I8(values) => ("i8", values.iter().map(|value| value.cast_unsigned().into()).collect()),
        Data::I32(values) => ("i32", values.iter().map(|value| value.cast_unsigned().into()).collect()),
        Data::I64(values) => ("i64", values.iter().map(|value| value.cast_unsigned()).collect()),
    };
    (kind, tensor.shape().to_vec(), bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Dim, GraphBuilder};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// Builds an image plus the given constants, one after another.
    fn network(constants: &[Tensor]) -> Graph {
        let mut builder = GraphBuilder::new("network");
        let mut x = builder.input("image", [Dim::batch(), 1.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        for (place, constant) in constants.iter().enumerate() {
            let constant = root.constant(&format!("constant{place}"), constant.clone()).unwrap();
            x = root.add(&format!("sum{place}"), x, constant).unwrap();
        }
        builder.finish(&[("y", x)]).unwrap()
    }

    #[test]
    fn fires_on_every_twin_and_the_outputs_agree() {
        let [one, two] = [1.0, 2.0].map(Tensor::scalar);
        let before = network(&[one.clone(), two.clone(), one.clone(), two, one]);
        let mut after = before.clone();
        assert_eq!(run(&mut after), ["constant2", "constant3", "constant4"]);
        after.check().unwrap();
        assert_agree(&before, &after);
        assert!(after.to_string().ends_with("Add(sum3, constant0)\noutput y\n"), "{after}");
    }

    #[test]
    fn refuses_what_differs_in_shape_or_sign() {
        let constants = [Tensor::scalar(0.0), Tensor::scalar(-0.0), Tensor::vector(vec![0.0])];
        assert_refused("three zeros", &network(&constants), run);
    }
}
