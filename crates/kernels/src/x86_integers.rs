//! Sums of products of eight-bit integers in the registers of x86-64.
//!
//! As the [vectors](super::x86), they may only be used in functions that are compiled for their
//! instructions, see [`vectorized`](super::vector::vectorized): that is what makes each intrinsic
//! here sound.

#![allow(unsafe_code, reason = "uses vector instructions that are detected at run time")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the same reason holds for all, and is said once")]

use std::arch::x86_64::*;

use super::integers::{Integers, QUAD, Quads};
use super::lanes::LANES;
use super::x86::{Avx2, Avx512};

/// Sums of AVX-512 with VNNI, which multiplies and adds bytes in one instruction.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Vnni(__m512i);

/// Sums of AVX2 with VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Vnni([__m256i; 2]);

/// Sums of AVX2, which multiplies pairs of 16 bits: the even channels and the odd ones. Its
/// products of bytes saturate.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Products([__m256i; 2]);

/// Returns four channels as they lie in memory.
#[inline(always)]
fn bits(channels: &[u8; QUAD]) -> i32 {
    i32::from_le_bytes(*channels)
}

/// Loads sixteen values of 32 bits.
#[inline(always)]
unsafe fn halves(values: *const __m256i) -> [__m256i; 2] {
    unsafe { [_mm256_loadu_si256(values), _mm256_loadu_si256(values.add(1))] }
}

impl Integers for Avx512Vnni {
    type Floats = Avx512;
    type Weights = __m512i;
    type Channels = __m512i;

    #[inline(always)]
    fn load(sums: &[i32; LANES]) -> Self {
        Self(unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) })
    }

    #[inline(always)]
    fn add(self, sums: &[i32; LANES]) -> Self {
        Self(unsafe { _mm512_add_epi32(self.0, Self::load(sums).0) })
    }

    #[inline(always)]
    fn weights(weights: &Quads) -> __m512i {
        unsafe { _mm512_loadu_si512(weights.0.as_ptr().cast()) }
    }

    #[inline(always)]
    fn channels(channels: &[u8; QUAD]) -> __m512i {
        unsafe { _mm512_set1_epi32(bits(channels)) }
    }

    #[inline(always)]
    fn add_products(self, channels: __m512i, weights: __m512i) -> Self {
        Self(unsafe { _mm512_dpbusd_epi32(self.0, channels, weights) })
    }

    #[inline(always)]
    fn floats(self) -> Avx512 {
        Avx512(unsafe { _mm512_cvtepi32_ps(self.0) })
    }
}

impl Integers for Avx2Vnni {
    type Floats = Avx2;
    type Weights = [__m256i; 2];
    type Channels = __m256i;

    #[inline(always)]
    fn load(sums: &[i32; LANES]) -> Self {
        Self(unsafe { halves(sums.as_ptr().cast()) })
    }

    #[inline(always)]
    fn add(self, sums: &[i32; LANES]) -> Self {
        let [low, high] = Self::load(sums).0;
        Self(unsafe { [_mm256_add_epi32(self.0[0], low), _mm256_add_epi32(self.0[1], high)] })
    }

    #[inline(always)]
    fn weights(weights: &Quads) -> [__m256i; 2] {
        unsafe { halves(weights.0.as_ptr().cast()) }
    }

    #[inline(always)]
    fn channels(channels: &[u8; QUAD]) -> __m256i {
        unsafe { _mm256_set1_epi32(bits(channels)) }
    }

    #[inline(always)]
    fn add_products(self, channels: __m256i, [low, high]: [__m256i; 2]) -> Self {
        unsafe {
            Self([
                _mm256_dpbusd_avx_epi32(self.0[0], channels, low),
                _mm256_dpbusd_avx_epi32(self.0[1], channels, high),
            ])
        }
    }

    #[inline(always)]
    fn floats(self) -> Avx2 {
        unsafe { Avx2(_mm256_cvtepi32_ps(self.0[0]), _mm256_cvtepi32_ps(self.0[1])) }
    }
}

impl Integers for Avx2Products {
    type Floats = Avx2;
    /// The even channels of both halves, then the odd ones.
    type Weights = [[__m256i; 2]; 2];
    type Channels = [__m256i; 2];

    #[inline(always)]
    fn load(sums: &[i32; LANES]) -> Self {
        Self(unsafe { halves(sums.as_ptr().cast()) })
    }

    #[inline(always)]
    fn add(self, sums: &[i32; LANES]) -> Self {
        let [low, high] = Self::load(sums).0;
        Self(unsafe { [_mm256_add_epi32(self.0[0], low), _mm256_add_epi32(self.0[1], high)] })
    }

    #[inline(always)]
    fn weights(weights: &Quads) -> [[__m256i; 2]; 2] {
        unsafe {
            let [low, high] = halves(weights.0.as_ptr().cast());
            let even_low = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(low));
            let even_high = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(high));
            [[even_low, even_high], [_mm256_srai_epi16::<8>(low), _mm256_srai_epi16::<8>(high)]]
        }
    }

    #[inline(always)]
    fn channels(channels: &[u8; QUAD]) -> [__m256i; 2] {
        unsafe {
            let bytes = _mm256_set1_epi32(bits(channels));
            [_mm256_and_si256(bytes, _mm256_set1_epi16(0xFF)), _mm256_srli_epi16::<8>(bytes)]
        }
    }

    #[inline(always)]
    fn add_products(self, channels: [__m256i; 2], weights: [[__m256i; 2]; 2]) -> Self {
        let mut sums = self.0;
        for parity in 0..2 {
            for half in 0..2 {
                let products = unsafe { _mm256_madd_epi16(channels[parity], weights[parity][half]) };
                sums[half] = unsafe { _mm256_add_epi32(sums[half], products) };
            }
        }
        Self(sums)
    }

    #[inline(always)]
    fn floats(self) -> Avx2 {
        unsafe { Avx2(_mm256_cvtepi32_ps(self.0[0]), _mm256_cvtepi32_ps(self.0[1])) }
    }
}
