//! The speed of each kernel beside what the processor can do at most: a measurement, not a claim.
//!
//! `cargo test --release -p seg-kernels roofline -- --ignored --nocapture`, on one thread; the
//! variable `SEG_VECTORS` holds it to a smaller set of instructions. Each figure is the fastest of
//! many short runs, so that a busy machine hardly counts.
#![allow(clippy::print_stdout, reason = "a measurement's result is what it prints")]

use std::hint::black_box;
use std::time::Instant;

use super::bytes::Steps;
use super::lanes::{LANES, Lanes, block_count};
use super::product::{Cut, Layer, Matrix, Start, multiply, multiply_transposed, sums};
use super::rows::{convolve, convolve_columns, correlate};
use super::vector::{Vector, set, vectorized};
use crate::gelu::{gelu, gelu_gradient};

/// The sums that the loop of multiply-adds keeps busy.
const CHAINS: usize = 12;
/// Its rounds.
const ROUNDS: usize = 10_000;

vectorized! {
    /// Multiplies and adds in registers alone.
    fn peak(values: &mut [Lanes; CHAINS]) = peak_with
}

#[inline(always)]
fn peak_with<V: Vector>(values: &mut [Lanes; CHAINS]) {
    // Six at a time fill AVX2's registers, with two for each.
    for values in values.as_chunks_mut::<6>().0.chunks_exact_mut(if V::MANY { 2 } else { 1 }) {
        let (factor, addend) = (V::load(&black_box(Lanes([0.999; LANES])).0), V::splat(black_box(0.001)));
        let (mut first, mut second) = ([V::splat(0.0); 6], [V::splat(0.0); 6]);
        for _ in 0..ROUNDS {
            for chain in 0..6 {
                first[chain] = addend.add_product(first[chain], factor);
                if V::MANY {
                    second[chain] = addend.add_product(second[chain], factor);
                }
            }
        }
        for chain in 0..6 {
            first[chain].add(second[chain]).store(&mut values[0][chain].0);
        }
    }
}

/// Returns the billions of operations per second of the fastest run.
fn rate(operations: usize, mut run: impl FnMut()) -> f64 {
    let fastest = (0..300).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    operations as f64 / fastest.fold(f64::INFINITY, f64::min) / 1e9
}

#[test]
#[ignore = "a measurement"]
fn roofline() {
    let lanes = |count| vec![Lanes([0.5; LANES]); count];
    let mut chains = [Lanes::ZERO; CHAINS];
    let peak = rate(2 * LANES * CHAINS * ROUNDS, || peak(black_box(&mut chains)));
    println!("instructions: {:?}; multiply-adds in registers: {peak:.0} GFLOP/s on one thread", set());
    let print = |name: &str, rate: f64| println!("{name:44} {rate:6.0} GFLOP/s {:4.0} %", 100.0 * rate / peak);
    for [rows, depth, pixels] in [[128, 32, 256], [32, 128, 256], [256, 256, 256], [1024, 256, 256]] {
        let (x, mut y) = (lanes(block_count(depth) * pixels), lanes(block_count(rows) * pixels));
        let matrix = Matrix::new(&vec![0.1; rows * depth], [rows, depth]);
        let operations = 2 * rows * depth * pixels;
        let of_value = rate(operations, || multiply(matrix.whole(), &x, Start::Zero, &mut y, [pixels; 2], pixels));
        print(&format!("1x1 convolution, {depth} to {rows} channels"), of_value);
        let (mut totals, blocks) = (sums([rows, depth]), [rows, depth].map(block_count));
        let of_gradient = rate(operations, || multiply_transposed(&y, &x, blocks, [pixels; 2], pixels, &mut totals));
        print("  gradient of its weight", of_gradient);
        let steps = Steps::new(0.01, 128).expect("the scale is neither huge nor tiny");
        let (layer, mut bytes) = (
            Layer::integers(&vec![3; rows * depth], [rows, depth], &vec![0.1; rows], steps, &vec![0.0; rows]),
            Vec::new(),
        );
        let product = layer.weight.of(&x, 0..block_count(depth), pixels, pixels, &mut bytes);
        let of_integers = rate(operations, || product.write_to(Cut::Whole, Start::Zero, &mut y, pixels, pixels));
        print("  in integers", of_integers);
        let with_rounding = rate(operations, || {
            let product = layer.weight.of(&x, 0..block_count(depth), pixels, pixels, &mut bytes);
            product.write_to(Cut::Whole, Start::Zero, &mut y, pixels, pixels);
        });
        print("  in integers, with the rounding of its input", with_rounding);
    }
    const WIDTH: usize = 64;
    let rows: Vec<Vec<Lanes>> = (0..16).map(|_| lanes(WIDTH + 16)).collect();
    let rows: Vec<&[Lanes]> = rows.iter().map(|row| &row[..]).collect();
    let (kernel, mut y) = (lanes(11), lanes(4 * WIDTH));
    let pass = |taps: usize, rows: usize| 2 * LANES * taps * rows * WIDTH;
    let square = rate(pass(9, 1), || convolve(&rows[..3], 1, &kernel[..9], &kernel[0], &mut y[..WIDTH]));
    print("depthwise 3x3", square);
    let row = rate(pass(11, 1), || convolve(&rows[..1], 1, &kernel, &kernel[0], &mut y[..WIDTH]));
    print("depthwise 1x11", row);
    let column = rate(pass(11, 4), || {
        y.fill(Lanes::ZERO);
        convolve_columns(&[(&rows[..14], &kernel)], 4, &mut y, WIDTH, WIDTH);
    });
    print("depthwise 11x1", column);
    let mut totals = lanes(9);
    let weight = rate(pass(9, 1), || correlate(&rows[..9], &rows[9][..WIDTH], &mut totals));
    print("  gradient of a 3x3 weight", weight);
    let x: Vec<f32> = (0..4096).map(|step| step as f32 / 256.0 - 8.0).collect();
    let mut y = x.clone();
    println!("GELU {:.1}, its gradient {:.1} billion values per second", rate(x.len(), || gelu(&x, &mut y)), {
        rate(x.len(), || gelu_gradient(&x, &mut y))
    });
}
