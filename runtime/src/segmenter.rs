//! Segments images: from the pixels of an image to the class of each.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use image::{GrayImage, Rgb32FImage};
use ndarray::Axis;
use ort::environment::Environment;
use seg_onnx::contract::{Contract, Geometry, PostprocessError, PreprocessError};
use thiserror::Error;

use crate::{
    provider::{Options, Provider},
    session::{Answer, OpenError, RunError, Session},
};

/// A model that segments images.
///
/// ```no_run
/// use std::path::Path;
///
/// use seg_runtime::{Options, Segmenter, library::{Build, Search}};
///
/// let environment = Search::from_env(None, Build::Cpu).locate()?.load()?;
/// let mut segmenter = Segmenter::open(&environment, Path::new("amsunet.onnx"), &Options::default())?;
///
/// let image = seg_data::read_image(Path::new("slide.tif"))?;
/// let segmentation = segmenter.segment(&image)?;
///
/// let labels = segmentation.mask.into_raw();
/// let found = labels.iter().filter(|label| **label == 1).count();
/// println!("{}: {found} of {} pixels", segmenter.contract().classes[1].name, labels.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Segmenter {
    session: Session,
}

/// The answer for one image.
#[derive(Clone, Debug)]
pub struct Segmentation {
    /// The index of each pixel's class, at the image's own size.
    pub mask: GrayImage,
    /// At which size the network ran.
    pub geometry: Geometry,
    /// How long it took.
    pub timings: Timings,
}

/// How long the stages of one image took.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// From the image to the network's input.
    pub preprocess: Duration,
    /// The network.
    pub infer: Duration,
    /// From the network's output to the mask.
    pub postprocess: Duration,
}

/// Why an image cannot be segmented.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// The image cannot be brought to the network's input.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
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
}

/// The network alone.
impl AsRef<Session> for Segmenter {
    fn as_ref(&self) -> &Session {
        &self.session
    }
}

impl Segmenter {
    /// Opens a model file.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open(environment: &Environment, path: &Path, options: &Options) -> Result<Self, OpenError> {
        Ok(Self { session: Session::open(environment, path, options)? })
    }

    /// What the model expects and means.
    pub fn contract(&self) -> &Contract {
        self.session.contract()
    }

    /// What computes it.
    pub fn provider(&self) -> Provider {
        self.session.provider()
    }

    /// Segments one image, whose values are in [0, 1].
    ///
    /// # Errors
    /// When the image has no pixels, or the model or its provider fails.
    pub fn segment(&mut self, image: &Rgb32FImage) -> Result<Segmentation, SegmentError> {
        let start = Instant::now();
        let input = self.contract().preprocess(image)?;
        let preprocess = start.elapsed();

        let start = Instant::now();
        let answer = self.session.answer(input.tensor.view().insert_axis(Axis(0)))?;
        let infer = start.elapsed();

        let start = Instant::now();
        let mask = match &answer {
            Answer::Scores(scores) => {
                // A mask of them would look like background.
                let count = scores.iter().filter(|score| !score.is_finite()).count();
                if count > 0 {
                    return Err(SegmentError::NotFinite { count });
                }
                self.contract().postprocess(scores.index_axis(Axis(0), 0), &input.geometry)?
            }
            Answer::Masks(masks) => self.contract().postprocess_mask(masks.index_axis(Axis(0), 0), &input.geometry)?,
        };
        let postprocess = start.elapsed();

        let timings = Timings { preprocess, infer, postprocess };
        Ok(Segmentation { mask, geometry: input.geometry, timings })
    }
}
