//! Compares the exported network in ONNX Runtime with the same weights in Burn, on the CPU.
//!
//! `cargo bench -p seg-benches --bench network`
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array4;
use seg_benches::paired;
use seg_export::{Options as ExportOptions, export};
use seg_inference::library::{Build, Search};
use seg_inference::{Options, Session};
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::checkpoint::Checkpoint;
use seg_nets::network::Network;
use seg_nets::weights::Weights;

const ROUNDS: usize = 7;

fn main() -> Result<()> {
    let device = Device::flex();
    let net: Network = AmsUnetConfig::new().init(&device).into();
    let checkpoint = Checkpoint { path: "random".into(), weights: Weights::from_network(&net), contract: None };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("amsunet.onnx");
    std::fs::write(&path, export(&checkpoint, &ExportOptions::default())?.bytes)?;
    let environment = Search::from_env(None, Build::Cpu).locate()?.load()?;
    let mut session = Session::open(&environment, &path, &Options::default())?;

    println!("{:44} {:>12} {:>12}", "forward, full width", "ONNX Runtime", "Burn");
    for (n, side) in [(1, 256), (1, 512), (4, 256)] {
        let values: Vec<f32> = (0..n * 3 * side * side).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
        let image = Array4::from_shape_vec((n, 3, side, side), values.clone()).context("as many values as pixels")?;
        let x = Tensor::<4>::from_data(TensorData::new(values, [n, 3, side, side]), &device);
        let mut failed = None;
        let times =
            paired(ROUNDS, || failed = session.run(image.view()).err(), || drop(net.forward(x.clone()).into_data()));
        failed.map_or(Ok(()), Err)?;
        println!("{:44} {times}", format!("{n}x3x{side}x{side}"));
    }
    Ok(())
}
