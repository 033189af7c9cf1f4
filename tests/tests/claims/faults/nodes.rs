//! A fault in every node of two networks of the zoo that computes something: in the lowering, and
//! in the file.

use std::io::{self, Write};

use seg_nets::network::NetworkName;
use seg_onnx::graph::{AveragePool, Coordinates, Graph, Node, Op, PadMode};
use seg_onnx::passes::{Pass, applicable, run_selected};
use seg_onnx::{Model, Opset, Target, forms};
use seg_tests::fixtures::narrow;
use seg_verify::{Culprit, ExactEvaluator, Reference};

use super::damage::weights;
use super::{CASES, NAMED_MIN, Setting};

/// The networks, and the inputs that suffice for every fault: those of any size need odd sides.
const NETWORKS: [(NetworkName, &[&str]); 2] =
    [(NetworkName::UNet, &CASES), (NetworkName::UNext, &["noise 2x64x96", "noise 1x32x32", "huge 1x32x64"])];

/// Changes a node so that it computes something else of the same shape; false where it only moves
/// values or computes shapes, because a change of those is a file that does not load.
fn damage(graph: &mut Graph, name: &str) -> bool {
    let position = graph.nodes.iter().position(|node| node.name == name).expect("the name is a node's");
    let Node { op, inputs, output, .. } = &mut graph.nodes[position];
    let is_float = output.data_type == seg_onnx::graph::DataType::F32;
    match op {
        Op::Conv(_) | Op::MatMul if graph.initializers.contains_key(&inputs[1]) => {
            let constant = inputs[1].clone();
            weights(graph, &constant, |weights| weights.iter_mut().for_each(|weight| *weight *= 1.01));
        }
        Op::BatchNormalization { epsilon } | Op::LayerNormalization { epsilon, .. } => *epsilon = 1e-2,
        Op::Relu => *op = Op::Identity,
        Op::Gelu | Op::Sigmoid => *op = Op::Relu,
        Op::Add if is_float => *op = Op::Sub,
        Op::Sub if is_float => *op = Op::Add,
        Op::Concat { axis: 1 } if is_float => inputs.reverse(),
        Op::MaxPool(pool) => *op = Op::AveragePool(AveragePool { kernel: pool.kernel, strides: pool.strides }),
        Op::Pad { mode } => *mode = PadMode::Edge,
        Op::Resize { coordinates, .. } => *coordinates = Coordinates::Asymmetric,
        _ => return false,
    }
    true
}

/// Returns the nodes of a graph that [`damage`] changes.
fn places(graph: &Graph) -> Vec<String> {
    let names = graph.nodes.iter().map(|node| node.name.clone());
    names.filter(|name| damage(&mut graph.clone(), name)).collect()
}

#[test]
fn a_fault_in_every_node_of_two_networks_is_seen() {
    let passes: Vec<Pass> = applicable(Opset::V20, Target::Portable).copied().collect();
    for (name, cases) in NETWORKS {
        let setting = Setting::new(narrow(name, 1)).with_cases(cases);
        let optimized = |reference: &Reference| {
            let mut model = Model { graph: reference.model.graph.clone(), ..setting.export.model.clone() };
            let logits = model.contract.output.name.clone();
            forms::apply(&mut model.graph, &logits, &model.contract).unwrap();
            run_selected(&mut model.graph, &passes).unwrap();
            model
        };
        let complete = |mut reference: Reference| {
            reference.passes = passes.iter().map(|pass| pass.name.to_owned()).collect();
            reference
        };
        let good = complete(setting.reference(|_| {}));
        let mut evaluator = ExactEvaluator::new(&good.model.graph);
        let whole = optimized(&good);
        let (proof, diagnosis) = setting.prove_model(&good, &whole, &passes, &mut evaluator, |_, _| {});
        assert!(proof.holds() && diagnosis.is_none(), "{name}, no fault: {:?}", proof.findings().collect::<Vec<_>>());

        let (mut planted, mut unseen, mut misnamed) = (0, Vec::new(), Vec::new());
        let mut record = |place: String, holds: bool, is_named: bool| {
            planted += 1;
            if holds {
                unseen.push(place);
            } else if !is_named {
                misnamed.push(place);
            }
        };
        for node in places(&good.model.graph) {
            let reference = complete(setting.reference(|graph| assert!(damage(graph, &node))));
            let mut evaluator = ExactEvaluator::new(&reference.model.graph);
            let model = optimized(&reference);
            let (proof, diagnosis) = setting.prove_model(&reference, &model, &passes, &mut evaluator, |_, _| {});
            let culprit = diagnosis.map(|diagnosis| diagnosis.culprit);
            let is_named = matches!(culprit, Some(Culprit::Lowering | Culprit::Weights { .. }));
            record(format!("lowering {node}"), proof.holds(), is_named);
        }
        for node in places(&whole.graph) {
            let mut model = whole.clone();
            assert!(damage(&mut model.graph, &node));
            let (proof, diagnosis) = setting.prove_model(&good, &model, &passes, &mut evaluator, |_, _| {});
            let culprit = diagnosis.map(|diagnosis| diagnosis.culprit);
            let is_named = matches!(culprit, Some(Culprit::File { node: found, .. }) if found == node);
            record(format!("file {node}"), proof.holds(), is_named);
        }
        let named = 1.0 - misnamed.len() as f64 / planted as f64;
        let score = format!(
            "{name}: mutation score: {} of {planted} planted faults seen, the place of {:.1} % named",
            planted - unseen.len(),
            100.0 * named
        );
        writeln!(io::stderr(), "{score}").unwrap();
        assert!(planted >= 100, "{score}");
        assert!(unseen.is_empty(), "{score}: not seen {unseen:#?}");
        assert!(named >= NAMED_MIN, "{score}: {misnamed:#?}");
    }
}
