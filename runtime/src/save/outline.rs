//! The outlines of a class's areas, along the edges of pixels, so that they contain exactly the
//! pixels of the mask.

use std::collections::HashMap;

use image::GrayImage;
use seg_metrics::{Components, Connectivity};

/// A corner of pixels: column and row.
pub(crate) type Corner = [u32; 2];

/// An area whose pixels are connected by their sides, in corners of pixels; no ring repeats its
/// first corner at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Polygon {
    /// Clockwise as seen in the picture.
    pub(crate) exterior: Vec<Corner>,
    /// Counterclockwise.
    pub(crate) holes: Vec<Vec<Corner>>,
    /// The pixels of the area.
    pub(crate) area: u64,
}

/// Right, down, left and up: each is a right turn from the one before.
const STEPS: [[i32; 2]; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/// Returns the label of a pixel; `None` outside the mask.
fn label_at(mask: &GrayImage, x: Option<u32>, y: Option<u32>) -> Option<u8> {
    mask.get_pixel_checked(x?, y?).map(|pixel| pixel[0])
}

/// Finds the areas of a label, in the order of their first pixels, row by row.
pub(crate) fn polygons(mask: &GrayImage, label: u8) -> Vec<Polygon> {
    let areas = Components::from_mask(mask, label, Connectivity::Four);
    let mut polygons: Vec<_> =
        areas.sizes.iter().map(|area| Polygon { exterior: Vec::new(), holes: Vec::new(), area: *area }).collect();
    // The edges between the label and everything else, with the label to their right: the
    // directions that leave a corner.
    let mut leaving: HashMap<Corner, [bool; 4]> = HashMap::new();
    let mut tops = Vec::new();
    let is_other = |x: Option<u32>, y: Option<u32>| label_at(mask, x, y) != Some(label);
    for run in &areas.runs {
        let y = run.row;
        for x in run.start..run.end {
            let is_top = is_other(Some(x), y.checked_sub(1));
            let edges = [
                (is_top, [x, y]),
                (is_other(Some(x + 1), Some(y)), [x + 1, y]),
                (is_other(Some(x), Some(y + 1)), [x + 1, y + 1]),
                (is_other(x.checked_sub(1), Some(y)), [x, y + 1]),
            ];
            for (direction, (_, corner)) in edges.into_iter().enumerate().filter(|(_, (is_edge, _))| *is_edge) {
                leaving.entry(corner).or_default()[direction] = true;
            }
            if is_top {
                tops.push(([x, y], run.area));
            }
        }
    }
    // Each ring has a top edge, and an area's first one lies on its exterior.
    for (start, area) in tops {
        if leaving.get(&start).is_none_or(|leaves| !leaves[0]) {
            continue;
        }
        let ring = trace(&mut leaving, start);
        let polygon = &mut polygons[area];
        if polygon.exterior.is_empty() {
            polygon.exterior = ring;
        } else {
            polygon.holes.push(ring);
        }
    }
    polygons
}

/// Follows edges from the one to the right of `start` back to it, and removes them.
fn trace(leaving: &mut HashMap<Corner, [bool; 4]>, start: Corner) -> Vec<Corner> {
    let mut ring = Vec::new();
    let (mut corner, mut direction) = (start, 0);
    let mut before = None;
    loop {
        // A right turn comes first: if two areas touch at a corner, each keeps to itself.
        let turns = [direction + 1, direction, direction + 3].map(|turn| turn % 4);
        let turns = if before.is_none() { [0; 3] } else { turns };
        let Some(leaves) = leaving.get_mut(&corner) else { break };
        let is_back = |turn: usize| corner == start && before.is_some() && turn == 0;
        let Some(next) = turns.into_iter().find(|turn| leaves[*turn] || is_back(*turn)) else { break };
        if is_back(next) {
            break;
        }
        leaves[next] = false;
        if before != Some(next) {
            ring.push(corner);
        }
        before = Some(next);
        direction = next;
        let step = STEPS[next];
        corner = [corner[0].wrapping_add_signed(step[0]), corner[1].wrapping_add_signed(step[1])];
    }
    // The first corner is on a straight line if the ring comes back to it from the left.
    if before == Some(0) {
        ring.remove(0);
    }
    ring
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(rows: &[&str]) -> GrayImage {
        let labels = rows.concat().bytes().map(|byte| u8::from(byte == b'#')).collect();
        GrayImage::from_raw(rows[0].len() as u32, rows.len() as u32, labels).unwrap()
    }

    #[test]
    fn rings_go_around_areas_and_holes() {
        let found = polygons(&mask(&["###.", "#.#.", "####"]), 1);
        let exterior = vec![[0, 0], [3, 0], [3, 2], [4, 2], [4, 3], [0, 3]];
        let [polygon] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((&polygon.exterior, polygon.area), (&exterior, 9));
        let [hole] = polygon.holes.as_slice() else { panic!("{polygon:?}") };
        assert_eq!(area(hole), -2);
        assert_eq!(polygons(&mask(&["#.", ".#"]), 1).len(), 2, "corners do not connect");
        assert_eq!(polygons(&mask(&["..", ".."]), 1), []);
    }

    /// Returns twice the area inside a ring, positive if it is clockwise.
    fn area(ring: &[Corner]) -> i64 {
        let next = ring.iter().cycle().skip(1);
        ring.iter().zip(next).map(|(a, b)| i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1])).sum()
    }

    #[test]
    fn polygons_hold_exactly_the_pixels_of_the_mask() {
        let mut state = 3_u32;
        for (width, height) in [(1, 1), (9, 14), (31, 20)] {
            let mask = GrayImage::from_fn(width, height, |_, _| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                [u8::from(state >> 24 < 150)].into()
            });
            let found = polygons(&mask, 1);
            for polygon in &found {
                let inside: i64 = area(&polygon.exterior) + polygon.holes.iter().map(|hole| area(hole)).sum::<i64>();
                assert_eq!(inside, 2 * polygon.area as i64, "{width}x{height}");
                assert!(polygon.holes.iter().all(|hole| area(hole) < 0), "{width}x{height}");
            }
            // A pixel is inside if a ray to its left crosses the rings an odd number of times.
            for (x, y, label) in mask.enumerate_pixels() {
                let rings = found.iter().flat_map(|polygon| std::iter::once(&polygon.exterior).chain(&polygon.holes));
                let crossings = rings
                    .flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)))
                    .filter(|(a, b)| a[0] == b[0] && a[0] <= x && a[1].min(b[1]) <= y && y < a[1].max(b[1]));
                assert_eq!(crossings.count() % 2, usize::from(label[0]), "{width}x{height}: {x}, {y}");
            }
        }
    }
}
