//! Claims that a network's bits do not depend on the number of threads.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use rayon::ThreadPoolBuilder;

use crate::amsunet::AmsUnetConfig;
use crate::gradients::Gradients;
use crate::network::NetworkConfig;
use crate::unet::UNetConfig;
use crate::weights::Weights;

/// Computes logits without gradients, and logits and gradients of a step, as bits by name.
fn bits(weights: &Weights, image: Tensor<4>, along: Tensor<4>) -> Vec<(String, Vec<u32>)> {
    let of = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let logits = |y: &Tensor<4>| of(y.to_data().try_into_vec().unwrap());
    // A step moves the running statistics, so that each begins with a network of its own.
    let learning = weights.to_network(&image.device().autodiff()).unwrap();
    let mut bits = vec![("logits".to_owned(), logits(&learning.valid().forward(image.clone())))];
    let y = learning.forward(image.autodiff());
    bits.push(("logits of a step".to_owned(), logits(&y)));
    let gradients = Gradients::from_loss(&(y * along.autodiff()).sum(), &learning);
    for (name, gradient) in gradients.tensors() {
        bits.push((name.clone(), of(gradient.to_data().try_into_vec().unwrap())));
    }
    bits
}

#[test]
fn bits_are_those_of_one_thread() {
    let device = Device::flex();
    device.seed(5);
    let configs: [NetworkConfig; 2] =
        [AmsUnetConfig::new().with_base_width(12).into(), UNetConfig::new().with_base_width(6).into()];
    for config in configs {
        let weights = Weights::from_network(&config.init(&device));
        for [n, h, w] in [[1, 64, 64], [2, 37, 50], [1, 129, 18]] {
            let random = |channels| Tensor::<4>::random([n, channels, h, w], Distribution::Normal(0.0, 1.0), &device);
            let (image, along) = (random(3), random(2));
            let on = |threads: usize| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (image, along) = (image.clone(), along.clone());
                pool.install(|| bits(&weights, image, along))
            };
            let expected = on(1);
            assert!(expected.len() > 20, "every parameter has a gradient");
            for threads in [2, 3] {
                for ((name, found), (_, expected)) in on(threads).iter().zip(&expected) {
                    let differ = found.iter().zip(expected).filter(|(found, expected)| found != expected).count();
                    let count = expected.len();
                    assert_eq!(differ, 0, "{:?}, {n}x3x{h}x{w}, {threads} threads: {name}, of {count}", config.name());
                }
            }
        }
    }
}
