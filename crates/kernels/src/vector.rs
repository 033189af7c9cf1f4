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
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        std::array::from_fn(|row| std::array::from_fn(|column| rows[column][row]))
    }
}

/// `a * b + c`, with two roundings where one instruction for both would be a function call.
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
}

/// The sets of vector instructions, each with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// Whatever the target always has.
    Portable,
    /// NEON.
    Neon,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F.
    Avx512,
}

/// The variable that holds the kernels to a smaller set, for measurements: `portable` or `avx2`.
const VARIABLE: &str = "SEG_VECTORS";

/// Returns the best set that the processor has and the environment allows.
pub fn set() -> Set {
    static SET: OnceLock<Set> = OnceLock::new();
    *SET.get_or_init(|| {
        let allowed = match std::env::var(VARIABLE).as_deref() {
            Ok("portable") => Set::Portable,
            Ok("avx2") => Set::Avx2,
            _ => Set::Avx512,
        };
        detected().min(allowed)
    })
}

fn detected() -> Set {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return if is_x86_feature_detected!("avx512f") { Set::Avx512 } else { Set::Avx2 };
    }
    if cfg!(target_arch = "aarch64") { Set::Neon } else { Set::Portable }
}

/// Defines a function that runs `$body::<V>`, compiled for the best vectors that the processor has.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$meta])*
        #[allow(unsafe_code, clippy::too_many_arguments, reason = "calls a function that is compiled for features which are there")]
        $visibility fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::vector::{Set, set};
                use $crate::x86::{Avx2, Avx512};

                #[target_feature(enable = "avx512f,avx2,fma")]
                fn avx512($($argument: $type),*) {
                    $body::<Avx512>($($argument),*);
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) {
                    $body::<Avx2>($($argument),*);
                }
                match set() {
                    // SAFETY: the processor has the set.
                    Set::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    Set::Avx2 => return unsafe { avx2($($argument),*) },
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

pub(crate) use vectorized;
