//! The sizes of images that a network takes.

use std::fmt;

/// The heights and widths of images that a network takes, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// The shortest side.
    pub min: usize,
    /// The number that each side is a multiple of; 1 for any side.
    pub multiple: usize,
    /// The only height and width, for a network that takes one size.
    pub only: Option<[usize; 2]>,
}

impl Sides {
    /// Makes the sides of a network that takes any side from the shortest on.
    pub const fn at_least(min: usize) -> Self {
        Self { min, multiple: 1, only: None }
    }

    /// Makes the sides of a network whose sides are multiples of a number.
    pub const fn multiples_of(multiple: usize) -> Self {
        Self { min: multiple, multiple, only: None }
    }

    /// Makes the sides of a network that takes one height and width.
    pub fn only(size: [usize; 2]) -> Self {
        Self { min: size[0].min(size[1]), multiple: 1, only: Some(size) }
    }

    /// Returns whether the network takes images of a height and width: each side is at least
    /// [`min`](Self::min) and a multiple of [`multiple`](Self::multiple), and the size is the
    /// [only](Self::only) one if there is only one.
    pub fn fit(&self, size: [usize; 2]) -> bool {
        let each = size.iter().all(|side| *side >= self.min && side.is_multiple_of(self.multiple));
        each && self.only.is_none_or(|only| only == size)
    }

    /// Returns the smallest height and width that the network takes and that hold an image of this
    /// height and width; of a network that takes one size, that size.
    pub fn next(&self, size: [usize; 2]) -> [usize; 2] {
        self.only.unwrap_or(size.map(|side| side.max(self.min).next_multiple_of(self.multiple)))
    }

    /// Returns the largest height and width that the network takes and that neither exceed `size`
    /// nor leave a remainder by the shortest side that it takes, so that no halving cuts a row; at
    /// least the smallest that the network takes. The shortest side that it takes is the smallest
    /// [`multiple`](Self::multiple) from [`min`](Self::min) on.
    pub fn crop(&self, size: [u32; 2]) -> [u32; 2] {
        let unit = self.min.next_multiple_of(self.multiple) as u32;
        let only = self.only.map(|only| only.map(|side| side as u32));
        only.unwrap_or(size.map(|side| (side / unit).max(1) * unit))
    }
}

/// Prints the sides as messages state them, for example `sides of at least 16`.
impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.min.next_multiple_of(self.multiple);
        match (self.only, self.multiple) {
            (Some([height, width]), _) => write!(f, "{height}x{width}"),
            (None, 1) => write!(f, "sides of at least {least}"),
            (None, multiple) => write!(f, "sides of at least {least} that are multiples of {multiple}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_fit_and_are_rounded_by_the_policy() {
        for (sides, size, next, crop) in [
            (Sides::at_least(16), [17, 33], [17, 33], [16, 32]),
            (Sides::at_least(16), [3, 33], [16, 33], [16, 32]),
            (Sides::multiples_of(32), [33, 64], [64, 64], [32, 64]),
            (Sides::multiples_of(32), [5, 5], [32, 32], [32, 32]),
            (Sides { min: 20, ..Sides::multiples_of(16) }, [1, 33], [32, 48], [32, 32]),
            (Sides::only([64, 96]), [64, 96], [64, 96], [64, 96]),
            (Sides::only([64, 96]), [500, 20], [64, 96], [64, 96]),
        ] {
            assert_eq!(sides.next(size), next, "{sides}: {size:?}");
            assert_eq!(sides.crop(size.map(|side| side as u32)), crop, "{sides}: {size:?}");
            assert_eq!(sides.fit(size), size == next, "{sides}: {size:?}");
            assert!(sides.fit(next) && sides.fit(crop.map(|side| side as usize)), "{sides}: {size:?}");
        }
    }

    #[test]
    fn messages_state_the_least_side_that_fits() {
        for (sides, expected) in [
            (Sides::at_least(16), "sides of at least 16"),
            (Sides { min: 20, ..Sides::multiples_of(16) }, "sides of at least 32 that are multiples of 16"),
            (Sides::only([64, 96]), "64x96"),
        ] {
            assert_eq!(sides.to_string(), expected);
        }
    }
}
