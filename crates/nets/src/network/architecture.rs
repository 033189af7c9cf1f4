//! The traits of every network and of its configuration.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use burn::tensor::{Device, Tensor};
use seg_contract::Sides;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::NetworkName;
use crate::parameters::{Parameters, num_statistics};
use crate::topology::{Stage, is_head, walk};

/// A network of the list.
pub trait Named: Parameters {
    /// Returns the name of the network.
    fn network(&self) -> NetworkName;

    /// Returns the options that differ from their defaults, by their names.
    fn options(&self) -> BTreeMap<String, String>;
}

/// The modules of a network.
pub trait Architecture: Named {
    /// The configuration of the network.
    type Config: Configuration<Network = Self>;

    /// Returns the configuration that the weights' shapes imply.
    fn config(&self) -> Self::Config;

    /// Returns the stages in the order in which they are computed. The output of the last one is
    /// the logits, `[n, num_classes, h, w]`.
    fn stages(&self) -> &'static [Stage];

    /// Returns the stages that training computes: those of [`stages`](Self::stages) and, in a
    /// network with deep supervision, the other heads.
    ///
    /// The heads, whose outputs no stage reads, come last, and the last of them gives the logits.
    fn training_stages(&self) -> &'static [Stage] {
        self.stages()
    }

    /// Computes the output of a stage from its inputs.
    ///
    /// # Panics
    /// When the stage is not one of [`training_stages`](Self::training_stages), or has other
    /// inputs.
    fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4>;

    /// Computes the logits, in the type that the input has: maps have it too, while parameters stay
    /// float32.
    ///
    /// # Shapes
    /// - input: `[n, in_channels, h, w]`, of a size that the network's [`Sides`] allow
    /// - output: logits, `[n, num_classes, h, w]`
    fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        self.forward_observed(image, |_, _| {})
    }

    /// Computes [`forward`](Self::forward) and shows each stage's output under the stage's name.
    fn forward_observed(&self, image: Tensor<4>, mut observe: impl FnMut(&str, &Tensor<4>)) -> Tensor<4> {
        let Ok(logits) = walk(self.stages(), image, |stage, inputs| {
            let output = self.compute(stage, inputs);
            observe(stage.name, &output);
            Ok::<_, Infallible>(output)
        });
        logits
    }

    /// Computes the logits of all heads, in the order of
    /// [`training_stages`](Self::training_stages); the last are those of
    /// [`forward`](Self::forward). The loss is the mean of theirs.
    ///
    /// # Shapes
    /// - input: `[n, in_channels, h, w]`
    /// - output: logits, each `[n, num_classes, h, w]`
    fn forward_supervised(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        let stages = self.training_stages();
        let mut logits = Vec::new();
        let Ok(_) = walk(stages, image, |stage, inputs| {
            let output = self.compute(stage, inputs);
            if is_head(stages, stage) {
                logits.push(output.clone());
            }
            Ok::<_, Infallible>(output)
        });
        logits
    }

    /// Returns the number of learnable parameters; running statistics are not among them.
    fn num_learnable(&self) -> usize {
        self.num_params() - num_statistics(self)
    }
}

/// The configuration of a network.
pub trait Configuration: Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned {
    /// The network.
    type Network: Architecture<Config = Self>;

    /// The code or the paper that the network was built after, for people.
    const SOURCE: &'static str = "";

    /// The settings that have a default, which files leave out.
    const OPTIONS: &'static [NetworkOption] = &[];

    /// Returns the configuration of the published network for images and classes of these numbers.
    fn published(in_channels: usize, num_classes: usize) -> Self;

    /// Returns the configuration that the shapes of weights imply. `shape_of` returns the shape of
    /// a weight by its published name, with ones behind it up to four axes.
    ///
    /// # Errors
    /// When a weight that the configuration follows from is missing or has another rank.
    fn from_shapes(shape_of: &ShapeOf<'_>) -> Result<Self, MissingParameter>;

    /// Makes the network with fresh weights.
    fn init(&self, device: &Device) -> Self::Network;

    /// Returns the image's channels.
    fn in_channels(&self) -> usize;

    /// Returns the number of classes, the background among them.
    fn num_classes(&self) -> usize;

    /// Returns the settings beside channels and classes, by their names; of the
    /// [options](Self::OPTIONS) those that differ from their defaults.
    fn settings(&self) -> Vec<(&'static str, String)>;

    /// Returns the sizes of images that the network takes.
    fn sides(&self) -> Sides;

    /// Returns a side of the network's smallest maps, for that side of an image.
    fn smallest_side(&self, side: usize) -> usize {
        side / self.sides().min
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    fn check(&self) -> Result<(), SettingError>;
}

/// A setting of a network that has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkOption {
    /// The name in configurations and on the command line.
    pub name: &'static str,
    /// The values that it takes, the default first, for people.
    pub values: &'static str,
    /// True if the names and shapes of weights tell its value.
    pub in_weights: bool,
    /// The option and its value without which this one keeps its default.
    pub only_with: Option<(&'static str, &'static str)>,
}

impl NetworkOption {
    /// Returns the value of the published network, as it is typed.
    pub fn published(&self) -> &'static str {
        self.values.split([' ', ',']).next().unwrap_or(self.values)
    }
}

/// Returns the shape of a weight by the parameter's published name; a weight of fewer than four
/// axes has ones behind them.
pub type ShapeOf<'a> = dyn Fn(&str) -> Result<[usize; 4], MissingParameter> + 'a;

/// A parameter that is missing or has another rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingParameter {
    /// The published name.
    pub name: String,
}

/// A setting out of its range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the setting `{name}` is {found}, expected {expected}")]
pub struct SettingError {
    /// The setting.
    pub name: &'static str,
    /// Its value.
    pub found: String,
    /// The range.
    pub expected: String,
}
