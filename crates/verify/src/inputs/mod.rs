//! The inputs of a proof: a fixed list of seeded ones, and real images.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::{GrayImage, imageops};
use ndarray::{Array4, ArrayView4, Axis};
use seg_contract::{
    Contract, Element, Geometry, InputForm, Pixels, PreprocessError, Preprocessed, Sha256, Window, resize_labels,
    sha256_digest,
};
use seg_data::{Dataset, DatasetError, Part, PartError, ReadError, Sample, SampleError};
use thiserror::Error;

pub(crate) mod pattern;

use pattern::Pattern;

/// An input of a proof.
#[derive(Clone, Debug)]
pub struct ProofInput {
    /// The unique name.
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

/// The prefix of the names of image files.
pub(crate) const IMAGE: &str = "image ";

/// An input as a model takes it.
#[derive(Clone, Debug)]
pub struct LoadedInput {
    /// The values `[n, channels, h, w]`, normalised.
    pub tensor: Array4<f32>,
    /// The geometry by which an image file became the tensor; `None` for a fixed input.
    pub geometry: Option<Geometry>,
    /// The true mask, if there is one.
    pub truth: Option<GrayImage>,
    /// Height and width of the image file whose middle is the tensor, if the model takes only
    /// another size.
    pub middle_of: Option<[usize; 2]>,
}

/// An error in finding or reading the inputs of a proof.
#[derive(Debug, Error)]
pub enum ProofInputError {
    /// The data set cannot be opened.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The data set has no such part.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The folder cannot be read.
    #[error(transparent)]
    Folder(#[from] seg_inference::InputError),
    /// The image or its mask cannot be read.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The image does not fit the model's input.
    #[error("cannot convert the image of the input `{input}` to the model's input")]
    Preprocess {
        /// The input's name.
        input: String,
        /// The cause.
        source: PreprocessError,
    },
}

/// The input on which intermediate values are compared: two images, whose sides the encoder halves
/// unevenly.
const LAYERS: (Pattern, [usize; 3]) = (Pattern::Noise, [2, 35, 45]);

/// The inputs of every proof: batch, height and width. They include the smallest side and a large
/// one, even, odd and prime sides, and batches for which a provider may take another path.
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

/// The inputs that a thorough proof adds.
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

impl ProofInput {
    /// Lists the fixed inputs that a model takes, given that it may have one batch, height or width
    /// only, or take nothing but bytes. Intermediate values are compared on the first one. A name
    /// stands for the same numbers in every list.
    pub fn fixed(thorough: bool, input: &seg_contract::Input) -> Vec<Self> {
        let form = input.form;
        let more = if thorough { THOROUGH } else { &[] };
        let mut inputs: Vec<Self> = Vec::new();
        for &(pattern, [n, h, w]) in FIXED.iter().chain(more) {
            let [height, width] = form.size.unwrap_or(input.next_size([h, w]));
            let shape = [form.batch.unwrap_or(n), height, width];
            let name = format!("{pattern} {}x{height}x{width}", shape[0]);
            let is_taken = form.element == Element::Float || pattern.fits_bytes();
            if is_taken && inputs.iter().all(|input| input.name != name) {
                inputs.push(Self { name, form, content: Content::Fixed { pattern, shape } });
            }
        }
        inputs
    }

    /// Lists the images of a data set, of the test part unless another is given; or those of files
    /// and of folders without masks.
    ///
    /// # Errors
    /// When a folder holds no images.
    pub fn images(inputs: &[PathBuf], part: Option<Part>, form: InputForm) -> Result<Vec<Self>, ProofInputError> {
        let Some(dataset) = dataset(inputs)? else {
            let files = seg_inference::image_files(inputs)?;
            let names: BTreeSet<_> = files.iter().map(|file| file_name(file)).collect();
            // Several folders may hold files of one name.
            let is_unique = names.len() == files.len();
            return Ok(files.into_iter().map(|file| Self::file(file, is_unique, form)).collect());
        };
        let (_, samples) = dataset.part(part)?;
        Ok(samples.iter().map(|sample| Self::sample(sample, form)).collect())
    }

    /// Creates the input of a file, which is named by its path unless its name is unique.
    fn file(file: PathBuf, is_unique: bool, form: InputForm) -> Self {
        let name = if is_unique { file_name(&file) } else { file.to_string_lossy().into_owned() };
        Self { name: format!("{IMAGE}{name}"), form, content: Content::File(file) }
    }

    fn sample(sample: &Sample, form: InputForm) -> Self {
        let name = format!("{IMAGE}{}", sample.name);
        Self { name, form, content: Content::Sample(Box::new(sample.clone())) }
    }

    /// Returns true for an image file.
    pub fn is_image(&self) -> bool {
        !matches!(self.content, Content::Fixed { .. })
    }

    /// Returns true for noise and image files, false for a pattern that is made to be extreme.
    pub fn is_ordinary(&self) -> bool {
        !matches!(&self.content, Content::Fixed { pattern, .. } if *pattern != Pattern::Noise)
    }

    /// Returns true if the pattern repeats itself, so that a thousand pixels share one error and
    /// their mean does not say how exact a computation is. Subnormal values do: beside the bias of
    /// any layer, all of them are zero.
    pub fn repeats(&self) -> bool {
        use Pattern::{Black, Checkers, Denormal, Spot, White};
        matches!(&self.content, Content::Fixed { pattern: Black | White | Checkers | Spot | Denormal, .. })
    }

    /// Returns true if the input is made to take values beyond the range of 16-bit floats.
    pub fn overflows(&self) -> bool {
        matches!(&self.content, Content::Fixed { pattern: Pattern::Huge, .. })
    }

    /// Loads the input as a contract describes it to the network.
    ///
    /// For a model that takes bytes, values are rounded to bytes. For a model of one size, the
    /// middle is cut from an image of another size.
    ///
    /// # Errors
    /// When an image file cannot be read.
    pub fn load(&self, contract: &Contract) -> Result<LoadedInput, ProofInputError> {
        let input = seg_contract::Input { form: self.form, ..contract.input.clone() };
        let mut loaded = self.normalize(&Contract { input, ..contract.clone() })?;
        if self.form.element == Element::U8 {
            loaded.tensor = contract.input.through_bytes(loaded.tensor);
        }
        Ok(loaded)
    }

    fn normalize(&self, contract: &Contract) -> Result<LoadedInput, ProofInputError> {
        let (image, truth, spacing) = match &self.content {
            Content::Fixed { pattern, shape } => {
                let tensor = pattern.tensor(*shape, seed(&self.name), contract);
                return Ok(LoadedInput { tensor, geometry: None, truth: None, middle_of: None });
            }
            Content::Sample(sample) => {
                let sample = Sample { reading: contract.input.reading, ..sample.as_ref().clone() };
                let (image, truth, spacing) = sample.load_sized()?;
                (image, Some(truth), spacing)
            }
            Content::File(file) => {
                let (image, spacing) = seg_data::read_sized_image(file, &contract.input.reading)?;
                (image, None, spacing)
            }
        };
        let failed = |source| ProofInputError::Preprocess { input: self.name.clone(), source };
        let pixels = Pixels::from(&image).with_spacing(spacing);
        let (Preprocessed { tensor, geometry }, window) = contract.preprocess_middle(pixels).map_err(failed)?;
        let truth = match &window {
            // The window is one of what the network sees, which may be resampled.
            Some(window) if window.image != pixels.size() => {
                truth.map(|truth| crop(&resize_labels(&truth, window.image), window))
            }
            Some(window) => truth.map(|truth| crop(&truth, window)),
            None => truth,
        };
        let tensor = tensor.insert_axis(Axis(0));
        Ok(LoadedInput { tensor, geometry: Some(geometry), truth, middle_of: window.map(|window| window.image) })
    }
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Derives the seed of a fixed input from its name, so that one name is one input.
fn seed(name: &str) -> u64 {
    sha256_digest(name).iter().take(size_of::<u64>()).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// Cuts a window from a mask.
fn crop(mask: &GrayImage, window: &Window) -> GrayImage {
    let ([top, left], [height, width]) = (window.corner, window.inside());
    imageops::crop_imm(mask, left as u32, top as u32, width as u32, height as u32).to_image()
}

/// Opens the data set if the only input is one; returns `None` for anything else.
///
/// # Errors
/// When the data set is incomplete.
pub(crate) fn dataset(inputs: &[PathBuf]) -> Result<Option<Dataset>, DatasetError> {
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

/// Returns the SHA-256 of a tensor's shape and values, in hexadecimal.
pub(crate) fn tensor_sha256(tensor: ArrayView4<'_, f32>) -> String {
    let mut hash = Sha256::new();
    for side in tensor.shape() {
        hash.update((*side as u64).to_le_bytes());
    }
    for value in tensor {
        hash.update(value.to_le_bytes());
    }
    hash.hex()
}
