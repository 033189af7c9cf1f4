//! Everything that configures a run, as it is saved beside the weights.

use std::path::PathBuf;

use seg_data::Layout;
use seg_onnx::contract::SizePolicy;
use serde::{Deserialize, Serialize};

use crate::augment::Augmentation;
use crate::model::{AmsUnetConfig, SIDE_MIN};
use crate::statistics::Statistics;

/// The recipe's weight decay.
pub const WEIGHT_DECAY: f32 = 5e-5;
/// The learning rate of the authors' code; the paper states a tenth of it.
pub const LEARNING_RATE: f64 = 2e-3;
/// The crop of the recipe, in pixels.
const CROP: u32 = 480;
/// The size at which polyp networks are trained and compared, in pixels.
const KVASIR_SIDE: usize = 352;
/// The height and width at which networks for skin lesions are commonly trained; the originals have up to 30 million pixels.
const ISIC_SIDES: [usize; 2] = [192, 256];

/// Everything that configures a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The data set's folder.
    pub data: PathBuf,
    /// The network.
    pub network: AmsUnetConfig,
    /// Weights to start from instead of random ones.
    pub init: Option<PathBuf>,
    /// How often every image is seen.
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
    /// The share of the images that chooses the best epoch.
    pub validation: f64,
    /// The seed of the split, the weights, the order and the augmentations.
    pub seed: u64,
    /// The device that was asked for.
    pub device: String,
    /// At which size the network runs an image.
    pub size: SizePolicy,
    /// The random views that training sees.
    pub augmentation: Augmentation,
    /// The most memory that decoded images may keep, in MiB; the result does not depend on it.
    #[serde(default = "default_cache_mb")]
    pub cache_mb: usize,
    /// The mean of the training images' channels, in [0, 1].
    pub mean: [f32; 3],
    /// The standard deviation about it.
    pub std: [f32; 3],
}

/// Room for a thousand images of half a megapixel.
fn default_cache_mb() -> usize {
    2048
}

impl Config {
    /// The recipe's choices for images whose channels have mean 0 and deviation 1.
    pub fn recipe(data: PathBuf, network: AmsUnetConfig, augmentation: Augmentation) -> Self {
        Self {
            data,
            network,
            init: None,
            epochs: 300,
            batch_size: 2,
            steps_per_epoch: None,
            learning_rate: LEARNING_RATE,
            weight_decay: WEIGHT_DECAY,
            validation: 0.2,
            seed: 0,
            device: "auto".into(),
            size: SizePolicy::Native,
            augmentation,
            cache_mb: default_cache_mb(),
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }
}

/// At which size a data set is run unless the user says otherwise.
pub fn default_size(layout: Layout) -> SizePolicy {
    match layout {
        Layout::KvasirSeg => SizePolicy::Resize { height: KVASIR_SIDE, width: KVASIR_SIDE },
        Layout::Isic2018 => SizePolicy::Resize { height: ISIC_SIDES[0], width: ISIC_SIDES[1] },
        Layout::Drive | Layout::Folder => SizePolicy::Native,
    }
}

/// The recipe's augmentation for images of these statistics.
///
/// The crop is `crop` squared where one is given; else the whole of a fixed size, or 480 pixels of a native one, less where
/// the images are smaller (then a multiple of 16, which no halving cuts).
pub fn augmentation(size: SizePolicy, statistics: &Statistics, crop: Option<u32>) -> Augmentation {
    let square = crop.map(|side| [side, side]);
    match size {
        SizePolicy::Resize { height, width } => {
            let whole = [height as u32, width as u32];
            Augmentation::recipe(whole[0].min(whole[1]), square.unwrap_or(whole))
        }
        SizePolicy::Native => {
            let fit = (statistics.short_side.min(CROP) / SIDE_MIN as u32).max(1) * SIDE_MIN as u32;
            Augmentation::recipe(statistics.short_side, square.unwrap_or([fit, fit]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crop_fits_the_images() {
        let statistics = |short_side| Statistics { mean: [0.0; 3], std: [1.0; 3], short_side };
        let resize = SizePolicy::Resize { height: 352, width: 416 };
        for (name, size, short_side, crop, expected) in [
            ("DRIVE", SizePolicy::Native, 565, None, [480, 480]),
            ("small images", SizePolicy::Native, 250, None, [240, 240]),
            ("tiny images", SizePolicy::Native, 9, None, [16, 16]),
            ("a fixed size", resize, 1000, None, [352, 416]),
            ("a crop that was asked for", SizePolicy::Native, 565, Some(128), [128, 128]),
        ] {
            assert_eq!(augmentation(size, &statistics(short_side), crop).crop, expected, "{name}");
        }
    }
}
