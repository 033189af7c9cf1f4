//! Objects that were missed, and objects that are not there.

use serde::Serialize;

use crate::region::Region;

/// How many objects two regions have, and how many of them the other region does not touch.
///
/// An object is a set of pixels that hang together across sides and corners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObjectCounts {
    /// The objects of the truth.
    pub truth: usize,
    /// Those of them of which no pixel was predicted.
    pub missed: usize,
    /// The objects of the prediction.
    pub predicted: usize,
    /// Those of them of which no pixel is true.
    pub invented: usize,
}

impl ObjectCounts {
    /// Counts the objects of two regions of one image.
    pub fn of(prediction: &Region, truth: &Region) -> Self {
        let (found, of_truth) = rayon::join(|| count(prediction, truth), || count(truth, prediction));
        Self { truth: of_truth.0, missed: of_truth.1, predicted: found.0, invented: found.1 }
    }
}

/// The objects of a region, and those that the other one does not touch.
fn count(region: &Region, other: &Region) -> (usize, usize) {
    let (width, height) = (region.width(), region.height());
    let mut left = region.inside().to_vec();
    let (mut objects, mut untouched) = (0, 0);
    let mut stack = Vec::new();
    for first in 0..left.len() {
        if !std::mem::take(&mut left[first]) {
            continue;
        }
        let mut is_touched = false;
        stack.push(first);
        while let Some(pixel) = stack.pop() {
            is_touched |= other.inside()[pixel];
            let (x, y) = (pixel % width, pixel / width);
            for y in y.saturating_sub(1)..(y + 2).min(height) {
                for x in x.saturating_sub(1)..(x + 2).min(width) {
                    if std::mem::take(&mut left[y * width + x]) {
                        stack.push(y * width + x);
                    }
                }
            }
        }
        objects += 1;
        untouched += usize::from(!is_touched);
    }
    (objects, untouched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::tests::drawn;

    #[test]
    fn objects_hang_together_across_corners_and_one_common_pixel_finds_them() {
        let truth = drawn(&["##..#", "..#..", ".....", "#...#"]);
        let prediction = drawn(&[".#...", ".....", "..#..", "#...."]);
        // The diagonal at the top is one object; of the two at the bottom the left one is found.
        let counts = ObjectCounts { truth: 4, missed: 2, predicted: 3, invented: 1 };
        assert_eq!(ObjectCounts::of(&prediction, &truth), counts);
        assert_eq!(ObjectCounts::of(&drawn(&["..."]), &drawn(&["..."])), ObjectCounts::default());
    }
}
