//! Sums of products of eight-bit integers behind one trait, beside the floats of
//! [`Vector`](super::vector::Vector).
//!
//! All of them are exact: no set adds in less than 32 bits.

use super::lanes::LANES;
use super::vector::Vector;

/// The channels that are multiplied at once.
pub(crate) const QUAD: usize = 4;

/// The weights of sixteen rows for four channels, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Quads(pub(crate) [[i8; QUAD]; LANES]);

impl Quads {
    /// Zeros.
    pub(crate) const ZERO: Self = Self([[0; QUAD]; LANES]);
}

/// Sixteen sums in registers.
///
/// As for [`Vector`], only inlined code is compiled for the registers.
pub(crate) trait Integers: Copy {
    /// The floats that the sums become.
    type Floats: Vector;
    /// Weights in registers.
    type Weights: Copy;
    /// Four channels of a pixel, for each of the rows.
    type Channels: Copy;

    /// Loads sums.
    fn load(sums: &[i32; LANES]) -> Self;
    /// Adds sums.
    fn add(self, sums: &[i32; LANES]) -> Self;
    /// Loads weights.
    fn weights(weights: &Quads) -> Self::Weights;
    /// Loads four channels.
    fn channels(channels: &[u8; QUAD]) -> Self::Channels;
    /// Adds for each row the products of its weights and the channels.
    fn add_products(self, channels: Self::Channels, weights: Self::Weights) -> Self;
    /// Converts the sums.
    fn floats(self) -> Self::Floats;
}

/// The sums of any processor.
impl Integers for [i32; LANES] {
    #[cfg(not(target_arch = "aarch64"))]
    type Floats = [f32; LANES];
    #[cfg(target_arch = "aarch64")]
    type Floats = super::neon::Neon;
    type Weights = Quads;
    type Channels = [u8; QUAD];

    #[inline(always)]
    fn load(sums: &[i32; LANES]) -> Self {
        *sums
    }

    #[inline(always)]
    fn add(self, sums: &[i32; LANES]) -> Self {
        std::array::from_fn(|row| self[row] + sums[row])
    }

    #[inline(always)]
    fn weights(weights: &Quads) -> Quads {
        *weights
    }

    #[inline(always)]
    fn channels(channels: &[u8; QUAD]) -> [u8; QUAD] {
        *channels
    }

    #[inline(always)]
    fn add_products(self, channels: [u8; QUAD], weights: Quads) -> Self {
        let product = |row: usize, of: usize| i32::from(channels[of]) * i32::from(weights.0[row][of]);
        std::array::from_fn(|row| self[row] + product(row, 0) + product(row, 1) + product(row, 2) + product(row, 3))
    }

    #[inline(always)]
    fn floats(self) -> Self::Floats {
        Self::Floats::load(&self.map(|sum| sum as f32))
    }
}
