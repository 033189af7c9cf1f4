//! Whole blocks as operators of the CPU backend: what a block computes, with its gradient, in few passes over memory.
//!
//! Burn's own operators write every map out, and keep most of them for the gradient; on a CPU, that is where the time
//! and the memory go. Here the maps between a block's operators live in tiles that stay in the cache, and the gradient
//! computes them again. What is kept of a block is its input and three maps.

#![allow(clippy::needless_range_loop, reason = "loops over fixed bounds with indices become registers")]

mod affine;
pub(super) mod frame;
mod lanes;
mod operator;
mod panels;
mod product;
mod strip;

mod attention;
mod average;
mod down;
mod feed_forward;
mod join;
mod norm_gelu;
mod norm_pointwise;
mod upsample;

#[cfg(test)]
mod formulas;

pub(crate) use affine::Moments;

use burn::module::Param;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};

use crate::amsunet::{Amse, Attention, Down, Ffn, Up};
use crate::blocks::BatchNorm;

/// [`Amse::forward`]
pub(crate) fn amse(block: &Amse, x: Tensor<4>) -> Tensor<4> {
    let y = norm_pointwise(&block.norm1, x.clone(), weight(&block.attention.conv1), bias(&block.attention.conv1));
    let y = attended(&block.attention, y);
    feed_forward(&block.norm2, &block.ffn, y, x)
}

/// What follows the attention's first convolution.
fn attended(attention: &Attention, x: Tensor<4>) -> Tensor<4> {
    let ams = &attention.ams;
    let [strip_5, strip_7, strip_11] = [&ams.strip_5, &ams.strip_7, &ams.strip_11];
    let layers = [
        &ams.local,
        &ams.atrous,
        &strip_5.horizontal,
        &strip_5.vertical,
        &strip_7.horizontal,
        &strip_7.vertical,
        &strip_11.horizontal,
        &strip_11.vertical,
        &ams.mix,
        &attention.conv2,
    ];
    let parameters = layers.into_iter().flat_map(|layer| [weight(layer), bias(layer)]);
    let mut inputs = std::iter::once(x).chain(parameters);
    let inputs = std::array::from_fn(|_| inputs.next().expect("the operator takes the map and what its layers have"));
    operator::apply(attention::Attention { dilation: ams.atrous.dilation[0] }, inputs)
}

/// `gelu(ffn(norm(x)) + residual)`
fn feed_forward(norm: &BatchNorm, ffn: &Ffn, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
    let operator = feed_forward::FeedForward { moments: norm.moments(&x), epsilon: norm.epsilon };
    let Ffn { expand, local, project } = ffn;
    let inputs = [
        x,
        residual,
        vector(&norm.weight),
        vector(&norm.bias),
        weight(expand),
        bias(expand),
        weight(local),
        bias(local),
        weight(project),
        bias(project),
    ];
    operator::apply(operator, inputs)
}

/// A 1x1 convolution behind a normalisation.
fn norm_pointwise(norm: &BatchNorm, x: Tensor<4>, weight: Tensor<4>, bias: Tensor<4>) -> Tensor<4> {
    let operator = norm_pointwise::NormPointwise { moments: norm.moments(&x), epsilon: norm.epsilon };
    operator::apply(operator, [x, vector(&norm.weight), vector(&norm.bias), weight, bias])
}

/// `conv(norm(x))` of a step of the encoder.
pub(crate) fn down(block: &Down, x: Tensor<4>) -> Tensor<4> {
    let norm = &block.norm;
    let operator = down::Down { moments: norm.moments(&x), epsilon: norm.epsilon };
    operator::apply(operator, [x, vector(&norm.weight), vector(&norm.bias), weight(&block.conv), bias(&block.conv)])
}

/// `conv([rsc(skip), pad(upsample(norm(deep)))])` of a step of the decoder.
///
/// Interpolation is linear and its shares add up to one, so a 1x1 convolution without bias may as well come before it, where a
/// quarter of the pixels are; the padding's zeros stay zeros.
pub(crate) fn up(block: &Up, deep: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
    let ([_, half, height, width], [rows, _, _, _]) = (skip.dims(), block.conv.weight.dims());
    let [skip_weight, deep_weight] = [0, half].map(|start| weight(&block.conv).narrow(1, start, half));
    let none = Tensor::zeros([1, rows, 1, 1], &deep.device());
    let deep = norm_pointwise(&block.norm, deep, deep_weight, none);
    let deep = operator::apply(upsample::Upsample { size: [height, width] }, [deep]);
    let rsc = &block.rsc;
    let channel = operator::apply(average::Average, [skip.clone()]);
    let gate = sigmoid(pointwise(&rsc.restore, relu(pointwise(&rsc.reduce, channel))));
    let inputs = [skip, deep, weight(&rsc.spatial), gate, skip_weight, bias(&block.conv)];
    operator::apply(join::Join, inputs)
}

/// `gelu(norm(x))`
pub(crate) fn norm_gelu(norm: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
    let operator = norm_gelu::NormGelu { moments: norm.moments(&x), epsilon: norm.epsilon };
    operator::apply(operator, [x, vector(&norm.weight), vector(&norm.bias)])
}

/// A 1x1 convolution with bias.
pub(crate) fn pointwise(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    operator::apply(norm_pointwise::Pointwise, [x, weight(layer), bias(layer)])
}

/// A layer's weight.
fn weight(layer: &Conv2d) -> Tensor<4> {
    layer.weight.val()
}

/// A layer's bias, as a map.
fn bias(layer: &Conv2d) -> Tensor<4> {
    vector(layer.bias.as_ref().expect("the block's layers have a bias"))
}

/// A vector as a map of one image with one pixel.
fn vector(values: &Param<Tensor<1>>) -> Tensor<4> {
    values.val().reshape([1, -1, 1, 1])
}

/// The statistics of a batch that lies on the CPU backend.
pub(crate) fn moments_of_batch(x: &Tensor<4>) -> Moments {
    let [_, c, h, w] = x.dims();
    operator::inspect(x, |values| Moments::of_batch(values, c, h * w))
}
