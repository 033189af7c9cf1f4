//! Compares the operators of `seg_nets::kernels` with Burn's own, forward and backward, in the
//! network's shapes on the CPU.
//!
//! `cargo bench -p seg-benches --bench kernels`
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Distribution, Tensor, activation};
use seg_benches::paired;
use seg_nets::kernels::{depthwise, depthwise_layer, gelu, pointwise, pointwise_layer};

const ROUNDS: usize = 7;

fn main() {
    let device = Device::flex().autodiff();
    println!("{:44} {:>12} {:>12}", "forward and backward", "ours", "Burn");
    for ([c, side], kernel, dilation) in [
        ([32, 256], [3, 3], 1),
        ([32, 256], [1, 11], 1),
        ([32, 256], [11, 1], 1),
        ([128, 64], [1, 7], 1),
        ([256, 32], [3, 3], 3),
        ([1024, 32], [3, 3], 1),
        ([256, 16], [3, 3], 5),
    ] {
        let layer = depthwise_layer(c, kernel, dilation, &device);
        let name = format!("depthwise {kernel:?} dilation {dilation}, 2x{c}x{side}x{side}");
        convolution(&name, [2, c, side, side], &layer, depthwise);
    }
    for ([c_in, c_out], side) in [([32, 128], 256), ([128, 32], 256), ([256, 256], 32), ([512, 128], 32)] {
        let layer = pointwise_layer(c_in, c_out, &device);
        convolution(
            &format!("pointwise {c_in} to {c_out}, 2x{c_in}x{side}x{side}"),
            [2, c_in, side, side],
            &layer,
            pointwise,
        );
    }
    for (c, side) in [(128, 256), (1024, 32)] {
        let x = input([2, c, side, side]);
        let times = paired(ROUNDS, || differentiate(gelu(x.clone())), || differentiate(activation::gelu(x.clone())));
        println!("{:44} {times}", format!("GELU, 2x{c}x{side}x{side}"));
    }
}

fn convolution(name: &str, shape: [usize; 4], layer: &Conv2d, ours: fn(&Conv2d, Tensor<4>) -> Tensor<4>) {
    let x = input(shape);
    let times = paired(ROUNDS, || differentiate(ours(layer, x.clone())), || differentiate(layer.forward(x.clone())));
    println!("{name:44} {times}");
}

fn input(shape: [usize; 4]) -> Tensor<4> {
    let device = Device::flex().autodiff();
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device).require_grad()
}

/// Runs the backward pass; the CPU backend computes at once, so there is nothing to wait for.
fn differentiate(y: Tensor<4>) {
    drop(y.sum().backward());
}
