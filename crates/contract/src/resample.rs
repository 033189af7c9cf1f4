//! Resizes an image with a triangle filter: bilinear where it grows, an average where it shrinks.
//!
//! The results equal those of [`image::imageops::resize`] to the last bit, which training uses too.
//! This code takes rows as they come, and reads values as they are stored.

use std::collections::VecDeque;
use std::ops::Range;

use crate::pixels::Share;

/// The pixels that an output pixel is computed from along one axis.
#[derive(Clone, PartialEq)]
pub(super) struct Window {
    pub(super) first: usize,
    pub(super) weights: Vec<f32>,
}

/// Returns the windows of all pixels along an axis that goes from one length to another.
pub(super) fn windows(from: usize, to: usize) -> Vec<Window> {
    let ratio = from as f32 / to as f32;
    // The filter widens where the image shrinks, so that each pixel counts.
    let scale = ratio.max(1.0);
    (0..to).map(|index| Window::new((index as f32 + 0.5) * ratio, scale, from)).collect()
}

impl Window {
    /// Creates the window of a pixel whose centre lies at `center` along the axis.
    fn new(center: f32, scale: f32, from: usize) -> Self {
        let first = ((center - scale).floor() as i64).clamp(0, from as i64 - 1);
        let last = ((center + scale).ceil() as i64).clamp(first + 1, from as i64);
        let center = center - 0.5;
        let mut weights: Vec<_> = (first..last).map(|place| triangle((place as f32 - center) / scale)).collect();
        let sum = weights.iter().sum::<f32>();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Self { first: first as usize, weights }
    }

    /// Returns the window in a band that begins at a place of the image.
    pub(super) fn after(&self, start: usize) -> Self {
        Self { first: self.first - start, weights: self.weights.clone() }
    }
}

fn triangle(distance: f32) -> f32 {
    if distance.abs() < 1.0 { 1.0 - distance.abs() } else { 0.0 }
}

/// Resizes an image from height and width `from` to height and width `to`; sizes are not zero.
pub(super) fn stretch<T: Share, const CHANNELS: usize>(
    pixels: &[[T; CHANNELS]],
    from: [usize; 2],
    to: [usize; 2],
) -> Vec<[f32; CHANNELS]> {
    let mut stretcher = Stretcher::new(from, to);
    pixels.chunks_exact(from[1]).for_each(|line| stretcher.push(line));
    stretcher.finish()
}

/// An image that is resized as its rows come, from top to bottom.
///
/// Of the image only the sums for the rows that are not complete are kept, two or three of them, or
/// two or three rows where the image grows.
pub(super) struct Stretcher<const CHANNELS: usize> {
    from: [usize; 2],
    rows: Vec<Window>,
    columns: Vec<Window>,
    /// The columns in groups, where many are computed from the same pixels.
    groups: Option<Groups>,
    /// The values of a row.
    shares: Vec<[f32; CHANNELS]>,
    /// The number of rows that have come.
    row: usize,
    /// The number of complete rows of the result.
    done: usize,
    /// Sums of weighted rows where the image shrinks, for the rows of the result from `done` on;
    /// else the last rows.
    lines: VecDeque<Vec<[f32; CHANNELS]>>,
    /// The complete rows of the result that have not been taken.
    stretched: Vec<[f32; CHANNELS]>,
    /// The last row of the result that was taken.
    taken: Vec<[f32; CHANNELS]>,
}

impl<const CHANNELS: usize> Stretcher<CHANNELS> {
    /// Starts with an image of height and width `from`, to be of height and width `to`.
    pub(super) fn new(from: [usize; 2], to: [usize; 2]) -> Self {
        let [rows, columns] =
            if from == to { [0, 1].map(|_| Vec::new()) } else { [0, 1].map(|axis| windows(from[axis], to[axis])) };
        Self::of_windows(from, rows, columns)
    }

    /// Starts with an image of height and width `from` and the windows of the rows and the columns
    /// that it becomes; without any it stays as it is.
    pub(super) fn of_windows(from: [usize; 2], rows: Vec<Window>, columns: Vec<Window>) -> Self {
        let groups = Groups::new(&columns, from[1]);
        let (lines, stretched, taken, shares) = (VecDeque::new(), Vec::new(), Vec::new(), Vec::new());
        Self { from, rows, columns, groups, shares, row: 0, done: 0, lines, stretched, taken }
    }

    /// Returns the number of rows that have not come.
    pub(super) fn missing(&self) -> usize {
        self.from[0].saturating_sub(self.row)
    }

    /// Takes the next row.
    pub(super) fn push<T: Share>(&mut self, line: &[[T; CHANNELS]]) {
        let row = self.row;
        self.row += 1;
        if self.rows.is_empty() {
            self.stretched.extend(line.iter().map(|pixel| pixel.map(Share::share)));
        } else if self.from[0] > self.rows.len() {
            while self.rows.get(self.done + self.lines.len()).is_some_and(|window| window.first <= row) {
                self.lines.push_back(vec![[0.0; CHANNELS]; self.from[1]]);
            }
            self.shares.clear();
            self.shares.extend(line.iter().map(|pixel| pixel.map(Share::share)));
            for (sums, Window { first, weights }) in self.lines.iter_mut().zip(&self.rows[self.done..]) {
                // Windows that end with this row have not been taken out yet.
                if let Some(weight) = weights.get(row - first) {
                    add(sums, &self.shares, *weight);
                }
            }
            while self.is_complete(row) {
                let sums = self.lines.pop_front().expect("the windows of complete rows have begun");
                self.add_row(&sums);
            }
        } else {
            self.lines.push_back(line.iter().map(|pixel| pixel.map(Share::share)).collect());
            let mut sums = Vec::new();
            while self.is_complete(row) {
                let Window { first, weights } = &self.rows[self.done];
                if self.done > 0 && self.rows[self.done - 1] == self.rows[self.done] {
                    match self.stretched.len().checked_sub(self.columns.len()) {
                        Some(last) => self.stretched.extend_from_within(last..),
                        None => self.stretched.extend_from_slice(&self.taken),
                    }
                    self.done += 1;
                    continue;
                }
                sums.clear();
                sums.resize(self.from[1], [0.0; CHANNELS]);
                let start = row + 1 - self.lines.len();
                for (line, weight) in self.lines.range(first - start..).zip(weights) {
                    add(&mut sums, line, *weight);
                }
                self.add_row(&sums);
            }
            let needed = self.rows.get(self.done).map_or(row + 1, |window| window.first);
            while self.lines.len() + needed > row + 1 && !self.lines.is_empty() {
                self.lines.pop_front();
            }
        }
    }

    /// Returns whether the next row of the result needs no row after this one.
    fn is_complete(&self, row: usize) -> bool {
        self.rows.get(self.done).is_some_and(|window| window.first + window.weights.len() <= row + 1)
    }

    /// Resizes a row of sums.
    fn add_row(&mut self, sums: &[[f32; CHANNELS]]) {
        self.done += 1;
        if let Some(groups) = &self.groups {
            return groups.add_row(sums, &mut self.stretched);
        }
        self.stretched.extend(self.columns.iter().map(|Window { first, weights }| {
            let mut pixel = [0.0_f32; CHANNELS];
            for (value, weight) in sums[*first..].iter().zip(weights) {
                for channel in 0..CHANNELS {
                    pixel[channel] += value[channel] * weight;
                }
            }
            pixel.map(|value| value.clamp(0.0, 1.0))
        }));
    }

    /// Takes the rows of the result that are complete and have not been taken, from top to bottom.
    pub(super) fn take(&mut self) -> Vec<[f32; CHANNELS]> {
        let rows = std::mem::take(&mut self.stretched);
        if let Some(last) = rows.len().checked_sub(self.columns.len().max(1)) {
            self.taken = rows[last..].to_vec();
        }
        rows
    }

    /// Returns the rows of the result that have not been taken, once all rows have come.
    pub(super) fn finish(self) -> Vec<[f32; CHANNELS]> {
        assert_eq!(self.row, self.from[0], "an image is resized from all of its rows");
        self.stretched
    }
}

/// The least number of columns for each pixel from which on it is faster to compute them in groups.
const COLUMNS_PER_PIXEL_MIN: usize = 4;

/// The columns of an image that grows, in groups of neighbours that are computed from the same
/// pixels.
struct Groups {
    groups: Vec<Group>,
    /// The weight of the first pixel of each column's window, of the second, and so on; 0 beyond
    /// the window.
    weights: Vec<Vec<f32>>,
}

struct Group {
    columns: Range<usize>,
    pixels: Range<usize>,
}

impl Groups {
    /// Puts columns into groups if that is faster; they are computed from so many pixels.
    fn new(columns: &[Window], pixels: usize) -> Option<Self> {
        if columns.len() < pixels.saturating_mul(COLUMNS_PER_PIXEL_MIN) {
            return None;
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut weights: Vec<Vec<f32>> = Vec::new();
        for (column, window) in columns.iter().enumerate() {
            let pixels = window.first..window.first + window.weights.len();
            match groups.last_mut() {
                Some(group) if group.pixels == pixels => group.columns.end = column + 1,
                _ => groups.push(Group { columns: column..column + 1, pixels }),
            }
            weights.resize_with(weights.len().max(window.weights.len()), || vec![0.0; columns.len()]);
            weights.iter_mut().zip(&window.weights).for_each(|(all, weight)| all[column] = *weight);
        }
        Some(Self { groups, weights })
    }

    /// Resizes a row of sums. The operations are those of one column after the other.
    fn add_row<const CHANNELS: usize>(&self, sums: &[[f32; CHANNELS]], stretched: &mut Vec<[f32; CHANNELS]>) {
        let start = stretched.len();
        stretched.resize(start + self.weights.first().map_or(0, Vec::len), [0.0; CHANNELS]);
        let row = &mut stretched[start..];
        for Group { columns, pixels } in &self.groups {
            let part = &mut row[columns.clone()];
            for (value, weights) in sums[pixels.clone()].iter().zip(&self.weights) {
                for (pixel, weight) in part.iter_mut().zip(&weights[columns.clone()]) {
                    for channel in 0..CHANNELS {
                        pixel[channel] += value[channel] * weight;
                    }
                }
            }
        }
        row.as_flattened_mut().iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
    }
}

/// Adds a weighted row.
fn add<const CHANNELS: usize>(sums: &mut [[f32; CHANNELS]], line: &[[f32; CHANNELS]], weight: f32) {
    for (sum, value) in sums.as_flattened_mut().iter_mut().zip(line.as_flattened()) {
        *sum += value * weight;
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, Rgb32FImage, imageops};

    use super::*;

    #[test]
    fn the_result_is_that_of_the_image_crate_to_the_last_bit() {
        for (from, to) in [
            ([37, 53], [16, 24]),
            ([16, 24], [37, 53]),
            ([64, 9], [9, 64]),
            ([1, 1], [5, 7]),
            ([5, 7], [1, 1]),
            ([12, 12], [12, 12]),
            ([12, 12], [12, 13]),
            ([12, 12], [13, 12]),
            ([1, 300], [40, 24]),
            ([300, 1], [24, 40]),
            ([2, 300], [40, 24]),
            ([3, 5], [200, 1]),
            ([500, 7], [3, 9]),
            ([31, 7], [30, 9]),
            ([31, 7], [30, 28]),
            ([3, 64], [5, 1000]),
            ([1, 3], [2, 1001]),
        ] {
            let bytes: Vec<[u8; 3]> =
                (0..from[0] * from[1]).map(|i| [i * 37, i * 101 + 5, i * i].map(|value| value as u8)).collect();
            let image = Rgb32FImage::from_fn(from[1] as u32, from[0] as u32, |x, y| {
                Rgb(bytes[y as usize * from[1] + x as usize].map(|value| f32::from(value) / 255.0))
            });
            let expected =
                imageops::resize(&image, to[1] as u32, to[0] as u32, imageops::FilterType::Triangle).into_raw();
            assert_eq!(stretch(&bytes, from, to).as_flattened(), expected, "{from:?} to {to:?}, 8 bits");
            let floats = image.as_raw().as_chunks::<3>().0;
            assert_eq!(stretch(floats, from, to).as_flattened(), expected, "{from:?} to {to:?}, floats");
        }
    }
    #[test]
    fn few_rows_are_kept() {
        for (from, to) in [([5000, 3], [48, 48]), ([48, 3], [5000, 2]), ([100, 3], [99, 5]), ([2, 3], [1000, 4])] {
            let mut stretcher = Stretcher::<3>::new(from, to);
            for row in 0..from[0] {
                stretcher.push(&vec![[row as u8; 3]; from[1]]);
                assert!(stretcher.lines.len() <= 4, "{from:?} to {to:?}: {} at {row}", stretcher.lines.len());
            }
            assert_eq!(stretcher.finish().len(), to[0] * to[1]);
        }
    }
}
