//! Feature maps cut into tiles, and tiles as panels.

use super::lanes::{LANES, Lanes};

/// Returns the number of panels that hold a number of pixels; the last may be half empty.
pub(super) fn panel_count(pixels: usize) -> usize {
    pixels.div_ceil(LANES)
}

/// Copies the pixels from `start` of every plane into panels, zeros behind the last.
pub(super) fn pack(planes: &[f32], size: usize, start: usize, pixels: usize, panels: &mut Vec<Lanes>) {
    let rows = planes.len() / size;
    panels.resize(panel_count(pixels) * rows, Lanes::ZERO);
    for (row, plane) in planes.chunks_exact(size).enumerate() {
        pack_row(&plane[start..start + pixels], rows, row, panels);
    }
}

/// Copies the values of one row into panels of `rows` rows, zeros behind the last.
pub(super) fn pack_row(values: &[f32], rows: usize, row: usize, panels: &mut [Lanes]) {
    let (blocks, rest) = values.as_chunks();
    let mut panels = panels.iter_mut().skip(row).step_by(rows);
    for (block, lanes) in blocks.iter().zip(&mut panels) {
        lanes.0 = *block;
    }
    if let Some(lanes) = panels.next() {
        *lanes = Lanes::ZERO;
        lanes.0[..rest.len()].copy_from_slice(rest);
    }
}

/// Copies one row of panels of `rows` rows into `values`.
pub(super) fn unpack_row(panels: &[Lanes], rows: usize, row: usize, values: &mut [f32]) {
    for (values, lanes) in values.chunks_mut(LANES).zip(panels.iter().skip(row).step_by(rows)) {
        values.copy_from_slice(&lanes.0[..values.len()]);
    }
}

/// Adds every row's sum over the pixels to `sums`; what lies behind the last pixel must be zero.
pub(super) fn add_row_sums(panels: &[Lanes], sums: &mut [f32]) {
    for panel in panels.chunks_exact(sums.len()) {
        for (lanes, sum) in panel.iter().zip(&mut *sums) {
            *sum += lanes.0.iter().sum::<f32>();
        }
    }
}

/// A piece of a feature map: the same pixels of every plane of one image.
pub(super) struct Tile<'a> {
    /// The image in the batch.
    pub(super) image: usize,
    /// The first pixel.
    pub(super) start: usize,
    /// The pixels of each plane.
    pub(super) planes: Vec<&'a mut [f32]>,
}

impl Tile<'_> {
    /// Returns its number of pixels.
    pub(super) fn pixels(&self) -> usize {
        self.planes[0].len()
    }
}

/// Cuts a batch of images of `channels` planes of `size` pixels into tiles of at most `pixels`
/// pixels.
pub(super) fn tiles(values: &mut [f32], channels: usize, size: usize, pixels: usize) -> Vec<Tile<'_>> {
    let mut tiles = Vec::new();
    for (image, planes) in values.chunks_exact_mut(channels * size).enumerate() {
        let first = tiles.len();
        tiles.extend((0..size).step_by(pixels).map(|start| Tile {
            image,
            start,
            planes: Vec::with_capacity(channels),
        }));
        for plane in planes.chunks_exact_mut(size) {
            for (tile, piece) in tiles[first..].iter_mut().zip(plane.chunks_mut(pixels)) {
                tile.planes.push(piece);
            }
        }
    }
    tiles
}

/// The most groups that share the work. Sums are added group by group, so their rounding must not
/// depend on the number of threads: hence a constant.
const GROUPS: usize = 16;

/// Returns the pieces of work in a group, of `count` in all.
pub(super) fn group_size(count: usize) -> usize {
    count.div_ceil(GROUPS).max(1)
}

/// Returns the pixels in a tile of maps with `channels` channels: 64 KiB each.
pub(super) fn tile_pixels(channels: usize) -> usize {
    const VALUES: usize = 16 << 10;
    (VALUES / channels).next_multiple_of(LANES).clamp(4 * LANES, 64 * LANES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::fused::product::{Matrix, Start, Strides, multiply, multiply_transposed};

    /// Small whole numbers, so that sums are exact in any order.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7 + seed * 13) % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn products_over_panels_are_matrix_products() {
        for (name, [rows, depth], pixels) in [
            ("one", [1, 1], 1),
            ("less than a block", [2, 3], 7),
            ("more than a block", [7, 4], 16),
            ("two blocks of four", [8, 5], 33),
            ("many", [32, 27], 100),
            ("odd", [13, 9], 64),
        ] {
            let (weight, x) = (numbers(rows * depth, 1), numbers(depth * (pixels + 3), 2));
            let mut panels = Vec::new();
            pack(&x, pixels + 3, 2, pixels, &mut panels);
            let matrix = Matrix::new([rows, depth], |row, column| weight[row * depth + column]);
            let bias = numbers(rows, 3);
            let count = panel_count(pixels);
            let (mut y, mut planes) = (vec![Lanes::ZERO; count * rows], vec![Lanes::ZERO; count * rows]);
            multiply(&matrix, &panels, Start::Bias(&bias), &mut y, Strides::panels(rows));
            multiply(&matrix, &panels, Start::Zero, &mut planes, Strides::planes(count));
            multiply(&matrix, &panels, Start::Output, &mut planes, Strides::planes(count));
            let mut sums = vec![1.0; rows * depth];
            multiply_transposed(&y, &panels, [rows, depth], &mut sums);
            let mut line = vec![0.0; pixels];
            for row in 0..rows {
                unpack_row(&y, rows, row, &mut line);
                let pixel = |column: usize, pixel: usize| x[column * (pixels + 3) + 2 + pixel];
                for index in 0..pixels {
                    let plain: f32 = (0..depth).map(|k| weight[row * depth + k] * pixel(k, index)).sum();
                    assert_eq!(line[index], plain + bias[row], "{name}: row {row}, pixel {index}");
                    let twice = planes[row * count + index / LANES].0[index % LANES];
                    assert_eq!(twice, 2.0 * plain, "{name}: as planes, row {row}, pixel {index}");
                }
                for column in 0..depth {
                    let plain: f32 = (0..pixels).map(|index| line[index] * pixel(column, index)).sum();
                    assert_eq!(sums[row * depth + column], 1.0 + plain, "{name}: sums of {row}, {column}");
                }
            }
        }
    }

    #[test]
    fn tiles_cover_every_pixel_once() {
        let (channels, size) = (3, 50);
        let mut values = vec![0.0; 2 * channels * size];
        for tile in tiles(&mut values, channels, size, 16) {
            assert!(tile.pixels() <= 16 && tile.planes.len() == channels, "image {}, {}", tile.image, tile.start);
            for plane in tile.planes {
                plane.iter_mut().for_each(|value| *value += 1.0);
            }
        }
        assert!(values.iter().all(|value| *value == 1.0));
    }
}
