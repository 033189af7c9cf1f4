//! What a proof runs: a fixed list of seeded inputs, and real images.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use image::{GrayImage, Rgb, Rgb32FImage, imageops};
use ndarray::{Array3, Array4, ArrayView4, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_contract::{Contract, Element, Geometry, InputForm, PreprocessError, Preprocessed, Window};
use seg_data::{Dataset, DatasetError, Part, PartError, ReadError, Sample, SampleError};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// An input of a proof.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, which no other has.
    pub name: String,
    /// The form in which the model takes it.
    form: InputForm,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Fixed { pattern: Pattern, shape: [usize; 3] },
    Sample(Box<Sample>),
    File(PathBuf),
}

/// What a made image shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Each channel of each pixel at random, all 256 levels alike.
    Noise,
    /// Nothing but black.
    Black,
    /// Nothing but white.
    White,
    /// Black and white pixels in turn.
    Checkers,
    /// One white pixel in the middle of black ones.
    Spot,
    /// No image: random values, several times larger than any image has.
    Far,
    /// No image: random values as large as to bring values inside beyond the range of 16-bit floats.
    Huge,
    /// No image: random values so small that their exponent has no room left.
    Denormal,
}

/// What the names of image files' cases begin with.
pub(super) const IMAGE: &str = "image ";

/// A case as a model takes it.
#[derive(Clone, Debug)]
pub struct Input {
    /// `[n, channels, h, w]`, normalised.
    pub tensor: Array4<f32>,
    /// How the tensor became of an image file, where it did.
    pub geometry: Option<Geometry>,
    /// The true mask, where there is one.
    pub truth: Option<GrayImage>,
    /// Height and width of the image file of which the tensor is the middle, where the model takes another size only.
    pub middle_of: Option<[usize; 2]>,
}

/// Why a case cannot be had.
#[derive(Debug, Error)]
pub enum CaseError {
    /// The data set cannot be opened.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The data set has no such part.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The folder cannot be read.
    #[error(transparent)]
    Folder(#[from] seg_inference::inputs::InputError),
    /// The image or its mask cannot be read.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The image is not one that a model can take.
    #[error("cannot bring the image of case `{case}` to the model's input")]
    Preprocess {
        /// The case.
        case: String,
        /// Why.
        source: PreprocessError,
    },
}

/// What values inside of the network are compared on: two images, of sides that the encoder halves unevenly.
const LAYERS: (Pattern, [usize; 3]) = (Pattern::Noise, [2, 35, 45]);

/// What every proof runs: batch, height and width. The smallest side and a large one, even, odd and prime ones, the batches in which a provider may
/// take another path.
const FIXED: &[(Pattern, [usize; 3])] = &[
    LAYERS,
    (Pattern::Noise, [1, 16, 16]),
    (Pattern::Noise, [1, 17, 19]),
    (Pattern::Noise, [2, 64, 96]),
    (Pattern::Noise, [3, 48, 33]),
    (Pattern::Noise, [8, 32, 32]),
    (Pattern::Noise, [1, 71, 93]),
    (Pattern::Noise, [1, 127, 131]),
    (Pattern::Noise, [1, 16, 1021]),
    (Pattern::Noise, [1, 1024, 17]),
    (Pattern::Noise, [1, 256, 256]),
    (Pattern::Black, [1, 64, 64]),
    (Pattern::White, [1, 61, 67]),
    (Pattern::Checkers, [1, 64, 65]),
    (Pattern::Spot, [1, 64, 64]),
    (Pattern::Far, [1, 48, 47]),
    (Pattern::Huge, [1, 32, 33]),
    (Pattern::Denormal, [1, 47, 48]),
];

/// What a thorough proof runs as well.
const THOROUGH: &[(Pattern, [usize; 3])] = &[
    (Pattern::Noise, [2, 127, 131]),
    (Pattern::Noise, [3, 255, 257]),
    (Pattern::Noise, [8, 101, 103]),
    (Pattern::Noise, [1, 480, 480]),
    (Pattern::Noise, [1, 512, 512]),
    (Pattern::Noise, [1, 584, 565]),
    (Pattern::Noise, [1, 1021, 1019]),
    (Pattern::Noise, [1, 1024, 1024]),
    (Pattern::Black, [8, 33, 35]),
    (Pattern::Checkers, [2, 255, 256]),
    (Pattern::Far, [2, 127, 65]),
    (Pattern::Denormal, [3, 65, 127]),
];

/// How large values of [`Pattern::Far`] are.
const FAR: f32 = 16.0;

/// How large values of [`Pattern::Huge`] are.
const HUGE: f32 = 256.0;

/// How small values of [`Pattern::Denormal`] are.
const DENORMAL: f32 = 1e-40;

impl Case {
    /// The fixed list, in as far as a model takes it that may have one batch, height or width only, or nothing but bytes; the first case is the one
    /// that values inside are compared on. A name stands for the same numbers in every list.
    pub fn fixed(thorough: bool, input: &seg_contract::Input) -> Vec<Self> {
        let form = input.form;
        let more = if thorough { THOROUGH } else { &[] };
        let mut cases: Vec<Self> = Vec::new();
        for &(pattern, [n, h, w]) in FIXED.iter().chain(more) {
            let [height, width] = form.size.unwrap_or(input.next_size([h, w]));
            let shape = [form.batch.unwrap_or(n), height, width];
            let name = format!("{pattern} {}x{height}x{width}", shape[0]);
            let is_taken = form.element == Element::Float || pattern.is_of_bytes();
            if is_taken && cases.iter().all(|case| case.name != name) {
                cases.push(Self { name, form, content: Content::Fixed { pattern, shape } });
            }
        }
        cases
    }

    /// The images of a data set, of the part that is held out unless another is asked for; or those of files and of
    /// folders without masks; for a model that takes them in the form.
    ///
    /// # Errors
    /// When a folder holds no images.
    pub fn images(inputs: &[PathBuf], part: Option<Part>, form: InputForm) -> Result<Vec<Self>, CaseError> {
        let Some(dataset) = dataset(inputs)? else {
            let files = seg_inference::inputs::image_files(inputs)?;
            let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let names: BTreeSet<_> = files.iter().map(name).collect();
            // In several folders there may be two of one name.
            let is_told = names.len() == files.len();
            let case = |file: PathBuf| {
                let name = if is_told { name(&file) } else { file.to_string_lossy().into_owned() };
                Self { name: format!("{IMAGE}{name}"), form, content: Content::File(file) }
            };
            return Ok(files.into_iter().map(case).collect());
        };
        let (_, samples) = dataset.part(part)?;
        let case = |sample: &Sample| Self {
            name: format!("{IMAGE}{}", sample.name),
            form,
            content: Content::Sample(Box::new(sample.clone())),
        };
        Ok(samples.iter().map(case).collect())
    }

    /// Whether it is an image file.
    pub fn is_image(&self) -> bool {
        !matches!(self.content, Content::Fixed { .. })
    }

    /// Whether it is noise or an image file, and nothing made to be extreme.
    pub fn is_ordinary(&self) -> bool {
        !matches!(&self.content, Content::Fixed { pattern, .. } if *pattern != Pattern::Noise)
    }

    /// Whether it shows the same over and over, so that a thousand pixels share one error, and no mean of theirs says how exact a computation is.
    pub fn repeats(&self) -> bool {
        use Pattern::{Black, Checkers, Spot, White};
        matches!(&self.content, Content::Fixed { pattern: Black | White | Checkers | Spot, .. })
    }

    /// Whether it is made to bring values beyond the range of 16-bit floats.
    pub fn overflows(&self) -> bool {
        matches!(&self.content, Content::Fixed { pattern: Pattern::Huge, .. })
    }

    /// The case as a contract describes it to the network, in the form in which the model takes it: where that is bytes, what lies between two of them is
    /// rounded, and of an image of another size than the only one there is the middle.
    ///
    /// # Errors
    /// When an image file cannot be read.
    pub fn load(&self, contract: &Contract) -> Result<Input, CaseError> {
        let input = seg_contract::Input { form: self.form, ..contract.input.clone() };
        let mut loaded = self.normalize(&Contract { input, ..contract.clone() })?;
        if self.form.element == Element::U8 {
            loaded.tensor = contract.input.through_bytes(loaded.tensor);
        }
        Ok(loaded)
    }

    fn normalize(&self, contract: &Contract) -> Result<Input, CaseError> {
        let (image, truth) = match &self.content {
            Content::Fixed { pattern, shape } => {
                let tensor = pattern.tensor(*shape, seed(&self.name), contract);
                return Ok(Input { tensor, geometry: None, truth: None, middle_of: None });
            }
            Content::Sample(sample) => {
                let (image, truth) = sample.load()?;
                (image, Some(truth))
            }
            Content::File(file) => (seg_data::read_image(file)?, None),
        };
        let failed = |source| CaseError::Preprocess { case: self.name.clone(), source };
        let (Preprocessed { tensor, geometry }, window) = contract.preprocess_middle(&image).map_err(failed)?;
        let truth = match &window {
            Some(window) => truth.map(|truth| cut(&truth, window)),
            None => truth,
        };
        let tensor = tensor.insert_axis(Axis(0));
        Ok(Input { tensor, geometry: Some(geometry), truth, middle_of: window.map(|window| window.image) })
    }
}

/// The seed of a made input, so that one name is one input.
fn seed(name: &str) -> u64 {
    Sha256::digest(name).iter().take(size_of::<u64>()).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// What of a mask lies inside of a window.
fn cut(mask: &GrayImage, window: &Window) -> GrayImage {
    let ([top, left], [height, width]) = (window.corner, window.inside());
    imageops::crop_imm(mask, left as u32, top as u32, width as u32, height as u32).to_image()
}

impl Pattern {
    /// Whether its values are among those that bytes stand for.
    fn is_of_bytes(self) -> bool {
        !matches!(self, Self::Far | Self::Huge | Self::Denormal)
    }

    fn tensor(self, [batch, height, width]: [usize; 3], seed: u64, contract: &Contract) -> Array4<f32> {
        let channels = contract.input.color.channels();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut tensor = Array4::zeros((batch, channels, height, width));
        for mut item in tensor.outer_iter_mut() {
            let size = item.dim();
            item.assign(&match self {
                Self::Far => Array3::from_shape_simple_fn(size, || random.random_range(-FAR..FAR)),
                Self::Huge => Array3::from_shape_simple_fn(size, || random.random_range(-HUGE..HUGE)),
                Self::Denormal => Array3::from_shape_simple_fn(size, || random.random_range(-DENORMAL..DENORMAL)),
                _ => contract.input.normalize(&self.image(width, height, &mut random), [height, width]),
            });
        }
        tensor
    }

    fn image(self, width: usize, height: usize, random: &mut ChaCha8Rng) -> Rgb32FImage {
        Rgb32FImage::from_fn(width as u32, height as u32, |x, y| {
            let gray = |white: bool| Rgb([f32::from(u8::from(white)); 3]);
            match self {
                Self::White => gray(true),
                Self::Checkers => gray((x + y) % 2 == 1),
                Self::Spot => gray((x as usize, y as usize) == (width / 2, height / 2)),
                Self::Noise => Rgb([0; 3].map(|_: u8| f32::from(random.random::<u8>()) / 255.0)),
                Self::Black | Self::Far | Self::Huge | Self::Denormal => gray(false),
            }
        })
    }
}

/// The data set that the only input is; none where it is something else, or there are several.
///
/// # Errors
/// When the data set is not whole.
pub(super) fn dataset(inputs: &[PathBuf]) -> Result<Option<Dataset>, DatasetError> {
    let [folder] = inputs else { return Ok(None) };
    if !folder.is_dir() {
        return Ok(None);
    }
    match Dataset::open(folder) {
        Ok(dataset) => Ok(Some(dataset)),
        Err(DatasetError::Layout { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The SHA-256 of shape and values, in hexadecimal.
pub(super) fn sha256(tensor: ArrayView4<'_, f32>) -> String {
    let mut hash = Sha256::new();
    for side in tensor.shape() {
        hash.update((*side as u64).to_le_bytes());
    }
    for value in tensor {
        hash.update(value.to_le_bytes());
    }
    format!("{:x}", hash.finalize())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Noise => "noise",
            Self::Black => "black",
            Self::White => "white",
            Self::Checkers => "checkers",
            Self::Spot => "spot",
            Self::Far => "far",
            Self::Huge => "huge",
            Self::Denormal => "denormal",
        })
    }
}
