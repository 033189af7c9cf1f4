//! Segments images: from the pixels of an image to the class of each.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use image::GrayImage;
use ndarray::{Array, Array2, Array3, ArrayView3, Axis, RemoveAxis};
use ort::environment::Environment;
use seg_contract::{Contract, Input, Pixels, PostprocessError, PreprocessError};
use seg_data::{ImageInfo, ImageReader, Picture, ReadError};
use thiserror::Error;

use super::flips::Average;
use super::settings::{Settings, SettingsError, Uncertainty};
use super::steps::{Prediction, RawOutput, SegmentSteps};
use crate::model_file::ModelFile;
use crate::provider::Options;
use crate::session::{ModelOutput, OpenError, RunError, RunsOn, Session};

/// A model, or several as one, that segments images.
///
/// ```
/// use std::path::Path;
///
/// use image::{Rgb, RgbImage};
/// use seg_inference::library::{Build, Search};
/// use seg_inference::{Options, Segmenter, Settings, Views};
///
/// let environment = Search::from_env(None, Build::Cpu).locate()?.load()?;
/// // A model that finds what is red.
/// let mut segmenter = Segmenter::open(&environment, Path::new("tests/threshold.onnx"), &Options::default())?;
///
/// let image = RgbImage::from_fn(40, 30, |x, _| if x < 10 { Rgb([200, 0, 0]) } else { Rgb([0, 0, 200]) });
/// let labels = segmenter.segment(&image)?.mask.into_raw();
/// assert_eq!(labels.iter().filter(|label| **label == 1).count(), 10 * 30);
///
/// // The same with probabilities, averaged over mirrored views.
/// let mut segmenter = segmenter.with(Settings { views: Views::Flips, probabilities: true, ..Settings::default() })?;
/// let probabilities = segmenter.segment(&image)?.probabilities.expect("they were asked for");
/// assert!(probabilities[[1, 0, 0]] > 0.5 && probabilities[[1, 0, 39]] < 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Segmenter {
    pub(super) members: Vec<Session>,
    pub(super) steps: SegmentSteps,
}

/// The answer for one image.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// The index of each pixel's class, at the image's own size.
    pub mask: GrayImage,
    /// The probability of each class, `[classes, height, width]`, where [`Settings::probabilities`] asks for it.
    pub probabilities: Option<Array3<f32>>,
    /// The doubt at each pixel, `[height, width]`, where [`Settings::uncertainty`] asks for it.
    pub uncertainty: Option<Array2<f32>>,
    /// Height and width at which the network ran, in pixels.
    pub network: [usize; 2],
    /// Into how many tiles the image was cut; `None` where it was run whole.
    pub tiles: Option<usize>,
    /// How long it took.
    pub timings: Timings,
}

/// How long the stages of one image took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// From the image to the network's input.
    pub preprocess: Duration,
    /// The network.
    pub infer: Duration,
    /// From the network's output to the mask.
    pub postprocess: Duration,
}

/// Why several models are not one.
#[derive(Debug, Error)]
pub enum EnsembleError {
    /// A model cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is none.
    #[error("an ensemble needs at least one model")]
    Empty,
    /// Two models expect or mean different things.
    #[error("`{first}` and `{other}` cannot be averaged: their contracts differ in {what}")]
    Disagreement {
        /// The first model.
        first: String,
        /// The one that differs from it.
        other: String,
        /// In what they differ.
        what: &'static str,
    },
}

/// Why an image cannot be segmented.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// The image cannot be brought to the network's input.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// Some rows of the image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The network fails.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The network's output is of no use.
    #[error("{count} values of the model's output are infinite or not a number")]
    NotFinite {
        /// How many they are.
        count: usize,
    },
    /// The network's output cannot be brought to a mask.
    #[error(transparent)]
    Postprocess(#[from] PostprocessError),
    /// The maps would take too much memory.
    #[error(
        "the maps of an image of {width}x{height} would take {bytes} bytes, expected at most {MAPS_BYTES_MAX}; save masks \
         without probabilities and uncertainty, or a part of the image"
    )]
    Maps {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// What the maps would take.
        bytes: usize,
    },
}

/// The most memory that probabilities and uncertainty of one image may take, in bytes.
pub const MAPS_BYTES_MAX: usize = 4 << 30;

/// The networks alone.
impl AsRef<[Session]> for Segmenter {
    fn as_ref(&self) -> &[Session] {
        &self.members
    }
}

impl Segmenter {
    /// Opens a model file.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open(environment: &Environment, path: &Path, options: &Options) -> Result<Self, OpenError> {
        let session = Session::open(environment, path, options)?;
        let engines = session.shapes().into_iter().collect();
        let steps = SegmentSteps { contract: session.contract().clone(), settings: Settings::default(), engines };
        Ok(Self { members: vec![session], steps })
    }

    /// Opens several model files, whose probabilities are averaged. What only one of their graphs takes, all are given.
    ///
    /// # Errors
    /// When one cannot be opened, or they do not expect the same images and mean the same classes.
    pub fn open_ensemble(
        environment: &Environment,
        paths: &[impl AsRef<Path>],
        options: &Options,
    ) -> Result<Self, EnsembleError> {
        let Some((first, others)) = paths.split_first() else { return Err(EnsembleError::Empty) };
        let mut ensemble = Self::open(environment, first.as_ref(), options)?;
        for path in others {
            let member = Session::open(environment, path.as_ref(), options)?;
            if let Some(what) = difference(ensemble.contract(), member.contract()) {
                let [first, other] = [first.as_ref(), path.as_ref()].map(|path| path.display().to_string());
                return Err(EnsembleError::Disagreement { first, other, what });
            }
            ensemble.steps.contract.input = common(ensemble.contract(), member.contract());
            ensemble.steps.engines.extend(member.shapes());
            ensemble.members.push(member);
        }
        Ok(ensemble)
    }

    /// The same model with other settings.
    ///
    /// # Errors
    /// When the model cannot do what they ask for.
    pub fn with(mut self, settings: Settings) -> Result<Self, SettingsError> {
        settings.check(&self.steps.contract, self.members.len())?;
        self.steps.settings = settings;
        Ok(self)
    }

    /// What the model expects and means.
    pub fn contract(&self) -> &Contract {
        &self.steps.contract
    }

    /// How its answers become masks.
    pub fn settings(&self) -> &Settings {
        &self.steps.settings
    }

    /// Its model files, told by the bytes that were opened.
    pub fn files(&self) -> Vec<ModelFile> {
        self.members.iter().map(|member| member.file().clone()).collect()
    }

    /// What computes it, and why not another provider; of several models, all of them.
    pub fn runs_on(&self) -> RunsOn {
        RunsOn::of_all(&self.members.iter().map(Session::runs_on).collect::<Vec<_>>())
    }

    /// Returns what can be done without the network.
    pub fn steps(&self) -> &SegmentSteps {
        &self.steps
    }

    /// Segments one image.
    ///
    /// # Errors
    /// When the image has no pixels, or the model or its provider fails.
    pub fn segment<'a>(&mut self, image: impl Into<Pixels<'a>>) -> Result<Segmentation, SegmentError> {
        let image = image.into();
        if let Some(tiling) = self.steps.tiling(image.size()) {
            return self.segment_tiles(&mut InMemory::new(image)?, tiling);
        }
        let start = Instant::now();
        let input = self.steps.prepare(image)?;
        let preprocess = start.elapsed();

        let start = Instant::now();
        let answer = self.infer(&[input.tensor.view()])?.remove(0);
        let infer = start.elapsed();

        let start = Instant::now();
        let mut known = self.steps.interpret(answer, &input.geometry)?;
        self.steps.clean(&mut known.mask);
        let timings = Timings { preprocess, infer, postprocess: start.elapsed() };
        Ok(Segmentation::whole(known, input.geometry.network, timings))
    }

    /// What the networks say of inputs of one size, averaged over views and models.
    pub fn infer(&mut self, inputs: &[ArrayView3<'_, f32>]) -> Result<Vec<RawOutput>, SegmentError> {
        let views = self.steps.settings.views.all();
        if self.members.len() * views.len() == 1 {
            return Ok(match infer(&mut self.members[0], inputs)? {
                ModelOutput::Scores(scores) => each(scores).into_iter().map(RawOutput::Scores).collect(),
                ModelOutput::Masks(masks) => each(masks).into_iter().map(RawOutput::Mask).collect(),
            });
        }
        let with_variance = self.steps.settings.uncertainty == Some(Uncertainty::Variance);
        let mut averages: Vec<_> = inputs.iter().map(|_| Average::new(with_variance)).collect();
        for flip in views {
            let flipped: Vec<_> = inputs.iter().map(|input| flip.apply(*input)).collect();
            for member in &mut self.members {
                let ModelOutput::Scores(scores) = infer(member, &flipped)? else {
                    return Err(RunError::NoScores.into());
                };
                for (average, scores) in averages.iter_mut().zip(scores.outer_iter()) {
                    average.add(flip.apply(self.steps.probabilities(scores).view()));
                }
            }
        }
        Ok(averages.into_iter().map(|average| RawOutput::Probabilities(average.finish())).collect())
    }
}

impl Segmentation {
    /// Makes the segmentation of an image that was run whole.
    pub fn whole(known: Prediction, network: [usize; 2], timings: Timings) -> Self {
        let Prediction { mask, probabilities, uncertainty } = known;
        Self { mask, probabilities, uncertainty, network, tiles: None, timings }
    }
}

/// A network's output for inputs of one size.
fn infer(session: &mut Session, inputs: &[ArrayView3<'_, f32>]) -> Result<ModelOutput, SegmentError> {
    let answer = match inputs {
        [input] => session.infer(input.insert_axis(Axis(0)))?,
        _ => session.infer(ndarray::stack(Axis(0), inputs).expect("the inputs have one size").view())?,
    };
    if let ModelOutput::Scores(scores) = &answer {
        // A mask of them would look like background.
        let count = scores.iter().filter(|score| !score.is_finite()).count();
        if count > 0 {
            return Err(SegmentError::NotFinite { count });
        }
    }
    Ok(answer)
}

/// What a batch holds for each image; of one image it is not copied.
fn each<T: Clone, D: RemoveAxis>(batch: Array<T, D>) -> Vec<Array<T, D::Smaller>> {
    match batch.len_of(Axis(0)) {
        1 => vec![batch.index_axis_move(Axis(0), 0)],
        _ => batch.outer_iter().map(|image| image.to_owned()).collect(),
    }
}

/// In what two contracts differ that are to be one model.
fn difference(first: &Contract, other: &Contract) -> Option<&'static str> {
    let names = |contract: &Contract| contract.classes.iter().map(|class| class.name.clone()).collect::<Vec<_>>();
    let (sizes, input) = ([first, other].map(|contract| contract.input.form.size), common(first, other));
    if names(first) != names(other) {
        Some("their classes")
    } else if first.input.size != other.input.size {
        Some("the size at which images are run")
    } else if (&first.input.mean, &first.input.std, first.input.color)
        != (&other.input.mean, &other.input.std, other.input.color)
    {
        Some("the colours that their networks take (order, mean or deviation)")
    } else if first.output.kind != other.output.kind {
        Some("what their outputs are")
    } else if matches!(sizes, [Some(one), Some(other)] if one != other)
        || input.form.size.is_some_and(|size| !input.fits(size))
    {
        Some("the sizes that their graphs take")
    } else {
        None
    }
}

/// The input that the graphs of two contracts take, which agree in the rest: of the only size of either, and of the longer one of
/// their shortest sides.
fn common(first: &Contract, other: &Contract) -> Input {
    let mut input = first.input.clone();
    input.form.size = input.form.size.or(other.input.form.size);
    input.side_min = input.side_min.max(other.input.side_min);
    input.side_multiple = least_common_multiple(input.side_multiple, other.input.side_multiple);
    input
}

/// Returns the least common multiple of two numbers, neither of which is 0.
fn least_common_multiple(one: usize, other: usize) -> usize {
    let (mut divisor, mut rest) = (one, other);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    one / divisor * other
}

/// Pixels in memory, as a file that is read in bands.
struct InMemory<'a> {
    info: ImageInfo,
    pixels: Pixels<'a>,
}

impl<'a> InMemory<'a> {
    fn new(pixels: Pixels<'a>) -> Result<Self, SegmentError> {
        let [height, width] = pixels.size();
        if height == 0 || width == 0 {
            return Err(PreprocessError::Empty { width, height }.into());
        }
        let mut info = ImageInfo::new(width as u32, height as u32);
        info.band = Some(1);
        Ok(Self { info, pixels })
    }
}

impl ImageReader for InMemory<'_> {
    fn info(&self) -> &ImageInfo {
        &self.info
    }

    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
        Ok(Cow::Owned(Picture::copy_rows(self.pixels, rows)))
    }
}
