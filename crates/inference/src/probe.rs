//! Tries a provider on a small graph whose output is known.

use std::path::Path;

use ndarray::Array4;
use ort::environment::Environment;
use seg_contract::{
    CONTRACT_FORMAT, Class, ColorOrder, Contract, Input, InputForm, Output, OutputKind, Provenance, Reading, SizePolicy,
};
use seg_onnx::evaluate::evaluate;
use seg_onnx::graph::{BuildError, Conv, Dim, Graph, GraphBuilder, Tensor};
use seg_onnx::{Model, Opset, Target, passes};
use thiserror::Error;

use crate::compare::{CompareError, compare};
use crate::fused::{Sizes, example};
use crate::provider::{ComputePrecision, Options, Provider, Shapes};
use crate::session::{OpenError, RunError, RunsOn, Session};

/// The height and width of the input.
const SIDE: usize = 16;

/// The largest absolute error that passes, for outputs of the order of 1: float32 sums are added in
/// another order, and TensorFloat-32 and float16 keep 10 bits.
const ERROR_MAX: f64 = 1e-5;
const ERROR_MAX_10_BITS: f64 = 1e-2;

/// The reason for which a provider does not work.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The graph cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The graph cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The output has another shape.
    #[error("the output of the test graph cannot be compared")]
    Compare(#[from] CompareError),
    /// The output is wrong.
    #[error("the test graph's output is off by {found:e}, expected at most {max:e}; do not use this provider here")]
    Wrong {
        /// The largest absolute error.
        found: f64,
        /// The largest error that passes.
        max: f64,
    },
}

/// Opens a small graph with the options, runs it, and compares its output with the definition of
/// its operators.
///
/// Returns what computed the graph.
///
/// # Errors
/// When the provider cannot be used, leaves nodes to another one, or computes something else.
pub fn probe(environment: &Environment, options: &Options) -> Result<RunsOn, ProbeError> {
    let graph = if options.provider == Provider::Fused { fused_graph() } else { graph() };
    let model = Model { graph: graph.expect("the test graph is well formed"), opset: Opset::V20, contract: contract() };
    let input = input();
    let expected = evaluate(&model.graph, &[("image", input.mapv(f64::from).into_dyn())], &["scores"])
        .expect("the test graph takes an image of this size");
    let bytes = model.to_bytes().expect("the test graph keeps its contract");
    let options = Options { shapes: options.shapes.map(|_| Shapes::fixed(SIDE, SIDE, 1)), ..options.clone() };
    let mut session = Session::start(environment, Path::new("the test graph"), &bytes, model, &options)?;
    let found = session.run(input.view())?.into_dyn();
    let max = if options.precision == ComputePrecision::Fp32 { ERROR_MAX } else { ERROR_MAX_10_BITS };
    for expected in expected.values().filter_map(|value| value.as_f64()) {
        let comparison = compare(found.view(), expected.view())?;
        if !comparison.is_within(max) {
            return Err(ProbeError::Wrong { found: comparison.absolute.error, max });
        }
    }
    Ok(session.runs_on().clone())
}

/// Builds a small graph with the operators of the networks: a convolution, a nonlinearity, and
/// padding to a size that is known only when it runs.
fn graph() -> Result<Graph, BuildError> {
    let tensor = |shape: [usize; 4], values| Tensor::new(shape, values).expect("as many values as the shape says");
    let mut builder = GraphBuilder::new("probe");
    let image = builder.input("image", [Dim::batch(), Dim::from(3), Dim::height(), Dim::width()])?;
    let mut root = builder.root();
    let values = (0..4 * 3 * 9).map(|index| ((index * 7 % 13) as f32 - 6.0) / 40.0).collect::<Vec<_>>();
    let weight = tensor([4, 3, 3, 3], values);
    let features = root.conv("features", image, weight, None, Conv::default())?;
    let active = root.sigmoid("active", features)?;
    let padded = root.pad_to_size_of("padded", active, image)?;
    let weight = tensor([2, 4, 1, 1], vec![0.5, -0.25, 0.75, 1.0, -0.5, 0.25, -0.75, 0.125]);
    let scores = root.conv("head", padded, weight, None, Conv::default())?;
    builder.finish(&[("scores", scores)])
}

/// Builds a small network of the kind that the fused kernels compute.
fn fused_graph() -> Result<Graph, BuildError> {
    let mut graph = example(Sizes::SMALL, "image", "scores")?;
    passes::run(&mut graph, Opset::V20, Target::Portable).expect("a rewrite keeps a graph whole");
    Ok(graph)
}

fn contract() -> Contract {
    let size = SizePolicy::Resize { height: SIDE, width: SIDE };
    let input = Input {
        name: "image".into(),
        color: ColorOrder::Rgb,
        mean: vec![0.5; 3],
        std: vec![0.5; 3],
        size,
        side_min: 4,
        side_multiple: 1,
        form: InputForm::default(),
        reading: Reading::default(),
    };
    Contract {
        format: CONTRACT_FORMAT,
        input,
        output: Output { name: "scores".into(), kind: OutputKind::Logits },
        classes: vec![Class::new("background", 0), Class::new("target", 1)],
        provenance: Provenance { network: "probe".into(), ..Provenance::default() },
    }
}

fn input() -> Array4<f32> {
    let ramp = |[_, c, y, x]: [usize; 4]| ((c * 5 + y * 3 + x * 7) % 17) as f32 / 8.0 - 1.0;
    Array4::from_shape_fn([1, 3, SIDE, SIDE], |(n, c, y, x)| ramp([n, c, y, x]))
}
