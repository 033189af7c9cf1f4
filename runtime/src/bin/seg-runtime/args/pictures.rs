//! The flags for medical images, and for files of several pictures.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use seg_contract::{Contract, Level, Reading, Slices, Spacing, Windowing};
use seg_data::PicturePath;
use serde_json::Value;

use super::conflict::Conflict;

/// The way in which medical images become pictures, where the model does not name one.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Medical images")]
pub(crate) struct Medical {
    /// The values that become black and white, where the model names none: `file` (the window of
    /// each file, else percentiles), CENTER,WIDTH, lung, bone, soft-tissue, brain, hu, percentiles
    /// or percentiles:LOW,HIGH [default: file]
    #[arg(long, value_name = "WINDOW", allow_hyphen_values = true)]
    window: Option<Windowing>,
    /// The slices of a NIfTI volume, where the model names none: k, j or i along an axis of the
    /// file; axial, coronal or sagittal in the patient [default: k]
    #[arg(long, value_name = "SLICES", value_parser = slices)]
    slices: Option<Slices>,
    /// The level of a pyramid (OME-TIFF, SVS), where the model names none: 0 for the full size, 1
    /// for the next smaller one, or micrometres a pixel, such as 0.5um [default: 0]
    #[arg(long, value_name = "LEVEL")]
    level: Option<Level>,
    /// The millimetres a pixel to which images are resampled for the network, where the model
    /// names none: one number, or ROWSxCOLUMNS. Masks have the images' own pixels [default: not
    /// resampled]
    #[arg(long, value_name = "SPACING")]
    resample: Option<Spacing>,
}

fn slices(text: &str) -> Result<Slices, &'static str> {
    let text = Value::String(text.to_owned());
    serde_json::from_value(text).map_err(|_| "expected k, j, i, axial, coronal or sagittal")
}

impl Medical {
    /// Returns the way in which images become pictures that the flags name.
    ///
    /// # Errors
    /// When the model was trained in another way.
    pub(crate) fn reading(&self, contract: &Contract) -> Result<Reading, Conflict> {
        let learned = contract.input.reading;
        let named = Reading { windowing: self.window, slices: self.slices, level: self.level, resample: self.resample };
        let differs = |flag, found: Option<String>, learned: Option<String>| match (found, learned) {
            (Some(found), Some(learned)) if found != learned => Err(Conflict::Learned { flag, found, learned }),
            _ => Ok(()),
        };
        let text = |windowing: Windowing| windowing.to_string();
        differs("--window", named.windowing.map(text), learned.windowing.map(text))?;
        let text = |slices: Slices| format!("{slices:?}").to_lowercase();
        differs("--slices", named.slices.map(text), learned.slices.map(text))?;
        let text = |level: Level| level.to_string();
        differs("--level", named.level.map(text), learned.level.map(text))?;
        let text = |spacing: Spacing| spacing.to_string();
        differs("--resample", named.resample.map(text), learned.resample.map(text))?;
        // What the contract names is not also a setting.
        Ok(Reading {
            windowing: named.windowing.filter(|_| learned.windowing.is_none()),
            slices: named.slices.filter(|_| learned.slices.is_none()),
            level: named.level.filter(|_| learned.level.is_none()),
            resample: named.resample.filter(|_| learned.resample.is_none()),
        })
    }
}

/// The numbers of pictures in their files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pages(Vec<RangeInclusive<u32>>);

impl FromStr for Pages {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
        let range = |text: &str| match text.split_once('-') {
            Some((first, last)) => Some(number(first)?..=number(last)?).filter(|range| !range.is_empty()),
            None => number(text).map(|number| number..=number),
        };
        let ranges: Option<_> = text.split(',').map(range).collect();
        ranges.map(Self).ok_or("expected numbers from 1 on and ranges of them, as 1,3-5")
    }
}

impl Pages {
    /// Returns the pictures with one of these numbers; one that is alone in its file has number 1.
    pub(crate) fn select(&self, pictures: Vec<PathBuf>) -> Vec<PathBuf> {
        let is_chosen = |path: &PathBuf| {
            let number = PicturePath::new(path).number.unwrap_or(1);
            self.0.iter().any(|range| range.contains(&number))
        };
        pictures.into_iter().filter(is_chosen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_numbers_and_ranges() {
        let pictures = || ["a.tif#1", "a.tif#2", "a.tif#3", "a.tif#7", "b.png"].map(PathBuf::from).to_vec();
        for (text, expected) in [
            ("1", &["a.tif#1", "b.png"][..]),
            ("2-3", &["a.tif#2", "a.tif#3"]),
            ("7, 1-2", &["a.tif#1", "a.tif#2", "a.tif#7", "b.png"]),
            ("9", &[]),
        ] {
            let pages: Pages = text.parse().unwrap();
            assert_eq!(pages.select(pictures()), expected.iter().map(PathBuf::from).collect::<Vec<_>>(), "{text}");
        }
        for text in ["", "0", "3-1", "a", "1,,2", "-1"] {
            assert!(text.parse::<Pages>().is_err(), "{text}");
        }
    }
}
