//! Bilinear upsampling to twice the size with aligned corners, with its gradient, as one operator.
//!
//! Burn's interpolation has no bilinear gradient on GPUs.

#[cfg(feature = "cube")]
mod cube;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::{FloatTensorOps, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Shape, Tensor};

use super::{fused, is_fused};

/// Twice the height and twice the width, bilinear between pixels whose outermost ones stay at the
/// border.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, 2h, 2w]`
pub fn upsample(x: Tensor<4>) -> Tensor<4> {
    if is_fused(&x) {
        let [_, _, h, w] = x.dims();
        return fused::upsample_to(x, [2 * h, 2 * w]);
    }
    Tensor::from_dispatch(<Dispatch as UpsampleOps>::upsample(x.into_dispatch()))
}

/// The operators of a backend for [`upsample`] and its gradient.
#[backend_extension(Flex, Autodiff, Cube: cfg(feature = "cube"), Fusion: cfg(feature = "cube"))]
trait UpsampleOps: Backend {
    /// `[n, c, h, w]` to `[n, c, 2h, 2w]`.
    #[fusion(dtype = x, shape = upsampled(x))]
    fn upsample(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Computes the gradient of the input from the output's.
    #[fusion(dtype = gradient, shape = downsampled(gradient))]
    fn upsample_gradient(gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

fn upsampled(shape: &Shape) -> Shape {
    let [n, c, h, w] = shape.dims();
    Shape::new([n, c, 2 * h, 2 * w])
}

fn downsampled(shape: &Shape) -> Shape {
    let [n, c, h, w] = shape.dims();
    Shape::new([n, c, h / 2, w / 2])
}

fn bilinear() -> InterpolateOptions {
    InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(true)
}

impl UpsampleOps for Flex {
    fn upsample(x: FlexTensor) -> FlexTensor {
        let [_, _, h, w] = upsampled(&x.shape()).dims();
        Self::interpolate(x, [h, w], bilinear())
    }

    fn upsample_gradient(gradient: FlexTensor) -> FlexTensor {
        let [_, _, h, w] = gradient.shape().dims();
        // The input counts for its shape alone.
        let x = Self::float_zeros(downsampled(&gradient.shape()), &Default::default(), gradient.dtype().into());
        Self::interpolate_backward(x, gradient, [h, w], bilinear())
    }
}

impl<B: UpsampleOps, C: CheckpointStrategy> UpsampleOps for Autodiff<B, C> {
    fn upsample(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct UpsampleBackward;

        impl<B: UpsampleOps> Backward<B, 1> for UpsampleBackward {
            type State = ();

            fn backward(self, ops: Ops<(), 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
                let gradient = gradients.consume::<B>(&ops.node);
                if let [Some(node)] = ops.parents {
                    gradients.register::<B>(node.id, B::upsample_gradient(gradient));
                }
            }
        }

        match UpsampleBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((), B::upsample(x.into_primitive())),
            OpsKind::UnTracked(prepared) => prepared.finish(B::upsample(x.into_primitive())),
        }
    }

    fn upsample_gradient(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::upsample_gradient(gradient.into_primitive()))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, TensorData};

    use super::*;
    use crate::kernels::{assert_close, devices};

    /// Returns the pixel at or before a position of the upsampled side, and the distance behind it.
    fn source(place: usize, side: usize) -> (usize, f64) {
        let position = place as f64 * (side - 1) as f64 / (2 * side - 1) as f64;
        (position as usize, position.fract())
    }

    /// Value, and gradient of the sum of `along * y`, by their definition in float64.
    fn by_definition(x: &TensorData, along: &TensorData, [n, c, h, w]: [usize; 4]) -> [TensorData; 2] {
        let [x, along] = [x, along].map(|data| data.iter::<f64>().collect::<Vec<_>>());
        let (mut y, mut dx) = (vec![0.0; 4 * x.len()], vec![0.0; x.len()]);
        for at in 0..y.len() {
            let (plane, (top, below)) = (at / (4 * h * w), source(at / (2 * w) % (2 * h), h));
            let (left, beside) = source(at % (2 * w), w);
            for (row, row_weight) in [(top, 1.0 - below), ((top + 1).min(h - 1), below)] {
                for (column, column_weight) in [(left, 1.0 - beside), ((left + 1).min(w - 1), beside)] {
                    let from = (plane * h + row) * w + column;
                    y[at] += row_weight * column_weight * x[from];
                    dx[from] += row_weight * column_weight * along[at];
                }
            }
        }
        [TensorData::new(y, [n, c, 2 * h, 2 * w]), TensorData::new(dx, [n, c, h, w])]
    }

    fn dot(one: &TensorData, other: &TensorData) -> f64 {
        one.iter::<f64>().zip(other.iter::<f64>()).map(|(one, other)| one * other).sum()
    }

    #[test]
    fn the_gradient_is_a_difference_quotient() {
        let (shape, normal) = ([2, 3, 5, 7], Distribution::Normal(0.0, 1.0));
        for (name, device) in devices() {
            let device = device.autodiff();
            device.seed(10);
            let random = |[n, c, h, w]: [usize; 4]| Tensor::<4>::random([n, c, h, w], normal, &device);
            let (x, direction, along) = (random(shape).require_grad(), random(shape), random([2, 3, 10, 14]));
            let gradient = x.grad(&(upsample(x.clone()) * along.clone()).sum().backward()).unwrap();
            let along = along.into_data();
            // The map is linear: its difference along a direction is its value there.
            let [moved, _] = by_definition(&direction.to_data(), &along, shape);
            let (slope, quotient) = (dot(&gradient.into_data(), &direction.into_data()), dot(&moved, &along));
            assert!((slope - quotient).abs() <= 1e-4, "{name}: {slope}, expected {quotient}");
        }
    }

    #[test]
    fn value_and_gradient_are_those_of_the_definition() {
        for [n, c, h, w] in [[2, 3, 5, 7], [1, 2, 1, 1], [1, 1, 2, 1], [1, 1, 3, 2], [2, 2, 16, 31], [1, 1, 1, 64]] {
            for (name, device) in devices() {
                let device = device.autodiff();
                device.seed(9);
                let normal = Distribution::Normal(0.0, 1.0);
                let x = Tensor::<4>::random([n, c, h, w], normal, &device).require_grad();
                let along = Tensor::<4>::random([n, c, 2 * h, 2 * w], normal, &device);
                let y = upsample(x.clone());
                let gradient = x.grad(&(y.clone() * along.clone()).sum().backward()).unwrap();
                let expected = by_definition(&x.into_data(), &along.into_data(), [n, c, h, w]);
                for (part, (found, expected)) in
                    ["value", "gradient"].into_iter().zip([y, gradient].into_iter().zip(expected))
                {
                    assert_close(&format!("{name}: {part} at {:?}", [n, c, h, w]), &found.into_data(), &expected);
                }
            }
        }
    }
}
