//! The networks on one image in tiles, in stages that overlap.
//!
//! ```text
//! cut: read a band, normalise its tiles
//!   -> the networks
//!   -> blend: probabilities, weighted sums, the mask
//! ```
//!
//! Tiles leave each stage in the order in which they came, so that sums are added in that order and
//! have the same bits as if one stage waited for the other. Memory holds a band, a row of tiles,
//! and a few batches of tiles between stages.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use image::GrayImage;
use ndarray::{Array2, Array3, s};
use seg_contract::{Restoring, Window};
use seg_data::ImageReader;

use super::error::SegmentError;
use super::resampled::Resampled;
use super::segmentation::{Segmentation, Timings};
use super::segmenter::Segmenter;
use super::settings::{Settings, Uncertainty};
use super::steps::{Inferred, RawOutput, SegmentSteps};
use super::tiles::{Blend, Tiling};
use crate::session::RunError;

/// The number of batches of tiles that wait between two stages.
const WAITING: usize = 1;

/// The tiles of one image, for all stages.
struct Plan {
    steps: SegmentSteps,
    tiling: Tiling,
    /// Height and width of the image as the networks see it.
    image: [usize; 2],
    /// Height and width of the image, and of its mask.
    own: [usize; 2],
    /// The first rows of the tiles.
    tops: Vec<usize>,
    /// The first columns of the tiles.
    lefts: Vec<usize>,
}

impl Segmenter {
    /// Runs the networks on an image that is read band by band, in tiles, as [`infer`](Self::infer)
    /// does.
    ///
    /// # Errors
    /// When the image cannot be read, or the model or its provider fails.
    pub fn infer_tiles(&mut self, image: &mut dyn ImageReader, tiling: Tiling) -> Result<Inferred, SegmentError> {
        let own = [image.info().height, image.info().width].map(|side| side as usize);
        let seen = self.steps.seen(image.info())?;
        let mut resampled;
        let image = if seen == own {
            image
        } else {
            resampled = Resampled::new(image, seen);
            &mut resampled
        };
        let (tops, lefts) = (tiling.starts(0, seen[0]), tiling.starts(1, seen[1]));
        let plan = Plan { steps: self.steps.clone(), tiling, image: seen, own, tops, lefts };
        let (tiles, to_network) = sync_channel(WAITING);
        let (outputs, to_blend) = sync_channel(WAITING);
        let (cut, inferred, blended) = thread::scope(|scope| {
            let plan = &plan;
            let cut = scope.spawn(move || plan.cut(image, &tiles));
            let blended = scope.spawn(move || plan.blend(&to_blend));
            let inferred = self.run_on_tiles(to_network, outputs);
            (joined(cut), inferred, joined(blended))
        });
        // A stage that fails ends those on both sides of it, which have no error of their own.
        let (preprocess, infer) = (cut?, inferred?);
        let mut segmentation = blended?.expect("all tiles have reached the last stage");
        segmentation.timings = Timings { preprocess, infer, ..segmentation.timings };
        Ok(Inferred::from_tiles(segmentation))
    }

    /// Runs the networks on batches of tiles while the stages on both sides work; returns the time
    /// that it took.
    fn run_on_tiles(
        &mut self,
        tiles: Receiver<Vec<Array3<f32>>>,
        outputs: SyncSender<Vec<RawOutput>>,
    ) -> Result<Duration, SegmentError> {
        let mut took = Duration::ZERO;
        for tiles in tiles {
            let start = Instant::now();
            let batch = self.run(&tiles.iter().map(|tile| tile.view()).collect::<Vec<_>>())?;
            took += start.elapsed();
            if outputs.send(batch).is_err() {
                break;
            }
        }
        Ok(took)
    }
}

impl Plan {
    /// Iterates over the batches of a row of tiles: the first columns of the tiles of each.
    fn batches(&self) -> impl Iterator<Item = &[usize]> {
        self.lefts.chunks(self.steps.settings.batch.map_or(1, usize::from))
    }

    /// Cuts the image into normalised tiles while the next stage takes them; returns the time that
    /// it took.
    fn cut(&self, image: &mut dyn ImageReader, tiles: &SyncSender<Vec<Array3<f32>>>) -> Result<Duration, SegmentError> {
        let input = &self.steps.contract.input;
        let mut took = Duration::ZERO;
        for top in &self.tops {
            let start = Instant::now();
            let mut window = Window { image: self.image, corner: [*top, 0], size: self.tiling.size, band_top: 0 };
            let read = window.rows();
            window.band_top = read.start;
            let band = image.rows(read.start as u32..read.end as u32)?;
            took += start.elapsed();
            for lefts in self.batches() {
                let start = Instant::now();
                let tile =
                    |left: &usize| input.normalize_window(band.pixels(), &Window { corner: [*top, *left], ..window });
                let batch = lefts.iter().map(tile).collect();
                took += start.elapsed();
                if tiles.send(batch).is_err() {
                    return Ok(took);
                }
            }
        }
        Ok(took)
    }

    /// Blends the outputs for the tiles to everything but a clean mask; returns `None` if they end
    /// before the last tile.
    fn blend(&self, outputs: &Receiver<Vec<RawOutput>>) -> Result<Option<Segmentation>, SegmentError> {
        let Self { steps, tiling, image, own, .. } = self;
        let (tiling, [height, width]) = (*tiling, *own);
        let classes = steps.contract.classes.len();
        let Settings { probabilities, uncertainty, .. } = steps.settings;
        let mut mask = Vec::with_capacity(height * width);
        let mut probabilities = probabilities.then(|| Array3::zeros((classes, height, width)));
        let mut doubt = uncertainty.map(|_| Array2::zeros((height, width)));

        let mut postprocess = Duration::ZERO;
        let with_variance = usize::from(uncertainty == Some(Uncertainty::Variance));
        let planes = classes + with_variance;
        let mut blend = Blend::new(tiling, planes, image[1]);
        let mut restoring = (image != own).then(|| Restoring::new(planes, *image, *own));
        let mut done = 0;
        for (index, top) in self.tops.iter().enumerate() {
            for lefts in self.batches() {
                let Ok(batch) = outputs.recv() else { return Ok(None) };
                let start = Instant::now();
                for (left, output) in lefts.iter().zip(batch) {
                    match output {
                        RawOutput::Scores(scores) => blend.add(*left, steps.probabilities(scores.view()).view()),
                        RawOutput::Probabilities(planes) => blend.add(*left, planes.view()),
                        RawOutput::Mask(_) => return Err(RunError::NoScores.into()),
                    }
                }
                postprocess += start.elapsed();
            }
            let start = Instant::now();
            let end = self.tops.get(index + 1).copied().unwrap_or(image[0]);
            let means = blend.take(end - top);
            let means = match &mut restoring {
                Some(restoring) => restoring.push(means.view()),
                None => means,
            };
            let rows = done..done + means.dim().1;
            done = rows.end;
            let band = steps.decide(means);
            mask.extend(band.mask.into_raw());
            if let (Some(all), Some(some)) = (&mut probabilities, band.probabilities) {
                all.slice_mut(s![.., rows.clone(), ..]).assign(&some);
            }
            if let (Some(all), Some(some)) = (&mut doubt, band.uncertainty) {
                all.slice_mut(s![rows, ..]).assign(&some);
            }
            postprocess += start.elapsed();
        }
        let mask = GrayImage::from_raw(width as u32, height as u32, mask).expect("the bands cover the image");
        Ok(Some(Segmentation {
            mask,
            probabilities,
            uncertainty: doubt,
            network: tiling.size,
            resampled: steps.contract.input.reading.resample.map(|_| *image),
            tiles: Some(self.tops.len() * self.lefts.len()),
            timings: Timings { postprocess, ..Timings::default() },
        }))
    }
}

/// Waits for the result of a stage, and passes its panic on.
fn joined<T>(stage: ScopedJoinHandle<'_, T>) -> T {
    stage.join().unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::num::NonZeroUsize;
    use std::ops::Range;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::threshold;
    use image::{Rgb, Rgb32FImage};
    use ndarray::{Axis, concatenate};
    use seg_contract::SizePolicy;
    use seg_data::{ImageInfo, Picture, ReadError};

    use super::*;
    use crate::library::tests::environment;
    use crate::provider::Options;
    use crate::segment::settings::Tiles;

    fn segmenter(settings: Settings) -> Segmenter {
        let folder = tempfile::tempdir().unwrap();
        let model = threshold::write(folder.path(), SizePolicy::Native);
        Segmenter::open(environment(), &model, &Options::default()).unwrap().with(settings).unwrap()
    }

    #[test]
    fn overlapping_stages_give_the_bits_of_one_after_the_other() {
        for (name, size, overlap, [height, width], batch) in [
            ("smaller than a tile", [32, 32], 0.25, [7, 9], 1),
            ("a row of tiles", [32, 16], 0.25, [20, 200], 4),
            ("a column of tiles", [16, 32], 0.5, [211, 30], 3),
            ("many", [16, 24], 0.75, [61, 100], 5),
            ("side by side", [20, 20], 0.0, [41, 60], 1),
        ] {
            let tiling = Tiling { size, overlap };
            let mut segmenter = segmenter(Settings {
                tiles: Tiles::Of(tiling),
                probabilities: true,
                uncertainty: Some(Uncertainty::Entropy),
                batch: NonZeroUsize::new(batch),
                ..Settings::default()
            });
            let red = |x, y| Rgb([((x * 7 + y * 13) % 31) as f32 / 31.0, 0.0, 0.0]);
            let image = Rgb32FImage::from_fn(width as u32, height as u32, red);
            let found = segmenter.segment(&image).unwrap();

            let steps = segmenter.steps.clone();
            let (tops, lefts) = (tiling.starts(0, height), tiling.starts(1, width));
            let mut blend = Blend::new(tiling, 2, width);
            let mut rows = Vec::new();
            for (index, top) in tops.iter().enumerate() {
                for left in &lefts {
                    let window = Window { image: [height, width], corner: [*top, *left], size, band_top: 0 };
                    let tile = steps.contract.input.normalize_window(&image, &window);
                    let output = segmenter.run(&[tile.view()]).unwrap().remove(0);
                    let RawOutput::Scores(scores) = output else { panic!("{name}: {output:?}") };
                    blend.add(*left, steps.probabilities(scores.view()).view());
                }
                rows.push(blend.take(tops.get(index + 1).copied().unwrap_or(height) - top));
            }
            let rows: Vec<_> = rows.iter().map(|rows| rows.view()).collect();
            let expected = steps.decide(concatenate(Axis(1), &rows).unwrap());
            assert_eq!(found.mask, expected.mask, "{name}");
            assert_eq!(found.probabilities, expected.probabilities, "{name}");
            assert_eq!(found.uncertainty, expected.uncertainty, "{name}");
            assert_eq!(found.tiles, Some(tops.len() * lefts.len()), "{name}");
        }
    }

    /// An image whose tenth row has a defect.
    struct Defective {
        info: ImageInfo,
        defect: fn() -> Result<f32, ReadError>,
    }

    impl ImageReader for Defective {
        fn info(&self) -> &ImageInfo {
            &self.info
        }

        fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
            let red = if rows.contains(&10) { (self.defect)()? } else { 0.0 };
            let image = Rgb32FImage::from_pixel(self.info.width, rows.len() as u32, Rgb([red, 0.0, 0.0]));
            Ok(Cow::Owned(Picture::Float(image)))
        }
    }

    #[test]
    fn whichever_stage_fails_says_why_and_none_waits_for_it() {
        let tiling = Tiling { size: [8, 8], overlap: 0.0 };
        let mut segmenter = segmenter(Settings { tiles: Tiles::Of(tiling), ..Settings::default() });
        let mut segment = |defect| {
            let mut info = ImageInfo::new(100, 100);
            info.band = Some(1);
            segmenter.segment_from(&mut Defective { info, defect })
        };
        assert_eq!(segment(|| Ok(1.0)).unwrap().mask.iter().filter(|label| **label == 1).count(), 8 * 100);
        let error = segment(|| Err(ReadError::MaskValues { path: "a.tif".into() })).unwrap_err();
        assert!(matches!(error, SegmentError::Read(ReadError::MaskValues { .. })), "{error}");
        let error = segment(|| Ok(f32::NAN)).unwrap_err();
        assert!(matches!(error, SegmentError::NotFinite { count: 128 }), "{error}");
        let panic = catch_unwind(AssertUnwindSafe(|| segment(|| panic!("this reader has a defect")))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"this reader has a defect"));
    }
}
