//! The check of a data set: every file is read, and a problem in one does not keep the others from
//! being reported.

mod alike;
mod copies;
mod digit;
mod examine;
mod quick;
mod report;
mod role;
mod sheet;
mod text;

pub use copies::{Copies, Likeness};
pub use quick::quick_check;
pub use report::{ClassShare, Finding, PartReport, Report, Sizes};
pub use role::Role;
pub use sheet::{SheetError, contact_sheet};

use std::path::Path;

use examine::{Examined, chain, examine};
use rayon::prelude::*;
use seg_contract::Reading;

use crate::datasets::{Dataset, DatasetError, Sample, Selection};

/// The most images on the contact sheet.
const SHOWN_MAX: usize = 24;

/// The result of a check: its report, and the samples that a person should look at.
#[derive(Debug)]
pub struct Check {
    /// The report.
    pub report: Report,
    /// The data set, as far as it can be read.
    pub dataset: Dataset,
    /// The samples for [`contact_sheet`], evenly chosen among those that can be read.
    pub shown: Vec<Sample>,
}

/// Reads every file of a data set, medical ones in the way that `reading` names, and reports on it.
///
/// `progress` is called after each sample, from any thread, with the number of all samples.
///
/// # Errors
/// When the folder does not exist, has an unknown layout, or its `classes.json` cannot be used. All
/// other problems are in the report.
pub fn check(
    root: &Path,
    selection: &Selection,
    reading: &Reading,
    progress: impl Fn(usize) + Sync,
) -> Result<Check, DatasetError> {
    let (mut dataset, mut refusals) = Dataset::survey(root, selection)?;
    if !reading.is_empty() {
        dataset.divide(reading, &mut refusals);
    }
    let samples = Role::samples(&dataset);
    let examined: Vec<Examined> = samples
        .par_iter()
        .map(|(role, sample)| {
            let examined = examine(*role, sample, dataset.classes.len());
            progress(samples.len());
            examined
        })
        .collect();

    let readable: Vec<&Sample> = samples
        .iter()
        .zip(&examined)
        .filter(|(_, found)| found.problems.is_empty())
        .map(|((_, sample), _)| *sample)
        .collect();
    let count = readable.len().min(SHOWN_MAX);
    let shown: Vec<Sample> = (0..count).map(|index| readable[index * readable.len() / count].clone()).collect();
    let mut report = Report::new(&dataset, &refusals, &examined);
    report.contact_sheet = shown.iter().map(|sample| sample.name.clone()).collect();
    if report.problems.is_empty() {
        match dataset.fingerprint() {
            Ok(fingerprint) => report.fingerprint = Some(fingerprint),
            Err(error) => report.problems.push(Finding { message: chain(&error), samples: Vec::new() }),
        }
    }
    Ok(Check { report, dataset, shown })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};
    use tempfile::TempDir;

    use super::*;
    use crate::formats::tests::turned_by_exif;

    /// Creates a picture unlike that of any other seed.
    fn picture(seed: u32) -> RgbImage {
        let seed = seed as f32;
        let value = |x: f32, y: f32| 128.0 + 50.0 * (x * 0.3 + seed * 1.7).sin() + 50.0 * (y * 0.2 * seed + seed).cos();
        RgbImage::from_fn(32, 32, |x, y| Rgb([value(x as f32, y as f32) as u8; 3]))
    }

    /// Creates a mask whose first rows are the target.
    fn mask(rows: u32) -> GrayImage {
        GrayImage::from_fn(32, 32, |_, y| [if y < rows { 255 } else { 0 }].into())
    }

    /// Writes four training samples and two test samples without a defect.
    fn folder() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (part, seeds) in [("train", 1..5), ("test", 5..7)] {
            for kind in ["images", "masks"] {
                fs::create_dir_all(root.path().join(part).join(kind)).unwrap();
            }
            for seed in seeds {
                picture(seed).save(root.path().join(format!("{part}/images/{seed}.png"))).unwrap();
                mask(seed).save(root.path().join(format!("{part}/masks/{seed}.png"))).unwrap();
            }
        }
        root
    }

    #[test]
    fn a_sound_data_set_is_described() {
        let root = folder();
        let found =
            check(root.path(), &Selection::default(), &Reading::default(), |total| assert_eq!(total, 6)).unwrap();
        let Report { parts, problems, warnings, copies, fingerprint, contact_sheet: shown, .. } = &found.report;
        assert_eq!((problems.len(), warnings.len(), copies.len()), (0, 0, 0), "{}", found.report);
        assert_eq!(fingerprint.as_ref(), found.dataset.fingerprint().ok().as_ref());
        assert_eq!((parts[0].images, parts[1].images), (4, 2));
        assert_eq!(parts[0].sizes.unwrap().median, [32, 32]);
        assert_eq!(parts[0].kinds["8-bit colour"], 4);
        assert_eq!((parts[0].classes[1].share, parts[0].classes[1].masks), (10.0 / 128.0, 4));
        assert_eq!(shown.join(""), "123456");
        let sheet = contact_sheet(&found.shown, &found.dataset.classes).unwrap();
        assert!(sheet.width() > 4 * 2 * 32 && sheet.height() > 2 * 32, "{:?}", sheet.dimensions());
        assert!(found.report.to_string().contains("nothing stops training"));
    }

    #[test]
    fn the_part_that_chooses_an_epoch_is_one_of_its_own() {
        let write_pair = |root: &Path, name: u32, seed: u32| {
            for kind in ["images", "masks"] {
                fs::create_dir_all(root.join(format!("val/{kind}"))).unwrap();
            }
            picture(seed).save(root.join(format!("val/images/{name}.png"))).unwrap();
            mask(seed).save(root.join(format!("val/masks/{name}.png"))).unwrap();
        };
        for (name, seeds, samples) in [
            ("nothing twice", [7, 8], None),
            ("an image to learn from", [7, 2], Some("train/2, validation/8")),
            ("an image that is held out", [7, 6], Some("validation/8, test/6")),
        ] {
            let root = folder();
            for (file, seed) in [7, 8].into_iter().zip(seeds) {
                write_pair(root.path(), file, seed);
            }
            let report = check(root.path(), &Selection::default(), &Reading::default(), |_| {}).unwrap().report;
            let parts: Vec<_> = report.parts.iter().map(|part| (part.part, part.images)).collect();
            assert_eq!(parts, [(Role::Train, 4), (Role::Validation, 2), (Role::Test, 2)], "{name}");
            let across = report.copies.iter().filter(|copies| copies.across_parts);
            let found: Vec<_> = across.map(|copies| copies.samples.join(", ")).collect();
            assert_eq!(found, Vec::from_iter(samples), "{name}");
        }
    }

    #[test]
    fn every_fault_is_reported_and_none_ends_the_check() {
        type Damage = fn(&Path);
        let rows: [(&str, Damage, &str); 19] = [
            (
                "12 bits in files of 16",
                |root| {
                    let wide = |x: u32, y: u32| Luma([(300 + (x * 37 + y * 91) % 1_500) as u16]);
                    let image = ImageBuffer::<Luma<u16>, _>::from_fn(32, 32, wide);
                    image.save(root.join("train/images/1.png")).unwrap();
                },
                "1 of the images in train use at most 2.7 % of the range",
            ),
            (
                "three levels in a mask",
                |root| {
                    let mask = GrayImage::from_fn(32, 32, |x, _| [[0, 128, 255][x as usize / 11]].into());
                    mask.save(root.join("train/masks/1.png")).unwrap();
                },
                "1 of the masks in train have regions of more than two values, 0 (34.4 %), 128 (34.4 %), 255",
            ),
            ("an unreadable image", |root| fs::write(root.join("train/images/1.png"), "x").unwrap(), "it begins with"),
            (
                "a mask of another size",
                |root| GrayImage::new(3, 3).save(root.join("train/masks/1.png")).unwrap(),
                "is 3x3",
            ),
            (
                "a value without a class",
                |root| GrayImage::from_pixel(32, 32, [7].into()).save(root.join("train/masks/1.png")).unwrap(),
                "its largest value is 7",
            ),
            (
                "an image without mask",
                |root| fs::remove_file(root.join("train/masks/1.png")).unwrap(),
                "`1`; add the missing",
            ),
            (
                "a blank mask",
                |root| mask(0).save(root.join("test/masks/5.png")).unwrap(),
                "1 of the masks in test hold nothing but",
            ),
            ("a full mask", |root| mask(32).save(root.join("test/masks/5.png")).unwrap(), "inverted"),
            (
                "a blank image",
                |root| RgbImage::new(32, 32).save(root.join("train/images/1.png")).unwrap(),
                "1 of the images in train have one colour everywhere",
            ),
            (
                "an image of one colour",
                |root| {
                    let image = RgbImage::from_pixel(32, 32, Rgb([10, 20, 30]));
                    image.save(root.join("train/images/1.png")).unwrap();
                },
                "1 of the images in train have one colour everywhere",
            ),
            (
                "a blank image with transparency",
                |root| {
                    let image = RgbaImage::from_fn(32, 32, |x, _| Rgba([0, 0, 0, if x > 9 { 255 } else { 128 }]));
                    image.save(root.join("train/images/1.png")).unwrap();
                },
                "1 of the images in train have one colour everywhere",
            ),
            (
                "a blank image of 16 bits",
                |root| {
                    let image = ImageBuffer::<Luma<u16>, _>::from_pixel(32, 32, Luma([0x1234]));
                    image.save(root.join("train/images/1.png")).unwrap();
                },
                "1 of the images in train have one colour everywhere",
            ),
            (
                "a file that is held out as well",
                |root| {
                    fs::copy(root.join("train/images/1.png"), root.join("test/images/5.png")).unwrap();
                },
                "the same image file: 1, 1 ACROSS PARTS",
            ),
            (
                "the same pixels in another format",
                |root| {
                    fs::remove_file(root.join("train/images/2.png")).unwrap();
                    picture(1).save(root.join("train/images/2.bmp")).unwrap();
                },
                "the same pixels in other files: 1\n  - train/1, train/2",
            ),
            (
                "a smaller copy",
                |root| {
                    let small = image::imageops::thumbnail(&picture(1), 24, 24);
                    small.save(root.join("train/images/2.png")).unwrap();
                    GrayImage::new(24, 24).save(root.join("train/masks/2.png")).unwrap();
                },
                "look alike, perhaps the same: 1",
            ),
            (
                "a film",
                |root| {
                    for (name, side) in [(1, 32), (2, 28), (3, 24)] {
                        let copy = image::imageops::thumbnail(&picture(1), side, side);
                        copy.save(root.join(format!("train/images/{name}.png"))).unwrap();
                        GrayImage::new(side, side).save(root.join(format!("train/masks/{name}.png"))).unwrap();
                    }
                },
                "look alike, perhaps the same: 1\n  - train/1, train/2, train/3",
            ),
            (
                "an image that the camera noted to be turned",
                |root| {
                    let path = root.join("train/images/1");
                    fs::remove_file(path.with_extension("png")).unwrap();
                    picture(1).save(path.with_extension("jpg")).unwrap();
                    let jpeg = fs::read(path.with_extension("jpg")).unwrap();
                    fs::write(path.with_extension("jpg"), turned_by_exif(&jpeg, 3)).unwrap();
                },
                "1 of the images in train are turned as their camera noted (EXIF), unlike their masks",
            ),
            (
                "one image to learn from",
                |root| {
                    for kind in ["images", "masks"] {
                        (2..5).for_each(|name| fs::remove_file(root.join(format!("train/{kind}/{name}.png"))).unwrap());
                    }
                },
                "there is one image to learn from",
            ),
            (
                "a mask twice",
                |root| mask(1).save(root.join("train/masks/2.png")).unwrap(),
                "the same mask for different images: 1",
            ),
        ];
        for (name, damage, part) in rows {
            let root = folder();
            damage(root.path());
            let report = check(root.path(), &Selection::default(), &Reading::default(), |_| {}).unwrap().report;
            let text = report.to_string();
            assert!(text.contains(part), "{name}: {text}");
            assert_eq!(report.parts.len(), 2, "{name}");
            assert_eq!(report.problems.is_empty(), report.fingerprint.is_some(), "{name}");
            serde_json::to_string(&report).unwrap();
        }
    }
}
