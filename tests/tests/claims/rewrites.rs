//! A rewritten graph is as close to the exact result as the plain one: ONNX Runtime's float32 against float64.

use burn::tensor::Device;
use ndarray::ArrayD;
use seg_export::lower::to_graph;
use seg_onnx::evaluate::evaluate;
use seg_onnx::graph::Graph;
use seg_onnx::passes::{PASSES, run, run_selected};
use seg_onnx::{Opset, Target};
use seg_tests::fixtures::{network, noise};
use seg_tests::reference::Reference;
use seg_tests::runtime;

/// How much larger the error of a rewritten graph may be.
const ERROR_RATIO_MAX: f64 = 1.5;

/// Wide enough for every rewrite to fire.
const WIDTH: usize = 16;

/// Batch, height and width: sides that the encoder halves evenly and unevenly.
const IMAGES: [[usize; 3]; 3] = [[1, 48, 32], [2, 71, 49], [3, 33, 54]];

/// The graphs that are compared: each pass alone, and what every target gets.
fn rewritten(plain: &Graph) -> Vec<(String, Graph)> {
    let mut graphs = Vec::new();
    for pass in PASSES {
        let mut graph = plain.clone();
        if !run_selected(&mut graph, [pass]).unwrap()[0].places.is_empty() {
            graphs.push((pass.name.to_owned(), graph));
        }
    }
    for target in Target::ALL {
        for opset in [Opset::V17, Opset::V20] {
            let mut graph = plain.clone();
            run(&mut graph, opset, target).unwrap();
            graphs.push((format!("all for {target} at opset {opset}"), graph));
        }
    }
    graphs
}

/// The length of the difference, relative to that of the exact values.
fn error(graph: &Graph, image: &ArrayD<f32>, exact: &ArrayD<f64>) -> f64 {
    let found = &runtime::run(graph, Opset::V20, &[("input", image.clone())])["logits"];
    let length = |values: ArrayD<f64>| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    length(found.mapv(f64::from) - exact) / length(exact.clone())
}

#[test]
fn a_rewritten_network_is_as_exact_as_the_plain_one() {
    let reference = Reference::open().weights.to_network(&Device::flex()).unwrap();
    for (name, net) in [("random", network(WIDTH, 3)), ("the reference's", reference)] {
        let plain = to_graph(&net, "input", "logits").unwrap();
        let graphs = rewritten(&plain);
        for [batch, height, width] in IMAGES {
            let image = noise(&[batch, 3, height, width], 7);
            let exact = evaluate(&plain, &[("input", image.mapv(f64::from))], &["logits"]).unwrap();
            let exact = exact["logits"].as_f64().unwrap();
            let of_plain = error(&plain, &image, exact);
            for (rewrites, graph) in &graphs {
                let of_rewritten = error(graph, &image, exact);
                assert!(
                    of_rewritten <= ERROR_RATIO_MAX * of_plain,
                    "{name} weights, {rewrites}, {batch} images of {height}x{width}: {of_rewritten:.2e} \
                     against {of_plain:.2e}"
                );
            }
        }
    }
}
