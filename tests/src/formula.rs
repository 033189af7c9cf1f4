//! Weights by a formula, which PyTorch computes too: a reference of a large network then needs no
//! file for them.
//!
//! Element `i` of the tensor `name` is made of `u = splitmix64(fnv1a64(name) + seed * g + i * g)`,
//! `g = 0x9e3779b97f4a7c15`, whose upper 24 bits are a number in [-1, 1), `u / 2^23 - 1`. It is
//! scaled as the kind of the tensor needs, in float64, and rounded to float32.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use seg_nets::network::{Network, NetworkConfig};
use seg_nets::parameters::{ParameterMapper, Parameters};

/// The distance of two states of the generator.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The seed that the reference was made with, of which the gradients are well conditioned.
const SEED: u64 = 3;

/// Makes a network whose parameters have the values of the formula, on a device.
pub fn network(config: &NetworkConfig, device: &Device) -> Network {
    config.init(device).map_each(&mut ByFormula)
}

struct ByFormula;

impl ParameterMapper for ByFormula {
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.dims();
        let start = name_hash(&name).wrapping_add(SEED.wrapping_mul(STEP));
        let count = shape.iter().product::<usize>() as u64;
        let numbers = (0..count).map(|index| number(start.wrapping_add(index.wrapping_mul(STEP))));
        let fan_in = shape.iter().skip(1).product::<usize>() as f64;
        let gain = if name.contains(".query.") || name.contains(".key.") { 2.0 } else { 1.3 };
        let scaled = |u: f64| match name.rsplit('.').next() {
            Some("running_mean") => 0.3 * u,
            Some("running_var") => 1.1 + 0.5 * u,
            Some("position_embeddings") => 0.9 * u,
            _ if D >= 2 => 3.0_f64.sqrt() * gain / fan_in.sqrt() * u,
            Some("weight") => 1.0 + 0.5 * u,
            _ => 0.3 * u,
        };
        let values: Vec<f32> = numbers.map(|u| scaled(u) as f32).collect();
        param.map(|tensor| {
            let moved = Tensor::from_data(TensorData::new(values, shape), &tensor.device());
            moved.set_require_grad(tensor.is_require_grad())
        })
    }
}

/// The hash FNV-1a of 64 bits.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The generator SplitMix64, as a number in [-1, 1).
fn number(state: u64) -> f64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 40) as f64 / 8_388_608.0 - 1.0
}
