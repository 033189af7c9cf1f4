//! Batch normalisation and the 2x2 convolution of stride 2 behind it, as one product over the four
//! pixels of each window.

use rayon::prelude::*;

use super::affine::{Moments, Norm, correct};
use super::blocks::{group_size, pack, tile_pixels, tiles, unpack, vector};
use super::buffer::zeros;
use super::lanes::{LANES, Lanes, block_count, flat, room, zeroed};
use super::map::Map;
use super::norm_pointwise::{add_sums, image, total};
use super::operator::Operator;
use super::product::{Matrix, Start, dense, multiply, multiply_transposed, sums};

/// The pixels of a window.
pub(crate) const WINDOW: usize = 4;

/// `conv2x2(norm(x))` of `[x, norm weight, norm bias, W, b]`; an odd last row or column is left
/// out.
#[derive(Clone, Debug)]
pub struct Down {
    /// The statistics that it normalises by.
    pub moments: Moments,
    /// Added to the variance.
    pub epsilon: f64,
}

/// The windows of a number of rows, as the input of a product: the blocks of one pixel of the
/// window behind those of the other.
struct Windows {
    /// The channels' blocks.
    blocks: usize,
    /// The image's width, and that of its windows.
    width: usize,
    /// The rows of windows.
    rows: usize,
}

impl Windows {
    /// Returns the number of windows.
    fn count(&self) -> usize {
        self.rows * self.width / 2
    }

    /// Calls `with` with the places of each row of windows' pixels: the first of the image's
    /// lanes, of which every second counts, and the first window's.
    fn places(&self, mut with: impl FnMut(usize, usize)) {
        for pixel in 0..WINDOW {
            for block in 0..self.blocks {
                for row in 0..self.rows {
                    let line = 2 * (block * self.rows + row) + pixel / 2;
                    let windows = (pixel * self.blocks + block) * self.count() + row * (self.width / 2);
                    with(line * self.width + pixel % 2, windows);
                }
            }
        }
    }

    /// Collects the windows of an image's rows.
    fn gather(&self, rows: &[Lanes], windows: &mut [Lanes]) {
        self.places(|from, to| {
            for (column, window) in windows[to..][..self.width / 2].iter_mut().enumerate() {
                *window = rows[from + 2 * column];
            }
        });
    }

    /// Puts the windows back into an image's rows.
    fn scatter(&self, windows: &[Lanes], rows: &mut [Lanes]) {
        self.places(|to, from| {
            for (column, window) in windows[from..][..self.width / 2].iter().enumerate() {
                rows[to + 2 * column] = *window;
            }
        });
    }
}

impl Down {
    fn norm<'a>(&'a self, [_, weight, bias, _, _]: &'a [Map; 5]) -> Norm<'a> {
        Norm { moments: &self.moments, epsilon: self.epsilon, weight: weight.values(), bias: bias.values() }
    }

    /// Returns the rows of windows in a tile.
    fn tile_rows(channels: usize, width: usize) -> usize {
        (tile_pixels(WINDOW * channels) / width).max(1)
    }
}

/// Returns weights `[rows, channels, 4]` in the order in which windows lie: `[rows, 4, channels up
/// to a whole block]`.
pub(crate) fn by_pixel<T: Copy + Default>(weights: &[T], channels: usize) -> Vec<T> {
    let padded = channels.next_multiple_of(LANES);
    let mut ordered = vec![T::default(); weights.len() / channels * padded];
    for (row, ordered) in weights.chunks_exact(WINDOW * channels).zip(ordered.chunks_exact_mut(WINDOW * padded)) {
        for (index, weight) in row.iter().enumerate() {
            ordered[index % WINDOW * padded + index / WINDOW] = *weight;
        }
    }
    ordered
}

/// Returns values in the order of [`by_pixel`] as `[rows, channels, 4]`.
fn by_channel(ordered: &[f32], channels: usize) -> Vec<f32> {
    let padded = channels.next_multiple_of(LANES);
    let row = |row: &[f32]| -> Vec<f32> {
        (0..WINDOW * channels).map(|index| row[index % WINDOW * padded + index / WINDOW]).collect()
    };
    ordered.chunks_exact(WINDOW * padded).flat_map(row).collect()
}

impl Operator<5> for Down {
    type Saved = ();

    fn forward(&self, inputs: &[Map; 5]) -> (Map, ()) {
        let [x, _, _, weight, bias] = inputs;
        let ([n, c, h, w], rows) = (x.shape(), bias.values().len());
        let (folded, shifted) = self.norm(inputs).fold(weight.values(), bias.values());
        let (blocks, shifted) = (block_count(c), vector(&shifted));
        let matrix = Matrix::new(&by_pixel(&folded, c), [rows, WINDOW * blocks * LANES]);
        let (height, width) = (h / 2, w / 2);
        let mut y = zeros(n * rows * height * width);
        let strip = Self::tile_rows(c, width) * width;
        tiles(&mut y, rows, height * width, strip).into_par_iter().for_each_init(
            || [(); 3].map(|()| Vec::new()),
            |[lines, windows, products], mut tile| {
                let (first, count) = (tile.start / width, tile.pixels() / width);
                // An odd width's last column takes part, as nothing's neighbour.
                let shape = Windows { blocks, width: 2 * width, rows: count };
                pack_rows(image(x, tile.image), [h, w], 2 * first, &shape, lines);
                let windows = room(windows, WINDOW * blocks * shape.count());
                shape.gather(lines, windows);
                let pixels = shape.count();
                let products = room(products, pixels * block_count(rows));
                multiply(matrix.whole(), windows, Start::Bias(&shifted), products, [pixels; 2], pixels);
                unpack(products, pixels, &mut tile.planes);
            },
        );
        (Map::new(y, [n, rows, height, width]), ())
    }

    fn backward(&self, inputs: &[Map; 5], (): (), gradient: Map) -> [Vec<f32>; 5] {
        let [x, _, _, weight, bias] = inputs;
        let ([n, c, h, w], [_, rows, height, width]) = (x.shape(), gradient.shape());
        let norm = self.norm(inputs);
        let (folded, _) = norm.fold(weight.values(), bias.values());
        let blocks = block_count(c);
        let depth = WINDOW * blocks * LANES;
        let transposed = Matrix::transposed(&by_pixel(&folded, c), [rows, depth]);
        let mut x_gradient = zeros(n * c * h * w);
        let mut tiles = tiles(&mut x_gradient, c, h * w, 2 * Self::tile_rows(c, width) * w);
        let group = group_size(tiles.len());
        let both = [block_count(rows), WINDOW * blocks];
        let totals = tiles.par_chunks_mut(group).map(|tiles| {
            let mut totals = [sums([rows, depth]), vec![Lanes::ZERO; both[0]]];
            let [mut lines, mut windows, mut of_output, mut products] = [(); 4].map(|()| Vec::new());
            for tile in tiles {
                // A tile may hold nothing but the odd last row, whose gradient is zero here.
                let (first, count) = (tile.start / w / 2, (tile.pixels() / w / 2).min(height - tile.start / w / 2));
                let shape = Windows { blocks, width: 2 * width, rows: count };
                let pixels = shape.count();
                pack_rows(image(x, tile.image), [h, w], 2 * first, &shape, &mut lines);
                let windows = room(&mut windows, both[1] * pixels);
                shape.gather(&lines, windows);
                let of_output = room(&mut of_output, both[0] * pixels);
                pack(image(&gradient, tile.image), height * width, first * width, pixels, of_output, pixels);
                multiply_transposed(of_output, windows, both, [pixels; 2], pixels, &mut totals[0]);
                if pixels > 0 {
                    add_sums(of_output, pixels, &mut totals[1]);
                }
                let products = room(&mut products, both[1] * pixels);
                multiply(transposed.whole(), of_output, Start::Zero, products, [pixels; 2], pixels);
                shape.scatter(products, &mut lines);
                for (row, start) in (0..2 * count).map(|row| (row, row * w)) {
                    let mut pieces: Vec<_> =
                        tile.planes.iter_mut().map(|plane| &mut plane[start..start + 2 * width]).collect();
                    unpack(&lines[row * 2 * width..], shape.rows * 2 * shape.width, &mut pieces);
                }
            }
            totals
        });
        let [folded_weight, folded_bias] = total(totals.collect());
        let folded_weight = by_channel(&dense(&folded_weight, [rows, depth]), c);
        let folded_bias = flat(&folded_bias)[..rows].to_vec();
        let gradients = norm.unfold(weight.values(), &folded_weight, &folded_bias);
        correct(x.values(), &gradients.correction, h * w, &mut x_gradient);
        [x_gradient, gradients.norm_weight, gradients.norm_bias, gradients.weight, folded_bias]
    }
}

/// Copies the image's rows from `first` on into blocks, without an odd last column.
fn pack_rows(planes: &[f32], [h, w]: [usize; 2], first: usize, shape: &Windows, lines: &mut Vec<Lanes>) {
    let (rows, width) = (2 * shape.rows, shape.width);
    let lines = zeroed(lines, shape.blocks * rows * width);
    if width == w {
        pack(planes, h * w, first * w, rows * w, lines, rows * w);
        return;
    }
    for row in 0..rows {
        pack(planes, h * w, (first + row) * w, width, &mut lines[row * width..], rows * width);
    }
}
