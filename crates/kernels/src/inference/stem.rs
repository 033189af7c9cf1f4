//! The first convolution with its normalisation and GELU.

use super::{Blocked, Constants, Memory, Weights, each_piece};
use crate::blocks::{pack, vector};
use crate::convolution::by_tap;
use crate::gelu::value;
use crate::lanes::{Lanes, block_count, room};
use crate::map::Map;
use crate::norm_pointwise::image;
use crate::product::{Matrix, Start, multiply_shared};
use crate::vector::{Vector, vectorized};

/// The approximate pixels of a piece.
const PIXELS: usize = 2048;

/// `gelu(norm(W * x + b))` of an image that has its border.
pub(super) struct Stem {
    kernel: [usize; 2],
    rows: usize,
    matrix: Matrix,
    bias: Vec<Lanes>,
    scale: Vec<Lanes>,
    shift: Vec<Lanes>,
}

vectorized! {
    /// `x = gelu(scale * x + shift)`
    fn affine_gelu(x: &mut [Lanes], scale: &Lanes, shift: &Lanes) = affine_gelu_with
}

#[inline(always)]
fn affine_gelu_with<V: Vector>(x: &mut [Lanes], scale: &Lanes, shift: &Lanes) {
    let (scale, shift) = (V::load(&scale.0), V::load(&shift.0));
    for x in x {
        value(shift.add_product(V::load(&x.0), scale)).store(&mut x.0);
    }
}

impl Stem {
    /// Prepares the layers.
    pub(super) fn new([weight, bias]: &Weights, norm: &Constants) -> Self {
        let [rows, columns, height, width] = weight.shape();
        let taps = height * width;
        let affine = norm.norm().affine();
        let [scale, shift] =
            [0, 1].map(|part| vector(&affine.iter().map(|values| values[part] as f32).collect::<Vec<_>>()));
        Self {
            kernel: [height, width],
            rows,
            matrix: Matrix::new(&by_tap(weight.values(), taps, columns), [rows, taps * columns]),
            bias: vector(bias.values()),
            scale,
            shift,
        }
    }

    /// Computes the map of images `[n, channels, h + kernel height - 1, w + kernel width - 1]`.
    pub(super) fn forward(&self, x: &Map, memory: &mut Memory) -> Blocked {
        let ([n, c, h, stride], [kh, kw]) = (x.shape(), self.kernel);
        let (height, width, blocks) = (h + 1 - kh, stride + 1 - kw, block_count(self.rows));
        let taps: Vec<usize> = (0..kh * kw).map(|tap| tap / kw * stride + tap % kw).collect();
        let mut y = memory.lasting([n, self.rows, height, width]);
        let (size, shared) = (height * width, y.shared());
        let rows = PIXELS.div_ceil(width).min((n * height).div_ceil(rayon::current_num_threads())).clamp(1, height);
        each_piece(n, height, rows, |index, rows, scratch| {
            let lines = rows.len() + kh - 1;
            let input = room(&mut scratch.input, block_count(c) * lines * stride);
            pack(image(x, index), h * stride, rows.start * stride, lines * stride, input, lines * stride);
            for block in (0..blocks).step_by(2) {
                let count = 2.min(blocks - block);
                let part = self.matrix.rows(block, count);
                for row in rows.clone() {
                    let x = &input[(row - rows.start) * stride..];
                    let start = (index * blocks + block) * size + row * width;
                    // SAFETY: pieces have no row in common.
                    unsafe {
                        let bias = Start::Bias(&self.bias[block..]);
                        let strides = [lines * stride, size];
                        multiply_shared(part, &taps, x, bias, shared.from(start), strides, width);
                        for one in 0..count {
                            let y = shared.part(start + one * size..start + one * size + width);
                            affine_gelu(y, &self.scale[block + one], &self.shift[block + one]);
                        }
                    }
                }
            }
        });
        y
    }
}
