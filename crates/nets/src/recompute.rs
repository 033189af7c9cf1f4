//! Gradients with the maps of one stage in memory at a time.
//!
//! A first pass keeps the outputs of the network's stages and nothing from inside them. Then each
//! stage, the last first, is computed again from its inputs, now with what its gradient needs, and
//! leads from its output's gradient to its inputs'. The values are the same, so the gradients are,
//! for the price of a second forward pass.

use std::collections::BTreeMap;
use std::convert::Infallible;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::gradients::Gradients;
use crate::network::Network;
use crate::topology::{IMAGE, Stage, is_head, walk};

/// Computes the gradients of the mean of what `objective` makes of the logits of each of the
/// network's heads, a tensor of shape `[1]`.
///
/// The running statistics move once, as in a pass that keeps everything.
pub fn gradients(net: &Network, images: Tensor<4>, mut objective: impl FnMut(Tensor<4>) -> Tensor<1>) -> Gradients {
    let stages = net.training_stages();
    let heads = stages.iter().filter(|stage| is_head(stages, stage)).count();
    let mut values = outputs(net, &images, &stages[..stages.len() - heads]);
    values.insert(IMAGE, images);
    let (mut found, mut of_outputs) = (Gradients::default(), BTreeMap::<&str, Tensor<4>>::new());
    for stage in stages.iter().rev() {
        // All stages that read the output lie behind this one.
        values.remove(stage.name);
        let inputs: Vec<_> = stage.inputs.iter().map(|name| track(name, &values[name])).collect();
        let output = net.compute(stage, inputs.clone());
        let number = match of_outputs.remove(stage.name) {
            Some(gradient) => along(gradient, output),
            None => share(objective(output), heads),
        };
        let mut tape = number.backward();
        found.collect(&mut tape, net);
        for (name, input) in stage.inputs.iter().zip(inputs).filter(|(name, _)| **name != IMAGE) {
            let gradient = input.grad_remove(&mut tape).expect("a stage computes from all its inputs").autodiff();
            let sum = match of_outputs.remove(*name) {
                Some(others) => others + gradient,
                None => gradient,
            };
            of_outputs.insert(*name, sum);
        }
    }
    found
}

/// Returns the part of a number in the mean of `count` numbers.
fn share(number: Tensor<1>, count: usize) -> Tensor<1> {
    if count == 1 { number } else { number.div_scalar(count as f64) }
}

/// Computes the outputs of stages, and keeps nothing for their gradients.
fn outputs(net: &Network, images: &Tensor<4>, stages: &[Stage]) -> BTreeMap<&'static str, Tensor<4>> {
    // Its parameters are no part of a graph, and it has running statistics of its own.
    let frozen = net.valid().train().no_grad();
    let mut outputs = BTreeMap::new();
    let Ok(_) = walk(stages, images.clone(), |stage, inputs| {
        let output = frozen.compute(stage, inputs);
        outputs.insert(stage.name, output.clone());
        Ok::<_, Infallible>(output)
    });
    outputs
}

/// Returns a stage's input as the start of a graph of its own; the image needs no gradient.
fn track(name: &str, value: &Tensor<4>) -> Tensor<4> {
    if name == IMAGE { value.clone() } else { value.clone().detach().require_grad() }
}

/// Makes a number whose gradient at a map is the one given.
fn along(gradient: Tensor<4>, map: Tensor<4>) -> Tensor<1> {
    (map * gradient).sum()
}

#[cfg(test)]
mod tests {
    use crate::amsunet::AmsUnetConfig;
    use crate::kernels::devices;
    use crate::unet_plus_plus::{DeepSupervision, UNetPlusPlusConfig};
    use crate::weights::Weights;
    use burn::tensor::{Device, Distribution, FloatDType};

    use super::*;

    #[test]
    fn what_is_computed_again_is_the_same() {
        let cpu = Device::flex();
        cpu.seed(3);
        let weights = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&cpu));
        // If blocks are not whole operators, a skip connection's gradient is a sum of five, added
        // up in another order.
        for (name, dtype, shape, bound_on_cpu, bound) in [
            ("a batch of even size", FloatDType::F32, [2, 3, 32, 48], 0.0, 1e-3),
            ("an image of odd size", FloatDType::F32, [1, 3, 37, 61], 0.0, 1e-3),
            ("16 bits", FloatDType::BF16, [2, 3, 64, 64], 0.02, 0.02),
        ] {
            for (device, handle) in devices().into_iter().filter(|(_, handle)| handle.supports_dtype(dtype)) {
                let handle = handle.autodiff();
                let bound = if device == "cpu" { bound_on_cpu } else { bound };
                let images = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &cpu).into_data();
                let images = Tensor::<4>::from_data(images, &handle).cast(dtype);
                let objective = |logits: Tensor<4>| logits.cast(FloatDType::F32).square().mean();
                let [kept, again] = [0, 1].map(|_| weights.to_network(&handle).unwrap());
                let expected = Gradients::from_loss(&objective(kept.forward(images.clone())), &kept);
                let found = gradients(&again, images, objective);
                assert!(found.tensors().keys().eq(expected.tensors().keys()), "{name} on {device}: other parameters");
                let squares = found.tensors().iter().map(|(parameter, found)| {
                    let difference = found.clone() - expected.tensors()[parameter].clone();
                    difference.square().sum().into_scalar::<f64>()
                });
                let (apart, norm) = (squares.sum::<f64>().sqrt(), expected.norm());
                assert!(apart <= bound * norm, "{name} on {device}: the gradients are {apart} apart, of {norm}");
                // Weights hold the running statistics too.
                let [kept, again] = [kept, again].map(|net| Weights::from_network(&net.valid()));
                assert_eq!(again, kept, "{name} on {device}");
                assert_ne!(again, weights, "{name} on {device}: the running statistics have not moved");
            }
        }
    }

    #[test]
    fn the_gradients_of_several_heads_are_those_of_their_mean() {
        let cpu = Device::flex();
        cpu.seed(4);
        let config = UNetPlusPlusConfig::new().with_base_width(2).with_options(DeepSupervision::on());
        let weights = Weights::from_network(&config.init(&cpu));
        let handle = cpu.clone().autodiff();
        let images = Tensor::<4>::random([2, 3, 16, 32], Distribution::Normal(0.0, 1.0), &cpu).into_data();
        let images = Tensor::<4>::from_data(images, &handle);
        // Heads are told apart by what is asked of them.
        let objective = |logits: Tensor<4>| (logits.clone() * logits.exp()).mean();
        let [kept, again] = [0, 1].map(|_| weights.to_network(&handle).unwrap());
        let of_heads = kept.forward_supervised(images.clone()).into_iter().map(objective);
        let mean = of_heads.reduce(|sum, number| sum + number).unwrap().div_scalar(4.0);
        let expected = Gradients::from_loss(&mean, &kept);
        let found = gradients(&again, images, objective);
        assert!(found.tensors().keys().eq(expected.tensors().keys()), "other parameters");
        assert!(found.tensors().contains_key("final1.weight"));
        let mut squares = 0.0;
        for (name, found) in found.tensors() {
            let difference = found.clone() - expected.tensors()[name].clone();
            squares += difference.square().sum().into_scalar::<f64>();
        }
        let (apart, norm) = (squares.sqrt(), expected.norm());
        assert!(apart <= 1e-5 * norm, "the gradients are {apart} apart, of {norm}");
    }
}
