//! Compares the steps of both sides: their losses and weights after some of them.

use std::path::Path;

use anyhow::Result;
use seg_nets::device::DeviceChoice;
use seg_nets::network::NetworkName;
use seg_nets::precision::Precision;
use seg_nets::weights::Weights;

use crate::case;
use crate::measure::{Measured, Measurement, Task};
use crate::side::{Numbers, Setting, Side};

const STEPS: usize = 20;

/// The largest differences of the two sides within [`STEPS`].
struct Tolerance {
    /// The difference of the losses, relative to the loss.
    losses: f64,
    /// The difference of the weights, relative to their way from the start, both as L2 norms over
    /// all that is learned.
    weights: f64,
}

/// The bounds for float32. Losses: rounding in another order gives about 1e-6, while AdamW with
/// Burn's own epsilon is off by a fifth. Weights: AdamW divides a gradient by its own magnitude, so
/// that rounding moves a weight with a gradient of nearly zero as far as any other.
///
/// Networks with ReLU go further apart, because rounding turns whole pixels on and off: U-Net in
/// PyTorch, contiguous against channels last, 1.9e-3 and 0.13. The bounds are therefore never below
/// [`FOLD`] times the distance of PyTorch from itself: in its other layout, and from starts whose
/// weights are the neighbouring floats. From one of nine such starts SegNeXt, whose factorisation
/// is iterated, goes as far as 7e-4 in the losses at once.
const CPU: Tolerance = Tolerance { losses: 1e-4, weights: 0.05 };
/// The bounds for float32 on CUDA. Burn's matrix products run on tensor cores as TF32, whose
/// factors are rounded to one part in 2048: some thousand times as coarse as float32, and a
/// gradient passes through about a hundred of them. A difference of 1e-6 of the losses on the CPU
/// may thus become 1e-3, and gradients of less than about a hundredth of the usual size, a
/// hundredth of all, may change their sign: such weights move the other way, and `2 sqrt(0.01)` of
/// the way is 0.2. AdamW's epsilon would still be found.
const CUDA: Tolerance = Tolerance { losses: 1e-2, weights: 0.2 };
/// The distance from PyTorch that is allowed, as a multiple of PyTorch's largest from itself: what
/// rounding does in one case is no bound of what it does in another.
const FOLD: f64 = 4.0;
/// The largest departure of our losses in bf16 from those in float32, relative to that of PyTorch's
/// autocast: both round at the same places except where PyTorch keeps 32 bits, and neither rounds
/// like the other.
const BF16_DEPARTURE: f64 = 2.0;

/// Prints the losses of both sides and the difference of their weights, and returns how the steps
/// differ.
pub(crate) fn compare(
    network: NetworkName,
    python: &Path,
    device: DeviceChoice,
    threads: usize,
    precision: Precision,
    weights: &Path,
) -> Result<Vec<String>> {
    let measure_from = |start: &Path, side: &Side, precision: Precision| -> Result<_> {
        let learned = weights.with_file_name("learned.safetensors");
        let measurement = Measurement {
            network,
            task: Task::Train,
            size: case::size_of_steps(network).to_vec(),
            batch: 2,
            steps: STEPS,
            weights: start.into(),
            device,
            precision,
            checkpoint_activations: false,
            save: Some(learned.clone()),
        };
        Ok((side.measure(&measurement, threads)?, Weights::read(&learned)?))
    };
    let measure = |side: &Side, precision| measure_from(weights, side, precision);
    let peer = |numbers| Side::PyTorch(python.into(), Setting { channels_last: false, numbers });
    let (ours, our_weights) = measure(&Side::Ours, Precision::Fp32)?;
    let mut faults = Vec::new();
    if precision == Precision::Bf16 {
        let [theirs, theirs_bf16] = [Numbers::Fp32, Numbers::Bf16].map(|numbers| measure(&peer(numbers), precision));
        let (ours_bf16, _) = measure(&Side::Ours, precision)?;
        let [ours, theirs] = [losses_apart(&ours_bf16, &ours), losses_apart(&theirs_bf16?.0, &theirs?.0)];
        println!(
            "\nin bf16 the losses depart from those in float32 by at most {ours:.1e} here, {theirs:.1e} in PyTorch"
        );
        if ours > BF16_DEPARTURE * theirs {
            faults.push(format!("our losses in bf16 depart more than {BF16_DEPARTURE} times as far as PyTorch's"));
        }
        return Ok(faults);
    }
    let Tolerance { losses, weights: of_weights } = if device == DeviceChoice::Cpu { CPU } else { CUDA };
    let start = Weights::read(weights)?;
    let moved = distance(&start, &our_weights);
    for setting in Setting::all(precision, device).into_iter().filter(|setting| !setting.channels_last) {
        let (theirs, their_weights) = measure(&Side::PyTorch(python.into(), setting), precision)?;
        let other = Setting { channels_last: true, ..setting };
        let mut others = vec![measure(&Side::PyTorch(python.into(), other), precision)?];
        for turn in [false, true] {
            let nudged_start = weights.with_file_name("nudged.safetensors");
            nudged(&start, turn).write(&nudged_start, None)?;
            others.push(measure_from(&nudged_start, &Side::PyTorch(python.into(), setting), precision)?);
        }
        let apart = losses_apart(&ours, &theirs);
        let weights_apart = distance(&our_weights, &their_weights) / moved;
        let own = others.iter().map(|(other, other_weights)| {
            [losses_apart(other, &theirs), distance(other_weights, &their_weights) / moved]
        });
        let own = own.collect::<Vec<_>>();
        println!("\n{} against {} ({setting}), the same weights and the same batch", ours.version, theirs.version);
        let [our_loss, their_loss] = [&ours, &theirs].map(|side| side.losses[STEPS]);
        println!("loss after {STEPS} steps: {our_loss:.6} and {their_loss:.6}; at most {apart:.1e} apart on the way");
        println!("the weights have moved by {moved:.3} (L2), and are {weights_apart:.1e} of that apart");
        for (name, [losses, weights]) in ["in the other layout", "nudged", "nudged the other way"].iter().zip(&own) {
            println!("PyTorch {name}: losses {losses:.1e}, weights {weights:.1e} apart");
        }
        let farthest = |place: usize| own.iter().map(|apart| apart[place]).fold(0.0, f64::max);
        let bounds = [losses.max(FOLD * farthest(0)), of_weights.max(FOLD * farthest(1))];
        for (what, apart, bound) in [("losses", apart, bounds[0]), ("weights", weights_apart, bounds[1])] {
            if apart.is_nan() || apart > bound {
                faults.push(format!(
                    "the {what} are {apart:.1e} apart from {setting}, more than {bound:.1e}: other steps"
                ));
            }
        }
    }
    Ok(faults)
}

/// Moves each weight to the float above or below it, in a pattern that two turns have opposite.
fn nudged(weights: &Weights, turn: bool) -> Weights {
    let mut tensors = weights.tensors().clone();
    for (name, values) in &mut tensors {
        if name.contains("running_") {
            continue;
        }
        for (index, value) in values.iter_mut().enumerate() {
            let is_up = (index * 7919 % 1000 < 500) != turn;
            *value = if is_up { value.next_up() } else { value.next_down() };
        }
    }
    Weights::new(weights.network(), tensors).with_options(weights.options().clone())
}

/// Returns the largest difference of two sides' losses, relative to the loss; infinite where one is
/// not a number.
fn losses_apart(one: &Measured, other: &Measured) -> f64 {
    let apart = |(one, other): (&f64, &f64)| Some((one / other - 1.0).abs()).filter(|apart| !apart.is_nan());
    let apart = one.losses.iter().zip(&other.losses).map(|pair| apart(pair).unwrap_or(f64::INFINITY));
    apart.fold(0.0, f64::max)
}

/// Returns the L2 norm of the difference over all learned weights, without running statistics,
/// whose magnitude is another.
fn distance(from: &Weights, to: &Weights) -> f64 {
    let learned = from.tensors().iter().filter(|(name, _)| !name.contains("running_"));
    let squares = learned.map(|(name, from)| {
        let pairs = from.iter().zip(&to.tensors()[name]);
        pairs.map(|(from, to)| f64::from(from - to).powi(2)).sum::<f64>()
    });
    squares.sum::<f64>().sqrt()
}
