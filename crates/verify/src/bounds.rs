//! What may differ by how much, fixed before anything is measured: a bound for each provider and precision.

use std::fmt;

use seg_inference::provider::{ComputePrecision, Provider};
use seg_onnx::graph::{DataType, Graph, Op};
use serde::{Deserialize, Serialize};

/// How an exported model computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// In 32-bit floats throughout.
    Float32,
    /// In 32-bit floats, of which products keep 10 bits.
    TensorFloat32,
    /// In 16-bit floats, in part at least.
    Float16,
    /// In 8-bit integers, in part at least.
    Int8,
}

/// What is asked of a model on one provider in one precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// What computes.
    pub provider: Provider,
    /// In which precision.
    pub precision: Precision,
    /// The largest error of a logit, and of any value inside, relative to their scale, see [`Figures`](super::Figures) and [`Inside`](super::Inside).
    pub relative: f64,
    /// How many times the error of the trained network in the training framework's float32 the error may be. Errors are
    /// root mean squares here: the largest of some thousand differs by a factor of four between two computations that are equally exact, and as
    /// often in the favour of either. Not asked of images that repeat themselves, whose pixels all have one error, nor of values so far outside of
    /// what images have that they are there to overflow.
    pub times_trained: Option<f64>,
    /// The largest difference of an image's answer in a batch to its answer alone, relative to the scale; as much as the error where none is given.
    pub batch: Option<f64>,
    /// The largest share of an image file's pixels that may have another class than in the exact mask, however narrow their margin.
    pub flipped: f64,
    /// The least [Dice](super::Overlap::dice) of each class's pixels in the masks of all image files together with its pixels in the exact ones; where
    /// errors are so small that masks need no judge of their own, none.
    pub dice: Option<f64>,
    /// Why the error need not be larger, and is not asked to be smaller.
    pub reason: &'static str,
}

/// The largest error of the training framework itself, relative to their scale, beside [`PER_PIXEL`].
pub const TRAINED: f64 = 5e-6;

/// How much larger an error may be, the training framework's and the exported model's, for each pixel of the longer side, relative to their scale:
/// both find the coordinates of bilinear upsampling in 32-bit floats, so that they read beside the pixel by up to 1.2e-7 of the side, and neighbours
/// differ by about a tenth of the scale.
pub const PER_PIXEL: f64 = 1.2e-8;

/// ONNX Runtime on the CPU in 32-bit floats.
pub const CPU_FLOAT32: Bound = Bound {
    provider: Provider::Cpu,
    precision: Precision::Float32,
    relative: 5e-6,
    times_trained: Some(2.0),
    batch: None,
    flipped: 1.0,
    dice: None,
    reason: "float32 rounds by 6e-8, and the values pass some hundred roundings in another order, with weights that are \
             rounded once more where a normalisation is folded into them; coordinates of an upsampling are rounded as well",
};

/// How many of an image's pixels fewer bits may move across a border between classes.
pub const FLIPPED: f64 = 0.005;

/// How much of each class fewer bits have to leave where it was. By pixels alone a class that covers less than [`FLIPPED`] of them could vanish, or
/// appear. Where it covers a twentieth, both bounds are the same: 0.005 of the pixels are 0.05 of the twentieth in the one mask and the twentieth in the
/// other. Where it covers less, this one is the narrower. Of an object it says that its border may move by as much as leaves 0.95 of it: by a pixel
/// around a disc that is 40 wide, by a tenth of one on either side of a vessel that is 4 wide.
pub const DICE: f64 = 0.95;

/// As many pixels has a class of which something can be said, over all image files: of fewer, ten at its border would decide on their own.
pub const CLASS_PIXELS_LEAST: usize = 100;

/// Why images' masks may differ by [`FLIPPED`] and [`DICE`], in words.
pub const MASKS_REASON: &str = "fewer bits move borders between classes by parts of a pixel; half a percent of an image's \
                                pixels is more than all of a class that is rare, so that each class is held to its own \
                                pixels as well, by as much as half a percent of all is of a class that covers a twentieth";

/// The error of rounding a value to 32 bits once, relative to the value: `2^-24`.
pub const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

/// An error of so much of the scale zeros have as well.
pub const ANY_ANSWER: f64 = 1.0;

/// Up to so many roundings of the output a network makes of one rounding of each value inside in the ordinary case, which the bounds are for.
pub const ORDINARY: f64 = 2.0;

/// The least that the training framework's root mean square error counts as, relative to the scale: one rounding. Less is luck, and no measure for others.
pub const RMS_LEAST: f64 = ROUNDING;

/// From where on errors, masks and rounding are judged at all: see the constant of each name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Those of this version.
    pub const IN_FORCE: Self =
        Self { rms_least: RMS_LEAST, ordinary_roundings: ORDINARY, class_pixels_least: CLASS_PIXELS_LEAST };
}

/// A GPU, or another library for the CPU, in 32-bit floats.
const fn float32(provider: Provider) -> Bound {
    Bound {
        provider,
        relative: 2e-5,
        times_trained: None,
        reason: "float32 in whatever kernels the provider chooses, Winograd convolutions among them, which round some times more often",
        ..CPU_FLOAT32
    }
}

/// Products of which 10 bits are kept.
const fn tensor_float32(provider: Provider) -> Bound {
    Bound {
        provider,
        precision: Precision::TensorFloat32,
        relative: 5e-3,
        times_trained: None,
        flipped: FLIPPED,
        dice: Some(DICE),
        reason: "each factor is rounded by 5e-4, and the errors of a sum add up as its square root",
        ..CPU_FLOAT32
    }
}

/// 16-bit floats.
const fn float16(provider: Provider) -> Bound {
    Bound {
        provider,
        precision: Precision::Float16,
        relative: 2e-2,
        times_trained: None,
        flipped: FLIPPED,
        dice: Some(DICE),
        reason: "each value is rounded by 5e-4, some hundred times one after another",
        ..CPU_FLOAT32
    }
}

/// 8-bit integers.
const fn int8(provider: Provider) -> Bound {
    Bound {
        provider,
        precision: Precision::Int8,
        relative: ANY_ANSWER,
        // The same integers whatever is beside them; what floats are left may be added in another order, and move values by steps of 1/256.
        batch: Some(2e-2),
        times_trained: None,
        flipped: FLIPPED,
        dice: Some(DICE),
        reason: "a scale of 256 steps fits the images that it was calibrated on and nothing else, so what counts is the masks of real images",
    }
}

/// Every bound.
pub const BOUNDS: &[Bound] = &[
    CPU_FLOAT32,
    float16(Provider::Cpu),
    int8(Provider::Cpu),
    float32(Provider::Cuda),
    tensor_float32(Provider::Cuda),
    float16(Provider::Cuda),
    int8(Provider::Cuda),
    float32(Provider::TensorRt),
    tensor_float32(Provider::TensorRt),
    float16(Provider::TensorRt),
    int8(Provider::TensorRt),
    float32(Provider::OpenVino),
    float16(Provider::OpenVino),
    int8(Provider::OpenVino),
];

impl Bound {
    /// The bound for a provider and a precision, if one was ever fixed.
    pub fn find(provider: Provider, precision: Precision) -> Option<&'static Self> {
        BOUNDS.iter().find(|bound| bound.provider == provider && bound.precision == precision)
    }

    /// Whether all that is asked is asked of the masks of images: where an error may be as large as the scale, zeros are
    /// as good as any answer.
    pub fn rests_on_images(&self) -> bool {
        self.relative >= ANY_ANSWER
    }

    /// The largest difference of an image's answer in a batch to its answer alone, for an input of a longer side, in pixels.
    pub fn batch_at(&self, side: usize) -> f64 {
        self.batch.unwrap_or_else(|| self.at(side))
    }

    /// The largest relative error for an input of a longer side, in pixels.
    pub fn at(&self, side: usize) -> f64 {
        self.relative + PER_PIXEL * side as f64
    }
}

/// The largest relative error of the training framework for an input of a longer side, in pixels.
pub fn trained_at(side: usize) -> f64 {
    TRAINED + PER_PIXEL * side as f64
}

impl Precision {
    /// The precision that a graph is computed in, where float32 values are computed as `float32` says.
    pub fn of(graph: &Graph, float32: ComputePrecision) -> Self {
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

impl fmt::Display for Precision {
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
    fn each_provider_and_precision_has_one_bound() {
        for bound in BOUNDS {
            let same = |other: &&Bound| (other.provider, other.precision) == (bound.provider, bound.precision);
            assert_eq!(BOUNDS.iter().filter(same).count(), 1, "{bound:?}");
            assert_eq!(Bound::find(bound.provider, bound.precision), Some(bound));
            assert!(bound.relative >= TRAINED && !bound.reason.is_empty(), "{bound:?}");
            assert!(bound.batch_at(0) < ANY_ANSWER, "{bound:?}: images may be exchanged");
            let judges_masks = bound.dice.is_some();
            assert!(!bound.rests_on_images() || judges_masks, "{bound:?} asks nothing");
            assert_eq!(bound.flipped < 1.0, judges_masks, "{bound:?}: a rare class hides among the pixels");
        }
    }
}
