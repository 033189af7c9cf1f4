//! The largest differences that pass: every tolerance of the claims, each with its reason.

use std::fmt;

use seg_verify::bounds;

/// The largest distance of values from the expected ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The measure of the distance.
    pub measure: Measure,
    /// The largest distance that passes.
    pub max: f64,
    /// The reason that it is not smaller and need not be larger.
    pub reason: &'static str,
}

/// A distance between tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The largest difference of two elements.
    Absolute,
    /// The largest difference of two elements, divided by the range of the expected ones: largest
    /// minus smallest.
    OfRange,
    /// The Euclidean norm of the difference, divided by that of the expected tensor.
    OfNorm,
}

/// Burn on the CPU in float32: the results of a block or the network.
pub const BURN_CPU: Tolerance = Tolerance {
    measure: Measure::OfRange,
    max: bounds::FRAMEWORK_ERROR,
    reason: "float32 rounds by 6e-8, and the values pass some hundred roundings in another order",
};

/// ONNX Runtime on the CPU in float32: the results of a block or the network.
pub const ONNX_RUNTIME_CPU: Tolerance =
    Tolerance { measure: Measure::OfRange, max: bounds::CPU_FLOAT32.relative, reason: bounds::CPU_FLOAT32.reason };

/// `rten` on the CPU in float32: the results of the network.
pub const RTEN_CPU: Tolerance = Tolerance {
    measure: Measure::OfRange,
    max: 5e-6,
    reason: "float32 as in ONNX Runtime, with another erf and another exp",
};

/// The logits of the reference network, computed anywhere in float32, against PyTorch's in float32.
pub const LOGITS: Tolerance = Tolerance {
    measure: Measure::Absolute,
    max: 2e-6,
    reason: "PyTorch's own are 2e-7 from its float64, and the logits are of order 0.5",
};

/// The logits of the reference network in our own float64, against PyTorch's in float64.
pub const YARDSTICK: Tolerance = Tolerance {
    measure: Measure::Absolute,
    max: 1e-9,
    reason: "our epsilons of normalisations are float32 as ONNX has them, 3e-14 from PyTorch's beside variances of order 1",
};

/// The largest error of another float32, in times PyTorch's own error against float64.
pub const ERRORS_OF_PYTORCH: f64 = 2.0;

/// The largest error of another correct float32, in times PyTorch's own against float64, in a
/// network of the zoo: its operators add in another order, and its errors need not be PyTorch's.
pub const ZOO_FACTOR: f64 = 4.0;

/// A running statistic after one step, in a network of the zoo.
pub const RUNNING_STATISTICS: Tolerance = Tolerance {
    measure: Measure::OfRange,
    max: 5e-6,
    reason: "means over all pixels of maps that float32 has rounded",
};

/// The gradient of a parameter.
pub const GRADIENT: Tolerance = Tolerance {
    measure: Measure::OfNorm,
    max: 1e-4,
    reason: "sums over all pixels in another order, with cancellation in the early layers",
};

/// The norm of a gradient whose exact value is zero, relative to that of the gradient of the weight
/// beside it.
pub const VANISHING_GRADIENT: f64 = 1e-5;

/// The loss of a step and its terms.
pub const LOSS: Tolerance =
    Tolerance { measure: Measure::Absolute, max: 1e-5, reason: "means over some thousand pixels, of order 1" };

/// A running statistic or a weight after some steps.
pub const AFTER_STEPS: Tolerance = Tolerance {
    measure: Measure::Absolute,
    max: 1e-5,
    reason: "steps of 2e-4 that follow the gradients, and means over all pixels",
};

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absolute => "absolute",
            Self::OfRange => "relative to the range",
            Self::OfNorm => "relative to the norm",
        })
    }
}
