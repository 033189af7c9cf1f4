//! Findings against a model: each says what was expected and what was found.

use serde::{Deserialize, Serialize};

pub(crate) mod contract;
mod message;

use crate::bounds::ModelPrecision;
use crate::proof::masks::Overlap;

/// A defect that a proven model does not have. One finding suffices for a verdict against the
/// model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// A weight of the reference differs from the trained one.
    Weights {
        /// The name in the checkpoint.
        tensor: String,
        /// The difference.
        problem: String,
    },
    /// The reference's weights as a whole are not those that the contract names.
    Hash {
        /// The hash of the weights.
        found: String,
        /// The hash that the contract names.
        expected: String,
    },
    /// The file describes its input, its output or its classes differently.
    Contract {
        /// The field.
        field: String,
        /// The value in the file.
        found: String,
        /// The expected value.
        expected: String,
    },
    /// The training framework computes something else than the network's graph.
    Trained {
        /// The path of the value.
        value: String,
        /// The largest error, relative to the scale.
        found: f64,
        /// The number of values that are not finite.
        not_finite: usize,
        /// The largest error that passes.
        allowed: f64,
    },
    /// The training framework's mask differs.
    TrainedMask {
        /// The number of flipped pixels that rounding does not explain.
        unexplained: usize,
        /// The widest margin of a flipped pixel.
        widest: f64,
        /// The widest margin that rounding explains.
        allowed: f64,
    },
    /// The file's graph differs from the expected one.
    File {
        /// The node that differs.
        node: String,
        /// The node's operator.
        operator: String,
        /// The part of the node that differs.
        what: String,
    },
    /// No image was compared, and the precision is judged on images only.
    NoImage {
        /// The precision.
        precision: ModelPrecision,
    },
    /// The images show one class only, and the precision is judged on images only: a model that
    /// returns this class everywhere would pass.
    OneClass {
        /// The precision.
        precision: ModelPrecision,
    },
    /// Nothing was compared: for every input the network exceeds 32-bit floats, or amplifies their
    /// rounding to the size of its output.
    Nothing,
    /// Nothing was compared for an image file that the proof should cover.
    NothingOfImage,
    /// The training framework's output is not known for inputs that every reference knows it for:
    /// nothing shows that the graph is the network that was trained.
    NoFramework {
        /// The number of such inputs.
        unknown: usize,
        /// The number of inputs for which it must be known.
        inputs: usize,
    },
    /// The training framework's intermediate values are not known for the first input.
    NoValues,
    /// The training framework was given another input.
    Input,
    /// The output has another shape.
    Shape {
        /// The shape that was found.
        found: Vec<usize>,
        /// The expected shape.
        expected: Vec<usize>,
    },
    /// Outputs are infinite or not a number.
    NotFinite {
        /// The number of such outputs.
        count: usize,
        /// The number of all outputs.
        elements: usize,
    },
    /// Outputs are finite although the exact ones are beyond 32-bit floats.
    Hidden {
        /// The number of such outputs.
        count: usize,
        /// The number of all outputs.
        elements: usize,
    },
    /// The error of the output is too large.
    Error {
        /// The largest error, relative to the scale.
        found: f64,
        /// The largest error that passes.
        allowed: f64,
    },
    /// The root mean square error is too large beside the training framework's.
    TimesTrained {
        /// The ratio of the two errors.
        found: f64,
        /// The largest ratio that passes.
        allowed: f64,
    },
    /// An image's output depends on the other images of the batch.
    Batch {
        /// The largest difference from the image's own output, relative to the scale; of masks, the
        /// share of pixels that differ.
        found: f64,
        /// The largest difference that passes.
        allowed: f64,
    },
    /// Pixels have another class, and rounding does not explain it.
    Mask {
        /// The number of such pixels.
        unexplained: usize,
        /// The widest margin of such a pixel.
        widest: f64,
        /// The widest margin that rounding explains.
        allowed: f64,
    },
    /// Too many pixels have another class, even if rounding may explain each of them.
    Flipped {
        /// The share of such pixels.
        found: f64,
        /// The largest share that passes.
        allowed: f64,
    },
    /// A class of the exact masks is lost, invented or elsewhere, over all images.
    Class {
        /// The class's name.
        class: String,
        /// The class's pixels.
        pixels: Overlap,
        /// The Dice of the pixels.
        found: f64,
        /// The least Dice that passes.
        allowed: f64,
    },
    /// A value exceeds the range of the precision.
    Overflow {
        /// The path of the value.
        value: String,
        /// The largest magnitude.
        found: f64,
        /// The largest magnitude in range.
        allowed: f64,
    },
    /// The error of an intermediate value is too large.
    Value {
        /// The path of the value.
        value: String,
        /// The largest error, relative to the scale.
        found: f64,
        /// The number of values that are not finite.
        not_finite: usize,
        /// The largest error that passes.
        allowed: f64,
    },
}

impl Finding {
    /// Returns true if the finding says that too little was compared, and nothing about the model.
    pub fn is_undecided(&self) -> bool {
        matches!(
            self,
            Self::NoImage { .. }
                | Self::OneClass { .. }
                | Self::Nothing
                | Self::NothingOfImage
                | Self::NoFramework { .. }
                | Self::NoValues
        )
    }
}
