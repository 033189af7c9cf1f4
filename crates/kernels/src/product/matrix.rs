//! Matrices as products read them.

use crate::blocks::pack;
use crate::lanes::{LANES, Lanes, block_count};

/// A matrix, its rows in blocks of sixteen: `[rows / 16][depth][16]`, zeros behind the last row.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    depth: usize,
    values: Vec<Lanes>,
}

/// Blocks of rows and a range of columns of a [`Matrix`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// The first block's first column is the first value.
    pub(crate) values: &'a [Lanes],
    /// The distance between blocks.
    pub(crate) stride: usize,
    pub(crate) depth: usize,
    pub(crate) blocks: usize,
}

impl Matrix {
    /// Creates the matrix of `rows` x `depth` values, row by row.
    pub(crate) fn new(weights: &[f32], [rows, depth]: [usize; 2]) -> Self {
        let mut values = vec![Lanes::ZERO; block_count(rows) * depth];
        // Rows are what planes are to a map.
        pack(weights, depth, 0, depth, &mut values, depth);
        Self { depth, values }
    }

    /// Creates the transpose of a matrix of `rows` x `depth` values, row by row.
    pub(crate) fn transposed(weights: &[f32], [rows, depth]: [usize; 2]) -> Self {
        let mut values = vec![Lanes::ZERO; block_count(depth) * rows];
        for (row, weights) in weights.chunks_exact(depth).take(rows).enumerate() {
            for (block, weights) in weights.chunks(LANES).enumerate() {
                values[block * rows + row].0[..weights.len()].copy_from_slice(weights);
            }
        }
        Self { depth: rows, values }
    }

    /// Returns all of it.
    pub(crate) fn whole(&self) -> Part<'_> {
        self.rows(0, self.values.len() / self.depth)
    }

    /// Returns `count` blocks of rows from `first` on.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Part<'_> {
        let values = &self.values[first * self.depth..(first + count) * self.depth];
        Part { values, stride: self.depth, depth: self.depth, blocks: count }
    }

    /// Returns the columns of `count` blocks of the input from `first` on.
    pub(crate) fn columns(&self, first: usize, count: usize) -> Part<'_> {
        let (start, end) = (first * LANES, ((first + count) * LANES).min(self.depth));
        let blocks = self.values.len() / self.depth;
        Part { values: &self.values[start..], stride: self.depth, depth: end - start, blocks }
    }
}
