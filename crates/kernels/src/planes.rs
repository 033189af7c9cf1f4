//! Passes over planes, in vectors: sums of pixels and of products, and what is done to each pixel
//! alone.
//!
//! Sums are those of sixteen lanes in short runs, added up in 64 bits, so that rounding does not
//! grow with the plane.

use super::lanes::LANES;
use super::vector::{Vector, vectorized};

/// The values that are summed in 32 bits.
pub(crate) const RUN: usize = 1024;

/// Returns the sum of a plane.
pub(crate) fn sum(plane: &[f32]) -> f64 {
    total(plane, sum_run)
}

/// Returns the sum of the squares of the distances from a value.
pub(crate) fn squares(plane: &[f32], middle: f32) -> f64 {
    total(plane, |run, sum| squares_run(run, middle, sum))
}

/// Returns the sum of the products of two planes.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let runs = a.chunks(RUN).zip(b.chunks(RUN)).map(|(a, b)| {
        let mut sum = 0.0;
        dot_run(a, b, &mut sum);
        f64::from(sum)
    });
    runs.sum()
}

fn total(plane: &[f32], run: impl Fn(&[f32], &mut f32)) -> f64 {
    let runs = plane.chunks(RUN).map(|values| {
        let mut sum = 0.0;
        run(values, &mut sum);
        f64::from(sum)
    });
    runs.sum()
}

vectorized! {
    fn sum_run(values: &[f32], sum: &mut f32) = sum_run_with
}

#[inline(always)]
fn sum_run_with<V: Vector>(values: &[f32], sum: &mut f32) {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut sums = V::splat(0.0);
    for block in blocks {
        sums = sums.add(V::load(block));
    }
    *sum = sums.add(V::load(&padded(rest, 0.0))).sum();
}

vectorized! {
    fn squares_run(values: &[f32], middle: f32, sum: &mut f32) = squares_run_with
}

#[inline(always)]
fn squares_run_with<V: Vector>(values: &[f32], middle: f32, sum: &mut f32) {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let (mut sums, center) = (V::splat(0.0), V::splat(middle));
    for block in blocks {
        let distance = V::load(block).subtract(center);
        sums = sums.add_product(distance, distance);
    }
    let distance = V::load(&padded(rest, middle)).subtract(center);
    *sum = sums.add_product(distance, distance).sum();
}

vectorized! {
    fn dot_run(a: &[f32], b: &[f32], sum: &mut f32) = dot_run_with
}

#[inline(always)]
fn dot_run_with<V: Vector>(a: &[f32], b: &[f32], sum: &mut f32) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = V::splat(0.0);
    for (a, b) in a.iter().zip(b) {
        sums = sums.add_product(V::load(a), V::load(b));
    }
    *sum = sums.add_product(V::load(&padded(a_rest, 0.0)), V::load(&padded(b_rest, 0.0))).sum();
}

/// Copies less than a block of values, with others behind them.
#[inline(always)]
pub(crate) fn padded(values: &[f32], with: f32) -> [f32; LANES] {
    let mut padded = [with; LANES];
    padded[..values.len()].copy_from_slice(values);
    padded
}

vectorized! {
    /// `y += x`
    pub(crate) fn add_plane(x: &[f32], y: &mut [f32]) = add_plane_with
}

#[inline(always)]
fn add_plane_with<V: Vector>(x: &[f32], y: &mut [f32]) {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    for (x, y) in x.iter().zip(y) {
        V::load(y).add(V::load(x)).store(y);
    }
    for (x, y) in x_rest.iter().zip(y_rest) {
        *y += x;
    }
}

vectorized! {
    /// `y = scale * y + slope * x + offset`
    pub(crate) fn combine(scale: f32, x: &[f32], slope: f32, offset: f32, y: &mut [f32]) = combine_with
}

#[inline(always)]
fn combine_with<V: Vector>(scale: f32, x: &[f32], slope: f32, offset: f32, y: &mut [f32]) {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    let [scales, slopes, offsets] = [V::splat(scale), V::splat(slope), V::splat(offset)];
    for (x, y) in x.iter().zip(y) {
        offsets.add_product(V::load(x), slopes).add_product(V::load(y), scales).store(y);
    }
    for (x, y) in x_rest.iter().zip(y_rest) {
        *y = scale * *y + (slope * x + offset);
    }
}

vectorized! {
    /// `y = scale * x + shift`
    pub(crate) fn affine(x: &[f32], scale: f32, shift: f32, y: &mut [f32]) = affine_with
}

#[inline(always)]
fn affine_with<V: Vector>(x: &[f32], scale: f32, shift: f32, y: &mut [f32]) {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    let [scales, shifts] = [V::splat(scale), V::splat(shift)];
    for (x, y) in x.iter().zip(y) {
        shifts.add_product(V::load(x), scales).store(y);
    }
    let mut rest = padded(x_rest, 0.0);
    shifts.add_product(V::load(&rest), scales).store(&mut rest);
    y_rest.copy_from_slice(&rest[..y_rest.len()]);
}

vectorized! {
    /// `max(x, 0)` of each value, in its place; what is not a number stays.
    pub(super) fn relu_in_place(x: &mut [f32]) = relu_in_place_with
}

#[inline(always)]
fn relu_in_place_with<V: Vector>(x: &mut [f32]) {
    let (blocks, rest) = x.as_chunks_mut::<LANES>();
    for x in blocks {
        V::load(x).at_least(V::splat(0.0)).store(x);
    }
    let mut padded = padded(rest, 0.0);
    V::load(&padded).at_least(V::splat(0.0)).store(&mut padded);
    rest.copy_from_slice(&padded[..rest.len()]);
}

vectorized! {
    /// Keeps the gradients of the values above 0, and makes the others 0.
    pub(super) fn relu_gradient(x: &[f32], gradient: &mut [f32]) = relu_gradient_with
}

#[inline(always)]
fn relu_gradient_with<V: Vector>(x: &[f32], gradient: &mut [f32]) {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), gradient.as_chunks_mut::<LANES>());
    for (x, y) in x.iter().zip(y) {
        V::load(x).choose(V::load(y), V::splat(0.0)).store(y);
    }
    let (x, mut y) = (padded(x_rest, 0.0), padded(y_rest, 0.0));
    V::load(&x).choose(V::load(&y), V::splat(0.0)).store(&mut y);
    y_rest.copy_from_slice(&y[..y_rest.len()]);
}

vectorized! {
    /// `y += scale * x`
    pub(crate) fn add_scaled(x: &[f32], scale: f32, y: &mut [f32]) = add_scaled_with
}

#[inline(always)]
fn add_scaled_with<V: Vector>(x: &[f32], scale: f32, y: &mut [f32]) {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    let scales = V::splat(scale);
    for (x, y) in x.iter().zip(y) {
        V::load(y).add_product(V::load(x), scales).store(y);
    }
    for (x, y) in x_rest.iter().zip(y_rest) {
        *y += scale * x;
    }
}
