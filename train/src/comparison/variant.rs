//! A network with settings, as one side of a comparison.

use std::fmt;
use std::str::FromStr;

use seg_nets::network::{NetworkConfig, NetworkName, OptionError, UnknownNetwork};
use seg_nets::sizes::SIZES;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A network with settings; it is written as `amsunet` or `amsunet:skip=plain,base_width=16`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Variant {
    /// The name of the network, or of one of its published sizes.
    pub network: String,
    /// The settings that differ from the published network's, by their names.
    pub settings: Vec<(String, String)>,
}

/// A text that is not a variant.
#[derive(Debug, Error)]
pub enum VariantError {
    /// There is no such network.
    #[error(transparent)]
    Network(#[from] UnknownNetwork),
    /// A setting is not NAME=VALUE.
    #[error(
        "`{found}` of `{variant}` is not NAME=VALUE; write the settings of a network as amsunet:skip=plain,norm=bb"
    )]
    Pair {
        /// The text.
        found: String,
        /// The variant.
        variant: String,
    },
    /// The network has no such setting or the setting no such value.
    #[error("the settings of `{variant}` cannot be used")]
    Setting {
        /// The variant.
        variant: String,
        /// The reason.
        source: OptionError,
    },
}

impl Variant {
    /// Returns the configuration of the network for images and classes of these numbers.
    ///
    /// # Errors
    /// When the network or a setting is not known.
    pub fn config(&self, channels: usize, classes: usize) -> Result<NetworkConfig, VariantError> {
        let counts = [("in_channels", channels.to_string()), ("num_classes", classes.to_string())];
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let counts = counts.iter().map(|(name, value)| (*name, value.as_str()));
        self.published(channels, classes)?
            .with_settings(counts.chain(settings))
            .map_err(|source| VariantError::Setting { variant: self.to_string(), source })
    }

    /// Returns the published network, or the published size of one.
    fn published(&self, channels: usize, classes: usize) -> Result<NetworkConfig, UnknownNetwork> {
        match SIZES.iter().find(|(name, _)| *name == self.network) {
            Some((_, size)) => Ok(size()),
            None => Ok(self.network.parse::<NetworkName>()?.config(channels, classes)),
        }
    }

    /// Returns the flags of `train` that choose the network.
    pub fn flags(&self) -> Vec<String> {
        let network = ["--network".to_owned(), self.network.clone()];
        let options =
            self.settings.iter().flat_map(|(name, value)| ["--network-option".into(), format!("{name}={value}")]);
        network.into_iter().chain(options).collect()
    }

    /// Returns the name as a part of a file's name.
    pub fn file_name(&self) -> String {
        self.to_string().replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_' && c != '.', "-")
    }
}

impl FromStr for Variant {
    type Err = VariantError;

    fn from_str(text: &str) -> Result<Self, VariantError> {
        let (network, settings) = text.split_once(':').unwrap_or((text, ""));
        let pair = |pair: &str| match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(VariantError::Pair { found: pair.into(), variant: text.into() }),
        };
        let settings = settings.split(',').filter(|_| text.contains(':')).map(pair).collect::<Result<_, _>>()?;
        let variant = Self { network: network.into(), settings };
        variant.config(3, 2)?;
        Ok(variant)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.network)?;
        for (index, (name, value)) in self.settings.iter().enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Variant {
    type Error = VariantError;

    fn try_from(text: String) -> Result<Self, VariantError> {
        text.parse()
    }
}

impl From<Variant> for String {
    fn from(variant: Variant) -> Self {
        variant.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_variant_is_read_as_it_is_written() {
        for (text, flags) in [
            ("unet", "--network unet"),
            ("unext-s", "--network unext-s"),
            (
                "amsunet:skip=plain,dilation=1-1-1-1-1",
                "--network amsunet --network-option skip=plain --network-option dilation=1-1-1-1-1",
            ),
            ("unet:base_width=16", "--network unet --network-option base_width=16"),
        ] {
            let variant: Variant = text.parse().unwrap();
            assert_eq!(variant.to_string(), text);
            assert_eq!(variant.flags().join(" "), flags);
            assert_eq!(serde_json::from_str::<Variant>(&serde_json::to_string(&variant).unwrap()).unwrap(), variant);
            assert_eq!(variant.config(3, 4).unwrap().num_classes(), 4);
        }
        let variant: Variant = "amsunet:skip=plain,norm=bb".parse().unwrap();
        assert_eq!(variant.file_name(), "amsunet-skip-plain-norm-bb");
    }

    #[test]
    fn what_is_no_variant_is_named() {
        for (text, part) in [
            ("vnet", "`vnet` is not a network"),
            ("amsunet:", "is not NAME=VALUE"),
            ("amsunet:skip", "`skip` of `amsunet:skip` is not NAME=VALUE"),
            ("amsunet:depth=3", "the settings of `amsunet:depth=3` cannot be used: AMSUnet has no setting `depth`"),
            ("amsunet:skip=none", "unknown variant `none`"),
        ] {
            let error = text.parse::<Variant>().unwrap_err();
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            let message = format!("{error}{cause}");
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
