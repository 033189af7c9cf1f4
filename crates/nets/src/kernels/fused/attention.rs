//! The part of the attention behind its first convolution: GELU, the AMS map, its product with the
//! attended map, and the last convolution; from planes to panels without a map in between that
//! outlives its cache.
//!
//! Only the input is kept for the gradient. The chain of depthwise convolutions stays inside single
//! planes, so it is computed again plane by plane; the 1x1 convolutions stay inside single pixels,
//! so they are tile by tile.

use rayon::prelude::*;

use super::frame::{Frame, Taps};
use super::lanes::{Lanes, flat, flat_mut, multiply_by, room};
use super::norm_pointwise::{image, total};
use super::operator::{Map, Operator};
use super::panels::{add_row_sums, group_size, pack, tile_pixels, tiles, unpack_row};
use super::product::{Matrix, Start, Strides, multiply, multiply_transposed};
use crate::kernels::gelu::normal::{gelu, gelu_gradient};

/// The number of strips.
const STRIPS: usize = 3;
/// The inputs: the map, weight and bias of the local and the atrous convolution, of each strip's
/// two, of the mixing and of the last 1x1.
pub(super) const INPUTS: usize = 1 + 2 * (2 + 2 * STRIPS + 2);
/// The depthwise convolutions: local, atrous, and two for each strip, the horizontal one first.
const DEPTHWISE: usize = 2 + 2 * STRIPS;
const MIX: usize = 1 + 2 * DEPTHWISE;

/// `W2 (g * (W1 ams(g) + b1)) + b2` with `g = gelu(u)`.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    /// The dilation of the atrous convolution.
    pub(super) dilation: usize,
}

/// The depthwise chain over one plane.
struct Chain<'a> {
    frame: Frame,
    /// Taps, weights and bias of every channel, of each depthwise convolution.
    convolutions: [(Taps, &'a [f32], &'a [f32]); DEPTHWISE],
}

/// Framed planes that a thread works in.
struct Planes([Vec<f32>; 6]);

impl<'a> Chain<'a> {
    fn new(inputs: &'a [Map; INPUTS], dilation: usize) -> Self {
        let [_, _, h, w] = inputs[0].shape();
        let kernels = inputs[1..].iter().step_by(2).take(DEPTHWISE).map(Map::shape);
        let reach = kernels.map(|[_, _, kh, kw]| kh.max(kw) / 2).max().expect("there are depthwise convolutions");
        let frame = Frame::new([h, w], reach.max(dilation));
        let convolutions = std::array::from_fn(|index| {
            let (weight, bias) = (&inputs[1 + 2 * index], &inputs[2 + 2 * index]);
            let [_, _, kh, kw] = weight.shape();
            let dilation = if index == 1 { dilation } else { 1 };
            (frame.taps([kh, kw], [dilation; 2]), weight.values(), bias.values())
        });
        Self { frame, convolutions }
    }

    fn planes(&self) -> Planes {
        Planes(std::array::from_fn(|_| vec![0.0; self.frame.len()]))
    }

    fn weight(&self, index: usize, channel: usize) -> &[f32] {
        let (taps, weights, _) = &self.convolutions[index];
        &weights[channel * taps.len()..(channel + 1) * taps.len()]
    }

    /// Computes one of the convolutions.
    fn convolve(&self, index: usize, channel: usize, x: &[f32], y: &mut [f32]) {
        let (taps, _, bias) = &self.convolutions[index];
        self.frame.convolve(x, taps, self.weight(index, channel), bias[channel], y);
    }

    /// Computes one of the convolutions and adds it to `y`.
    fn convolve_add(&self, index: usize, channel: usize, x: &[f32], y: &mut [f32]) {
        let (taps, _, bias) = &self.convolutions[index];
        self.frame.convolve_add(x, taps, self.weight(index, channel), bias[channel], y);
    }

    /// Computes the adjoint of one of the convolutions: with symmetric padding, the kernel turned
    /// by 180 degrees.
    fn turned(&self, index: usize, channel: usize) -> (&Taps, Vec<f32>) {
        (&self.convolutions[index].0, self.weight(index, channel).iter().rev().copied().collect())
    }

    /// Adds the gradients of weight and bias to `sums`, where they lie one behind the other.
    fn correlate(&self, index: usize, x: &[f32], gradient: &[f32], sums: &mut [f32]) {
        let start: usize = self.convolutions[..index].iter().map(|(taps, _, _)| taps.len() + 1).sum();
        let taps = &self.convolutions[index].0;
        let (weight, bias) = sums[start..=start + taps.len()].split_at_mut(taps.len());
        bias[0] += self.frame.correlate(x, taps, gradient, weight);
    }

    /// Returns the number of values that [`Self::backward`] adds to for a channel.
    fn parameters(&self) -> usize {
        self.convolutions.iter().map(|(taps, _, _)| taps.len() + 1).sum()
    }

    /// `ams(gelu(u))` of one plane.
    fn forward(&self, channel: usize, u: &[f32], planes: &mut Planes, y: &mut [f32]) {
        let Planes([x, local, atrous, strip, all, _]) = planes;
        gelu(u, y);
        self.frame.insert(y, x);
        self.convolve(0, channel, x, local);
        self.convolve(1, channel, local, atrous);
        for ((all, local), atrous) in all.iter_mut().zip(&*local).zip(&*atrous) {
            *all = local + atrous;
        }
        for index in (2..DEPTHWISE).step_by(2) {
            self.convolve(index, channel, atrous, strip);
            self.convolve_add(index + 1, channel, strip, all);
        }
        self.frame.rows(all, y, |all, y| y.copy_from_slice(all));
    }

    /// Computes the gradient of `u` in `gradient`, from the gradient of `ams(gelu(u))` in `of_map`
    /// and from that of `gelu(u)` on other ways in `gradient`; adds the parameters' to `sums`.
    fn backward(
        &self,
        channel: usize,
        u: &[f32],
        of_map: &[f32],
        planes: &mut Planes,
        gradient: &mut [f32],
        sums: &mut [f32],
    ) {
        let Planes([x, local, atrous, strip, of_strip, of_all]) = planes;
        let mut line = vec![0.0; u.len()];
        gelu(u, &mut line);
        self.frame.insert(&line, x);
        self.convolve(0, channel, x, local);
        self.convolve(1, channel, local, atrous);

        self.frame.insert(of_map, of_all);
        let mut of_atrous = of_all.clone();
        for index in (2..DEPTHWISE).step_by(2) {
            self.convolve(index, channel, atrous, strip);
            self.correlate(index + 1, strip, of_all, sums);
            let (taps, turned) = self.turned(index + 1, channel);
            self.frame.convolve(of_all, taps, &turned, 0.0, of_strip);
            self.correlate(index, atrous, of_strip, sums);
            let (taps, turned) = self.turned(index, channel);
            self.frame.convolve_add(of_strip, taps, &turned, 0.0, &mut of_atrous);
        }
        self.correlate(1, local, &of_atrous, sums);
        let (taps, turned) = self.turned(1, channel);
        self.frame.convolve_add(&of_atrous, taps, &turned, 0.0, of_all);
        self.correlate(0, x, of_all, sums);
        let (taps, turned) = self.turned(0, channel);
        self.frame.convolve(of_all, taps, &turned, 0.0, of_strip);
        self.frame.rows(of_strip, gradient, |chain, gradient| {
            for (gradient, chain) in gradient.iter_mut().zip(chain) {
                *gradient += chain;
            }
        });
        gelu_gradient(u, gradient);
    }
}

impl Operator<INPUTS> for Attention {
    type Saved = ();

    fn forward(&self, inputs: &[Map; INPUTS]) -> (Map, ()) {
        let u = &inputs[0];
        let [n, c, h, w] = u.shape();
        let (size, chain) = (h * w, Chain::new(inputs, self.dilation));
        let [mix, project] = matrices(inputs, c, false);
        // The chain's map has as many channels as the output, so it waits there until its tile is
        // computed.
        let mut y = vec![0.0; n * c * size];
        y.par_chunks_exact_mut(size)
            .zip(u.values().par_chunks_exact(size))
            .enumerate()
            .for_each_init(|| chain.planes(), |planes, (plane, (y, u))| chain.forward(plane % c, u, planes, y));
        tiles(&mut y, c, size, tile_pixels(c)).into_par_iter().for_each_init(
            || [(); 3].map(|()| Vec::new()),
            |[map, attended, products], mut tile| {
                pack_tile(&tile.planes, map);
                let mixed = room(products, map.len());
                multiply(&mix, map, Start::Bias(inputs[MIX + 1].values()), mixed, Strides::panels(c));
                pack(image(u, tile.image), size, tile.start, tile.pixels(), map);
                attended.resize(map.len(), Lanes::ZERO);
                gelu(flat(map), flat_mut(attended));
                multiply_by(attended, mixed);
                multiply(&project, attended, Start::Bias(inputs[MIX + 3].values()), mixed, Strides::panels(c));
                for (row, plane) in tile.planes.iter_mut().enumerate() {
                    unpack_row(mixed, c, row, plane);
                }
            },
        );
        (Map::new(y, [n, c, h, w]), ())
    }

    fn backward(&self, inputs: &[Map; INPUTS], (): (), gradient: Map) -> [Vec<f32>; INPUTS] {
        let u = &inputs[0];
        let [n, c, h, w] = u.shape();
        let (size, chain) = (h * w, Chain::new(inputs, self.dilation));
        let [mix, _] = matrices(inputs, c, false);
        let [mix_turned, project_turned] = matrices(inputs, c, true);

        // The chain's map, then, tile by tile in its place, its gradient.
        let mut map = vec![0.0; n * c * size];
        map.par_chunks_exact_mut(size)
            .zip(u.values().par_chunks_exact(size))
            .enumerate()
            .for_each_init(|| chain.planes(), |planes, (plane, (map, u))| chain.forward(plane % c, u, planes, map));
        let mut u_gradient = vec![0.0; n * c * size];
        let pixels = tile_pixels(c);
        let mut pairs: Vec<_> =
            tiles(&mut map, c, size, pixels).into_iter().zip(tiles(&mut u_gradient, c, size, pixels)).collect();
        let group = group_size(pairs.len());
        let sums = pairs.par_chunks_mut(group).map(|pairs| {
            let mut sums = [vec![0.0; c * c], vec![0.0; c], vec![0.0; c * c], vec![0.0; c]];
            let [mut map, mut x, mut mixed, mut of_output, mut product, mut of_mixed] = [(); 6].map(|()| Vec::new());
            for (of_map, of_x) in pairs {
                pack_tile(&of_map.planes, &mut map);
                let mixed = room(&mut mixed, map.len());
                multiply(&mix, &map, Start::Bias(inputs[MIX + 1].values()), mixed, Strides::panels(c));
                pack(image(u, of_x.image), size, of_x.start, of_x.pixels(), &mut product);
                x.resize(map.len(), Lanes::ZERO);
                gelu(flat(&product), flat_mut(&mut x));
                product.copy_from_slice(mixed);
                multiply_by(&mut product, &x);

                pack(image(&gradient, of_x.image), size, of_x.start, of_x.pixels(), &mut of_output);
                multiply_transposed(&of_output, &product, [c, c], &mut sums[2]);
                add_row_sums(&of_output, &mut sums[3]);
                // The gradient of the product, and from it those of its two factors.
                multiply(&project_turned, &of_output, Start::Zero, &mut product, Strides::panels(c));
                of_mixed.clone_from(&product);
                multiply_by(&mut of_mixed, &x);
                multiply_by(&mut product, mixed);
                for (row, plane) in of_x.planes.iter_mut().enumerate() {
                    unpack_row(&product, c, row, plane);
                }
                multiply_transposed(&of_mixed, &map, [c, c], &mut sums[0]);
                add_row_sums(&of_mixed, &mut sums[1]);
                multiply(&mix_turned, &of_mixed, Start::Zero, &mut product, Strides::panels(c));
                for (row, plane) in of_map.planes.iter_mut().enumerate() {
                    unpack_row(&product, c, row, plane);
                }
            }
            sums
        });
        let pointwise = total(sums.collect());

        // Image by image, so that a channel's sums are added in one order.
        let mut depthwise = vec![0.0; c * chain.parameters()];
        for ((of_map, u), gradient) in
            map.chunks_exact(c * size).zip(u.values().chunks_exact(c * size)).zip(u_gradient.chunks_exact_mut(c * size))
        {
            let planes = of_map.par_chunks_exact(size).zip(u.par_chunks_exact(size));
            let outputs = gradient.par_chunks_exact_mut(size).zip(depthwise.par_chunks_exact_mut(chain.parameters()));
            planes.zip(outputs).enumerate().for_each_init(
                || chain.planes(),
                |planes, (channel, ((of_map, u), (gradient, sums)))| {
                    chain.backward(channel, u, of_map, planes, gradient, sums);
                },
            );
        }
        let mut gradients = std::array::from_fn(|_| Vec::new());
        gradients[0] = u_gradient;
        for channel in depthwise.chunks_exact(chain.parameters()) {
            let mut rest = channel;
            for (index, (taps, _, _)) in chain.convolutions.iter().enumerate() {
                let (weight, others) = rest.split_at(taps.len());
                gradients[1 + 2 * index].extend_from_slice(weight);
                gradients[2 + 2 * index].push(others[0]);
                rest = &others[1..];
            }
        }
        for (slot, values) in gradients[MIX..].iter_mut().zip(pointwise) {
            *slot = values;
        }
        gradients
    }
}

/// Computes the two 1x1 convolutions, or their transposes.
fn matrices(inputs: &[Map; INPUTS], c: usize, transposed: bool) -> [Matrix; 2] {
    [MIX, MIX + 2].map(|index| {
        let weight = inputs[index].values();
        let value = |row: usize, column: usize| weight[row * c + column];
        Matrix::new([c, c], |row, column| if transposed { value(column, row) } else { value(row, column) })
    })
}

/// Copies the pieces of a tile into panels.
fn pack_tile(planes: &[&mut [f32]], panels: &mut Vec<Lanes>) {
    panels.resize(super::panels::panel_count(planes[0].len()) * planes.len(), Lanes::ZERO);
    for (row, plane) in planes.iter().enumerate() {
        super::panels::pack_row(plane, planes.len(), row, panels);
    }
}
