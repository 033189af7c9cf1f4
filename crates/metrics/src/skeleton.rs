//! Thinning to one pixel: T. Y. Zhang and C. Y. Suen, *A fast parallel algorithm for thinning
//! digital patterns*, 1984.

use std::mem;

use crate::region::Region;

/// The eight neighbours of a pixel in the order of their bits: clockwise from the upper left.
const NEIGHBOURS: [(isize, isize); 8] = [(-1, -1), (0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0)];

/// The neighbourhoods in which scikit-image's `skeletonize` departs from the paper, each with the
/// passes that remove its pixel.
///
/// Corners of a line are removed, which the paper leaves two pixels wide, and two pixels of a
/// square of four remain, where the paper leaves none.
const DEPARTURES: [(u8, u8); 25] = [
    (3, 1),
    (6, 1),
    (10, 3),
    (11, 1),
    (12, 1),
    (14, 1),
    (24, 2),
    (26, 2),
    (40, 3),
    (48, 0),
    (56, 2),
    (96, 2),
    (104, 2),
    (108, 2),
    (129, 0),
    (130, 3),
    (131, 1),
    (134, 1),
    (160, 3),
    (161, 1),
    (176, 2),
    (192, 2),
    (194, 1),
    (198, 1),
    (224, 2),
];

/// Returns the skeleton of a region: the same pixels that scikit-image's two-dimensional
/// `skeletonize` keeps.
pub fn skeleton(region: &Region) -> Region {
    let passes_by_neighbourhood: [u8; 256] = std::array::from_fn(|neighbourhood| removing_passes(neighbourhood as u8));
    // A frame of one pixel gives every pixel eight neighbours.
    let stride = region.width() + 2;
    let steps = NEIGHBOURS.map(|(x, y)| y * stride as isize + x);
    let mut inside = vec![false; stride * (region.height() + 2)];
    for (framed, row) in inside.chunks_mut(stride).skip(1).zip(region.inside().chunks(region.width().max(1))) {
        framed[1..=row.len()].copy_from_slice(row);
    }

    // A pass looks again at a pixel only if its neighbourhood has changed.
    let all: Vec<usize> = (0..inside.len()).filter(|pixel| inside[*pixel]).collect();
    let mut waiting = [all.clone(), all];
    let mut is_waiting = [inside.clone(), inside.clone()];
    let mut pass = 0;
    while waiting.iter().any(|pixels| !pixels.is_empty()) {
        let mut removed = mem::take(&mut waiting[pass]);
        removed.retain(|pixel| {
            is_waiting[pass][*pixel] = false;
            let bit = |(bit, step): (usize, &isize)| u8::from(inside[pixel.wrapping_add_signed(*step)]) << bit;
            let neighbourhood: u8 = steps.iter().enumerate().map(bit).sum();
            inside[*pixel] && passes_by_neighbourhood[usize::from(neighbourhood)] & (1 << pass) != 0
        });
        for pixel in &removed {
            inside[*pixel] = false;
        }
        for pixel in removed {
            for neighbour in
                steps.map(|step| pixel.wrapping_add_signed(step)).into_iter().filter(|pixel| inside[*pixel])
            {
                for pass in 0..2 {
                    if !mem::replace(&mut is_waiting[pass][neighbour], true) {
                        waiting[pass].push(neighbour);
                    }
                }
            }
        }
        pass = 1 - pass;
    }
    let rows = inside.chunks(stride).skip(1).take(region.height());
    let inside = rows.flat_map(|row| row[1..stride - 1].iter().copied()).collect();
    Region::new(region.width(), region.height(), inside)
}

/// Returns the passes that remove a pixel with such neighbours: bit 0 for the first, bit 1 for the
/// second.
fn removing_passes(neighbourhood: u8) -> u8 {
    if let Some((_, passes)) = DEPARTURES.iter().find(|departure| departure.0 == neighbourhood) {
        return *passes;
    }
    let is_inside = |bit: u32| neighbourhood.rotate_right(bit) & 1 == 1;
    let count = neighbourhood.count_ones();
    let entries = (0..8).filter(|bit| !is_inside(*bit) && is_inside((bit + 1) % 8)).count();
    if !(2..=6).contains(&count) || entries != 1 {
        return 0;
    }
    let [north, east, south, west] = [1, 3, 5, 7].map(is_inside);
    let first = !(east && south && (north || west));
    let second = !(north && west && (east || south));
    u8::from(first) | u8::from(second) << 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::tests::drawn;

    #[test]
    fn regions_are_thinned_to_lines() {
        for (name, rows, expected) in [
            ("nothing", vec!["...", "..."], vec!["...", "..."]),
            ("one pixel", vec!["#"], vec!["#"]),
            ("a line", vec!["#####"], vec!["#####"]),
            ("a square of four", vec!["....", ".##.", ".##.", "...."], vec!["....", ".##.", "....", "...."]),
            ("a bar", vec!["#######", "#######", "#######"], vec![".....#.", "#####..", "......."]),
        ] {
            assert_eq!(skeleton(&drawn(&rows)), drawn(&expected), "{name}");
        }
    }

    #[test]
    fn no_region_vanishes() {
        for pattern in 1..1_u32 << 16 {
            let region = Region::new(4, 4, (0..16).map(|bit| pattern >> bit & 1 == 1).collect());
            assert!(!skeleton(&region).is_empty(), "{pattern:#b}");
        }
    }
}
