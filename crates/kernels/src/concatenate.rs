//! Maps, one behind the other.

use rayon::prelude::*;

use super::buffer::zeros;
use super::map::Map;
use super::operator::Operator;

/// Maps `[n, c_i, h, w]` to `[n, sum of c_i, h, w]`.
#[derive(Clone, Debug)]
pub struct Concatenate;

impl<const N: usize> Operator<N> for Concatenate {
    type Saved = ();

    fn forward(&self, maps: &[Map; N]) -> (Map, ()) {
        let [n, _, h, w] = maps[0].shape();
        // The map and the channel of it that each channel comes from.
        let sources = maps.iter().flat_map(|map| (0..map.shape()[1]).map(move |channel| (map, channel)));
        let sources: Vec<_> = sources.collect();
        let (channels, size) = (sources.len(), h * w);
        let mut y = zeros(n * channels * size);
        y.par_chunks_exact_mut(size).enumerate().for_each(|(plane, y)| {
            let (map, channel) = sources[plane % channels];
            let from = plane / channels * map.shape()[1] + channel;
            y.copy_from_slice(&map.values()[from * size..][..size]);
        });
        (Map::new(y, [n, channels, h, w]), ())
    }

    fn kept(inputs: [Map; N]) -> [Map; N] {
        inputs.map(Map::without_values)
    }

    fn backward(&self, maps: &[Map; N], (): (), gradient: Map) -> [Vec<f32>; N] {
        let [_, channels, h, w] = gradient.shape();
        let size = h * w;
        let mut first = 0;
        maps.each_ref().map(|map| {
            let own = map.shape()[1];
            let mut part = zeros(map.count());
            part.par_chunks_exact_mut(size).enumerate().for_each(|(plane, part)| {
                let from = plane / own * channels + first + plane % own;
                part.copy_from_slice(&gradient.values()[from * size..][..size]);
            });
            first += own;
            part
        })
    }
}
