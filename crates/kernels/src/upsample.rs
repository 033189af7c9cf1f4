//! Twice the height and width, bilinear, in a border of zeros.
//!
//! Coordinates with aligned corners are rounded to 32 bits, once, as ONNX Runtime's `Resize` rounds
//! them: what is learned with reads beside the pixel by as much as what is deployed, up to 6e-8 of
//! the side, and the two differ by none of it.
//!
//! The new value `2j` lies between the old ones `j - 1` and `j`, and `2j + 1` between `j` and
//! `j + 1`: each half reads neighbours in their order, so that both are vectors, and so are their
//! adjoints.

use rayon::prelude::*;

use super::buffer::zeros;
use super::lanes::{LANES, Lanes};
use super::map::Map;
use super::operator::Operator;
use super::planes::padded;
use super::vector::{Vector, vectorized};

/// The places of the new pixels among the old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// The middles of the outermost pixels coincide: `align_corners=True` in PyTorch.
    AlignedCorners,
    /// The outer borders of the outermost pixels coincide: `align_corners=False` in PyTorch.
    HalfPixel,
}

/// Upsamples `[x]` and adds zeros until the map has `size`: `floor(difference / 2)` before, the
/// rest after.
#[derive(Clone, Debug)]
pub struct Upsample {
    /// Height and width.
    pub size: [usize; 2],
    /// The places of the new pixels.
    pub coordinates: Coordinates,
}

/// An axis that gets twice as many values.
pub(crate) struct Axis {
    count: usize,
    /// The share of the old value `j` in the new one `2j`; the rest is that of `j - 1`. Zeros up to
    /// a whole vector.
    even: Vec<f32>,
    /// The share of the old value `j + 1` in the new one `2j + 1`; the rest is that of `j`.
    odd: Vec<f32>,
}

impl Axis {
    /// Creates the axis of `count` values.
    pub(crate) fn new(count: usize, coordinates: Coordinates) -> Self {
        let last = count - 1;
        let place = |index: usize| match coordinates {
            Coordinates::AlignedCorners => (index * last) as f32 / (2 * count - 1) as f32,
            // Beyond the middles of the outermost pixels, their values go on.
            Coordinates::HalfPixel => (index as f32 / 2.0 - 0.25).clamp(0.0, last as f32),
        };
        let shares = |of: &dyn Fn(usize) -> f32| {
            let mut shares: Vec<f32> = (0..count).map(of).collect();
            shares.resize(count.next_multiple_of(LANES), 0.0);
            shares
        };
        let even = shares(&|j| place(2 * j) - (j as f32 - 1.0));
        Self { count, even, odd: shares(&|j| place(2 * j + 1) - j as f32) }
    }

    /// Returns the two old values that a new one lies between, and its share of the second.
    pub(crate) fn between(&self, index: usize) -> (usize, usize, f32) {
        let j = index / 2;
        match index % 2 {
            0 => (j.saturating_sub(1), j, self.even[j]),
            _ => (j, (j + 1).min(self.count - 1), self.odd[j]),
        }
    }

    /// Makes room for a row of old values with its neighbours and whole vectors.
    fn line(&self) -> Vec<f32> {
        vec![0.0; self.even.len() + 2]
    }
}

vectorized! {
    /// `line[j + 1] = first[j] + share * (second[j] - first[j])`, and the values at the ends once
    /// more.
    fn mix(first: &[f32], second: &[f32], share: f32, line: &mut [f32]) = mix_with
}

#[inline(always)]
fn mix_with<V: Vector>(first: &[f32], second: &[f32], share: f32, line: &mut [f32]) {
    let count = first.len();
    let values = &mut line[1..=count];
    let ((a, a_rest), (b, b_rest)) = (first.as_chunks::<LANES>(), second.as_chunks::<LANES>());
    let (y, y_rest) = values.as_chunks_mut::<LANES>();
    let shares = V::splat(share);
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        let (a, b) = (V::load(a), V::load(b));
        a.add_product(b.subtract(a), shares).store(y);
    }
    let (a, b) = (V::load(&padded(a_rest, 0.0)), V::load(&padded(b_rest, 0.0)));
    let mut rest = [0.0; LANES];
    a.add_product(b.subtract(a), shares).store(&mut rest);
    y_rest.copy_from_slice(&rest[..y_rest.len()]);
    (line[0], line[count + 1]) = (line[1], line[count]);
}

vectorized! {
    /// Computes twice as many values of a line with its neighbours.
    fn widen(line: &[f32], even: &[f32], odd: &[f32], y: &mut [f32]) = widen_with
}

#[inline(always)]
fn widen_with<V: Vector>(line: &[f32], even: &[f32], odd: &[f32], y: &mut [f32]) {
    let shares = even.as_chunks::<LANES>().0.iter().zip(odd.as_chunks::<LANES>().0);
    for ((block, (even, odd)), y) in shares.enumerate().zip(y.chunks_mut(2 * LANES)) {
        let line: &[f32; LANES + 2] = line[block * LANES..].first_chunk().expect("a line holds whole vectors");
        let near = |start: usize| line[start..].first_chunk().expect("three windows lie in a line");
        let [before, here, behind] = [V::load(near(0)), V::load(near(1)), V::load(near(2))];
        let (mut evens, mut odds) = ([0.0; LANES], [0.0; LANES]);
        before.add_product(here.subtract(before), V::load(even)).store(&mut evens);
        here.add_product(behind.subtract(here), V::load(odd)).store(&mut odds);
        let mut both = [0.0; 2 * LANES];
        for lane in 0..LANES {
            both[2 * lane] = evens[lane];
            both[2 * lane + 1] = odds[lane];
        }
        match y.first_chunk_mut() {
            Some(y) => *y = both,
            None => y.copy_from_slice(&both[..y.len()]),
        }
    }
}

vectorized! {
    /// Adds one row of the upsampled map to `y`: between the old rows `first` and `second`, sixteen
    /// channels at a time.
    pub(crate) fn add_row(first: &[Lanes], second: &[Lanes], share: f32, columns: &Axis, line: &mut [Lanes], y: &mut [Lanes]) = add_row_with
}

#[inline(always)]
fn add_row_with<V: Vector>(
    first: &[Lanes],
    second: &[Lanes],
    share: f32,
    columns: &Axis,
    line: &mut [Lanes],
    y: &mut [Lanes],
) {
    let shares = V::splat(share);
    for ((a, b), y) in first.iter().zip(second).zip(&mut *line) {
        let (a, b) = (V::load(&a.0), V::load(&b.0));
        a.add_product(b.subtract(a), shares).store(&mut y.0);
    }
    let count = line.len();
    for (j, y) in y.as_chunks_mut::<2>().0.iter_mut().take(count).enumerate() {
        let near = |j: usize| V::load(&line[j].0);
        let [before, here, behind] = [near(j.saturating_sub(1)), near(j), near((j + 1).min(count - 1))];
        let even = before.add_product(here.subtract(before), V::splat(columns.even[j]));
        let odd = here.add_product(behind.subtract(here), V::splat(columns.odd[j]));
        V::load(&y[0].0).add(even).store(&mut y[0].0);
        V::load(&y[1].0).add(odd).store(&mut y[1].0);
    }
}

vectorized! {
    /// The adjoint of [`widen`]: splits the gradient into its two halves, each with a zero before
    /// and zeros behind, and adds up what reached each value.
    fn narrow(gradient: &[f32], even: &[f32], odd: &[f32], halves: &mut [Vec<f32>; 2], line: &mut [f32]) = narrow_with
}

#[inline(always)]
fn narrow_with<V: Vector>(gradient: &[f32], even: &[f32], odd: &[f32], halves: &mut [Vec<f32>; 2], line: &mut [f32]) {
    let [evens, odds] = halves;
    for (pair, (even, odd)) in gradient.as_chunks::<2>().0.iter().zip(evens[1..].iter_mut().zip(&mut odds[1..])) {
        (*even, *odd) = (pair[0], pair[1]);
    }
    // A new value's other share: what is not of `j` is of `j - 1`, and of `j`, not of `j + 1`.
    for block in (0..even.len()).step_by(LANES) {
        let window = |values: &[f32], start: usize| -> [f32; LANES] {
            *values[block + start..].first_chunk().expect("halves hold whole vectors and their neighbours")
        };
        let [own, next] = [V::load(&window(evens, 1)), V::load(&window(evens, 2))];
        let [left, right] = [V::load(&window(odds, 0)), V::load(&window(odds, 1))];
        let next_share: &[f32; LANES] = &std::array::from_fn(|lane| even.get(block + lane + 1).copied().unwrap_or(0.0));
        let left_share: &[f32; LANES] =
            &std::array::from_fn(|lane| (block + lane).checked_sub(1).map_or(0.0, |index| odd[index]));
        let [even, odd] = [window(even, 0), window(odd, 0)];
        let sum = own.multiply(V::load(&even)).add(next).subtract_product(next, V::load(next_share));
        let sum = sum.add(right).subtract_product(right, V::load(&odd)).add_product(left, V::load(left_share));
        sum.store(line[block..].first_chunk_mut().expect("a line holds whole vectors"));
    }
}

impl Upsample {
    /// Returns both axes, and the rows and columns of zeros before the first.
    fn geometry(&self, [height, width]: [usize; 2]) -> ([Axis; 2], [usize; 2]) {
        let axis = |count| Axis::new(count, self.coordinates);
        ([axis(height), axis(width)], [(self.size[0] - 2 * height) / 2, (self.size[1] - 2 * width) / 2])
    }
}

impl Operator<1> for Upsample {
    type Saved = ();

    fn forward(&self, [x]: &[Map; 1]) -> (Map, ()) {
        let ([n, c, h, w], [height, width]) = (x.shape(), self.size);
        let ([rows, columns], [top, left]) = self.geometry([h, w]);
        let mut y = zeros(n * c * height * width);
        let planes = y.par_chunks_exact_mut(height * width).zip(x.values().par_chunks_exact(h * w));
        planes.for_each_init(
            || columns.line(),
            |line, (y, x)| {
                for (row, y) in y.chunks_exact_mut(width).skip(top).take(2 * h).enumerate() {
                    let (first, second, share) = rows.between(row);
                    mix(&x[first * w..][..w], &x[second * w..][..w], share, line);
                    widen(line, &columns.even, &columns.odd, &mut y[left..left + 2 * w]);
                }
            },
        );
        (Map::new(y, [n, c, height, width]), ())
    }

    fn kept(inputs: [Map; 1]) -> [Map; 1] {
        inputs.map(Map::without_values)
    }

    fn backward(&self, [x]: &[Map; 1], (): (), gradient: Map) -> [Vec<f32>; 1] {
        let ([_, _, h, w], [height, width]) = (x.shape(), self.size);
        let ([rows, columns], [top, left]) = self.geometry([h, w]);
        let mut x_gradient = zeros(x.count());
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(gradient.values().par_chunks_exact(height * width));
        planes.for_each_init(
            || ([(); 2].map(|()| columns.line()), columns.line()),
            |(halves, line), (x_gradient, gradient)| {
                for (row, gradient) in gradient.chunks_exact(width).skip(top).take(2 * h).enumerate() {
                    let (first, second, share) = rows.between(row);
                    narrow(&gradient[left..left + 2 * w], &columns.even, &columns.odd, halves, line);
                    super::planes::add_scaled(&line[..w], 1.0 - share, &mut x_gradient[first * w..][..w]);
                    super::planes::add_scaled(&line[..w], share, &mut x_gradient[second * w..][..w]);
                }
            },
        );
        [x_gradient]
    }
}
