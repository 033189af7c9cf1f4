//! BatchNorm's running statistics, estimated over many batches.
//!
//! While a network learns, its running statistics follow those of the last few batches, under
//! weights that have changed since. With small batches they are noisy, and a network that is
//! evaluated with them jumps from one epoch to the next although its weights do not (Wu and
//! Johnson, "Rethinking Batch in BatchNorm", 2021).

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};

use crate::blocks::NormMode;
use crate::network::Network;
use crate::parameters::{MEAN, ParameterMapper, ParameterVisitor, Parameters, VARIANCE, is_statistic};

/// Does work, such as a step of training, in which every network of this thread normalises by its
/// running statistics, which stay as they are.
pub fn with_fixed_statistics<T>(work: impl FnOnce() -> T) -> T {
    NormMode::Running.during(work)
}

/// The statistics of a network over batches under one state of its weights.
#[derive(Debug, Default)]
pub struct Estimate {
    /// The sums of each statistic over the batches, by its published name, and the sums of the
    /// squares of means.
    sums: BTreeMap<String, Sum>,
    batches: usize,
}

/// The sums over batches, per channel.
#[derive(Debug, Default)]
struct Sum {
    values: Vec<f64>,
    squares: Vec<f64>,
}

impl Estimate {
    /// Adds a batch, which the network normalises by its own statistics, layer by layer, as it does
    /// while it learns. The network's running statistics become those of the batch.
    ///
    /// # Shapes
    /// - images: `[n, c, h, w]`
    pub fn add(&mut self, net: &Network, images: Tensor<4>) {
        NormMode::Batch.during(|| net.forward(images));
        net.for_each(&mut Add(&mut self.sums));
        self.batches += 1;
    }

    /// Returns the network with the statistics of all batches together: the mean of their means, and
    /// the mean of their variances plus the variance of their means. Without a batch it stays as it
    /// is.
    ///
    /// Batches count alike, so all should have the same size.
    pub fn apply(&self, net: Network) -> Network {
        if self.batches == 0 { net } else { net.map_each(&mut Apply(self)) }
    }

    /// Returns the statistic of a name over all batches.
    fn value(&self, name: &str) -> Option<Vec<f64>> {
        let mean = |sums: &[f64]| sums.iter().map(|sum| sum / self.batches as f64).collect::<Vec<f64>>();
        let values = mean(&self.sums.get(name)?.values);
        let Some(layer) = name.strip_suffix(VARIANCE) else { return Some(values) };
        let means = self.sums.get(&format!("{layer}{MEAN}"))?;
        let spread =
            mean(&means.squares).into_iter().zip(mean(&means.values)).map(|(square, mean)| square - mean * mean);
        Some(values.iter().zip(spread).map(|(value, spread)| value + spread.max(0.0)).collect())
    }
}

/// Adds the network's running statistics to the sums.
struct Add<'a>(&'a mut BTreeMap<String, Sum>);

impl ParameterVisitor for Add<'_> {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        if !is_statistic(&name) {
            return;
        }
        let values: Vec<f64> = param.val().into_data().iter::<f64>().collect();
        let sum = self.0.entry(name).or_default();
        sum.values.resize(values.len(), 0.0);
        sum.squares.resize(values.len(), 0.0);
        for ((total, squares), value) in sum.values.iter_mut().zip(&mut sum.squares).zip(values) {
            *total += value;
            *squares += value * value;
        }
    }
}

/// Replaces the network's running statistics by the estimate.
struct Apply<'a>(&'a Estimate);

impl ParameterMapper for Apply<'_> {
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = Some(name).filter(|name| is_statistic(name)).and_then(|name| self.0.value(&name)) else {
            return param;
        };
        param.map(|old| {
            let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            Tensor::from_data(TensorData::new(values, old.dims()), &old.device())
        })
    }
}
