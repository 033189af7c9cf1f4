//! GELU and its slope over slices, by polynomials alone.
//!
//! With `t = |x|` and the upper tail `Q` of the normal distribution, `GELU(x) = max(x, 0) - t
//! Q(t)`: nothing cancels on the left, where `(1 + erf) / 2` does. `Q(t)` falls too steeply for a
//! polynomial, its fourth root does not: `Q(t) = p(t)^4` with `p` of degree 11, which crosses zero
//! at 6.2, where `t Q(t)` is below 2e-9. The slope is `Q(t) - t phi(t)` on the left and one minus
//! it on the right, and `(Q(t) - t phi(t)) / p(t)^3` is a polynomial of degree 11 again, so that
//! both share `p`. In 32 bits, for all `t`, the value is exact to 1e-7 and the slope to 1.5e-7,
//! beside the rounding of the result; it takes 18 instructions for sixteen values, 31 for both, and
//! no division.

use crate::lanes::{LANES, Lanes};
use crate::vector::{Vector, vectorized};

/// Beyond it, the tail counts as zero.
const END: f32 = 6.25;
/// The fourth root of the upper tail, from the constant on: minimax on `[0, END]` for the error of
/// `t Q(t)`.
const ROOT: [f32; 12] = [
    0.840_896_5,
    -0.167_736_26,
    -0.050_173_406,
    0.004_547_039_5,
    0.004_012_785,
    -0.000_295_359_73,
    -0.000_119_596_38,
    -2.545_655e-5,
    1.966_786_3e-5,
    -3.754_118_3e-6,
    3.256_706_8e-7,
    -1.129_431_3e-8,
];
/// `(Q(t) - t phi(t)) / p(t)^3`, from the constant on: minimax for the error of the slope.
const SLOPE: [f32; 12] = [
    0.840_896_25,
    -0.838_671_15,
    -0.451_679_68,
    0.059_653_778,
    0.066_975_8,
    -0.004_581_058_5,
    -0.004_280_937,
    -9.228_69e-5,
    0.000_445_733_8,
    -9.996_727e-5,
    9.220_632e-6,
    -3.224_626e-7,
];

/// `x Phi(x)`
#[inline(always)]
pub(crate) fn value<V: Vector>(x: V) -> V {
    let t = x.magnitude().at_most(V::splat(END));
    let root = polynomial(t, &ROOT).at_least(V::splat(0.0));
    let square = root.multiply(root);
    x.at_least(V::splat(0.0)).subtract_product(t.multiply(square), square)
}

/// `x Phi(x)` and its slope `Phi(x) + x phi(x)`.
#[inline(always)]
pub(crate) fn value_and_slope<V: Vector>(x: V) -> [V; 2] {
    let t = x.magnitude().at_most(V::splat(END));
    let root = polynomial(t, &ROOT).at_least(V::splat(0.0));
    let square = root.multiply(root);
    let value = x.at_least(V::splat(0.0)).subtract_product(t.multiply(square), square);
    let left = square.multiply(root).multiply(polynomial(t, &SLOPE));
    [value, x.choose(V::splat(1.0).subtract(left), left)]
}

/// Horner's rule from the highest power on: in `t` itself, so that rounding is least near zero,
/// where the tail is largest.
#[inline(always)]
fn polynomial<V: Vector>(t: V, coefficients: &[f32; 12]) -> V {
    let mut sum = V::splat(coefficients[11]);
    for power in (0..11).rev() {
        sum = V::splat(coefficients[power]).add_product(sum, t);
    }
    sum
}

vectorized! {
    /// `x Phi(x)` of each value.
    pub fn gelu(x: &[f32], y: &mut [f32]) = gelu_with
}

vectorized! {
    /// `x Phi(x)` of each value, in its place.
    pub(crate) fn gelu_in_place(x: &mut [f32]) = gelu_in_place_with
}

vectorized! {
    /// `g (Phi(x) + x phi(x))` of each value `x` and gradient `g`, in place of the gradient.
    pub fn gelu_gradient(x: &[f32], gradient: &mut [f32]) = gelu_gradient_with
}

#[inline(always)]
fn gelu_with<V: Vector>(x: &[f32], y: &mut [f32]) {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let (y_blocks, y_rest) = y.as_chunks_mut::<LANES>();
    for (x, y) in blocks.iter().zip(y_blocks) {
        value(V::load(x)).store(y);
    }
    let mut padded = [0.0; LANES];
    padded[..rest.len()].copy_from_slice(rest);
    value(V::load(&padded)).store(&mut padded);
    y_rest[..rest.len()].copy_from_slice(&padded[..rest.len()]);
}

#[inline(always)]
fn gelu_in_place_with<V: Vector>(x: &mut [f32]) {
    let (blocks, rest) = x.as_chunks_mut::<LANES>();
    for x in blocks {
        value(V::load(x)).store(x);
    }
    let mut padded = [0.0; LANES];
    padded[..rest.len()].copy_from_slice(rest);
    value(V::load(&padded)).store(&mut padded);
    rest.copy_from_slice(&padded[..rest.len()]);
}

#[inline(always)]
fn gelu_gradient_with<V: Vector>(x: &[f32], gradient: &mut [f32]) {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let (g_blocks, g_rest) = gradient.as_chunks_mut::<LANES>();
    for (x, gradient) in blocks.iter().zip(g_blocks) {
        let [_, slope] = value_and_slope(V::load(x));
        V::load(gradient).multiply(slope).store(gradient);
    }
    let mut padded = [0.0; LANES];
    padded[..rest.len()].copy_from_slice(rest);
    let [_, slope] = value_and_slope(V::load(&padded));
    slope.store(&mut padded);
    for (gradient, slope) in g_rest.iter_mut().zip(&padded) {
        *gradient *= slope;
    }
}

vectorized! {
    /// `y += addend`, then `y = y Phi(y)`.
    pub(crate) fn gelu_of_sum(y: &mut [f32], addend: &[f32]) = gelu_of_sum_with
}

#[inline(always)]
fn gelu_of_sum_with<V: Vector>(y: &mut [f32], addend: &[f32]) {
    let (blocks, rest) = y.as_chunks_mut::<LANES>();
    let (addends, addends_rest) = addend.as_chunks::<LANES>();
    for (y, addend) in blocks.iter_mut().zip(addends) {
        value(V::load(y).add(V::load(addend))).store(y);
    }
    let mut padded = [0.0; LANES];
    for (padded, (y, addend)) in padded.iter_mut().zip(rest.iter().zip(addends_rest)) {
        *padded = y + addend;
    }
    value(V::load(&padded)).store(&mut padded);
    rest.copy_from_slice(&padded[..rest.len()]);
}

vectorized! {
    /// `x Phi(x)` of each value in its place, and the slope `Phi(x) + x phi(x)`.
    pub(crate) fn gelu_and_slope(x: &mut [Lanes], slope: &mut [Lanes]) = gelu_and_slope_with
}

#[inline(always)]
fn gelu_and_slope_with<V: Vector>(x: &mut [Lanes], slope: &mut [Lanes]) {
    for (x, slope) in x.iter_mut().zip(slope) {
        let [value, slopes] = value_and_slope(V::load(&x.0));
        value.store(&mut x.0);
        slopes.store(&mut slope.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Q(t) / phi(t)` in 64 bits: the continued fraction of Mills' ratio, or near zero the series
    /// of `(1 / 2 - Q(t)) / phi(t)`.
    fn tail_and_density(t: f64) -> (f64, f64) {
        let density = (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if t > 2.5 {
            let fraction = (1..400).rev().fold(t, |rest, step| t + f64::from(step) / rest);
            return (density / fraction, density);
        }
        let (mut term, mut sum) = (t, t);
        for step in 1..200 {
            term *= t * t / f64::from(2 * step + 1);
            sum += term;
        }
        (0.5 - density * sum, density)
    }

    #[test]
    fn value_and_slope_are_as_exact_as_is_stated() {
        let x: Vec<f32> = (-130_000..=130_000).map(|step| step as f32 / 10_000.0).collect();
        let (mut value, mut slope) = (vec![0.0; x.len()], vec![1.0; x.len()]);
        gelu(&x, &mut value);
        gelu_gradient(&x, &mut slope);
        for ((x, value), slope) in x.iter().map(|x| f64::from(*x)).zip(value).zip(slope) {
            let (tail, density) = tail_and_density(x.abs());
            let (of_value, of_slope) = (x.max(0.0) - x.abs() * tail, tail - x.abs() * density);
            let of_slope = if x > 0.0 { 1.0 - of_slope } else { of_slope };
            // Half a unit in the last place of the result, beside the formula's own error.
            let error = (f64::from(value) - of_value).abs();
            assert!(error < 1.1e-7 + 6e-8 * of_value.abs(), "GELU({x}) = {value}, expected {of_value}: {error:e}");
            let error = (f64::from(slope) - of_slope).abs();
            assert!(error < 1.6e-7 + 6e-8 * of_slope.abs(), "GELU'({x}) = {slope}, expected {of_slope}: {error:e}");
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
        let mut slopes = [1.0; 7];
        gelu_gradient(&x, &mut slopes);
        assert!(slopes.iter().zip([0.0_f32, 0.0, 0.5, 1.0, 1.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-7), "{slopes:?}");
        assert!(slopes[6].is_nan(), "a value that is not a number must not be hidden: {slopes:?}");
    }

    #[test]
    fn all_forms_and_sets_of_instructions_agree() {
        let x: Vec<f32> = (-1400..=1400).map(|step| step as f32 / 100.0).collect();
        let (mut value, mut slope) = (vec![0.0; x.len()], vec![1.0; x.len()]);
        gelu(&x, &mut value);
        gelu_gradient(&x, &mut slope);
        let (mut in_place, mut of_sum) = (x.clone(), x.clone());
        gelu_in_place(&mut in_place);
        gelu_of_sum(&mut of_sum, &vec![0.0; x.len()]);
        assert_eq!((&in_place, &of_sum), (&value, &value));
        let mut lanes: Vec<Lanes> = x.as_chunks().0.iter().map(|values| Lanes(*values)).collect();
        let mut slopes = lanes.clone();
        gelu_and_slope(&mut lanes, &mut slopes);
        for (index, (lanes, slopes)) in lanes.iter().zip(&slopes).enumerate() {
            assert_eq!(lanes.0, value[index * LANES..][..LANES]);
            assert_eq!(slopes.0, slope[index * LANES..][..LANES]);
        }
        let (mut plain, mut plain_slope) = (vec![0.0; x.len()], vec![1.0; x.len()]);
        gelu_with::<[f32; LANES]>(&x, &mut plain);
        gelu_gradient_with::<[f32; LANES]>(&x, &mut plain_slope);
        for (index, x) in x.iter().enumerate() {
            for (name, found, plain) in [("", value[index], plain[index]), ("'", slope[index], plain_slope[index])] {
                assert!((plain - found).abs() <= 3e-7 * x.abs().max(1.0), "GELU{name}({x}): {plain} and {found}");
            }
        }
    }
}
