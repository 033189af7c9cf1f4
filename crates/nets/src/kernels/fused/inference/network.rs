//! A U-shaped network of these parts, from the image to the logits.

use rayon::prelude::*;

use super::up::Join;
use super::{Amse, Blocked, Constants, Down, Head, LAYERS, Memory, Stem, Up, Weights};
use crate::kernels::fused::operator::{Map, on_workers};

/// The parameters of a block.
#[derive(Clone, Debug)]
pub(crate) struct BlockParameters {
    /// Constants of the normalisations before the two halves.
    pub(crate) norms: [Constants; 2],
    /// Layers of the first half, see [`LAYERS`].
    pub(crate) attention: [Weights; LAYERS],
    /// The dilation of its atrous convolution.
    pub(crate) dilation: usize,
    /// Expansion, depthwise convolution and projection of the second half.
    pub(crate) feed_forward: [Weights; 3],
}

/// The parameters of a step that halves the size.
#[derive(Clone, Debug)]
pub(crate) struct DownParameters {
    /// Constants of the normalisation before the convolution.
    pub(crate) norm: Constants,
    /// Weights of the 2x2 convolution.
    pub(crate) conv: Weights,
    /// Parameters of the block.
    pub(crate) block: BlockParameters,
}

/// The parameters of a step that doubles the size.
#[derive(Clone, Debug)]
pub(crate) struct UpParameters {
    /// Constants of the normalisation of the deep map.
    pub(crate) norm: Constants,
    /// Weights of the skip's places, `[1, c, 1, 1]`.
    pub(crate) spatial: Map,
    /// Layers behind the weights of the skip's channels.
    pub(crate) gate: [Weights; 2],
    /// The 1x1 convolution's weights of the skip's channels, and its bias.
    pub(crate) skip: Weights,
    /// Weights of the same layer for the deep map's channels, and zeros.
    pub(crate) deep: Weights,
    /// Parameters of the block.
    pub(crate) block: BlockParameters,
}

/// The parameters of the network.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    /// The first convolution.
    pub(crate) stem: Weights,
    /// The normalisation behind it.
    pub(crate) stem_norm: Constants,
    /// The first block.
    pub(crate) stem_block: BlockParameters,
    /// The steps of the encoder.
    pub(crate) downs: Vec<DownParameters>,
    /// The steps of the decoder, from the deepest on, as many.
    pub(crate) ups: Vec<UpParameters>,
    /// The 1x1 convolution to the logits.
    pub(crate) head: Weights,
}

/// The parameters as the operators read them, for images of one size.
struct Prepared {
    stem: Stem,
    downs: Vec<Down>,
    ups: Vec<Up>,
    blocks: Vec<Amse>,
    head: Head,
}

impl Prepared {
    fn new(parameters: &Parameters, size: [usize; 2]) -> Self {
        let Parameters { stem, stem_norm, stem_block, downs, ups, head } = parameters;
        let halved = |times: usize| size.map(|side| side >> times);
        let mut blocks = vec![(stem_block, size)];
        blocks.extend(downs.iter().enumerate().map(|(step, down)| (&down.block, halved(step + 1))));
        blocks.extend(ups.iter().enumerate().map(|(step, up)| (&up.block, halved(ups.len() - 1 - step))));
        let block = |(block, size): &(&BlockParameters, [usize; 2])| {
            Amse::new(*size, block.dilation, &block.norms, &block.attention, &block.feed_forward)
        };
        let up = |up: &UpParameters| {
            let join = Join { spatial: &up.spatial, gate: [&up.gate[0], &up.gate[1]], skip: &up.skip };
            Up::new(&up.norm, &up.deep, &join)
        };
        // The largest first.
        let (blocks, (downs, ups)) = rayon::join(
            || blocks.par_iter().with_max_len(1).map(block).collect(),
            || {
                let downs = downs.par_iter().map(|down| Down::new(&down.norm, &down.conv)).collect();
                (downs, ups.par_iter().map(up).collect())
            },
        );
        Self { stem: Stem::new(stem, stem_norm), downs, ups, blocks, head: Head::new(head) }
    }

    fn forward(&self, image: &Map) -> Map {
        let mut memory = Memory::default();
        let mut blocks = self.blocks.iter();
        let mut finish = |mut x: Blocked, memory: &mut Memory| {
            blocks.next().expect("each step has a block").forward(&mut x, memory);
            x
        };
        let mut x = finish(self.stem.forward(image, &mut memory), &mut memory);
        let mut skips = Vec::new();
        for down in &self.downs {
            let deeper = down.forward(&x, &mut memory);
            skips.push(x);
            x = finish(deeper, &mut memory);
        }
        for up in &self.ups {
            let skip = skips.pop().expect("there are as many steps up as down");
            x = finish(up.forward(x, skip, &mut memory), &mut memory);
        }
        self.head.forward(&x)
    }
}

/// Computes the logits `[n, classes, h, w]` of images `[n, channels, h, w]` that have the border
/// that the first convolution reads.
pub(crate) fn forward(parameters: &Parameters, image: &Map) -> Map {
    let [_, _, h, w] = image.shape();
    let [_, _, kh, kw] = parameters.stem[0].shape();
    on_workers(|| Prepared::new(parameters, [h + 1 - kh, w + 1 - kw]).forward(image))
}
