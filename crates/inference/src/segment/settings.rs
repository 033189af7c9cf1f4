//! The settings for segmenting images with a model.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use seg_contract::{Contract, OutputKind, Reading, SizePolicy};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::flips::Views;
use super::tiles::Tiling;
use crate::provider::{Options, Shapes};
use seg_metrics::Cleanup;

/// The settings for segmenting images with a model. The default does the same as the evaluation
/// during training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Settings {
    /// The images to cut into tiles.
    pub tiles: Tiles,
    /// The largest image that is run whole where [`Tiles::Auto`] decides, in pixels;
    /// [`WHOLE_PIXELS_MAX`] unless there is too little memory for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_pixels_max: Option<usize>,
    /// The views of an image over which the probabilities are averaged.
    pub views: Views,
    /// The least probability of the second of two classes; by default, the more probable class
    /// counts.
    pub threshold: Option<f32>,
    /// The cleaning of a class's areas, by the name of the class.
    pub cleanup: BTreeMap<String, Cleanup>,
    /// True if the probabilities are needed too, and not only the mask.
    pub probabilities: bool,
    /// The map of the uncertainty, if it is needed.
    pub uncertainty: Option<Uncertainty>,
    /// The way in which medical images become pictures, where the contract does not name one.
    #[serde(default, skip_serializing_if = "Reading::is_empty")]
    pub reading: Reading,
    /// The number of images or tiles of one size that run at once; this changes no result.
    #[serde(skip)]
    pub batch: Option<NonZeroUsize>,
}

/// The images to cut into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Tiles {
    /// Images with more than [`Settings::whole_pixels_max`] pixels, and images of a size that the
    /// graph or TensorRT's engine does not take; none if the model stretches images or gives masks.
    Auto {
        /// The share of a tile that it has in common with the next one, 0 to
        /// [`Tiling::OVERLAP_MAX`].
        overlap: f64,
    },
    /// No image.
    Off,
    /// All images, so that the network sees a single size.
    Of(Tiling),
}

impl Default for Tiles {
    fn default() -> Self {
        Self::Auto { overlap: Tiling::default().overlap }
    }
}

/// The largest image that is run at its own size by default, in pixels: a network's memory grows
/// with them.
pub const WHOLE_PIXELS_MAX: usize = 1536 * 1536;

/// The measure of a prediction's uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Uncertainty {
    /// The entropy of the probabilities, `-sum p ln p / ln classes`: 0 if one class has all, 1 if
    /// all are equal.
    Entropy,
    /// The variance of a probability over views and models, its mean over the classes: 0 to 0.25.
    Variance,
}

/// The reason for which a model cannot work with settings.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The model cannot take such tiles.
    #[error("tiles of {}x{} pixels with an overlap of {overlap} cannot be used: {expected}", size[0], size[1])]
    Tiling {
        /// The height and width asked for.
        size: [usize; 2],
        /// The overlap asked for.
        overlap: f64,
        /// The possible values.
        expected: String,
    },
    /// The model's images are stretched.
    #[error(
        "the model takes each image stretched to {height}x{width}, so that tiles would show it another scale than it was \
         trained on; leave out `--tile`"
    )]
    Stretched {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
    },
    /// The model's images are stretched, so that they cannot be resampled as well.
    #[error(
        "the model takes each image stretched to one size, which leaves no spacing to resample to; leave out `--resample`"
    )]
    Resampled,
    /// The model gives masks.
    #[error("the model gives masks and no probabilities, which {what} needs; export it with `--output probabilities`")]
    NoProbabilities {
        /// The setting that needs probabilities.
        what: &'static str,
    },
    /// A threshold needs two classes.
    #[error(
        "a threshold needs a model with two classes and lies between 0 and 1; found {threshold} for {classes} classes"
    )]
    Threshold {
        /// The threshold.
        threshold: f32,
        /// The number of classes.
        classes: usize,
    },
    /// The model has no class of this name.
    #[error("the model has no class `{name}` that could be cleaned; it has {classes}")]
    Class {
        /// The name asked for.
        name: String,
        /// The names of the classes except the background.
        classes: String,
    },
    /// A variance needs several predictions.
    #[error("the variance of a single answer is zero everywhere; choose `--tta flips`, several models, or the entropy")]
    Variance,
}

impl Settings {
    /// Checks the settings for an ensemble of `members` models with this contract.
    ///
    /// # Errors
    /// When the model cannot do what is asked for.
    pub fn check(&self, contract: &Contract, members: usize) -> Result<(), SettingsError> {
        let overlaps = 0.0..=Tiling::OVERLAP_MAX;
        if let Tiles::Auto { overlap } = self.tiles
            && !overlaps.contains(&overlap)
        {
            let size = contract.input.form.size.unwrap_or(Tiling::default().size);
            let expected = format!("expected an overlap of 0 to {}", overlaps.end());
            return Err(SettingsError::Tiling { size, overlap, expected });
        }
        if self.reading.resample.is_some() && contract.input.size != SizePolicy::Native {
            return Err(SettingsError::Resampled);
        }
        if let Tiles::Of(Tiling { size, overlap }) = self.tiles {
            if let SizePolicy::Resize { height, width } = contract.input.size {
                return Err(SettingsError::Stretched { height, width });
            }
            let refuse = |expected| Err(SettingsError::Tiling { size, overlap, expected });
            if let Some([height, width]) = contract.input.form.size.filter(|only| *only != size) {
                return refuse(format!("the model takes {height}x{width} only, as it does without `--tile`"));
            }
            if !contract.input.fits(size) || !overlaps.contains(&overlap) {
                let end = overlaps.end();
                return refuse(format!("expected {} and an overlap of 0 to {end}", contract.input.sides()));
            }
        }
        if contract.output.kind == OutputKind::Mask {
            let rows = [
                (matches!(self.tiles, Tiles::Of(_)), "blending tiles"),
                (members > 1, "an ensemble"),
                (self.views != Views::None, "averaging views"),
                (self.threshold.is_some(), "a threshold"),
                (self.probabilities, "a map of them"),
                (self.uncertainty.is_some(), "a map of the uncertainty"),
            ];
            if let Some((_, what)) = rows.into_iter().find(|(is_asked, _)| *is_asked) {
                return Err(SettingsError::NoProbabilities { what });
            }
        }
        let classes = contract.classes.len();
        if let Some(threshold) = self.threshold
            && (classes != 2 || !(0.0..=1.0).contains(&threshold))
        {
            return Err(SettingsError::Threshold { threshold, classes });
        }
        let targets = &contract.classes[1..];
        if let Some(name) = self.cleanup.keys().find(|name| !targets.iter().any(|class| class.name == **name)) {
            let classes: Vec<_> = targets.iter().map(|class| format!("`{}`", class.name)).collect();
            return Err(SettingsError::Class { name: name.clone(), classes: classes.join(", ") });
        }
        if self.uncertainty == Some(Uncertainty::Variance) && members * self.views.all().len() == 1 {
            return Err(SettingsError::Variance);
        }
        Ok(())
    }

    /// Returns the largest image that is run whole where [`Tiles::Auto`] decides, in pixels.
    pub fn whole_pixels_max(&self) -> usize {
        self.whole_pixels_max.unwrap_or(WHOLE_PIXELS_MAX)
    }

    /// Returns whether a model with this contract may get images in tiles.
    pub fn cuts(&self, contract: &Contract) -> bool {
        match self.tiles {
            Tiles::Of(_) => true,
            Tiles::Auto { .. } => contract.input.size == SizePolicy::Native && contract.output.kind != OutputKind::Mask,
            Tiles::Off => false,
        }
    }

    /// Returns the number of pixels that the network works on at once for an image that it sees at
    /// the given height and width, together with others of its size if [`batch`](Self::batch) asks
    /// for them.
    pub fn pixels_at_once(&self, contract: &Contract, image: [usize; 2]) -> usize {
        let size = match self.tiling(contract, &[], image) {
            Some(tiling) => tiling.size,
            None => contract.input.geometry(image).network,
        };
        size.iter().product::<usize>() * self.batch.map_or(1, NonZeroUsize::get)
    }

    /// Returns the tiles for an image that the network sees at the given height and width, and a
    /// model with these engines;
    /// `None` if it is run whole.
    pub(crate) fn tiling(&self, contract: &Contract, engines: &[Shapes], image: [usize; 2]) -> Option<Tiling> {
        let input = &contract.input;
        match self.tiles {
            _ if !self.cuts(contract) => None,
            Tiles::Of(tiling) => Some(tiling),
            Tiles::Auto { overlap } => match input.form.size {
                Some(size) => (input.geometry(image).network != size).then_some(Tiling { size, overlap }),
                None => {
                    let is_taken = |engine: &Shapes| engine.take_size(input.geometry(image).network);
                    let is_whole = image[0] * image[1] <= self.whole_pixels_max() && engines.iter().all(is_taken);
                    let nearest = |size, engine: &Shapes| engine.nearest_size(size);
                    let size = engines.iter().fold(input.next_size(Tiling::default().size), nearest);
                    (!is_whole).then_some(Tiling { size, overlap })
                }
            },
            Tiles::Off => None,
        }
    }
}

impl Options {
    /// Completes the options with which a model is opened that runs with these settings, so that an
    /// engine takes the inputs that they produce.
    pub fn for_settings(self, settings: &Settings) -> Self {
        let tile = match settings.tiles {
            Tiles::Of(Tiling { size, .. }) => Some(size),
            Tiles::Auto { .. } | Tiles::Off => None,
        };
        Self { tile, batch_max: settings.batch, ..self }
    }
}

#[cfg(test)]
mod tests {
    use crate::threshold;

    use super::*;

    #[test]
    fn an_image_that_no_engine_takes_is_cut_into_tiles_that_each_takes() {
        let contract = threshold::model(SizePolicy::Native).contract;
        let shapes = |text: &str| text.parse::<Shapes>().unwrap();
        let (large, small) = (shapes("1x16x16,1x512x512,8x1024x1024"), shapes("1x64x64,1x64x64,4x256x128"));
        for (name, engines, image, expected) in [
            ("without an engine", vec![], [1500, 1500], None),
            ("too large for a network", vec![], [1600, 1600], Some([512, 512])),
            ("what the engine takes", vec![large], [1024, 900], None),
            ("one side too long", vec![large], [1025, 100], Some([512, 512])),
            ("too small", vec![small], [30, 100], Some([256, 128])),
            ("too large for a small engine", vec![small], [300, 100], Some([256, 128])),
            ("an ensemble", vec![large, small], [600, 100], Some([256, 128])),
        ] {
            let found = Settings::default().tiling(&contract, &engines, image);
            assert_eq!(found.map(|tiling| tiling.size), expected, "{name}");
        }
        let little_memory = Settings { whole_pixels_max: Some(1 << 20), ..Settings::default() };
        for (image, expected) in [([1024, 1024], None), ([1024, 1025], Some([512, 512]))] {
            let found = little_memory.tiling(&contract, &[], image);
            assert_eq!(found.map(|tiling| tiling.size), expected, "{image:?} with little memory");
        }
        let off = Settings { tiles: Tiles::Off, ..Settings::default() };
        assert_eq!(off.tiling(&contract, &[small], [2000, 2000]), None);
    }
}
