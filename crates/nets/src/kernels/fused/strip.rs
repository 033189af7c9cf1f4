//! Rows of an image that pass through a block together.
//!
//! They lie one behind the other with one zero between them, so that a convolution is one run over
//! them (see [`frame`](super::frame)): rows of `stride = width + 1`, with `lead` zeros before the
//! first.

use std::ops::Range;

use super::lanes::{LANES, Lanes, flat_mut};
use super::panels::{Tile, pack_row, panel_count};

/// Rows of an image with `halo` more above and below, and `halo` zeros before the first.
#[derive(Clone)]
pub(super) struct Strip {
    /// The row of the image that comes first, from `-halo` on.
    first: isize,
    rows: usize,
    /// The image's rows that are not taken as zero.
    inside: Range<isize>,
    width: usize,
    /// The zeros before the first row.
    pub(super) lead: usize,
}

impl Strip {
    pub(super) fn new(tile: &Tile<'_>, [height, width]: [usize; 2], halo: usize) -> Self {
        let first = (tile.start / width) as isize - halo as isize;
        Self { first, rows: tile.pixels() / width + 2 * halo, inside: 0..height as isize, width, lead: halo }
    }

    /// Returns the same rows, with those of the halo as zero.
    pub(super) fn without_halo(&self) -> Self {
        let halo = self.lead as isize;
        Self { inside: self.first + halo..self.first + self.rows as isize - halo, ..self.clone() }
    }

    pub(super) fn stride(&self) -> usize {
        self.width + 1
    }

    /// Returns the number of values up to the zero behind the last row.
    pub(super) fn len(&self) -> usize {
        self.lead + self.rows * self.stride()
    }

    pub(super) fn panels(&self) -> usize {
        panel_count(self.len())
    }

    /// Returns the panels of a plane that a convolution reads, whose last block reaches beyond the
    /// plane.
    pub(super) fn panels_read(&self) -> usize {
        self.panels() + 4
    }

    /// Returns each row's position, and the row of the image in it unless it is zero.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, Option<usize>)> {
        (0..self.rows).map(|row| {
            let image = self.first + row as isize;
            (self.lead + row * self.stride(), self.inside.contains(&image).then_some(image as usize))
        })
    }

    /// Copies the rows of every plane into panels.
    pub(super) fn pack(&self, planes: &[f32], size: usize, line: &mut Vec<f32>, panels: &mut Vec<Lanes>) {
        let channels = planes.len() / size;
        panels.resize(self.panels() * channels, Lanes::ZERO);
        line.clear();
        line.resize(self.len(), 0.0);
        for (channel, plane) in planes.chunks_exact(size).enumerate() {
            for (place, row) in self.places() {
                if let Some(row) = row {
                    line[place..place + self.width].copy_from_slice(&plane[row * self.width..(row + 1) * self.width]);
                }
            }
            pack_row(line, channels, channel, panels);
        }
    }

    /// Makes zero what lies outside the image, in planes of [`Self::panels_read`] panels.
    pub(super) fn clear(&self, planes: &mut [Lanes]) {
        for plane in flat_mut(planes).chunks_exact_mut(self.panels_read() * LANES) {
            plane[..self.lead].fill(0.0);
            for (place, row) in self.places() {
                let start = if row.is_some() { self.width } else { 0 };
                plane[place + start..place + self.stride()].fill(0.0);
            }
            plane[self.len()..].fill(0.0);
        }
    }

    /// Makes zero what lies between the rows and behind them, in panels of `rows` rows.
    pub(super) fn clear_gaps(&self, panels: &mut [Lanes], rows: usize) {
        let gaps = self.places().map(|(place, _)| place + self.width);
        for place in (0..self.lead).chain(gaps).chain(self.len()..self.panels() * LANES) {
            for lanes in &mut panels[place / LANES * rows..][..rows] {
                lanes.0[place % LANES] = 0.0;
            }
        }
    }
}
