//! Reproducible networks and images.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::ArrayD;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::checkpoint::Checkpoint;
use seg_nets::network::{Network, NetworkName};
use seg_nets::weights::Weights;

/// The width of the networks that are compared at many sizes; narrower than the default, to be
/// fast.
pub const NARROW: usize = 8;

/// Creates a random network, three channels to two classes, on the CPU.
pub fn network(base_width: usize, seed: u64) -> Network {
    randomised(AmsUnetConfig::new().with_base_width(base_width).init(&Device::flex()), seed).into()
}

/// Creates a random narrow network of the list, three channels to two classes, on the CPU.
pub fn narrow(name: NetworkName, seed: u64) -> Network {
    randomised(name.narrow(3, 2).init(&Device::flex()), seed)
}

/// Returns the network as a checkpoint that no run has written.
pub fn checkpoint(net: &Network) -> Checkpoint {
    Checkpoint { path: "net.safetensors".into(), weights: Weights::from_network(net), contract: None }
}

/// Fills a module with random numbers: weights as PyTorch draws them, so that values keep their
/// order of magnitude, and normalisations that are not the identity, because a wrongly folded fresh
/// one would not show.
pub fn randomised<M: Module>(module: M, seed: u64) -> M {
    module.map(&mut Randomise { random: ChaCha8Rng::seed_from_u64(seed), path: Vec::new() })
}

/// Creates uniform noise from -2 to 2, about the range of normalised images.
pub fn noise(shape: &[usize], seed: u64) -> ArrayD<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    ArrayD::from_shape_simple_fn(shape, || random.random_range(-2.0..2.0))
}

/// Moves values to a device of Burn; the device decides whether computations on them are training.
pub fn to_tensor<const D: usize>(values: &ArrayD<f32>, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.iter().copied().collect::<Vec<_>>(), values.shape()), device)
}

struct Randomise {
    random: ChaCha8Rng,
    path: Vec<String>,
}

impl ModuleMapper for Randomise {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.dims();
        let range = match self.path.last().map(String::as_str) {
            Some("weight") if D == 2 || D == 4 => {
                let bound = 1.0 / (shape[1..].iter().product::<usize>() as f32).sqrt();
                -bound..bound
            }
            Some("weight" | "running_var") => 0.5..1.5,
            // No negative numbers are in a factorisation.
            Some("bases") => 0.0..1.0,
            _ => -0.5..0.5,
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.random.random_range(range.clone())).collect();
        param.map(|tensor| Tensor::from_data(TensorData::new(values, shape), &tensor.device()))
    }
}
