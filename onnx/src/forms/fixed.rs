//! A graph for one batch or image size: symbols become numbers, and values that are then known
//! become constants.

use seg_contract::InputForm;

use super::{FormError, sides};
use crate::graph::{CheckError, Content, Data, Dim, Graph, Tensor};

pub(super) fn fix_sizes(graph: &mut Graph, form: &InputForm) -> Result<(), FormError> {
    let [height, width] = [0, 1].map(|axis| form.size.map(|size| size[axis]));
    let sizes = [(Dim::batch(), form.batch), (Dim::height(), height), (Dim::width(), width)];
    let mut is_fixed = false;
    for (symbol, size) in sizes {
        let Some(size) = size else { continue };
        is_fixed = true;
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        for dim in graph.inputs.iter_mut().flat_map(|input| &mut input.tensor_type.shape) {
            if *dim == symbol {
                *dim = Dim::from(size);
            }
        }
    }
    if is_fixed {
        graph.infer_outputs()?;
        fold_known_integers(graph)?;
    }
    if sides::are_sides_restricted(graph) { sides::fold(graph) } else { Ok(()) }
}

/// Replaces integers that follow from shapes alone by constants, and removes the nodes that
/// computed them.
pub(super) fn fold_known_integers(graph: &mut Graph) -> Result<(), CheckError> {
    let known: Vec<_> = graph.facts()?.into_iter().map(|fact| constants(&fact.content)).collect();
    let mut known = known.into_iter();
    let Graph { nodes, initializers, outputs, .. } = graph;
    nodes.retain(|node| match known.next().flatten() {
        Some(values) if !outputs.contains(&node.name) => {
            initializers.insert(node.name.clone(), Tensor::vector(values));
            false
        }
        _ => true,
    });
    graph.drop_unread_initializers();
    Ok(())
}

fn constants(content: &Content) -> Option<Data> {
    match content {
        Content::Integers(values) => values.iter().map(Dim::as_constant).collect::<Option<Vec<_>>>().map(Data::I64),
        Content::Floats(_) | Content::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Op, example};

    #[test]
    fn what_follows_from_the_size_is_a_constant() {
        let shapes = |graph: &Graph| graph.nodes.iter().filter(|node| matches!(node.op, Op::Shape { .. })).count();
        for (name, batch, size, output, shapes_left) in [
            ("nothing", None, None, "f32[batch, 2, height, width]", 2),
            ("the batch", Some(4), None, "f32[4, 2, height, width]", 2),
            ("the size", None, Some([9, 8]), "f32[batch, 2, 9, 8]", 0),
            ("both", Some(1), Some([2, 3]), "f32[1, 2, 2, 3]", 0),
        ] {
            let mut graph = example::encoder_decoder();
            fix_sizes(&mut graph, &InputForm { batch, size, ..InputForm::default() }).unwrap();
            graph.check().unwrap();
            assert_eq!(graph.tensor_type("logits").unwrap().to_string(), output, "{name}");
            assert_eq!(shapes(&graph), shapes_left, "{name}");
        }
        let mut graph = example::encoder_decoder();
        fix_sizes(&mut graph, &InputForm { size: Some([9, 8]), ..InputForm::default() }).unwrap();
        assert_eq!(graph.initializers["up.pad.pads"].data(), &Data::I64(vec![0, 0, 0, 0, 0, 0, 1, 0]));
    }
}
