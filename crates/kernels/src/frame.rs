//! Depthwise convolution and correlation of single planes, laid out so that no tap asks whether it
//! lies inside.
//!
//! A plane lies in a frame of zeros, row behind row; the zeros behind one row are also those before
//! the next. So a tap is one offset for the whole plane, and a convolution is one run over it. What
//! the run leaves between the rows is cleared afterwards.

use super::lanes::LANES;
use super::planes;
use super::vector::{Vector, vectorized};

/// The neighbouring pixels of a plane that are computed together: four registers, to hide the
/// latency of their sums.
const RUN: usize = 2 * LANES;

/// A plane in a frame of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    height: usize,
    width: usize,
    /// Rows above and below, columns behind each row.
    border: usize,
}

/// The offsets at which the taps of a kernel read, relative to the pixel's place in a plane without
/// a frame above and before it.
#[derive(Clone, Debug)]
pub struct Taps(Vec<usize>);

impl Frame {
    /// Creates a plane of `height` x `width` pixels in a frame of `border` zeros.
    pub fn new([height, width]: [usize; 2], border: usize) -> Self {
        Self { height, width, border }
    }

    /// Returns the distance between two rows.
    pub fn stride(&self) -> usize {
        self.width + self.border
    }

    /// Returns the values of the framed plane, with room for a last block that reaches beyond it.
    #[allow(clippy::len_without_is_empty, reason = "a plane has pixels")]
    pub fn len(&self) -> usize {
        (self.height + 2 * self.border) * self.stride() + 2 * self.border + 2 * RUN
    }

    /// Returns the offset of the first pixel.
    pub fn first(&self) -> usize {
        self.border * self.stride() + self.border
    }

    /// Returns the number of values from the first pixel to the last, including those between the
    /// rows.
    pub fn run(&self) -> usize {
        (self.height - 1) * self.stride() + self.width
    }

    /// Returns the taps of a kernel with odd sides, none of which reaches beyond the frame; the
    /// dilation is that of rows and columns.
    pub fn taps(&self, kernel: [usize; 2], dilation: [usize; 2]) -> Taps {
        let place =
            |axis: usize, tap: usize| self.border - dilation[axis] * (kernel[axis] - 1) / 2 + tap * dilation[axis];
        let rows = (0..kernel[0]).map(|row| place(0, row) * self.stride());
        Taps(rows.flat_map(|row| (0..kernel[1]).map(move |column| row + place(1, column))).collect())
    }

    /// Copies a plane into its frame, whose borders are zero.
    pub fn insert(&self, plane: &[f32], framed: &mut [f32]) {
        for (row, framed) in plane.chunks_exact(self.width).zip(framed[self.first()..].chunks_mut(self.stride())) {
            framed[..self.width].copy_from_slice(row);
        }
    }

    /// Calls `with` with every row of a plane and the same row of its frame.
    pub fn rows(&self, framed: &[f32], plane: &mut [f32], mut with: impl FnMut(&[f32], &mut [f32])) {
        for (row, framed) in plane.chunks_exact_mut(self.width).zip(framed[self.first()..].chunks(self.stride())) {
            with(&framed[..self.width], row);
        }
    }

    /// `y = bias + sum over taps of weight * shifted x`, in a frame again.
    pub fn convolve(&self, x: &[f32], taps: &Taps, weight: &[f32], bias: f32, y: &mut [f32]) {
        convolve(x, taps, weight, bias, self.run(), &mut y[self.first()..]);
        self.clear(y);
    }

    /// `sums += sum over pixels of gradient * shifted x`, tap by tap; returns the sum of the
    /// gradient.
    pub fn correlate(&self, x: &[f32], taps: &Taps, gradient: &[f32], sums: &mut [f32]) -> f32 {
        let gradient = &gradient[self.first()..][..self.run()];
        correlate(x, taps, gradient, sums);
        planes::sum(gradient) as f32
    }

    /// Makes what lies between the rows and behind the last zero again.
    fn clear(&self, framed: &mut [f32]) {
        let framed = &mut framed[self.first()..];
        for gap in (0..self.height).map(|row| row * self.stride() + self.width) {
            framed[gap..gap + self.border].fill(0.0);
        }
        framed[self.run()..self.run() + RUN].fill(0.0);
    }
}

impl Taps {
    /// Returns the number of taps, which is above zero.
    #[allow(clippy::len_without_is_empty, reason = "a kernel has taps")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

vectorized! {
    /// `y = bias + sum over taps of weight * x[i + tap]` for `run` values and up to the end of the
    /// block of the last.
    fn convolve(x: &[f32], taps: &Taps, weight: &[f32], bias: f32, run: usize, y: &mut [f32]) = convolve_with
}

#[inline(always)]
fn convolve_with<V: Vector>(x: &[f32], taps: &Taps, weight: &[f32], bias: f32, run: usize, y: &mut [f32]) {
    for (block, y) in y.as_chunks_mut::<LANES>().0.chunks_exact_mut(2).take(run.div_ceil(RUN)).enumerate() {
        let mut sums = [V::splat(bias); 2];
        let x = &x[block * RUN..];
        for (tap, weight) in taps.0.iter().zip(weight) {
            let x: &[f32; RUN] = x[*tap..].first_chunk().expect("a frame has room for its last block");
            let weight = V::splat(*weight);
            for part in 0..2 {
                sums[part] = sums[part].add_product(V::load(&x.as_chunks().0[part]), weight);
            }
        }
        for part in 0..2 {
            sums[part].store(&mut y[part]);
        }
    }
}

/// The taps that share one pass over the gradient: their sums stay in registers along the whole
/// run.
const TAPS_TOGETHER: usize = 4;

vectorized! {
    /// `sums += sum over i of gradient[i] * x[i + tap]`, tap by tap.
    fn correlate(x: &[f32], taps: &Taps, gradient: &[f32], sums: &mut [f32]) = correlate_with
}

#[inline(always)]
fn correlate_with<V: Vector>(x: &[f32], taps: &Taps, gradient: &[f32], sums: &mut [f32]) {
    let (blocks, rest) = gradient.as_chunks::<LANES>();
    let mut padded = [0.0; LANES];
    padded[..rest.len()].copy_from_slice(rest);
    for (taps, sums) in taps.0.chunks(TAPS_TOGETHER).zip(sums.chunks_mut(TAPS_TOGETHER)) {
        // A chunk that is not full repeats its first tap, whose surplus sums are dropped.
        let taps: [usize; TAPS_TOGETHER] = std::array::from_fn(|tap| taps.get(tap).copied().unwrap_or(taps[0]));
        let mut partial = [V::splat(0.0); TAPS_TOGETHER];
        for (block, gradient) in blocks.iter().enumerate() {
            add_products::<V>(&x[block * LANES..], taps, gradient, &mut partial);
        }
        add_products::<V>(&x[blocks.len() * LANES..], taps, &padded, &mut partial);
        for (sum, partial) in sums.iter_mut().zip(&partial) {
            *sum += partial.sum();
        }
    }
}

#[inline(always)]
fn add_products<V: Vector>(
    x: &[f32],
    taps: [usize; TAPS_TOGETHER],
    gradient: &[f32; LANES],
    partial: &mut [V; TAPS_TOGETHER],
) {
    let gradient = V::load(gradient);
    for tap in 0..TAPS_TOGETHER {
        let x: &[f32; LANES] = x[taps[tap]..].first_chunk().expect("a frame has room for its last block");
        partial[tap] = partial[tap].add_product(V::load(x), gradient);
    }
}
