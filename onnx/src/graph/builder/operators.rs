//! One method of [`Scope`] for each operator of networks.

use super::{BuildError, Scope, Value};
use crate::graph::{AveragePool, Conv, Coordinates, Data, MaxPool, Op, PadMode, ResizeBy, ResizeMode, Tensor};

/// The constants of a batch normalisation, each `[c]`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// The learned factor (gamma).
    pub weight: Tensor,
    /// The learned shift (beta).
    pub bias: Tensor,
    /// The mean over the training data.
    pub running_mean: Tensor,
    /// The variance over the training data.
    pub running_var: Tensor,
    /// The constant added to the variance.
    pub epsilon: f32,
}

impl Scope<'_> {
    /// Adds a convolution with constant `weight` `[o, c / group, kh, kw]` and `bias` `[o]`.
    pub fn conv(
        &mut self,
        name: &str,
        x: Value,
        weight: Tensor,
        bias: Option<Tensor>,
        conv: Conv,
    ) -> Result<Value, BuildError> {
        let mut module = self.scope(name);
        let mut operands = vec![x, module.constant("weight", weight)?];
        if let Some(bias) = bias {
            operands.push(module.constant("bias", bias)?);
        }
        self.node(name, Op::Conv(conv), &operands)
    }

    /// Adds a transposed convolution with constant `weight` `[c, o, kh, kw]` and `bias` `[o]`.
    pub fn conv_transpose(
        &mut self,
        name: &str,
        x: Value,
        weight: Tensor,
        bias: Option<Tensor>,
        strides: [usize; 2],
    ) -> Result<Value, BuildError> {
        let mut module = self.scope(name);
        let mut operands = vec![x, module.constant("weight", weight)?];
        if let Some(bias) = bias {
            operands.push(module.constant("bias", bias)?);
        }
        self.node(name, Op::ConvTranspose { strides }, &operands)
    }

    /// Adds a batch normalisation by running statistics, as in inference.
    pub fn batch_norm(&mut self, name: &str, x: Value, norm: BatchNorm) -> Result<Value, BuildError> {
        let mut module = self.scope(name);
        let operands = [
            x,
            module.constant("weight", norm.weight)?,
            module.constant("bias", norm.bias)?,
            module.constant("running_mean", norm.running_mean)?,
            module.constant("running_var", norm.running_var)?,
        ];
        self.node(name, Op::BatchNormalization { epsilon: norm.epsilon }, &operands)
    }

    /// Adds `x/2 * (1 + erf(x/sqrt(2)))`.
    pub fn gelu(&mut self, name: &str, x: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Gelu, &[x])
    }

    /// Adds `1 / (1 + exp(-x))`.
    pub fn sigmoid(&mut self, name: &str, x: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Sigmoid, &[x])
    }

    /// Adds `max(x, 0)`.
    pub fn relu(&mut self, name: &str, x: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Relu, &[x])
    }

    /// Adds the hyperbolic tangent.
    pub fn tanh(&mut self, name: &str, x: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Tanh, &[x])
    }

    /// Adds a normalisation of the last axis by its own mean and variance, with a factor and a
    /// shift for each of its elements: `weight` and `bias` `[c]` for `[..., c]`.
    pub fn layer_norm(
        &mut self,
        name: &str,
        x: Value,
        [weight, bias]: [Tensor; 2],
        epsilon: f32,
    ) -> Result<Value, BuildError> {
        let axis = self.type_of(x)?.rank().saturating_sub(1);
        let mut module = self.scope(name);
        let operands = [x, module.constant("weight", weight)?, module.constant("bias", bias)?];
        self.node(name, Op::LayerNormalization { axis, epsilon }, &operands)
    }

    /// Adds a normalisation of each of `channels` channels by its own mean and variance, without
    /// factor and shift.
    pub fn instance_norm(&mut self, name: &str, x: Value, channels: usize, epsilon: f32) -> Result<Value, BuildError> {
        let mut module = self.scope(name);
        let ones = module.constant("ones", Tensor::vector(vec![1.0; channels]))?;
        let zeros = module.constant("zeros", Tensor::vector(vec![0.0; channels]))?;
        self.node(name, Op::InstanceNormalization { epsilon }, &[x, ones, zeros])
    }

    /// Adds the matrix product of `a` `[..., m, k]` and `b` `[..., k, n]`.
    pub fn mat_mul(&mut self, name: &str, a: Value, b: Value) -> Result<Value, BuildError> {
        self.node(name, Op::MatMul, &[a, b])
    }

    /// Adds another order of the axes: for each axis of the result, its axis in `x`.
    pub fn transpose(&mut self, name: &str, x: Value, perm: [usize; 4]) -> Result<Value, BuildError> {
        self.node(name, Op::Transpose { perm: perm.to_vec() }, &[x])
    }

    /// Adds `exp(x) / sum of exp(x)` along an axis.
    pub fn softmax(&mut self, name: &str, x: Value, axis: usize) -> Result<Value, BuildError> {
        self.node(name, Op::Softmax { axis }, &[x])
    }

    /// Adds the sum over an axis, which keeps the size 1.
    pub fn reduce_sum(&mut self, name: &str, x: Value, axis: usize) -> Result<Value, BuildError> {
        let axes = self.scope(name).constant("axes", Tensor::vector(vec![axis as i64]))?;
        self.node(name, Op::ReduceSum, &[x, axes])
    }

    /// Gives the elements of `x` another shape: a 0 is the size of the same axis of `x`, a -1 the
    /// size that is left.
    pub fn reshape<const N: usize>(&mut self, name: &str, x: Value, shape: [i64; N]) -> Result<Value, BuildError> {
        let shape = self.scope(name).constant("shape", Tensor::vector(shape.to_vec()))?;
        self.node(name, Op::Reshape, &[x, shape])
    }

    /// Takes the elements `start..end` of some axes, each given as `(axis, start, end)`; a negative
    /// end counts from the axis's end.
    pub fn slice<const N: usize>(
        &mut self,
        name: &str,
        x: Value,
        ranges: [(i64, i64, i64); N],
    ) -> Result<Value, BuildError> {
        let mut module = self.scope(name);
        let starts = module.constant("starts", Tensor::vector(ranges.map(|(_, start, _)| start).to_vec()))?;
        let ends = module.constant("ends", Tensor::vector(ranges.map(|(_, _, end)| end).to_vec()))?;
        let axes = module.constant("axes", Tensor::vector(ranges.map(|(axis, _, _)| axis).to_vec()))?;
        self.node(name, Op::Slice, &[x, starts, ends, axes])
    }

    /// Multiplies an image `[n, c, h, w]` by a factor for each channel.
    pub fn scale_channels(&mut self, name: &str, x: Value, factors: Tensor) -> Result<Value, BuildError> {
        let factors = self.scope(name).constant("factors", factors)?;
        self.node(name, Op::Mul, &[x, factors])
    }

    /// Resizes an image to height and width of `reference`. The nodes that compute the size are in
    /// a module of their own, `name_size`.
    pub fn resize_to_size_of(
        &mut self,
        name: &str,
        x: Value,
        reference: Value,
        mode: ResizeMode,
        coordinates: Coordinates,
    ) -> Result<Value, BuildError> {
        let mut module = self.scope(&format!("{name}_size"));
        let given = module.node("given", Op::Shape { start: 0, end: 2 }, &[x])?;
        let wanted = module.node("wanted", Op::Shape { start: 2, end: 4 }, &[reference])?;
        let sizes = module.node("sizes", Op::Concat { axis: 0 }, &[given, wanted])?;
        self.node(name, Op::Resize { mode, coordinates, by: ResizeBy::Sizes }, &[x, sizes])
    }

    /// Adds `a + b`.
    pub fn add(&mut self, name: &str, a: Value, b: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Add, &[a, b])
    }

    /// Adds `a - b`.
    pub fn sub(&mut self, name: &str, a: Value, b: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Sub, &[a, b])
    }

    /// Adds `a * b`.
    pub fn mul(&mut self, name: &str, a: Value, b: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Mul, &[a, b])
    }

    /// Adds `a / b`.
    pub fn div(&mut self, name: &str, a: Value, b: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Div, &[a, b])
    }

    /// Concatenates the channels of several images: `[n, c1, h, w]`, `[n, c2, h, w]` to `[n, c1 +
    /// c2, h, w]`.
    pub fn concat_channels(&mut self, name: &str, images: &[Value]) -> Result<Value, BuildError> {
        self.node(name, Op::Concat { axis: 1 }, images)
    }

    /// Adds the largest value under a moving kernel. A 2x2 kernel with a stride of 2 halves height
    /// and width, rounded down: `[n, c, h, w]` to `[n, c, floor(h/2), floor(w/2)]`.
    ///
    /// ```
    /// # use seg_onnx::graph::{Dim, GraphBuilder, MaxPool};
    /// # let mut builder = GraphBuilder::new("model");
    /// # let x = builder.input("x", [Dim::batch(), Dim::from(3), Dim::height(), Dim::width()])?;
    /// let halving = MaxPool { kernel: [2, 2], strides: [2, 2], pads: [0; 4] };
    /// let halved = builder.root().max_pool("pool", x, halving)?;
    /// assert_eq!(
    ///     builder.root().type_of(halved)?.to_string(),
    ///     "f32[batch, 3, floor(height/2), floor(width/2)]"
    /// );
    /// # Ok::<(), seg_onnx::graph::BuildError>(())
    /// ```
    pub fn max_pool(&mut self, name: &str, x: Value, pool: MaxPool) -> Result<Value, BuildError> {
        self.node(name, Op::MaxPool(pool), &[x])
    }

    /// Adds the mean under a moving kernel.
    pub fn average_pool(&mut self, name: &str, x: Value, pool: AveragePool) -> Result<Value, BuildError> {
        self.node(name, Op::AveragePool(pool), &[x])
    }

    /// Adds the largest value over height and width: `[n, c, h, w]` to `[n, c, 1, 1]`.
    pub fn global_max_pool(&mut self, name: &str, x: Value) -> Result<Value, BuildError> {
        self.node(name, Op::GlobalMaxPool, &[x])
    }

    /// Adds the mean over height and width: `[n, c, h, w]` to `[n, c, 1, 1]`.
    pub fn global_average_pool(&mut self, name: &str, x: Value) -> Result<Value, BuildError> {
        self.node(name, Op::GlobalAveragePool, &[x])
    }

    /// Resizes height and width by constant factors: `[n, c, h, w]` to `[n, c, factor * h, factor *
    /// w]`.
    pub fn upsample(
        &mut self,
        name: &str,
        x: Value,
        factor: u8,
        mode: ResizeMode,
        coordinates: Coordinates,
    ) -> Result<Value, BuildError> {
        let factor = f32::from(factor);
        let scales = self.scope(name).constant("scales", Tensor::vector(vec![1.0, 1.0, factor, factor]))?;
        self.node(name, Op::Resize { mode, coordinates, by: ResizeBy::Scales }, &[x, scales])
    }

    /// Pads an image by constant amounts at top, left, bottom and right.
    pub fn pad(&mut self, name: &str, x: Value, pads: [u32; 4], mode: PadMode) -> Result<Value, BuildError> {
        let [top, left, bottom, right] = pads.map(i64::from);
        let pads = Data::I64(vec![0, 0, top, left, 0, 0, bottom, right]);
        let pads = self.scope(name).constant("pads", Tensor::vector(pads))?;
        self.node(name, Op::Pad { mode }, &[x, pads])
    }

    /// Pads `x` with zeros at the bottom and at the right to the height and width of `reference`,
    /// which must be at least as large.
    ///
    /// A decoder needs this where it doubles a size that an encoder has halved and rounded down. A
    /// row or a column may be missing; of that one, `floor(1/2) = 0` is added before and all of it
    /// after.
    pub fn pad_to_size_of(&mut self, name: &str, x: Value, reference: Value) -> Result<Value, BuildError> {
        for image in [x, reference] {
            let found = self.type_of(image)?.clone();
            if found.rank() != 4 {
                return Err(BuildError::NotAnImage { name: self.path_of(name), found });
            }
        }
        let mut module = self.scope(name);
        let zeros = module.constant("zeros", Tensor::vector(vec![0; 6]))?;
        let wanted = module.node("wanted", Op::Shape { start: 2, end: 4 }, &[reference])?;
        let given = module.node("given", Op::Shape { start: 2, end: 4 }, &[x])?;
        let missing = module.sub("missing", wanted, given)?;
        let pads = module.node("pads", Op::Concat { axis: 0 }, &[zeros, missing])?;
        self.node(name, Op::Pad { mode: PadMode::Constant }, &[x, pads])
    }
}
