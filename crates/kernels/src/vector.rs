//! The instruction sets behind one trait: sixteen values in registers, and how a loop over them is
//! compiled for the best set that the processor has.
//!
//! AVX-512 holds them in one register of thirty-two, AVX2 in two of sixteen, NEON in four of
//! thirty-two. The portable form is an array, which a compiler turns into the registers that its
//! target always has.

use std::sync::OnceLock;

use super::lanes::LANES;

/// Sixteen values in registers.
///
/// Code that is generic over it is free of closures: only inlined code is compiled for the
/// registers, and a closure may not be inlined.
pub(crate) trait Vector: Copy {
    /// True if there are registers for thirty-two vectors, and not only for eight.
    const MANY: bool;

    /// Fills all lanes with one value.
    fn splat(value: f32) -> Self;
    /// Loads values from memory.
    fn load(values: &[f32; LANES]) -> Self;
    /// Stores the values in memory.
    fn store(self, values: &mut [f32; LANES]);
    /// `self + other`
    fn add(self, other: Self) -> Self;
    /// `self - other`
    fn subtract(self, other: Self) -> Self;
    /// `self * other`
    fn multiply(self, other: Self) -> Self;
    /// `self + a * b`
    fn add_product(self, a: Self, b: Self) -> Self;
    /// `self - a * b`
    fn subtract_product(self, a: Self, b: Self) -> Self;
    /// The smaller one; `self` where it is not a number.
    fn at_most(self, bound: Self) -> Self;
    /// The larger one; `self` where it is not a number.
    fn at_least(self, bound: Self) -> Self;
    /// The value without its sign.
    fn magnitude(self) -> Self;
    /// `positive` where `self` is above zero, else `other`.
    fn choose(self, positive: Self, other: Self) -> Self;
    /// `self / divisor` to the last bit, with the reciprocal of the divisor, for the quotients and
    /// divisors that [`Steps`](crate::bytes::Steps) divides.
    #[inline(always)]
    fn divide(self, divisor: Self, reciprocal: Self) -> Self {
        let quotient = self.multiply(reciprocal);
        quotient.add_product(self.subtract_product(quotient, divisor), reciprocal)
    }

    /// Stores the values as the nearest whole numbers, even ones on a tie, plus `shift`; the sums
    /// are bytes.
    #[inline(always)]
    fn store_bytes(self, shift: u8, bytes: &mut [u8; LANES]) {
        // A float of this size has no bits behind the point, and those before it are the number.
        const WHOLE: f32 = 1.5 * (1 << 23) as f32;
        let mut values = [0.0; LANES];
        self.add(Self::splat(WHOLE)).store(&mut values);
        *bytes = values.map(|value| (value.to_bits() as u8).wrapping_add(shift));
    }

    /// Turns rows into columns.
    fn transpose(rows: [Self; LANES]) -> [Self; LANES];

    /// Asks for the cache line of a value that will be read soon; the place may lie anywhere.
    #[inline(always)]
    fn fetch(_place: *const f32) {}

    /// Sums up the values of each vector, as [`sum`](Self::sum) does.
    #[inline(always)]
    fn sums(vectors: [Self; LANES]) -> Self {
        let mut values = Self::transpose(vectors);
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                values[lane] = values[lane].add(values[lane + width]);
            }
        }
        values[0]
    }

    /// Sums up the values.
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut values = [0.0; LANES];
        self.store(&mut values);
        // As a tree, whose additions need not wait for each other.
        for width in [8, 4, 2, 1] {
            for lane in 0..width {
                values[lane] += values[lane + width];
            }
        }
        values[0]
    }
}

/// The vector of any processor.
impl Vector for [f32; LANES] {
    const MANY: bool = false;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        [value; LANES]
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        *values
    }

    #[inline(always)]
    fn store(self, values: &mut [f32; LANES]) {
        *values = self;
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane])
    }

    #[inline(always)]
    fn subtract(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] - other[lane])
    }

    #[inline(always)]
    fn multiply(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * other[lane])
    }

    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|lane| fused(a[lane], b[lane], self[lane]))
    }

    #[inline(always)]
    fn subtract_product(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|lane| fused(-a[lane], b[lane], self[lane]))
    }

    #[inline(always)]
    fn at_most(self, bound: Self) -> Self {
        std::array::from_fn(|lane| if bound[lane] < self[lane] { bound[lane] } else { self[lane] })
    }

    #[inline(always)]
    fn at_least(self, bound: Self) -> Self {
        std::array::from_fn(|lane| if bound[lane] > self[lane] { bound[lane] } else { self[lane] })
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        self.map(f32::abs)
    }

    #[inline(always)]
    fn choose(self, positive: Self, other: Self) -> Self {
        std::array::from_fn(|lane| if self[lane] > 0.0 { positive[lane] } else { other[lane] })
    }

    #[inline(always)]
    fn divide(self, divisor: Self, _reciprocal: Self) -> Self {
        std::array::from_fn(|lane| self[lane] / divisor[lane])
    }

    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        std::array::from_fn(|row| std::array::from_fn(|column| rows[column][row]))
    }
}

/// `a * b + c`, with two roundings where one instruction for both would be a function call.
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
}

/// The sets of vector instructions, from the least on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// Whatever the target always has.
    Portable,
    /// NEON.
    Neon,
    /// AVX2 with FMA.
    Avx2,
    /// AVX2 with FMA and products of bytes.
    Avx2Vnni,
    /// AVX-512 F.
    Avx512,
    /// AVX-512 F with products of bytes.
    Avx512Vnni,
}

/// The variable that holds the kernels to a smaller set, for measurements: `portable`, `avx2`,
/// `avx2-vnni` or `avx512`.
const VARIABLE: &str = "SEG_VECTORS";

/// Returns the best set that the processor has and the environment allows.
pub fn set() -> Set {
    static SET: OnceLock<Set> = OnceLock::new();
    *SET.get_or_init(|| {
        let allowed = match std::env::var(VARIABLE).as_deref() {
            Ok("portable") => Set::Portable,
            Ok("avx2") => Set::Avx2,
            Ok("avx2-vnni") => Set::Avx2Vnni,
            Ok("avx512") => Set::Avx512,
            _ => Set::Avx512Vnni,
        };
        let sets = [Set::Avx512Vnni, Set::Avx512, Set::Avx2Vnni, Set::Avx2, Set::Neon];
        sets.into_iter().find(|set| *set <= allowed && set.is_here()).unwrap_or(Set::Portable)
    })
}

impl Set {
    /// Returns whether the processor has it.
    pub(crate) fn is_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2Vnni => Self::Avx2.is_here() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Self::Avx2.is_here() && is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Self::Avx512.is_here() && is_x86_feature_detected!("avx512vnni"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx2Vnni | Self::Avx512 | Self::Avx512Vnni => false,
        }
    }
}

/// Runs `$body::<$vector>`, compiled for features that the processor has.
macro_rules! compiled {
    ($features:literal, $body:ident::<$vector:ty>($($argument:ident: $type:ty),*)) => {{
        #[target_feature(enable = $features)]
        fn compiled($($argument: $type),*) {
            $body::<$vector>($($argument),*);
        }
        // SAFETY: the processor has the set that the caller has found.
        unsafe { compiled($($argument),*) }
    }};
}

/// Defines a function that runs `$body::<V>`, compiled for the best vectors that the processor has;
/// with `integers`, for the best [`Integers`](super::integers::Integers).
macro_rules! vectorized {
    (integers $(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$meta])*
        #[allow(unsafe_code, clippy::too_many_arguments, reason = "calls a function that is compiled for features which are there")]
        $visibility fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::vector::{Set, compiled, set};
                use $crate::x86_integers::{Avx2Products, Avx2Vnni, Avx512Vnni};

                match set() {
                    Set::Avx512Vnni => {
                        return compiled!("avx512f,avx512vnni,avx2,fma", $body::<Avx512Vnni>($($argument: $type),*));
                    }
                    Set::Avx2Vnni => return compiled!("avx2,fma,avxvnni", $body::<Avx2Vnni>($($argument: $type),*)),
                    Set::Avx512 | Set::Avx2 => {
                        return compiled!("avx2,fma", $body::<Avx2Products>($($argument: $type),*));
                    }
                    Set::Neon | Set::Portable => {}
                }
            }
            $body::<[i32; $crate::lanes::LANES]>($($argument),*);
        }
    };
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$meta])*
        #[allow(unsafe_code, clippy::too_many_arguments, reason = "calls a function that is compiled for features which are there")]
        $visibility fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::vector::{Set, compiled, set};
                use $crate::x86::{Avx2, Avx512};

                match set() {
                    Set::Avx512Vnni | Set::Avx512 => {
                        return compiled!("avx512f,avx2,fma", $body::<Avx512>($($argument: $type),*));
                    }
                    Set::Avx2Vnni | Set::Avx2 => return compiled!("avx2,fma", $body::<Avx2>($($argument: $type),*)),
                    Set::Neon | Set::Portable => {}
                }
            }
            #[cfg(target_arch = "aarch64")]
            if $crate::vector::set() == $crate::vector::Set::Neon {
                return $body::<$crate::neon::Neon>($($argument),*);
            }
            $body::<[f32; $crate::lanes::LANES]>($($argument),*);
        }
    };
}

pub(crate) use {compiled, vectorized};
