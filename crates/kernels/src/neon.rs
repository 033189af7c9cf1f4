//! The vector of aarch64, whose processors all have NEON: that is what makes each intrinsic here
//! sound. Arrays hold as many values as are read or written.

#![allow(unsafe_code, reason = "uses vector instructions that every processor of the target has")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the same reason holds for all, and is said once")]

use std::arch::aarch64::*;

use super::lanes::LANES;
use super::vector::Vector;

/// The registers of a vector.
const PARTS: usize = 4;

/// The vector of NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon([float32x4_t; PARTS]);

impl Neon {
    /// Computes each register from those of two vectors.
    #[inline(always)]
    fn with(self, other: Self, of: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        Self(std::array::from_fn(|part| of(self.0[part], other.0[part])))
    }
}

impl Vector for Neon {
    // Thirty-two registers, but of four values each.
    const MANY: bool = false;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([unsafe { vdupq_n_f32(value) }; PARTS])
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        Self(std::array::from_fn(|part| unsafe { vld1q_f32(values.as_ptr().add(PARTS * part)) }))
    }

    #[inline(always)]
    fn store(self, values: &mut [f32; LANES]) {
        for part in 0..PARTS {
            unsafe { vst1q_f32(values.as_mut_ptr().add(PARTS * part), self.0[part]) }
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| unsafe { vaddq_f32(a, b) })
    }

    #[inline(always)]
    fn subtract(self, other: Self) -> Self {
        self.with(other, |a, b| unsafe { vsubq_f32(a, b) })
    }

    #[inline(always)]
    fn multiply(self, other: Self) -> Self {
        self.with(other, |a, b| unsafe { vmulq_f32(a, b) })
    }

    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|part| unsafe { vfmaq_f32(self.0[part], a.0[part], b.0[part]) }))
    }

    #[inline(always)]
    fn subtract_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|part| unsafe { vfmsq_f32(self.0[part], a.0[part], b.0[part]) }))
    }

    #[inline(always)]
    fn at_most(self, bound: Self) -> Self {
        self.with(bound, |a, b| unsafe { vminq_f32(a, b) })
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> Self {
        self.with(bound, |a, b| unsafe { vmaxq_f32(a, b) })
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        Self(self.0.map(|part| unsafe { vabsq_f32(part) }))
    }

    #[inline(always)]
    fn choose(self, positive: Self, other: Self) -> Self {
        let above = self.0.map(|part| unsafe { vcgtq_f32(part, vdupq_n_f32(0.0)) });
        Self(std::array::from_fn(|part| unsafe { vbslq_f32(above[part], positive.0[part], other.0[part]) }))
    }

    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let mut columns = [Self::splat(0.0); LANES];
        for down in 0..PARTS {
            for across in 0..PARTS {
                let square = transpose_4(std::array::from_fn(|row| rows[PARTS * down + row].0[across]));
                for (row, values) in square.into_iter().enumerate() {
                    columns[PARTS * across + row].0[down] = values;
                }
            }
        }
        columns
    }
}

/// Turns the rows of four by four values into columns.
#[inline(always)]
fn transpose_4([a, b, c, d]: [float32x4_t; PARTS]) -> [float32x4_t; PARTS] {
    unsafe {
        let pairs = [vtrn1q_f32(a, b), vtrn2q_f32(a, b), vtrn1q_f32(c, d), vtrn2q_f32(c, d)];
        let [ab, ab_odd, cd, cd_odd] = pairs.map(|pair| vreinterpretq_f64_f32(pair));
        [vtrn1q_f64(ab, cd), vtrn1q_f64(ab_odd, cd_odd), vtrn2q_f64(ab, cd), vtrn2q_f64(ab_odd, cd_odd)]
            .map(|column| vreinterpretq_f32_f64(column))
    }
}
