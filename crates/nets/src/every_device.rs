//! Every network computes on a GPU what it computes on the CPU, by other kernels.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::amsunet::AmsUnetConfig;
use crate::gradients::Gradients;
use crate::kernels::devices;
use crate::network::{NetworkConfig, NetworkName};
use crate::parameters::is_statistic;
use crate::statistics::{Estimate, with_fixed_statistics};
use crate::unet_plus_plus::{DeepSupervision, UNetPlusPlusConfig};
use crate::weights::Weights;

/// The distance of a device from the CPU in those that the CPU has from itself with nudged images.
const FACTOR: f64 = 2.0;

/// Returns the largest change of an image's values, which are up to 2, that stands for the rounding
/// of a device: about ten roundings of float32, and one of TensorFloat-32, in which CUDA multiplies
/// matrices.
fn nudge(device: &str) -> f32 {
    if device == "cuda" { 1e-3 } else { 5e-6 }
}

/// The quantities of a network by name.
type Quantities = [(&'static str, Vec<f32>); 4];

/// Computes logits and gradients under fixed statistics; and logits under the batch's statistics,
/// with the running statistics after it.
///
/// Not the gradients under the batch's statistics: rounding alone moves those of some networks by
/// parts in a hundred, as a normalisation by few pixels magnifies it until ReLUs change their side.
/// The layer has a test of its own.
fn compute(weights: &Weights, images: &TensorData, device: &Device) -> Quantities {
    let images = |device: &Device| Tensor::<4>::from_data(images.clone(), device);
    let values = |logits: Tensor<4>| logits.into_data().iter().collect();
    let alone = weights.to_network(device).unwrap().forward(images(device));
    let device = device.clone().autodiff();
    let net = weights.to_network(&device).unwrap();
    let gradients = with_fixed_statistics(|| {
        let logits = net.forward(images(&device));
        Gradients::from_loss(&logits.square().mean(), &net)
    });
    let gradients = gradients.tensors().values().flat_map(|values| values.to_data().iter().collect::<Vec<_>>());
    let in_training = net.forward(images(&device));
    let after = Weights::from_network(&net.valid());
    let statistics = after.tensors().iter().filter(|(name, _)| is_statistic(name));
    [
        ("logits", values(alone)),
        ("gradients", gradients.collect()),
        ("logits in training", values(in_training.inner())),
        ("running statistics", statistics.flat_map(|(_, values)| values).copied().collect()),
    ]
}

/// Returns the L2 norm of the difference, relative to that of what is expected; 0 for no values, as
/// of a network without running statistics.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let differences = &mut found.iter().zip(expected).map(|(found, expected)| f64::from(found - expected));
    norm(differences) / norm(&mut expected.iter().copied().map(f64::from)).max(f64::MIN_POSITIVE)
}

/// Draws two images of a size that the network takes.
fn draw_images(config: &NetworkConfig, draws: &mut ChaCha8Rng) -> TensorData {
    let [height, width] = config.sides().next([33, 51]);
    let shape = [2, 3, height, width];
    let images: Vec<f32> = (0..shape.iter().product()).map(|_| draws.random_range(-2.0..2.0)).collect();
    TensorData::new(images, shape)
}

/// Draws weights as PyTorch does, normalisations that are not the identity, and computes the
/// statistics of the images.
fn draw_weights(config: &NetworkConfig, images: &TensorData, draws: &mut ChaCha8Rng) -> Weights {
    let cpu = Device::flex();
    let fresh = Weights::from_network(&config.init(&cpu));
    let tensors = fresh.tensors().iter().map(|(name, values)| {
        let range = match name.rsplit('.').next() {
            Some("weight") if values.ndim() > 1 => {
                let bound = 1.0 / (values.shape()[1..].iter().product::<usize>() as f32).sqrt();
                -bound..bound
            }
            Some("weight") => 0.5..1.5,
            // No negative numbers are in a factorisation.
            Some("bases") => 0.0..1.0,
            _ => -0.5..0.5,
        };
        (name.clone(), values.mapv(|_| draws.random_range(range.clone())))
    });
    let weights = Weights::new(fresh.network(), tensors.collect()).with_options(fresh.options().clone());
    let net = weights.to_network(&cpu).unwrap();
    let mut estimate = Estimate::default();
    estimate.add(&net, Tensor::from_data(images.clone(), &cpu));
    Weights::from_network(&estimate.apply(net))
}

/// Lists every network, and the variants that have parts of their own.
fn variants() -> Vec<NetworkConfig> {
    let mut configs: Vec<_> = NetworkName::ALL.into_iter().map(|name| name.narrow(3, 2)).collect();
    let amsunet = NetworkConfig::from(AmsUnetConfig::new().with_base_width(8));
    for setting in
        [("norm", "bb"), ("residual", "o"), ("skip", "plain"), ("skip", "se"), ("skip", "cbam"), ("skip", "scse")]
    {
        configs.push(amsunet.with_settings([setting]).unwrap());
    }
    configs.push(UNetPlusPlusConfig::new().with_base_width(8).with_options(DeepSupervision::on()).into());
    configs
}

#[test]
fn every_network_computes_on_a_gpu_what_it_computes_on_the_cpu() {
    let gpus: Vec<_> = devices().into_iter().filter(|(name, _)| *name != "cpu").collect();
    assert!(!gpus.is_empty(), "the build is for a GPU");
    for config in variants() {
        let draws = &mut ChaCha8Rng::seed_from_u64(19);
        let images = draw_images(&config, draws);
        let weights = draw_weights(&config, &images, draws);
        let expected = compute(&weights, &images, &Device::flex());
        for (name, gpu) in &gpus {
            let nudge = nudge(name);
            let nudged = images.iter::<f32>().map(|value| value + draws.random_range(-nudge..nudge)).collect();
            let nudged = compute(&weights, &TensorData::new(nudged, images.shape()), &Device::flex());
            let found = compute(&weights, &images, gpu);
            for (((quantity, expected), (_, found)), (_, nudged)) in expected.iter().zip(&found).zip(&nudged) {
                let [own, distance] = [nudged, found].map(|values| distance(values, expected));
                let case = format!("{config}, {} on {name}: {quantity}", images.shape());
                println!("{case} are {distance:.1e} apart, nudged {own:.1e}");
                assert!(
                    distance <= f64::from(nudge).max(FACTOR * own),
                    "{case} are {distance:e} apart, nudged {own:e}"
                );
            }
        }
    }
}
