//! The list of networks.
//!
//! A network is a folder of this crate with its modules, a line in [the list](Network), and a
//! folder of the exporter with their lowering. Everything else works on [`Network`] or on an
//! [`Architecture`].

mod architecture;
mod config;

pub use architecture::{Architecture, Configuration, MissingParameter, Named, NetworkOption, SettingError, ShapeOf};
pub use config::{OptionError, setting_value};

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use burn::module::Module;
use burn::tensor::Tensor;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::names::PublishedNames;
use crate::parameters::Parameters;
use crate::topology::Stage;

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
                    $($crate::network::NetworkConfig::$variant($dollar each) => $dollar body,)+
                }
            };
        }

        use with_config;
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
