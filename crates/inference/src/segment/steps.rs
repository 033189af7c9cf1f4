//! The steps of segmenting an image, in their order: prepare, run the networks, finish.
//!
//! ```text
//! image -> prepare -> Prepared -> Segmenter::infer -> Inferred -> finish -> Segmentation
//! ```
//!
//! Each step takes what the one before it gives, so that no caller can change the order.
//! [`Segmenter::segment`] runs them one after the other; a pipeline runs each on threads of its
//! own.
//!
//! [`Segmenter::segment`]: super::Segmenter::segment

use std::time::{Duration, Instant};

use image::GrayImage;
use ndarray::{Array2, Array3, ArrayView3, Axis, s};
use seg_contract::{
    Contract, Geometry, OutputKind, Pixels, Placement, Preprocessed, Reading, SizePolicy, Stretching, most_probable,
    softmax,
};
use seg_data::{ImageInfo, ImageReader};

use super::error::{MAPS_BYTES_MAX, SegmentError};
use super::segmentation::{Segmentation, Timings};
use super::settings::{Settings, Uncertainty};
use super::tiles::Tiling;
use crate::provider::Shapes;

/// The pixels that are read at once where an image is stretched as its rows are read.
const STRETCHED_PIXELS: u32 = 1 << 18;

/// The steps before and after the networks, for one contract and settings. Each thread can have its
/// own copy.
#[derive(Clone, Debug)]
pub struct SegmentSteps {
    /// The contract of the model.
    pub contract: Contract,
    /// The settings of the run.
    pub settings: Settings,
    /// The input sizes that TensorRT's engines take, if there are any.
    pub(super) engines: Vec<Shapes>,
}

/// An image that is ready for the networks.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// The networks get the image as one input.
    Whole(WholeImage),
    /// The networks get the image in tiles, which are read while they run.
    Tiles(Tiling),
}

/// An image as one input of the networks.
#[derive(Clone, Debug)]
pub struct WholeImage {
    pub(super) input: Preprocessed,
    timings: Timings,
}

impl WholeImage {
    /// Returns the height and width of the networks' input, in pixels; images with equal ones can
    /// be run in a batch.
    pub fn network(&self) -> [usize; 2] {
        self.input.geometry.network
    }
}

/// The networks' output for one image.
#[derive(Debug)]
pub struct Inferred {
    output: Output,
    timings: Timings,
}

#[derive(Debug)]
enum Output {
    /// The output for the image as one input.
    Whole(RawOutput, Geometry),
    /// Everything but the cleaning, which needs the whole mask.
    Tiles(Box<Segmentation>),
}

impl Inferred {
    /// Joins the output for an image with what is known of the image.
    pub(super) fn from_whole(image: &WholeImage, output: RawOutput, infer: Duration) -> Self {
        let timings = Timings { infer, ..image.timings };
        Self { output: Output::Whole(output, image.input.geometry), timings }
    }

    /// Takes the blended output of an image's tiles, whose mask is not clean yet.
    pub(super) fn from_tiles(segmentation: Segmentation) -> Self {
        let timings = segmentation.timings;
        Self { output: Output::Tiles(segmentation.into()), timings }
    }

    /// Returns the time that the steps up to here took.
    pub fn timings(&self) -> Timings {
        self.timings
    }
}

/// The networks' output for one input, at the input's size.
#[derive(Clone, Debug)]
pub(super) enum RawOutput {
    /// The scores of a single network and view, of the kind that the contract names.
    Scores(Array3<f32>),
    /// The mask of a single network and view.
    Mask(Array2<u8>),
    /// Probabilities, averaged over views and models, with their variance as one more plane if it
    /// was asked for.
    Probabilities(Array3<f32>),
}

/// The mask and the maps of some rows of an image.
pub(super) struct Prediction {
    /// The index of each pixel's class.
    pub(super) mask: GrayImage,
    /// `[classes, height, width]`.
    pub(super) probabilities: Option<Array3<f32>>,
    /// `[height, width]`.
    pub(super) uncertainty: Option<Array2<f32>>,
}

impl SegmentSteps {
    /// Prepares an image for the networks: the first step.
    ///
    /// # Errors
    /// When the image cannot be read or has no pixels, or its maps would take too much memory.
    pub fn prepare(&self, image: &mut dyn ImageReader) -> Result<Prepared, SegmentError> {
        let (width, height) = (image.info().width, image.info().height);
        let (size, spacing) = ([height, width].map(|side| side as usize), image.info().spacing);
        if let Some(tiling) = self.tiling(self.seen(image.info())?) {
            self.check_maps(size)?;
            return Ok(Prepared::Tiles(tiling));
        }
        if let Some(band) = image.info().band
            && let Some(stretching) = self.contract.stretching(size, spacing)?
        {
            self.check_maps(size)?;
            return self.prepare_bands(image, band, stretching);
        }
        let start = Instant::now();
        let picture = image.rows(0..height)?;
        let decode = start.elapsed();
        self.prepare_whole(picture.pixels().with_spacing(spacing), decode)
    }

    /// Stretches or resamples an image to the networks' input as its rows are read.
    fn prepare_bands(
        &self,
        image: &mut dyn ImageReader,
        band: u32,
        mut stretching: Stretching,
    ) -> Result<Prepared, SegmentError> {
        let (width, height) = (image.info().width, image.info().height);
        // Whole bands, several of low ones.
        let band = band.clamp(1, height);
        let step = band * (STRETCHED_PIXELS / width.max(1) / band).max(1);
        let mut timings = Timings::default();
        for top in (0..height).step_by(step as usize) {
            let start = Instant::now();
            let rows = image.rows(top..height.min(top.saturating_add(step)))?;
            timings.decode += start.elapsed();
            let start = Instant::now();
            stretching.push(rows.pixels());
            timings.preprocess += start.elapsed();
        }
        let start = Instant::now();
        let input = stretching.finish(&self.contract);
        timings.preprocess += start.elapsed();
        Ok(Prepared::Whole(WholeImage { input, timings }))
    }

    /// Converts an image that is not cut to the networks' input.
    fn prepare_whole(&self, pixels: Pixels<'_>, decode: Duration) -> Result<Prepared, SegmentError> {
        let start = Instant::now();
        let input = self.contract.preprocess(pixels)?;
        let timings = Timings { decode, preprocess: start.elapsed(), ..Timings::default() };
        Ok(Prepared::Whole(WholeImage { input, timings }))
    }

    /// Converts the networks' output to a clean mask and the maps that were asked for: the last
    /// step.
    ///
    /// # Errors
    /// When the output does not have the shape that the contract promises.
    pub fn finish(&self, inferred: Inferred) -> Result<Segmentation, SegmentError> {
        let start = Instant::now();
        let Inferred { output, timings } = inferred;
        let mut segmentation = match output {
            Output::Tiles(segmentation) => *segmentation,
            Output::Whole(output, geometry) => {
                let Prediction { mask, probabilities, uncertainty } = self.interpret(output, &geometry)?;
                let resampled = self.contract.input.reading.resample.map(|_| geometry.shown());
                let (network, tiles) = (geometry.network, None);
                Segmentation { mask, probabilities, uncertainty, network, resampled, tiles, timings }
            }
        };
        self.clean(&mut segmentation.mask);
        segmentation.timings.postprocess += start.elapsed();
        Ok(segmentation)
    }

    /// Returns the way in which medical images become pictures: that of the contract, and of the
    /// settings where it names nothing.
    pub fn reading(&self) -> Reading {
        self.contract.input.reading.or(self.settings.reading)
    }

    /// Returns the height and width at which the networks see an image: resampled where the
    /// contract or the settings name a spacing.
    ///
    /// # Errors
    /// When the image does not state the spacing that this needs.
    pub fn seen(&self, image: &ImageInfo) -> Result<[usize; 2], SegmentError> {
        let size = [image.height, image.width].map(|side| side as usize);
        Ok(self.contract.input.resampled(size, image.spacing)?)
    }

    /// Returns the tiles for an image that the networks [see](Self::seen) at the given height and
    /// width; `None` if it is run whole.
    pub fn tiling(&self, image: [usize; 2]) -> Option<Tiling> {
        self.settings.tiling(&self.contract, &self.engines, image)
    }

    /// Returns whether an image that is read in bands is stretched or resampled as it is read, and
    /// not held whole.
    pub fn stretches(&self) -> bool {
        let input = &self.contract.input;
        matches!(input.size, SizePolicy::Resize { .. }) || input.reading.resample.is_some()
    }

    /// Returns the number of maps of `f32` that are asked for besides the mask.
    pub fn maps(&self) -> usize {
        let Settings { probabilities, uncertainty, .. } = &self.settings;
        self.contract.classes.len() * usize::from(*probabilities) + usize::from(uncertainty.is_some())
    }

    /// Checks that the maps of an image of the given height and width fit in memory.
    fn check_maps(&self, [height, width]: [usize; 2]) -> Result<(), SegmentError> {
        let bytes = height.saturating_mul(width).saturating_mul(self.maps() * size_of::<f32>());
        if bytes > MAPS_BYTES_MAX {
            return Err(SegmentError::Maps { width, height, bytes });
        }
        Ok(())
    }

    /// Returns whether the settings need probabilities, and not only the most probable class.
    fn wants_probabilities(&self) -> bool {
        let Settings { threshold, probabilities, uncertainty, .. } = &self.settings;
        threshold.is_some() || *probabilities || uncertainty.is_some()
    }

    /// Converts one network's scores to probabilities, at the network's size.
    pub(super) fn probabilities(&self, scores: ArrayView3<'_, f32>) -> Array3<f32> {
        match self.contract.output.kind {
            OutputKind::Probabilities => scores.to_owned(),
            OutputKind::Logits | OutputKind::Mask => softmax(scores),
        }
    }

    /// Converts an output to the mask and the maps of the image.
    fn interpret(&self, output: RawOutput, geometry: &Geometry) -> Result<Prediction, SegmentError> {
        match output {
            RawOutput::Mask(mask) => {
                let mask = self.contract.postprocess_mask(mask.view(), geometry)?;
                Ok(Prediction { mask, probabilities: None, uncertainty: None })
            }
            RawOutput::Scores(scores) if !self.wants_probabilities() => {
                let mask = self.contract.postprocess(scores.view(), geometry)?;
                Ok(Prediction { mask, probabilities: None, uncertainty: None })
            }
            RawOutput::Scores(scores) => {
                let planes = self.contract.network_probabilities(scores.view(), geometry)?;
                let mut prediction = self.decide_restored(planes.view(), geometry);
                if self.settings.threshold.is_none() && geometry.placement == Placement::Extended {
                    // Two scores that differ may have equal probabilities: the mask must not depend
                    // on what is saved.
                    prediction.mask = self.contract.postprocess(scores.view(), geometry)?;
                }
                Ok(prediction)
            }
            RawOutput::Probabilities(planes) => Ok(self.decide_restored(planes.view(), geometry)),
        }
    }

    /// Converts probabilities at the network's size to the mask and the maps of the image, as
    /// [`decide`](Self::decide). Without maps, only some rows of probabilities are in memory at a
    /// time.
    fn decide_restored(&self, planes: ArrayView3<'_, f32>, geometry: &Geometry) -> Prediction {
        if self.maps() > 0 {
            return self.decide(geometry.restore(planes));
        }
        let mask = geometry.mask_of_bands(planes, |rows| self.decide(rows).mask);
        Prediction { mask, probabilities: None, uncertainty: None }
    }

    /// Converts probabilities, with their variance as one more plane if it was asked for, to a mask
    /// and maps.
    pub(super) fn decide(&self, planes: Array3<f32>) -> Prediction {
        let classes = self.contract.classes.len();
        let probabilities = planes.slice(s![..classes, .., ..]);
        let mask = match self.settings.threshold {
            None => most_probable(probabilities),
            Some(threshold) => at_least(probabilities, threshold),
        };
        let uncertainty = self.settings.uncertainty.map(|kind| match kind {
            Uncertainty::Entropy => entropy(probabilities),
            Uncertainty::Variance => planes.index_axis(Axis(0), classes).to_owned(),
        });
        let probabilities = self.settings.probabilities.then(|| probabilities.to_owned());
        Prediction { mask, probabilities, uncertainty }
    }

    /// Cleans the mask of a whole image.
    fn clean(&self, mask: &mut GrayImage) {
        for (class, label) in self.contract.classes.iter().zip(0..=u8::MAX) {
            if let Some(cleanup) = self.settings.cleanup.get(&class.name) {
                cleanup.apply(mask, label);
            }
        }
    }
}

/// Returns the mask that has class 1 where its probability is at least the threshold.
fn at_least(probabilities: ArrayView3<'_, f32>, threshold: f32) -> GrayImage {
    let (_, height, width) = probabilities.dim();
    let labels = probabilities.index_axis(Axis(0), 1).iter().map(|value| u8::from(*value >= threshold)).collect();
    GrayImage::from_raw(width as u32, height as u32, labels).expect("there is one label per pixel")
}

/// Returns `-sum p ln p / ln classes` at each pixel.
fn entropy(probabilities: ArrayView3<'_, f32>) -> Array2<f32> {
    let (classes, height, width) = probabilities.dim();
    let mut entropy = Array2::zeros((height, width));
    for plane in probabilities.outer_iter() {
        entropy.zip_mut_with(&plane, |sum: &mut f32, value| {
            if *value > 0.0 {
                *sum -= value * value.ln();
            }
        });
    }
    entropy /= (classes as f32).ln();
    entropy
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::ops::Range;

    use image::{Rgb, RgbImage};
    use ndarray::array;
    use seg_data::{ImageInfo, Picture, ReadError};

    use super::*;
    use crate::threshold;

    /// An image that is read in bands, and the most rows that were read at once.
    struct Bands {
        info: ImageInfo,
        image: RgbImage,
        rows_max: u32,
    }

    impl ImageReader for Bands {
        fn info(&self) -> &ImageInfo {
            &self.info
        }

        fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
            self.rows_max = self.rows_max.max(rows.end - rows.start);
            Ok(Cow::Owned(Picture::copy_rows((&self.image).into(), rows)))
        }
    }

    #[test]
    fn an_image_in_bands_is_stretched_to_the_bits_of_the_whole() {
        let contract = threshold::model(SizePolicy::Resize { height: 24, width: 20 }).contract;
        let steps = SegmentSteps { contract, settings: Settings::default(), engines: Vec::new() };
        for (name, width, height, band, rows_max) in [
            ("low bands", 1 << 14, 50, 3, 15),
            ("high bands", 31, 900, 64, 900),
            ("bands that are read alone", 1 << 12, 300, 100, 100),
            ("one band", 33, 17, 400, 17),
            ("larger than the image", 5, 7, 1, 7),
            ("a row", 1000, 1, 1, 1),
            ("a column", 1, 1000, 16, 1000),
            ("as large", 20, 24, 5, 24),
        ] {
            let color = |x: u32, y: u32| Rgb([x * 7 + y * 13, x * y, x ^ (y * 3)].map(|value| value as u8));
            let image = RgbImage::from_fn(width, height, color);
            let mut info = ImageInfo::new(width, height);
            info.band = Some(band);
            let expected = steps.contract.preprocess(&image).unwrap();
            let mut reader = Bands { info, image, rows_max: 0 };
            let Prepared::Whole(found) = steps.prepare(&mut reader).unwrap() else { panic!("{name}: it is cut") };
            assert!(found.input.tensor == expected.tensor, "{name}");
            assert_eq!(found.input.geometry, expected.geometry, "{name}");
            assert_eq!(reader.rows_max, rows_max, "{name}");
        }
    }

    #[test]
    fn thresholds_and_entropy_follow_their_definitions() {
        let probabilities = array![[[0.5_f32, 1.0, 0.7, 0.25]], [[0.5, 0.0, 0.3, 0.75]]];
        assert_eq!(at_least(probabilities.view(), 0.3).into_raw(), [1, 0, 1, 1]);
        assert_eq!(at_least(probabilities.view(), 0.5).into_raw(), [1, 0, 0, 1]);
        let found = entropy(probabilities.view());
        for (found, expected) in found.iter().zip([1.0, 0.0, 0.881_290_9, 0.811_278_1]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
