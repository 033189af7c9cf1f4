//! Settings that are known to suit a data set.

use seg_data::Layout;
use serde::Deserialize;

use super::Settings;

/// Settings that are known to suit a data set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its purpose and the source of its numbers.
    pub description: String,
    /// The settings.
    pub settings: Settings,
}

/// The presets by name.
const PRESETS: [(&str, &str); 3] = [
    ("drive", include_str!("../../../presets/drive.json")),
    ("kvasir-seg", include_str!("../../../presets/kvasir-seg.json")),
    ("isic2018", include_str!("../../../presets/isic2018.json")),
];

impl Preset {
    /// Lists the names of all presets.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PRESETS.into_iter().map(|(name, _)| name)
    }

    /// Returns the preset of that name.
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = PRESETS.into_iter().find(|(known, _)| *known == name)?;
        Some(serde_json::from_str(text).expect("every preset is parsed in the tests"))
    }

    /// Returns the name of the preset for a data set as published.
    pub fn for_layout(layout: Layout) -> Option<&'static str> {
        match layout {
            Layout::Drive => Some("drive"),
            Layout::KvasirSeg => Some("kvasir-seg"),
            Layout::Isic2018 => Some("isic2018"),
            Layout::Folder => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use seg_nets::amsunet::AmsUnetConfig;

    use super::*;
    use crate::data::augment::Augmentation;
    use crate::run::config::{Config, Layers};

    #[test]
    fn every_preset_is_a_configuration_that_makes_sense() {
        for name in Preset::names() {
            let preset = Preset::named(name).unwrap();
            assert!(preset.description.len() > 40, "{name}: {}", preset.description);
            let ground = Config::recipe("data".into(), AmsUnetConfig::new(), Augmentation::recipe(None, [480, 480]));
            let mut layers = Layers::default();
            layers.lay(name, preset.settings);
            let config = layers.over(&ground).unwrap_or_else(|error| panic!("{name}: {error}"));
            config.check().unwrap_or_else(|error| panic!("{name}: {error}"));
            let printed = serde_json::to_string_pretty(&config).unwrap();
            assert_eq!(serde_json::from_str::<Config>(&printed).unwrap(), config, "{name}");
        }
        assert!(Preset::named("none").is_none());
    }

    #[test]
    fn a_known_data_set_has_its_preset() {
        for layout in [Layout::Drive, Layout::KvasirSeg, Layout::Isic2018] {
            assert!(Preset::named(Preset::for_layout(layout).unwrap()).is_some(), "{layout:?}");
        }
        assert_eq!(Preset::for_layout(Layout::Folder), None);
    }
}
