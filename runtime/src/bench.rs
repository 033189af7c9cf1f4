//! Measures the speed of a model: times of many runs, of two models in turn, and of each stage from
//! file to file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ndarray::Array4;
use seg_contract::Pixels;
use seg_data::{EncodeError, ReadError, read_sized_image, write_mask_png};
use seg_inference::{RunError, SegmentError, Segmenter, Session};
use seg_metrics::nearest_rank;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The number of runs of a model.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// The runs before counting starts, at least one: the first ones plan, allocate and build.
    pub warm_up: usize,
    /// The runs that are counted, at least one.
    pub counted: usize,
}

/// The distribution of values, by nearest rank: each percentile is a value that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// The value that half of all do not exceed.
    pub p50: f64,
    /// The value that 95 of 100 do not exceed.
    pub p95: f64,
    /// The value that 99 of 100 do not exceed.
    pub p99: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Distribution {
    /// Computes the distribution of values; not a number if there are none.
    pub fn from_values(mut values: Vec<f64>) -> Self {
        let [p50, p95, p99, min, max] =
            [0.5, 0.95, 0.99, 0.0, 1.0].map(|q| nearest_rank(&mut values, q).unwrap_or(f64::NAN));
        Self { p50, p95, p99, min, max }
    }
}

/// The times of two models that were run in turn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// The first model's times, in milliseconds.
    pub first_ms: Distribution,
    /// The second model's times, in milliseconds.
    pub second_ms: Distribution,
    /// The quartiles of the first model's time divided by the second one's, pair by pair.
    ///
    /// The ratio of pairs holds when the machine's speed drifts.
    pub ratio_quartiles: [f64; 3],
}

/// The median time of each stage from an image file to a mask file, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    /// Reading and decoding the file.
    pub decode_ms: f64,
    /// Converting the image to the network's input.
    pub preprocess_ms: f64,
    /// Running the network.
    pub infer_ms: f64,
    /// Converting the network's output to the mask.
    pub postprocess_ms: f64,
    /// Encoding and writing the mask.
    pub encode_ms: f64,
}

/// The reason for which an image cannot be taken through all stages.
#[derive(Debug, Error)]
pub enum StageError {
    /// The image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The image cannot be segmented.
    #[error("cannot segment `{path}`")]
    Segment {
        /// The image.
        path: PathBuf,
        /// The cause.
        source: SegmentError,
    },
    /// The mask cannot be written.
    #[error(transparent)]
    Mask(#[from] EncodeError),
}

/// Makes an input `[n, c, h, w]` with values like those of a normalised image, the same each time.
pub fn example_input(shape: [usize; 4]) -> Array4<f32> {
    // A linear congruential generator (Numerical Recipes); a ramp would let a network's activations
    // die out.
    let mut state = 1_u32;
    Array4::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    })
}

/// Measures the times of a model's runs on one input, in milliseconds.
///
/// # Errors
/// When the model cannot be run.
pub fn measure(session: &mut Session, input: &Array4<f32>, runs: Runs) -> Result<Distribution, RunError> {
    for _ in 0..runs.warm_up {
        session.infer(input.view())?;
    }
    let times: Result<_, _> = (0..runs.counted).map(|_| time(session, input)).collect();
    Ok(Distribution::from_values(times?))
}

/// Measures the times of two models on one input, run in turn.
///
/// # Errors
/// When one of the models cannot be run.
pub fn measure_paired([first, second]: [&mut Session; 2], input: &Array4<f32>, runs: Runs) -> Result<Paired, RunError> {
    for _ in 0..runs.warm_up {
        first.infer(input.view())?;
        second.infer(input.view())?;
    }
    let (mut first_ms, mut second_ms) = (Vec::new(), Vec::new());
    for round in 0..runs.counted {
        // The model that runs second finds the caches as the other one left them, so they take
        // turns in that as well.
        if round % 2 == 0 {
            first_ms.push(time(first, input)?);
            second_ms.push(time(second, input)?);
        } else {
            second_ms.push(time(second, input)?);
            first_ms.push(time(first, input)?);
        }
    }
    Ok(Paired::from_times(first_ms, second_ms))
}

impl Paired {
    /// Compares the times of runs in turn.
    fn from_times(first_ms: Vec<f64>, second_ms: Vec<f64>) -> Self {
        let mut ratios: Vec<_> = first_ms.iter().zip(&second_ms).map(|(first, second)| first / second).collect();
        Self {
            ratio_quartiles: [0.25, 0.5, 0.75].map(|q| nearest_rank(&mut ratios, q).unwrap_or(f64::NAN)),
            first_ms: Distribution::from_values(first_ms),
            second_ms: Distribution::from_values(second_ms),
        }
    }
}

fn time(session: &mut Session, input: &Array4<f32>) -> Result<f64, RunError> {
    let start = Instant::now();
    session.infer(input.view())?;
    Ok(milliseconds(start.elapsed()))
}

/// Takes image files through all stages, one after the other; each mask replaces the one before in
/// `folder`.
///
/// # Errors
/// With the first image that cannot be segmented into a file.
pub fn measure_stages(segmenter: &mut Segmenter, images: &[PathBuf], folder: &Path) -> Result<Stages, StageError> {
    let palette: Vec<_> = segmenter.contract().classes.iter().map(|class| class.color).collect();
    let mask_path = folder.join("mask.png");
    let mut times: [Vec<f64>; 5] = Default::default();
    for path in images {
        let start = Instant::now();
        let (image, spacing) = read_sized_image(path, &segmenter.steps().reading())?;
        let decode = start.elapsed();
        let segmentation = segmenter
            .segment(Pixels::from(&image).with_spacing(spacing))
            .map_err(|source| StageError::Segment { path: path.clone(), source })?;
        let start = Instant::now();
        write_mask_png(&mask_path, &segmentation.mask, &palette)?;
        let encode = start.elapsed();
        let timings = segmentation.timings;
        let stages = [decode, timings.preprocess, timings.infer, timings.postprocess, encode];
        for (times, stage) in times.iter_mut().zip(stages) {
            times.push(milliseconds(stage));
        }
    }
    let [decode_ms, preprocess_ms, infer_ms, postprocess_ms, encode_ms] =
        times.map(|times| Distribution::from_values(times).p50);
    Ok(Stages { decode_ms, preprocess_ms, infer_ms, postprocess_ms, encode_ms })
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Returns the most memory that this process has used at once, in bytes; `None` if the system does
/// not tell.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let all = |p50, p95, p99, min, max| Distribution { p50, p95, p99, min, max };
        for (name, values, expected) in [
            ("one", vec![3.0], all(3.0, 3.0, 3.0, 3.0, 3.0)),
            ("an even number", vec![4.0, 1.0, 3.0, 2.0], all(2.0, 4.0, 4.0, 1.0, 4.0)),
            ("two hundred", (1..=200).map(f64::from).collect(), all(100.0, 190.0, 198.0, 1.0, 200.0)),
        ] {
            assert_eq!(Distribution::from_values(values), expected, "{name}");
        }
    }

    #[test]
    fn the_ratio_is_that_of_the_pairs() {
        let paired = Paired::from_times(vec![10.0, 30.0, 20.0, 5.0], vec![20.0, 60.0, 80.0, 5.0]);
        assert_eq!(paired.ratio_quartiles, [0.25, 0.5, 0.5]);
        assert_eq!(paired.first_ms.p50, 10.0);
    }

    #[test]
    fn the_example_has_the_range_of_a_normalised_image() {
        let input = example_input([2, 3, 16, 16]);
        assert_eq!(input, example_input([2, 3, 16, 16]));
        assert!(input.iter().all(|value| (-2.0..=2.0).contains(value)));
        assert!(input.mean().is_some_and(|mean| mean.abs() < 0.2));
    }

    #[test]
    fn memory_that_was_freed_still_counts() {
        let before = peak_memory_bytes().unwrap();
        drop(std::hint::black_box(vec![1_u8; 64 << 20]));
        assert!(peak_memory_bytes().unwrap() >= before.max(64 << 20));
    }
}
