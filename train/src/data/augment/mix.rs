//! Rectangles of one view that are laid over another (CutMix, Yun et al., 2019), so that a network
//! cannot rely on what usually lies around a target.

use std::ops::Range;

use rand::Rng;

use super::Augmentation;

/// The most of a view that a rectangle of another one covers.
const SHARE_MAX: f64 = 0.5;

/// A rectangle of a view's pixels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Patch {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Patch {
    /// Draws the rectangle that another view is to cover, if it does this time: of the crop's
    /// shape, anywhere in it, with any share of its pixels up to [`SHARE_MAX`].
    pub(crate) fn draw(augmentation: &Augmentation, rng: &mut impl Rng) -> Option<Self> {
        if augmentation.mix == 0.0 || !rng.random_bool(augmentation.mix) {
            return None;
        }
        let side = rng.random_range(0.0..=SHARE_MAX).sqrt();
        let [rows, columns] = augmentation.crop.map(|crop| {
            let length = (f64::from(crop) * side).round() as usize;
            let first = rng.random_range(0..=crop as usize - length);
            first..first + length
        });
        Some(Self { rows, columns })
    }

    /// Copies the rectangle from one view to another: planes of `[height, width]` of any number.
    pub(crate) fn copy<T: Copy>(&self, from: &[T], to: &mut [T], [height, width]: [usize; 2]) {
        for (from, to) in from.chunks_exact(height * width).zip(to.chunks_exact_mut(height * width)) {
            for row in self.rows.clone() {
                let place = row * width + self.columns.start..row * width + self.columns.end;
                to[place.clone()].copy_from_slice(&from[place]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn mixing(mix: f64, crop: [u32; 2]) -> Augmentation {
        Augmentation { mix, ..Augmentation::none(None, crop) }
    }

    #[test]
    fn a_patch_lies_anywhere_and_covers_half_at_most() {
        let (height, width) = (40, 60);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let augmentation = mixing(0.25, [height, width]);
        let patches: Vec<Patch> = (0..4000).filter_map(|_| Patch::draw(&augmentation, &mut rng)).collect();
        assert!((850..1150).contains(&patches.len()), "{} of 4000", patches.len());
        let shares = patches.iter().map(|patch| (patch.rows.len() * patch.columns.len()) as f64 / 2400.0);
        let (mean, most) = (shares.clone().sum::<f64>() / patches.len() as f64, shares.fold(0.0, f64::max));
        assert!((0.23..0.27).contains(&mean) && (0.45..0.53).contains(&most), "{mean} in the mean, {most} at most");
        let reaches = |place: [usize; 2]| {
            patches.iter().any(|patch| patch.rows.contains(&place[0]) && patch.columns.contains(&place[1]))
        };
        assert!([[0, 0], [0, 59], [39, 0], [39, 59], [20, 30]].into_iter().all(reaches));
    }

    #[test]
    fn a_patch_is_copied_in_every_plane_and_nothing_else_is() {
        let patch = Patch { rows: 1..3, columns: 2..4 };
        let from: Vec<u8> = (0..40).collect();
        let mut to = vec![100; 40];
        patch.copy(&from, &mut to, [4, 5]);
        for (place, value) in to.iter().enumerate() {
            let (row, column) = (place % 20 / 5, place % 5);
            let expected = if (1..3).contains(&row) && (2..4).contains(&column) { place as u8 } else { 100 };
            assert_eq!(*value, expected, "{place}");
        }
    }

    #[test]
    fn a_probability_of_zero_draws_no_number() {
        let mut rngs = [(); 2].map(|()| ChaCha8Rng::seed_from_u64(3));
        assert_eq!(Patch::draw(&mixing(0.0, [16, 16]), &mut rngs[0]), None);
        assert_eq!(rngs[0].random::<u64>(), rngs[1].random::<u64>());
    }
}
