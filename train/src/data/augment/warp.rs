//! The map from a view's pixels to its image: scale, flips, crop, turns, rotation and deformation
//! in one.

use rand::Rng;

use super::elastic::{Elastic, ElasticRow};
use super::{Augmentation, effect};
use crate::data::picture::Picture;

/// A map from the points of a view to those of its image.
///
/// Points are measured in pixels from the top left corner, so that the centre of the first pixel is
/// at 0.5.
#[derive(Debug)]
pub(super) struct Warp {
    /// The image's point at the view's top left corner.
    origin: [f64; 2],
    /// The image's step for a pixel of the view to the right, along x and y.
    pub(super) across: [f64; 2],
    /// The image's step for a pixel of the view downwards.
    pub(super) down: [f64; 2],
    /// The displacement of a point of the view before.
    elastic: Option<Elastic>,
}

impl Warp {
    /// Draws a map for a picture.
    ///
    /// The picture is scaled from what the network sees of it and mirrored, then a window of the
    /// crop's size laid onto it, or around it where it is smaller, and the window turned about its
    /// centre.
    pub(super) fn draw(augmentation: &Augmentation, picture: &Picture, rng: &mut impl Rng) -> Self {
        let (width, height) = picture.seen();
        let own_side = width.min(height);
        let side = augmentation.short_side.unwrap_or(own_side);
        let bound = |scale: f64| (f64::from(side) * scale).round().max(1.0) as u32;
        let short = rng.random_range(bound(augmentation.scale_min)..=bound(augmentation.scale_max));
        let factor = f64::from(short) / f64::from(own_side);
        let scaled = [width, height].map(|side| (f64::from(side) * factor).round().max(1.0));
        let flips = [augmentation.flip_horizontal, augmentation.flip_vertical].map(|flip| rng.random_bool(flip));
        let [crop_height, crop_width] = augmentation.crop;
        let window = [crop_width, crop_height];
        let target = if augmentation.target > 0.0 && rng.random_bool(augmentation.target) {
            picture.draw_target(rng).map(|pixel| scaled_place(pixel, picture.dimensions(), scaled, flips))
        } else {
            None
        };
        let corner = [0, 1].map(|axis| {
            let room = scaled[axis] as i32 - window[axis] as i32;
            let (mut first, mut last) = (room.min(0), room.max(0));
            if let Some(place) = target {
                // The corners from which the window holds the pixel, of those above.
                let place = place[axis] as i32;
                (first, last) = ((place + 1 - window[axis] as i32).max(first).min(last), place.min(last).max(first));
            }
            rng.random_range(first..=last)
        });
        let turns =
            if augmentation.turn > 0.0 && rng.random_bool(augmentation.turn) { rng.random_range(1..=3) } else { 0 };
        let angle = effect::draw(augmentation.rotation, rng).unwrap_or(0.0).to_radians();
        let elastic =
            effect::draw(augmentation.elastic, rng).map(|amplitude| Elastic::draw(augmentation.crop, amplitude, rng));

        let mut right = [angle.cos(), angle.sin()];
        for _ in 0..turns {
            right = [-right[1], right[0]];
        }
        let below = [-right[1], right[0]];
        // From the scaled picture's pixels to those that are kept; a flip runs backwards from the
        // other side.
        let (kept_width, kept_height) = picture.dimensions();
        let unscale = [f64::from(kept_width) / scaled[0], f64::from(kept_height) / scaled[1]];
        let step = [0, 1].map(|axis| if flips[axis] { -unscale[axis] } else { unscale[axis] });
        let edge = [0, 1].map(|axis| if flips[axis] { scaled[axis] * unscale[axis] } else { 0.0 });
        let half = window.map(|side| f64::from(side) / 2.0);
        let origin = [0, 1].map(|axis| {
            let centre = f64::from(corner[axis]) + half[axis];
            edge[axis] + step[axis] * (centre - right[axis] * half[0] - below[axis] * half[1])
        });
        let along = |direction: [f64; 2]| [0, 1].map(|axis| step[axis] * direction[axis]);
        Self { origin, across: along(right), down: along(below), elastic }
    }

    /// Returns the map of the pixels of one row of the view.
    pub(super) fn row(&self, y: u32) -> WarpRow<'_> {
        let y = f64::from(y) + 0.5;
        WarpRow { warp: self, y, elastic: self.elastic.as_ref().map(|elastic| elastic.row(y)) }
    }
}

/// Returns the place of a kept pixel in the scaled and mirrored picture.
fn scaled_place(pixel: [u32; 2], kept: (u32, u32), scaled: [f64; 2], flips: [bool; 2]) -> [f64; 2] {
    let kept = [kept.0, kept.1];
    [0, 1].map(|axis| {
        let place = (f64::from(pixel[axis]) + 0.5) * scaled[axis] / f64::from(kept[axis]);
        let place = if flips[axis] { scaled[axis] - place } else { place };
        place.floor().clamp(0.0, scaled[axis] - 1.0)
    })
}

/// The map of the pixels of one row of a view.
pub(super) struct WarpRow<'a> {
    warp: &'a Warp,
    y: f64,
    elastic: Option<ElasticRow>,
}

impl WarpRow<'_> {
    /// Returns the image's point at the centre of the pixel in column `x`.
    pub(super) fn at(&self, x: u32) -> [f32; 2] {
        let x = f64::from(x) + 0.5;
        let [dx, dy] = self.elastic.as_ref().map_or([0.0; 2], |elastic| elastic.at(x));
        let Warp { origin, across, down, .. } = self.warp;
        [0, 1].map(|axis| (origin[axis] + across[axis] * (x + dx) + down[axis] * (self.y + dy)) as f32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use image::{GrayImage, Rgb32FImage};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn draw(augmentation: &Augmentation, seed: u64) -> Warp {
        let picture = Picture::new(&Rgb32FImage::new(20, 20), &GrayImage::new(20, 20));
        Warp::draw(augmentation, &picture, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    /// Returns the places in a 20x20 image of the centres of a 20x20 crop's corner pixels (top
    /// left, top right, bottom left).
    fn corners(change: &str) -> [[f32; 2]; 3] {
        let mut augmentation = Augmentation::none(20, [20, 20]);
        augmentation.apply(&change.parse().unwrap());
        let warp = draw(&augmentation, 0);
        [[0, 0], [19, 0], [0, 19]].map(|[x, y]| warp.row(y).at(x).map(|value| (value * 1e4).round() / 1e4))
    }

    #[test]
    fn corners_go_where_the_words_say() {
        for (name, change, expected) in [
            ("nothing", "none", [[0.5, 0.5], [19.5, 0.5], [0.5, 19.5]]),
            ("left and right", "flip-horizontal=1", [[19.5, 0.5], [0.5, 0.5], [19.5, 19.5]]),
            ("top and bottom", "flip-vertical=1", [[0.5, 19.5], [19.5, 19.5], [0.5, 0.5]]),
            ("a right angle", "rotation=90..90@1", [[19.5, 0.5], [19.5, 19.5], [0.5, 0.5]]),
            ("two right angles", "rotation=180..180@1", [[19.5, 19.5], [0.5, 19.5], [19.5, 0.5]]),
            ("twice as large", "scale=2..2", [[0.25, 0.25], [9.75, 0.25], [0.25, 9.75]]),
        ] {
            let found = corners(change);
            let shift = [found[0][0] - expected[0][0], found[0][1] - expected[0][1]];
            let moved = expected.map(|point| [point[0] + shift[0], point[1] + shift[1]]);
            assert_eq!(found, moved, "{name}");
            // Only an image larger than the crop can be cut anywhere.
            assert!(change.starts_with("scale") || shift == [0.0; 2], "{name}: moved by {shift:?}");
        }
    }

    #[test]
    fn an_image_smaller_than_the_crop_lies_anywhere_in_it() {
        for change in ["none", "flip-horizontal=1", "flip-vertical=1"] {
            let mut augmentation = Augmentation::none(20, [24, 28]);
            augmentation.apply(&change.parse().unwrap());
            // The position in the crop of the image's first edge along x and y.
            let mut places = [0, 1].map(|_| BTreeSet::new());
            for seed in 0..200 {
                let Warp { origin, across, down, .. } = draw(&augmentation, seed);
                for (axis, step) in [across[0], down[1]].into_iter().enumerate() {
                    let edge = if step < 0.0 { 20.0 } else { 0.0 };
                    places[axis].insert(((edge - origin[axis]) / step) as i64);
                }
            }
            assert_eq!(places.map(Vec::from_iter), [Vec::from_iter(0..=8), Vec::from_iter(0..=4)], "{change}");
        }
    }

    #[test]
    fn a_turn_maps_pixels_onto_pixels() {
        for seed in 0..10 {
            let augmentation = Augmentation { turn: 1.0, ..Augmentation::none(20, [20, 20]) };
            let warp = draw(&augmentation, seed);
            assert_ne!(warp.across, [1.0, 0.0], "seed {seed}: not turned");
            assert!(warp.row(3).at(7).iter().all(|value| value.fract() == 0.5), "seed {seed}");
        }
    }
}
