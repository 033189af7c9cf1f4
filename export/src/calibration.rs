//! The values of a model on images, computed in ONNX Runtime: reduced precision is chosen by them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use image::GrayImage;
use ndarray::{Array4, ArrayD, ArrayView3, ArrayView4, ArrayViewD, Axis, Ix3, Ix4};
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_contract::{Contract, Element, OutputKind, Pixels, PreprocessError, Preprocessed, SizePolicy, most_probable};
use seg_inference::available_threads;
use seg_onnx::Model;
use seg_onnx::graph::{DataType, Dim, DimError, Graph};
use seg_onnx::precision::Range;
use seg_onnx::proto::{self, WriteError};
use thiserror::Error;

/// Images as a network takes them, `[1, channels, h, w]` each, and the ONNX Runtime that runs it on
/// them.
#[derive(Debug)]
pub struct Calibration<'e> {
    environment: &'e Environment,
    images: Vec<Array4<f32>>,
}

/// The statistics of a value over the images.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The smallest and the largest; both are no number once a value was none.
    pub range: Range,
    /// The smallest and the largest of each channel.
    pub channels: Vec<Range>,
    /// Some of the values, evenly spread.
    pub sample: Vec<f32>,
}

impl Seen {
    /// Returns the largest absolute value; not finite if a value was not.
    pub fn magnitude(&self) -> f64 {
        f64::from(self.range.max.abs().max(self.range.min.abs()))
    }
}

/// The part of an image that a mask is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// All of it, as the proof does.
    Whole,
    /// Its middle, which tells models apart in a fraction of the time.
    Middle,
}

/// An error in measuring a model.
#[derive(Debug, Error)]
pub enum CalibrationError {
    /// There are no images.
    #[error("cannot calibrate: there are no images")]
    NoImages,
    /// An image cannot be read.
    #[error("cannot calibrate")]
    Read(#[from] seg_data::ReadError),
    /// An image is none that the model takes.
    #[error("cannot calibrate with `{}`", path.display())]
    Preprocess {
        /// The image.
        path: PathBuf,
        /// The cause.
        source: PreprocessError,
    },
    /// A size cannot be computed.
    #[error("cannot calibrate: the size of a value is not known")]
    Size(#[from] DimError),
    /// The graph cannot be shown.
    #[error("cannot calibrate")]
    Write(#[from] WriteError),
    /// ONNX Runtime does not take the model.
    #[error("cannot calibrate: ONNX Runtime cannot run the model")]
    Run(#[from] ort::Error),
    /// The output is not a batch of images.
    #[error("cannot calibrate: the model's output has the shape {found:?}")]
    Output {
        /// Its shape.
        found: Vec<usize>,
    },
}

/// The most images that are looked at.
const IMAGES_MAX: usize = 16;
/// The longest side of the middle of an image in which values are watched, where the model takes
/// any size.
const WATCHED_SIDE_MAX: usize = 640;
/// The same of [`View::Middle`].
const MIDDLE_SIDE_MAX: usize = 256;
/// The most values of one image that are kept of each place in the network.
const SAMPLE_MAX: usize = 16_384;
/// The most bytes of values that are looked at in one run; of more, the network runs several times.
const BYTES_MAX: usize = 512 << 20;
/// The axis of channels.
const CHANNELS: Axis = Axis(1);
/// The side of made-up images, where the model takes any.
const NOISE_SIDE: usize = 128;
/// The number of made-up images.
const NOISE_IMAGES: u64 = 4;

impl<'e> Calibration<'e> {
    /// Images from files.
    ///
    /// # Errors
    /// When there are none, or one cannot be read or given to the model.
    pub fn from_files(
        environment: &'e Environment,
        contract: &Contract,
        files: &[PathBuf],
    ) -> Result<Self, CalibrationError> {
        let images = some_of(files).map(|path| read(contract, path)).collect::<Result<Vec<_>, _>>()?;
        if images.is_empty() { Err(CalibrationError::NoImages) } else { Ok(Self { environment, images }) }
    }

    /// Made-up images, the same each time: noise from -2 to 2, about the range of normalised
    /// images.
    pub fn from_noise(environment: &'e Environment, contract: &Contract) -> Self {
        let [height, width] = match (contract.input.form.size, contract.input.size) {
            (Some(size), _) => size,
            (None, SizePolicy::Resize { height, width }) => [height, width],
            (None, SizePolicy::Native) => contract.input.next_size([NOISE_SIDE; 2]),
        };
        let shape = (1, contract.input.color.channels(), height, width);
        Self { environment, images: (0..NOISE_IMAGES).map(|seed| noise(shape, seed)).collect() }
    }

    /// Returns the images.
    pub fn images(&self) -> &[Array4<f32>] {
        &self.images
    }

    /// Returns the statistics of the float32 values of the given names, inputs among them, over all
    /// images.
    ///
    /// # Errors
    /// When ONNX Runtime cannot run the model.
    pub fn watch(&self, model: &Model, names: &BTreeSet<&str>) -> Result<BTreeMap<String, Seen>, CalibrationError> {
        let mut seen = BTreeMap::new();
        for group in self.groups(model, names)? {
            let outputs = group.iter().map(|name| (*name).to_owned()).collect();
            let graph = Graph { outputs, ..model.graph.clone() };
            let mut runner = Runner::open(self.environment, model, &graph)?;
            for image in self.watched(model) {
                for (name, values) in runner.floats(image)? {
                    note(&mut seen, &name, values.view());
                }
            }
        }
        let name = &model.contract.input.name;
        if names.contains(name.as_str()) {
            self.watched(model).for_each(|image| note(&mut seen, name, image.into_dyn()));
        }
        Ok(seen)
    }

    /// Returns the middles of the images on which values are watched.
    fn watched(&self, model: &Model) -> impl Iterator<Item = ArrayView4<'_, f32>> {
        self.middles(model, WATCHED_SIDE_MAX)
    }

    /// Returns the middle of each image, at most `side_max` long on either side; whole images if
    /// the model takes one size only.
    fn middles(&self, model: &Model, side_max: usize) -> impl Iterator<Item = ArrayView4<'_, f32>> {
        let side_max = model.contract.input.form.size.map_or(side_max, |_| usize::MAX);
        self.images.iter().map(move |image| middle(image.view(), side_max))
    }

    /// Divides the names of the nodes among those given into groups that fit memory at the size of
    /// the largest watched image.
    fn groups<'n>(&self, model: &Model, names: &BTreeSet<&'n str>) -> Result<Vec<Vec<&'n str>>, CalibrationError> {
        let sides = |axis| self.watched(model).map(|image| image.len_of(Axis(axis))).max().unwrap_or_default() as i64;
        let symbols = [(Dim::batch(), 1), (Dim::height(), sides(2)), (Dim::width(), sides(3))];
        let symbols = symbols.map(|(dim, size)| (dim.to_string(), size));
        let bindings = symbols.each_ref().map(|(symbol, size)| (symbol.as_str(), *size));
        let mut groups: Vec<Vec<&str>> = Vec::new();
        let mut bytes = usize::MAX;
        for name in names.iter().copied() {
            let Some(node) = model.graph.nodes.iter().find(|node| node.name == name) else { continue };
            let sizes = node.output.shape.iter().map(|dim| dim.evaluate(&bindings)).collect::<Result<Vec<_>, _>>()?;
            let own = sizes.iter().map(|&size| size as usize).product::<usize>() * DataType::F32.size_bytes();
            if bytes.saturating_add(own) > BYTES_MAX {
                groups.push(Vec::new());
                bytes = 0;
            }
            bytes += own;
            groups.last_mut().expect("the first value begins a group").push(name);
        }
        Ok(groups)
    }

    /// Returns the mask that the model gives of the middle of each image, at the network's size.
    ///
    /// # Errors
    /// When ONNX Runtime cannot run the model.
    pub fn masks(&self, model: &Model, view: View) -> Result<Vec<GrayImage>, CalibrationError> {
        let mut runner = Runner::open(self.environment, model, &model.graph)?;
        let side_max = match view {
            View::Whole => usize::MAX,
            View::Middle => MIDDLE_SIDE_MAX,
        };
        self.middles(model, side_max).map(|image| runner.mask(image)).collect()
    }
}

/// Returns noise from -2 to 2 of a shape.
fn noise(shape: (usize, usize, usize, usize), seed: u64) -> Array4<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    Array4::from_shape_simple_fn(shape, || random.random_range(-2.0..2.0))
}

/// Selects the files that are looked at: all of them, or some evenly chosen ones of many.
pub fn some_of(files: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    let count = files.len().min(IMAGES_MAX);
    (0..count).map(move |index| &files[index * files.len() / count])
}

fn read(contract: &Contract, path: &Path) -> Result<Array4<f32>, CalibrationError> {
    let (image, spacing) = seg_data::read_sized_image(path, &contract.input.reading)?;
    let failed = |source| CalibrationError::Preprocess { path: path.into(), source };
    let pixels = Pixels::from(&image).with_spacing(spacing);
    let (Preprocessed { tensor, .. }, _) = contract.preprocess_middle(pixels).map_err(failed)?;
    Ok(tensor.insert_axis(Axis(0)))
}

/// Returns the middle of images `[n, channels, h, w]`, at most `side_max` long on either side.
pub fn middle(mut images: ArrayView4<'_, f32>, side_max: usize) -> ArrayView4<'_, f32> {
    for axis in [2, 3].map(Axis) {
        let left_out = images.len_of(axis).saturating_sub(side_max);
        let middle = left_out / 2..images.len_of(axis) - left_out.div_ceil(2);
        images.slice_axis_inplace(axis, middle.into());
    }
    images
}

fn note(seen: &mut BTreeMap<String, Seen>, name: &str, values: ArrayViewD<'_, f32>) {
    let nothing = Range { min: f32::INFINITY, max: f32::NEG_INFINITY };
    let fresh = || Seen { range: nothing, channels: Vec::new(), sample: Vec::new() };
    let seen = seen.entry(name.to_owned()).or_insert_with(fresh);
    for &value in &values {
        // `f32::min` would forget it with the next number.
        if value.is_nan() || seen.range.min.is_nan() {
            seen.range = Range { min: f32::NAN, max: f32::NAN };
            return;
        }
        seen.range.min = seen.range.min.min(value);
        seen.range.max = seen.range.max.max(value);
    }
    if values.ndim() > CHANNELS.index() {
        seen.channels.resize(values.len_of(CHANNELS), nothing);
        for (channel, values) in seen.channels.iter_mut().zip(values.axis_iter(CHANNELS)) {
            *channel =
                values.fold(*channel, |Range { min, max }, &value| Range { min: min.min(value), max: max.max(value) });
        }
    }
    // A stride that shares no factor with the sizes of images sees all channels and places.
    let stride = values.len() / SAMPLE_MAX + 1;
    seen.sample.extend(values.iter().step_by(stride | 1));
}

/// A graph in ONNX Runtime's CPU provider.
struct Runner<'m> {
    session: Session,
    contract: &'m Contract,
}

impl<'m> Runner<'m> {
    fn open(environment: &Environment, model: &'m Model, graph: &Graph) -> Result<Self, CalibrationError> {
        let bytes = proto::write(graph, model.opset, &[])?;
        Ok(Self { session: Self::start(environment, &bytes)?, contract: &model.contract })
    }

    fn start(environment: &Environment, bytes: &[u8]) -> ort::Result<Session> {
        Session::builder(environment)?.with_intra_threads(available_threads().get())?.commit_from_memory(bytes)
    }

    /// Runs an image; a graph of one batch size gets it several times, and only the first output
    /// counts.
    fn run<T>(
        &mut self,
        image: ArrayView4<'_, f32>,
        take: impl FnOnce(&ort::session::SessionOutputs<'_>) -> Result<T, CalibrationError>,
    ) -> Result<T, CalibrationError> {
        let input = &self.contract.input;
        let copies = vec![image; input.form.batch.unwrap_or(1)];
        let images = ndarray::concatenate(Axis(0), &copies).expect("copies have one size");
        let bytes;
        let tensor: SessionInputValue<'_> = match input.form.element {
            Element::Float => TensorRef::from_array_view(images.view())?.into(),
            Element::U8 => {
                bytes = input.to_bytes(images.view());
                TensorRef::from_array_view(bytes.view())?.into()
            }
        };
        take(&self.session.run(ort::inputs![input.name.as_str() => tensor])?)
    }

    /// Returns all outputs that are float32.
    fn floats(&mut self, image: ArrayView4<'_, f32>) -> Result<Vec<(String, ArrayD<f32>)>, CalibrationError> {
        self.run(image, |outputs| {
            let arrays = outputs.iter().map(|(name, value)| {
                let array = value.try_extract_array::<f32>()?;
                Ok((name.to_owned(), array.to_owned()))
            });
            arrays.collect()
        })
    }

    fn mask(&mut self, image: ArrayView4<'_, f32>) -> Result<GrayImage, CalibrationError> {
        let Contract { output, .. } = self.contract;
        self.run(image, |outputs| {
            let value = &outputs[output.name.as_str()];
            if output.kind == OutputKind::Mask {
                let masks = value.try_extract_array::<u8>()?;
                let shape = || CalibrationError::Output { found: masks.shape().to_vec() };
                let masks = masks.view().into_dimensionality::<Ix3>().map_err(|_| shape())?;
                let (_, height, width) = masks.dim();
                let mask = masks.index_axis(Axis(0), 0).iter().copied().collect();
                return GrayImage::from_raw(width as u32, height as u32, mask).ok_or_else(shape);
            }
            let scores = value.try_extract_array::<f32>()?;
            let found = scores.shape().to_vec();
            let scores = scores.view().into_dimensionality::<Ix4>().map_err(|_| CalibrationError::Output { found })?;
            let first: ArrayView3<'_, f32> = scores.index_axis(Axis(0), 0);
            Ok(most_probable(first))
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;
    use seg_onnx::precision::{CalibrationMethod, range};

    use super::*;

    #[test]
    fn what_was_not_finite_once_stays_so() {
        for (name, images) in [
            ("no number in the first image", [f32::NAN, 1.0, 2.0]),
            ("no number in the second image", [1.0, f32::NAN, 2.0]),
            ("no number in the last image", [1.0, 2.0, f32::NAN]),
            ("infinite in the second image", [1.0, f32::INFINITY, 2.0]),
            ("infinite below zero", [f32::NEG_INFINITY, 1.0, 2.0]),
        ] {
            let mut all = BTreeMap::new();
            for value in images {
                note(&mut all, "x", arr1(&[0.5, value, -0.5]).view().into_dyn());
            }
            let seen = all.get_mut("x").unwrap();
            assert!(!seen.magnitude().is_finite(), "{name}: {seen:?}");
            for method in [CalibrationMethod::MinMax, CalibrationMethod::Percentile, CalibrationMethod::Entropy] {
                let Range { min, max } = range(method, &mut seen.sample.clone(), seen.range);
                assert!(!(min.is_finite() && max.is_finite()), "{name}, {method:?}: {min} to {max}");
            }
        }
    }

    #[test]
    fn of_many_files_some_evenly_chosen_ones_are_looked_at() {
        for (count, last) in [(0, None), (1, Some(0)), (16, Some(15)), (40, Some(37))] {
            let files: Vec<_> = (0..count).map(|number: usize| PathBuf::from(number.to_string())).collect();
            let chosen: Vec<_> = some_of(&files).collect();
            assert_eq!(chosen.len(), count.min(IMAGES_MAX));
            assert_eq!(chosen.last().copied(), last.map(|number: usize| &files[number]), "{count}");
        }
    }

    #[test]
    fn each_channel_has_its_range_over_all_images() {
        let mut all = BTreeMap::new();
        for scale in [1.0, -2.0] {
            // Two images of three channels, two rows and two columns.
            let values = ArrayD::from_shape_fn(vec![2, 3, 2, 2], |at| {
                scale * (at[1] * 100 + at[0] * 10 + at[2] * 2 + at[3]) as f32
            });
            note(&mut all, "x", values.view().into_dyn());
        }
        let range = |min, max| Range { min, max };
        assert_eq!(all["x"].channels, [range(-26.0, 13.0), range(-226.0, 113.0), range(-426.0, 213.0)]);
        assert_eq!(all["x"].range, range(-426.0, 213.0));
    }

    #[test]
    fn what_was_seen_is_the_smallest_and_the_largest_of_all_images() {
        let mut all = BTreeMap::new();
        for values in [[0.5, -0.25], [3.0, 1.0], [-2.0, 0.0]] {
            note(&mut all, "x", arr1(&values).view().into_dyn());
        }
        let seen = &all["x"];
        assert_eq!((seen.range, seen.magnitude()), (Range { min: -2.0, max: 3.0 }, 3.0));
        assert_eq!(seen.sample, [0.5, -0.25, 3.0, 1.0, -2.0, 0.0]);
    }
}
