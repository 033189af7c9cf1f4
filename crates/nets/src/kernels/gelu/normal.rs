//! The normal distribution's tail as it is computed on GPUs, where an exponential is cheap.
//!
//! The upper tail is `Q(t) = phi(t) M(t)` with Mills' ratio `M`, which is smooth; as a polynomial
//! in `k = 1 / (1 + 0.3 t)` of degree 10 it is exact to 4e-9 for `t` up to 13, far below the
//! rounding of `f32`. So `Phi(x) = Q(-x)` keeps its relative accuracy where `(1 + erf) / 2`
//! cancels, and one exponential serves both the value and the gradient.

/// `1 / sqrt(2 pi)`
pub(super) const DENSITY_AT_0: f32 = 0.398_942_3;
/// The end of the tail: `phi(13)` is the last that is a normal `f32`.
pub(super) const TAIL_END: f32 = 13.0;
/// The scale of Mills' ratio's variable.
pub(super) const MILLS_SCALE: f32 = 0.3;
/// Mills' ratio as `sum of c[i] k^(i + 1)`: least squares of the relative error at 400 Chebyshev
/// nodes of `k`.
pub(super) const MILLS: [f32; 10] = [
    0.300_011_84,
    0.299_685_57,
    0.276_634_48,
    0.194_975_21,
    0.245_538_52,
    -0.207_668,
    0.491_234_42,
    -0.580_034_5,
    0.285_270_63,
    -0.052_334_04,
];
