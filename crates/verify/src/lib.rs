//! The proof that an exported model is the trained network, and the certificate that says so.
//!
//! Three answers to each input are compared: the exact one, R, which [`seg_onnx::evaluate`] computes in 64-bit floats of the
//! network's graph before any rewrite; that of the training framework in 32-bit floats, B; and that of the exported model in
//! ONNX Runtime, O. B lies near R, so the graph is the network; O lies as near, so the file is the graph.
//!
//! - [`Reference`] is R's graph and B's errors, in a file of its own, so that a proof needs no training framework;
//! - [`Case`] is an input, [`bounds`] what may differ by how much, fixed beforehand;
//! - [`prove`] compares, [`layers()`] looks inside, [`bisect()`] says what is to blame;
//! - [`certify`] does all of it, and [`Certificate`] holds all of it, for others to check.

pub mod bounds;
mod case;
mod class;
mod figures;
mod finding;
mod masks;
mod reference;
mod yardstick;

mod bisect;
mod certify;
mod evidence;
mod layers;
mod overflow;
mod probe;
mod proof;
mod rebuilt;

mod certificate;
mod criteria;
mod facts;
mod page;
mod place;
mod signature;
mod standing;

#[cfg(test)]
#[path = "../../inference/tests/threshold/mod.rs"]
mod threshold;

pub use bisect::{BisectError, Culprit, Diagnosis, Values, bisect};
pub use case::{Case, CaseError, Input, Pattern};
pub use certificate::{CERTIFICATE_FORMAT, Certificate, CertificateError};
pub use certify::{CertifyError, Order, cases, certify, smallest_failing};
pub use class::{ClassReport, ClassVerdict};
pub use criteria::{Criterion, Verdict, criteria};
pub use facts::{DataFacts, EnvironmentFacts, FileFacts, folder_of};
pub use figures::{Figures, ULP_MIN};
pub use finding::{Finding, contract_differences};
pub use layers::{Extreme, Layer, check_layers, layers};
pub use masks::{MaskReport, Overlap, classes, probabilities};
pub use overflow::Halves;
pub use page::page;
pub use place::{Place, PlaceError};
pub use probe::Probe;
pub use proof::{CaseReport, Deployed, Dice, Proof, ProofError, Subject, prove};
pub use rebuilt::{RebuildError, check_graph};
pub use reference::{
    CheckpointError, REFERENCE_FORMAT, REFERENCE_KEY, Reference, ReferenceError, Trained, TrainedReport,
};
pub use signature::{KeyError, PrivateKey, SignatureError, generate_key, verify_signature};
pub use standing::{Mismatch, Refusal};
pub use yardstick::{Exact, Inside, Yardstick, YardstickError, amplification};
