//! The flags that turn a model's outputs into masks, and choose what is saved.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::str::FromStr;

use clap::Args;
use seg_inference::{Cleanup, Settings, Tiles, Tiling, Uncertainty, Views};
use seg_runtime::save::Save;

use super::Warm;

/// The name that stands for every class but the background.
const ALL: &str = "all";

/// The steps from a model's outputs to masks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Masks")]
pub(crate) struct Answers {
    /// The side of the tiles that every image is cut into; `auto` cuts only images too large to be
    /// run whole
    #[arg(long, value_name = "PIXELS|auto|off", default_value = "auto")]
    pub(super) tile: Tile,
    /// The share of a tile that overlaps the next one, 0 to 0.75 [default: 0.25]
    #[arg(long, value_name = "SHARE")]
    pub(super) overlap: Option<f64>,
    /// Average the probabilities over mirrored views of the image
    #[arg(long, value_enum, value_name = "VIEWS", default_value_t)]
    tta: Views,
    /// With two classes, the least probability for the second one [default: the more probable class
    /// wins]
    #[arg(long, value_name = "PROBABILITY")]
    threshold: Option<f32>,
    /// Fill holes in the areas of these classes, or of `all` classes
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    fill_holes: Vec<String>,
    /// Remove areas with fewer pixels from a class, or from `all` classes that are not named
    #[arg(long, value_name = "CLASS=PIXELS", value_delimiter = ',')]
    pub(super) min_area: Vec<ClassArea>,
    /// Keep only the largest area of these classes, or of `all` classes
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    largest_component: Vec<String>,
    /// Images or tiles of one size that the network runs at once
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub(super) batch: NonZeroUsize,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Tile {
    Auto,
    Off,
    Side(NonZeroUsize),
}

impl FromStr for Tile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => text.parse().map(Self::Side).map_err(|_| "expected a number of pixels, auto or off"),
        }
    }
}

impl Tile {
    fn tiles(self, overlap: f64) -> Tiles {
        match self {
            Self::Auto => Tiles::Auto { overlap },
            Self::Off => Tiles::Off,
            Self::Side(side) => Tiles::Of(Tiling { size: [side.get(); 2], overlap }),
        }
    }
}

impl Warm {
    /// Returns the settings that change what is built for a run.
    pub(crate) fn settings(&self) -> Settings {
        let tiles = self.tile.tiles(Tiling::default().overlap);
        Settings { tiles, batch: Some(self.batch), ..Settings::default() }
    }
}

#[derive(Clone, Debug)]
pub(super) struct ClassArea {
    pub(super) class: String,
    pixels: u64,
}

impl FromStr for ClassArea {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.rsplit_once('=').and_then(|(class, pixels)| Some((class.to_owned(), pixels.parse().ok()?)));
        parts.map(|(class, pixels)| Self { class, pixels }).ok_or("expected CLASS=PIXELS, as in vessel=50")
    }
}

impl Answers {
    /// Returns the settings for a model whose classes except the background have these names.
    pub(crate) fn settings(&self, classes: &[String]) -> Settings {
        let mut cleanup: BTreeMap<String, Cleanup> = BTreeMap::new();
        let mut change = |name: &String, change: &dyn Fn(&mut Cleanup)| {
            let names = if name == ALL { classes } else { std::slice::from_ref(name) };
            names.iter().for_each(|name| change(cleanup.entry(name.clone()).or_default()));
        };
        self.fill_holes.iter().for_each(|name| change(name, &|cleanup| cleanup.fill_holes = true));
        // A class's own number goes before that of `all`, whichever is said first.
        let (all, named): (Vec<_>, Vec<_>) = self.min_area.iter().partition(|area| area.class == ALL);
        for area in all.into_iter().chain(named) {
            change(&area.class, &|cleanup| cleanup.min_area = area.pixels);
        }
        self.largest_component.iter().for_each(|name| change(name, &|cleanup| cleanup.largest_component = true));
        let overlap = self.overlap.unwrap_or(Tiling::default().overlap);
        Settings {
            tiles: self.tile.tiles(overlap),
            views: self.tta,
            threshold: self.threshold,
            cleanup,
            batch: Some(self.batch),
            ..Settings::default()
        }
    }
}

/// The files that are saved of each image.
#[derive(Debug, Args)]
#[command(next_help_heading = "Saved files")]
pub(crate) struct Saves {
    /// The files to save of each image, separated by commas
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',', default_value = "mask,overlay")]
    pub(super) save: Vec<Save>,
    /// The measure that the map of `--save uncertainty` shows [default: entropy]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(super) uncertainty: Option<Uncertainty>,
}

impl Saves {
    /// Returns the results to save, each once.
    pub(crate) fn list(&self) -> Vec<Save> {
        let mut list: Vec<Save> = Vec::new();
        for save in self.save.iter().copied() {
            if !list.contains(&save) {
                list.push(save);
            }
        }
        // A volume's file is made of those of its pictures, which begin with the mask.
        let sources: Vec<Save> = list.iter().filter_map(|save| save.source()).collect();
        let sources = sources.first().map(|_| Save::Mask).into_iter().chain(sources);
        for (place, source) in sources.enumerate() {
            if !list.contains(&source) {
                list.insert(place.min(list.len()), source);
            }
        }
        list
    }

    /// Completes the settings with the needs of the output files.
    pub(crate) fn complete(&self, settings: Settings) -> Settings {
        let list = self.list();
        let kind = self.uncertainty.unwrap_or(Uncertainty::Entropy);
        Settings {
            probabilities: list.iter().any(|save| save.needs_probabilities()),
            uncertainty: list.contains(&Save::Uncertainty).then_some(kind),
            ..settings
        }
    }
}
