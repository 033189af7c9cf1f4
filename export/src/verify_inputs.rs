//! The reference of a proof: the network's graph before any pass, and Burn's output for each input.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array4, Ix4};
use seg_nets::network::Network;
use seg_nets::weights::to_array;
use seg_onnx::Model;
use seg_verify::{ExactError, ExactEvaluator, ExactValues, FrameworkOutput, ProofInput, ProofInputError, Reference};
use thiserror::Error;

use crate::export::Export;
use crate::lower::value_of_stage;

/// An error in computing Burn's outputs for a proof.
#[derive(Debug, Error)]
pub enum FrameworkOutputError {
    /// The input cannot be loaded.
    #[error(transparent)]
    Input(#[from] ProofInputError),
    /// The exact output cannot be computed.
    #[error("cannot compute the exact answer to case `{case}`")]
    Exact {
        /// The case.
        case: String,
        /// The cause.
        source: Box<ExactError>,
    },
}

/// Returns the reference of an exported network, without Burn's outputs yet.
pub fn reference(export: &Export) -> Reference {
    let model = export.lowered.clone();
    let published = export.network.published().name;
    let names = model.graph.initializers.keys().filter_map(|path| Some((published(path)?, path.clone())));
    Reference {
        parameters: names.collect(),
        passes: export.report.passes.iter().map(|(pass, _)| pass.pass.to_owned()).collect(),
        tool: format!("seg-export {} with Burn 0.22", env!("CARGO_PKG_VERSION")),
        framework_outputs: BTreeMap::new(),
        model,
    }
}

/// Computes each case with Burn in 32-bit floats; of the first one also the outputs of the stages.
///
/// # Errors
/// When an input cannot be loaded, or the network does not take it.
pub fn trained(
    net: &Network,
    reference: &Reference,
    cases: &[ProofInput],
    evaluator: &mut ExactEvaluator,
) -> Result<BTreeMap<String, FrameworkOutput>, FrameworkOutputError> {
    let Model { graph, contract, .. } = &reference.model;
    let mut all = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let failed = |source| FrameworkOutputError::Exact { case: case.name.clone(), source: Box::new(source) };
        let input = case.load(contract)?.tensor;
        let exact = &evaluator.output(case, input.view()).map_err(failed)?.output;
        let mut stages = Vec::new();
        let logits = net.forward_observed(to_tensor(&input), |stage, output| {
            if number == 0 {
                stages.push((value_of_stage(graph, stage), to_array(output.clone())));
            }
        });
        let logits = to_array(logits).into_dimensionality::<Ix4>().expect("a rank-4 tensor is a rank-4 array");
        let mut trained = FrameworkOutput::compare(input.view(), logits.view(), exact.view());
        if !stages.is_empty() {
            let names: Vec<_> = stages.iter().map(|(value, _)| value.as_str()).collect();
            let exact = ExactValues::compute(graph, input.view(), &names).map_err(|error| failed(error.into()))?;
            let figures = stages
                .iter()
                .filter_map(|(value, found)| Some((value.clone(), exact.error_stats(value, found.view())?)));
            trained.values = figures.collect();
        }
        all.insert(case.name.clone(), trained);
    }
    Ok(all)
}

fn to_tensor(values: &Array4<f32>) -> Tensor<4> {
    let data = TensorData::new(values.iter().copied().collect::<Vec<_>>(), values.shape());
    Tensor::from_data(data, &Device::flex())
}
