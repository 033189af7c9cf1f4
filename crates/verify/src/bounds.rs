//! The largest differences that pass, fixed before anything is measured: a bound for each provider
//! and precision.

use std::fmt;

use seg_contract::OutputKind;
use seg_inference::{ComputePrecision, Float32Error, Provider};
use seg_onnx::graph::{DataType, Graph, Op};
use serde::{Deserialize, Serialize};

use crate::inputs::ProofInput;

/// The precision in which an exported model computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ModelPrecision {
    /// 32-bit floats throughout.
    Float32,
    /// 32-bit floats whose products keep 10 bits.
    TensorFloat32,
    /// 16-bit floats, at least in part.
    Float16,
    /// 8-bit integers, at least in part.
    Int8,
}

/// The largest differences that pass for a model on one provider in one precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// The provider.
    pub provider: Provider,
    /// The precision.
    pub precision: ModelPrecision,
    /// The largest error of a logit and of an intermediate value, relative to its scale: see
    /// [`ErrorStats`](super::ErrorStats) and [`ExactValues`](super::ExactValues).
    pub relative: f64,
    /// The largest ratio of the error to that of the training framework in float32. Both are root
    /// mean squares: the largest of some thousand errors differs by a factor of four between two
    /// computations that are equally exact, in favour of either. It is not judged on images that
    /// repeat themselves, whose pixels share one error, nor on values far outside those of images,
    /// which are there to overflow.
    pub times_trained: Option<f64>,
    /// The largest difference between an image's output in a batch and alone, relative to the
    /// scale; `None` for the bound of the error itself.
    pub batch: Option<f64>,
    /// The largest share of an image file's pixels whose class may differ from the exact mask's,
    /// however narrow their margin.
    pub flipped: f64,
    /// The least [Dice](super::Overlap::dice) between each class's pixels in the model's masks and
    /// in the exact ones, over all image files; `None` if errors are so small that masks need no
    /// bound of their own.
    pub dice: Option<f64>,
    /// The reason why the error is not larger, and need not be smaller.
    pub reason: &'static str,
}

/// The largest error of the training framework itself, relative to the scale, in addition to
/// [`PER_PIXEL`].
pub const FRAMEWORK_ERROR: f64 = 5e-6;

/// The error, relative to the scale, that is allowed in addition for each pixel of the longer side,
/// to the training framework and to the exported model. Both compute the coordinates of bilinear
/// upsampling in 32-bit floats. They read beside the pixel by up to 1.2e-7 of the side, and
/// neighbours differ by about a tenth of the scale.
pub const PER_PIXEL: f64 = 1.2e-8;

/// The bound of ONNX Runtime on the CPU in 32-bit floats.
pub const CPU_FLOAT32: Bound = float32(Provider::Cpu);

/// The largest share of an image's pixels that reduced precision may move to another class.
pub const FLIPPED: f64 = 0.005;

/// The least Dice that reduced precision must keep for each class. By pixels alone, a class that
/// covers less than [`FLIPPED`] of them could vanish or appear. For a class that covers a
/// twentieth, both bounds are the same: 0.005 of the pixels are 0.05 of the twentieth in the one
/// mask and of the twentieth in the other. For a smaller class this bound is the narrower one. The
/// border of an object may move so far that 0.95 of it remain: by a pixel around a disc that is 40
/// wide, by a tenth of one on either side of a vessel that is 4 wide.
pub const DICE: f64 = 0.95;

/// The least number of pixels, over all image files, from which a class is judged. Of fewer, ten at
/// its border would decide.
pub const CLASS_PIXELS_LEAST: usize = 100;

/// The reason for [`FLIPPED`] and [`DICE`], in words.
pub const MASKS_REASON: &str = "fewer bits move borders between classes by parts of a pixel; half a percent of an image's \
                                pixels is more than all of a class that is rare, so that each class is held to its own \
                                pixels as well, by as much as half a percent of all is of a class that covers a twentieth";

/// The error of rounding a value to 32 bits once, relative to the value: `2^-24`.
pub const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

/// The relative error at which zeros would pass too.
pub const ANY_ANSWER: f64 = 1.0;

/// The largest number of roundings of the output that an ordinary network makes of one rounding of
/// each intermediate value. The bounds assume it.
pub const ORDINARY: f64 = 2.0;

/// The least value that the training framework's root mean square error counts as, relative to the
/// scale: one rounding. A smaller error is luck and cannot be asked of others.
pub const RMS_LEAST: f64 = ROUNDING;

/// The limits below which errors, masks and rounding are not judged: see the constant of each name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// [`RMS_LEAST`]
    pub rms_least: f64,
    /// [`ORDINARY`]
    pub ordinary_roundings: f64,
    /// [`CLASS_PIXELS_LEAST`]
    pub class_pixels_least: usize,
}

impl Limits {
    /// The limits of this version.
    pub const IN_FORCE: Self =
        Self { rms_least: RMS_LEAST, ordinary_roundings: ORDINARY, class_pixels_least: CLASS_PIXELS_LEAST };
}

/// Returns the bound of 32-bit floats.
const fn float32(provider: Provider) -> Bound {
    let Float32Error { relative, times_trained, reason } = provider.spec().float32;
    Bound {
        provider,
        precision: ModelPrecision::Float32,
        relative,
        times_trained,
        batch: None,
        flipped: 1.0,
        dice: None,
        reason,
    }
}

/// Returns the bound of products that keep 10 bits.
fn tensor_float32(provider: Provider) -> Bound {
    Bound {
        provider,
        precision: ModelPrecision::TensorFloat32,
        relative: 5e-3,
        times_trained: None,
        flipped: FLIPPED,
        dice: Some(DICE),
        reason: "each factor is rounded by 5e-4, and the errors of a sum add up as its square root",
        ..CPU_FLOAT32
    }
}

/// Returns the bound of 16-bit floats.
fn float16(provider: Provider) -> Bound {
    Bound {
        provider,
        precision: ModelPrecision::Float16,
        relative: 2e-2,
        times_trained: None,
        flipped: FLIPPED,
        dice: Some(DICE),
        reason: "each value is rounded by 5e-4, some hundred times one after another",
        ..CPU_FLOAT32
    }
}

/// Returns the bound of 8-bit integers.
fn int8(provider: Provider) -> Bound {
    Bound {
        provider,
        precision: ModelPrecision::Int8,
        relative: ANY_ANSWER,
        // The integers do not depend on the rest of the batch. The remaining floats may be added in
        // another order, and move values by steps of 1/256.
        batch: Some(2e-2),
        times_trained: None,
        flipped: FLIPPED,
        dice: Some(DICE),
        reason: "a scale of 256 steps fits the images that it was calibrated on and nothing else, so what counts is the masks of real images",
    }
}

impl Bound {
    /// Returns the bound for a provider and a precision, or `None` if the provider does not compute
    /// in it.
    pub fn find(provider: Provider, precision: ModelPrecision) -> Option<Self> {
        match precision {
            ModelPrecision::Float32 => Some(float32(provider)),
            ModelPrecision::TensorFloat32 => {
                let has = provider.spec().precisions.contains(&ComputePrecision::Tf32);
                has.then(|| tensor_float32(provider))
            }
            // A model may hold 16-bit floats and 8-bit integers itself, whatever the provider makes
            // of 32-bit floats.
            ModelPrecision::Float16 => Some(float16(provider)),
            ModelPrecision::Int8 => Some(int8(provider)),
        }
    }

    /// Returns true if only the masks of images are judged: an error may be as large as the scale,
    /// so zeros would pass too.
    pub fn rests_on_images(&self) -> bool {
        self.relative >= ANY_ANSWER
    }

    /// Returns the largest difference between an image's output in a batch and alone, for an input
    /// whose longer side has `side` pixels.
    pub fn batch_at(&self, side: usize) -> f64 {
        self.batch.unwrap_or_else(|| self.at(side))
    }

    /// Returns the largest difference between an output of this kind in a batch and alone: for
    /// masks, the share of pixels that may differ.
    pub(crate) fn batch_of(&self, kind: OutputKind, side: usize) -> f64 {
        match kind {
            OutputKind::Mask => self.flipped,
            OutputKind::Logits | OutputKind::Probabilities => self.batch_at(side),
        }
    }

    /// Returns the bound for an input: the ratio to the training framework's error is not judged
    /// where it says nothing, see [`times_trained`](Self::times_trained).
    pub(crate) fn for_input(self, input: &ProofInput) -> Self {
        let times_trained = self.times_trained.filter(|_| !input.overflows() && !input.repeats());
        Self { times_trained, ..self }
    }

    /// Returns the widest margin between two logits of this scale that errors can close: each of
    /// the two may have the largest one.
    pub(crate) fn margin_at(&self, side: usize, scale: f64) -> f64 {
        2.0 * self.at(side) * scale
    }

    /// Returns the largest relative error for an input whose longer side has `side` pixels.
    pub fn at(&self, side: usize) -> f64 {
        self.relative + PER_PIXEL * side as f64
    }
}

/// Returns the largest relative error of the training framework for an input whose longer side has
/// `side` pixels.
pub fn framework_bound_at(side: usize) -> f64 {
    FRAMEWORK_ERROR + PER_PIXEL * side as f64
}

impl ModelPrecision {
    /// Returns the precision in which a graph is computed if its float32 values are computed in
    /// `float32`.
    pub fn from_graph(graph: &Graph, float32: ComputePrecision) -> Self {
        let has = |data_type| graph.nodes.iter().any(|node| node.output.data_type == data_type);
        match float32 {
            _ if graph.nodes.iter().any(|node| matches!(node.op, Op::QuantizeLinear { .. })) => Self::Int8,
            _ if has(DataType::F16) => Self::Float16,
            ComputePrecision::Fp32 => Self::Float32,
            ComputePrecision::Tf32 => Self::TensorFloat32,
            ComputePrecision::Fp16 => Self::Float16,
        }
    }
}

impl fmt::Display for ModelPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::TensorFloat32 => "TensorFloat-32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_asks_something_of_what_it_is_for() {
        use ModelPrecision::{Float16, Float32, Int8, TensorFloat32};
        for provider in Provider::ALL {
            for precision in [Float32, TensorFloat32, Float16, Int8] {
                let Some(bound) = Bound::find(provider, precision) else {
                    assert_eq!(precision, TensorFloat32, "{provider} has no bound");
                    continue;
                };
                assert_eq!((bound.provider, bound.precision), (provider, precision));
                assert!(bound.relative >= FRAMEWORK_ERROR && !bound.reason.is_empty(), "{bound:?}");
                assert!(bound.batch_at(0) < ANY_ANSWER, "{bound:?}: images may be exchanged");
                let judges_masks = bound.dice.is_some();
                assert!(!bound.rests_on_images() || judges_masks, "{bound:?} asks nothing");
                assert_eq!(bound.flipped < 1.0, judges_masks, "{bound:?}: a rare class hides among the pixels");
            }
        }
    }
}
