//! Connected areas of a mask, as runs of pixels: memory grows with borders, not with areas.

use image::GrayImage;

use crate::disjoint_sets::DisjointSets;
use crate::region::Region;

/// The neighbours that are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connectivity {
    /// Neighbours that share a side.
    Four,
    /// Neighbours that share a side or a corner.
    Eight,
}

/// A run of pixels in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The row.
    pub row: u32,
    /// The first column.
    pub start: u32,
    /// The column after the last.
    pub end: u32,
    /// The number of its area.
    pub area: usize,
}

/// The connected areas of the pixels of one label.
#[derive(Debug)]
pub struct Components {
    /// The runs by row and column.
    pub runs: Vec<Run>,
    /// The pixels of each area; areas are numbered by their first pixels, row by row.
    pub sizes: Vec<u64>,
}

impl Components {
    /// Finds the areas of a label in a mask.
    pub fn from_mask(mask: &GrayImage, label: u8, connectivity: Connectivity) -> Self {
        Self::find(mask.as_raw(), mask.width() as usize, label, connectivity)
    }

    /// Finds the areas of a region.
    pub fn from_region(region: &Region, connectivity: Connectivity) -> Self {
        Self::find(region.inside(), region.width(), true, connectivity)
    }

    /// Finds the areas of the pixels that equal `label` in an image of rows of `width` pixels.
    fn find<T: PartialEq>(pixels: &[T], width: usize, label: T, connectivity: Connectivity) -> Self {
        let mut runs = Vec::new();
        let mut rows = vec![0];
        for (row, labels) in (0..).zip(pixels.chunks_exact(width.max(1))) {
            let mut start = 0;
            for same in labels.chunk_by(|a, b| a == b) {
                let end = start + same.len() as u32;
                if same[0] == label {
                    runs.push(Run { row, start, end, area: runs.len() });
                }
                start = end;
            }
            rows.push(runs.len());
        }
        let mut sets = DisjointSets::new(runs.len());
        let reach = u32::from(connectivity == Connectivity::Eight);
        for pair in rows.windows(3) {
            let (mut above, mut below) = (pair[0], pair[1]);
            while above < pair[1] && below < pair[2] {
                let (upper, lower) = (runs[above], runs[below]);
                if upper.start < lower.end + reach && lower.start < upper.end + reach {
                    sets.join(above, below);
                }
                if upper.end < lower.end { above += 1 } else { below += 1 }
            }
        }
        let mut sizes = Vec::new();
        let mut numbers = vec![usize::MAX; runs.len()];
        for run in &mut runs {
            let root = sets.first(run.area);
            if numbers[root] == usize::MAX {
                numbers[root] = sizes.len();
                sizes.push(0);
            }
            run.area = numbers[root];
            sizes[run.area] += u64::from(run.end - run.start);
        }
        Self { runs, sizes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws a mask from rows of `#`.
    fn mask(rows: &[&str]) -> GrayImage {
        let labels = rows.concat().bytes().map(|byte| u8::from(byte == b'#')).collect();
        GrayImage::from_raw(rows[0].len() as u32, rows.len() as u32, labels).unwrap()
    }

    #[test]
    fn areas_are_joined_by_sides_or_by_corners_as_well() {
        type Row<'a> = (&'a str, &'a [&'a str], &'a [u64], &'a [u64]);
        let rows: [Row<'_>; 5] = [
            ("nothing", &["...", "..."], &[], &[]),
            ("corners", &["#..", ".#.", "..#"], &[1, 1, 1], &[3]),
            ("a ring", &["###", "#.#", "###"], &[8], &[8]),
            ("a fork joined below", &["#.#.#", "#.#.#", "#####"], &[11], &[11]),
            ("corners to both sides", &[".#.", "#.#", ".#."], &[1, 1, 1, 1], &[4]),
        ];
        for (name, drawn, four, eight) in rows {
            let mask = mask(drawn);
            assert_eq!(Components::from_mask(&mask, 1, Connectivity::Four).sizes, four, "{name}: by sides");
            assert_eq!(Components::from_mask(&mask, 1, Connectivity::Eight).sizes, eight, "{name}: by corners");
        }
    }

    #[test]
    fn the_areas_are_those_that_a_flood_finds() {
        let mut state = 7_u32;
        for (width, height) in [(17, 23), (40, 5), (1, 30)] {
            let mask = GrayImage::from_fn(width, height, |_, _| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                [u8::from(state >> 24 < 130)].into()
            });
            for connectivity in [Connectivity::Four, Connectivity::Eight] {
                let found = Components::from_mask(&mask, 1, connectivity);
                let mut areas = vec![None; (width * height) as usize];
                let mut count = 0;
                for start in 0..areas.len() {
                    if mask.as_raw()[start] == 0 || areas[start].is_some() {
                        continue;
                    }
                    let mut open = vec![start as i64];
                    while let Some(place) = open.pop() {
                        if areas[place as usize].replace(count) == Some(count) {
                            continue;
                        }
                        let (x, y) = (place % i64::from(width), place / i64::from(width));
                        for (dx, dy) in [(0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)] {
                            let (x, y) = (x + dx, y + dy);
                            let is_inside = (0..i64::from(width)).contains(&x) && (0..i64::from(height)).contains(&y);
                            let is_near = dx == 0 || dy == 0 || connectivity == Connectivity::Eight;
                            if is_inside && is_near && mask.as_raw()[(y * i64::from(width) + x) as usize] == 1 {
                                open.push(y * i64::from(width) + x);
                            }
                        }
                    }
                    count += 1;
                }
                assert_eq!(found.sizes.len(), count, "{width}x{height} {connectivity:?}");
                let mut numbered = vec![None; areas.len()];
                for run in &found.runs {
                    numbered[(run.row * width + run.start) as usize..(run.row * width + run.end) as usize]
                        .fill(Some(run.area));
                }
                assert_eq!(numbered, areas, "{width}x{height} {connectivity:?}");
            }
        }
    }
}
