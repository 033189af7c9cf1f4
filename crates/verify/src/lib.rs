//! The proof that an exported model is the trained network, and its certificate.
//!
//! For each input three outputs are compared. The exact one is computed by [`seg_onnx::evaluate`]
//! in 64-bit floats from the network's graph before any rewrite. The second is that of the training
//! framework in 32-bit floats, the third that of the exported model in ONNX Runtime. If the second
//! is close to the first, the graph is the network; if the third is as close, the file is the
//! graph.
//!
//! - [`Reference`] holds the graph and the framework's errors in a file of its own, so that a proof
//!   needs no training framework;
//! - [`ProofInput`] is an input, and [`bounds`] fixes beforehand how large an error may be;
//! - [`prove`] compares, [`layers()`] looks at intermediate values, [`bisect`] finds the cause;
//! - [`certify`] does all of this, and a [`Certificate`] holds the result for others to check.

pub mod bounds;
mod error_stats;
mod exact;
mod finding;
mod inputs;
mod paths;
mod reference;

mod certify;
mod diagnosis;
mod layers;
mod proof;

mod certificate;

#[cfg(test)]
#[path = "../../inference/tests/threshold/mod.rs"]
mod threshold;

pub use certificate::criteria::{Criterion, Verdict, criteria};
pub use certificate::page::page;
pub use certificate::path::{CertificatePath, CertificatePathError};
pub use certificate::record::{DataRecord, EnvironmentRecord, FileRecord};
pub use certificate::signature::{KeyError, PrivateKey, SignatureError, Signed, generate_key, verify_signature};
pub use certificate::soundness::Contradiction;
pub use certificate::validity::{Mismatch, ValidityError};
pub use certificate::{CERTIFICATE_FORMAT, Certificate, CertificateError};
pub use certify::{CertifyError, CertifyRequest, certify, proof_inputs, smallest_failing};
pub use diagnosis::bisect::{BisectError, bisect};
pub use diagnosis::rebuild::{RebuildError, check_graph};
pub use diagnosis::{Culprit, Diagnosis};
pub use error_stats::{ErrorStats, ULP_MIN};
pub use exact::values::ExactValues;
pub use exact::{ExactError, ExactEvaluator, ExactOutput, amplification};
pub use finding::Finding;
pub use finding::contract::contract_differences;
pub use inputs::pattern::Pattern;
pub use inputs::{LoadedInput, ProofInput, ProofInputError};
pub use layers::half_range::HalfRangeCheck;
pub use layers::intermediate::{IntermediateOutputs, IntermediateValues};
pub use layers::{Extreme, Layer, check_layers, layers};
pub use paths::folder_of;
pub use proof::classes::{ClassReport, ClassVerdict};
pub use proof::masks::{MaskReport, Overlap, classes, probabilities};
pub use proof::report::{Dice, InputReport};
pub use proof::{ModelUnderTest, Proof, ProofError, Runner, prove};
pub use reference::framework::{FrameworkOutput, FrameworkReport};
pub use reference::weights::CheckpointError;
pub use reference::{REFERENCE_FORMAT, REFERENCE_KEY, Reference, ReferenceError};
