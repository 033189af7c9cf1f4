//! AMSUnet, the whole network.

use seg_nets::amsunet::AmsUnet;
use seg_nets::topology::Stage;
use seg_onnx::graph::{Scope, Value};

use crate::lower::{LowerError, LowerNetwork, u_shape};

impl LowerNetwork for AmsUnet {
    fn lower_stage(&self, at: &mut Scope<'_>, stage: &Stage, inputs: Vec<Value>) -> Result<Value, LowerError> {
        u_shape::lower_stage(&self.u_shape(), at, stage, inputs)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use burn::module::{Module, ModuleVisitor, Param};
    use burn::tensor::{Device, Tensor};
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::network::Architecture;
    use seg_onnx::graph::Op;

    use crate::lower::to_graph;

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
        let graph = to_graph(&net.clone().into(), "input", "logits").unwrap();
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
        let graph = to_graph(&net.clone().into(), "image", "scores").unwrap();
        assert_eq!(graph.inputs[0].name, "image");
        assert_eq!(graph.inputs[0].tensor_type.to_string(), "f32[batch, 1, height, width]");
        assert_eq!(graph.outputs, ["scores"]);
        assert_eq!(graph.tensor_type("scores").unwrap().to_string(), "f32[batch, 5, height, width]");
        assert!(to_graph(&net.clone().into(), "down1.conv", "scores").is_err(), "the input's name is taken");
    }

    #[test]
    fn the_published_costs() {
        let net = AmsUnetConfig::new().init(&Device::flex());
        let graph = to_graph(&net.clone().into(), "input", "logits").unwrap();
        for (side, giga) in [(256, "6.00"), (480, "21.1"), (512, "24.0")] {
            let total = graph.cost(&[("batch", 1), ("height", side), ("width", side)]).unwrap().total;
            assert_eq!(total.parameters, net.num_learnable() as u64);
            let decimals = giga.len() - giga.find('.').unwrap() - 1;
            assert_eq!(format!("{:.decimals$}", total.multiply_adds as f64 / 1e9), giga, "{side}x{side}");
        }
    }
}
