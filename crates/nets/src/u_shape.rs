//! The U shape: a stem, four steps that halve the size, four that double it again, and a head.

use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

use crate::kernels::pointwise;
use crate::topology::{IMAGE, Stage, inputs as exactly};

/// The stages of a U-shaped network. A step of the decoder reads the deep features, then the skip.
pub const STAGES: [Stage; 10] = [
    Stage::new("in_conv", &[IMAGE]),
    Stage::new("down1", &["in_conv"]),
    Stage::new("down2", &["down1"]),
    Stage::new("down3", &["down2"]),
    Stage::new("down4", &["down3"]),
    Stage::new("up1", &["down4", "down3"]),
    Stage::new("up2", &["up1", "down2"]),
    Stage::new("up3", &["up2", "down1"]),
    Stage::new("up4", &["up3", "in_conv"]),
    Stage::new("out_conv", &["up4"]),
];

/// The shortest side of an image that a U-shaped network takes, in pixels: four halvings leave one.
pub const SIDE_MIN: usize = 16;

/// The modules of a U-shaped network.
#[derive(Debug)]
pub struct UShape<'a, Stem, Down, Up> {
    /// The first stage, at full size.
    pub stem: &'a Stem,
    /// The steps of the encoder, from 1/2 to 1/16 of the size.
    pub downs: [&'a Down; 4],
    /// The steps of the decoder, from 1/8 of the size to the full one.
    pub ups: [&'a Up; 4],
    /// The 1x1 convolution to the logits.
    pub head: &'a Conv2d,
}

/// The module of a stage.
#[derive(Debug)]
pub enum Part<'a, Stem, Down, Up> {
    /// The first stage.
    Stem(&'a Stem),
    /// A step of the encoder.
    Down(&'a Down),
    /// A step of the decoder.
    Up(&'a Up),
    /// The 1x1 convolution to the logits.
    Head(&'a Conv2d),
}

impl<'a, Stem, Down, Up> UShape<'a, Stem, Down, Up> {
    /// Returns the module of a stage.
    ///
    /// # Panics
    /// When the stage is not among [`STAGES`].
    pub fn part(&self, stage: &Stage) -> Part<'a, Stem, Down, Up> {
        match STAGES.iter().position(|candidate| candidate.name == stage.name) {
            Some(0) => Part::Stem(self.stem),
            Some(position @ 1..=4) => Part::Down(self.downs[position - 1]),
            Some(position @ 5..=8) => Part::Up(self.ups[position - 5]),
            Some(_) => Part::Head(self.head),
            None => panic!("`{}` is not a stage of a U-shaped network", stage.name),
        }
    }

    /// Computes the output of a stage from its inputs, by the modules' own functions; that of a
    /// step of the decoder takes the deep features, then the skip.
    ///
    /// # Panics
    /// When the stage is not among [`STAGES`] or has other inputs.
    pub fn compute(
        &self,
        stage: &Stage,
        inputs: Vec<Tensor<4>>,
        stem: impl FnOnce(&Stem, Tensor<4>) -> Tensor<4>,
        down: impl FnOnce(&Down, Tensor<4>) -> Tensor<4>,
        up: impl FnOnce(&Up, Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        match self.part(stage) {
            Part::Stem(module) => stem(module, only(inputs)),
            Part::Down(module) => down(module, only(inputs)),
            Part::Head(layer) => pointwise(layer, only(inputs)),
            Part::Up(module) => {
                let [deep, skip] = exactly(inputs);
                up(module, deep, skip)
            }
        }
    }
}

/// Returns the only input of a stage.
fn only(inputs: Vec<Tensor<4>>) -> Tensor<4> {
    let [x] = exactly(inputs);
    x
}
