//! An operator with its gradient.

use std::fmt::Debug;

use crate::map::Map;

/// An operator over `N` inputs, maps first, with an exact gradient.
///
/// Whatever else the gradient needs, it computes again from the inputs, or [`Saved`](Self::Saved)
/// keeps it.
pub trait Operator<const N: usize>: Clone + Debug + Send + Sync + 'static {
    /// The intermediate results that the gradient reads.
    type Saved: Clone + Debug + Send;

    /// Computes the value.
    fn forward(&self, inputs: &[Map; N]) -> (Map, Self::Saved);

    /// Computes the value alone, where no gradient will be asked for.
    fn value(&self, inputs: &[Map; N]) -> Map {
        self.forward(inputs).0
    }

    /// Returns the inputs as the gradient needs them: where it reads their shapes alone, without
    /// their values.
    fn kept(inputs: [Map; N]) -> [Map; N] {
        inputs
    }

    /// Computes the gradients of the inputs, in their order and with their numbers of values, from
    /// the value's.
    fn backward(&self, inputs: &[Map; N], saved: Self::Saved, gradient: Map) -> [Vec<f32>; N];
}

/// Does work on a thread of the pool, so that the parts of it that all threads share begin without
/// a wait for one to wake.
pub fn on_workers<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if rayon::current_thread_index().is_some() {
        return work();
    }
    let mut result = None;
    rayon::scope(|_| result = Some(work()));
    result.expect("a scope ends when its work is done")
}
