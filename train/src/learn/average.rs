//! The exponential moving average of a network in training, which is often better than the network
//! itself.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::Tensor;
use seg_nets::network::Network;
use seg_nets::parameters::{ParameterMapper, ParameterVisitor, Parameters};
use seg_nets::statistics::Estimate;

/// A network that follows another: after each step `average = d average + (1 - d) network`.
///
/// `d` is `min(decay, (1 + t) / (10 + t))` after `t` steps, so that the random weights of the start
/// are forgotten soon.
///
/// The running statistics of BatchNorm are averaged as well, as timm does and unlike PyTorch's
/// `AveragedModel`, which copies them: they describe activations under weights of the last few
/// steps, and with small batches they are noisy, while the averaged weights lie as many steps back
/// as the averaged statistics do.
#[derive(Debug)]
pub struct Average {
    decay: f64,
    steps: usize,
    net: Network,
}

impl Average {
    /// Makes an average that has followed for `steps` steps and stands at `net`, a network without
    /// autodiff.
    pub fn new(decay: f64, steps: usize, net: Network) -> Self {
        Self { decay, steps, net }
    }

    /// Returns the averaged network, without autodiff.
    pub fn net(&self) -> &Network {
        &self.net
    }

    /// Replaces the running statistics of the averaged network.
    pub fn estimate(&mut self, estimate: &Estimate) {
        self.net = estimate.apply(self.net.clone());
    }

    /// Follows a step of the network, given without autodiff and with its running statistics
    /// merged.
    pub fn follow(&mut self, net: &Network) {
        let steps = self.steps as f64;
        let decay = self.decay.min((1.0 + steps) / (10.0 + steps));
        let mut live = Live(BTreeMap::new());
        net.for_each(&mut live);
        self.net = self.net.clone().map_each(&mut Follow { live, share: 1.0 - decay });
        self.steps += 1;
    }
}

/// The network's tensors by name, flattened.
struct Live(BTreeMap<String, Tensor<1>>);

impl ParameterVisitor for Live {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        self.0.insert(name, param.val().flatten(0, D - 1));
    }
}

/// Moves each tensor towards the live one.
struct Follow {
    live: Live,
    share: f64,
}

impl ParameterMapper for Follow {
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(live) = self.live.0.remove(&name) else {
            return param;
        };
        let shape = param.dims();
        param.map(|average| {
            let ahead = live.reshape(shape) - average.clone();
            average + ahead.mul_scalar(self.share)
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, ModuleMapper};
    use burn::tensor::Device;
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::weights::Weights;

    use super::*;

    /// Creates a network in which every number, running statistics included, is `value`.
    fn constant(value: f32) -> Network {
        struct Fill(f32);
        impl ModuleMapper for Fill {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|tensor| tensor.full_like(self.0))
            }
        }
        AmsUnetConfig::new().with_base_width(4).init(&Device::flex()).map(&mut Fill(value)).into()
    }

    #[test]
    fn an_average_follows_its_formula() {
        let net = constant(1.0);
        // The weight of the start at 0 after each step towards 1.
        for (name, decay, weights) in [
            ("warm-up", 0.999, vec![0.1, 0.1 * 2.0 / 11.0, 0.1 * 2.0 / 11.0 * 3.0 / 12.0]),
            ("decay at once", 0.05, vec![0.05, 0.05 * 0.05]),
        ] {
            let mut average = Average::new(decay, 0, constant(0.0));
            for weight in weights {
                average.follow(&net);
                for (parameter, values) in Weights::from_network(average.net()).tensors() {
                    let worst =
                        values.iter().map(|value| (f64::from(*value) - (1.0 - weight)).abs()).fold(0.0, f64::max);
                    assert!(worst < 1e-6, "{name}: {parameter} is {worst} off {}", 1.0 - weight);
                }
            }
        }
    }

    #[test]
    fn what_is_followed_stays_as_it_is() {
        let net = constant(1.0);
        let mut average = Average::new(0.9, 0, constant(0.0));
        average.follow(&net);
        assert_eq!(Weights::from_network(&net), Weights::from_network(&constant(1.0)));
    }
}
