//! Missed and invented objects.

use serde::Serialize;

use crate::components::{Components, Connectivity};
use crate::region::Region;

/// The number of objects in two regions, and of those that the other region does not touch.
///
/// An object is a set of pixels that are connected across sides and corners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObjectCounts {
    /// The number of objects in the truth.
    pub truth: usize,
    /// The number of those without a predicted pixel.
    pub missed: usize,
    /// The number of objects in the prediction.
    pub predicted: usize,
    /// The number of those without a true pixel.
    pub invented: usize,
}

impl ObjectCounts {
    /// Counts the objects of two regions of one image.
    pub fn compare(prediction: &Region, truth: &Region) -> Self {
        let (found, of_truth) = rayon::join(|| count(prediction, truth), || count(truth, prediction));
        Self { truth: of_truth.0, missed: of_truth.1, predicted: found.0, invented: found.1 }
    }
}

/// Counts the objects of a region, and those of them that the other one does not touch.
fn count(region: &Region, other: &Region) -> (usize, usize) {
    let Components { runs, sizes } = Components::from_region(region, Connectivity::Eight);
    let mut is_touched = vec![false; sizes.len()];
    for run in runs {
        let row = run.row as usize * region.width();
        is_touched[run.area] |= other.inside()[row + run.start as usize..row + run.end as usize].contains(&true);
    }
    (sizes.len(), is_touched.iter().filter(|is_touched| !**is_touched).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::tests::drawn;

    #[test]
    fn objects_are_connected_across_corners_and_one_common_pixel_finds_them() {
        let truth = drawn(&["##..#", "..#..", ".....", "#...#"]);
        let prediction = drawn(&[".#...", ".....", "..#..", "#...."]);
        // The diagonal at the top is one object; of the two at the bottom the left one is found.
        let counts = ObjectCounts { truth: 4, missed: 2, predicted: 3, invented: 1 };
        assert_eq!(ObjectCounts::compare(&prediction, &truth), counts);
        assert_eq!(ObjectCounts::compare(&drawn(&["..."]), &drawn(&["..."])), ObjectCounts::default());
    }
}
