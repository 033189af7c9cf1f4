//! Everything that configures a run, as it is saved beside the weights.

mod advice;
mod layers;
mod preset;
mod training;

pub use advice::{Advice, Facts};
pub use layers::{Layers, LayersError, Settings, read_settings};
pub use preset::Preset;
pub use training::TrainingConfig;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use seg_contract::{Class, ColorOrder, Contract, Reading, Sides, SizePolicy, Spacing};
use seg_data::{Dataset, Selection};
use seg_nets::contract::contract;
use seg_nets::device::{DeviceError, Devices};
use seg_nets::network::{NetworkConfig, SettingError};
use seg_text::control::escape;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::data::augment::{Augmentation, AugmentationError};
use crate::data::fold::Fold;
use crate::data::statistics::Statistics;

/// The recipe's weight decay.
pub const WEIGHT_DECAY: f32 = 5e-5;
/// The learning rate of the authors' code; the paper states a tenth of it.
pub const LEARNING_RATE: f64 = 2e-3;
/// The crop of the recipe, in pixels.
const CROP: u32 = 480;

/// Everything that configures a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The data set's folder.
    pub data: PathBuf,
    /// The choice among the folder's files, where its content does not decide.
    #[serde(default, skip_serializing_if = "Selection::is_open")]
    pub files: Selection,
    /// The network.
    pub network: NetworkConfig,
    /// Weights to start from instead of random ones.
    pub init: Option<PathBuf>,
    /// The rounds over all images, or, with `steps_per_epoch`, over that many batches.
    pub epochs: usize,
    /// Images per batch.
    pub batch_size: usize,
    /// Batches per epoch, instead of one pass over the images.
    #[serde(default)]
    pub steps_per_epoch: Option<usize>,
    /// The learning rate at the end of the warm-up.
    pub learning_rate: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f32,
    /// A file that says which images choose the best epoch, as a run writes it.
    #[serde(default)]
    pub split: Option<PathBuf>,
    /// The fold of a cross-validation that chooses the best epoch.
    #[serde(default)]
    pub fold: Option<Fold>,
    /// The share of the images that chooses the best epoch, where neither of the two is given;
    /// without any the publishers' choice, or a fifth where they made none.
    pub validation: Option<f64>,
    /// The seed of the split, the weights, the order and the augmentations.
    pub seed: u64,
    /// The device that was asked for.
    pub device: String,
    /// At which size the network runs an image.
    pub size: SizePolicy,
    /// The way in which medical images become pictures.
    #[serde(default, skip_serializing_if = "Reading::is_empty")]
    pub reading: Reading,
    /// The random views that training sees.
    pub augmentation: Augmentation,
    /// The settings of the loop.
    #[serde(default)]
    pub training: TrainingConfig,
    /// The most memory that decoded images may keep, in MiB; the result does not depend on it.
    #[serde(default = "default_cache_mb")]
    pub cache_mb: usize,
    /// The weight of each class in the loss's term of pixels; without them all weigh the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<f32>>,
    /// The mean of the training images' channels, in [0, 1].
    pub mean: [f32; 3],
    /// The standard deviation about it.
    pub std: [f32; 3],
}

/// Room for a thousand images of half a megapixel.
fn default_cache_mb() -> usize {
    2048
}

/// An error in a configuration.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ConfigError {
    /// A number is out of its range.
    #[error("the setting `{name}` is {found}, expected {expected}")]
    Number {
        /// The setting's name.
        name: &'static str,
        /// Its value.
        found: String,
        /// The numbers that make sense.
        expected: &'static str,
    },
    /// Two settings say different things about the same.
    #[error("the settings `{first}` and `{second}` both decide how the images are split; keep one of them")]
    Both {
        /// The one.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Views would be taken at another scale than that at which images are run.
    #[error(
        "the setting `short_side` is {found}, but every image is run at {height}x{width}; leave it out, or set it to {}",
        height.min(width)
    )]
    Scale {
        /// The shorter side that a scale of 1 stands for.
        found: u32,
        /// The height at which images are run.
        height: usize,
        /// The width.
        width: usize,
    },
    /// The network does not take images of a size.
    #[error("the setting `{setting}` is {}x{}, expected {sides}", found[0], found[1])]
    Size {
        /// The setting.
        setting: &'static str,
        /// Height and width.
        found: [usize; 2],
        /// The sizes that the network takes.
        sides: Sides,
    },
    /// The network takes one size, but images are to be run at their own.
    #[error(
        "the setting `size` lets images keep their own size, but the network takes {height}x{width} only; stretch them \
         with `--size {height}x{width}`"
    )]
    OneSize {
        /// The height that the network takes.
        height: usize,
        /// The width.
        width: usize,
    },
    /// Images would be both stretched and resampled.
    #[error(
        "the setting `reading` resamples images to {spacing} mm a pixel, but `size` stretches them to {height}x{width}, which keeps no \
         spacing; leave out `--resample` or `--size`"
    )]
    Resampled {
        /// The spacing.
        spacing: Spacing,
        /// The height at which images are run.
        height: usize,
        /// The width.
        width: usize,
    },
    /// A setting of the network is out of its range.
    #[error(transparent)]
    Network(#[from] SettingError),
    /// The augmentation cannot be made.
    #[error(transparent)]
    Augmentation(#[from] AugmentationError),
}

impl Config {
    /// Returns the recipe's choices for images whose channels have mean 0 and deviation 1.
    pub fn recipe(data: PathBuf, network: impl Into<NetworkConfig>, augmentation: Augmentation) -> Self {
        Self {
            data,
            files: Selection::default(),
            network: network.into(),
            init: None,
            epochs: 300,
            batch_size: 2,
            steps_per_epoch: None,
            learning_rate: LEARNING_RATE,
            weight_decay: WEIGHT_DECAY,
            split: None,
            fold: None,
            validation: None,
            seed: 0,
            device: "auto".into(),
            size: SizePolicy::Native,
            reading: Reading::default(),
            augmentation,
            training: TrainingConfig::default(),
            cache_mb: default_cache_mb(),
            class_weights: None,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }

    /// Returns the settings that a data set itself decides, and the recipe's choices for the rest.
    ///
    /// `size` is the size at which the network will run, `statistics` are those of the images that
    /// may be learned from.
    pub fn defaults_for(dataset: &Dataset, network: &NetworkConfig, size: SizePolicy, statistics: &Statistics) -> Self {
        let Statistics { mean, std, .. } = *statistics;
        let augmentation = augmentation(size, statistics, network.sides());
        Self { size, mean, std, ..Self::recipe(dataset.root.clone(), network.clone(), augmentation) }
    }

    /// Returns the contract of the trained network; the caller adds where its weights came from.
    pub fn contract(&self, classes: Vec<Class>) -> Contract {
        let Self { network, size, mean, std, .. } = self;
        let mut contract = contract(network, ColorOrder::Rgb, *size, mean.to_vec(), std.to_vec(), classes);
        contract.input.reading = self.reading;
        contract.format = contract.least_format();
        contract
    }

    /// Returns the settings that influenced the weights: all except for paths on the machine that
    /// trained.
    pub fn record(&self) -> Map<String, Value> {
        let mut settings = match serde_json::to_value(self).expect("settings have only string keys") {
            Value::Object(settings) => settings,
            other => unreachable!("settings are an object and not {other}"),
        };
        for place in ["data", "files", "device", "cache_mb"] {
            settings.remove(place);
        }
        for file in ["init", "split"] {
            if let Some(Value::String(path)) = settings.get_mut(file) {
                *path = escape(&Path::new(path).file_name().unwrap_or_default().to_string_lossy());
            }
        }
        settings
    }

    /// Opens the devices that train; also returns the choice with `auto` decided.
    ///
    /// # Errors
    /// When a device is unknown, absent, or lacks the precision.
    pub fn devices(&self) -> Result<(Vec<Device>, Devices), DeviceError> {
        self.device.parse::<Devices>()?.open_for(self.training.precision)
    }

    /// Checks what a file or a person wrote.
    ///
    /// # Errors
    /// When a number is out of its range or settings exclude each other.
    pub fn check(&self) -> Result<(), ConfigError> {
        let both =
            [("split", self.split.is_some()), ("fold", self.fold.is_some()), ("validation", self.validation.is_some())];
        let mut given = both.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            return Err(ConfigError::Both { first, second });
        }
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let checks = [
            ("epochs", self.epochs > 0, self.epochs.to_string(), "at least 1"),
            ("batch_size", self.batch_size > 0, self.batch_size.to_string(), "at least 1"),
            ("steps_per_epoch", self.steps_per_epoch != Some(0), "0".into(), "at least 1"),
            ("learning_rate", positive(self.learning_rate), self.learning_rate.to_string(), "a positive number"),
            ("weight_decay", (0.0..1.0).contains(&self.weight_decay), self.weight_decay.to_string(), "0 to 1"),
            (
                "validation",
                self.validation.is_none_or(|share| share > 0.0 && share < 1.0),
                format!("{:?}", self.validation.unwrap_or_default()),
                "a number between 0 and 1",
            ),
            ("mean", self.mean.iter().all(|mean| mean.is_finite()), format!("{:?}", self.mean), "finite numbers"),
            ("std", self.std.iter().all(|std| positive((*std).into())), format!("{:?}", self.std), "positive numbers"),
        ];
        if let Some(spacing) = self.reading.resample.filter(|spacing| !spacing.is_usable()) {
            let (found, expected) = (spacing.to_string(), "0.000001 to 1000 mm");
            return Err(ConfigError::Number { name: "reading.resample", found, expected });
        }
        for (name, fits, found, expected) in checks {
            if !fits {
                return Err(ConfigError::Number { name, found, expected });
            }
        }
        self.check_class_weights()?;
        self.network.check()?;
        let sides = self.network.sides();
        if let (SizePolicy::Native, Some([height, width])) = (self.size, sides.only) {
            return Err(ConfigError::OneSize { height, width });
        }
        if let SizePolicy::Resize { height, width } = self.size {
            if let Some(spacing) = self.reading.resample {
                return Err(ConfigError::Resampled { spacing, height, width });
            }
            if !sides.fit([height, width]) {
                return Err(ConfigError::Size { setting: "size", found: [height, width], sides });
            }
            if let Some(found) = self.augmentation.short_side.filter(|side| *side as usize != height.min(width)) {
                return Err(ConfigError::Scale { found, height, width });
            }
        }
        self.training.check()?;
        self.augmentation.check()?;
        let crop = self.augmentation.crop.map(|side| side as usize);
        if !sides.fit(crop) {
            return Err(ConfigError::Size { setting: "crop", found: crop, sides });
        }
        Ok(())
    }
}

impl Config {
    /// Checks the weights of the classes.
    fn check_class_weights(&self) -> Result<(), ConfigError> {
        let Some(weights) = &self.class_weights else { return Ok(()) };
        let fits = |weight: &f32| weight.is_finite() && *weight >= 0.0;
        let are_many = weights.len() == self.network.num_classes();
        if are_many && weights.iter().all(fits) && weights.iter().sum::<f32>() > 0.0 {
            return Ok(());
        }
        let expected = "a number of at least 0 for each class, the background first, and not all of them 0";
        Err(ConfigError::Number { name: "class_weights", found: format!("{weights:?}"), expected })
    }
}

/// Returns the recipe's augmentation for images of these statistics.
///
/// The crop is the whole of a fixed size, or 480 pixels squared of a native one, less where the
/// images are smaller, then of sides that no halving cuts. A scale of 1 is that at which images are
/// run: stretched, or as they are.
fn augmentation(size: SizePolicy, statistics: &Statistics, sides: Sides) -> Augmentation {
    match size {
        SizePolicy::Resize { height, width } => {
            let whole = [height as u32, width as u32];
            Augmentation::recipe(whole[0].min(whole[1]), whole)
        }
        SizePolicy::Native => Augmentation::recipe(None, sides.crop([statistics.short_side.min(CROP); 2])),
    }
}

#[cfg(test)]
mod tests {
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::network::Configuration;
    use seg_nets::trans_unet::TransUNetConfig;
    use seg_nets::unet_plus_plus::UNetPlusPlusConfig;
    use seg_nets::unext::UNextConfig;

    use super::*;

    #[test]
    fn the_record_of_a_configuration_names_no_place_of_the_machine() {
        let unknown = AmsUnetConfig::new();
        let mut config = Config::recipe("/home/me/DRIVE".into(), unknown, Augmentation::recipe(480, [480, 480]));
        config.init = Some("/home/me/weights/first.pth".into());
        let record = config.record();
        assert_eq!(record["init"], "first.pth");
        assert_eq!(record["learning_rate"], LEARNING_RATE);
        assert!(!serde_json::to_string(&record).unwrap().contains("/home"), "{record:?}");
    }

    #[test]
    fn the_crop_fits_the_images() {
        let statistics = |short_side| Statistics {
            mean: [0.0; 3],
            std: [1.0; 3],
            short_side,
            median: [short_side; 2],
            class_pixels: Vec::new(),
        };
        let resize = SizePolicy::Resize { height: 352, width: 416 };
        for (name, size, short_side, expected) in [
            ("DRIVE", SizePolicy::Native, 565, [480, 480]),
            ("small images", SizePolicy::Native, 250, [240, 240]),
            ("tiny images", SizePolicy::Native, 9, [16, 16]),
            ("a fixed size", resize, 1000, [352, 416]),
        ] {
            let sides = AmsUnetConfig::new().sides();
            assert_eq!(augmentation(size, &statistics(short_side), sides).crop, expected, "{name}");
        }
        for (name, sides, short_side, expected) in [
            ("multiples of 32", UNextConfig::new().sides(), 250, [224, 224]),
            ("multiples of 32, tiny images", UNextConfig::new().sides(), 9, [32, 32]),
            ("one size", TransUNetConfig::new().sides(), 565, [256, 256]),
        ] {
            assert_eq!(augmentation(SizePolicy::Native, &statistics(short_side), sides).crop, expected, "{name}");
        }
    }

    #[test]
    fn the_crop_and_the_size_are_those_that_the_network_takes() {
        let network = NetworkConfig::from(UNetPlusPlusConfig::new());
        let statistics = |short_side| Statistics {
            mean: [0.0; 3],
            std: [1.0; 3],
            short_side,
            median: [short_side; 2],
            class_pixels: Vec::new(),
        };
        for (short_side, expected) in [(565, [480, 480]), (250, [240, 240]), (47, [32, 32]), (9, [16, 16])] {
            let found = augmentation(SizePolicy::Native, &statistics(short_side), network.sides());
            assert_eq!(found.crop, expected, "{short_side}");
        }
        let config = |crop, size| Config {
            size,
            ..Config::recipe("data".into(), network.clone(), Augmentation::recipe(None, crop))
        };
        let resize = |height, width| SizePolicy::Resize { height, width };
        assert_eq!(config([32, 48], SizePolicy::Native).check(), Ok(()));
        assert_eq!(config([32, 48], resize(64, 96)).check(), Ok(()));
        for (config, part) in [
            (
                config([40, 48], SizePolicy::Native),
                "`crop` is 40x48, expected sides of at least 16 that are multiples of 16",
            ),
            (
                config([32, 48], resize(64, 100)),
                "`size` is 64x100, expected sides of at least 16 that are multiples of 16",
            ),
        ] {
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let base = || Config::recipe("data".into(), AmsUnetConfig::new(), Augmentation::recipe(64, [32, 32]));
        assert_eq!(base().check(), Ok(()));
        let fixed = |height, width| SizePolicy::Resize { height, width };
        assert_eq!(Config { size: fixed(64, 96), ..base() }.check(), Ok(()));
        let fold = Some("1/5".parse().unwrap());
        for (config, part) in [
            (Config { epochs: 0, ..base() }, "`epochs` is 0, expected at least 1"),
            (Config { batch_size: 0, ..base() }, "`batch_size` is 0"),
            (Config { steps_per_epoch: Some(0), ..base() }, "`steps_per_epoch` is 0"),
            (Config { learning_rate: f64::NAN, ..base() }, "`learning_rate` is NaN"),
            (Config { weight_decay: -1.0, ..base() }, "`weight_decay` is -1"),
            (Config { validation: Some(1.0), ..base() }, "`validation` is 1.0, expected a number between 0 and 1"),
            (Config { validation: Some(0.1), fold, ..base() }, "`fold` and `validation`"),
            (Config { split: Some("a.json".into()), fold, ..base() }, "`split` and `fold`"),
            (Config { network: AmsUnetConfig::new().with_base_width(6).into(), ..base() }, "`base_width` is 6"),
            (Config { std: [1.0, 0.0, 1.0], ..base() }, "`std` is [1.0, 0.0, 1.0]"),
            (
                Config { class_weights: Some(vec![1.0]), ..base() },
                "`class_weights` is [1.0], expected a number of at least 0",
            ),
            (Config { class_weights: Some(vec![1.0, -1.0]), ..base() }, "`class_weights` is [1.0, -1.0]"),
            (Config { class_weights: Some(vec![0.0, 0.0]), ..base() }, "not all of them 0"),
            (
                Config { augmentation: Augmentation::recipe(64, [8, 32]), ..base() },
                "`crop` is 8x32, expected sides of at least 16",
            ),
            (Config { size: fixed(8, 64), ..base() }, "`size` is 8x64, expected sides of at least 16"),
            (
                Config { network: TransUNetConfig::new().into(), ..base() },
                "the network takes 256x256 only; stretch them with `--size 256x256`",
            ),
            (
                Config { network: TransUNetConfig::new().into(), size: fixed(128, 128), ..base() },
                "`size` is 128x128, expected 256x256",
            ),
            (
                Config { network: UNextConfig::new().into(), size: fixed(64, 80), ..base() },
                "`size` is 64x80, expected sides of at least 32 that are multiples of 32",
            ),
            (Config { size: fixed(64, 0), ..base() }, "`size` is 64x0"),
            (
                Config { size: fixed(96, 48), ..base() },
                "`short_side` is 64, but every image is run at 96x48; leave it out, or set it to 48",
            ),
        ] {
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_configuration_of_before_can_be_read() {
        let text = r#"{"data": "d", "network": {"in_channels": 3, "num_classes": 2, "base_width": 32}, "init": null,
            "epochs": 3, "batch_size": 2, "learning_rate": 0.002, "weight_decay": 5e-5, "validation": 0.2, "seed": 0,
            "device": "cpu", "size": {"policy": "native"}, "augmentation": {"short_side": 565, "scale_min": 0.7,
            "scale_max": 1.3, "flip_horizontal": 0.5, "flip_vertical": 0.5, "crop": [480, 480]},
            "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.augmentation, Augmentation::recipe(565, [480, 480]));
        assert_eq!((config.validation, config.fold), (Some(0.2), None));
        assert_eq!(config.check(), Ok(()));
    }
}
