//! The configuration of a U-shaped network: its channels, its classes, the width of its stages, and
//! the options that it has.

use std::fmt;
use std::marker::PhantomData;

use burn::tensor::Device;
use seg_contract::Sides;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::network::{Architecture, Configuration, MissingParameter, NetworkOption, SettingError, ShapeOf};
use crate::u_shape::SIDE_MIN;

/// A U-shaped network that [`UShapeConfig`] configures; `O` are its options.
pub trait UShaped<O: Options = NoOptions>: Architecture<Config = UShapeConfig<Self, O>> {
    /// The number that the channels of the first stage are a multiple of.
    const BASE_WIDTH_MULTIPLE: usize;

    /// The channels of the first stage of the published network.
    const BASE_WIDTH: usize = 32;

    /// The sizes of images that the network takes.
    const SIDES: Sides = Sides::at_least(SIDE_MIN);

    /// The factor by which the deepest maps are smaller than the image.
    const REDUCTION: usize = Self::SIDES.min;

    /// The published name of the weight of the first convolution, `[base_width, in_channels, kh,
    /// kw]`.
    const STEM: &'static str = "in_conv.0.weight";

    /// The published names that the weight of the convolution to the logits may have,
    /// `[num_classes, base_width, 1, 1]`.
    const HEADS: &'static [&'static str] = &["out_conv.0.weight"];

    /// The code or the paper that the network was built after, for people.
    const SOURCE: &'static str = "";

    /// Makes the network with fresh weights.
    fn from_config(config: &UShapeConfig<Self, O>, device: &Device) -> Self;
}

/// The settings of a U-shaped network that have a default.
pub trait Options: Clone + fmt::Debug + Default + PartialEq + Serialize + DeserializeOwned {
    /// The settings, in the order in which they are written.
    const OPTIONS: &'static [NetworkOption];

    /// Returns the options that names and shapes of weights imply; the defaults where these cannot
    /// tell.
    fn from_shapes(shape_of: &ShapeOf<'_>) -> Self;

    /// Returns those that differ from their defaults, by their names.
    fn settings(&self) -> Vec<(&'static str, String)>;

    /// Checks the options.
    ///
    /// # Errors
    /// The first one that is out of its range.
    fn check(&self) -> Result<(), SettingError> {
        Ok(())
    }
}

/// The options of a network that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoOptions {}

impl Options for NoOptions {
    const OPTIONS: &'static [NetworkOption] = &[];

    fn from_shapes(_: &ShapeOf<'_>) -> Self {
        Self {}
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Configuration of a U-shaped network.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "O: Serialize", deserialize = "O: DeserializeOwned"))]
pub struct UShapeConfig<N, O = NoOptions> {
    /// The image's channels.
    pub in_channels: usize,
    /// The classes, one logit each, the background among them.
    pub num_classes: usize,
    /// The channels of the first stage, a multiple of [`UShaped::BASE_WIDTH_MULTIPLE`]; those of
    /// the deeper ones are multiples of it.
    pub base_width: usize,
    /// The settings that have a default.
    #[serde(flatten)]
    pub options: O,
    /// The network, by its type alone.
    #[serde(skip)]
    network: PhantomData<fn() -> N>,
}

impl<N: UShaped<O>, O: Options> UShapeConfig<N, O> {
    /// Returns the published settings: 3 channels, 2 classes, the published base width.
    #[allow(clippy::new_without_default, reason = "as the configurations that Burn derives")]
    pub fn new() -> Self {
        let options = O::default();
        Self { in_channels: 3, num_classes: 2, base_width: N::BASE_WIDTH, options, network: PhantomData }
    }

    /// Returns the configuration that the weights of two convolutions imply, with the default
    /// options.
    ///
    /// # Shapes
    /// - stem, the first convolution: `[base_width, in_channels, kh, kw]`
    /// - head, the convolution to the logits: `[num_classes, base_width, 1, 1]`
    pub fn from_dims(stem: [usize; 4], head: [usize; 4]) -> Self {
        let ([base_width, in_channels, _, _], [num_classes, _, _, _]) = (stem, head);
        Self { in_channels, num_classes, base_width, ..Self::new() }
    }

    /// Makes the network with fresh weights.
    pub fn init(&self, device: &Device) -> N {
        N::from_config(self, device)
    }
}

impl<N, O> UShapeConfig<N, O> {
    /// Returns the configuration with a number of channels of the image.
    pub fn with_in_channels(self, in_channels: usize) -> Self {
        Self { in_channels, ..self }
    }

    /// Returns the configuration with a number of classes.
    pub fn with_num_classes(self, num_classes: usize) -> Self {
        Self { num_classes, ..self }
    }

    /// Returns the configuration with a number of channels of the first stage.
    pub fn with_base_width(self, base_width: usize) -> Self {
        Self { base_width, ..self }
    }

    /// Returns the configuration with options.
    pub fn with_options(self, options: O) -> Self {
        Self { options, ..self }
    }
}

impl<N: UShaped<O>, O: Options> Configuration for UShapeConfig<N, O> {
    type Network = N;

    const SOURCE: &'static str = N::SOURCE;

    const OPTIONS: &'static [NetworkOption] = O::OPTIONS;

    fn published(in_channels: usize, num_classes: usize) -> Self {
        Self::new().with_in_channels(in_channels).with_num_classes(num_classes)
    }

    fn from_shapes(shape_of: &ShapeOf<'_>) -> Result<Self, MissingParameter> {
        let stem = shape_of(N::STEM)?;
        let heads = N::HEADS.iter().map(|name| shape_of(name));
        // The first name stands for all of them where none is there.
        let head = heads.reduce(|first, next| if first.is_ok() || next.is_err() { first } else { next });
        let head = head.expect("a network has a head")?;
        Ok(Self::from_dims(stem, head).with_options(O::from_shapes(shape_of)))
    }

    fn init(&self, device: &Device) -> N {
        Self::init(self, device)
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let width = ("base_width", self.base_width.to_string());
        std::iter::once(width).chain(self.options.settings()).collect()
    }

    fn sides(&self) -> Sides {
        N::SIDES
    }

    fn smallest_side(&self, side: usize) -> usize {
        side / N::REDUCTION
    }

    fn check(&self) -> Result<(), SettingError> {
        if self.base_width == 0 || !self.base_width.is_multiple_of(N::BASE_WIDTH_MULTIPLE) {
            let expected = match N::BASE_WIDTH_MULTIPLE {
                1 => "at least 1".into(),
                multiple => format!("a positive multiple of {multiple}"),
            };
            return Err(SettingError { name: "base_width", found: self.base_width.to_string(), expected });
        }
        self.options.check()
    }
}

// Derived, these would ask the network for the same traits.

impl<N, O: Clone> Clone for UShapeConfig<N, O> {
    fn clone(&self) -> Self {
        Self { options: self.options.clone(), ..*self }
    }
}

impl<N, O: PartialEq> PartialEq for UShapeConfig<N, O> {
    fn eq(&self, other: &Self) -> bool {
        let [own, others] = [self, other].map(|config| (config.in_channels, config.num_classes, config.base_width));
        own == others && self.options == other.options
    }
}

impl<N, O: fmt::Debug> fmt::Debug for UShapeConfig<N, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UShapeConfig")
            .field("in_channels", &self.in_channels)
            .field("num_classes", &self.num_classes)
            .field("base_width", &self.base_width)
            .field("options", &self.options)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amsunet::AmsUnetConfig;
    use crate::unet::UNetConfig;

    #[test]
    fn a_base_width_is_a_positive_multiple_of_the_networks_own() {
        let [amsunet, unet] = ["a positive multiple of 4", "at least 1"];
        let amsunet_check = |width| AmsUnetConfig::new().with_base_width(width).check();
        let unet_check = |width| UNetConfig::new().with_base_width(width).check();
        for (name, check, expected) in [
            ("AMSUnet, 4", amsunet_check(4), None),
            ("AMSUnet, 6", amsunet_check(6), Some(("6", amsunet))),
            ("AMSUnet, 0", amsunet_check(0), Some(("0", amsunet))),
            ("U-Net, 1", unet_check(1), None),
            ("U-Net, 0", unet_check(0), Some(("0", unet))),
        ] {
            let found = check.err().map(|error| (error.found, error.expected));
            assert_eq!(found, expected.map(|(found, expected)| (found.into(), expected.into())), "{name}");
        }
    }

    #[test]
    fn the_settings_are_written_in_their_order_and_read_back() {
        let config = UNetConfig::new().with_in_channels(1).with_num_classes(4).with_base_width(8);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(text, r#"{"in_channels":1,"num_classes":4,"base_width":8}"#);
        assert_eq!(serde_json::from_str::<UNetConfig>(&text).unwrap(), config);
        let error = serde_json::from_str::<UNetConfig>(r#"{"in_channels":1,"num_classes":4}"#).unwrap_err();
        assert!(error.to_string().contains("missing field `base_width`"), "{error}");
    }
}
