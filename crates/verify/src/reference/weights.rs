//! Comparison of a reference's learned constants with the trained weights.

use std::path::PathBuf;

use seg_contract::{Contract, ContractError, Sha256};
use seg_inference::{TensorError, TensorFile};
use seg_onnx::graph::Tensor;
use thiserror::Error;

use super::Reference;
use crate::finding::Finding;
use crate::finding::contract::contract_differences;
use crate::inputs::ProofInput;

/// The metadata key of a checkpoint that holds its contract.
const CHECKPOINT_CONTRACT: &str = "contract";

/// An error that makes a checkpoint unusable for comparison.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The tensors cannot be read.
    #[error(transparent)]
    Tensors(#[from] TensorError),
    /// The contract cannot be read.
    #[error("cannot compare with the contract that the checkpoint `{path}` carries")]
    Contract {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ContractError,
    },
}

impl Reference {
    /// Checks that the graph's constants have the hash that the contract names.
    pub fn check_hash(&self) -> Vec<Finding> {
        let mut hash = Sha256::new();
        for (name, tensor) in self.learned() {
            let Some((tensor, values)) = tensor.and_then(|tensor| Some((tensor, tensor.as_f32()?))) else {
                return vec![Finding::Weights {
                    tensor: name.into(),
                    problem: "the reference does not hold it".into(),
                }];
            };
            hash.update(name.as_bytes());
            hash.update([0]);
            for side in tensor.shape() {
                hash.update((*side as u64).to_le_bytes());
            }
            for value in values {
                hash.update(value.to_le_bytes());
            }
        }
        let found = hash.hex();
        let expected = &self.model.contract.provenance.weights_sha256;
        if found == *expected {
            return Vec::new();
        }
        vec![Finding::Hash { found, expected: expected.clone() }]
    }

    /// Checks that the training framework's intermediate values are known for the first fixed input
    /// of a trained network. Its output alone does not suffice: an error deep inside may nearly
    /// vanish before it.
    pub(crate) fn check_values(&self, inputs: &[ProofInput]) -> Option<Finding> {
        let first = inputs.first().filter(|input| !input.is_image() && !self.parameters.is_empty())?;
        let output = self.framework_outputs.get(&first.name)?;
        output.values.is_empty().then_some(Finding::NoValues)
    }

    /// Compares the graph's constants bit for bit with a checkpoint's tensors, and the contract
    /// with the one in the checkpoint.
    ///
    /// # Errors
    /// When the checkpoint or its contract cannot be read.
    pub fn check_weights(&self, checkpoint: &TensorFile) -> Result<Vec<Finding>, CheckpointError> {
        let held = checkpoint.names()?;
        let unknown = held.iter().filter(|name| !self.parameters.contains_key(*name));
        let mut findings: Vec<_> =
            unknown.map(|name| finding(name, "the checkpoint holds it, the reference does not".into())).collect();
        for (name, tensor) in self.learned() {
            let problem = if tensor.is_some() && !held.iter().any(|held| held == name) {
                Some("the reference holds it, the checkpoint does not".into())
            } else {
                difference(checkpoint, name, tensor)?
            };
            findings.extend(problem.map(|problem| finding(name, problem)));
        }
        if let Some(json) = checkpoint.note(CHECKPOINT_CONTRACT)? {
            let unreadable = |source| CheckpointError::Contract { path: checkpoint.path().into(), source };
            let contract = Contract::from_json(&json).map_err(unreadable)?;
            findings.extend(contract_differences(&self.model.contract, &contract, true));
        }
        Ok(findings)
    }
}

fn finding(name: &str, problem: String) -> Finding {
    Finding::Weights { tensor: name.into(), problem }
}

/// Compares a constant of the graph bit for bit with the checkpoint's tensor of that name.
fn difference(checkpoint: &TensorFile, name: &str, tensor: Option<&Tensor>) -> Result<Option<String>, CheckpointError> {
    let Some((tensor, values)) = tensor.and_then(|tensor| Some((tensor, tensor.as_f32()?))) else {
        return Ok(Some("the reference does not hold it".into()));
    };
    let trained = checkpoint.tensor(name)?;
    if trained.shape() != tensor.shape() {
        return Ok(Some(format!("its shape is {:?}, trained was {:?}", tensor.shape(), trained.shape())));
    }
    let differing =
        trained.iter().zip(values).filter(|(trained, value)| trained.to_bits() != f64::from(**value).to_bits()).count();
    Ok((differing > 0).then(|| format!("{differing} of {} values are not the trained ones", values.len())))
}
