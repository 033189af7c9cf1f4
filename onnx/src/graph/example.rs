//! A small network for tests: an encoder, a gate and a decoder, with operators of every kind and
//! trained statistics.

use crate::graph::*;

/// The channels of the full and of the halved image.
const CHANNELS: [usize; 2] = [4, 6];

/// Builds a graph from `input` `[batch, 3, height, width]` to `logits` `[batch, 2, height, width]`,
/// for any size from 2x2.
pub(crate) fn encoder_decoder() -> Graph {
    try_encoder_decoder().unwrap()
}

fn try_encoder_decoder() -> Result<Graph, BuildError> {
    let mut random = Random(7);
    let mut builder = GraphBuilder::new("example");
    let image = builder.input("input", [Dim::batch(), Dim::from(3), Dim::height(), Dim::width()])?;
    let mut root = builder.root();
    let [full, half] = CHANNELS;

    let mut stem = root.scope("in_conv");
    let x = stem.pad("reflect", image, [1; 4], PadMode::Reflect)?;
    let x = stem.conv("conv", x, random.tensor([full, 3, 3, 3]), None, Conv::default())?;
    let x = stem.batch_norm("norm", x, random.batch_norm(full))?;
    let skip = stem.gelu("gelu", x)?;

    let mut down = root.scope("down");
    let x = down.batch_norm("norm", skip, random.batch_norm(full))?;
    let halved = Conv { strides: [2, 2], ..Conv::default() };
    let x = down.conv("conv", x, random.tensor([half, full, 2, 2]), Some(random.tensor([half])), halved)?;
    let strip = Conv { pads: [0, 2, 0, 2], dilations: [1, 2], group: half, ..Conv::default() };
    let x = down.conv("strip", x, random.tensor([half, 1, 1, 3]), Some(random.tensor([half])), strip)?;
    let deep = down.gelu("gelu", x)?;

    let mut gate = root.scope("gate");
    let x = gate.global_average_pool("average", deep)?;
    let x = gate.conv("squeeze", x, random.tensor([2, half, 1, 1]), None, Conv::default())?;
    let x = gate.relu("relu", x)?;
    let x = gate.conv("excite", x, random.tensor([half, 2, 1, 1]), None, Conv::default())?;
    let x = gate.sigmoid("sigmoid", x)?;
    let x = gate.mul("product", deep, x)?;
    let deep = gate.add("sum", deep, x)?;

    let mut up = root.scope("up");
    let x = up.batch_norm("norm", deep, random.batch_norm(half))?;
    let x = up.upsample("upsample", x, 2, ResizeMode::Linear, Coordinates::AlignCorners)?;
    let x = up.pad_to_size_of("pad", x, skip)?;
    let x = up.concat_channels("concat", &[skip, x])?;
    let logits = up.conv("conv", x, random.tensor([2, full + half, 1, 1]), None, Conv::default())?;
    builder.finish(&[("logits", logits)])
}

/// A generator of reproducible numbers for weights and images.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Returns the next number, in -1 to 1. (The generator is Knuth's MMIX one, The Art of Computer
    /// Programming 3.3.4.)
    pub(crate) fn number(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Returns a tensor of numbers in -1 to 1.
    pub(crate) fn tensor<const N: usize>(&mut self, shape: [usize; N]) -> Tensor {
        let elements: Vec<f32> = (0..shape.iter().product()).map(|_| self.number()).collect();
        Tensor::new(shape, elements).unwrap()
    }

    /// Returns statistics as training leaves them: no factor is 1, no shift 0, and the variance is
    /// positive.
    pub(crate) fn batch_norm(&mut self, channels: usize) -> BatchNorm {
        let variance: Vec<f32> = (0..channels).map(|_| 1.5 + self.number()).collect();
        BatchNorm {
            weight: self.tensor([channels]),
            bias: self.tensor([channels]),
            running_mean: self.tensor([channels]),
            running_var: Tensor::vector(variance),
            epsilon: 1e-5,
        }
    }
}
