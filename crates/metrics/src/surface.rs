//! Distances between the surfaces of two regions, and the metrics that follow from them.

use crate::distance::squared_distances;
use crate::quantile::quantile;
use crate::region::Region;

/// The distances of the surface pixels of each of two regions to the other's surface, in pixels or
/// millimetres.
///
/// A region's surface is [`Region::surface`]; distances are Euclidean, straight across any pixels
/// in between.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceDistances {
    /// The distance of each surface pixel of the prediction to the truth's surface, in ascending
    /// order.
    to_truth: Vec<f64>,
    /// The distance of each surface pixel of the truth to the prediction's surface, in ascending
    /// order.
    to_prediction: Vec<f64>,
}

impl SurfaceDistances {
    /// Measures the distances between two regions of one image; `None` if one of them is empty.
    ///
    /// `spacing` are the distances between rows and between columns, 1 and 1 for distances in
    /// pixels.
    pub fn between(prediction: &Region, truth: &Region, spacing: [f64; 2]) -> Option<Self> {
        let (prediction, truth) = rayon::join(|| prediction.surface(), || truth.surface());
        let all = || prediction.iter().chain(&truth);
        // The rest of the image is farther from either than they are from each other.
        let (left, right) = (all().map(|(x, _)| *x).min()?, all().map(|(x, _)| *x).max()?);
        let (top, bottom) = (all().map(|(_, y)| *y).min()?, all().map(|(_, y)| *y).max()?);
        if prediction.is_empty() || truth.is_empty() {
            return None;
        }
        let moved = |surface: &[(usize, usize)]| surface.iter().map(|(x, y)| (x - left, y - top)).collect::<Vec<_>>();
        let (prediction, truth) = (moved(&prediction), moved(&truth));
        let size = [right - left + 1, bottom - top + 1];
        let (to_truth, to_prediction) = rayon::join(
            || distances(size, spacing, &prediction, &truth),
            || distances(size, spacing, &truth, &prediction),
        );
        Some(Self { to_truth, to_prediction })
    }

    /// Returns the Hausdorff distance: the largest of all distances.
    pub fn hausdorff(&self) -> f64 {
        self.hausdorff_quantile(1.0)
    }

    /// Returns the larger of the two directed quantiles `q` (0 to 1) of the distances; 0.95 gives
    /// HD95.
    pub fn hausdorff_quantile(&self, q: f64) -> f64 {
        let of = |distances| quantile(distances, q).expect("neither surface is empty");
        f64::max(of(&self.to_truth), of(&self.to_prediction))
    }

    /// Returns the average symmetric surface distance: the mean of the distances of both surfaces'
    /// pixels.
    pub fn average(&self) -> f64 {
        let sum: f64 = self.to_truth.iter().chain(&self.to_prediction).sum();
        sum / (self.to_truth.len() + self.to_prediction.len()) as f64
    }

    /// Returns the normalised surface Dice: the share of both surfaces' pixels that are within
    /// `tolerance` of the other.
    ///
    /// S. Nikolov et al., *Deep learning to achieve clinically applicable segmentation of head and
    /// neck anatomy*, 2018, with pixels counted instead of their surface area.
    pub fn surface_dice(&self, tolerance: f64) -> f64 {
        let within = within(&self.to_truth, tolerance) + within(&self.to_prediction, tolerance);
        within as f64 / (self.to_truth.len() + self.to_prediction.len()) as f64
    }

    /// Returns the boundary F1: the harmonic mean of the shares of either surface's pixels within
    /// `tolerance` of the other.
    ///
    /// G. Csurka et al., *What is a good evaluation measure for semantic segmentation?*, 2013.
    pub fn boundary_f1(&self, tolerance: f64) -> f64 {
        let share = |distances: &[f64]| within(distances, tolerance) as f64 / distances.len() as f64;
        harmonic_mean(share(&self.to_truth), share(&self.to_prediction))
    }
}

/// Returns the distances of pixels `(x, y)` to the nearest of others in an image of this width,
/// height and spacing, in ascending order.
fn distances(
    [width, height]: [usize; 2],
    spacing: [f64; 2],
    from: &[(usize, usize)],
    to: &[(usize, usize)],
) -> Vec<f64> {
    let squared = squared_distances(width, height, to, spacing);
    let mut distances: Vec<f64> = from.iter().map(|(x, y)| squared[y * width + x].sqrt()).collect();
    distances.sort_by(f64::total_cmp);
    distances
}

/// Counts the ascending distances that are at most `tolerance`.
fn within(distances: &[f64], tolerance: f64) -> usize {
    distances.partition_point(|distance| *distance <= tolerance)
}

/// Returns the harmonic mean `2ab / (a + b)`, and 0 if both are 0.
pub(crate) fn harmonic_mean(a: f64, b: f64) -> f64 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::tests::drawn;

    const PIXELS: [f64; 2] = [1.0, 1.0];

    #[test]
    fn metrics_follow_their_definitions() {
        // The prediction's three pixels are 0, 3 and 4 from the truth's two, these 0 and 3 from the
        // prediction's.
        let (prediction, truth) = (drawn(&["#......##"]), drawn(&["#...#...."]));
        let distances = SurfaceDistances::between(&prediction, &truth, PIXELS).unwrap();
        assert_eq!(distances.to_truth, [0.0, 3.0, 4.0]);
        assert_eq!(distances.to_prediction, [0.0, 3.0]);
        assert_eq!(distances.hausdorff(), 4.0);
        assert_eq!(distances.hausdorff_quantile(0.5), 3.0);
        assert_eq!(distances.average(), 2.0);
        for (tolerance, dice, f1) in [(0.0, 0.4, 0.4), (2.9, 0.4, 0.4), (3.0, 0.8, 0.8), (4.0, 1.0, 1.0)] {
            assert_eq!(distances.surface_dice(tolerance), dice, "{tolerance}");
            assert!((distances.boundary_f1(tolerance) - f1).abs() < 1e-15, "{tolerance}");
        }
    }

    #[test]
    fn an_empty_region_has_no_distance() {
        let (empty, full) = (drawn(&["...."]), drawn(&["####"]));
        for (prediction, truth) in [(&empty, &full), (&full, &empty), (&empty, &empty)] {
            assert_eq!(SurfaceDistances::between(prediction, truth, PIXELS), None);
        }
    }

    #[test]
    fn nothing_found_within_the_tolerance_is_zero() {
        let distances = SurfaceDistances::between(&drawn(&["#...."]), &drawn(&["....#"]), PIXELS).unwrap();
        assert_eq!((distances.surface_dice(1.0), distances.boundary_f1(1.0)), (0.0, 0.0));
    }
}
