//! Polygons to pixels, by two rules.
//!
//! - COCO's reference tools trace the outline on a grid five times as fine, and take the pixels of
//!   a column between its crossings. [`fill_as_coco`] gives the same pixels.
//! - [`fill_centers`] takes the pixels whose centre is inside; the centre of the first pixel is at
//!   (0.5, 0.5). Where rings overlap, as holes do, every second one counts.

/// The coordinates of a ring: x and y of each corner, in pixels from the image's upper left corner.
pub(crate) type Ring = Vec<[f64; 2]>;

/// The number of fine steps in a pixel, as COCO's tools take it.
const STEPS: f64 = 5.0;
/// The largest coordinate, so that no outline is longer than any image's.
const COORDINATE_MAX: f64 = 1e6;

/// Returns true if all coordinates are numbers of the size that images have.
pub(crate) fn is_usable(ring: &Ring) -> bool {
    ring.iter().flatten().all(|value| value.abs() <= COORDINATE_MAX)
}

/// Sets the pixels within a polygon, as COCO's tools do; `mask` is row by row.
pub(crate) fn fill_as_coco(ring: &Ring, [width, height]: [usize; 2], mask: &mut [bool]) {
    let fine = |value: f64| (STEPS * value + 0.5) as i64;
    let corners: Vec<[i64; 2]> = ring.iter().map(|[x, y]| [fine(*x), fine(*y)]).collect();
    let mut toggles = vec![false; width * height];
    let mut before: Option<[i64; 2]> = None;
    for (index, from) in corners.iter().enumerate() {
        let to = corners[(index + 1) % corners.len()];
        for point in outline(*from, to) {
            if let Some(before) = before
                && let Some([x, y]) = crossing(before, point, [width, height])
                && let Some(toggle) = toggles.get_mut(x * height + y)
            {
                *toggle = !*toggle;
            }
            before = Some(point);
        }
    }
    // Column by column, as the run lengths of COCO are.
    let mut inside = false;
    for (index, toggle) in toggles.into_iter().enumerate() {
        inside ^= toggle;
        mask[index % height * width + index / height] |= inside;
    }
}

/// Returns the points of the fine grid from one corner to the next, both included.
fn outline(from: [i64; 2], to: [i64; 2]) -> impl Iterator<Item = [i64; 2]> {
    let (wide, high) = ((to[0] - from[0]).abs(), (to[1] - from[1]).abs());
    let by_columns = wide >= high;
    let main = usize::from(!by_columns);
    // The line is computed from its smaller end, whichever it is drawn from.
    let is_turned = from[main] > to[main];
    let (start, end) = if is_turned { (to, from) } else { (from, to) };
    let length = wide.max(high);
    let slope = if length == 0 { 0.0 } else { (end[1 - main] - start[1 - main]) as f64 / length as f64 };
    (0..=length).map(move |step| {
        let along = if is_turned { length - step } else { step };
        let across = (start[1 - main] as f64 + slope * along as f64 + 0.5) as i64;
        if by_columns { [along + start[0], across] } else { [across, along + start[1]] }
    })
}

/// Returns the pixel, column and row, before which a column is entered or left between two points
/// of the outline; the row is `height` where it is below the image.
fn crossing(before: [i64; 2], point: [i64; 2], [width, height]: [usize; 2]) -> Option<[usize; 2]> {
    if before[0] == point[0] {
        return None;
    }
    let column = if point[0] < before[0] { point[0] } else { point[0] - 1 };
    let column = (column as f64 + 0.5) / STEPS - 0.5;
    if column.floor() != column || column < 0.0 || column > width as f64 - 1.0 {
        return None;
    }
    let row = (point[1].min(before[1]) as f64 + 0.5) / STEPS - 0.5;
    let row = row.clamp(0.0, height as f64).ceil();
    Some([column as usize, row as usize])
}

/// Sets the pixels whose centre lies within an odd number of the rings; `mask` is row by row.
pub(crate) fn fill_centers(rings: &[Ring], [width, height]: [usize; 2], mask: &mut [bool]) {
    for (row, line) in mask.chunks_exact_mut(width.max(1)).take(height).enumerate() {
        let y = row as f64 + 0.5;
        let mut crossings: Vec<f64> = rings.iter().flat_map(|ring| crossings(ring, y)).collect();
        crossings.sort_by(f64::total_cmp);
        for span in crossings.chunks_exact(2) {
            // A centre on the left edge is inside, one on the right edge outside.
            let [first, end] = [span[0], span[1]].map(|x| ((x - 0.5).ceil().max(0.0) as usize).min(width));
            line[first..end.max(first)].fill(true);
        }
    }
}

/// Returns where a ring crosses a horizontal line.
fn crossings(ring: &Ring, y: f64) -> impl Iterator<Item = f64> {
    let next = ring.iter().cycle().skip(1);
    ring.iter()
        .zip(next)
        .filter(move |(from, to)| (from[1] <= y) != (to[1] <= y))
        .map(move |(from, to)| from[0] + (y - from[1]) / (to[1] - from[1]) * (to[0] - from[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(rings: &[Ring], coco: bool) -> Vec<String> {
        let size = [8, 6];
        let mut mask = vec![false; 48];
        if coco {
            fill_as_coco(&rings[0], size, &mut mask)
        } else {
            fill_centers(rings, size, &mut mask)
        }
        mask.chunks(8).map(|row| row.iter().map(|inside| if *inside { '#' } else { '.' }).collect()).collect()
    }

    #[test]
    fn centers_decide_and_holes_are_left_out() {
        let outer = vec![[1.0, 1.0], [7.0, 1.0], [7.0, 5.0], [1.0, 5.0]];
        let hole = vec![[3.0, 2.0], [5.0, 2.0], [5.0, 4.0], [3.0, 4.0]];
        let whole = ["........", ".######.", ".######.", ".######.", ".######.", "........"];
        assert_eq!(filled(std::slice::from_ref(&outer), false), whole);
        let holed = ["........", ".######.", ".##..##.", ".##..##.", ".######.", "........"];
        assert_eq!(filled(&[outer, hole], false), holed);
        let outside = vec![[-9.0, -9.0], [99.0, -9.0], [99.0, 2.4], [-9.0, 2.4]];
        assert_eq!(filled(&[outside], false)[..3], ["########", "########", "........"]);
        assert_eq!(filled(&[vec![[1.0, 1.0]]], false), ["........"; 6], "one corner");
    }

    /// The pixels are those of `pycocotools` 2.0.
    #[test]
    fn polygons_are_those_of_the_reference() {
        let rows: [(&str, Ring, [&str; 6]); 8] = [
            (
                "a rectangle",
                vec![[1.0, 1.0], [7.0, 1.0], [7.0, 5.0], [1.0, 5.0]],
                ["........", ".######.", ".######.", ".######.", ".######.", "........"],
            ),
            (
                "a triangle",
                vec![[1.0, 0.5], [6.6, 3.2], [2.3, 5.7]],
                ["........", ".##.....", "..###...", "..####..", "..##....", "..#....."],
            ),
            (
                "half pixels",
                vec![[0.5, 0.5], [4.5, 0.5], [4.5, 3.5], [0.5, 3.5]],
                ["........", ".####...", ".####...", ".####...", "........", "........"],
            ),
            (
                "beyond the image",
                vec![[-3.0, -2.0], [10.2, 2.4], [9.0, 9.0], [-4.0, 7.5]],
                ["####....", "########", "########", "########", "########", "########"],
            ),
            (
                "a bow",
                vec![[1.0, 1.0], [7.0, 5.0], [7.0, 1.0], [1.0, 5.0]],
                ["........", ".#....#.", ".##..##.", ".##..##.", ".#....#.", "........"],
            ),
            (
                "closed",
                vec![[2.2, 1.1], [6.1, 1.4], [5.2, 4.9], [2.2, 1.1]],
                ["........", "...###..", "...###..", "....##..", "........", "........"],
            ),
            (
                "thin",
                vec![[1.0, 2.0], [7.0, 2.2], [7.0, 2.4], [1.0, 2.3]],
                ["........", "........", "........", "........", "........", "........"],
            ),
            (
                "concave",
                vec![[0.0, 0.0], [8.0, 0.0], [8.0, 6.0], [4.0, 2.0], [0.0, 6.0]],
                ["########", "########", "###..###", "##....##", "#......#", "........"],
            ),
        ];
        for (name, ring, expected) in rows {
            assert_eq!(filled(&[ring], true), expected, "{name}");
        }
    }
}
