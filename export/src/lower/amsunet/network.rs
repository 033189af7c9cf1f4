//! AMSUnet, the whole network.

use seg_nets::amsunet::AmsUnet;
use seg_nets::contract::NETWORK;
use seg_onnx::graph::{Dim, Graph, GraphBuilder};

use crate::lower::{Lower, LowerError};

/// The network as a graph from `input` `[batch, in_channels, height, width]` to `output`, the logits
/// `[batch, num_classes, height, width]`. All other names are paths in the network.
///
/// # Errors
/// When `input` or `output` is the name of something in the network.
pub fn to_graph(net: &AmsUnet, input: &str, output: &str) -> Result<Graph, LowerError> {
    let in_channels = Dim::try_from(net.config().in_channels).expect("a tensor in memory has sizes of 63 bits");
    let mut builder = GraphBuilder::new(NETWORK);
    let x = builder.input(input, [Dim::batch(), in_channels, Dim::height(), Dim::width()])?;
    let at = &mut builder.root();
    let x1 = net.in_conv.lower(at, "in_conv", x)?;
    let x2 = net.down1.lower(at, "down1", x1)?;
    let x3 = net.down2.lower(at, "down2", x2)?;
    let x4 = net.down3.lower(at, "down3", x3)?;
    let x5 = net.down4.lower(at, "down4", x4)?;
    let y = net.up1.lower(at, "up1", [x5, x4])?;
    let y = net.up2.lower(at, "up2", [y, x3])?;
    let y = net.up3.lower(at, "up3", [y, x2])?;
    let y = net.up4.lower(at, "up4", [y, x1])?;
    let logits = net.out_conv.lower(at, "out_conv", y)?;
    Ok(builder.finish(&[(output, logits)])?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use burn::module::{Module, ModuleVisitor, Param};
    use burn::tensor::{Device, Tensor};
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_onnx::graph::Op;

    use super::*;

    /// The paths of all parameters and running statistics of a module.
    #[derive(Default)]
    struct Paths {
        at: Vec<String>,
        found: BTreeSet<String>,
    }

    impl ModuleVisitor for Paths {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.at.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.at.pop();
        }
        fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
            self.found.insert(self.at.join("."));
        }
    }

    #[test]
    fn names_are_paths_in_the_network() {
        let net = AmsUnetConfig::new().with_base_width(4).init(&Device::flex());
        let mut paths = Paths::default();
        net.visit(&mut paths);
        let graph = to_graph(&net, "input", "logits").unwrap();
        let is_learned = |op: &Op| matches!(op, Op::Conv(_) | Op::BatchNormalization { .. });
        let learned = graph.nodes.iter().filter(|node| is_learned(&node.op)).flat_map(|node| &node.inputs[1..]);
        assert_eq!(learned.cloned().collect::<BTreeSet<_>>(), paths.found);
        for node in &graph.nodes {
            let (module, _) = node.name.rsplit_once('.').unwrap_or(("out_conv", ""));
            let is_module = |module: &str| paths.found.iter().any(|path| path.starts_with(&format!("{module}.")));
            assert!(is_module(module) || node.name.contains(".pad."), "{}", node.name);
        }
    }

    #[test]
    fn input_and_output_are_named_as_asked_and_of_any_size() {
        let net = AmsUnetConfig::new().with_base_width(4).with_in_channels(1).with_num_classes(5).init(&Device::flex());
        let graph = to_graph(&net, "image", "scores").unwrap();
        assert_eq!(graph.inputs[0].name, "image");
        assert_eq!(graph.inputs[0].tensor_type.to_string(), "f32[batch, 1, height, width]");
        assert_eq!(graph.outputs, ["scores"]);
        assert_eq!(graph.tensor_type("scores").unwrap().to_string(), "f32[batch, 5, height, width]");
        assert!(to_graph(&net, "down1.conv", "scores").is_err(), "the input's name is taken");
    }

    #[test]
    fn the_published_costs() {
        let net = AmsUnetConfig::new().init(&Device::flex());
        let graph = to_graph(&net, "input", "logits").unwrap();
        for (side, giga) in [(256, "6.00"), (480, "21.1"), (512, "24.0")] {
            let total = graph.cost(&[("batch", 1), ("height", side), ("width", side)]).unwrap().total;
            assert_eq!(total.parameters, net.num_learnable() as u64);
            let decimals = giga.len() - giga.find('.').unwrap() - 1;
            assert_eq!(format!("{:.decimals$}", total.multiply_adds as f64 / 1e9), giga, "{side}x{side}");
        }
    }
}
