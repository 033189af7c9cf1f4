//! Times forward passes or training steps of a network on the CPU: wall-clock and processor time,
//! page faults and peak memory of this process.
//!
//! `cargo run --release -p seg-nets --example step -- train 2 256 256 5`: the task (`train` or
//! `forward`), batch, height, width and rounds, and after them the network:
//! `amsunet`, `unet` or `unext`.
//! Processor time is what holds on a busy machine. The last figure is a checksum of the output's
//! bits, which must not depend on `RAYON_NUM_THREADS`.
#![allow(clippy::print_stdout, reason = "a measurement's result is what it prints")]

use std::fs;
use std::time::Instant;

use burn::tensor::{Distribution, Tensor};
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::device::DeviceChoice;
use seg_nets::network::{Configuration, Network};
use seg_nets::unet::UNetConfig;
use seg_nets::unext::UNextConfig;

/// Milliseconds per clock tick of `/proc/self/stat`.
const TICK: f64 = 10.0;

/// Returns processor time in user and system mode, in milliseconds, and page faults.
fn spent() -> [f64; 3] {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0.0);
    [TICK * field(11), TICK * field(12), field(7)]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = arguments.iter().skip(1).take(4).filter_map(|text| text.parse().ok()).collect();
    let (Some(task), &[n, h, w, rounds]) = (arguments.first(), &numbers[..]) else {
        println!("usage: step train|forward BATCH HEIGHT WIDTH ROUNDS [amsunet|unet|unext]");
        return;
    };
    let (device, _) = DeviceChoice::Cpu.open().expect("the CPU is there");
    device.seed(7);
    let device = if task == "train" { device.autodiff() } else { device };
    let net: Network = match arguments.get(5).map(String::as_str) {
        Some("unet") => UNetConfig::new().init(&device).into(),
        Some("unext") => Configuration::init(&UNextConfig::new(), &device).into(),
        _ => AmsUnetConfig::new().init(&device).into(),
    };
    let random = |channels| Tensor::<4>::random([n, channels, h, w], Distribution::Normal(0.0, 1.0), &device);
    let (x, along) = (random(3), random(2));
    let (mut times, mut before, mut checksum) = (Vec::new(), [0.0; 3], 0_u64);
    for round in 0..=rounds {
        if round == 1 {
            before = spent();
        }
        let start = Instant::now();
        let y = net.forward(x.clone());
        if task == "train" {
            drop((y.clone() * along.clone()).sum().backward());
        }
        let y = y.into_data();
        times.push(1e3 * start.elapsed().as_secs_f64());
        checksum = y.iter::<f32>().fold(0, |sum, value| sum.wrapping_mul(31).wrapping_add(value.to_bits().into()));
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    let after = spent();
    let [user, system, faults] = std::array::from_fn(|index| (after[index] - before[index]) / rounds as f64);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim();
    println!(
        "{task} {n}x3x{h}x{w}: {:.0} ms (fastest {:.0}), processor {user:.0} + {system:.0} ms, {faults:.0} page faults, peak {peak}, {checksum:x}",
        times[times.len() / 2],
        times[0],
    );
}
