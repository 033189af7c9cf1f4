//! The list of networks, and what every network has.
//!
//! A network is a folder of this crate with its modules, a line in [the list](Network), and a
//! folder of the exporter with their lowering. Everything else works on [`Network`] or on an
//! [`Architecture`].

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use seg_contract::Sides;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::names::PublishedNames;
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

/// Settings that a network does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct OptionError(String);

/// A name that no network has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{found}` is not a network of this version; it has {}", names())]
pub struct UnknownNetwork {
    /// The name.
    pub found: String,
}

/// Returns the names of all networks, for a message.
fn names() -> String {
    NetworkName::ALL.map(NetworkName::as_str).join(", ")
}

/// Makes the enums of all networks of a list, and the macros that evaluate an expression for the
/// one that an enum holds. The list begins with a `$`, which the macros' own definitions need.
macro_rules! networks {
    ($dollar:tt $(#[doc = $doc:literal] $variant:ident($config:ty, $net:ty): $name:literal, $title:literal, $published:expr;)+) => {
        /// The name of a network.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum NetworkName {
            $(#[doc = $doc] $variant,)+
        }

        /// A network.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant, reason = "a process holds few networks")]
        pub enum Network {
            $(#[doc = $doc] $variant($net),)+
        }

        /// The configuration of a network.
        ///
        /// As JSON it is the settings with the network's `name`, which AMSUnet's leave out: they
        /// were written before there were others.
        #[derive(Clone, Debug, PartialEq)]
        pub enum NetworkConfig {
            $(#[doc = $doc] $variant($config),)+
        }

        impl NetworkName {
            /// All networks, the one first that files without a name are of.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Returns the name in contracts, checkpoints, configurations and graphs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns the name as people write it.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// Returns the names of its parameters in published checkpoints.
            pub fn published(self) -> PublishedNames {
                match self { $(Self::$variant => $published,)+ }
            }

            /// Returns the configuration of the published network for images and classes of these
            /// numbers.
            pub fn config(self, in_channels: usize, num_classes: usize) -> NetworkConfig {
                match self { $(Self::$variant => <$config>::published(in_channels, num_classes).into(),)+ }
            }

            /// Returns the configuration that the shapes of weights imply.
            ///
            /// # Errors
            /// When a weight that the configuration follows from is missing or has another rank.
            pub fn config_from_shapes(self, shape_of: &ShapeOf<'_>) -> Result<NetworkConfig, MissingParameter> {
                Ok(match self { $(Self::$variant => <$config>::from_shapes(shape_of)?.into(),)+ })
            }

            /// Returns the code or the paper that the network was built after, for people.
            pub fn source(self) -> &'static str {
                match self { $(Self::$variant => <$config as Configuration>::SOURCE,)+ }
            }

            /// Returns the settings that have a default, which files leave out.
            pub fn options(self) -> &'static [NetworkOption] {
                match self { $(Self::$variant => <$config as Configuration>::OPTIONS,)+ }
            }

            /// Reads a configuration from its settings.
            fn read_config(self, settings: Map<String, Value>) -> serde_json::Result<NetworkConfig> {
                let settings = Value::Object(settings);
                Ok(match self { $(Self::$variant => serde_json::from_value::<$config>(settings)?.into(),)+ })
            }
        }

        impl NetworkConfig {
            /// Returns the name of the network.
            pub fn name(&self) -> NetworkName {
                match self { $(Self::$variant(_) => NetworkName::$variant,)+ }
            }
        }

        $(
            impl Parameters for $net {
                fn published(&self) -> PublishedNames {
                    $published
                }
            }

            impl Named for $net {
                fn network(&self) -> NetworkName {
                    NetworkName::$variant
                }

                fn options(&self) -> BTreeMap<String, String> {
                    NetworkConfig::from(self.config()).options()
                }
            }

            impl From<$net> for Network {
                fn from(net: $net) -> Self {
                    Self::$variant(net)
                }
            }

            impl From<$config> for NetworkConfig {
                fn from(config: $config) -> Self {
                    Self::$variant(config)
                }
            }
        )+

        /// Evaluates an expression for the modules in a [`Network`](crate::network::Network).
        #[macro_export]
        macro_rules! with_network {
            ($dollar network:expr, |$dollar net:ident| $dollar body:expr) => {
                match $dollar network {
                    $($crate::network::Network::$variant($dollar net) => $dollar body,)+
                }
            };
        }

        macro_rules! with_config {
            ($dollar config:expr, |$dollar each:ident| $dollar body:expr) => {
                match $dollar config {
                    $(NetworkConfig::$variant($dollar each) => $dollar body,)+
                }
            };
        }
    };
}

networks! { $
    /// AMSUnet.
    AmsUnet(crate::amsunet::AmsUnetConfig, crate::amsunet::AmsUnet): "amsunet", "AMSUnet", crate::amsunet::PUBLISHED;
    /// U-Net.
    UNet(crate::unet::UNetConfig, crate::unet::UNet): "unet", "U-Net", crate::unet::PUBLISHED;
    /// UNet++.
    UNetPlusPlus(crate::unet_plus_plus::UNetPlusPlusConfig, crate::unet_plus_plus::UNetPlusPlus): "unet-plus-plus", "UNet++", crate::unet_plus_plus::PUBLISHED;
    /// Attention U-Net.
    AttentionUNet(crate::attention_unet::AttentionUNetConfig, crate::attention_unet::AttentionUNet): "attention-unet", "Attention U-Net", crate::attention_unet::PUBLISHED;
    /// ResUNet on U-Net's skeleton.
    ResUNet(crate::res_unet::ResUNetConfig, crate::res_unet::ResUNet): "res-unet", "ResUNet", crate::res_unet::PUBLISHED;
    /// The published ResUNet.
    ResUNetCanonical(crate::res_unet_canonical::ResUNetCanonicalConfig, crate::res_unet_canonical::ResUNetCanonical): "res-unet-canonical", "ResUNet (canonical)", crate::res_unet_canonical::PUBLISHED;
    /// ConvUNeXt.
    ConvUNext(crate::conv_unext::ConvUNextConfig, crate::conv_unext::ConvUNext): "conv-unext", "ConvUNeXt", crate::conv_unext::PUBLISHED;
    /// UNeXt.
    UNext(crate::unext::UNextConfig, crate::unext::UNext): "unext", "UNeXt", crate::unext::PUBLISHED;
    /// SegNeXt.
    SegNext(crate::seg_next::SegNextConfig, crate::seg_next::SegNext): "seg-next", "SegNeXt", crate::seg_next::PUBLISHED;
    /// TransUNet.
    TransUNet(crate::trans_unet::TransUNetConfig, crate::trans_unet::TransUNet): "trans-unet", "TransUNet", crate::trans_unet::PUBLISHED;
}

impl Parameters for Network {
    fn published(&self) -> PublishedNames {
        with_network!(self, |net| net.published())
    }
}

impl Named for Network {
    fn network(&self) -> NetworkName {
        with_network!(self, |net| net.network())
    }

    fn options(&self) -> BTreeMap<String, String> {
        self.config().options()
    }
}

impl Network {
    /// Returns the configuration that the weights' shapes imply.
    pub fn config(&self) -> NetworkConfig {
        with_network!(self, |net| net.config().into())
    }

    /// Returns the stages in the order in which they are computed; the last one gives the logits.
    pub fn stages(&self) -> &'static [Stage] {
        with_network!(self, |net| net.stages())
    }

    /// Returns the stages that training computes, as [`Architecture::training_stages`].
    pub fn training_stages(&self) -> &'static [Stage] {
        with_network!(self, |net| net.training_stages())
    }

    /// Computes the output of a stage from its inputs.
    ///
    /// # Panics
    /// When the stage is not one of [`training_stages`](Self::training_stages), or has other
    /// inputs.
    pub fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        with_network!(self, |net| net.compute(stage, inputs))
    }

    /// Computes the logits, as [`Architecture::forward`].
    pub fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        with_network!(self, |net| net.forward(image))
    }

    /// Computes the logits and shows each stage's output, as [`Architecture::forward_observed`].
    pub fn forward_observed(&self, image: Tensor<4>, observe: impl FnMut(&str, &Tensor<4>)) -> Tensor<4> {
        with_network!(self, |net| net.forward_observed(image, observe))
    }

    /// Computes the logits of all heads, as [`Architecture::forward_supervised`].
    pub fn forward_supervised(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        with_network!(self, |net| net.forward_supervised(image))
    }

    /// Returns the number of learnable parameters; running statistics are not among them.
    pub fn num_learnable(&self) -> usize {
        with_network!(self, |net| net.num_learnable())
    }
}

impl NetworkConfig {
    /// Makes the network with fresh weights.
    pub fn init(&self, device: &Device) -> Network {
        with_config!(self, |config| config.init(device).into())
    }

    /// Returns the image's channels.
    pub fn in_channels(&self) -> usize {
        with_config!(self, |config| config.in_channels())
    }

    /// Returns the number of classes, the background among them.
    pub fn num_classes(&self) -> usize {
        with_config!(self, |config| config.num_classes())
    }

    /// Returns the sizes of images that the network takes.
    pub fn sides(&self) -> Sides {
        with_config!(self, |config| config.sides())
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(&self) -> Result<(), SettingError> {
        with_config!(self, |config| config.check())
    }

    /// Returns the settings beside channels and classes, as `base_width=32`.
    pub fn summary(&self) -> String {
        let settings = self.settings().into_iter().map(|(name, value)| format!("{name}={value}"));
        settings.collect::<Vec<_>>().join(",")
    }

    /// Returns the options that differ from their defaults, by their names.
    pub fn options(&self) -> BTreeMap<String, String> {
        let is_option = |name: &str| self.name().options().iter().any(|option| option.name == name);
        let options = self.settings().into_iter().filter(|(name, _)| is_option(name));
        options.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Returns the configuration with other settings, given by their names.
    ///
    /// # Errors
    /// When the network has no such setting or the setting no such value.
    pub fn with_settings<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, OptionError> {
        let Ok(Value::Object(mut own)) = serde_json::to_value(self) else {
            unreachable!("a configuration is an object");
        };
        own.extend(settings.into_iter().map(|(name, value)| (name.to_owned(), setting_value(value))));
        serde_json::from_value(Value::Object(own)).map_err(|error| OptionError(error.to_string()))
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        with_config!(self, |config| config.settings())
    }
}

/// Returns the value of a setting as configurations hold it: a number, true or false, or a text.
pub fn setting_value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// Prints the network with its settings, for example
/// `AMSUnet, base width 32, 3 input channels, 2 classes`.
impl fmt::Display for NetworkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().title())?;
        for (name, value) in self.settings() {
            write!(f, ", {} {value}", name.replace('_', " "))?;
        }
        write!(f, ", {} input channels, {} classes", self.in_channels(), self.num_classes())
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for NetworkName {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        let named = Self::ALL.into_iter().find(|name| name.as_str() == text);
        named.ok_or_else(|| UnknownNetwork { found: text.into() })
    }
}

impl Serialize for NetworkConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Settings with the name of their network.
        #[derive(Serialize)]
        struct Named<'a, C> {
            name: &'static str,
            #[serde(flatten)]
            settings: &'a C,
        }
        if self.name() == NetworkName::ALL[0] {
            return with_config!(self, |config| config.serialize(serializer));
        }
        let name = self.name().as_str();
        with_config!(self, |settings| Named { name, settings }.serialize(serializer))
    }
}

impl<'de> Deserialize<'de> for NetworkConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        let mut settings = Map::deserialize(deserializer)?;
        let name = match settings.remove("name") {
            Some(Value::String(name)) => name.parse().map_err(Error::custom)?,
            Some(other) => return Err(Error::custom(format!("the network's `name` is {other}, expected a text"))),
            None => NetworkName::ALL[0],
        };
        let given: Vec<_> = settings.keys().cloned().collect();
        let config = name.read_config(settings).map_err(Error::custom)?;
        let Ok(Value::Object(known)) = serde_json::to_value(&config) else {
            unreachable!("a configuration is an object");
        };
        let options = name.options().iter().map(|option| option.name);
        let known: BTreeSet<_> = known.keys().map(String::as_str).chain(options).collect();
        match given.iter().find(|setting| !known.contains(setting.as_str())) {
            Some(unknown) => {
                let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                let title = name.title();
                Err(Error::custom(format!("{title} has no setting `{unknown}`, expected one of {}", known.join(", "))))
            }
            None => Ok(config),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_names_its_network_unless_it_is_the_first() {
        for (name, expected) in [
            (NetworkName::AmsUnet, json!({ "in_channels": 3, "num_classes": 2, "base_width": 32 })),
            (NetworkName::UNet, json!({ "name": "unet", "in_channels": 3, "num_classes": 2, "base_width": 32 })),
        ] {
            let config = name.config(3, 2);
            assert_eq!(serde_json::to_value(&config).unwrap(), expected, "{name}");
            assert_eq!(serde_json::from_value::<NetworkConfig>(expected).unwrap(), config, "{name}");
            assert_eq!(config.name(), name);
        }
    }

    #[test]
    fn the_first_value_of_an_option_is_that_of_the_published_network() {
        for name in NetworkName::ALL {
            let published = name.config(3, 2);
            for option in name.options() {
                let chosen = published.with_settings([(option.name, option.published())]);
                assert_eq!(chosen.as_ref(), Ok(&published), "{name}: {}", option.name);
            }
        }
    }

    #[test]
    fn unknown_networks_and_settings_are_named() {
        let known = NetworkName::ALL.map(NetworkName::as_str).join(", ");
        for (settings, expected) in [
            (json!({ "name": "vnet" }), format!("`vnet` is not a network of this version; it has {known}")),
            (json!({ "name": 3 }), "the network's `name` is 3, expected a text".into()),
            (
                json!({ "name": "unet", "in_channels": 3, "num_classes": 2, "base_width": 8, "depth": 3 }),
                "U-Net has no setting `depth`, expected one of `base_width`, `in_channels`, `name`, `num_classes`"
                    .into(),
            ),
        ] {
            let message = serde_json::from_value::<NetworkConfig>(settings).unwrap_err().to_string();
            assert_eq!(message, expected);
        }
    }
}
