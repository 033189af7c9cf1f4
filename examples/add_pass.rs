//! Adds a pass to the rewriter, and shows that the graph computes the same as before.
//!
//! The pass drops a `Relu` that reads another one: `max(max(x, 0), 0) = max(x, 0)`.
//!
//! ```text
//! cargo run --release --bin add_pass
//! ```

#![allow(clippy::print_stdout, reason = "the program shows both graphs")]

use std::error::Error;

use ndarray::ArrayD;
use seg_onnx::evaluate::evaluate;
use seg_onnx::graph::{Dim, Graph, GraphBuilder, Op};
use seg_onnx::passes::{Pass, applicable, run_selected};
use seg_onnx::{Opset, Target};

const DROP_REPEATED_RELU: Pass = Pass { name: "drop_repeated_relu", applies: |_, _| true, run: drop_repeated_relu };

/// Drops each `Relu` that reads another one, and returns the names of those that it dropped.
///
/// Refuses where the second one is an output of the graph, whose name would be lost.
fn drop_repeated_relu(graph: &mut Graph) -> Vec<String> {
    let mut dropped = Vec::new();
    for node in graph.nodes.clone() {
        let reads_relu = |input: &String| graph.nodes.iter().any(|node| node.name == *input && node.op == Op::Relu);
        if node.op == Op::Relu && node.inputs.iter().all(reads_relu) && !graph.outputs.contains(&node.name) {
            graph.redirect(&node.name, &node.inputs[0]);
            dropped.push(node.name);
        }
    }
    graph.tidy();
    dropped
}

/// Builds a graph with two `Relu` in a row.
fn network() -> Result<Graph, Box<dyn Error>> {
    let mut builder = GraphBuilder::new("network");
    let image = builder.input("image", [Dim::batch(), Dim::from(1), Dim::height(), Dim::width()])?;
    let mut root = builder.root();
    let x = root.relu("first", image)?;
    let x = root.relu("second", x)?;
    let y = root.sigmoid("sigmoid", x)?;
    Ok(builder.finish(&[("y", y)])?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let before = network()?;
    let mut after = before.clone();
    // After the passes that the exporter runs. The graph is checked before the first and after
    // each.
    let passes = applicable(Opset::V20, Target::Portable).chain([&DROP_REPEATED_RELU]);
    for report in run_selected(&mut after, passes)? {
        if !report.places.is_empty() {
            println!("{}: {}", report.pass, report.places.join(", "));
        }
    }
    println!("\nbefore:\n{before}\nafter:\n{after}");

    let image = ArrayD::from_shape_fn(vec![1, 1, 3, 4], |place| place[2] as f64 - place[3] as f64);
    let values = |graph: &Graph| evaluate(graph, &[("image", image.clone())], &["y"]);
    if values(&before)? != values(&after)? {
        return Err("the graphs compute different values".into());
    }
    println!("both compute the same values");
    Ok(())
}
