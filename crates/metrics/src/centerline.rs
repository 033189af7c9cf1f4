//! clDice: the overlap of each mask's centre line with the other mask.

use crate::region::Region;
use crate::skeleton::skeleton;
use crate::surface::harmonic_mean;

/// Computes clDice: the harmonic mean of the share of the prediction's skeleton in the truth and of
/// the truth's skeleton in the prediction. It is 1 if both are empty and 0 if one is.
///
/// S. Shit et al., *clDice: a novel topology-preserving loss function for tubular structure
/// segmentation*, 2021, with the skeletons of [`skeleton`].
pub fn centerline_dice(prediction: &Region, truth: &Region) -> f64 {
    if prediction.is_empty() && truth.is_empty() {
        return 1.0;
    }
    let (of_prediction, of_truth) = rayon::join(|| skeleton(prediction), || skeleton(truth));
    harmonic_mean(share(&of_prediction, truth), share(&of_truth, prediction))
}

/// Returns the share of the first region's pixels that are in the second; 0 if the first is empty.
fn share(region: &Region, other: &Region) -> f64 {
    let all = region.inside().iter().filter(|inside| **inside).count();
    let both = region.inside().iter().zip(other.inside()).filter(|(one, other)| **one && **other).count();
    both as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::tests::drawn;

    #[test]
    fn a_gap_costs_sensitivity_and_a_spur_precision() {
        let vessel = ["..........", "##########", "##########", "##########", ".........."];
        for (name, prediction, expected) in [
            ("the same", vessel, 1.0),
            // One of the nine pixels of the vessel's skeleton turns up at its end.
            ("thinner", ["..........", "..........", "##########", "..........", ".........."], 16.0 / 17.0),
            ("nothing", [".........."; 5], 0.0),
            ("beside it", ["##########", "..........", "..........", "..........", ".........."], 0.0),
        ] {
            let found = centerline_dice(&drawn(&prediction), &drawn(&vessel));
            assert!((found - expected).abs() < 1e-15, "{name}: {found}");
        }
        let (line, half) = (drawn(&["########"]), drawn(&["####...."]));
        assert_eq!(centerline_dice(&half, &line), 2.0 * 0.5 / 1.5, "a gap");
        assert_eq!(centerline_dice(&line, &half), 2.0 * 0.5 / 1.5, "a spur");
        assert_eq!(centerline_dice(&drawn(&[".."]), &drawn(&[".."])), 1.0, "nothing in either");
    }
}
