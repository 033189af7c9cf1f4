//! Signs that a binary mask says something else than what is read from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ::tiff::decoder::Decoder;
use ::tiff::tags::Tag;
use image::{DynamicImage, GenericImageView};

use seg_contract::Reading;

use crate::colors::to_luma16;
use crate::formats::{ReadError, decode_integers, format_of_picture};

/// The most values of a mask that is looked at: more are a picture.
const VALUES_MAX: usize = 256;
/// The most levels that are regions; a mask with more is a picture.
const LEVELS_MAX: usize = 16;
/// The least share of a level's pixels that lie in a square of two by two pixels of that level,
/// where the level is a region: edges that were smoothed are one pixel wide.
const REGION_SHARE: f64 = 0.1;

/// A sign that a binary mask says something else than what is read from it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Suspicion {
    /// More than two values are regions: each with its share of the pixels.
    Levels(Vec<(u16, f64)>),
    /// The transparency varies where the colour does not: this share of the pixels is transparent.
    Transparency(f64),
    /// A TIFF file says that its 0 is white, which some readers follow and others do not.
    WhiteIsZero,
}

/// Looks for such signs in a binary mask; formats that blur values have none.
pub(crate) fn suspicions(path: &Path) -> Result<Vec<Suspicion>, ReadError> {
    if !format_of_picture(path)?.keeps_values() {
        return Ok(Vec::new());
    }
    let image = decode_integers(path, &Reading::default())?;
    let mut found = Vec::new();
    found.extend(levels(&image).map(Suspicion::Levels));
    found.extend(transparency(&image).map(Suspicion::Transparency));
    if is_white_zero(path) {
        found.push(Suspicion::WhiteIsZero);
    }
    Ok(found)
}

/// Returns the values that are regions with their shares, if they are more than two.
fn levels(image: &DynamicImage) -> Option<Vec<(u16, f64)>> {
    let gray = to_luma16(image);
    let (width, height) = gray.dimensions();
    // Most masks have two values, which is soon known.
    let mut seen = vec![false; usize::from(u16::MAX) + 1];
    gray.iter().for_each(|value| seen[usize::from(*value)] = true);
    if !(3..=VALUES_MAX).contains(&seen.iter().filter(|seen| **seen).count()) {
        return None;
    }
    // The pixels of each value, and those in a square of one value.
    let mut counts = BTreeMap::<u16, [u64; 2]>::new();
    let is_square = |left: u32, top: u32| {
        let value = gray.get_pixel(left, top);
        [(1, 0), (0, 1), (1, 1)].iter().all(|(x, y)| gray.get_pixel(left + x, top + y) == value)
    };
    for (x, y, pixel) in gray.enumerate_pixels() {
        let mut corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
            .into_iter()
            .filter_map(|(left, up)| Some((x.checked_sub(left)?, y.checked_sub(up)?)));
        let inside = corners.any(|(left, top)| left + 1 < width && top + 1 < height && is_square(left, top));
        let count = counts.entry(pixel[0]).or_default();
        count[0] += 1;
        count[1] += u64::from(inside);
    }
    let regions = counts.into_iter().filter(|(_, [all, inside])| *inside as f64 >= REGION_SHARE * *all as f64);
    let total = f64::from(width) * f64::from(height);
    let regions: Vec<(u16, f64)> = regions.map(|(value, [all, _])| (value, all as f64 / total)).collect();
    // Eight bits are stored as they are named.
    let is_wide = image.color().bytes_per_pixel() / image.color().channel_count() > 1;
    let shown = |(value, share): (u16, f64)| (if is_wide { value } else { value / 257 }, share);
    (3..=LEVELS_MAX).contains(&regions.len()).then(|| regions.into_iter().map(shown).collect())
}

/// Returns the share of transparent pixels, if the transparency divides the image otherwise than
/// the colour does.
fn transparency(image: &DynamicImage) -> Option<f64> {
    if !image.color().has_alpha() {
        return None;
    }
    // The pixels that are dark or bright, by whether they are transparent.
    let mut counts = [[0_u64; 2]; 2];
    for (_, _, pixel) in image.pixels() {
        let bright = pixel[0].max(pixel[1]).max(pixel[2]) >= super::THRESHOLD;
        counts[usize::from(pixel[3] < super::THRESHOLD)][usize::from(bright)] += 1;
    }
    let [solid, clear] = counts.map(|counts| counts.iter().sum::<u64>());
    // A transparent background of the background's colour says the same twice.
    let says_same = counts[1][1] == 0 && counts[0][0] == 0;
    (solid > 0 && clear > 0 && !says_same).then(|| clear as f64 / (solid + clear) as f64)
}

/// Returns true if a file is a TIFF image of photometric interpretation 0.
fn is_white_zero(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let Ok(mut decoder) = Decoder::new(BufReader::new(file)) else { return false };
    decoder.get_tag_u32(Tag::PhotometricInterpretation).is_ok_and(|value| value == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{GrayAlphaImage, GrayImage, ImageFormat, Luma, LumaA, Rgba, RgbaImage};

    use super::*;

    fn found(image: impl Into<DynamicImage>) -> Vec<Suspicion> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        image.into().save(&path).unwrap();
        suspicions(&path).unwrap()
    }

    /// Draws a disc with a rim of two pixels.
    fn rimmed(values: [u8; 3]) -> GrayImage {
        GrayImage::from_fn(40, 40, |x, y| {
            let distance = ((f64::from(x) - 19.5).powi(2) + (f64::from(y) - 19.5).powi(2)).sqrt();
            Luma([if distance < 10.0 {
                values[2]
            } else if distance < 12.5 {
                values[1]
            } else {
                values[0]
            }])
        })
    }

    #[test]
    fn levels_that_are_regions_are_told_from_edges() {
        let levels = |found: Vec<Suspicion>| match found.as_slice() {
            [Suspicion::Levels(levels)] => levels.iter().map(|(value, _)| *value).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        assert_eq!(levels(found(rimmed([0, 128, 255]))), [0, 128, 255]);
        assert_eq!(levels(found(rimmed([0, 60, 200]))), [0, 60, 200]);
        let wide = image::ImageBuffer::from_fn(40, 40, |x, _| Luma([[0_u16, 20_000, 65_535][x as usize / 14]]));
        assert_eq!(levels(found(wide)), [0, 20_000, 65_535]);
        let plain = rimmed([0, 255, 255]);
        let smooth = image::imageops::blur(&plain, 0.8);
        let resized = image::imageops::resize(&plain, 93, 93, image::imageops::FilterType::Triangle);
        for (name, mask) in [("two levels", plain), ("smoothed", smooth), ("resized", resized)] {
            assert_eq!(found(mask), [], "{name}");
        }
    }

    #[test]
    fn transparency_that_says_more_than_the_colour_is_found() {
        let inside = |x: u32| x < 4;
        let of = |solid: [u8; 4], clear: [u8; 4]| {
            found(RgbaImage::from_fn(16, 4, |x, _| Rgba(if inside(x) { solid } else { clear })))
        };
        let quarter = [Suspicion::Transparency(0.75)];
        assert_eq!(of([255; 4], [255, 255, 255, 0]), quarter, "white everywhere");
        assert_eq!(of([0, 0, 0, 255], [0, 0, 0, 0]), quarter, "black everywhere");
        assert_eq!(of([255; 4], [0, 0, 0, 255]), [], "opaque");
        assert_eq!(of([255; 4], [0, 0, 0, 0]), [], "the same twice");
        let gray = GrayAlphaImage::from_fn(16, 4, |x, _| LumaA([255, if inside(x) { 255 } else { 0 }]));
        assert_eq!(found(gray), quarter, "grey");
    }

    #[test]
    fn a_tiff_that_calls_zero_white_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.tif");
        let mut file = Cursor::new(Vec::new());
        DynamicImage::from(rimmed([0, 255, 255])).write_to(&mut file, ImageFormat::Tiff).unwrap();
        let mut bytes = file.into_inner();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(suspicions(&path).unwrap(), []);
        // The entry of the tag: number 262, type 3, one value.
        let entry = [6, 1, 3, 0, 1, 0, 0, 0];
        let place = bytes.windows(8).position(|window| window == entry).unwrap();
        bytes[place + 8] = 0;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(suspicions(&path).unwrap(), [Suspicion::WhiteIsZero]);
    }
}
