//! Depthwise convolution of stride 1 that keeps the size, with its gradients, as one operator.
//!
//! Burn computes a depthwise convolution's weight gradient as one convolution per channel, or on
//! GPUs with one unit per weight. Here it is one pass over the planes, and so are the value and the
//! input's gradient.

#[cfg(feature = "cube")]
mod cube;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use rayon::prelude::*;
use seg_kernels::Frame;

use super::mixed::on_cpu;
use super::values;

/// Computes a depthwise convolution with bias whose output has the size of its input.
///
/// # Panics
/// When a side of the kernel is even.
pub fn depthwise_layer(channels: usize, kernel: [usize; 2], dilation: usize, device: &Device) -> Conv2d {
    assert!(kernel.iter().all(|side| side % 2 == 1), "a kernel of {kernel:?} has no middle; its sides must be odd");
    let [vertical, horizontal] = kernel.map(|side| dilation * (side - 1) / 2);
    Conv2dConfig::new([channels, channels], kernel)
        .with_groups(channels)
        .with_dilation([dilation, dilation])
        .with_padding(PaddingConfig2d::Explicit(vertical, horizontal, vertical, horizontal))
        .init(device)
}

/// Computes the depthwise convolution of a layer whose stride is 1 and whose padding keeps the
/// size.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
///
/// # Panics
/// When the layer is another one than [`depthwise_layer`] makes.
pub fn depthwise(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    assert_keeps_size(layer);
    let Some(bias) = &layer.bias else { return layer.forward(x) };
    let (weight, bias) = (layer.weight.val().into_dispatch(), bias.val().into_dispatch());
    Tensor::from_dispatch(<Dispatch as DepthwiseOps>::depthwise(x.into_dispatch(), weight, bias, layer.dilation))
}

/// Fails unless a layer is what the operator computes, whatever else its fields could say.
fn assert_keeps_size(layer: &Conv2d) {
    let [channels, per_group, kh, kw] = layer.weight.dims();
    assert!(
        layer.groups == channels && per_group == 1,
        "expected a group for each of {channels} channels, found {}",
        layer.groups
    );
    assert!(kh % 2 == 1 && kw % 2 == 1, "a kernel of {:?} has no middle; its sides must be odd", [kh, kw]);
    assert_eq!(layer.stride, [1, 1], "a depthwise convolution of another stride does not keep the size");
    let [vertical, horizontal] = [layer.dilation[0] * (kh / 2), layer.dilation[1] * (kw / 2)];
    let padding = PaddingConfig2d::Explicit(vertical, horizontal, vertical, horizontal);
    assert_eq!(layer.padding, padding, "a depthwise convolution of another padding does not keep the size");
}

/// The operators of a backend for [`depthwise`] and its gradients.
#[backend_extension(Flex, Autodiff, Cube: cfg(feature = "cube"), Fusion: cfg(feature = "cube"))]
trait DepthwiseOps: Backend {
    /// `x` `[n, c, h, w]`, `weight` `[c, 1, kh, kw]` with odd sides, `bias` `[c]` to `[n, c, h,
    /// w]`; the parameters are float32, whatever type the maps have, and so are their gradients.
    #[fusion(dtype = x, shape = x)]
    fn depthwise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        dilation: [usize; 2],
    ) -> FloatTensor<Self>;

    /// Computes the gradient of the input from the output's.
    #[fusion(dtype = gradient, shape = gradient)]
    fn depthwise_input_gradient(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dilation: [usize; 2],
    ) -> FloatTensor<Self>;

    /// Computes the gradients of weight and bias from the output's.
    #[fusion(meta = cube::parameter_specs)]
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
        on_cpu([x], |[x]| convolve(x, weight, Some(values(&bias)), dilation, false))
    }

    fn depthwise_input_gradient(gradient: FlexTensor, weight: FlexTensor, dilation: [usize; 2]) -> FlexTensor {
        // With stride 1 and symmetric padding, the adjoint is the convolution with the kernel
        // turned by 180 degrees.
        on_cpu([gradient], |[gradient]| convolve(gradient, weight, None, dilation, true))
    }

    fn depthwise_parameter_gradients(
        x: FlexTensor,
        gradient: FlexTensor,
        kernel: [usize; 2],
        dilation: [usize; 2],
    ) -> (FlexTensor, FlexTensor) {
        let [n, c, h, w] = x.shape().dims();
        let [x, gradient] = [x, gradient].map(|map| Self::float_cast(map, FloatDType::F32).to_contiguous());
        let frame = frame([h, w], kernel, dilation);
        let taps = frame.taps(kernel, dilation);
        let mut weights = vec![0.0; c * taps.len()];
        let mut biases = vec![0.0; c];
        weights.par_chunks_mut(taps.len()).zip(&mut biases).enumerate().for_each_init(
            || [vec![0.0; frame.len()], vec![0.0; frame.len()]],
            |[framed, framed_gradient], (channel, (weight, bias))| {
                for plane in (0..n).map(|image| image * c + channel) {
                    frame.insert(&values(&x)[plane * h * w..(plane + 1) * h * w], framed);
                    frame.insert(&values(&gradient)[plane * h * w..(plane + 1) * h * w], framed_gradient);
                    *bias += frame.correlate(framed, &taps, framed_gradient, weight);
                }
            },
        );
        let weights = TensorData::new(weights, [c, 1, kernel[0], kernel[1]]);
        (FlexTensor::from_data(weights), FlexTensor::from_data(TensorData::new(biases, [c])))
    }
}

/// Creates a frame that a kernel's taps do not reach beyond.
fn frame(size: [usize; 2], kernel: [usize; 2], dilation: [usize; 2]) -> Frame {
    Frame::new(size, (0..2).map(|axis| dilation[axis] * (kernel[axis] - 1) / 2).fold(0, usize::max))
}

/// Convolves every plane with its channel's kernel, turned by 180 degrees if asked, and adds the
/// channel's bias.
fn convolve(x: FlexTensor, weight: FlexTensor, bias: Option<&[f32]>, dilation: [usize; 2], turned: bool) -> FlexTensor {
    let [n, c, h, w] = x.shape().dims();
    let [_, _, kh, kw] = weight.shape().dims();
    let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
    let frame = frame([h, w], [kh, kw], dilation);
    let taps = frame.taps([kh, kw], dilation);
    let mut y = vec![0.0; n * c * h * w];
    y.par_chunks_exact_mut(h * w).zip(values(&x).par_chunks_exact(h * w)).enumerate().for_each_init(
        || [vec![0.0; frame.len()], vec![0.0; frame.len()]],
        |[framed, convolved], (plane, (y, x))| {
            let channel = plane % c;
            let mut kernel = values(&weight)[channel * taps.len()..(channel + 1) * taps.len()].to_vec();
            if turned {
                kernel.reverse();
            }
            frame.insert(x, framed);
            frame.convolve(framed, &taps, &kernel, bias.map_or(0.0, |bias| bias[channel]), convolved);
            frame.rows(convolved, y, |convolved, y| y.copy_from_slice(convolved));
        },
    );
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
        // The gradient of a gradient is again a depthwise convolution; without a bias, with the
        // kernel turned.
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
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use burn::module::Module;
    use burn::tensor::Distribution;

    use super::*;
    use crate::kernels::{assert_close, devices};

    /// Value and gradients of input, weight and bias, when the sum of `along * y` is
    /// differentiated.
    type Parts = [(&'static str, TensorData); 4];

    /// Computes the parts as a convolution on a device.
    fn on(
        device: &Device,
        layer: &Conv2d,
        [x, along]: &[TensorData; 2],
        convolve: fn(&Conv2d, Tensor<4>) -> Tensor<4>,
    ) -> Parts {
        let device = device.clone().autodiff();
        let layer = layer.clone().fork(&device);
        let x = Tensor::<4>::from_data(x.clone(), &device).require_grad();
        let y = convolve(&layer, x.clone());
        let gradients = (y.clone() * Tensor::from_data(along.clone(), &device)).sum().backward();
        let bias = layer.bias.as_ref().unwrap().grad(&gradients).unwrap();
        let weight = layer.weight.grad(&gradients).unwrap();
        [
            ("value", y.into_data()),
            ("input", x.grad(&gradients).unwrap().into_data()),
            ("weight", weight.into_data()),
            ("bias", bias.into_data()),
        ]
    }

    fn numbers(data: &TensorData) -> Vec<f64> {
        data.iter().collect()
    }

    /// Weight and bias.
    fn parameters(layer: &Conv2d) -> [Vec<f64>; 2] {
        [layer.weight.val().into_data(), layer.bias.as_ref().unwrap().val().into_data()].map(|data| numbers(&data))
    }

    /// Computes the parts by their definition, in float64.
    fn by_definition(layer: &Conv2d, shape: [usize; 4], [x, weight, bias]: &[Vec<f64>; 3], along: &[f64]) -> Parts {
        let [n, c, h, w] = shape;
        let [_, _, kh, kw] = layer.weight.dims();
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (mut dweight, mut dbias) = (vec![0.0; weight.len()], vec![0.0; c]);
        for at in 0..n * c * h * w {
            let (plane, channel, row, column) = (at / (h * w), at / (h * w) % c, at / w % h, at % w);
            y[at] = bias[channel];
            dbias[channel] += along[at];
            for tap in 0..kh * kw {
                let row =
                    row as isize + (tap / kw * layer.dilation[0]) as isize - (layer.dilation[0] * (kh / 2)) as isize;
                let column =
                    column as isize + (tap % kw * layer.dilation[1]) as isize - (layer.dilation[1] * (kw / 2)) as isize;
                if (0..h as isize).contains(&row) && (0..w as isize).contains(&column) {
                    let (from, tap) = (plane * h * w + row as usize * w + column as usize, channel * kh * kw + tap);
                    y[at] += weight[tap] * x[from];
                    dx[from] += weight[tap] * along[at];
                    dweight[tap] += along[at] * x[from];
                }
            }
        }
        [
            ("value", TensorData::new(y, [n, c, h, w])),
            ("input", TensorData::new(dx, [n, c, h, w])),
            ("weight", TensorData::new(dweight, [c, 1, kh, kw])),
            ("bias", TensorData::new(dbias, [c])),
        ]
    }

    #[test]
    fn value_and_gradients_are_those_of_the_definition() {
        let cpu = Device::flex();
        cpu.seed(5);
        for (kernel, dilation, [n, c, h, w]) in [
            ([3, 3], 1, [2, 3, 9, 13]),
            ([3, 3], 3, [1, 4, 7, 41]),
            ([3, 3], 5, [2, 2, 4, 3]),
            ([1, 5], 1, [2, 3, 6, 33]),
            ([7, 1], 1, [1, 2, 5, 32]),
            ([1, 11], 1, [1, 3, 2, 4]),
            ([11, 1], 1, [2, 2, 20, 70]),
            ([5, 3], 2, [1, 2, 1, 1]),
            ([3, 3], 1, [3, 2, 61, 67]),
        ] {
            let name = format!("kernel {kernel:?}, dilation {dilation}, input {:?}", [n, c, h, w]);
            let layer = depthwise_layer(c, kernel, dilation, &cpu.clone().autodiff());
            let normal = Distribution::Normal(0.0, 1.0);
            let data = [0, 1].map(|_| Tensor::<4>::random([n, c, h, w], normal, &cpu).into_data());
            let [weight, bias] = parameters(&layer);
            let expected = by_definition(&layer, [n, c, h, w], &[numbers(&data[0]), weight, bias], &numbers(&data[1]));
            for (device, handle) in devices() {
                for ((part, found), (_, expected)) in on(&handle, &layer, &data, depthwise).iter().zip(&expected) {
                    assert_close(&format!("{name}: {part} on {device}"), found, expected);
                }
            }
            // Burn's gradients are sums that are further from the exact ones than the bound.
            let [(_, burns), ..] = on(&cpu, &layer, &data, Conv2d::forward);
            assert_close(&format!("{name}: value by Burn"), &burns, &expected[0].1);
        }
    }

    #[test]
    fn gradients_are_difference_quotients() {
        let cpu = Device::flex();
        cpu.seed(7);
        for (kernel, dilation, [n, c, h, w]) in [
            ([3, 3], 1, [2, 3, 9, 13]),
            ([3, 3], 3, [1, 4, 7, 41]),
            ([1, 11], 1, [1, 3, 2, 4]),
            ([5, 3], 2, [1, 2, 1, 1]),
        ] {
            let layer = depthwise_layer(c, kernel, dilation, &cpu.clone().autodiff());
            let normal = Distribution::Normal(0.0, 1.0);
            let random = |shape: [usize; 4]| Tensor::<4>::random(shape, normal, &cpu).into_data();
            let data = [random([n, c, h, w]), random([n, c, h, w])];
            let ([weight, bias], along) = (parameters(&layer), numbers(&data[1]));
            let at = [numbers(&data[0]), weight, bias];
            let sum = |at: &[Vec<f64>; 3]| {
                let [(_, y), ..] = by_definition(&layer, [n, c, h, w], at, &along);
                numbers(&y).iter().zip(&along).map(|(y, along)| y * along).sum::<f64>()
            };
            for (device, handle) in devices() {
                let [_, gradients @ ..] = on(&handle, &layer, &data, depthwise);
                for (moved, (part, gradient)) in gradients.iter().enumerate() {
                    let direction = numbers(&random([1, 1, 1, at[moved].len()]));
                    let step = |length: f64| {
                        let mut at = at.clone();
                        at[moved].iter_mut().zip(&direction).for_each(|(value, along)| *value += length * along);
                        sum(&at)
                    };
                    // The sum is linear in each of the three, so that a long step loses nothing.
                    let quotient = (step(1.0) - step(-1.0)) / 2.0;
                    let terms = numbers(gradient).into_iter().zip(&direction).map(|(slope, along)| slope * along);
                    let (slope, scale) = terms.fold((0.0, 0.0), |(sum, scale), term| (sum + term, scale + term.abs()));
                    let name = format!("kernel {kernel:?}, dilation {dilation}, {part} on {device}");
                    assert!((slope - quotient).abs() <= 1e-5 * scale, "{name}: {slope}, expected {quotient}");
                }
            }
        }
    }

    #[test]
    fn a_layer_that_does_not_keep_the_size_is_refused() {
        type Change = fn(Conv2dConfig) -> Conv2dConfig;
        let same = PaddingConfig2d::Explicit(1, 1, 1, 1);
        let rows: [(&str, [usize; 2], Change, &str); 5] = [
            ("an even kernel", [4, 3], |config| config, "must be odd"),
            ("a stride", [3, 3], |config| config.with_stride([2, 2]), "another stride"),
            ("no padding", [3, 3], |config| config.with_padding(PaddingConfig2d::Valid), "another padding"),
            ("a dilation beyond the padding", [3, 3], |config| config.with_dilation([2, 2]), "another padding"),
            ("one group", [3, 3], |config| config.with_groups(1), "a group for each"),
        ];
        for (name, kernel, change, part) in rows {
            let config = Conv2dConfig::new([2, 2], kernel).with_groups(2).with_padding(same.clone());
            let layer = change(config).init(&Device::flex());
            let x = Tensor::zeros([1, 2, 8, 8], &Device::flex());
            let refused = catch_unwind(AssertUnwindSafe(|| depthwise(&layer, x))).unwrap_err();
            let message = refused.downcast_ref::<String>().unwrap();
            assert!(message.contains(part), "{name}: {message}");
        }
        assert!(catch_unwind(|| depthwise_layer(2, [3, 2], 1, &Device::flex())).is_err(), "it is not made");
    }

    #[test]
    fn equal_inputs_give_equal_bits() {
        let cpu = Device::flex();
        cpu.seed(6);
        let layer = depthwise_layer(3, [3, 3], 1, &cpu.clone().autodiff());
        let data = [0, 1].map(|_| Tensor::<4>::random([2, 3, 65, 67], Distribution::Default, &cpu).into_data());
        for (name, device) in devices() {
            let [first, second] = [0, 1].map(|_| on(&device, &layer, &data, depthwise));
            for ((part, first), (_, second)) in first.iter().zip(&second) {
                assert_eq!(first.as_bytes(), second.as_bytes(), "{name}: {part}");
            }
        }
    }
}
