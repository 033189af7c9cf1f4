//! An operator of the CPU backend with its gradient, and its place in Burn's graph of gradients.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::tensor::{Tensor, TensorData};
use seg_kernels::{Map, Operator, on_workers};

/// The memory of a tensor, which a map borrows.
struct Memory(FlexTensor);

impl AsRef<[f32]> for Memory {
    fn as_ref(&self) -> &[f32] {
        self.0.as_slice().expect("the tensor is contiguous float32, the type that networks train in here")
    }
}

/// Returns a tensor as a map, without copying its values.
fn map(tensor: FlexTensor) -> Map {
    let tensor = tensor.to_contiguous();
    let shape = tensor.shape().dims();
    Map::lent(Memory(tensor), shape)
}

/// Returns a map as a tensor.
fn tensor(map: Map) -> FlexTensor {
    let shape = map.shape();
    FlexTensor::from_data(TensorData::new(map.into_values(), shape))
}

/// Returns the map of a tensor of the CPU backend that is in no graph.
pub(crate) fn from_tensor(tensor: Tensor<4>) -> Map {
    map(tensor.try_into_primitive::<Flex>().expect("the caller has seen that the tensor lies there"))
}

/// Returns the tensor of a map.
pub(crate) fn into_tensor(map: Map) -> Tensor<4> {
    Tensor::from_primitive::<Flex>(tensor(map))
}

/// Computes an operator over tensors of the CPU backend, and records it in the graph where they
/// have one.
pub(super) fn apply<const N: usize, O: Operator<N>>(operator: O, inputs: [Tensor<4>; N]) -> Tensor<4> {
    let maps = |tensors: [FlexTensor; N]| tensors.map(map);
    const ON_CPU: &str = "the caller has seen that the tensors lie on the CPU backend";
    if !inputs.iter().any(|input| input.device().is_autodiff()) {
        let inputs = maps(inputs.map(|input| input.try_into_primitive::<Flex>().expect(ON_CPU)));
        return Tensor::from_primitive::<Flex>(tensor(on_workers(|| operator.value(&inputs))));
    }
    // An image may lie outside of the graph that the parameters are in.
    let inputs = inputs.map(|input| if input.device().is_autodiff() { input } else { input.autodiff() });
    let inputs = inputs.map(|input| input.try_into_primitive::<Autodiff<Flex>>().expect(ON_CPU));
    let nodes = inputs.each_ref().map(|input| input.node());
    let inputs = maps(inputs.map(|input| input.into_primitive()));
    let output = match Step(operator.clone()).prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (output, saved) = on_workers(|| operator.forward(&inputs));
            prepared.finish((O::kept(inputs), saved), tensor(output))
        }
        OpsKind::UnTracked(prepared) => prepared.finish(tensor(on_workers(|| operator.value(&inputs)))),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(output)
}

/// The step of an operator's gradient.
#[derive(Debug)]
struct Step<O>(O);

impl<const N: usize, O: Operator<N>> Backward<Flex, N> for Step<O> {
    type State = ([Map; N], O::Saved);

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = map(gradients.consume::<Flex>(&ops.node));
        let (inputs, saved) = ops.state;
        let found = on_workers(|| self.0.backward(&inputs, saved, gradient));
        for ((node, input), values) in ops.parents.into_iter().zip(&inputs).zip(found) {
            if let Some(node) = node {
                gradients.register::<Flex>(node.id, FlexTensor::from_data(TensorData::new(values, input.shape())));
            }
        }
    }
}

/// Applies a function to the values of a tensor of the CPU backend, outside of the graph.
pub(super) fn inspect<T>(x: &Tensor<4>, of: impl FnOnce(&[f32]) -> T) -> T {
    let x = if x.device().is_autodiff() { x.clone().inner() } else { x.clone() };
    let x = x.try_into_primitive::<Flex>().expect("the caller has seen that the tensor lies on the CPU backend");
    of(map(x).values())
}
