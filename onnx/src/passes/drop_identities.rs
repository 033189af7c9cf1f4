//! Removes nodes that return their operand: `Identity`, and `Pad` by nothing.
//!
//! Refuses if the value is an output, whose name would be lost, or if the padding is not known.

use crate::graph::{Graph, Index, Op};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, at, apply)
}

fn at(graph: &Graph, _: &Index<'_>, node: usize) -> Option<usize> {
    let node_at = &graph.nodes[node];
    let does_nothing = match node_at.op {
        Op::Identity => true,
        Op::Pad { .. } => graph.known_integers(node_at.inputs.get(1)?)?.iter().all(|pad| pad.as_constant() == Some(0)),
        _ => false,
    };
    (does_nothing && !graph.outputs.contains(&node_at.name)).then_some(node)
}

fn apply(node: usize, graph: &mut Graph) -> String {
    let node = graph.nodes.remove(node);
    graph.redirect(&node.name, &node.inputs[0]);
    node.name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Dim, GraphBuilder, PadMode};
    use crate::passes::agreement::{assert_agree, assert_refused};

    fn network(pads: [u32; 4]) -> Graph {
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 1.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let x = root.pad("pad", image, pads, PadMode::Reflect).unwrap();
        let x = root.node("same", Op::Identity, &[x]).unwrap();
        let x = root.relu("relu", x).unwrap();
        let y = root.node("output", Op::Identity, &[x]).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_on_all_that_does_nothing_and_the_outputs_agree() {
        let before = network([0; 4]);
        let mut after = before.clone();
        assert_eq!(run(&mut after), ["pad", "same"]);
        after.check().unwrap();
        let names: Vec<_> = after.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["relu", "y"], "an output keeps its name");
        assert_agree(&before, &after);
    }

    #[test]
    fn refuses_paddings_that_add_something() {
        let mut graph = network([0, 0, 1, 0]);
        run(&mut graph);
        assert_refused("one row", &graph, run);
    }
}
