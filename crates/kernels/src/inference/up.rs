//! A step of the decoder up to its block: the deep map at twice its size, joined with the skip.

use super::{Blocked, Dense, Memory, Weights, each, each_piece};
use crate::average::average;
use crate::blocks::{tile_pixels, vector};
use crate::join::{places, weigh};
use crate::lanes::{Lanes, block_count, flat, flat_mut, room};
use crate::map::Map;
use crate::product::{Cut, Layer, Matrix, Start, multiply};
use crate::shared::Shared;
use crate::upsample::{Axis, Coordinates, add_row};

/// The weights of a join of channels.
pub(super) struct Join<'a> {
    /// Weights of the place, `[1, c, 1, 1]`.
    pub(super) spatial: &'a Map,
    /// Layers of the channels' weights: the hidden one, and the one behind it.
    pub(super) gate: [&'a Weights; 2],
    /// The layer of the skip's channels, and the bias.
    pub(super) skip: &'a Dense,
}

/// `W rsc(skip) + pad(upsample2(V norm(deep))) + b`
pub(super) struct Up {
    deep: Layer,
    spatial: Vec<Lanes>,
    gate: [(Matrix, Vec<Lanes>); 2],
    skip: Layer,
}

/// Computes `1 / (1 + exp(-x))`.
fn sigmoid(x: f32) -> f32 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// Prepares a 1x1 convolution.
fn layer([weight, bias]: &Weights) -> (Matrix, Vec<Lanes>) {
    let [rows, columns, _, _] = weight.shape();
    (Matrix::new(weight.values(), [rows, columns]), vector(bias.values()))
}

impl Up {
    /// Prepares the layers.
    pub(super) fn new(deep: &Dense, join: &Join<'_>) -> Self {
        Self {
            deep: deep.layer(),
            spatial: vector(join.spatial.values()),
            gate: join.gate.map(layer),
            skip: join.skip.layer(),
        }
    }

    /// Computes the weights of `c` channels of each image from their means.
    fn gates(&self, c: usize, means: &[Lanes]) -> Vec<Vec<Lanes>> {
        let [(reduce, reduce_bias), (restore, restore_bias)] = &self.gate;
        let gate = |means: &[Lanes]| {
            let mut hidden = vec![Lanes::ZERO; reduce_bias.len()];
            multiply(reduce.whole(), means, Start::Bias(reduce_bias), &mut hidden, [1; 2], 1);
            for value in flat_mut(&mut hidden) {
                // A value that is not a number stays one.
                if *value <= 0.0 {
                    *value = 0.0;
                }
            }
            let mut gate = vec![Lanes::ZERO; restore_bias.len()];
            multiply(restore.whole(), &hidden, Start::Bias(restore_bias), &mut gate, [1; 2], 1);
            // Channels beyond the last stay zero.
            vector(&flat(&gate)[..c].iter().map(|value| sigmoid(*value)).collect::<Vec<_>>())
        };
        means.chunks_exact(block_count(c)).map(gate).collect()
    }

    /// Computes the map.
    pub(super) fn forward(&self, deep: Blocked, skip: Blocked, memory: &mut Memory) -> Blocked {
        let ([n, c, h, w], size, rows) = (skip.shape, skip.size(), self.skip.rows);
        let blocks = block_count(rows);
        let ([_, _, deep_h, deep_w], deep_size) = (deep.shape, deep.size());
        let mut low = memory.temporary([n, rows, deep_h, deep_w]);
        // The means of the skip's channels, and beside them the deep map in fewer channels.
        let mut means = vec![Lanes::ZERO; n * skip.blocks()];
        let (low_shared, means_shared, skip_blocks) = (low.shared(), Shared::new(&mut means), skip.blocks());
        let pixels = tile_pixels(deep.shape[1].max(rows));
        let (planes, tiles) = (n * skip_blocks, deep_size.div_ceil(pixels));
        each(planes + n * tiles, &|index, scratch| {
            let Some(index) = index.checked_sub(planes) else {
                let plane = &skip.image(index / skip_blocks)[index % skip_blocks * size..][..size];
                // SAFETY: each plane has a place of its own.
                unsafe { means_shared.part(index..index + 1)[0] = average(plane) };
                return;
            };
            let (image, start) = (index / tiles, index % tiles * pixels);
            let (x, pixels) = (&deep.image(image)[start..], pixels.min(deep_size - start));
            let product = self.deep.weight.of(x, 0..deep.blocks(), deep_size, pixels, &mut scratch.bytes);
            let y = low_shared.from(image * blocks * deep_size + start);
            // SAFETY: tiles have no pixel in common.
            unsafe { product.write(Cut::Whole, self.deep.bias_from(0), y, deep_size, pixels) };
        });
        let gates = self.gates(c, &means);

        let [lines, columns] = [deep_h, deep_w].map(|count| Axis::new(count, Coordinates::AlignedCorners));
        let [top, left] = [h - 2 * deep_h, w - 2 * deep_w].map(|rest| rest / 2);
        let mut y = memory.lasting([n, rows, h, w]);
        let shared = y.shared();
        let count = tile_pixels(c.max(rows)).div_ceil(w);
        each_piece(n, h, count, |image, band, scratch| {
            let (first, pixels) = (band.start * w, band.len() * w);
            let x = &skip.image(image)[first..];
            let weights = places(x, size, pixels, &self.spatial, &mut scratch.places);
            let weighed = room(&mut scratch.input, pixels * self.spatial.len());
            weigh(x, size, weights, &gates[image], weighed);
            let start = image * blocks * size + first;
            let product = self.skip.weight.of(weighed, 0..self.spatial.len(), pixels, pixels, &mut scratch.bytes);
            // SAFETY: bands have no row in common.
            unsafe { product.write(Cut::Whole, self.skip.bias_from(0), shared.from(start), size, pixels) };
            for row in band.clone().filter(|row| (top..top + 2 * deep_h).contains(row)) {
                let (one, other, share) = lines.between(row - top);
                for (block, low) in low.image(image).chunks_exact(deep_size).enumerate() {
                    let start = image * blocks * size + block * size + row * w + left;
                    // SAFETY: as above.
                    let y = unsafe { shared.part(start..start + 2 * deep_w) };
                    let line = room(&mut scratch.output, deep_w);
                    let [one, other] = [one, other].map(|row| &low[row * deep_w..][..deep_w]);
                    add_row(one, other, share, &columns, line, y);
                }
            }
        });
        for map in [deep, skip, low] {
            memory.give(map);
        }
        y
    }
}
