//! Groups of nodes that become integers, or stay float, as a whole.
//!
//! Nodes that exchange values without another node in between form one group. If a group stays
//! float, none of its nodes is quantised: its values meet integers only where a node outside of
//! every group reads or writes them.

use std::collections::{BTreeMap, BTreeSet};

use super::quantize::operands;
use crate::graph::Graph;

/// Returns the given nodes of a graph by group, groups and nodes in the order of the graph.
pub fn float_groups<'g>(graph: &'g Graph, nodes: &BTreeSet<&str>) -> Vec<Vec<&'g str>> {
    // The group of each node, by a number; groups that meet take the lowest.
    let mut group_of: BTreeMap<&str, usize> = BTreeMap::new();
    let chosen = || graph.nodes.iter().filter(|node| nodes.contains(node.name.as_str()));
    for (number, node) in chosen().enumerate() {
        let operands = operands(graph, node).unwrap_or_default();
        let met: BTreeSet<_> = operands.iter().filter_map(|value| group_of.get(value.as_str()).copied()).collect();
        let group = met.first().copied().unwrap_or(number);
        group_of.values_mut().filter(|other| met.contains(other)).for_each(|other| *other = group);
        group_of.insert(&node.name, group);
    }
    let mut groups: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for node in chosen() {
        groups.entry(group_of[node.name.as_str()]).or_default().push(&node.name);
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Conv, Dim, GraphBuilder};

    #[test]
    fn what_hands_values_on_is_one_part() {
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 8.into(), Dim::height(), Dim::width()]).unwrap();
        let (mut random, mut root) = (Random(2), builder.root());
        let mut conv = |root: &mut crate::graph::Scope<'_>, name: &str, x| {
            root.conv(name, x, random.tensor([8, 8, 1, 1]), None, Conv::default()).unwrap()
        };
        let first = conv(&mut root, "first", image);
        let inner = conv(&mut root, "inner", first);
        let activated = root.gelu("gelu", inner).unwrap();
        let alone = conv(&mut root, "alone", activated);
        let alone = root.sigmoid("sigmoid", alone).unwrap();
        let last = conv(&mut root, "last", activated);
        let sum = root.add("sum", last, first).unwrap();
        let gated = root.mul("gated", activated, alone).unwrap();
        let joined = root.add("joined", gated, image).unwrap();
        let y = root.concat_channels("y", &[sum, joined]).unwrap();
        let graph = builder.finish(&[("y", y)]).unwrap();
        for (name, left_out, expected) in [
            // The sum joins the groups of its operands; a shared image or activation joins nothing.
            ("all", "", vec![vec!["first", "inner", "last", "sum"], vec!["alone"], vec!["gated", "joined"]]),
            (
                "without the sum",
                "sum",
                vec![vec!["first", "inner"], vec!["alone"], vec!["last"], vec!["gated", "joined"]],
            ),
        ] {
            let nodes = ["first", "inner", "alone", "last", "sum", "gated", "joined"];
            let nodes = nodes.into_iter().filter(|node| *node != left_out).collect();
            assert_eq!(float_groups(&graph, &nodes), expected, "{name}");
        }
    }
}
