//! Depthwise convolution of rows of pixels, sixteen channels at a time, and its weight's gradient.
//!
//! A row is a slice of lanes, one for each pixel, from the leftmost that a tap reads; rows above
//! and below the image are rows of zeros. Every load is a whole, aligned register, and meets one
//! multiply-add: what a processor with AVX2 or AVX-512 can do in one cycle.

use super::lanes::Lanes;
use super::vector::{Vector, vectorized};

vectorized! {
    /// `y[i] = bias + sum over rows and taps of weight * rows[row][i + tap * dilation]`, where
    /// every row has as many weights, one row's behind the other's.
    pub(crate) fn convolve(rows: &[&[Lanes]], dilation: usize, weights: &[Lanes], bias: &Lanes, y: &mut [Lanes]) = convolve_with
}

/// The pixels that are computed together.
const PIXELS: usize = 16;

#[inline(always)]
fn convolve_with<V: Vector>(rows: &[&[Lanes]], dilation: usize, weights: &[Lanes], bias: &Lanes, y: &mut [Lanes]) {
    let taps = weights.len() / rows.len();
    let mut pixel = 0;
    // AVX2's registers hold four pixels and their operands.
    if V::MANY && dilation == 1 {
        pixel = match (rows.len(), taps) {
            (3, 3) => slide::<V, 3, 3>(rows, weights, bias, y),
            (1, 5) => slide::<V, 1, 5>(rows, weights, bias, y),
            (1, 7) => slide::<V, 1, 7>(rows, weights, bias, y),
            (1, 11) => slide::<V, 1, 11>(rows, weights, bias, y),
            _ => 0,
        };
    }
    while V::MANY && y.len() - pixel >= PIXELS {
        convolve_pixels::<V, PIXELS>(rows, dilation, taps, weights, bias, pixel, y);
        pixel += PIXELS;
    }
    while y.len() - pixel >= 6 {
        convolve_pixels::<V, 6>(rows, dilation, taps, weights, bias, pixel, y);
        pixel += 6;
    }
    while pixel < y.len() {
        convolve_pixels::<V, 1>(rows, dilation, taps, weights, bias, pixel, y);
        pixel += 1;
    }
}

/// The pixels that slide along together.
const SLIDE: usize = 8;

/// Computes pixels by eights and returns their number: `T` weights of a row stay in registers, and
/// a value that is read meets each of them.
#[inline(always)]
fn slide<V: Vector, const R: usize, const T: usize>(
    rows: &[&[Lanes]],
    weights: &[Lanes],
    bias: &Lanes,
    y: &mut [Lanes],
) -> usize {
    let rows: [&[Lanes]; R] = std::array::from_fn(|row| &rows[row][..y.len() + T - 1]);
    let mut kernel = [[V::splat(0.0); T]; R];
    for row in 0..R {
        for tap in 0..T {
            kernel[row][tap] = V::load(&weights[row * T + tap].0);
        }
    }
    let bias = V::load(&bias.0);
    let (groups, _) = y.as_chunks_mut::<SLIDE>();
    let count = groups.len() * SLIDE;
    for (group, y) in groups.iter_mut().enumerate() {
        let mut sums = [bias; SLIDE];
        for row in 0..R {
            let x = &rows[row][group * SLIDE..][..SLIDE + T - 1];
            for place in 0..SLIDE + T - 1 {
                let value = V::load(&x[place].0);
                for pixel in 0..SLIDE {
                    if place >= pixel && place - pixel < T {
                        sums[pixel] = sums[pixel].add_product(value, kernel[row][place - pixel]);
                    }
                }
            }
        }
        for pixel in 0..SLIDE {
            sums[pixel].store(&mut y[pixel].0);
        }
    }
    count
}

#[inline(always)]
fn convolve_pixels<V: Vector, const P: usize>(
    rows: &[&[Lanes]],
    dilation: usize,
    taps: usize,
    weights: &[Lanes],
    bias: &Lanes,
    pixel: usize,
    y: &mut [Lanes],
) {
    let mut sums = [V::load(&bias.0); P];
    for (row, weights) in rows.iter().zip(weights.chunks_exact(taps)) {
        for (tap, weight) in weights.iter().enumerate() {
            let x: &[Lanes; P] =
                row[pixel + tap * dilation..].first_chunk().expect("a row reaches as far as its last tap");
            let weight = V::load(&weight.0);
            for p in 0..P {
                sums[p] = sums[p].add_product(V::load(&x[p].0), weight);
            }
        }
    }
    let y: &mut [Lanes; P] = y[pixel..].first_chunk_mut().expect("the caller has seen that there are as many");
    for p in 0..P {
        sums[p].store(&mut y[p].0);
    }
}

/// Rows below one another, the first being the one that the first tap reads for the first row of
/// the output, and the weights of a vertical strip.
pub(crate) type Column<'a> = (&'a [&'a [Lanes]], &'a [Lanes]);

/// The rows that [`convolve_columns`] computes together.
pub(crate) const TOGETHER: usize = 4;

vectorized! {
    /// `y[r][i] += sum over columns and taps of weight * rows[r + tap][i]` for one row or for
    /// [`TOGETHER`] rows that lie `stride` lanes apart, of `width` pixels.
    pub(crate) fn convolve_columns(columns: &[Column<'_>], count: usize, y: &mut [Lanes], stride: usize, width: usize) = convolve_columns_with
}

#[inline(always)]
fn convolve_columns_with<V: Vector>(
    columns: &[Column<'_>],
    count: usize,
    y: &mut [Lanes],
    stride: usize,
    width: usize,
) {
    let mut pixel = 0;
    if count == TOGETHER && columns.iter().all(|(_, weights)| weights.len() >= TOGETHER) {
        while V::MANY && width - pixel >= 4 {
            four_rows::<V, 4>(columns, y, stride, pixel);
            pixel += 4;
        }
        while pixel < width {
            four_rows::<V, 1>(columns, y, stride, pixel);
            pixel += 1;
        }
        return;
    }
    for row in 0..count {
        let y = &mut y[row * stride..][..width];
        let mut pixel = 0;
        while width - pixel >= 4 {
            one_row::<V, 4>(columns, row, y, pixel);
            pixel += 4;
        }
        while pixel < width {
            one_row::<V, 1>(columns, row, y, pixel);
            pixel += 1;
        }
    }
}

#[inline(always)]
fn one_row<V: Vector, const P: usize>(columns: &[Column<'_>], row: usize, y: &mut [Lanes], pixel: usize) {
    let y: &mut [Lanes; P] = y[pixel..].first_chunk_mut().expect("the caller has seen that there are as many");
    let mut sums = [V::splat(0.0); P];
    for p in 0..P {
        sums[p] = V::load(&y[p].0);
    }
    for (rows, weights) in columns {
        for (x, weight) in rows[row..].iter().zip(*weights) {
            let x: &[Lanes; P] = x[pixel..].first_chunk().expect("rows are as wide as the output");
            let weight = V::load(&weight.0);
            for p in 0..P {
                sums[p] = sums[p].add_product(V::load(&x[p].0), weight);
            }
        }
    }
    for p in 0..P {
        sums[p].store(&mut y[p].0);
    }
}

/// Four rows by `P` pixels in registers: a row that is read serves up to four of them.
#[inline(always)]
fn four_rows<V: Vector, const P: usize>(columns: &[Column<'_>], y: &mut [Lanes], stride: usize, pixel: usize) {
    let mut sums = [[V::splat(0.0); P]; TOGETHER];
    for r in 0..TOGETHER {
        let y: &[Lanes; P] = y[r * stride + pixel..].first_chunk().expect("the output has as many pixels");
        for p in 0..P {
            sums[r][p] = V::load(&y[p].0);
        }
    }
    for (rows, weights) in columns {
        let taps = weights.len();
        // The first rows serve the first outputs alone, the last ones the last.
        add_row::<V, P, 0, 1>(rows[0], pixel, weights, 0, &mut sums);
        add_row::<V, P, 0, 2>(rows[1], pixel, weights, 1, &mut sums);
        add_row::<V, P, 0, 3>(rows[2], pixel, weights, 2, &mut sums);
        for tap in 3..taps {
            add_row::<V, P, 0, 4>(rows[tap], pixel, weights, tap, &mut sums);
        }
        add_row::<V, P, 1, 4>(rows[taps], pixel, weights, taps, &mut sums);
        add_row::<V, P, 2, 4>(rows[taps + 1], pixel, weights, taps + 1, &mut sums);
        add_row::<V, P, 3, 4>(rows[taps + 2], pixel, weights, taps + 2, &mut sums);
    }
    for r in 0..TOGETHER {
        let y: &mut [Lanes; P] = y[r * stride + pixel..].first_chunk_mut().expect("the output has as many pixels");
        for p in 0..P {
            sums[r][p].store(&mut y[p].0);
        }
    }
}

/// Adds a row to the sums `FIRST..END`, whose taps reach it.
#[inline(always)]
fn add_row<V: Vector, const P: usize, const FIRST: usize, const END: usize>(
    row: &[Lanes],
    pixel: usize,
    weights: &[Lanes],
    tap: usize,
    sums: &mut [[V; P]; TOGETHER],
) {
    let x: &[Lanes; P] = row[pixel..].first_chunk().expect("rows are as wide as the output");
    let mut values = [V::splat(0.0); P];
    for p in 0..P {
        values[p] = V::load(&x[p].0);
    }
    for r in FIRST..END {
        let weight = V::load(&weights[tap - r].0);
        for p in 0..P {
            sums[r][p] = sums[r][p].add_product(values[p], weight);
        }
    }
}

vectorized! {
    /// `sums[tap] += sum over i of gradient[i] * taps[tap][i]`
    pub(crate) fn correlate(taps: &[&[Lanes]], gradient: &[Lanes], sums: &mut [Lanes]) = correlate_with
}

#[inline(always)]
fn correlate_with<V: Vector>(taps: &[&[Lanes]], gradient: &[Lanes], sums: &mut [Lanes]) {
    let most = if V::MANY { 12 } else { 6 };
    for (taps, sums) in taps.chunks(most).zip(sums.chunks_mut(most)) {
        match taps.len() {
            12 => correlate_taps::<V, 12>(taps, gradient, sums),
            11 => correlate_taps::<V, 11>(taps, gradient, sums),
            9 => correlate_taps::<V, 9>(taps, gradient, sums),
            7 => correlate_taps::<V, 7>(taps, gradient, sums),
            6 => correlate_taps::<V, 6>(taps, gradient, sums),
            5 => correlate_taps::<V, 5>(taps, gradient, sums),
            3 => correlate_taps::<V, 3>(taps, gradient, sums),
            _ => {
                for (tap, sum) in taps.iter().zip(sums) {
                    correlate_taps::<V, 1>(&[tap], gradient, std::slice::from_mut(sum));
                }
            }
        }
    }
}

/// `T` taps side by side: as many sums in registers.
#[inline(always)]
fn correlate_taps<V: Vector, const T: usize>(taps: &[&[Lanes]], gradient: &[Lanes], sums: &mut [Lanes]) {
    let taps: &[&[Lanes]; T] = taps.first_chunk().expect("the caller has counted the taps");
    let taps: [&[Lanes]; T] = std::array::from_fn(|tap| &taps[tap][..gradient.len()]);
    let mut partial = [V::splat(0.0); T];
    for pixel in 0..gradient.len() {
        let gradient = V::load(&gradient[pixel].0);
        for tap in 0..T {
            partial[tap] = partial[tap].add_product(V::load(&taps[tap][pixel].0), gradient);
        }
    }
    for tap in 0..T {
        let sum = &mut sums[tap].0;
        V::load(sum).add(partial[tap]).store(sum);
    }
}

vectorized! {
    /// `sum += the sum of all values of a row`
    pub(crate) fn add_sum(row: &[Lanes], sum: &mut Lanes) = add_sum_with
}

#[inline(always)]
fn add_sum_with<V: Vector>(row: &[Lanes], sum: &mut Lanes) {
    let (blocks, rest) = row.as_chunks::<4>();
    let mut partial = [V::splat(0.0); 4];
    for block in blocks {
        for part in 0..4 {
            partial[part] = partial[part].add(V::load(&block[part].0));
        }
    }
    let mut total = partial[0].add(partial[1]).add(partial[2].add(partial[3]));
    for lanes in rest {
        total = total.add(V::load(&lanes.0));
    }
    V::load(&sum.0).add(total).store(&mut sum.0);
}

vectorized! {
    /// `y = a + b + bias`
    pub(crate) fn add(a: &[Lanes], b: &[Lanes], bias: &Lanes, y: &mut [Lanes]) = add_with
}

#[inline(always)]
fn add_with<V: Vector>(a: &[Lanes], b: &[Lanes], bias: &Lanes, y: &mut [Lanes]) {
    let bias = V::load(&bias.0);
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        V::load(&a.0).add(V::load(&b.0)).add(bias).store(&mut y.0);
    }
}

vectorized! {
    /// `y = a * b`
    pub(crate) fn times(a: &[Lanes], b: &[Lanes], y: &mut [Lanes]) = times_with
}

#[inline(always)]
fn times_with<V: Vector>(a: &[Lanes], b: &[Lanes], y: &mut [Lanes]) {
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        V::load(&a.0).multiply(V::load(&b.0)).store(&mut y.0);
    }
}

vectorized! {
    /// `y += x`
    pub(crate) fn add_in_place(x: &[Lanes], y: &mut [Lanes]) = add_in_place_with
}

#[inline(always)]
fn add_in_place_with<V: Vector>(x: &[Lanes], y: &mut [Lanes]) {
    for (x, y) in x.iter().zip(y) {
        V::load(&x.0).add(V::load(&y.0)).store(&mut y.0);
    }
}

vectorized! {
    /// `y *= x`
    pub(crate) fn multiply_in_place(x: &[Lanes], y: &mut [Lanes]) = multiply_in_place_with
}

#[inline(always)]
fn multiply_in_place_with<V: Vector>(x: &[Lanes], y: &mut [Lanes]) {
    for (x, y) in x.iter().zip(y) {
        V::load(&x.0).multiply(V::load(&y.0)).store(&mut y.0);
    }
}
