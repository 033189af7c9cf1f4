//! Sixteen neighbouring pixels as one value, and how a loop over them becomes vector instructions.

#![allow(unsafe_code, reason = "uses vector instructions that are detected at run time")]

/// The pixels that are computed together: 64 bytes, one cache line and one to four registers.
pub(super) const LANES: usize = 16;

/// The values of neighbouring pixels, aligned to a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

impl Lanes {
    /// Zeros.
    pub(super) const ZERO: Self = Self([0.0; LANES]);
}

/// Returns the lanes as separate values.
pub(super) fn flat(lanes: &[Lanes]) -> &[f32] {
    // SAFETY: `Lanes` is `repr(C)` over an array of `f32` whose size is the alignment, so there is
    // no padding.
    unsafe { std::slice::from_raw_parts(lanes.as_ptr().cast(), lanes.len() * LANES) }
}

/// Returns the lanes as separate values.
pub(super) fn flat_mut(lanes: &mut [Lanes]) -> &mut [f32] {
    // SAFETY: as in `flat`.
    unsafe { std::slice::from_raw_parts_mut(lanes.as_mut_ptr().cast(), lanes.len() * LANES) }
}

/// `a *= b`
pub(super) fn multiply_by(a: &mut [Lanes], b: &[Lanes]) {
    for (a, b) in flat_mut(a).iter_mut().zip(flat(b)) {
        *a *= b;
    }
}

/// `count` lanes of a buffer that keeps its memory, with whatever they held.
pub(super) fn room(buffer: &mut Vec<Lanes>, count: usize) -> &mut [Lanes] {
    buffer.resize(count, Lanes::ZERO);
    buffer
}

/// `count` lanes of a buffer that keeps its memory, all zero.
pub(super) fn zeroed(buffer: &mut Vec<Lanes>, count: usize) -> &mut [Lanes] {
    buffer.clear();
    buffer.resize(count, Lanes::ZERO);
    buffer
}

/// Half of [`Lanes`]: one register of AVX2, two of smaller sets.
pub(super) const HALF: usize = LANES / 2;

/// Neighbouring values in registers.
///
/// Code that is generic over it is free of closures: only inlined code is compiled for the
/// registers, and a closure may not be inlined.
pub(super) trait Vector: Copy {
    /// Fills all lanes with one value.
    fn splat(value: f32) -> Self;
    /// Loads values from memory.
    fn load(values: &[f32; HALF]) -> Self;
    /// Stores the values in memory.
    fn store(self, values: &mut [f32; HALF]);
    /// `self + other`
    fn add(self, other: Self) -> Self;
    /// `self + a * b`
    fn add_product(self, a: Self, b: Self) -> Self;

    /// Sums up the values.
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut values = [0.0; HALF];
        self.store(&mut values);
        // As a tree, whose additions need not wait for each other.
        let [a, b, c, d, e, f, g, h] = values;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
}

/// Returns one half of lanes.
#[inline(always)]
pub(super) fn half(lanes: &[f32; LANES], half: usize) -> &[f32; HALF] {
    &lanes.as_chunks().0[half]
}

/// Both halves of lanes.
#[inline(always)]
pub(super) fn load<V: Vector>(lanes: &[f32; LANES]) -> [V; 2] {
    [V::load(half(lanes, 0)), V::load(half(lanes, 1))]
}

/// Both halves into lanes.
#[inline(always)]
pub(super) fn store<V: Vector>([first, second]: [V; 2], lanes: &mut [f32; LANES]) {
    let (halves, _) = lanes.as_chunks_mut();
    first.store(&mut halves[0]);
    second.store(&mut halves[1]);
}

/// The vector of any processor.
impl Vector for [f32; HALF] {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        [value; HALF]
    }

    #[inline(always)]
    fn load(values: &[f32; HALF]) -> Self {
        *values
    }

    #[inline(always)]
    fn store(self, values: &mut [f32; HALF]) {
        *values = self;
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let mut sums = self;
        for lane in 0..HALF {
            sums[lane] += other[lane];
        }
        sums
    }

    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        // Two roundings: without an instruction for both at once, `mul_add` would be a function
        // call.
        let mut sums = self;
        for lane in 0..HALF {
            sums[lane] += a[lane] * b[lane];
        }
        sums
    }
}

/// The vector of AVX2 with FMA. It may only be used in functions that are compiled for both, see
/// [`vectorized`].
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2(std::arch::x86_64::__m256);

#[cfg(target_arch = "x86_64")]
impl Vector for Avx2 {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: only functions compiled for AVX2 use the type.
        Self(unsafe { std::arch::x86_64::_mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32; HALF]) -> Self {
        // SAFETY: the array holds as many values as are read; the rest as in `splat`.
        Self(unsafe { std::arch::x86_64::_mm256_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32; HALF]) {
        // SAFETY: the array has room for as many values as are written; the rest as in `splat`.
        unsafe { std::arch::x86_64::_mm256_storeu_ps(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        Self(unsafe { std::arch::x86_64::_mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: as in `splat`, and they are compiled for FMA as well.
        Self(unsafe { std::arch::x86_64::_mm256_fmadd_ps(a.0, b.0, self.0) })
    }
}

/// Defines a function that runs `$body::<V>`, compiled for the best vectors that the processor has.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$meta])*
        #[allow(unsafe_code, reason = "calls a function that is compiled for features which are there")]
        $visibility fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                #[target_feature(enable = "avx2,fma")]
                fn vectors($($argument: $type),*) {
                    $body::<$crate::kernels::fused::lanes::Avx2>($($argument),*);
                }
                // SAFETY: the processor has both features.
                return unsafe { vectors($($argument),*) };
            }
            $body::<[f32; $crate::kernels::fused::lanes::HALF]>($($argument),*);
        }
    };
}

pub(super) use vectorized;
