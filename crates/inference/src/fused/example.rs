//! A small AMSUnet as the exporter lowers it, for trying the kernels on a machine and for tests.

use seg_onnx::graph::{
    BatchNorm, BuildError, Conv, Coordinates, Dim, Graph, GraphBuilder, PadMode, ResizeMode, Scope, Tensor, Value,
};

/// Reproducible numbers. (The generator is Knuth's MMIX one, The Art of Computer Programming
/// 3.3.4.)
struct Random(u64);

impl Random {
    /// Returns the next number, in -1 to 1.
    fn number(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// Returns numbers about a middle.
    fn vector(&mut self, count: usize, middle: f32, reach: f32) -> Tensor {
        Tensor::vector((0..count).map(|_| middle + reach * self.number()).collect::<Vec<_>>())
    }

    /// Returns a weight that keeps the scale of what it multiplies.
    fn weight(&mut self, shape: [usize; 4]) -> Tensor {
        let scale = (3.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
        let values: Vec<_> = (0..shape.iter().product()).map(|_| scale * self.number()).collect();
        Tensor::new(shape, values).expect("as many values as the shape says")
    }

    fn norm(&mut self, channels: usize) -> BatchNorm {
        BatchNorm {
            weight: self.vector(channels, 1.0, 0.3),
            bias: self.vector(channels, 0.0, 0.3),
            running_mean: self.vector(channels, 0.0, 0.3),
            running_var: self.vector(channels, 1.0, 0.3),
            epsilon: 1e-5,
        }
    }
}

/// The sizes of the example.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The channels of the image.
    pub(crate) channels: usize,
    /// The channels of the first stage; those below have twice as many each.
    pub(crate) width: usize,
    /// The steps of the encoder.
    pub(crate) steps: usize,
    pub(crate) classes: usize,
}

impl Sizes {
    /// Sizes with a part empty block of channels and a full one.
    pub(crate) const SMALL: Self = Self { channels: 3, width: 6, steps: 2, classes: 2 };
}

/// Builds the network from an input to logits of the given names, for images of any size.
pub(crate) fn example(sizes: Sizes, input: &str, output: &str) -> Result<Graph, BuildError> {
    let Sizes { channels, width, steps, classes } = sizes;
    let mut random = Random(7);
    let mut builder = GraphBuilder::new("example");
    let image = builder.input(input, [Dim::batch(), (channels as i64).into(), Dim::height(), Dim::width()])?;
    let mut root = builder.root();

    let mut at = root.scope("in_conv");
    let x = at.pad("pad", image, [1; 4], PadMode::Reflect)?;
    let (weight, bias) = (random.weight([width, channels, 3, 3]), random.vector(width, 0.0, 0.3));
    let x = at.conv("conv", x, weight, Some(bias), Conv::default())?;
    let x = at.batch_norm("norm", x, random.norm(width))?;
    let x = at.gelu("gelu", x)?;
    let mut x = block(&mut at, &mut random, x, width, 1)?;
    let mut skips = Vec::new();
    for step in 0..steps {
        skips.push(x);
        let channels = width << step;
        let mut at = root.scope(&format!("down{}", step + 1));
        let normal = at.batch_norm("norm", x, random.norm(channels))?;
        let (weight, bias) = (random.weight([2 * channels, channels, 2, 2]), random.vector(2 * channels, 0.0, 0.3));
        let halved = at.conv("conv", normal, weight, Some(bias), Conv { strides: [2; 2], ..Conv::default() })?;
        x = block(&mut at, &mut random, halved, 2 * channels, step + 2)?;
    }
    for step in (0..steps).rev() {
        let channels = width << step;
        let mut at = root.scope(&format!("up{}", steps - step));
        let deep = at.batch_norm("norm", x, random.norm(2 * channels))?;
        let deep = at.upsample("upsample", deep, 2, ResizeMode::Linear, Coordinates::AlignCorners)?;
        let skip = skips.pop().expect("there are as many skips");
        let deep = at.pad_to_size_of("pad", deep, skip)?;
        let skip = rsc(&mut at, &mut random, skip, channels)?;
        let joined = at.concat_channels("joined", &[skip, deep])?;
        let joined = pointwise(&mut at, &mut random, "conv", joined, [channels, 3 * channels])?;
        x = block(&mut at, &mut random, joined, channels, 1)?;
    }
    let (weight, bias) = (random.weight([classes, width, 1, 1]), random.vector(classes, 0.0, 0.3));
    let logits = root.conv(output, x, weight, Some(bias), Conv::default())?;
    builder.finish(&[(output, logits)])
}

fn pointwise(
    at: &mut Scope<'_>,
    random: &mut Random,
    name: &str,
    x: Value,
    [rows, columns]: [usize; 2],
) -> Result<Value, BuildError> {
    let (weight, bias) = (random.weight([rows, columns, 1, 1]), random.vector(rows, 0.0, 0.3));
    at.conv(name, x, weight, Some(bias), Conv::default())
}

fn depthwise(
    at: &mut Scope<'_>,
    random: &mut Random,
    name: &str,
    x: Value,
    channels: usize,
    [height, width]: [usize; 2],
    dilation: usize,
) -> Result<Value, BuildError> {
    let [vertical, horizontal] = [height, width].map(|side| dilation * (side / 2));
    let pads = [vertical, horizontal, vertical, horizontal];
    let conv = Conv { pads, dilations: [dilation; 2], group: channels, ..Conv::default() };
    let (weight, bias) = (random.weight([channels, 1, height, width]), random.vector(channels, 0.0, 0.3));
    at.conv(name, x, weight, Some(bias), conv)
}

/// Builds AMSE.
fn block(
    at: &mut Scope<'_>,
    random: &mut Random,
    x: Value,
    channels: usize,
    dilation: usize,
) -> Result<Value, BuildError> {
    let at = &mut at.scope("amse");
    let y = at.batch_norm("norm1", x, random.norm(channels))?;
    let y = pointwise(at, random, "conv1", y, [channels; 2])?;
    let g = at.gelu("gelu1", y)?;
    let local = depthwise(at, random, "local", g, channels, [3; 2], 1)?;
    let atrous = depthwise(at, random, "atrous", local, channels, [3; 2], dilation)?;
    let mut sum = at.add("sum1", local, atrous)?;
    for length in [5, 7, 11] {
        let strip = depthwise(at, random, &format!("horizontal_{length}"), atrous, channels, [1, length], 1)?;
        let strip = depthwise(at, random, &format!("vertical_{length}"), strip, channels, [length, 1], 1)?;
        sum = at.add(&format!("sum_{length}"), sum, strip)?;
    }
    let mix = pointwise(at, random, "mix", sum, [channels; 2])?;
    let product = at.mul("product", mix, g)?;
    let y = pointwise(at, random, "conv2", product, [channels; 2])?;
    let y = at.batch_norm("norm2", y, random.norm(channels))?;
    let y = pointwise(at, random, "expand", y, [4 * channels, channels])?;
    let y = depthwise(at, random, "ffn", y, 4 * channels, [3; 2], 1)?;
    let y = at.gelu("gelu2", y)?;
    let y = pointwise(at, random, "project", y, [channels, 4 * channels])?;
    let sum = at.add("sum", y, x)?;
    at.gelu("gelu", sum)
}

/// Builds RSC.
fn rsc(at: &mut Scope<'_>, random: &mut Random, x: Value, channels: usize) -> Result<Value, BuildError> {
    let at = &mut at.scope("rsc");
    let place = at.conv("spatial", x, random.weight([1, channels, 1, 1]), None, Conv::default())?;
    let place = at.sigmoid("spatial_sigmoid", place)?;
    let place = at.mul("spatial_product", x, place)?;
    let channel = at.global_average_pool("average", x)?;
    let channel = pointwise(at, random, "reduce", channel, [channels.div_ceil(4), channels])?;
    let channel = at.relu("relu", channel)?;
    let channel = pointwise(at, random, "restore", channel, [channels, channels.div_ceil(4)])?;
    let channel = at.sigmoid("channel_sigmoid", channel)?;
    let channel = at.mul("channel_product", x, channel)?;
    let product = at.mul("product", place, channel)?;
    at.add("sum", x, product)
}
