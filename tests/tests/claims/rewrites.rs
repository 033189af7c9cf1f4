//! A rewritten graph is as close to the exact result as the plain one: ONNX Runtime's float32
//! against float64.

use std::collections::BTreeSet;

use burn::tensor::Device;
use ndarray::ArrayD;
use seg_contract::{InputForm, SizePolicy};
use seg_export::{Options, export};
use seg_nets::checkpoint::Checkpoint;
use seg_nets::network::Network;
use seg_onnx::evaluate::evaluate;
use seg_onnx::graph::Graph;
use seg_onnx::passes::{PASSES, Pass, applicable, run_selected};
use seg_onnx::{Opset, Target, forms};
use seg_tests::discs;
use seg_tests::fixtures::{checkpoint, network, noise};
use seg_tests::reference::Reference;
use seg_tests::runtime::Opened;

/// The largest error of a rewritten graph, in times that of the graph before.
const ERROR_RATIO_MAX: f64 = 1.5;

/// A width at which middles are cut in slices.
const WIDTH: usize = 16;

/// Batch, height and width: sides that the encoder halves evenly and unevenly.
const IMAGES: [[usize; 3]; 3] = [[1, 48, 32], [2, 71, 49], [3, 33, 54]];

/// The height and width of graphs of one size, whose paddings are constants, of some pixels and of
/// none.
const SIZE: [usize; 2] = [71, 49];

/// A network's graph after some passes.
struct Rewritten {
    passes: String,
    opset: Opset,
    graph: Graph,
    /// The passes that changed the graph.
    fired: BTreeSet<&'static str>,
}

impl Rewritten {
    fn by(plain: &Graph, name: &str, opset: Opset, passes: &[&'static Pass]) -> Self {
        let mut graph = plain.clone();
        let reports = run_selected(&mut graph, passes.iter().copied()).unwrap();
        let fired = reports.iter().filter(|report| !report.places.is_empty()).map(|report| report.pass).collect();
        Self { passes: name.into(), opset, graph, fired }
    }
}

/// Lists the graphs that are compared, each once: with every pass alone, with the passes of every
/// target, and with those of a CPU and a GPU without one of the passes that fire there, because
/// most passes depend on others.
fn rewritten(plain: &Graph) -> Vec<Rewritten> {
    let mut graphs: Vec<Rewritten> = Vec::new();
    let mut add = |rewritten: Rewritten| {
        let known = |other: &Rewritten| other.opset == rewritten.opset && other.graph == rewritten.graph;
        if !rewritten.fired.is_empty() && !graphs.iter().any(known) {
            graphs.push(rewritten);
        }
    };
    for (target, opset) in Target::ALL.map(|target| [(target, Opset::V17), (target, Opset::V20)]).concat() {
        let all: Vec<_> = applicable(opset, target).collect();
        let whole = Rewritten::by(plain, &format!("all for {target} at opset {opset}"), opset, &all);
        if opset == Opset::V20 && matches!(target, Target::Cpu | Target::TensorRt) {
            for left_out in &whole.fired {
                let rest: Vec<_> = all.iter().copied().filter(|pass| pass.name != *left_out).collect();
                add(Rewritten::by(plain, &format!("all for {target} but {left_out}"), opset, &rest));
            }
        }
        add(whole);
    }
    for pass in PASSES {
        add(Rewritten::by(plain, pass.name, Opset::V20, &[pass]));
    }
    graphs
}

/// Creates the graph of a network for images of any size, and of one only.
fn forms_of(net: &Network) -> [(Option<[usize; 2]>, Graph); 2] {
    [None, Some(SIZE)].map(|size| {
        let input = InputForm { size, ..InputForm::default() };
        let exported = export(&checkpoint(net), &Options { input, ..Options::default() }).unwrap();
        let mut graph = exported.lowered.graph;
        forms::apply(&mut graph, "logits", &exported.model.contract).unwrap();
        (size, graph)
    })
}

/// Returns the norm of the difference, relative to that of the exact values.
fn error(graph: &mut Opened<'_>, image: &ArrayD<f32>, exact: &ArrayD<f64>) -> f64 {
    let found = &graph.run(&[("input", image.clone())])["logits"];
    let length = |values: ArrayD<f64>| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    length(found.mapv(f64::from) - exact) / length(exact.clone())
}

#[test]
fn a_rewritten_network_is_as_exact_as_the_plain_one() {
    let reference = Reference::open().weights.to_network(&Device::flex()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut run = discs::begin_run(folder.path(), SizePolicy::Native);
    // After so few steps, the statistics of the images let noise grow without bounds.
    (run.config.training.estimate_statistics, run.config.training.fixed_statistics) = (false, 0.0);
    run.train(|_| {}).unwrap();
    let trained = Checkpoint::read(&run.folder).unwrap().weights.to_network(&Device::flex()).unwrap();
    let mut fired = BTreeSet::new();
    for (name, net) in [("random", network(WIDTH, 3)), ("the reference's", reference), ("trained", trained)] {
        for (size, plain) in forms_of(&net) {
            let images = IMAGES.iter().filter(|[_, height, width]| size.is_none_or(|size| size == [*height, *width]));
            let mut of_plain = Opened::new(&plain, Opset::V20);
            let cases: Vec<_> = images
                .map(|&[batch, height, width]| {
                    let image = noise(&[batch, 3, height, width], 7);
                    let mut exact = evaluate(&plain, &[("input", image.mapv(f64::from))], &["logits"]).unwrap();
                    let exact = exact.remove("logits").unwrap().as_f64().unwrap().clone();
                    let error = error(&mut of_plain, &image, &exact);
                    (format!("{batch} images of {height}x{width}"), image, exact, error)
                })
                .collect();
            for Rewritten { passes, opset, graph, fired: by } in &rewritten(&plain) {
                fired.extend(by.iter().copied());
                let mut opened = Opened::new(graph, *opset);
                for (images, image, exact, of_plain) in &cases {
                    let of_rewritten = error(&mut opened, image, exact);
                    assert!(
                        of_rewritten <= ERROR_RATIO_MAX * of_plain,
                        "{name} weights, size {size:?}, {passes}, {images}: {of_rewritten:.2e} against {of_plain:.2e}"
                    );
                }
            }
        }
    }
    let silent: Vec<_> = PASSES.iter().map(|pass| pass.name).filter(|name| !fired.contains(name)).collect();
    assert_eq!(silent, [""; 0], "passes that fired nowhere");
}
