//! GELU, the exact one, with the exact gradient on every backend.

#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "cube")]
mod normal;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::mixed::on_cpu;
use super::values;

/// The values that a thread takes at a time: they stay in its second-level cache.
const CHUNK: usize = 1 << 14;

/// `x * Phi(x)` with the normal distribution `Phi`, element by element, as one operator with its
/// gradient: Burn's own GELU has the gradient of the tanh approximation on GPUs.
pub fn gelu(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as GeluOps>::gelu_exact(x.into_dispatch()))
}

/// The operators of a backend for [`gelu`] and its gradient.
#[backend_extension(Flex, Autodiff, Cube: cfg(feature = "cube"), Fusion: cfg(feature = "cube"))]
trait GeluOps: Backend {
    /// Computes the value, element by element.
    #[fusion(dtype = x, shape = x)]
    fn gelu_exact(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Computes the gradient of the input from the output's.
    #[fusion(dtype = x, shape = x)]
    fn gelu_exact_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl GeluOps for Flex {
    fn gelu_exact(x: FlexTensor) -> FlexTensor {
        on_cpu([x], |[x]| {
            let x = x.to_contiguous();
            let mut y = vec![0.0; x.shape().num_elements()];
            y.par_chunks_mut(CHUNK).zip(values(&x).par_chunks(CHUNK)).for_each(|(y, x)| seg_kernels::gelu(x, y));
            FlexTensor::from_data(TensorData::new(y, x.shape()))
        })
    }

    fn gelu_exact_gradient(x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        on_cpu([x, gradient], |[x, gradient]| {
            let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
            let mut y = values(&gradient).to_vec();
            y.par_chunks_mut(CHUNK)
                .zip(values(&x).par_chunks(CHUNK))
                .for_each(|(y, x)| seg_kernels::gelu_gradient(x, y));
            FlexTensor::from_data(TensorData::new(y, x.shape()))
        })
    }
}

impl<B: GeluOps, C: CheckpointStrategy> GeluOps for Autodiff<B, C> {
    fn gelu_exact(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct GeluBackward;

        impl<B: GeluOps> Backward<B, 1> for GeluBackward {
            type State = NodeId;

            fn backward(self, ops: Ops<NodeId, 1>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
                let gradient = gradients.consume::<B>(&ops.node);
                let x: FloatTensor<B> = checkpointer.retrieve_node_output(ops.state);
                if let [Some(node)] = ops.parents {
                    gradients.register::<B>(node.id, B::gelu_exact_gradient(x, gradient));
                }
            }
        }

        match GeluBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let state = prepared.checkpoint(&x);
                prepared.finish(state, B::gelu_exact(x.into_primitive()))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::gelu_exact(x.into_primitive())),
        }
    }

    fn gelu_exact_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::gelu_exact_gradient(x.into_primitive(), gradient.into_primitive()))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, activation};

    use super::*;
    use crate::kernels::devices;

    /// `(x, GELU(x), GELU'(x))`, from 30-digit arithmetic of `x Phi(x)` and `Phi(x) + x phi(x)`.
    const VALUES: [(f64, f64, f64); 7] = [
        (-4.0, -0.000_126_684_97, -0.000_503_649_66),
        (-1.5, -0.100_210_81, -0.127_469_31),
        (-0.5, -0.154_268_77, 0.132_504_87),
        (0.0, 0.0, 0.5),
        (0.5, 0.345_731_23, 0.867_495_13),
        (1.0, 0.841_344_75, 1.083_315_5),
        (3.0, 2.995_950_3, 1.011_945_7),
    ];

    #[test]
    fn value_and_gradient_are_exact() {
        for (name, device) in devices() {
            let data = TensorData::new(VALUES.map(|(x, _, _)| x as f32).to_vec(), [1, 1, 1, VALUES.len()]);
            let x = Tensor::<4>::from_data(data, &device.autodiff()).require_grad();
            let y = gelu(x.clone());
            let gradient = x.grad(&y.clone().sum().backward()).unwrap();
            let [y, gradient] = [y, gradient].map(|tensor| tensor.into_data().iter::<f64>().collect::<Vec<_>>());
            for (i, (x, value, slope)) in VALUES.into_iter().enumerate() {
                assert!((y[i] - value).abs() < 3e-7, "{name}: GELU({x}) = {}, expected {value}", y[i]);
                // The tanh approximation is off by up to 1e-3 here.
                assert!((gradient[i] - slope).abs() < 1e-6, "{name}: GELU'({x}) = {}, expected {slope}", gradient[i]);
            }
        }
    }

    #[test]
    fn one_operator_equals_burns_own() {
        let steps = (-120_000..=120_000).map(|step| step as f32 / 10_000.0).collect::<Vec<_>>();
        let both = |device: &Device, function: fn(Tensor<4>) -> Tensor<4>| {
            let data = TensorData::new(steps.clone(), [1, 1, 1, steps.len()]);
            let x = Tensor::<4>::from_data(data, device).require_grad();
            let y = function(x.clone());
            let gradient = x.grad(&y.clone().sum().backward()).unwrap();
            [y, gradient].map(|tensor| tensor.into_data().try_to_vec::<f32>().unwrap())
        };
        let burns = both(&Device::flex().autodiff(), activation::gelu);
        for (name, device) in devices() {
            let ours = both(&device.autodiff(), gelu);
            for (part, (ours, burns)) in ["value", "gradient"].into_iter().zip(ours.into_iter().zip(&burns)) {
                for ((x, ours), burns) in steps.iter().zip(ours).zip(burns) {
                    let bound = 3e-7 * x.abs().max(1.0);
                    assert!((ours - burns).abs() <= bound, "{name}: {part} at {x}: {ours}, Burn's on the CPU {burns}");
                }
            }
        }
    }
}
