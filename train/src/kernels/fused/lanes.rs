//! Sixteen neighbouring pixels as one value, and how a loop over them becomes vector instructions.

/// How many pixels are computed together: 64 bytes, one cache line and one to four registers.
pub(super) const LANES: usize = 16;

/// The values of neighbouring pixels, aligned to a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

impl Lanes {
    /// Zeros.
    pub(super) const ZERO: Self = Self([0.0; LANES]);
}

/// The lanes as the values that they are.
pub(super) fn flat(lanes: &[Lanes]) -> &[f32] {
    // SAFETY: `Lanes` is `repr(C)` over an array of `f32` whose size is the alignment, so there is no padding.
    unsafe { std::slice::from_raw_parts(lanes.as_ptr().cast(), lanes.len() * LANES) }
}

/// The lanes as the values that they are.
pub(super) fn flat_mut(lanes: &mut [Lanes]) -> &mut [f32] {
    // SAFETY: as in `flat`.
    unsafe { std::slice::from_raw_parts_mut(lanes.as_mut_ptr().cast(), lanes.len() * LANES) }
}

/// `count` lanes, all zero, in a buffer that keeps its memory.
pub(super) fn zeroed(buffer: &mut Vec<Lanes>, count: usize) -> &mut [Lanes] {
    buffer.clear();
    buffer.resize(count, Lanes::ZERO);
    buffer
}

/// How a processor multiplies and adds.
pub(super) trait MultiplyAdd {
    /// `a * b + c`
    fn multiply_add(a: f32, b: f32, c: f32) -> f32;
}

/// In one instruction, with one rounding.
pub(super) struct Fused;

/// In two instructions: without hardware for one, `mul_add` would be a function call.
pub(super) struct Separate;

impl MultiplyAdd for Fused {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl MultiplyAdd for Separate {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// Defines a function that runs `$body::<M>` compiled for the best instruction set that the processor has.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$meta])*
        $visibility fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                #[target_feature(enable = "avx2,fma")]
                fn vectors($($argument: $type),*) {
                    $body::<$crate::kernels::fused::lanes::Fused>($($argument),*);
                }
                // SAFETY: the processor has both features.
                return unsafe { vectors($($argument),*) };
            }
            #[cfg(target_arch = "aarch64")]
            return $body::<$crate::kernels::fused::lanes::Fused>($($argument),*);
            #[cfg(not(target_arch = "aarch64"))]
            $body::<$crate::kernels::fused::lanes::Separate>($($argument),*);
        }
    };
}

pub(super) use vectorized;
