//! The normal distribution over slices, fast enough that GELU does not wait for it.
//!
//! The upper tail is `Q(t) = phi(t) M(t)` with Mills' ratio `M`, which is smooth; as a polynomial
//! in `k = 1 / (1 + 0.3 t)` of degree 10 it is exact to 4e-9 for `t` up to 13, far below the
//! rounding of `f32`. So `Phi(x) = Q(-x)` keeps its relative accuracy where `(1 + erf) / 2`
//! cancels, and one exponential serves both the value and the gradient.

#![allow(unsafe_code, reason = "uses vector instructions that are detected at run time")]

use std::f32::consts::{LN_2, LOG2_E};

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
/// `e^r` for `|r| <= ln(2) / 2`: its Taylor series from degree 2 on, whose first term left out is
/// below 1e-8.
const EXPONENTIAL: [f32; 6] = [0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0];
/// Adding and subtracting it rounds to a whole number; the sum's low bits hold that number.
const ROUND: f32 = 12_582_912.0;
/// The part of `ln(2)` with few enough bits that its whole multiples are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
/// `ln(2) - LN_2_HIGH`
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `x Phi(x)` of each value.
pub(in super::super) fn gelu(x: &[f32], y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both features.
        return unsafe { gelu_avx2(x, y) };
    }
    gelu_with(x, y, |a, b, sum| a * b + sum);
}

/// `g (Phi(x) + x phi(x))` of each value `x` and gradient `g`, in place of the gradient.
pub(in super::super) fn gelu_gradient(x: &[f32], gradient: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both features.
        return unsafe { gelu_gradient_avx2(x, gradient) };
    }
    gelu_gradient_with(x, gradient, |a, b, sum| a * b + sum);
}

/// `x Phi(x)` of each value in `y`, and in its own place the slope `Phi(x) + x phi(x)`.
pub(in super::super) fn gelu_and_slope(x: &mut [f32], y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both features.
        return unsafe { gelu_and_slope_avx2(x, y) };
    }
    gelu_and_slope_with(x, y, |a, b, sum| a * b + sum);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn gelu_and_slope_avx2(x: &mut [f32], y: &mut [f32]) {
    gelu_and_slope_with(x, y, f32::mul_add);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn gelu_avx2(x: &[f32], y: &mut [f32]) {
    gelu_with(x, y, f32::mul_add);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn gelu_gradient_avx2(x: &[f32], gradient: &mut [f32]) {
    gelu_gradient_with(x, gradient, f32::mul_add);
}

/// Inlined into a function per instruction set, so that the loop becomes its vectors.
#[inline(always)]
fn gelu_with(x: &[f32], y: &mut [f32], multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy) {
    for (x, y) in x.iter().zip(y) {
        *y = *x * normal(*x, multiply_add).0;
    }
}

/// Inlined into a function per instruction set, so that the loop becomes its vectors.
#[inline(always)]
fn gelu_gradient_with(x: &[f32], gradient: &mut [f32], multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy) {
    for (x, gradient) in x.iter().zip(gradient) {
        let (distribution, density) = normal(*x, multiply_add);
        *gradient *= multiply_add(*x, density, distribution);
    }
}

/// Inlined into a function per instruction set, so that the loop becomes its vectors.
#[inline(always)]
fn gelu_and_slope_with(x: &mut [f32], y: &mut [f32], multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy) {
    for (x, y) in x.iter_mut().zip(y) {
        let (distribution, density) = normal(*x, multiply_add);
        (*y, *x) = (*x * distribution, multiply_add(*x, density, distribution));
    }
}

/// `Phi(x)` and `phi(x)`.
#[inline(always)]
fn normal(x: f32, multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy) -> (f32, f32) {
    // Not `min`, which would turn a value that is not a number into the tail's end.
    let t = if x.abs() > TAIL_END { TAIL_END } else { x.abs() };
    let density = DENSITY_AT_0 * exponential(-0.5 * t * t, multiply_add);
    let k = 1.0 / multiply_add(MILLS_SCALE, t, 1.0);
    let mills = MILLS.iter().rev().fold(0.0, |sum, coefficient| multiply_add(sum, k, *coefficient)) * k;
    let tail = density * mills;
    (if x >= 0.0 { 1.0 - tail } else { tail }, density)
}

/// `e^x` for `x` in [-87, 0].
#[inline(always)]
fn exponential(x: f32, multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy) -> f32 {
    let shifted = multiply_add(x, LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = multiply_add(whole, -LN_2_LOW, multiply_add(whole, -LN_2_HIGH, x));
    let series = EXPONENTIAL.iter().rev().fold(0.0, |sum, coefficient| multiply_add(sum, rest, *coefficient));
    let power = multiply_add(series, rest * rest, rest) + 1.0;
    // The whole number from the low bits, as the exponent of a power of two.
    let scale = f32::from_bits(shifted.to_bits().wrapping_shl(23).wrapping_add(1.0_f32.to_bits()));
    power * scale
}

const _: () = assert!((LN_2_HIGH + LN_2_LOW - LN_2).abs() < 1e-7);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        for step in 0..=8700 {
            let x = -(step as f32) / 100.0;
            let (found, expected) = (exponential(x, f32::mul_add), f64::from(x).exp());
            let error = (f64::from(found) - expected).abs() / expected;
            assert!(error < 2e-7, "e^{x} = {found}, expected {expected}: relative error {error:e}");
        }
    }

    #[test]
    fn values_at_the_ends_stay_what_they_are() {
        let x = [f32::NEG_INFINITY, -40.0, -0.0, 40.0, f32::MAX, f32::INFINITY, f32::NAN];
        let mut y = [0.0; 7];
        gelu(&x, &mut y);
        assert!(y[1].abs() < 1e-30 && y[2] == 0.0, "{y:?}");
        assert_eq!(y[3..6], x[3..6]);
        assert!(y[6].is_nan(), "a value that is not a number must not be hidden: {y:?}");
    }

    #[test]
    fn value_and_slope_at_once_are_those_of_their_own() {
        let x: Vec<f32> = (-900..=900).map(|step| step as f32 / 100.0).collect();
        let (mut value, mut slope) = (vec![0.0; x.len()], vec![1.0; x.len()]);
        gelu(&x, &mut value);
        gelu_gradient(&x, &mut slope);
        let (mut together_slope, mut together) = (x.clone(), vec![0.0; x.len()]);
        gelu_and_slope(&mut together_slope, &mut together);
        assert_eq!((together, together_slope), (value, slope));
    }

    #[test]
    fn both_instruction_sets_agree() {
        let x: Vec<f32> = (-1400..=1400).map(|step| step as f32 / 100.0).collect();
        let (mut plain, mut fast) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        gelu_with(&x, &mut plain, |a, b, sum| a * b + sum);
        gelu(&x, &mut fast);
        for ((x, plain), fast) in x.iter().zip(&plain).zip(&fast) {
            assert!((plain - fast).abs() <= 3e-7 * x.abs().max(1.0), "GELU({x}): {plain} and {fast}");
        }
    }
}
