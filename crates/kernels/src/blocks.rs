//! Feature maps in blocks of sixteen channels, `[channels / 16][pixels][16]`, and the way between
//! them and planes.
//!
//! With a pixel's sixteen channels in one register, a depthwise convolution reads neighbouring
//! pixels as whole, aligned registers and asks for no edges inside a row; a 1x1 convolution reads
//! one value of a pixel and multiplies sixteen channels of the output by it; and any width is as
//! good as a multiple of sixteen. Channels beyond the last are zero.

use super::lanes::{LANES, Lanes, block_count};
use super::vector::{Vector, vectorized};

/// The distance at which values are asked for ahead.
const AHEAD: usize = 4 * LANES;

vectorized! {
    /// Copies pixels `[start, start + pixels)` of every plane of `size` pixels into blocks that lie
    /// `stride` lanes apart.
    pub(crate) fn pack(planes: &[f32], size: usize, start: usize, pixels: usize, blocks: &mut [Lanes], stride: usize) = pack_with
}

#[inline(always)]
fn pack_with<V: Vector>(planes: &[f32], size: usize, start: usize, pixels: usize, blocks: &mut [Lanes], stride: usize) {
    let channels = planes.len() / size;
    for block in 0..block_count(channels) {
        let planes = &planes[block * LANES * size..];
        let count = (channels - block * LANES).min(LANES);
        let blocks = &mut blocks[block * stride..][..pixels];
        for (first, lanes) in blocks.chunks_mut(LANES).enumerate() {
            let mut rows = [V::splat(0.0); LANES];
            for row in 0..count {
                let values = &planes[row * size + start + first * LANES..][..lanes.len()];
                // So many planes at once are more than a processor foresees by itself.
                V::fetch(values.as_ptr().wrapping_add(AHEAD));
                rows[row] = load_part::<V>(values);
            }
            let columns = V::transpose(rows);
            for (column, lanes) in columns.iter().zip(lanes) {
                column.store(&mut lanes.0);
            }
        }
    }
}

/// Loads up to sixteen values, zeros behind the last.
#[inline(always)]
fn load_part<V: Vector>(values: &[f32]) -> V {
    match values.first_chunk() {
        Some(values) => V::load(values),
        None => {
            let mut padded = [0.0; LANES];
            padded[..values.len()].copy_from_slice(values);
            V::load(&padded)
        }
    }
}

vectorized! {
    /// Copies blocks that lie `stride` lanes apart into pieces of planes.
    pub(crate) fn unpack(blocks: &[Lanes], stride: usize, planes: &mut [&mut [f32]]) = unpack_with
}

#[inline(always)]
fn unpack_with<V: Vector>(blocks: &[Lanes], stride: usize, planes: &mut [&mut [f32]]) {
    for (block, planes) in planes.chunks_mut(LANES).enumerate() {
        let pixels = planes[0].len();
        for (first, lanes) in blocks[block * stride..][..pixels].chunks(LANES).enumerate() {
            let mut columns = [V::splat(0.0); LANES];
            for (column, lanes) in columns.iter_mut().zip(lanes) {
                *column = V::load(&lanes.0);
            }
            let rows = V::transpose(columns);
            for (row, plane) in rows.iter().zip(&mut *planes) {
                let values = &mut plane[first * LANES..][..lanes.len()];
                match values.first_chunk_mut() {
                    Some(values) => row.store(values),
                    None => {
                        let mut padded = [0.0; LANES];
                        row.store(&mut padded);
                        values.copy_from_slice(&padded[..values.len()]);
                    }
                }
            }
        }
    }
}

/// Returns one value for each channel as blocks, zeros behind the last.
pub(crate) fn vector(values: &[f32]) -> Vec<Lanes> {
    let chunk = |values: &[f32]| {
        let mut lanes = Lanes::ZERO;
        lanes.0[..values.len()].copy_from_slice(values);
        lanes
    };
    values.chunks(LANES).map(chunk).collect()
}

/// A piece of a feature map: the same pixels of every plane of one image.
pub(crate) struct Tile<'a> {
    /// The image in the batch.
    pub(crate) image: usize,
    /// The first pixel.
    pub(crate) start: usize,
    /// The pixels of each plane.
    pub(crate) planes: Vec<&'a mut [f32]>,
}

impl Tile<'_> {
    /// Returns its number of pixels.
    pub(crate) fn pixels(&self) -> usize {
        self.planes[0].len()
    }
}

/// Cuts a batch of images of `channels` planes of `size` pixels into tiles of at most `pixels`
/// pixels.
pub(crate) fn tiles(values: &mut [f32], channels: usize, size: usize, pixels: usize) -> Vec<Tile<'_>> {
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
pub(crate) fn group_size(count: usize) -> usize {
    count.div_ceil(GROUPS).max(1)
}

/// Returns the pixels in a tile of maps with `channels` channels: 64 KiB each.
pub(crate) fn tile_pixels(channels: usize) -> usize {
    const VALUES: usize = 16 << 10;
    (VALUES / channels).next_multiple_of(LANES).clamp(4 * LANES, 64 * LANES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_the_pixels_of_planes() {
        for [channels, size, start, pixels] in [[1, 1, 0, 1], [3, 40, 7, 20], [16, 16, 0, 16], [37, 50, 1, 49]] {
            let planes: Vec<f32> = (0..channels * size).map(|index| index as f32 + 1.0).collect();
            let stride = pixels + 2;
            let mut lanes = vec![Lanes([f32::NAN; LANES]); block_count(channels) * stride];
            pack(&planes, size, start, pixels, &mut lanes, stride);
            for channel in 0..channels.next_multiple_of(LANES) {
                for pixel in 0..pixels {
                    let expected = if channel < channels { planes[channel * size + start + pixel] } else { 0.0 };
                    let found = lanes[channel / LANES * stride + pixel].0[channel % LANES];
                    assert_eq!(found, expected, "{channels} planes of {size}: channel {channel}, pixel {pixel}");
                }
            }
            let mut again = vec![0.0; channels * pixels];
            unpack(&lanes, stride, &mut again.chunks_mut(pixels).collect::<Vec<_>>());
            for (plane, again) in planes.chunks(size).zip(again.chunks(pixels)) {
                assert_eq!(again, &plane[start..start + pixels], "{channels} planes of {size}");
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
