//! A model that segments images.

use std::path::Path;
use std::time::Instant;

use ndarray::{Array, ArrayView3, Axis, RemoveAxis};
use ort::environment::Environment;
use seg_contract::{Contract, Pixels};
use seg_data::ImageReader;

use super::ensemble::{EnsembleError, common, difference, is_normalized_alike, normalized, plain};
use super::error::SegmentError;
use super::flips::Average;
use super::in_memory::InMemory;
use super::segmentation::Segmentation;
use super::settings::{Settings, SettingsError, Uncertainty};
use super::steps::{Inferred, Prepared, RawOutput, SegmentSteps, WholeImage};
use crate::model_file::ModelFile;
use crate::provider::Options;
use crate::session::{GraphTensor, ModelOutput, OpenError, RunError, RunsOn, Session};

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
/// let model = Path::new("tests/threshold.onnx");
/// let mut segmenter = Segmenter::open(&environment, model, &Options::default())?;
///
/// let (red, blue) = (Rgb([200, 0, 0]), Rgb([0, 0, 200]));
/// let image = RgbImage::from_fn(40, 30, |x, _| if x < 10 { red } else { blue });
/// let labels = segmenter.segment(&image)?.mask.into_raw();
/// assert_eq!(labels.iter().filter(|label| **label == 1).count(), 10 * 30);
///
/// // The same with probabilities, averaged over mirrored views.
/// let settings = Settings { views: Views::Flips, probabilities: true, ..Settings::default() };
/// let mut segmenter = segmenter.with(settings)?;
/// let probabilities = segmenter.segment(&image)?.probabilities.expect("they were asked for");
/// assert!(probabilities[[1, 0, 0]] > 0.5 && probabilities[[1, 0, 39]] < 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Segmenter {
    pub(super) members: Vec<Session>,
    /// Describes the model, or the first one with the sizes that all take.
    contract: Contract,
    pub(super) steps: SegmentSteps,
}

/// The networks without the other steps.
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
        let contract = session.contract().clone();
        let steps = SegmentSteps { contract: contract.clone(), settings: Settings::default(), engines };
        Ok(Self { members: vec![session], contract, steps })
    }

    /// Opens several model files, whose probabilities are averaged. If one of their graphs takes a
    /// single size of input, all get this size. Each normalises images for itself, so that their
    /// means and deviations may differ.
    ///
    /// # Errors
    /// When one cannot be opened, or their contracts differ in the images or the classes.
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
            ensemble.contract.input = common(ensemble.contract(), member.contract());
            ensemble.steps.engines.extend(member.shapes());
            ensemble.members.push(member);
        }
        let input = &ensemble.contract.input;
        let are_alike = ensemble.members.iter().all(|member| is_normalized_alike(&member.contract().input, input));
        ensemble.steps.contract.input = if are_alike { input.clone() } else { plain(input) };
        Ok(ensemble)
    }

    /// Replaces the settings.
    ///
    /// # Errors
    /// When the model cannot do what they ask for.
    pub fn with(mut self, settings: Settings) -> Result<Self, SettingsError> {
        self.set(settings)?;
        Ok(self)
    }

    /// Replaces the settings for the next image.
    ///
    /// # Errors
    /// When the model cannot do what they ask for; the settings then stay as they were.
    pub fn set(&mut self, settings: Settings) -> Result<(), SettingsError> {
        settings.check(&self.contract, self.members.len())?;
        let resample = self.contract.input.reading.resample.or(settings.reading.resample);
        self.steps.contract.input.reading.resample = resample;
        self.steps.settings = settings;
        Ok(())
    }

    /// Returns what the model expects and means; of an ensemble, what the first one does, with the
    /// sizes that all take.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.steps.settings
    }

    /// Returns the model files, identified by the bytes that were opened.
    pub fn files(&self) -> Vec<ModelFile> {
        self.members.iter().map(|member| member.file().clone()).collect()
    }

    /// Returns what computes the models, and why another provider does not.
    pub fn runs_on(&self) -> RunsOn {
        RunsOn::join(&self.members.iter().map(Session::runs_on).collect::<Vec<_>>())
    }

    /// Returns the steps before and after the networks, for threads of their own.
    pub fn steps(&self) -> &SegmentSteps {
        &self.steps
    }

    /// Segments one image in memory.
    ///
    /// # Errors
    /// When the image has no pixels, lacks the [spacing](Pixels::with_spacing) that the model asks
    /// for, or the model or its provider fails.
    pub fn segment<'a>(&mut self, image: impl Into<Pixels<'a>>) -> Result<Segmentation, SegmentError> {
        self.segment_from(&mut InMemory::new(image.into())?)
    }

    /// Segments one image that is read from a file: each step after the other.
    ///
    /// # Errors
    /// When the image cannot be read, its maps would take too much memory, or the model or its
    /// provider fails.
    pub fn segment_from(&mut self, image: &mut dyn ImageReader) -> Result<Segmentation, SegmentError> {
        let prepared = self.steps.prepare(image)?;
        let inferred = self.infer(&prepared, image)?;
        self.steps.finish(inferred)
    }

    /// Runs the networks on an image: the step between [`prepare`](SegmentSteps::prepare) and
    /// [`finish`](SegmentSteps::finish). An image in tiles is read here.
    ///
    /// # Errors
    /// When the image cannot be read, or the model or its provider fails.
    pub fn infer(&mut self, prepared: &Prepared, image: &mut dyn ImageReader) -> Result<Inferred, SegmentError> {
        match prepared {
            Prepared::Whole(whole) => Ok(self.infer_batch(&[whole])?.remove(0)),
            Prepared::Tiles(tiling) => self.infer_tiles(image, *tiling),
        }
    }

    /// Runs the networks on several images at once, whose inputs have [one
    /// size](WholeImage::network).
    ///
    /// # Errors
    /// When the model or its provider fails.
    ///
    /// # Panics
    /// When the sizes differ.
    pub fn infer_batch(&mut self, images: &[&WholeImage]) -> Result<Vec<Inferred>, SegmentError> {
        let start = Instant::now();
        let outputs = self.run(&images.iter().map(|image| image.input.tensor.view()).collect::<Vec<_>>())?;
        let share = start.elapsed() / images.len().max(1) as u32;
        Ok(images.iter().zip(outputs).map(|(image, output)| Inferred::from_whole(image, output, share)).collect())
    }

    /// Runs the first network on a batch in the form that its graph takes, without any other step.
    ///
    /// # Errors
    /// As [`Session::infer_graph`].
    pub fn infer_graph(&mut self, input: &GraphTensor) -> Result<ModelOutput, RunError> {
        self.members[0].infer_graph(input)
    }

    /// Returns the output of the networks for inputs of one size, averaged over views and models.
    pub(super) fn run(&mut self, inputs: &[ArrayView3<'_, f32>]) -> Result<Vec<RawOutput>, SegmentError> {
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
                let (given, own) = (&self.steps.contract.input, member.contract().input.clone());
                let images: Vec<_> = flipped.iter().map(|image| normalized(*image, given, &own)).collect();
                let images: Vec<_> = images.iter().map(|image| image.view()).collect();
                let ModelOutput::Scores(scores) = infer(member, &images)? else {
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

/// Returns one network's output for inputs of one size.
fn infer(session: &mut Session, inputs: &[ArrayView3<'_, f32>]) -> Result<ModelOutput, SegmentError> {
    let output = match inputs {
        [input] => session.infer(input.insert_axis(Axis(0)))?,
        _ => session.infer(ndarray::stack(Axis(0), inputs).expect("the inputs have one size").view())?,
    };
    if let ModelOutput::Scores(scores) = &output {
        // In a mask, such pixels would look like background.
        let count = scores.iter().filter(|score| !score.is_finite()).count();
        if count > 0 {
            return Err(SegmentError::NotFinite { count });
        }
    }
    Ok(output)
}

/// Splits a batch into its images; a single image is not copied.
fn each<T: Clone, D: RemoveAxis>(batch: Array<T, D>) -> Vec<Array<T, D::Smaller>> {
    match batch.len_of(Axis(0)) {
        1 => vec![batch.index_axis_move(Axis(0), 0)],
        _ => batch.outer_iter().map(|image| image.to_owned()).collect(),
    }
}
