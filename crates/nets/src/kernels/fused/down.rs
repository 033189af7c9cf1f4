//! Batch normalisation and the 2x2 convolution of stride 2 behind it, as one product over the four
//! pixels of each window.

use rayon::prelude::*;

use super::affine::{Moments, Norm, correct};
use super::lanes::{LANES, Lanes, room};
use super::norm_pointwise::{image, total};
use super::operator::{Map, Operator};
use super::panels::{add_row_sums, group_size, pack, panel_count, tile_pixels, tiles, unpack_row};
use super::product::{Matrix, Start, Strides, multiply, multiply_transposed};

/// The pixels of a window.
const WINDOW: usize = 4;

/// `conv2x2(norm(x))` of `[x, norm weight, norm bias, W, b]`; an odd last row or column is left
/// out.
#[derive(Clone, Debug)]
pub(super) struct Down {
    pub(super) moments: Moments,
    pub(super) epsilon: f64,
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

/// Copies the windows of `rows` rows from the row `first` of windows on into panels, each channel's
/// four pixels in a row each.
fn pack_windows(
    planes: &[f32],
    [h, w]: [usize; 2],
    first: usize,
    rows: usize,
    line: &mut Vec<f32>,
    panels: &mut Vec<Lanes>,
) {
    let (channels, width) = (planes.len() / (h * w), w / 2);
    panels.resize(panel_count(rows * width) * WINDOW * channels, Lanes::ZERO);
    for (channel, plane) in planes.chunks_exact(h * w).enumerate() {
        for pixel in 0..WINDOW {
            line.clear();
            for row in first..first + rows {
                let row = &plane[(2 * row + pixel / 2) * w..][..2 * width];
                line.extend(row.iter().skip(pixel % 2).step_by(2));
            }
            super::panels::pack_row(line, WINDOW * channels, WINDOW * channel + pixel, panels);
        }
    }
}

impl Operator<5> for Down {
    type Saved = ();

    fn forward(&self, inputs: &[Map; 5]) -> (Map, ()) {
        let [x, _, _, weight, bias] = inputs;
        let ([n, c, h, w], rows) = (x.shape(), bias.values().len());
        let (folded, shifted) = self.norm(inputs).fold(weight.values(), bias.values());
        let depth = WINDOW * c;
        let matrix = Matrix::new([rows, depth], |row, column| folded[row * depth + column]);
        let (height, width) = (h / 2, w / 2);
        let mut y = vec![0.0; n * rows * height * width];
        let strip = Self::tile_rows(c, width) * width;
        tiles(&mut y, rows, height * width, strip).into_par_iter().for_each_init(
            || (Vec::new(), Vec::new(), Vec::new()),
            |(line, panels, products), mut tile| {
                let (first, count) = (tile.start / width, tile.pixels() / width);
                pack_windows(image(x, tile.image), [h, w], first, count, line, panels);
                let products = room(products, panels.len() / depth * rows);
                multiply(&matrix, panels, Start::Bias(&shifted), products, Strides::panels(rows));
                for (row, plane) in tile.planes.iter_mut().enumerate() {
                    unpack_row(products, rows, row, plane);
                }
            },
        );
        (Map::new(y, [n, rows, height, width]), ())
    }

    fn backward(&self, inputs: &[Map; 5], (): (), gradient: Map) -> [Vec<f32>; 5] {
        let [x, _, _, weight, bias] = inputs;
        let ([n, c, h, w], [_, rows, height, width]) = (x.shape(), gradient.shape());
        let norm = self.norm(inputs);
        let (folded, _) = norm.fold(weight.values(), bias.values());
        let depth = WINDOW * c;
        let transposed = Matrix::new([depth, rows], |row, column| folded[column * depth + row]);
        let mut x_gradient = vec![0.0; n * c * h * w];
        let mut tiles = tiles(&mut x_gradient, c, h * w, 2 * Self::tile_rows(c, width) * w);
        let group = group_size(tiles.len());
        let sums = tiles.par_chunks_mut(group).map(|tiles| {
            let mut sums = [vec![0.0; rows * depth], vec![0.0; rows]];
            let (mut line, [mut input, mut of_output, mut products]) = (Vec::new(), [(); 3].map(|()| Vec::new()));
            for tile in tiles {
                // A tile may hold nothing but the odd last row, whose gradient is zero here.
                let (first, count) = (tile.start / w / 2, (tile.pixels() / w / 2).min(height - tile.start / w / 2));
                pack_windows(image(x, tile.image), [h, w], first, count, &mut line, &mut input);
                let of_image = image(&gradient, tile.image);
                pack(of_image, height * width, first * width, count * width, &mut of_output);
                multiply_transposed(&of_output, &input, [rows, depth], &mut sums[0]);
                add_row_sums(&of_output, &mut sums[1]);
                let products = room(&mut products, input.len());
                multiply(&transposed, &of_output, Start::Zero, products, Strides::panels(depth));
                line.resize(panel_count(count * width) * LANES, 0.0);
                for (channel, plane) in tile.planes.iter_mut().enumerate() {
                    for pixel in 0..WINDOW {
                        unpack_row(products, depth, WINDOW * channel + pixel, &mut line);
                        for (row, line) in line[..count * width].chunks_exact(width).enumerate() {
                            let plane = &mut plane[(2 * row + pixel / 2) * w..][..2 * width];
                            for (value, found) in plane.iter_mut().skip(pixel % 2).step_by(2).zip(line) {
                                *value = *found;
                            }
                        }
                    }
                }
            }
            sums
        });
        let [folded_weight, folded_bias] = total(sums.collect());
        let gradients = norm.unfold(weight.values(), &folded_weight, &folded_bias);
        correct(x.values(), &gradients.correction, h * w, &mut x_gradient);
        [x_gradient, gradients.norm_weight, gradients.norm_bias, gradients.weight, folded_bias]
    }
}
