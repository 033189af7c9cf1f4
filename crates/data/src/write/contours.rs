//! The pixels along the inner border of a mask's areas.

use image::GrayImage;

/// The pixels of a row that are compared at once with their neighbours.
const PART: usize = 64;

/// The pixels of a mask's rows that have another label within `width` pixels to the side, above or
/// below, from top to bottom; the image's edge is not a border.
///
/// Between a pixel and the nearest other label in a line there is a change from one pixel to the
/// next. So a pixel counts if such a change lies near enough, and the last change of each column is
/// all that is kept.
pub(super) struct Contours<'a> {
    labels: &'a GrayImage,
    width: usize,
    /// The row that comes next.
    row: usize,
    /// The row up to which changes have been looked for: all rows that are `width` further on.
    seen: usize,
    /// One more than the last row seen that the next one differs from, in each column; 0 if there
    /// is none.
    changes: Vec<u32>,
    is_contour: Vec<bool>,
}

impl<'a> Contours<'a> {
    /// Starts with a row of a mask.
    pub(super) fn new(labels: &'a GrayImage, width: usize, row: usize) -> Self {
        let columns = labels.width() as usize;
        let seen = row.saturating_sub(width);
        Self { labels, width, row, seen, changes: vec![0; columns], is_contour: vec![false; columns] }
    }

    /// Returns for each pixel of the next row whether it belongs to a contour.
    ///
    /// # Panics
    /// When there is no further row.
    pub(super) fn next_row(&mut self) -> &[bool] {
        let (y, width, columns) = (self.row, self.width, self.changes.len());
        self.row += 1;
        let row = |y: usize| &self.labels.as_raw()[y * columns..][..columns];
        let last = self.labels.height() as usize - 1;
        for seen in self.seen..last.min(y + width) {
            let parts = self.changes.chunks_mut(PART).zip(row(seen).chunks(PART).zip(row(seen + 1).chunks(PART)));
            for (changes, (upper, lower)) in parts.filter(|(_, (upper, lower))| upper != lower) {
                for (change, (upper, lower)) in changes.iter_mut().zip(upper.iter().zip(lower)) {
                    *change = if upper == lower { *change } else { seen as u32 + 1 };
                }
            }
        }
        self.seen = self.seen.max(last.min(y + width));
        let above = y.saturating_sub(width) as u32;
        self.is_contour.iter_mut().zip(&self.changes).for_each(|(contour, change)| *contour = *change > above);
        let labels = row(y);
        let parts = labels.chunks(PART).zip(labels[1..].chunks(PART)).zip((0..).step_by(PART));
        for ((left, right), start) in parts.filter(|((left, right), _)| left[..right.len()] != **right) {
            for place in (0..right.len()).filter(|place| left[*place] != right[*place]) {
                let next = start + place + 1;
                self.is_contour[next.saturating_sub(width)..columns.min(next + width)].fill(true);
            }
        }
        &self.is_contour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: another label within `width` pixels to the side, above or below.
    fn is_contour(labels: &GrayImage, x: u32, y: u32, width: u32) -> bool {
        let label = labels.get_pixel(x, y);
        let differs = |x: Option<u32>, y: Option<u32>| {
            x.zip(y).and_then(|(x, y)| labels.get_pixel_checked(x, y)).is_some_and(|other| other != label)
        };
        (1..=width).any(|step| {
            differs(x.checked_sub(step), Some(y))
                || differs(x.checked_add(step), Some(y))
                || differs(Some(x), y.checked_sub(step))
                || differs(Some(x), y.checked_add(step))
        })
    }

    #[test]
    fn a_contour_is_near_another_label_from_whatever_row_on() {
        let hash = |x: u32, y: u32| {
            (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77)).wrapping_mul(0xc2b2_ae35) >> 24
        };
        let masks: [(&str, GrayImage); 6] = [
            ("areas", GrayImage::from_fn(61, 47, |x, y| [u8::from((x / 13 + y / 17) % 3 == 1)].into())),
            ("specks", GrayImage::from_fn(53, 40, |x, y| [u8::from(hash(x, y) < 4)].into())),
            ("many classes", GrayImage::from_fn(37, 41, |x, y| [(hash(x / 5, y / 7) % 4) as u8].into())),
            ("one class", GrayImage::from_pixel(9, 8, [1].into())),
            ("a row", GrayImage::from_fn(40, 1, |x, _| [u8::from(x > 17)].into())),
            ("a column", GrayImage::from_fn(1, 40, |_, y| [u8::from(y > 17)].into())),
        ];
        for (name, mask) in &masks {
            for width in [1, 2, 3, 8, 50] {
                for first in (0..mask.height()).step_by(7) {
                    let mut contours = Contours::new(mask, width as usize, first as usize);
                    for y in first..mask.height() {
                        let expected: Vec<_> = (0..mask.width()).map(|x| is_contour(mask, x, y, width)).collect();
                        assert_eq!(contours.next_row(), expected, "{name}, {width} wide, from {first}: row {y}");
                    }
                }
            }
        }
    }
}
