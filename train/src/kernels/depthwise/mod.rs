//! Depthwise convolution of stride 1 that keeps the size, with its gradients, as one operator of the CPU backend.
//!
//! Burn computes a depthwise convolution's weight gradient as one convolution per channel. Here it is one pass over the
//! planes, and so are the value and the input's gradient.

mod plane;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::{is_cpu, values};
use plane::{Planes, Taps};

/// A depthwise convolution with bias whose output has the size of its input; `kernel` must be odd.
pub fn depthwise_layer(channels: usize, kernel: [usize; 2], dilation: usize, device: &Device) -> Conv2d {
    let [vertical, horizontal] = kernel.map(|side| dilation * (side - 1) / 2);
    Conv2dConfig::new([channels, channels], kernel)
        .with_groups(channels)
        .with_dilation([dilation, dilation])
        .with_padding(PaddingConfig2d::Explicit(vertical, horizontal, vertical, horizontal))
        .init(device)
}

/// The depthwise convolution of a layer whose stride is 1 and whose padding keeps the size.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub fn depthwise(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    match &layer.bias {
        Some(bias) if is_cpu(&x) => {
            let (weight, bias) = (layer.weight.val().into_dispatch(), bias.val().into_dispatch());
            let y = <Dispatch as DepthwiseOps>::depthwise(x.into_dispatch(), weight, bias, layer.dilation);
            Tensor::from_dispatch(y)
        }
        _ => layer.forward(x),
    }
}

/// What a backend must compute for [`depthwise`] and its gradients.
#[backend_extension(Flex, Autodiff)]
trait DepthwiseOps: Backend {
    /// `x` `[n, c, h, w]`, `weight` `[c, 1, kh, kw]` with odd sides, `bias` `[c]` to `[n, c, h, w]`.
    fn depthwise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        dilation: [usize; 2],
    ) -> FloatTensor<Self>;

    /// The gradient of the input, from the output's.
    fn depthwise_input_gradient(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dilation: [usize; 2],
    ) -> FloatTensor<Self>;

    /// The gradients of weight and bias, from the output's.
    fn depthwise_parameter_gradients(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        kernel: [usize; 2],
        dilation: [usize; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl DepthwiseOps for Flex {
    fn depthwise(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, dilation: [usize; 2]) -> FlexTensor {
        let bias = bias.to_contiguous();
        convolve(x, weight, Some(values(&bias)), dilation, false)
    }

    fn depthwise_input_gradient(gradient: FlexTensor, weight: FlexTensor, dilation: [usize; 2]) -> FlexTensor {
        // With stride 1 and symmetric padding, the adjoint is the convolution with the kernel turned by 180 degrees.
        convolve(gradient, weight, None, dilation, true)
    }

    fn depthwise_parameter_gradients(
        x: FlexTensor,
        gradient: FlexTensor,
        kernel: [usize; 2],
        dilation: [usize; 2],
    ) -> (FlexTensor, FlexTensor) {
        let [n, c, h, w] = x.shape().dims();
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        let (x, gradient) = (Planes::new(values(&x), [h, w]), Planes::new(values(&gradient), [h, w]));
        let taps = Taps::new(kernel, dilation, w);
        let mut weights = vec![0.0; c * taps.len()];
        let mut biases = vec![0.0; c];
        weights.par_chunks_mut(taps.len()).zip(&mut biases).enumerate().for_each(|(channel, (weight, bias))| {
            for image in 0..n {
                let plane = image * c + channel;
                taps.correlate(x.plane(plane), gradient.plane(plane), [h, w], weight);
                *bias += gradient.plane(plane).iter().sum::<f32>();
            }
        });
        let weights = TensorData::new(weights, [c, 1, kernel[0], kernel[1]]);
        (FlexTensor::from_data(weights), FlexTensor::from_data(TensorData::new(biases, [c])))
    }
}

/// Convolves every plane with its channel's kernel, turned by 180 degrees if asked, and adds the channel's bias.
fn convolve(x: FlexTensor, weight: FlexTensor, bias: Option<&[f32]>, dilation: [usize; 2], turned: bool) -> FlexTensor {
    let [n, c, h, w] = x.shape().dims();
    let [_, _, kh, kw] = weight.shape().dims();
    let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
    let (x, weight) = (Planes::new(values(&x), [h, w]), values(&weight));
    let taps = Taps::new([kh, kw], dilation, w);
    let mut y = vec![0.0; n * c * h * w];
    y.par_chunks_mut(h * w).enumerate().for_each(|(plane, y)| {
        let channel = plane % c;
        let mut kernel = weight[channel * taps.len()..(channel + 1) * taps.len()].to_vec();
        if turned {
            kernel.reverse();
        }
        taps.convolve(x.plane(plane), &kernel, bias.map_or(0.0, |bias| bias[channel]), [h, w], y);
    });
    FlexTensor::from_data(TensorData::new(y, [n, c, h, w]))
}

impl<B: DepthwiseOps, C: CheckpointStrategy> DepthwiseOps for Autodiff<B, C> {
    fn depthwise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        dilation: [usize; 2],
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct DepthwiseBackward;

        impl<B: DepthwiseOps> Backward<B, 3> for DepthwiseBackward {
            /// Input, weight and dilation.
            type State = (NodeId, NodeId, [usize; 2]);

            fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
                let [x_node, weight_node, bias_node] = ops.parents;
                let (x, weight, dilation) = ops.state;
                let gradient = gradients.consume::<B>(&ops.node);
                let weight: FloatTensor<B> = checkpointer.retrieve_node_output(weight);
                if weight_node.is_some() || bias_node.is_some() {
                    let x: FloatTensor<B> = checkpointer.retrieve_node_output(x);
                    let [_, _, kh, kw] = weight.shape().dims();
                    let (weights, biases) = B::depthwise_parameter_gradients(x, gradient.clone(), [kh, kw], dilation);
                    if let Some(node) = weight_node {
                        gradients.register::<B>(node.id, weights);
                    }
                    if let Some(node) = bias_node {
                        gradients.register::<B>(node.id, biases);
                    }
                }
                if let Some(node) = x_node {
                    gradients.register::<B>(node.id, B::depthwise_input_gradient(gradient, weight, dilation));
                }
            }
        }

        match DepthwiseBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let state = (prepared.checkpoint(&x), prepared.checkpoint(&weight), dilation);
                let y = B::depthwise(x.into_primitive(), weight.into_primitive(), bias.into_primitive(), dilation);
                prepared.finish(state, y)
            }
            OpsKind::UnTracked(prepared) => {
                let y = B::depthwise(x.into_primitive(), weight.into_primitive(), bias.into_primitive(), dilation);
                prepared.finish(y)
            }
        }
    }

    fn depthwise_input_gradient(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dilation: [usize; 2],
    ) -> FloatTensor<Self> {
        // The gradient of a gradient is again a depthwise convolution; without a bias, with the kernel turned.
        let (gradient, weight) = (gradient.into_primitive(), weight.into_primitive());
        Self::from_inner(B::depthwise_input_gradient(gradient, weight, dilation))
    }

    fn depthwise_parameter_gradients(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        kernel: [usize; 2],
        dilation: [usize; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (weights, biases) =
            B::depthwise_parameter_gradients(x.into_primitive(), gradient.into_primitive(), kernel, dilation);
        (Self::from_inner(weights), Self::from_inner(biases))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::super::assert_close;
    use super::*;

    #[test]
    fn value_and_gradients_equal_those_of_burns_convolution() {
        let device = Device::flex().autodiff();
        device.seed(5);
        for (kernel, dilation, [n, c, h, w]) in [
            ([3, 3], 1, [2, 3, 9, 13]),
            ([3, 3], 3, [1, 4, 7, 41]),
            ([3, 3], 5, [2, 2, 4, 3]),
            ([1, 5], 1, [2, 3, 6, 33]),
            ([7, 1], 1, [1, 2, 5, 32]),
            ([1, 11], 1, [1, 3, 2, 4]),
            ([11, 1], 1, [2, 2, 20, 70]),
            ([5, 3], 2, [1, 2, 1, 1]),
        ] {
            let name = format!("kernel {kernel:?}, dilation {dilation}, input {:?}", [n, c, h, w]);
            let layer = depthwise_layer(c, kernel, dilation, &device);
            let x = Tensor::<4>::random([n, c, h, w], Distribution::Normal(0.0, 1.0), &device).require_grad();
            let along = Tensor::<4>::random([n, c, h, w], Distribution::Normal(0.0, 1.0), &device);
            let results = [depthwise(&layer, x.clone()), layer.forward(x.clone())].map(|y| {
                let gradients = (y.clone() * along.clone()).sum().backward();
                let bias = layer.bias.as_ref().unwrap().grad(&gradients).unwrap();
                let weight = layer.weight.grad(&gradients).unwrap();
                [
                    ("value", y.into_data()),
                    ("input", x.grad(&gradients).unwrap().into_data()),
                    ("weight", weight.into_data()),
                    ("bias", bias.into_data()),
                ]
            });
            let [ours, burns] = results;
            for ((part, ours), (_, burns)) in ours.into_iter().zip(burns) {
                assert_close(&format!("{name}: {part}"), &ours, &burns);
            }
        }
    }
}
