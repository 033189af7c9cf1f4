//! An operator of the CPU backend with its gradient, and its place in Burn's graph of gradients.

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::tensor::{Tensor, TensorData};

/// A map in host memory, `[n, c, h, w]`, whose values are only cloned by reference.
#[derive(Clone, Debug)]
pub(crate) struct Map(FlexTensor);

impl Map {
    /// Creates the map of values in the order of the shape.
    pub(super) fn new(values: Vec<f32>, shape: [usize; 4]) -> Self {
        Self(FlexTensor::from_data(TensorData::new(values, shape)))
    }

    /// Creates the map of a tensor of the CPU backend that is in no graph.
    pub(crate) fn from_tensor(tensor: Tensor<4>) -> Self {
        let tensor = tensor.try_into_primitive::<Flex>().expect("the caller has seen that the tensor lies there");
        Self(tensor.to_contiguous())
    }

    /// Returns the tensor of the map.
    pub(crate) fn into_tensor(self) -> Tensor<4> {
        Tensor::from_primitive::<Flex>(self.0)
    }

    /// Returns the values, row by row.
    pub(super) fn values(&self) -> &[f32] {
        self.0.as_slice().expect("the tensor is contiguous float32, the type that networks train in here")
    }

    /// Batch, channels, height and width.
    pub(super) fn shape(&self) -> [usize; 4] {
        self.0.shape().dims()
    }
}

/// Does work on a thread of the pool, so that the parts of it that all threads share begin without
/// a wait for one to wake.
pub(super) fn on_workers<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if rayon::current_thread_index().is_some() {
        return work();
    }
    let mut result = None;
    rayon::scope(|_| result = Some(work()));
    result.expect("a scope ends when its work is done")
}

/// An operator over `N` inputs, maps first, with an exact gradient.
///
/// Whatever else the gradient needs, it computes again from the inputs, or [`Saved`](Self::Saved)
/// keeps it.
pub(super) trait Operator<const N: usize>: Clone + Debug + Send + Sync + 'static {
    /// The intermediate results that the gradient reads.
    type Saved: Clone + Debug + Send;

    /// Computes the value.
    fn forward(&self, inputs: &[Map; N]) -> (Map, Self::Saved);

    /// Computes the value alone, where no gradient will be asked for.
    fn value(&self, inputs: &[Map; N]) -> Map {
        self.forward(inputs).0
    }

    /// Computes the gradients of the inputs, in their order and with their numbers of values, from
    /// the value's.
    fn backward(&self, inputs: &[Map; N], saved: Self::Saved, gradient: Map) -> [Vec<f32>; N];
}

/// Computes an operator over tensors of the CPU backend, and records it in the graph where they
/// have one.
pub(super) fn apply<const N: usize, O: Operator<N>>(operator: O, inputs: [Tensor<4>; N]) -> Tensor<4> {
    let maps = |tensors: [FlexTensor; N]| tensors.map(|tensor| Map(tensor.to_contiguous()));
    const ON_CPU: &str = "the caller has seen that the tensors lie on the CPU backend";
    if !inputs.iter().any(|input| input.device().is_autodiff()) {
        let inputs = maps(inputs.map(|input| input.try_into_primitive::<Flex>().expect(ON_CPU)));
        return Tensor::from_primitive::<Flex>(on_workers(|| operator.value(&inputs)).0);
    }
    // An image may lie outside of the graph that the parameters are in.
    let inputs = inputs.map(|input| if input.device().is_autodiff() { input } else { input.autodiff() });
    let inputs = inputs.map(|input| input.try_into_primitive::<Autodiff<Flex>>().expect(ON_CPU));
    let nodes = inputs.each_ref().map(|input| input.node());
    let inputs = maps(inputs.map(|input| input.into_primitive()));
    let output = match Step(operator.clone()).prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (output, saved) = on_workers(|| operator.forward(&inputs));
            prepared.finish((inputs, saved), output.0)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(on_workers(|| operator.value(&inputs)).0),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(output)
}

/// The step of an operator's gradient.
#[derive(Debug)]
struct Step<O>(O);

impl<const N: usize, O: Operator<N>> Backward<Flex, N> for Step<O> {
    type State = ([Map; N], O::Saved);

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let (inputs, saved) = ops.state;
        let gradient = Map(gradient);
        let found = on_workers(|| self.0.backward(&inputs, saved, gradient));
        for ((node, input), values) in ops.parents.into_iter().zip(&inputs).zip(found) {
            if let Some(node) = node {
                gradients.register::<Flex>(node.id, FlexTensor::from_data(TensorData::new(values, input.0.shape())));
            }
        }
    }
}

/// Applies a function to the values of a tensor of the CPU backend, outside of the graph.
pub(super) fn inspect<T>(x: &Tensor<4>, of: impl FnOnce(&[f32]) -> T) -> T {
    let x = if x.device().is_autodiff() { x.clone().inner() } else { x.clone() };
    let x = x.try_into_primitive::<Flex>().expect("the caller has seen that the tensor lies on the CPU backend");
    of(Map(x.to_contiguous()).values())
}
