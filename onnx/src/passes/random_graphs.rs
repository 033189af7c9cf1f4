//! Test that random small graphs keep their results through every pass.
//!
//! Weights are quarters and deviations powers of two, so that hardly any rewritten weight is
//! rounded.

use super::agreement::assert_agree;
use super::{PASSES, run, run_selected};
use crate::graph::example::Random;
use crate::graph::{
    BatchNorm, BuildError, Conv, Coordinates, Dim, Graph, GraphBuilder, MaxPool, Op, PadMode, ResizeMode, Scope,
    Tensor, Value,
};
use crate::{Opset, Target};

/// Composes operators that fit each other, drawn from the seed.
struct Composer {
    random: Random,
    /// The images of all channels and sizes so far.
    images: Vec<Value>,
}

impl Composer {
    fn below(&mut self, end: usize) -> usize {
        let unit = f64::from(self.random.number()) / 2.0 + 0.5;
        ((unit * end as f64) as usize).min(end - 1)
    }

    fn choose(&mut self) -> Value {
        // The newest is drawn half the time, so that operators form chains.
        let back = if self.below(2) == 0 { 1 } else { 1 + self.below(self.images.len()) };
        self.images[self.images.len() - back]
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    fn tensor<const N: usize>(&mut self, shape: [usize; N]) -> Tensor {
        let elements: Vec<f32> =
            (0..shape.iter().product()).map(|_| (self.random.number() * 4.0).round() / 4.0).collect();
        Tensor::new(shape, elements).unwrap()
    }

    fn batch_norm(&mut self, channels: usize) -> BatchNorm {
        let variances = (0..channels).map(|_| [0.25, 1.0, 4.0][self.below(3)]).collect::<Vec<f32>>();
        let [weight, bias, running_mean] = [(); 3].map(|()| self.tensor([channels]));
        BatchNorm { weight, bias, running_mean, running_var: Tensor::vector(variances), epsilon: 0.0 }
    }

    fn conv(&mut self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, BuildError> {
        let channels = channels(at, x)?;
        let depthwise = self.below(3) == 0;
        let filters = if depthwise { channels } else { [4, 6, 8][self.below(3)] };
        let group = if depthwise { channels } else { 1 };
        let [height, width] = [1 + 2 * self.below(2), 1 + 2 * self.below(3)];
        let [height, width] = if self.flag() { [height, width] } else { [1, 1] };
        let pads = [height / 2, width / 2, height / 2, width / 2];
        let weight = self.tensor([filters, channels / group, height, width]);
        let bias = self.flag().then(|| self.tensor([filters]));
        at.conv(name, x, weight, bias, Conv { pads, group, ..Conv::default() })
    }

    /// Builds a map halved, perhaps normalised, enlarged, padded to the map again, and joined with
    /// it.
    fn up(&mut self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, BuildError> {
        let at = &mut at.scope(name);
        let channels = channels(at, x)?;
        let halved = Conv { strides: [2, 2], ..Conv::default() };
        let mut deep = at.conv("half", x, self.tensor([4, channels, 2, 2]), None, halved)?;
        if self.flag() {
            deep = at.batch_norm("norm", deep, self.batch_norm(4))?;
        }
        let coordinates = [Coordinates::AlignCorners, Coordinates::HalfPixel][self.below(2)];
        let deep = at.upsample("upsample", deep, 2, ResizeMode::Linear, coordinates)?;
        let deep = at.pad_to_size_of("pad", deep, x)?;
        let parts = if self.flag() { [x, deep] } else { [deep, x] };
        let joined = at.concat_channels("joined", &parts)?;
        let filters = [2, 4][self.below(2)];
        let bias = self.flag().then(|| self.tensor([filters]));
        at.conv("conv", joined, self.tensor([filters, channels + 4, 1, 1]), bias, Conv::default())
    }

    /// Builds strips over a depthwise convolution, added up in a random order.
    fn strips(&mut self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, BuildError> {
        let at = &mut at.scope(name);
        let channels = channels(at, x)?;
        let mut depthwise = |composer: &mut Self, name: &str, x: Value, [height, width]: [usize; 2]| {
            let conv =
                Conv { pads: [height / 2, width / 2, height / 2, width / 2], group: channels, ..Conv::default() };
            let bias = composer.flag().then(|| composer.tensor([channels]));
            at.conv(name, x, composer.tensor([channels, 1, height, width]), bias, conv)
        };
        let map = depthwise(self, "map", x, [3, 3])?;
        let mut terms = vec![x, map];
        for (name, len) in [("a", 3), ("b", 5)] {
            let first = depthwise(self, &format!("{name}.first"), map, [1, len])?;
            terms.push(depthwise(self, &format!("{name}.second"), first, [len, 1])?);
        }
        let mut sum = terms.remove(self.below(terms.len()));
        while !terms.is_empty() {
            let term = terms.remove(self.below(terms.len()));
            let name = format!("sum{}", terms.len());
            sum = if self.flag() { at.add(&name, sum, term)? } else { at.add(&name, term, sum)? };
        }
        Ok(sum)
    }

    /// Builds a middle that is wider than the ends.
    fn wide(&mut self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, BuildError> {
        let at = &mut at.scope(name);
        let channels = channels(at, x)?;
        let wide = 128;
        let bias = self.flag().then(|| self.tensor([wide]));
        let y = at.conv("expand", x, self.tensor([wide, channels, 1, 1]), bias, Conv::default())?;
        let local = Conv { pads: [1, 0, 1, 0], group: wide, ..Conv::default() };
        let y = at.conv("local", y, self.tensor([wide, 1, 3, 1]), None, local)?;
        let y = at.node("active", [Op::Gelu, Op::Relu][self.below(2)].clone(), &[y])?;
        let y = at.conv("project", y, self.tensor([channels, wide, 1, 1]), None, Conv::default())?;
        if self.flag() { at.add("sum", y, x) } else { Ok(y) }
    }

    /// Builds the image times a factor for each pixel and one for each channel.
    fn gates(&mut self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, BuildError> {
        let at = &mut at.scope(name);
        let channels = channels(at, x)?;
        let place = at.conv("place", x, self.tensor([1, channels, 1, 1]), None, Conv::default())?;
        let channel = at.global_average_pool("average", x)?;
        let channel = match self.below(3) {
            0 => at.sigmoid("channel", channel)?,
            1 => self.excite(at, "channel", channel)?,
            _ => {
                let largest = at.global_max_pool("largest", x)?;
                let [one, two] = [self.excite(at, "one", channel)?, self.excite(at, "two", largest)?];
                at.add("channel", one, two)?
            }
        };
        let places = at.mul("places", x, place)?;
        let channels = at.mul("channels", x, channel)?;
        let product = at.mul("product", places, channels)?;
        at.add("sum", x, product)
    }

    /// Builds factors of channels from values of one pixel.
    fn excite(&mut self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, BuildError> {
        let at = &mut at.scope(name);
        let channels = channels(at, x)?;
        let bias = self.flag().then(|| self.tensor([2]));
        let y = at.conv("reduce", x, self.tensor([2, channels, 1, 1]), bias, Conv::default())?;
        let y = at.relu("relu", y)?;
        let y = at.conv("restore", y, self.tensor([channels, 2, 1, 1]), None, Conv::default())?;
        at.sigmoid("sigmoid", y)
    }

    /// Builds rows that are shifted, then channels that are mixed by a product of matrices.
    fn tokens(&mut self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, BuildError> {
        let at = &mut at.scope(name);
        let channels = channels(at, x)?;
        let y = at.pad("pad", x, [1, 0, 2, 0], PadMode::Constant)?;
        let start = self.below(3) as i64;
        let y = at.slice("slice", y, [(2, start, start - 3)])?;
        let y = at.transpose("channels_last", y, [0, 2, 3, 1])?;
        let weight = at.constant("weight", self.tensor([channels, channels]))?;
        let y = at.mat_mul("product", y, weight)?;
        let y = at.transpose("channels_first", y, [0, 3, 1, 2])?;
        let y = at.reshape("groups", y, [0, 2, -1, 0])?;
        let y = at.reshape("channels", y, [0, channels as i64, -1, 0])?;
        if self.flag() { at.add("sum", x, y) } else { Ok(y) }
    }

    fn step(&mut self, at: &mut Scope<'_>, name: &str) -> Result<Value, BuildError> {
        let x = self.choose();
        match self.below(13) {
            0..3 => self.conv(at, name, x),
            3 => at.batch_norm(name, x, {
                let channels = channels(at, x)?;
                self.batch_norm(channels)
            }),
            4 => at.node(name, [Op::Gelu, Op::Sigmoid, Op::Identity][self.below(3)].clone(), &[x]),
            5 => self.up(at, name, x),
            6 => self.strips(at, name, x),
            7 => self.gates(at, name, x),
            9 => self.wide(at, name, x),
            12 => self.tokens(at, name, x),
            10 => {
                let pool = MaxPool { kernel: [3, 2], strides: [1, 1], pads: [1, 0, 1, 1] };
                at.max_pool(name, x, pool)
            }
            8 => {
                let amount = self.below(2) as u32;
                let padded = at.pad(&format!("{name}.pad"), x, [amount, 0, 0, amount], PadMode::Constant)?;
                let channels = channels(at, x)?;
                at.conv(
                    name,
                    padded,
                    self.tensor([4, channels, 1 + amount as usize, 1 + amount as usize]),
                    None,
                    Conv::default(),
                )
            }
            _ => {
                // Joins any two that fit, by a sum or by what both are concatenated to.
                let y = self.choose();
                match at.add(name, x, y) {
                    Err(_) => at.node(&format!("{name}.same"), Op::Identity, &[x]),
                    sum => sum,
                }
            }
        }
    }
}

fn channels(at: &Scope<'_>, x: Value) -> Result<usize, BuildError> {
    Ok(at.type_of(x)?.shape[1].as_constant().unwrap().try_into().unwrap())
}

/// Creates a random graph. Every other one takes images of one odd size only, for which paddings
/// are constant.
fn graph(seed: u64) -> Graph {
    let mut builder = GraphBuilder::new("random");
    let [height, width] = if seed.is_multiple_of(2) { [Dim::height(), Dim::width()] } else { [7, 9].map(Dim::from) };
    let image = builder.input("image", [Dim::batch(), 4.into(), height, width]).unwrap();
    let mut composer = Composer { random: Random(seed), images: vec![image] };
    let mut root = builder.root();
    for step in 0..7 {
        let value = composer.step(&mut root, &format!("step{step}")).unwrap();
        composer.images.push(value);
    }
    let last = root.relu("last", composer.images[7]).unwrap();
    let mut graph = builder.finish(&[("y", last)]).unwrap();
    graph.tidy();
    graph
}

const SEEDS: std::ops::Range<u64> = 0..40;

#[test]
fn random_graphs_keep_what_they_compute() {
    let mut fired = std::collections::BTreeMap::<_, usize>::new();
    // This opset has `ReduceMean` and lacks `Gelu`.
    let opset = Opset::try_from(19).unwrap();
    for seed in SEEDS {
        let before = graph(seed);
        for target in [Target::Cpu, Target::TensorRt] {
            let mut after = before.clone();
            for report in run(&mut after, opset, target).unwrap() {
                *fired.entry(report.pass).or_default() += report.places.len();
            }
            assert_agree(&before, &after);
        }
    }
    for pass in PASSES {
        let times = fired.get(pass.name).copied().unwrap_or(0);
        assert!(times > 0, "{} never fired", pass.name);
    }
}

#[test]
fn each_pass_alone_keeps_what_a_random_graph_computes() {
    for seed in SEEDS {
        let before = graph(1000 + seed);
        for pass in PASSES {
            let mut after = before.clone();
            if !run_selected(&mut after, [pass]).unwrap()[0].places.is_empty() {
                assert_agree(&before, &after);
            }
        }
    }
}
