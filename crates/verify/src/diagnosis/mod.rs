//! The diagnosis of a failed proof: the first wrong value and what caused it.

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) mod bisect;
pub(crate) mod rebuild;

/// The place and the cause of a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Diagnosis {
    /// The path of the first wrong value, if one inside the model is wrong.
    pub value: Option<String>,
    /// The cause.
    pub culprit: Culprit,
    /// A property that all failing inputs share and no other has.
    pub when: Option<String>,
}

/// The cause of a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "culprit", rename_all = "snake_case")]
pub enum Culprit {
    /// The weights that were exported.
    Weights {
        /// The first wrong one by its name in the checkpoint, if it is known.
        tensor: Option<String>,
    },
    /// The file's description of its input, its output or its classes.
    Contract {
        /// The field.
        field: String,
    },
    /// The reference: its errors belong to other inputs.
    Reference {
        /// The first such input.
        #[serde(rename = "case")]
        input: String,
    },
    /// The lowered graph: the training framework computes something else.
    Lowering,
    /// A pass.
    Pass {
        /// Its name.
        pass: String,
    },
    /// The precision: it has too few bits.
    Precision,
    /// The file: its graph is not what the passes give.
    File {
        /// The node that differs.
        node: String,
        /// Its operator.
        operator: String,
        /// The part of it that differs.
        what: String,
    },
    /// The library that runs the file.
    Runtime {
        /// The node whose value is wrong, if one inside the model is wrong.
        node: Option<String>,
    },
    /// None of the above.
    Unknown,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.culprit {
            Culprit::Weights { tensor: Some(tensor) } => write!(f, "the weights: `{tensor}` is not the trained one")?,
            Culprit::Weights { tensor: None } => {
                f.write_str("the weights: they are not those that the contract names")?
            }
            Culprit::Contract { field } => {
                write!(f, "the contract: `{field}` is not what the network was trained with")?
            }
            Culprit::Reference { input } => {
                write!(f, "the reference: its `{input}` is another input; export the model again")?;
            }
            Culprit::Lowering => f.write_str("the graph: it is not what the training framework computes")?,
            Culprit::Precision => f.write_str("the precision: in 32-bit floats the value is right")?,
            Culprit::Pass { pass } => write!(f, "the pass `{pass}`: without it the value is right")?,
            Culprit::File { node, operator, what } => {
                write!(f, "the file: node `{node}` ({operator}) is not what the passes make: {what}")?;
            }
            Culprit::Runtime { node: Some(node) } => write!(f, "what runs the file: it computes `{node}` wrongly")?,
            Culprit::Runtime { node: None } => f.write_str("what runs the file, and no value inside of the model")?,
            Culprit::Unknown => f.write_str("no pass alone and nothing else that was looked at")?,
        }
        if let Some(value) = &self.value {
            write!(f, "; the first value that is off is `{value}`")?;
        }
        if let Some(when) = &self.when {
            write!(f, "; only {when}")?;
        }
        Ok(())
    }
}
