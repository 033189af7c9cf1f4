//! A U-shaped network of these parts, from the image to the logits.

use super::up::Join;
use super::{Amse, Blocked, Constants, Dense, Down, Head, Memory, Stem, Up, Weights, map_each};
use crate::chain::DEPTHWISE;
use crate::map::Map;
use crate::operator::on_workers;

/// The parameters of a block.
#[derive(Clone, Debug)]
pub struct BlockParameters {
    /// The first layer of the first half.
    pub expand: Dense,
    /// Its depthwise convolutions, see [`DEPTHWISE`].
    pub depthwise: [Weights; DEPTHWISE],
    /// The layer behind them.
    pub mix: Dense,
    /// Its last layer; nothing where the second half's first has taken it in.
    pub project: Option<Dense>,
    /// The dilation of its atrous convolution.
    pub dilation: usize,
    /// The expansion of the second half.
    pub widen: Dense,
    /// Its depthwise convolution.
    pub local: Weights,
    /// Its projection.
    pub narrow: Dense,
}

/// The parameters of a step that halves the size.
#[derive(Clone, Debug)]
pub struct DownParameters {
    /// The 2x2 convolution.
    pub conv: Dense,
    /// Parameters of the block.
    pub block: BlockParameters,
}

/// The parameters of a step that doubles the size.
#[derive(Clone, Debug)]
pub struct UpParameters {
    /// Weights of the skip's places, `[1, c, 1, 1]`.
    pub spatial: Map,
    /// Layers behind the weights of the skip's channels.
    pub gate: [Weights; 2],
    /// The 1x1 convolution of the skip's channels, and its bias.
    pub skip: Dense,
    /// The same layer for the deep map's channels, without a bias.
    pub deep: Dense,
    /// Parameters of the block.
    pub block: BlockParameters,
}

/// The parameters of the network.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// The first convolution.
    pub stem: Weights,
    /// The normalisation behind it.
    pub stem_norm: Constants,
    /// The first block.
    pub stem_block: BlockParameters,
    /// The steps of the encoder.
    pub downs: Vec<DownParameters>,
    /// The steps of the decoder, from the deepest on, as many.
    pub ups: Vec<UpParameters>,
    /// The 1x1 convolution to the logits.
    pub head: Dense,
}

/// The place of a map between the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the first convolution's GELU.
    Stem,
    /// Behind a block, counted from the first.
    Block(usize),
    /// Behind what halves or doubles the map of the block of this number: before the next block.
    Step(usize),
}

/// A step between two blocks.
enum Step<'a> {
    Down(&'a Down),
    Up(&'a Up),
}

/// The network for images of one size: its parameters as the operators read them.
pub struct Network {
    stem: Stem,
    downs: Vec<Down>,
    ups: Vec<Up>,
    blocks: Vec<Amse>,
    head: Head,
}

impl Network {
    /// Prepares the parameters for images of a height and a width, without the border.
    pub fn new(parameters: &Parameters, size: [usize; 2]) -> Self {
        let Parameters { stem, stem_norm, stem_block, downs, ups, head } = parameters;
        let halved = |times: usize| size.map(|side| side >> times);
        let mut blocks = vec![(stem_block, size)];
        blocks.extend(downs.iter().enumerate().map(|(step, down)| (&down.block, halved(step + 1))));
        blocks.extend(ups.iter().enumerate().map(|(step, up)| (&up.block, halved(ups.len() - 1 - step))));
        let up = |up: &UpParameters| {
            let join = Join { spatial: &up.spatial, gate: [&up.gate[0], &up.gate[1]], skip: &up.skip };
            Up::new(&up.deep, &join)
        };
        let blocks = map_each(blocks.len(), &|index| Amse::new(blocks[index].1, blocks[index].0));
        let downs = map_each(downs.len(), &|step| Down::new(&downs[step].conv));
        let ups = map_each(ups.len(), &|step| up(&ups[step]));
        Self { stem: Stem::new(stem, stem_norm), downs, ups, blocks, head: Head::new(head) }
    }

    /// Computes the logits `[n, classes, h, w]` of images `[n, channels, h, w]` that have the
    /// border that the first convolution reads. The maps lie in `memory`.
    pub fn forward(&self, image: &Map, memory: &mut Memory) -> Map {
        self.run(image, memory, &mut |_, _| {})
    }

    /// Computes the logits, and shows the maps between the stages as planes.
    pub fn forward_observed(&self, image: &Map, memory: &mut Memory, mut see: impl FnMut(Place, Map)) -> Map {
        self.run(image, memory, &mut |place, map| see(place, map.planes()))
    }

    fn run(&self, image: &Map, memory: &mut Memory, see: &mut dyn FnMut(Place, &Blocked)) -> Map {
        let mut x = self.stem.forward(image, memory);
        see(Place::Stem, &x);
        let mut skips = Vec::new();
        let mut steps = self.downs.iter().map(Step::Down).chain(self.ups.iter().map(Step::Up));
        for (index, block) in self.blocks.iter().enumerate() {
            block.forward(&mut x, memory);
            see(Place::Block(index), &x);
            x = match steps.next() {
                None => break,
                Some(Step::Down(down)) => {
                    let deeper = down.forward(&x, memory);
                    skips.push(x);
                    deeper
                }
                Some(Step::Up(up)) => {
                    let skip = skips.pop().expect("there are as many steps up as down");
                    up.forward(x, skip, memory)
                }
            };
            see(Place::Step(index), &x);
        }
        let logits = self.head.forward(&x);
        memory.give(x);
        logits
    }
}

/// Computes the logits `[n, classes, h, w]` of images `[n, channels, h, w]` that have the border
/// that the first convolution reads.
pub fn forward(parameters: &Parameters, image: &Map) -> Map {
    let [_, _, h, w] = image.shape();
    let [_, _, kh, kw] = parameters.stem[0].shape();
    on_workers(|| Network::new(parameters, [h + 1 - kh, w + 1 - kw]).forward(image, &mut Memory::default()))
}
