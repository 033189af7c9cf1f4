#!/usr/bin/env bash
# Burn 0.22.1 (crates.io): the running variance of BatchNorm is the biased one, not that of the paper that its page names.
#
# Expected: the page of BatchNorm: "Based upon the paper Batch Normalization" (Ioffe and Szegedy 2015). Its algorithm 2, step 10, takes
#           m / (m - 1) times the batch's variance, with m values in a channel; PyTorch's layer does so too.
# Seen:     the variance of the batch as it is. Of two values in a channel the running variance is half of the paper's.
# Affects:  networks whose last maps are small: trained with Burn and evaluated, they normalise by other numbers than the same network
#           trained in PyTorch; of 2 images of 2x2 the variance is an eighth too small.
# Instead:  a layer of one's own that corrects the variance, or statistics that are estimated again after training.
#
# Compiling Burn takes some minutes.
set -euo pipefail
command -v cargo >/dev/null || exit 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "variance"
version = "0.0.0"
edition = "2024"

[dependencies]
burn = { version = "=0.22.1", default-features = false, features = ["std", "flex", "autodiff"] }
TOML
cat >"$folder/src/main.rs" <<'RUST'
use burn::nn::BatchNormConfig;
use burn::tensor::{Device, Tensor};

fn main() {
    let device = Device::flex().autodiff();
    // With this momentum, the running statistics are those of the last batch.
    let norm = BatchNormConfig::new(1).with_momentum(1.0).init(&device);
    norm.forward(Tensor::<4>::from_data([[[[0.0]]], [[[2.0]]]], &device));
    let seen: Vec<f32> = norm.running_var.value_sync().into_data().iter().collect();
    println!("expected: the running variance of the values 0 and 2 is 2 / (2 - 1) * 1 = 2");
    println!("seen:     {}", seen[0]);
    std::process::exit(if (seen[0] - 1.0).abs() < 1e-6 { 0 } else { 1 });
}
RUST
cargo build --quiet --manifest-path "$folder/Cargo.toml" || exit 2
"$folder/target/debug/variance"
