//! Whole blocks as operators of the CPU backend: what a block computes, with its gradient, in few
//! passes over memory.
//!
//! Burn's own operators write every map out, and keep most of them for the gradient; on a CPU, that
//! is where the time and the memory go. Here the maps between a block's operators live in tiles
//! that stay in the cache, and the gradient computes them again. What is kept of a block is its
//! input and three maps.

mod operator;

#[cfg(test)]
mod formulas;

pub(crate) use operator::{from_tensor, into_tensor};

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use seg_kernels::{
    Attention, Average, Convolution, Down, FeedForward, Join, Moments, NormGelu, NormPointwise, Pointwise, Upsample,
};

/// A batch normalisation as the operators take it.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    /// The statistics that it normalises by.
    pub(crate) moments: Moments,
    /// Added to the variance.
    pub(crate) epsilon: f64,
    /// `[1, c, 1, 1]`
    pub(crate) weight: Tensor<4>,
    /// `[1, c, 1, 1]`
    pub(crate) bias: Tensor<4>,
}

impl Norm {
    /// Creates the normalisation that leaves maps like `x` as they are.
    pub(crate) fn identity(x: &Tensor<4>) -> Self {
        let [_, channels, _, _] = x.dims();
        let moments = Moments { mean: vec![0.0; channels], variance: vec![1.0; channels], count: None };
        let (shape, device) = ([1, channels, 1, 1], x.device());
        let (weight, bias) = (Tensor::ones(shape, &device), Tensor::zeros(shape, &device));
        Self { moments, epsilon: 0.0, weight, bias }
    }
}

/// The weight `[c_out, c_in / groups, kh, kw]` and the bias `[1, c_out, 1, 1]` of a convolution.
pub(crate) type Layer = [Tensor<4>; 2];

/// Returns weight and bias of a convolution that has a bias.
pub(crate) fn layer(layer: &Conv2d) -> Layer {
    let bias = layer.bias.as_ref().expect("the fused operators are for layers with a bias");
    [layer.weight.val(), bias.val().reshape([1, -1, 1, 1])]
}

/// Computes AMSUnet's attention behind a normalisation: `project(g * mix(ams(g)))` with
/// `g = gelu(first(norm(x)))`.
///
/// `layers` are the first 1x1 convolution, the local and the atrous one, the horizontal and the
/// vertical one of each strip, the mixing and the projecting one.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub(crate) fn attention(norm: Norm, x: Tensor<4>, dilation: usize, layers: [Layer; 11]) -> Tensor<4> {
    let Norm { moments, epsilon, weight, bias } = norm;
    let mut inputs = [x, weight, bias].into_iter().chain(layers.into_iter().flatten());
    let inputs = std::array::from_fn(|_| inputs.next().expect("eleven layers have twenty-two parameters"));
    operator::apply(Attention { moments, epsilon, dilation }, inputs)
}

/// Computes `gelu(project(gelu(local(expand(norm(x))))) + residual)`.
///
/// # Shapes
/// - input, residual: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub(crate) fn feed_forward(norm: Norm, x: Tensor<4>, residual: Tensor<4>, layers: [Layer; 3]) -> Tensor<4> {
    let Norm { moments, epsilon, weight, bias } = norm;
    let [[expand, expand_bias], [local, local_bias], [project, project_bias]] = layers;
    let inputs = [x, residual, weight, bias, expand, expand_bias, local, local_bias, project, project_bias];
    operator::apply(FeedForward { moments, epsilon }, inputs)
}

/// Computes a 1x1 convolution behind a normalisation.
///
/// # Shapes
/// - input: `[n, c_in, h, w]`
/// - output: `[n, c_out, h, w]`
pub(crate) fn norm_pointwise(norm: Norm, x: Tensor<4>, [layer_weight, layer_bias]: Layer) -> Tensor<4> {
    let Norm { moments, epsilon, weight, bias } = norm;
    let operator = NormPointwise { moments, epsilon };
    operator::apply(operator, [x, weight, bias, layer_weight, layer_bias])
}

/// Computes a 2x2 convolution of stride 2 behind a normalisation.
///
/// # Shapes
/// - input: `[n, c_in, h, w]`
/// - output: `[n, c_out, floor(h / 2), floor(w / 2)]`
pub(crate) fn norm_halve(norm: Norm, x: Tensor<4>, [layer_weight, layer_bias]: Layer) -> Tensor<4> {
    let Norm { moments, epsilon, weight, bias } = norm;
    operator::apply(Down { moments, epsilon }, [x, weight, bias, layer_weight, layer_bias])
}

/// Computes `gelu(norm(x))`.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub(crate) fn norm_gelu(norm: Norm, x: Tensor<4>) -> Tensor<4> {
    let Norm { moments, epsilon, weight, bias } = norm;
    operator::apply(NormGelu { moments, epsilon }, [x, weight, bias])
}

/// Upsamples a map to twice its height and width, bilinear with aligned corners, and pads it with
/// zeros to `size`.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, size[0], size[1]]`
pub(crate) fn upsample_to(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    operator::apply(Upsample { size }, [x])
}

/// Computes the mean of each channel.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, 1, 1]`
pub(crate) fn average(x: Tensor<4>) -> Tensor<4> {
    operator::apply(Average, [x])
}

/// Computes `weight rsc(skip) + deep + bias` with
/// `rsc(x) = x + (x * sigmoid(spatial x)) * (x * gate)`.
///
/// # Shapes
/// - skip: `[n, c, h, w]`
/// - deep: `[n, c_out, h, w]`
/// - spatial: `[1, c, 1, 1]`, gate: `[n, c, 1, 1]`
/// - output: `[n, c_out, h, w]`
pub(crate) fn join(
    skip: Tensor<4>,
    deep: Tensor<4>,
    spatial: Tensor<4>,
    gate: Tensor<4>,
    [weight, bias]: Layer,
) -> Tensor<4> {
    operator::apply(Join, [skip, deep, spatial, gate, weight, bias])
}

/// Computes a 1x1 convolution with bias.
///
/// # Shapes
/// - input: `[n, c_in, h, w]`
/// - output: `[n, c_out, h, w]`
pub(crate) fn pointwise(x: Tensor<4>, [weight, bias]: Layer) -> Tensor<4> {
    operator::apply(Pointwise, [x, weight, bias])
}

/// Returns the zeros around a map of a layer that [`convolve`] computes: dense, of stride 1, with
/// as many before as behind.
pub(crate) fn padding(layer: &Conv2d, [h, w]: [usize; 2]) -> Option<[usize; 2]> {
    let [_, _, kh, kw] = layer.weight.dims();
    let [vertical, horizontal] = match layer.padding {
        PaddingConfig2d::Valid => [0; 2],
        PaddingConfig2d::Explicit(top, left, bottom, right) if [top, left] == [bottom, right] => [top, left],
        PaddingConfig2d::Explicit(..) | PaddingConfig2d::Same => return None,
    };
    let plain = layer.stride == [1; 2] && layer.dilation == [1; 2] && layer.groups == 1;
    let fits = vertical < kh && horizontal < kw && h + 2 * vertical >= kh && w + 2 * horizontal >= kw;
    (plain && fits).then_some([vertical, horizontal])
}

/// Computes a dense convolution of stride 1.
///
/// # Shapes
/// - input: `[n, c_in, h, w]`
/// - output: `[n, c_out, h', w']`, as kernel and padding say
pub(crate) fn convolve(layer: &Conv2d, x: Tensor<4>, padding: [usize; 2]) -> Tensor<4> {
    let (shape, device) = ([1, layer.weight.dims()[0], 1, 1], x.device());
    let bias = layer.bias.as_ref().map_or_else(|| Tensor::zeros(shape, &device), |bias| bias.val().reshape(shape));
    operator::apply(Convolution { padding }, [x, layer.weight.val(), bias])
}

/// Computes the statistics of a batch that lies on the CPU backend.
pub(crate) fn moments_of_batch(x: &Tensor<4>) -> Moments {
    let [_, c, h, w] = x.dims();
    operator::inspect(x, |values| Moments::from_batch(values, c, h * w))
}
