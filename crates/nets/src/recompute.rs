//! Gradients with the maps of one stage in memory at a time.
//!
//! A first pass keeps what passes between the network's stages and nothing from inside them. Then each stage, the last first, runs
//! again from its inputs, now with what its gradient needs, and goes back from its output's gradient to its inputs'. The values
//! are the same, so the gradients are, for the price of a second forward pass.

use crate::amsunet::AmsUnet;
use crate::kernels::pointwise;
use burn::module::Module;
use burn::tensor::Tensor;

use crate::gradients::Gradients;

/// The gradients of what `objective` makes of the network's logits, a tensor of shape `[1]`.
///
/// The running statistics move once, as in a pass that keeps everything.
pub fn gradients(net: &AmsUnet, images: Tensor<4>, objective: impl FnOnce(Tensor<4>) -> Tensor<1>) -> Gradients {
    // Its parameters are no part of a graph, and it has running statistics of its own.
    let frozen = net.valid().train().no_grad();
    let x1 = frozen.in_conv.forward(images.clone());
    let x2 = frozen.down1.forward(x1.clone());
    let x3 = frozen.down2.forward(x2.clone());
    let x4 = frozen.down3.forward(x3.clone());
    let x5 = frozen.down4.forward(x4.clone());
    let y4 = frozen.up1.forward(x5.clone(), x4.clone());
    let y3 = frozen.up2.forward(y4.clone(), x3.clone());
    let y2 = frozen.up3.forward(y3.clone(), x2.clone());

    let mut back = Back { net, found: Gradients::default() };
    let [dy2, dx1] =
        back.through([y2, x1.clone()], |[y2, x1]| objective(pointwise(&net.out_conv, net.up4.forward(y2, x1))));
    let [dy3, dx2] = back.through([y3, x2.clone()], |[y3, x2]| along(dy2, net.up3.forward(y3, x2)));
    let [dy4, dx3] = back.through([y4, x3.clone()], |[y4, x3]| along(dy3, net.up2.forward(y4, x3)));
    let [dx5, dx4] = back.through([x5, x4.clone()], |[x5, x4]| along(dy4, net.up1.forward(x5, x4)));
    let [down] = back.through([x4], |[x4]| along(dx5, net.down4.forward(x4)));
    let [down] = back.through([x3], |[x3]| along(dx4 + down, net.down3.forward(x3)));
    let [down] = back.through([x2], |[x2]| along(dx3 + down, net.down2.forward(x2)));
    let [down] = back.through([x1], |[x1]| along(dx2 + down, net.down1.forward(x1)));
    back.through([], |[]| along(dx1 + down, net.in_conv.forward(images)));
    back.found
}

/// The way back, and what was found on it.
struct Back<'a> {
    net: &'a AmsUnet,
    found: Gradients,
}

impl Back<'_> {
    /// The gradients of a stage's inputs; those of its parameters are kept.
    fn through<const N: usize>(
        &mut self,
        inputs: [Tensor<4>; N],
        stage: impl FnOnce([Tensor<4>; N]) -> Tensor<1>,
    ) -> [Tensor<4>; N] {
        let inputs = inputs.map(|input| input.detach().require_grad());
        let mut tape = stage(inputs.clone()).backward();
        self.found.collect(&mut tape, self.net);
        inputs.map(|input| input.grad_remove(&mut tape).expect("a stage reads all its inputs").autodiff())
    }
}

/// A number whose gradient at a map is the one given.
fn along(gradient: Tensor<4>, map: Tensor<4>) -> Tensor<1> {
    (map * gradient).sum()
}

#[cfg(test)]
mod tests {
    use crate::amsunet::AmsUnetConfig;
    use crate::kernels::devices;
    use crate::weights::Weights;
    use burn::tensor::{Device, Distribution, FloatDType};

    use super::*;

    #[test]
    fn what_is_computed_again_is_the_same() {
        let cpu = Device::flex();
        cpu.seed(3);
        let weights = Weights::of(&AmsUnetConfig::new().with_base_width(4).init(&cpu));
        // Where blocks are not whole operators, a skip connection's gradient is a sum of five, added up in another order.
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
                let expected = Gradients::of(&objective(kept.forward(images.clone())), &kept);
                let found = gradients(&again, images, objective);
                assert!(found.tensors().keys().eq(expected.tensors().keys()), "{name} on {device}: other parameters");
                let squares = found.tensors().iter().map(|(parameter, found)| {
                    let difference = found.clone() - expected.tensors()[parameter].clone();
                    difference.square().sum().into_scalar::<f64>()
                });
                let (apart, norm) = (squares.sum::<f64>().sqrt(), expected.norm());
                assert!(apart <= bound * norm, "{name} on {device}: the gradients are {apart} apart, of {norm}");
                // Weights hold the running statistics too.
                let [kept, again] = [kept, again].map(|net| Weights::of(&net.valid()));
                assert_eq!(again, kept, "{name} on {device}");
                assert_ne!(again, weights, "{name} on {device}: the running statistics have not moved");
            }
        }
    }
}
