//! Cleans masks: fills holes, removes specks, and keeps only the largest area.

use image::GrayImage;
use serde::{Deserialize, Serialize};

use crate::components::{Components, Connectivity, Run};

/// The cleaning of the areas of one class, in the order of the fields. Pixels of a class are
/// connected by sides and corners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cleanup {
    /// Background that is enclosed by the class alone, and not by the image's edge, becomes the
    /// class.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fill_holes: bool,
    /// Areas of fewer pixels become background.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_area: u64,
    /// All areas but the largest become background; of equally large ones the first, row by row, is
    /// kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub largest_component: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Cleanup {
    /// Cleans the areas of a class.
    pub fn apply(&self, mask: &mut GrayImage, class: u8) {
        if self.fill_holes {
            fill_holes(mask, class);
        }
        if self.min_area <= 1 && !self.largest_component {
            return;
        }
        let areas = Components::from_mask(mask, class, Connectivity::Eight);
        let largest = areas.sizes.iter().max().and_then(|size| areas.sizes.iter().position(|other| other == size));
        let is_small = |run: &Run| areas.sizes[run.area] < self.min_area;
        let is_other = |run: &Run| self.largest_component && Some(run.area) != largest;
        for run in areas.runs.iter().filter(|run| is_small(run) || is_other(run)) {
            paint(mask, run, 0);
        }
    }
}

fn paint(mask: &mut GrayImage, run: &Run, label: u8) {
    let row = run.row as usize * mask.width() as usize;
    let labels: &mut [u8] = mask;
    labels[row + run.start as usize..row + run.end as usize].fill(label);
}

fn fill_holes(mask: &mut GrayImage, class: u8) {
    let gaps = Components::from_mask(mask, 0, Connectivity::Four);
    let mut is_hole = vec![true; gaps.sizes.len()];
    let (width, height) = mask.dimensions();
    for run in &gaps.runs {
        let is_at_edge = run.start == 0 || run.end == width || run.row == 0 || run.row + 1 == height;
        is_hole[run.area] &= !is_at_edge && {
            let line = |row: u32| &mask.as_raw()[row as usize * width as usize..][..width as usize];
            let enclosed = |label: &u8| *label == class || *label == 0;
            let (start, end) = (run.start as usize, run.end as usize);
            let row = line(run.row);
            row[start - 1] == class
                && row[end] == class
                && line(run.row - 1)[start..end].iter().all(enclosed)
                && line(run.row + 1)[start..end].iter().all(enclosed)
        };
    }
    for run in gaps.runs.iter().filter(|run| is_hole[run.area]) {
        paint(mask, run, class);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(byte: u8) -> u8 {
        match byte {
            b'#' => 1,
            b'o' => 2,
            _ => 0,
        }
    }

    fn mask(rows: &[&str]) -> GrayImage {
        let labels = rows.concat().bytes().map(label).collect();
        GrayImage::from_raw(rows[0].len() as u32, rows.len() as u32, labels).unwrap()
    }

    #[test]
    fn areas_are_cleaned_as_asked_and_other_classes_left_alone() {
        let keep = Cleanup::default();
        let rows: [(&str, Cleanup, &[&str], &[&str]); 8] = [
            ("nothing asked", keep, &["#..", "..#"], &["#..", "..#"]),
            (
                "the largest",
                Cleanup { largest_component: true, ..keep },
                &["##.#", "...#", "...#"],
                &["...#", "...#", "...#"],
            ),
            ("the first of equals", Cleanup { largest_component: true, ..keep }, &["#.#"], &["#.."]),
            ("specks", Cleanup { min_area: 2, ..keep }, &["#..#", "...#"], &["...#", "...#"]),
            ("corners connect", Cleanup { min_area: 2, ..keep }, &["#...", ".#..", "...#"], &["#...", ".#..", "...."]),
            ("a hole", Cleanup { fill_holes: true, ..keep }, &["####", "#..#", "####"], &["####", "####", "####"]),
            ("open to the edge", Cleanup { fill_holes: true, ..keep }, &["###", "#..", "###"], &["###", "#..", "###"]),
            (
                "another class in the hole",
                Cleanup { fill_holes: true, min_area: 2, largest_component: true },
                &["#####", "#.o.#", "#####"],
                &["#####", "#.o.#", "#####"],
            ),
        ];
        for (name, cleanup, before, after) in rows {
            let mut cleaned = mask(before);
            cleanup.apply(&mut cleaned, 1);
            assert_eq!(cleaned, mask(after), "{name}");
        }
    }

    fn ring(filled: bool) -> GrayImage {
        GrayImage::from_fn(5, 5, |x, y| {
            let is_ring = (1..4).contains(&x) && (1..4).contains(&y) && (filled || (x, y) != (2, 2));
            [u8::from(is_ring)].into()
        })
    }

    #[test]
    fn a_hole_is_filled_before_areas_are_measured() {
        let mut mask = ring(false);
        Cleanup { fill_holes: true, min_area: 9, ..Cleanup::default() }.apply(&mut mask, 1);
        assert_eq!(mask, ring(true));
    }
}
