//! ConvUNeXt's gate: how much of a skip is kept, and what is added to it.

#![allow(clippy::extra_unused_type_parameters, reason = "the compiler makes vectors of plain loops")]

use rayon::prelude::*;

use super::buffer::{copied, zeros};
use super::map::Map;
use super::operator::Operator;
use super::vector::vectorized;

/// The values that a thread works on at a time.
const CHUNK: usize = 1 << 12;

/// `sigmoid(u) x + sigmoid(v) tanh(w)` of `[u, x, v, w]`, element by element.
#[derive(Clone, Debug)]
pub struct Gate;

impl Operator<4> for Gate {
    type Saved = ();

    fn forward(&self, [u, x, v, w]: &[Map; 4]) -> (Map, ()) {
        let mut y = zeros(x.values().len());
        let inputs = [u, x, v, w].map(|map| map.values().par_chunks(CHUNK));
        let [u, xs, v, w] = inputs;
        let parts = y.par_chunks_mut(CHUNK).zip(u.zip(xs)).zip(v.zip(w));
        parts.for_each(|((y, (u, x)), (v, w))| gate(u, x, v, w, y));
        (Map::new(y, x.shape()), ())
    }

    fn backward(&self, [u, x, v, w]: &[Map; 4], (): (), gradient: Map) -> [Vec<f32>; 4] {
        let [mut of_u, mut of_x, mut of_v, mut of_w] = [u, x, v, w].map(|map| copied(map.values()));
        let [us, xs] = [&mut of_u, &mut of_x].map(|values| values.par_chunks_mut(CHUNK));
        let [vs, ws] = [&mut of_v, &mut of_w].map(|values| values.par_chunks_mut(CHUNK));
        let parts = gradient.values().par_chunks(CHUNK).zip(us.zip(xs)).zip(vs.zip(ws));
        parts.for_each(|((gradient, (u, x)), (v, w))| gate_gradient(gradient, u, x, v, w));
        [of_u, of_x, of_v, of_w]
    }
}

vectorized! {
    fn gate(u: &[f32], x: &[f32], v: &[f32], w: &[f32], y: &mut [f32]) = gate_with
}

#[inline(always)]
fn gate_with<V>(u: &[f32], x: &[f32], v: &[f32], w: &[f32], y: &mut [f32]) {
    let inputs = u.iter().zip(x).zip(v.iter().zip(w));
    for (y, ((u, x), (v, w))) in y.iter_mut().zip(inputs) {
        *y = sigmoid(*u) * x + sigmoid(*v) * tanh(*w);
    }
}

vectorized! {
    /// Replaces the inputs by their gradients.
    fn gate_gradient(gradient: &[f32], u: &mut [f32], x: &mut [f32], v: &mut [f32], w: &mut [f32]) = gate_gradient_with
}

#[inline(always)]
fn gate_gradient_with<V>(gradient: &[f32], u: &mut [f32], x: &mut [f32], v: &mut [f32], w: &mut [f32]) {
    let inputs = u.iter_mut().zip(x).zip(v.iter_mut().zip(w));
    for (gradient, ((u, x), (v, w))) in gradient.iter().zip(inputs) {
        let (kept, open, added) = (sigmoid(*u), sigmoid(*v), tanh(*w));
        *u = gradient * *x * kept * (1.0 - kept);
        *x = gradient * kept;
        *v = gradient * added * open * (1.0 - open);
        *w = gradient * open * (1.0 - added * added);
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exponential(-x))
}

/// `(1 - e) / (1 + e)` with `e = exp(-2 |x|)`; its absolute error is that of `e`, about 1e-7.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let e = exponential(-2.0 * x.abs());
    ((1.0 - e) / (1.0 + e)).copysign(x)
}

/// Returns `exp(x)` to two units in the last place, without branches or calls, so that loops over
/// it become vectors; beyond the finite powers of two it stays at the outermost.
///
/// `x = n ln 2 + r` with `n` whole and `|r| <= ln 2 / 2`, where the series to `r^7 / 7!` leaves
/// less than 1e-8.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which is then in the last bits.
    const WHOLE: f32 = 12_582_912.0;
    /// `ln 2` in two parts, the first with zeros at its end.
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    // Not `clamp`: what is not a number must stay so.
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let mut series = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + factor;
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(WHOLE.to_bits()).wrapping_add(127) << 23);
    series * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_exact_to_two_units() {
        for step in -86_999..=87_999 {
            let x = step as f32 * 1e-3;
            let (found, exact) = (f64::from(exponential(x)), f64::from(x).exp());
            assert!((found / exact - 1.0).abs() < 2.0 * f64::from(f32::EPSILON), "{x}: {found}, expected {exact}");
        }
        assert!(exponential(f32::NAN).is_nan());
        assert_eq!([sigmoid(1e9), tanh(1e9), tanh(-1e9)], [1.0, 1.0, -1.0]);
        assert!(sigmoid(-1e9) < 1e-37);
    }

    #[test]
    fn the_tangent_is_exact_to_its_bound() {
        for step in -20_000..=20_000 {
            let x = step as f32 * 1e-3;
            let error = f64::from(tanh(x)) - f64::from(x).tanh();
            assert!(error.abs() < 1.5e-7, "{x}: off by {error:e}");
        }
    }
}
