//! Comparison of tensors; and the place where a network and its exported graph diverge.

use std::fmt;

use burn::tensor::Device;
use ndarray::{ArrayD, Ix4};
use seg_export::lower::value_of_stage;
use seg_inference::{Comparison, Session, compare};
use seg_nets::network::Network;
use seg_nets::weights::to_array;
use seg_onnx::Model;
use seg_onnx::graph::Graph;

use crate::fixtures::to_tensor;
use crate::runtime;
use crate::tolerance::{Measure, ONNX_RUNTIME_CPU, Tolerance};

/// An error that two tensors disagree, with all that is needed to find out why.
pub struct Mismatch {
    /// The name of the comparison.
    pub case: String,
    /// The first block of the network whose output differs, if it was searched for.
    pub block: Option<String>,
    /// The distance of the tensors.
    pub distance: f64,
    /// The largest distance that passes.
    pub tolerance: Tolerance,
    /// The place of the largest difference, and the number of elements.
    pub comparison: Comparison,
}

/// Checks that the distance of `found` from `expected` is within a tolerance.
///
/// # Errors
/// When it is not, or when there is no distance: a value is not finite, or the expected ones have
/// no range or no norm.
///
/// # Panics
/// When the shapes differ.
pub fn check(
    case: &str,
    found: &ArrayD<f32>,
    expected: &ArrayD<f64>,
    tolerance: &Tolerance,
) -> Result<(), Box<Mismatch>> {
    let comparison = compare(found.view(), expected.view()).unwrap_or_else(|error| panic!("{case}: {error}"));
    let distance = match tolerance.measure {
        Measure::Absolute => comparison.absolute.error,
        Measure::OfRange => comparison.absolute.error / range(expected),
        Measure::OfNorm => norm(&(found.mapv(f64::from) - expected)) / norm(expected),
    };
    report(case, distance, tolerance);
    if comparison.not_finite == 0 && distance <= tolerance.max {
        return Ok(());
    }
    Err(Box::new(Mismatch { case: case.into(), block: None, distance, tolerance: *tolerance, comparison }))
}

/// Prints the measurement, for a failed claim or `--nocapture`.
#[expect(clippy::print_stdout, reason = "the test harness shows it where it is wanted")]
fn report(case: &str, distance: f64, Tolerance { measure, max, .. }: &Tolerance) {
    println!("{distance:.1e} {measure} of {max:.1e}  {case}");
}

/// Returns the Euclidean norm.
pub fn norm(values: &ArrayD<f64>) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn range(values: &ArrayD<f64>) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max) - values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// A stage of the network, and its output.
pub type Stage = (String, ArrayD<f32>);

/// Returns the stages of the network as Burn computes them, the logits last.
pub fn stages(net: &Network, input: &ArrayD<f32>) -> Vec<Stage> {
    let mut stages = Vec::new();
    net.forward_observed(to_tensor(input, &Device::flex()), |stage, output| {
        stages.push((stage.to_owned(), to_array(output.clone())));
    });
    stages
}

/// Returns the graph with other outputs: the values of any of its nodes.
pub fn with_outputs(graph: &Graph, outputs: Vec<String>) -> Graph {
    Graph { outputs, ..graph.clone() }
}

/// A model in ONNX Runtime.
pub struct Exported<'a> {
    model: &'a Model,
    session: Session,
}

impl<'a> Exported<'a> {
    /// Opens the model as a deployment does.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn open(model: &'a Model) -> Self {
        let bytes = model.to_bytes().unwrap_or_else(|error| panic!("{error}"));
        Self { model, session: runtime::open(&bytes) }
    }

    /// Compares all stages with the expected ones, in the order in which they are computed, for an
    /// input `[n, channels, h, w]`.
    ///
    /// The logits alone do not suffice: an error of a deep stage may nearly vanish on the way up.
    ///
    /// # Errors
    /// When a stage differs; the error names the first one that does.
    ///
    /// # Panics
    /// When the model cannot be run.
    pub fn check(&mut self, case: &str, input: &ArrayD<f32>, expected: &[Stage]) -> Result<(), Box<Mismatch>> {
        let Model { graph, opset, .. } = self.model;
        let outputs = expected.iter().map(|(stage, _)| value_of_stage(graph, stage)).collect();
        let inputs = [(graph.inputs[0].name.as_str(), input.clone())];
        let found = runtime::run(&with_outputs(graph, outputs), *opset, &inputs);
        let images = input.view().into_dimensionality::<Ix4>().expect("an input is a batch of images");
        let logits = self.session.run(images).unwrap_or_else(|error| panic!("{case}: {error:?}")).into_dyn();
        // With its stages as outputs, ONNX Runtime may fuse less than in the deployed model.
        let deployed = expected.last().map(|(stage, expected)| (stage, &logits, expected));
        let stages = expected.iter().map(|(stage, expected)| (stage, &found[&value_of_stage(graph, stage)], expected));
        for (stage, found, expected) in stages.chain(deployed) {
            let case = format!("{case}, {stage}");
            check(&case, found, &expected.mapv(f64::from), &ONNX_RUNTIME_CPU).map_err(|mut mismatch| {
                mismatch.block = Some(stage.clone());
                mismatch
            })?;
        }
        Ok(())
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, block, distance, tolerance: Tolerance { measure, max, reason }, comparison } = self;
        writeln!(f, "{case}: the distance ({measure}) is {distance:.1e}, expected at most {max:.1e}: {reason}")?;
        if let Some(block) = block {
            writeln!(f, "first block  {block}")?;
        }
        write!(f, "{comparison}")
    }
}

/// The text of a failed `unwrap`.
impl fmt::Debug for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
