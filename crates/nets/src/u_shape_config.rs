//! The configuration of a U-shaped network: its channels, its classes, and the width of its stages.

use std::fmt;
use std::marker::PhantomData;

use burn::tensor::Device;
use seg_contract::Sides;
use serde::{Deserialize, Serialize};

use crate::network::{Architecture, Configuration, MissingParameter, SettingError, ShapeOf};
use crate::u_shape::SIDE_MIN;

/// A U-shaped network that [`UShapeConfig`] configures.
pub trait UShaped: Architecture<Config = UShapeConfig<Self>> {
    /// The number that the channels of the first stage are a multiple of.
    const BASE_WIDTH_MULTIPLE: usize;

    /// Makes the network with fresh weights.
    fn from_config(config: &UShapeConfig<Self>, device: &Device) -> Self;
}

/// Configuration of a U-shaped network.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct UShapeConfig<N> {
    /// The image's channels.
    pub in_channels: usize,
    /// The classes, one logit each, the background among them.
    pub num_classes: usize,
    /// The channels of the first stage, a multiple of [`UShaped::BASE_WIDTH_MULTIPLE`]; the deeper
    /// ones have 2, 4, 8 and 8 times as many.
    pub base_width: usize,
    /// The network, by its type alone.
    #[serde(skip)]
    network: PhantomData<fn() -> N>,
}

impl<N> UShapeConfig<N> {
    /// Returns the published settings: 3 channels, 2 classes, base width 32.
    #[allow(clippy::new_without_default, reason = "as the configurations that Burn derives")]
    pub fn new() -> Self {
        Self { in_channels: 3, num_classes: 2, base_width: 32, network: PhantomData }
    }

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

    /// Returns the configuration that the weights of two convolutions imply.
    ///
    /// # Shapes
    /// - stem, the first convolution: `[base_width, in_channels, kh, kw]`
    /// - head, the convolution to the logits: `[num_classes, base_width, 1, 1]`
    pub fn from_dims(stem: [usize; 4], head: [usize; 4]) -> Self {
        let ([base_width, in_channels, _, _], [num_classes, _, _, _]) = (stem, head);
        Self { in_channels, num_classes, base_width, network: PhantomData }
    }
}

impl<N: UShaped> UShapeConfig<N> {
    /// Makes the network with fresh weights.
    pub fn init(&self, device: &Device) -> N {
        N::from_config(self, device)
    }
}

impl<N: UShaped> Configuration for UShapeConfig<N> {
    type Network = N;

    fn published(in_channels: usize, num_classes: usize) -> Self {
        Self::new().with_in_channels(in_channels).with_num_classes(num_classes)
    }

    fn from_shapes(shape_of: &ShapeOf<'_>) -> Result<Self, MissingParameter> {
        Ok(Self::from_dims(shape_of("in_conv.0.weight")?, shape_of("out_conv.0.weight")?))
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
        vec![("base_width", self.base_width.to_string())]
    }

    fn sides(&self) -> Sides {
        Sides::at_least(SIDE_MIN)
    }

    fn check(&self) -> Result<(), SettingError> {
        if self.base_width > 0 && self.base_width.is_multiple_of(N::BASE_WIDTH_MULTIPLE) {
            return Ok(());
        }
        let expected = match N::BASE_WIDTH_MULTIPLE {
            1 => "at least 1".into(),
            multiple => format!("a positive multiple of {multiple}"),
        };
        Err(SettingError { name: "base_width", found: self.base_width.to_string(), expected })
    }
}

// Derived, these would ask the network for the same traits.

impl<N> Clone for UShapeConfig<N> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<N> PartialEq for UShapeConfig<N> {
    fn eq(&self, other: &Self) -> bool {
        let [own, other] = [self, other].map(|config| (config.in_channels, config.num_classes, config.base_width));
        own == other
    }
}

impl<N> fmt::Debug for UShapeConfig<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UShapeConfig")
            .field("in_channels", &self.in_channels)
            .field("num_classes", &self.num_classes)
            .field("base_width", &self.base_width)
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
