//! The last rows of a map that is computed row by row.

use super::lanes::Lanes;

/// Rows of blocks of channels, of which the last few are kept; rows outside the image are zero.
///
/// Rows have zeros at both ends, as far as taps reach.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    lanes: Vec<Lanes>,
    /// A row of zeros.
    zeros: Vec<Lanes>,
    /// The rows of the image.
    height: usize,
    /// The lanes of a row.
    width: usize,
    /// The rows that are kept.
    slots: usize,
}

impl Ring {
    /// Makes all rows zero and sets the sizes: `blocks` of channels, an image of `height` rows, and
    /// the last `slots` rows of `width` lanes.
    pub(crate) fn reset(&mut self, blocks: usize, height: usize, width: usize, slots: usize) {
        let slots = slots.min(height);
        self.lanes.clear();
        self.lanes.resize(blocks * slots * width, Lanes::ZERO);
        self.zeros.clear();
        self.zeros.resize(width, Lanes::ZERO);
        (self.height, self.width, self.slots) = (height, width, slots);
    }

    /// Returns the distance between the blocks of a row.
    pub(crate) fn stride(&self) -> usize {
        self.slots * self.width
    }

    fn place(&self, row: isize) -> Option<usize> {
        (0..self.height as isize).contains(&row).then(|| row as usize % self.slots * self.width)
    }

    /// Returns a row of a block, zeros outside the image.
    pub(crate) fn row(&self, block: usize, row: isize) -> &[Lanes] {
        match self.place(row) {
            Some(place) => &self.lanes[block * self.stride() + place..][..self.width],
            None => &self.zeros,
        }
    }

    /// Returns the rows around `middle` that taps read, `dilation` apart, each from the lane
    /// `start` on.
    pub(crate) fn around<const N: usize>(
        &self,
        block: usize,
        middle: usize,
        dilation: usize,
        start: usize,
    ) -> [&[Lanes]; N] {
        std::array::from_fn(|tap| {
            let row = middle as isize + (tap * dilation) as isize - (N / 2 * dilation) as isize;
            &self.row(block, row)[start..]
        })
    }

    /// Returns a row of the image in all blocks, which lie [`Self::stride`] apart.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [Lanes] {
        let place = row % self.slots * self.width;
        &mut self.lanes[place..]
    }

    /// Returns a row of the image in one block.
    pub(crate) fn block_row_mut(&mut self, block: usize, row: usize) -> &mut [Lanes] {
        let place = block * self.stride() + row % self.slots * self.width;
        &mut self.lanes[place..place + self.width]
    }
}
