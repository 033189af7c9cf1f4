//! Settings from several places, laid over each other: what a data set says, a preset, a file,
//! flags.

use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_nets::network::{NetworkConfig, NetworkName};
use serde_json::{Map, Value};
use thiserror::Error;

use super::Config;

/// Settings by the names that they have in [`Config`]; what is absent is left open.
pub type Settings = Map<String, Value>;

/// The settings that are laid over each other one by one; all others are replaced whole.
const SECTIONS: [&str; 4] = ["network", "augmentation", "training", "reading"];

/// Settings laid over each other.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// From the lowest to the highest, each with the place that it came from.
    layers: Vec<(String, Settings)>,
}

/// An error in settings.
#[derive(Debug, Error)]
pub enum LayersError {
    /// A file cannot be read.
    #[error("cannot read the configuration `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file holds no settings.
    #[error("the configuration `{}` is no JSON object of settings", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// A setting is unknown or of another type.
    #[error("the settings of {place} cannot be used; `seg train --print-config` shows how they look")]
    Setting {
        /// The place that they came from.
        place: String,
        /// The reason.
        source: serde_json::Error,
    },
}

/// Reads the settings in a file, all of them or some, as `train --print-config` prints them.
///
/// # Errors
/// When the file cannot be read or is not a JSON object.
pub fn read_settings(path: &Path) -> Result<Settings, LayersError> {
    let text = fs::read_to_string(path).map_err(|source| LayersError::Read { path: path.into(), source })?;
    serde_json::from_str(&text).map_err(|source| LayersError::Json { path: path.into(), source })
}

impl Layers {
    /// Lays settings over those that are there; `place` names them in messages.
    pub fn lay(&mut self, place: impl Into<String>, settings: Settings) {
        self.layers.push((place.into(), settings));
    }

    /// Returns the configuration that comes of laying everything over `defaults`.
    ///
    /// Crop and scale are chosen for a size: where a layer changes the size, those of the layers
    /// below it give way to its own or else to the defaults'. The settings of a network are chosen
    /// for it: where a layer names another network, they give way to those of the published one.
    ///
    /// # Errors
    /// When a setting is unknown or of another type than the configuration's.
    pub fn over(&self, defaults: &Config) -> Result<Config, LayersError> {
        let mut config = defaults.clone();
        for (place, settings) in &self.layers {
            let Value::Object(mut below) = serde_json::to_value(&config).expect("a configuration has only string keys")
            else {
                unreachable!("a struct is an object");
            };
            for (name, value) in settings {
                match (below.get_mut(name), value) {
                    (Some(Value::Object(below)), Value::Object(section)) if SECTIONS.contains(&name.as_str()) => {
                        if name == "network" {
                            change_network(below, section);
                        }
                        below.extend(section.clone());
                    }
                    _ => drop(below.insert(name.clone(), value.clone())),
                }
            }
            let size = config.size;
            config = serde_json::from_value(Value::Object(below))
                .map_err(|source| LayersError::Setting { place: place.clone(), source })?;
            if config.size != size {
                let section = settings.get("augmentation");
                let is_open = |name| section.is_none_or(|section| section.get(name).is_none());
                if is_open("crop") {
                    config.augmentation.crop = defaults.augmentation.crop;
                }
                if is_open("short_side") {
                    config.augmentation.short_side = defaults.augmentation.short_side;
                }
            }
        }
        Ok(config)
    }

    /// Lists the settings of the network that any layer names, with their values as they are typed.
    pub fn network_settings(&self) -> Vec<(String, String)> {
        let typed = |value: &Value| value.as_str().map_or_else(|| value.to_string(), Into::into);
        let sections = self.layers.iter().filter_map(|(_, settings)| settings.get("network")?.as_object());
        sections.flatten().map(|(name, value)| (name.clone(), typed(value))).collect()
    }
}

/// Replaces a network's settings by those of the published network that `section` names, unless
/// they are of that network already; channels and classes stay.
fn change_network(below: &mut Settings, section: &Settings) {
    let Some(Ok(name)) = section.get("name").and_then(Value::as_str).map(str::parse::<NetworkName>) else {
        return;
    };
    let Ok(network) = serde_json::from_value::<NetworkConfig>(Value::Object(below.clone())) else {
        return;
    };
    if network.name() != name {
        let published = name.config(network.in_channels(), network.num_classes());
        if let Ok(Value::Object(settings)) = serde_json::to_value(published) {
            *below = settings;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::unet::UNetConfig;
    use serde_json::json;

    use super::*;
    use crate::data::augment::Augmentation;

    fn defaults() -> Config {
        Config::recipe("data".into(), AmsUnetConfig::new(), Augmentation::recipe(565, [480, 480]))
    }

    fn settings(value: Value) -> Settings {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn another_network_brings_its_own_settings() {
        let mut layers = Layers::default();
        layers.lay("the file", settings(json!({ "network": { "base_width": 8, "num_classes": 4 } })));
        layers.lay("the flags", settings(json!({ "network": { "name": "unet" } })));
        let config = layers.over(&defaults()).unwrap();
        assert_eq!(config.network, UNetConfig::new().with_num_classes(4).into());
        layers.lay("more flags", settings(json!({ "network": { "name": "unet", "base_width": 12 } })));
        let config = layers.over(&defaults()).unwrap();
        assert_eq!(config.network, UNetConfig::new().with_num_classes(4).with_base_width(12).into());
    }

    #[test]
    fn the_highest_layer_that_names_a_setting_decides() {
        let preset = json!({"epochs": 1, "batch_size": 2, "size": {"policy": "resize", "height": 32, "width": 48},
            "augmentation": {"turn": 0.5, "scale_min": 0.9}});
        let file = json!({"epochs": 3, "seed": 4, "size": {"policy": "native"}, "augmentation": {"turn": 1.0}});
        let flags = json!({"seed": 5, "network": {"base_width": 8}});
        let mut layers = Layers::default();
        for (place, value) in [("preset", preset), ("file", file), ("flags", flags)] {
            layers.lay(place, settings(value));
        }
        let config = layers.over(&defaults()).unwrap();
        for (name, found, expected) in [
            ("flag over file", json!(config.seed), json!(5)),
            ("file over preset", json!(config.epochs), json!(3)),
            ("preset over defaults", json!(config.batch_size), json!(2)),
            ("defaults", json!(config.weight_decay), json!(defaults().weight_decay)),
            ("a value of several parts is replaced whole", json!(config.size), json!({"policy": "native"})),
            ("a section's setting, file over preset", json!(config.augmentation.turn), json!(1.0)),
            ("a section's setting, preset over defaults", json!(config.augmentation.scale_min), json!(0.9)),
            ("a section's setting, defaults", json!(config.augmentation.scale_max), json!(1.3)),
            ("another section", json!(config.network)["base_width"].clone(), json!(8)),
        ] {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn crop_and_scale_give_way_to_another_size() {
        let size = |height: u32| json!({"policy": "resize", "height": height, "width": 96});
        let preset = json!({"size": size(48), "augmentation": {"crop": [32, 40], "short_side": 48}});
        for (name, file, flags, crop, short_side) in [
            ("the preset's size", json!({}), json!({}), [32, 40], Some(48)),
            ("the same size again", json!({"size": size(48)}), json!({}), [32, 40], Some(48)),
            ("another size", json!({}), json!({"size": size(64)}), [64, 96], Some(64)),
            (
                "and a crop beside it",
                json!({}),
                json!({"size": size(64), "augmentation": {"crop": [16, 16]}}),
                [16, 16],
                Some(64),
            ),
            (
                "and a scale beside it",
                json!({"size": size(64), "augmentation": {"short_side": null}}),
                json!({}),
                [64, 96],
                None,
            ),
            (
                "and a crop above it",
                json!({"size": size(64)}),
                json!({"augmentation": {"crop": [16, 16]}}),
                [16, 16],
                Some(64),
            ),
        ] {
            let mut layers = Layers::default();
            for (place, value) in [("preset", preset.clone()), ("file", file), ("flags", flags)] {
                layers.lay(place, settings(value));
            }
            let defaults = Config { augmentation: Augmentation::recipe(64, [64, 96]), ..defaults() };
            let found = layers.over(&defaults).unwrap().augmentation;
            assert_eq!((found.crop, found.short_side), (crop, short_side), "{name}");
        }
    }

    #[test]
    fn a_setting_that_does_not_fit_is_named_with_its_place() {
        for (value, part) in [
            (json!({"epoch": 3}), "unknown field `epoch`"),
            (json!({"epochs": "many"}), "invalid type: string \"many\""),
            (json!({"augmentation": {"shear": 1}}), "unknown field `shear`"),
            (json!({"augmentation": 3}), "invalid type: integer `3`"),
        ] {
            let mut layers = Layers::default();
            layers.lay("`a.json`", settings(value));
            let error = layers.over(&defaults()).unwrap_err();
            assert!(error.to_string().contains("`a.json`"), "{error}");
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains(part), "{cause}");
        }
    }

    #[test]
    fn what_is_printed_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let printed = Config { seed: 9, ..defaults() };
        fs::write(&path, serde_json::to_string_pretty(&printed).unwrap()).unwrap();
        let mut layers = Layers::default();
        layers.lay("the file", read_settings(&path).unwrap());
        assert_eq!(layers.over(&defaults()).unwrap(), printed);
    }

    #[test]
    fn a_file_that_is_no_configuration_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert!(read_settings(&path).unwrap_err().to_string().contains("config.json"));
        fs::write(&path, "[1, 2]").unwrap();
        assert!(read_settings(&path).unwrap_err().to_string().contains("no JSON object"));
    }
}
