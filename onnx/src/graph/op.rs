//! The operators, with typed attributes. Each has one output.

use super::DataType;

/// The operator of a node. Operands are listed as `(name)`, optional ones as `[name]`.
///
/// Semantics are those of the ONNX operator of the same name; images are `[n, c, h, w]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// 2-D convolution of `(x, weight, [bias])`, weight `[o, c / group, kh, kw]`, bias `[o]`.
    Conv(Conv),
    /// 2-D transposed convolution of `(x, weight, [bias])`, weight `[c, o, kh, kw]`, bias `[o]`:
    /// `y[o, stride * i + k, stride * j + l]` sums `weight[c, o, k, l] * x[c, i, j]`. It has no
    /// padding, no dilation and one group.
    ConvTranspose {
        /// Step along height and width.
        strides: [usize; 2],
    },
    /// `(x - mean) / sqrt(variance + epsilon) * scale + shift` per channel, of `(x, scale, shift,
    /// mean, variance)`.
    BatchNormalization {
        /// Added to the variance.
        epsilon: f32,
    },
    /// `x/2 * (1 + erf(x/sqrt(2)))` of `(x)`. Needs opset 20.
    Gelu,
    /// The error function of `(x)`.
    Erf,
    /// `1 / (1 + exp(-x))` of `(x)`.
    Sigmoid,
    /// `max(x, 0)` of `(x)`.
    Relu,
    /// The hyperbolic tangent of `(x)`.
    Tanh,
    /// `a + b` of `(a, b)`, with broadcasting.
    Add,
    /// `a - b` of `(a, b)`, with broadcasting.
    Sub,
    /// `a * b` of `(a, b)`, with broadcasting.
    Mul,
    /// `a / b` of `(a, b)`, with broadcasting.
    Div,
    /// The concatenation of the operands along an axis.
    Concat {
        /// The axis that grows.
        axis: usize,
    },
    /// The largest value under a kernel that moves over height and width of `(x)`.
    MaxPool(MaxPool),
    /// The mean under a kernel that moves over height and width of `(x)`.
    AveragePool(AveragePool),
    /// The mean over height and width of `(x)`: `[n, c, 1, 1]`.
    GlobalAveragePool,
    /// The largest value over height and width of `(x)`: `[n, c, 1, 1]`.
    GlobalMaxPool,
    /// The mean of `(x, axes)` over the axes, each of which keeps the size 1. Needs opset 18.
    ReduceMean,
    /// The sum of `(x, axes)` over the axes, each of which keeps the size 1.
    ReduceSum,
    /// `(x - mean) / sqrt(variance + epsilon) * scale + shift` of `(x, scale, shift)`, mean and
    /// variance over the axes from `axis` on; scale and shift have these axes.
    LayerNormalization {
        /// The first axis that is averaged over.
        axis: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// `(x - mean) / sqrt(variance + epsilon) * scale + shift` of `(x, scale, shift)`, `x` `[n, c,
    /// ...]`, mean and variance over the axes behind the channels; scale and shift are `[c]`.
    InstanceNormalization {
        /// Added to the variance.
        epsilon: f32,
    },
    /// The matrix product of `(a, b)`, `[..., m, k]` and `[..., k, n]`, with broadcasting of the
    /// axes in front.
    MatMul,
    /// The elements of `(x, shape)` in the same order under another shape. A 0 in the shape is the
    /// size of the same axis of `x`; one -1 is the size that is left.
    Reshape,
    /// `(x, pads)`, where `pads` lists what is added before each axis, then what is added after
    /// each axis.
    Pad {
        /// The source of the added values.
        mode: PadMode,
    },
    /// Interpolation of `(x, scales)` or `(x, sizes)`.
    Resize {
        /// The way in which values between pixels are computed.
        mode: ResizeMode,
        /// The point of `x` that a pixel of the output stands for.
        coordinates: Coordinates,
        /// The meaning of the second operand.
        by: ResizeBy,
    },
    /// The sizes of the axes `start..end` of `(x)`, as an `i64` vector.
    Shape {
        /// The first axis.
        start: usize,
        /// One past the last axis.
        end: usize,
    },
    /// The elements of `(x)` as another type. Floats become integers towards zero, false and true 0
    /// and 1.
    Cast {
        /// The type of the result.
        to: DataType,
    },
    /// `(x)` with its axes in another order.
    Transpose {
        /// For each axis of the result, its axis in `x`.
        perm: Vec<usize>,
    },
    /// `(x, axes)`, where `axes` lists the axes of size 1 that are removed.
    Squeeze,
    /// `(x, starts, ends, axes)`: from each of the axes the elements `start..end`. A negative end
    /// counts from the axis's end.
    Slice,
    /// `exp(x) / sum of exp(x)` of `(x)` along an axis.
    Softmax {
        /// The axis that sums to 1.
        axis: usize,
    },
    /// The `i64` position of the largest element of `(x)` along an axis, which is removed; the
    /// lowest one on a tie.
    ArgMax {
        /// The axis that is searched.
        axis: usize,
    },
    /// `a > b` of `(a, b)`, with broadcasting.
    Greater,
    /// `clamp(round(x / scale) + zero)` of `(x, scale, zero)`, halves rounded to even; the type is
    /// that of `zero`.
    QuantizeLinear {
        /// The axis along which scale and zero point differ, if they are vectors.
        axis: usize,
    },
    /// `(x - zero) * scale` of `(x, scale, zero)`.
    DequantizeLinear {
        /// The axis along which scale and zero point differ, if they are vectors.
        axis: usize,
    },
    /// `(x)` unchanged.
    Identity,
}

/// The attributes of a 2-D convolution. Defaults: stride 1, no padding, dilation 1, one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Step along height and width.
    pub strides: [usize; 2],
    /// Zeros added at top, left, bottom and right.
    pub pads: [usize; 4],
    /// Distance between kernel taps along height and width.
    pub dilations: [usize; 2],
    /// The number of independent groups of channels; as many as channels for a depthwise
    /// convolution.
    pub group: usize,
}

impl Default for Conv {
    fn default() -> Self {
        Self { strides: [1, 1], pads: [0; 4], dilations: [1, 1], group: 1 }
    }
}

/// The attributes of a 2-D maximum pooling. Its kernel has no gaps, and sizes are rounded down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step along height and width.
    pub strides: [usize; 2],
    /// Pixels added at top, left, bottom and right, fewer than the kernel has there; they are never
    /// the largest.
    pub pads: [usize; 4],
}

/// The attributes of a 2-D average pooling. Its kernel has no gaps, nothing is padded, and sizes
/// are rounded down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step along height and width.
    pub strides: [usize; 2],
}

/// The source of the values that [`Op::Pad`] adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// Zeros.
    Constant,
    /// The values mirrored at the border, which itself is not repeated.
    Reflect,
    /// The value at the border.
    Edge,
}

/// The way in which [`Op::Resize`] computes values between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// From the two neighbours on each axis, weighted by distance.
    Linear,
    /// From the neighbour before (ONNX: `nearest_mode = floor`).
    Nearest,
}

/// The point of the input that a pixel of [`Op::Resize`]'s output stands for, on each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// `i * (input - 1) / (output - 1)`: the outermost pixels of both coincide.
    AlignCorners,
    /// `(i + 0.5) / scale - 0.5`: the outer borders of both coincide.
    HalfPixel,
    /// `i / scale`.
    Asymmetric,
}

/// The meaning of the second operand of [`Op::Resize`], which has one element for each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeBy {
    /// `f32` factors.
    Scales,
    /// `i64` sizes of the output.
    Sizes,
}

impl Op {
    /// Returns the operator's name in ONNX.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "Conv",
            Self::ConvTranspose { .. } => "ConvTranspose",
            Self::BatchNormalization { .. } => "BatchNormalization",
            Self::Gelu => "Gelu",
            Self::Erf => "Erf",
            Self::Sigmoid => "Sigmoid",
            Self::Relu => "Relu",
            Self::Tanh => "Tanh",
            Self::Add => "Add",
            Self::Sub => "Sub",
            Self::Mul => "Mul",
            Self::Div => "Div",
            Self::Concat { .. } => "Concat",
            Self::MaxPool(_) => "MaxPool",
            Self::AveragePool(_) => "AveragePool",
            Self::GlobalAveragePool => "GlobalAveragePool",
            Self::GlobalMaxPool => "GlobalMaxPool",
            Self::ReduceMean => "ReduceMean",
            Self::ReduceSum => "ReduceSum",
            Self::LayerNormalization { .. } => "LayerNormalization",
            Self::InstanceNormalization { .. } => "InstanceNormalization",
            Self::MatMul => "MatMul",
            Self::Reshape => "Reshape",
            Self::Pad { .. } => "Pad",
            Self::Resize { .. } => "Resize",
            Self::Shape { .. } => "Shape",
            Self::Cast { .. } => "Cast",
            Self::Transpose { .. } => "Transpose",
            Self::Squeeze => "Squeeze",
            Self::Slice => "Slice",
            Self::Softmax { .. } => "Softmax",
            Self::ArgMax { .. } => "ArgMax",
            Self::Greater => "Greater",
            Self::QuantizeLinear { .. } => "QuantizeLinear",
            Self::DequantizeLinear { .. } => "DequantizeLinear",
            Self::Identity => "Identity",
        }
    }
}
