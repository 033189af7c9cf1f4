//! Matrices as products read them.

use crate::blocks::pack;
use crate::integers::{QUAD, Quads};
use crate::lanes::{LANES, Lanes, block_count};

/// A matrix, its rows in blocks of sixteen: `[rows / 16][depth][16]`, zeros behind the last row.
///
/// With the weights of several columns in one `W`, as [`Quads`], the depth is a multiple of their
/// number.
#[derive(Clone, Debug)]
pub(crate) struct Matrix<W = Lanes> {
    depth: usize,
    /// The columns in a value.
    together: usize,
    values: Vec<W>,
}

/// Blocks of rows and a range of columns of a [`Matrix`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a, W = Lanes> {
    /// The first block's first column is the first value.
    pub(crate) values: &'a [W],
    /// The distance between blocks.
    pub(crate) stride: usize,
    pub(crate) depth: usize,
    pub(crate) blocks: usize,
}

/// Some blocks of a matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// All of them.
    Whole,
    /// Rows, from a block on and as many.
    Rows(usize, usize),
    /// Columns, from a block of the input on and as many.
    Columns(usize, usize),
}

impl Matrix {
    /// Creates the matrix of `rows` x `depth` values, row by row.
    pub(crate) fn new(weights: &[f32], [rows, depth]: [usize; 2]) -> Self {
        let mut values = vec![Lanes::ZERO; block_count(rows) * depth];
        // Rows are what planes are to a map.
        pack(weights, depth, 0, depth, &mut values, depth);
        Self { depth, together: 1, values }
    }

    /// Creates the transpose of a matrix of `rows` x `depth` values, row by row.
    pub(crate) fn transposed(weights: &[f32], [rows, depth]: [usize; 2]) -> Self {
        let mut values = vec![Lanes::ZERO; block_count(depth) * rows];
        for (row, weights) in weights.chunks_exact(depth).take(rows).enumerate() {
            for (block, weights) in weights.chunks(LANES).enumerate() {
                values[block * rows + row].0[..weights.len()].copy_from_slice(weights);
            }
        }
        Self { depth: rows, together: 1, values }
    }
}

impl<W> Matrix<W> {
    /// Returns the number of blocks of rows.
    fn blocks(&self) -> usize {
        self.values.len() * self.together / self.depth
    }

    /// Returns some of its blocks.
    pub(super) fn cut(&self, cut: Cut) -> Part<'_, W> {
        match cut {
            Cut::Whole => self.whole(),
            Cut::Rows(first, count) => self.rows(first, count),
            Cut::Columns(first, count) => self.columns(first, count),
        }
    }

    /// Returns all of it.
    pub(crate) fn whole(&self) -> Part<'_, W> {
        self.rows(0, self.blocks())
    }

    /// Returns `count` blocks of rows from `first` on.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Part<'_, W> {
        let stride = self.depth / self.together;
        let values = &self.values[first * stride..(first + count) * stride];
        Part { values, stride, depth: self.depth, blocks: count }
    }

    /// Returns the columns of `count` blocks of the input from `first` on.
    pub(crate) fn columns(&self, first: usize, count: usize) -> Part<'_, W> {
        let (start, end) = (first * LANES, ((first + count) * LANES).min(self.depth));
        let values = &self.values[start / self.together..];
        Part { values, stride: self.depth / self.together, depth: end - start, blocks: self.blocks() }
    }
}

/// A matrix of integers, with what turns its sums into floats.
#[derive(Clone, Debug)]
pub(crate) struct Integers {
    matrix: Matrix<Quads>,
    /// The value of one in the sum of each row.
    scales: Vec<Lanes>,
    /// The blocks of the input.
    inputs: usize,
    /// The products of each block of the input's zero points with the rows, taken off.
    offsets: Vec<[i32; LANES]>,
}

/// The way from sums of integers to floats, for some blocks of rows and of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaling<'a> {
    pub(crate) scales: &'a [Lanes],
    /// The first block of rows' first block of the input is the first value.
    pub(crate) offsets: &'a [[i32; LANES]],
    /// The distance between blocks of rows.
    pub(crate) stride: usize,
    /// The blocks of the input.
    pub(crate) inputs: usize,
}

impl Scaling<'_> {
    /// Makes sure that there are a scale and the offsets of every row of a matrix.
    pub(super) fn check(&self, matrix: &Part<'_, Quads>) {
        assert!(self.inputs > 0 && self.scales.len() >= matrix.blocks, "every row has a scale");
        assert!(self.offsets.len() + self.stride >= matrix.blocks * self.stride + self.inputs, "and its offsets");
    }
}

impl Integers {
    /// Creates the matrix of `rows` x `depth` values, row by row, for an input with a zero point.
    pub(crate) fn new(weights: &[i8], [rows, depth]: [usize; 2], zero_point: u8, scales: Vec<Lanes>) -> Self {
        let (padded, inputs) = (depth.next_multiple_of(QUAD), block_count(depth));
        let mut values = vec![Quads::ZERO; block_count(rows) * padded / QUAD];
        let mut offsets = vec![[0; LANES]; block_count(rows) * inputs];
        for (row, weights) in weights.chunks_exact(depth).take(rows).enumerate() {
            let (block, lane) = (row / LANES, row % LANES);
            for (column, weight) in weights.iter().enumerate() {
                values[(block * padded + column) / QUAD].0[lane][column % QUAD] = *weight;
                offsets[block * inputs + column / LANES][lane] -= i32::from(zero_point) * i32::from(*weight);
            }
        }
        Self { matrix: Matrix { depth: padded, together: QUAD, values }, scales, inputs, offsets }
    }

    /// Returns some of its blocks.
    pub(crate) fn cut(&self, cut: Cut) -> (Part<'_, Quads>, Scaling<'_>) {
        let (row, inputs) = match cut {
            Cut::Whole => (0, 0..self.inputs),
            Cut::Rows(first, _) => (first, 0..self.inputs),
            Cut::Columns(first, count) => (0, first..(first + count).min(self.inputs)),
        };
        let offsets = &self.offsets[row * self.inputs + inputs.start..];
        let scaling = Scaling { scales: &self.scales[row..], offsets, stride: self.inputs, inputs: inputs.len() };
        (self.matrix.cut(cut), scaling)
    }
}
