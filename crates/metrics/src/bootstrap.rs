//! Confidence intervals by resampling images: the percentile bootstrap of B. Efron, 1979.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::quantile::quantile;

/// The settings of confidence intervals. Images are drawn with replacement, as many as there are,
/// repeatedly.
///
/// All numbers follow from the seed. All statistics are computed on the same draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bootstrap {
    /// The number of draws; 0 for no intervals.
    pub replicates: usize,
    /// The share of the draws whose statistic lies in the interval, between 0 and 1.
    pub confidence: f64,
    /// The seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { replicates: 1000, confidence: 0.95, seed: 0 }
    }
}

impl Bootstrap {
    /// Returns the confidence interval of a statistic of a set of `images`. The statistic is given
    /// the indices of the drawn images, some of them several times.
    ///
    /// Draws without a value are left out. The result is `None` for fewer than two images, or if no
    /// draw has a value.
    pub fn interval(&self, images: usize, statistic: impl Fn(&[usize]) -> Option<f64> + Sync) -> Option<[f64; 2]> {
        if images < 2 {
            return None;
        }
        let replicates = (0..self.replicates as u64).into_par_iter();
        let values = replicates.map_init(Vec::new, |drawn, replicate| {
            self.draw(images, replicate, drawn);
            statistic(drawn)
        });
        let mut values: Vec<f64> = values.flatten().collect();
        values.sort_by(f64::total_cmp);
        let outside = (1.0 - self.confidence) / 2.0;
        Some([quantile(&values, outside)?, quantile(&values, 1.0 - outside)?])
    }

    /// Draws the images of one replicate into `drawn`.
    fn draw(&self, images: usize, replicate: u64, drawn: &mut Vec<usize>) {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(replicate);
        drawn.clear();
        drawn.extend((0..images).map(|_| random.random_range(0..images)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64]) -> impl Fn(&[usize]) -> Option<f64> + Sync {
        |drawn| Some(drawn.iter().map(|image| values[*image]).sum::<f64>() / drawn.len() as f64)
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_central_limit() {
        let values: Vec<f64> = (0..400).map(|index| f64::from(index % 20)).collect();
        let [low, high] = Bootstrap { replicates: 4000, ..Bootstrap::default() }.interval(400, mean(&values)).unwrap();
        // 1.96 standard errors around 9.5; the deviation of 0 to 19 is the root of 33.25.
        let half = 1.96 * (33.25_f64 / 400.0).sqrt();
        assert!((low - (9.5 - half)).abs() < 0.05 && (high - (9.5 + half)).abs() < 0.05, "{low} to {high}");
    }

    #[test]
    fn the_seed_decides_and_more_confidence_is_wider() {
        let values = [0.1, 0.9, 0.4, 0.7, 0.75, 0.2];
        let interval = |confidence, seed| {
            Bootstrap { replicates: 200, confidence, seed }.interval(values.len(), mean(&values)).unwrap()
        };
        assert_eq!(interval(0.95, 1), interval(0.95, 1));
        assert_ne!(interval(0.95, 1), interval(0.95, 2));
        let (narrow, wide) = (interval(0.5, 1), interval(0.95, 1));
        assert!(wide[0] < narrow[0] && narrow[1] < wide[1], "{narrow:?} in {wide:?}");
    }

    #[test]
    fn without_a_second_image_or_a_value_there_is_no_interval() {
        let bootstrap = Bootstrap::default();
        assert_eq!(bootstrap.interval(1, |_| Some(1.0)), None);
        assert_eq!(bootstrap.interval(5, |_| None), None);
        assert_eq!(Bootstrap { replicates: 0, ..bootstrap }.interval(5, |_| Some(1.0)), None);
        let only_with_image_0 = |drawn: &[usize]| drawn.contains(&0).then_some(1.0);
        assert_eq!(bootstrap.interval(5, only_with_image_0), Some([1.0, 1.0]));
    }
}
