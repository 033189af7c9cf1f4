//! The vectors of x86-64.
//!
//! They may only be used in functions that are compiled for their instructions, see
//! [`vectorized`](super::vector::vectorized): that is what makes each intrinsic here sound. Arrays
//! hold as many values as are read or written.

#![allow(unsafe_code, reason = "uses vector instructions that are detected at run time")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the same reason holds for all, and is said once")]

use std::arch::x86_64::*;

use super::lanes::LANES;
use super::vector::Vector;

/// The vector of AVX2 with FMA. It may only be used in functions that are compiled for both,
/// see [`vectorized`](super::vector::vectorized).
#[derive(Clone, Copy)]
pub(crate) struct Avx2(pub(crate) __m256, pub(crate) __m256);

/// The vector of AVX-512. It may only be used in functions that are compiled for it, see
/// [`vectorized`](super::vector::vectorized).
#[derive(Clone, Copy)]
pub(crate) struct Avx512(pub(crate) __m512);

impl Vector for Avx2 {
    const MANY: bool = false;

    #[inline(always)]
    fn fetch(place: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        let half = unsafe { _mm256_set1_ps(value) };
        Self(half, half)
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        unsafe { Self(_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values[8..].as_ptr())) }
    }

    #[inline(always)]
    fn store(self, values: &mut [f32; LANES]) {
        unsafe {
            _mm256_storeu_ps(values.as_mut_ptr(), self.0);
            _mm256_storeu_ps(values[8..].as_mut_ptr(), self.1);
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }

    #[inline(always)]
    fn subtract(self, other: Self) -> Self {
        unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
    }

    #[inline(always)]
    fn multiply(self, other: Self) -> Self {
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }

    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
    }

    #[inline(always)]
    fn subtract_product(self, a: Self, b: Self) -> Self {
        unsafe { Self(_mm256_fnmadd_ps(a.0, b.0, self.0), _mm256_fnmadd_ps(a.1, b.1, self.1)) }
    }

    #[inline(always)]
    fn at_most(self, bound: Self) -> Self {
        // The second operand where one is not a number.
        unsafe { Self(_mm256_min_ps(bound.0, self.0), _mm256_min_ps(bound.1, self.1)) }
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> Self {
        unsafe { Self(_mm256_max_ps(bound.0, self.0), _mm256_max_ps(bound.1, self.1)) }
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            Self(_mm256_andnot_ps(sign, self.0), _mm256_andnot_ps(sign, self.1))
        }
    }

    #[inline(always)]
    fn choose(self, positive: Self, other: Self) -> Self {
        unsafe {
            let zero = _mm256_setzero_ps();
            Self(
                _mm256_blendv_ps(other.0, positive.0, _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, zero)),
                _mm256_blendv_ps(other.1, positive.1, _mm256_cmp_ps::<_CMP_GT_OQ>(self.1, zero)),
            )
        }
    }

    #[inline(always)]
    fn store_bytes(self, shift: u8, bytes: &mut [u8; LANES]) {
        unsafe {
            let shift = _mm256_set1_epi32(shift.into());
            let low = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), shift);
            let high = _mm256_add_epi32(_mm256_cvtps_epi32(self.1), shift);
            // The halves of both lie in turn.
            let words = _mm256_permute4x64_epi64::<0xD8>(_mm256_packus_epi32(low, high));
            let packed = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), packed);
        }
    }

    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let [top_left, top_right] =
            [transpose_8(std::array::from_fn(|i| rows[i].0)), transpose_8(std::array::from_fn(|i| rows[i].1))];
        let [low_left, low_right] =
            [transpose_8(std::array::from_fn(|i| rows[i + 8].0)), transpose_8(std::array::from_fn(|i| rows[i + 8].1))];
        std::array::from_fn(|i| {
            if i < 8 { Self(top_left[i], low_left[i]) } else { Self(top_right[i - 8], low_right[i - 8]) }
        })
    }
}

#[inline(always)]
fn transpose_8(r: [__m256; 8]) -> [__m256; 8] {
    unsafe {
        let pair = |i: usize| (_mm256_unpacklo_ps(r[i], r[i + 1]), _mm256_unpackhi_ps(r[i], r[i + 1]));
        let ((a, b), (c, d), (e, f), (g, h)) = (pair(0), pair(2), pair(4), pair(6));
        let four = |a, c| (_mm256_shuffle_ps::<0x44>(a, c), _mm256_shuffle_ps::<0xEE>(a, c));
        let ((s0, s1), (s2, s3), (s4, s5), (s6, s7)) = (four(a, c), four(b, d), four(e, g), four(f, h));
        let low = |x, y| _mm256_permute2f128_ps::<0x20>(x, y);
        let high = |x, y| _mm256_permute2f128_ps::<0x31>(x, y);
        [low(s0, s4), low(s1, s5), low(s2, s6), low(s3, s7), high(s0, s4), high(s1, s5), high(s2, s6), high(s3, s7)]
    }
}

impl Vector for Avx512 {
    const MANY: bool = true;

    #[inline(always)]
    fn fetch(place: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        Self(unsafe { _mm512_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32; LANES]) {
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn subtract(self, other: Self) -> Self {
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn multiply(self, other: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    fn subtract_product(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_fnmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    fn at_most(self, bound: Self) -> Self {
        Self(unsafe { _mm512_min_ps(bound.0, self.0) })
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> Self {
        Self(unsafe { _mm512_max_ps(bound.0, self.0) })
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        Self(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    fn choose(self, positive: Self, other: Self) -> Self {
        unsafe {
            let mask = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, _mm512_setzero_ps());
            Self(_mm512_mask_blend_ps(mask, other.0, positive.0))
        }
    }

    #[inline(always)]
    fn store_bytes(self, shift: u8, bytes: &mut [u8; LANES]) {
        unsafe {
            let numbers = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(shift.into()));
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(numbers));
        }
    }

    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        unsafe {
            // Four by four values inside each quarter, then the quarters.
            let zero = _mm512_setzero_ps();
            let mut fours = [zero; LANES];
            for group in 0..4 {
                let [a, b, c, d] = std::array::from_fn(|i| rows[4 * group + i].0);
                let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
                let (ab_high, cd_high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
                fours[4 * group] = _mm512_shuffle_ps::<0x44>(ab, cd);
                fours[4 * group + 1] = _mm512_shuffle_ps::<0xEE>(ab, cd);
                fours[4 * group + 2] = _mm512_shuffle_ps::<0x44>(ab_high, cd_high);
                fours[4 * group + 3] = _mm512_shuffle_ps::<0xEE>(ab_high, cd_high);
            }
            let mut columns = [Self(zero); LANES];
            for i in 0..4 {
                let [a, b, c, d] = [fours[i], fours[4 + i], fours[8 + i], fours[12 + i]];
                let (even_low, even_high) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d));
                let (odd_low, odd_high) = (_mm512_shuffle_f32x4::<0xDD>(a, b), _mm512_shuffle_f32x4::<0xDD>(c, d));
                columns[i] = Self(_mm512_shuffle_f32x4::<0x88>(even_low, even_high));
                columns[8 + i] = Self(_mm512_shuffle_f32x4::<0xDD>(even_low, even_high));
                columns[4 + i] = Self(_mm512_shuffle_f32x4::<0x88>(odd_low, odd_high));
                columns[12 + i] = Self(_mm512_shuffle_f32x4::<0xDD>(odd_low, odd_high));
            }
            columns
        }
    }
}
