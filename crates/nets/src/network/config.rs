//! The configuration of a network of the list: its settings by name, as text and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use burn::tensor::Device;
use seg_contract::Sides;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{Configuration, Network, NetworkConfig, NetworkName, SettingError, with_config};

/// Settings that a network does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct OptionError(String);

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

    /// Returns the height and width of the network's smallest maps of images of a size.
    pub fn smallest_map(&self, size: [usize; 2]) -> [usize; 2] {
        with_config!(self, |config| size.map(|side| config.smallest_side(side)))
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
