//! Timings of two implementations, taken in turn, so that their ratio holds when the machine's
//! speed drifts.

use std::fmt;
use std::time::{Duration, Instant};

/// Times of two implementations, run in turn.
#[derive(Clone, Debug)]
pub struct Paired {
    ours: Vec<Duration>,
    theirs: Vec<Duration>,
}

/// Runs both once without counting, then `rounds` times in turn.
pub fn paired(rounds: usize, mut ours: impl FnMut(), mut theirs: impl FnMut()) -> Paired {
    ours();
    theirs();
    let mut times = Paired { ours: Vec::new(), theirs: Vec::new() };
    for _ in 0..rounds {
        times.ours.push(time(&mut ours));
        times.theirs.push(time(&mut theirs));
    }
    times
}

fn time(run: &mut impl FnMut()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

impl Paired {
    /// Returns the medians of both, in milliseconds.
    pub fn medians_ms(&self) -> [f64; 2] {
        [&self.ours, &self.theirs].map(|times| median(times.iter().map(|time| time.as_secs_f64() * 1e3).collect()))
    }

    /// Returns the median ratio of our time to theirs over the rounds.
    pub fn ratio(&self) -> f64 {
        let seconds = |times: &[Duration]| times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
        median_ratio(&seconds(&self.ours), &seconds(&self.theirs))
    }
}

/// Returns the median ratio of our time to theirs over the rounds.
pub fn median_ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
}

/// Returns the median; NaN for no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    seg_metrics::median(&mut values).unwrap_or(f64::NAN)
}

impl fmt::Display for Paired {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ours, theirs] = self.medians_ms();
        write!(formatter, "{ours:9.2} ms {theirs:9.2} ms   ratio {:.2}", self.ratio())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_the_pairs() {
        let times = |ms: &[u64]| ms.iter().map(|ms| Duration::from_millis(*ms)).collect();
        let paired = Paired { ours: times(&[10, 30, 20]), theirs: times(&[20, 60, 80]) };
        assert_eq!(paired.ratio(), 0.5);
        assert_eq!(paired.medians_ms(), [20.0, 60.0]);
    }
}
