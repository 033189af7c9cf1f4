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

/// Returns whether a network has running statistics.
pub fn has_statistics(net: &Network) -> bool {
    struct Search(bool);
    impl ParameterVisitor for Search {
        fn visit<const D: usize>(&mut self, name: String, _: &Param<Tensor<D>>) {
            self.0 |= is_statistic(&name);
        }
    }
    let mut search = Search(false);
    net.for_each(&mut search);
    search.0
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

    /// Returns the network with the statistics of all batches together: the mean of their means,
    /// and the mean of their variances plus the variance of their means. Without a batch it stays
    /// as it is.
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

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::Device;

    use super::*;
    use crate::unet::UNetConfig;
    use crate::weights::Weights;

    /// The names of the first normalisation's statistics, whose input depends on no other.
    const FIRST: [&str; 2] = ["in_conv.1.running_mean", "in_conv.1.running_var"];
    const SIDE: usize = 16;

    fn net() -> Network {
        UNetConfig::new().with_base_width(4).init(&Device::flex()).into()
    }

    /// Creates images whose brightness grows from one to the next.
    fn images(first: usize, count: usize) -> Tensor<4> {
        let plane = 3 * SIDE * SIDE;
        let value = |index: usize| (index as f32 * 0.37).sin() + (index / plane) as f32;
        let values: Vec<f32> = (first * plane..(first + count) * plane).map(value).collect();
        Tensor::from_data(TensorData::new(values, [count, 3, SIDE, SIDE]), &Device::flex())
    }

    fn first(net: &Network) -> [Vec<f32>; 2] {
        let weights = Weights::from_network(net);
        FIRST.map(|name| weights.tensors()[name].iter().copied().collect())
    }

    #[test]
    fn the_statistics_of_batches_are_those_of_all_their_images() {
        let net = net();
        let mut estimate = Estimate::default();
        estimate.add(&net, images(0, 2));
        estimate.add(&net, images(2, 2));
        let [mean, variance] = first(&estimate.apply(net.clone()));
        NormMode::Batch.during(|| net.forward(images(0, 4)));
        let [expected_mean, expected_variance] = first(&net);
        let close = |found: &[f32], expected: &[f32]| {
            // The variance of the two halves has Bessel's correction of its own.
            found
                .iter()
                .zip(expected)
                .all(|(found, expected)| (found - expected).abs() < 2e-3 * expected.abs().max(1.0))
        };
        assert!(close(&mean, &expected_mean), "{mean:?}, expected {expected_mean:?}");
        assert!(close(&variance, &expected_variance), "{variance:?}, expected {expected_variance:?}");
        // That of the halves alone is far smaller, for their brightness differs.
        NormMode::Batch.during(|| net.forward(images(0, 2)));
        assert!(first(&net)[1].iter().zip(&variance).all(|(half, all)| half < all));
    }

    #[test]
    fn without_a_batch_the_network_stays_as_it_is() {
        let net = net();
        assert_eq!(Weights::from_network(&Estimate::default().apply(net.clone())), Weights::from_network(&net));
    }

    #[test]
    fn fixed_statistics_stay_and_the_outputs_are_those_of_the_deployed_network() {
        let mut estimate = Estimate::default();
        let net = net();
        estimate.add(&net, images(0, 3));
        let net = estimate.apply(net);
        let learning = net.clone().train();
        let before = Weights::from_network(&learning.valid());
        let device = Device::flex().autodiff();
        let found = with_fixed_statistics(|| learning.forward(images(1, 2).to_device(&device)));
        assert_eq!(Weights::from_network(&learning.valid()), before);
        let expected = net.forward(images(1, 2));
        let worst = (found.inner() - expected).abs().max().into_scalar::<f32>();
        assert!(worst < 1e-4, "{worst}");
        // In the usual mode they would move.
        learning.forward(images(1, 2).to_device(&device));
        assert_ne!(Weights::from_network(&learning.valid()), before);
    }
}
