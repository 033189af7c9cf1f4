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
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};
use seg_kernels::{
    Activation, Attention, Average, Concatenate, Convolution, Coordinates, Crop, Down, FeedForward, Gate, GroupNorm,
    Join, MaxPool, Mirror, Moments, NormActivation, NormPointwise, Phases, Pointwise, Upsample,
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

/// Computes `activation(norm(x))`.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub(crate) fn norm_activation(norm: Norm, activation: Activation, x: Tensor<4>) -> Tensor<4> {
    let Norm { moments, epsilon, weight, bias } = norm;
    operator::apply(NormActivation { moments, epsilon, activation }, [x, weight, bias])
}

/// Computes `activation(norm(x) + residual)`.
///
/// # Shapes
/// - inputs: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub(crate) fn norm_residual(norm: Norm, activation: Activation, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
    let Norm { moments, epsilon, weight, bias } = norm;
    operator::apply(NormActivation { moments, epsilon, activation }, [x, weight, bias, residual])
}

/// Computes the activation of a map that is normalised by groups of channels.
///
/// # Shapes
/// - weight, bias: `[1, c, 1, 1]`
/// - input: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub(crate) fn group_norm(norm: GroupNorm, x: Tensor<4>, [weight, bias]: Layer) -> Tensor<4> {
    operator::apply(norm, [x, weight, bias])
}

/// Computes `sigmoid(u) x + sigmoid(v) tanh(w)`, element by element.
///
/// # Shapes
/// - inputs: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub(crate) fn gate(u: Tensor<4>, x: Tensor<4>, v: Tensor<4>, w: Tensor<4>) -> Tensor<4> {
    operator::apply(Gate, [u, x, v, w])
}

/// Adds a border of mirrored pixels, `reach` on each side.
///
/// # Shapes
/// - input: `[n, c, h, w]`, each side longer than `reach`
/// - output: `[n, c, h + 2 reach, w + 2 reach]`
pub(crate) fn mirror(x: Tensor<4>, reach: usize) -> Tensor<4> {
    operator::apply(Mirror { reach }, [x])
}

/// Leaves out the outermost pixels, `reach` on each side.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, h - 2 reach, w - 2 reach]`
pub(crate) fn crop(x: Tensor<4>, reach: usize) -> Tensor<4> {
    operator::apply(Crop { reach }, [x])
}

/// Takes the largest value of each 2x2 square; an odd last row or column is left out.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, floor(h / 2), floor(w / 2)]`
pub(crate) fn max_pool_2x2(x: Tensor<4>) -> Tensor<4> {
    operator::apply(MaxPool, [x])
}

/// Puts the channels of maps one behind the other.
///
/// # Shapes
/// - inputs: `[n, c_i, h, w]`
/// - output: `[n, sum of c_i, h, w]`
pub(crate) fn concatenate(maps: Vec<Tensor<4>>) -> Tensor<4> {
    fn apply<const N: usize>(maps: Vec<Tensor<4>>) -> Tensor<4> {
        let maps: [Tensor<4>; N] = maps.try_into().unwrap_or_else(|_| unreachable!("the caller has counted the maps"));
        operator::apply(Concatenate, maps)
    }
    // The networks join no more than five.
    match maps.len() {
        2 => apply::<2>(maps),
        3 => apply::<3>(maps),
        4 => apply::<4>(maps),
        5 => apply::<5>(maps),
        _ => Tensor::cat(maps, 1),
    }
}

/// Upsamples a map to twice its height and width, bilinear with aligned corners, and pads it with
/// zeros to `size`.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, size[0], size[1]]`
pub(crate) fn upsample_to(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    operator::apply(Upsample { size, coordinates: Coordinates::AlignedCorners }, [x])
}

/// Upsamples a map to twice its height and width, bilinear by the borders of pixels.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, 2h, 2w]`
pub(crate) fn upsample_half_pixel(x: Tensor<4>) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    operator::apply(Upsample { size: [2 * h, 2 * w], coordinates: Coordinates::HalfPixel }, [x])
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
    let bias = bias(layer, &x.device());
    operator::apply(Convolution { padding }, [x, layer.weight.val(), bias])
}

/// Returns the zeros around a map of a layer that [`convolve_halved`] computes: dense, of stride 2
/// and a kernel of at least 2x2, with as many before as behind.
pub(crate) fn padding_halved(layer: &Conv2d, size: [usize; 2]) -> Option<[usize; 2]> {
    let [_, _, kh, kw] = layer.weight.dims();
    let whole = Conv2d { stride: [1; 2], ..layer.clone() };
    padding(&whole, size).filter(|_| layer.stride == [2; 2] && kh > 1 && kw > 1)
}

/// Computes a dense convolution of stride 2, as one of stride 1 of the map's four phases.
///
/// # Shapes
/// - input: `[n, c_in, h, w]`
/// - output: `[n, c_out, h', w']`, as kernel and padding say
pub(crate) fn convolve_halved(layer: &Conv2d, x: Tensor<4>, padding: [usize; 2]) -> Tensor<4> {
    let ([_, _, h, w], [rows, columns, kh, kw]) = (x.dims(), layer.weight.dims());
    // The taps that read one phase: half of the kernel's, the last of them zero where that is odd.
    let [half_h, half_w] = [kh.div_ceil(2), kw.div_ceil(2)];
    let size = [(h + 2 * padding[0] - kh) / 2 + half_h, (w + 2 * padding[1] - kw) / 2 + half_w];
    let weight = layer.weight.val().pad((0, 2 * half_w - kw, 0, 2 * half_h - kh), PadMode::Constant(0.0));
    let weight = weight.reshape([rows, columns, half_h, 2, half_w, 2]).permute([0, 1, 3, 5, 2, 4]);
    let weight = weight.reshape([rows, 4 * columns, half_h, half_w]);
    let bias = bias(layer, &x.device());
    let phases = operator::apply(Phases { padding, size }, [x]);
    operator::apply(Convolution { padding: [0; 2] }, [phases, weight, bias])
}

/// Returns the bias of a convolution, zeros where it has none.
fn bias(layer: &Conv2d, device: &Device) -> Tensor<4> {
    let shape = [1, layer.weight.dims()[0], 1, 1];
    layer.bias.as_ref().map_or_else(|| Tensor::zeros(shape, device), |bias| bias.val().reshape(shape))
}

/// Computes the statistics of a batch that lies on the CPU backend.
pub(crate) fn moments_of_batch(x: &Tensor<4>) -> Moments {
    let [_, c, h, w] = x.dims();
    operator::inspect(x, |values| Moments::from_batch(values, c, h * w))
}
