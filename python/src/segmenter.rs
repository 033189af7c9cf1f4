//! The classes `Segmenter` and `Result`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use ndarray::Array2;
use numpy::{IntoPyArray, PyArray2, PyArray3};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use seg_contract::Contract;
use seg_data::open_image_as;
use seg_inference::{
    ModelFile, Options, RunsOn, Segmentation, Segmenter as Model, Settings, Tiles, Views, available_threads,
};
use seg_runtime::record::areas;
use seg_verify::Certificate;
use serde_json::json;

use crate::error::{any_error, seg_error};
use crate::picture::Image;
use crate::{json, library, options};

/// A model, or several as one, that segments images.
#[pyclass(module = "seg_runtime", frozen)]
pub(crate) struct Segmenter {
    lanes: Vec<Mutex<Model>>,
    contract: Contract,
    settings: Settings,
    runs_on: RunsOn,
    files: Vec<ModelFile>,
}

/// A model file or several.
#[derive(FromPyObject)]
enum Models {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

#[pymethods]
impl Segmenter {
    /// Opens a model file, or several whose probabilities are averaged.
    #[staticmethod]
    #[pyo3(signature = (
        model, *, provider = "cpu", precision = "fp32", threads = None, lanes = 1, allow_fallback = false, tile = None,
        overlap = 0.25, flips = false, threshold = None, cleanup = None, require_certificate = false, public_key = None,
        library = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn open(
        py: Python<'_>,
        model: Models,
        provider: &str,
        precision: &str,
        threads: Option<usize>,
        lanes: usize,
        allow_fallback: bool,
        tile: Option<Bound<'_, PyAny>>,
        overlap: f64,
        flips: bool,
        threshold: Option<f32>,
        cleanup: Option<Bound<'_, PyDict>>,
        require_certificate: bool,
        public_key: Option<PathBuf>,
        library: Option<PathBuf>,
    ) -> PyResult<Self> {
        let paths = match model {
            Models::One(path) => vec![path],
            Models::Several(paths) => paths,
        };
        let settings = Settings {
            tiles: tile.map_or(Ok(Tiles::Auto { overlap }), |tile| options::tiles(&tile, overlap))?,
            views: if flips { Views::Flips } else { Views::None },
            threshold,
            cleanup: options::cleanup(cleanup.as_ref())?,
            ..Settings::default()
        };
        let engine = Options {
            provider: options::provider(provider)?,
            precision: options::precision(precision)?,
            allow_fallback,
            ..Options::default()
        }
        .for_settings(&settings);
        let lanes = options::count("lanes", lanes)?.get();
        let threads = threads.map(|threads| options::count("threads", threads)).transpose()?;
        let threads = threads.unwrap_or_else(available_threads).get();
        let share = |lane: usize| NonZeroUsize::new(threads / lanes + usize::from(lane < threads % lanes));
        let installed = library::installed(py)?;
        py.detach(move || {
            let environment = library::start(engine.provider, library, installed)?;
            let open = |lane: usize| -> anyhow::Result<Model> {
                let options = Options { threads: share(lane).or(Some(NonZeroUsize::MIN)), ..engine.clone() };
                let model = match paths.as_slice() {
                    [path] => Model::open(&environment, path, &options)?,
                    paths => Model::open_ensemble(&environment, paths, &options)?,
                };
                Ok(model.with(settings.clone())?)
            };
            let models = (0..lanes).map(open).collect::<anyhow::Result<Vec<_>>>()?;
            if require_certificate || public_key.is_some() {
                for (path, session) in paths.iter().zip(models[0].as_ref()) {
                    Certificate::require(path, &session.file().sha256, session.options(), public_key.as_deref())?;
                }
            }
            let first = &models[0];
            let (contract, runs_on, files) = (first.contract().clone(), first.runs_on(), first.files());
            Ok(Self { contract, runs_on, files, settings, lanes: models.into_iter().map(Mutex::new).collect() })
        })
        .map_err(|error: anyhow::Error| any_error(&error))
    }

    #[getter]
    fn contract(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        json::to_python(py, &self.contract.to_json())
    }

    #[getter]
    fn classes(&self) -> Vec<String> {
        self.contract.classes.iter().map(|class| class.name.clone()).collect()
    }

    #[getter]
    fn runs_on(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        json::to_python(py, &json!(self.runs_on).to_string())
    }

    #[getter]
    fn files(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        json::to_python(py, &json!(self.files).to_string())
    }

    /// Segments an image.
    #[pyo3(signature = (image, *, probabilities = false, uncertainty = None, threshold = None, spacing_mm = None))]
    fn segment(
        &self,
        py: Python<'_>,
        image: &Bound<'_, PyAny>,
        probabilities: bool,
        uncertainty: Option<&str>,
        threshold: Option<f32>,
        spacing_mm: Option<[f64; 2]>,
    ) -> PyResult<SegmentResult> {
        let settings = self.asked(probabilities, uncertainty, threshold)?;
        let image = Image::from_python(image)?;
        py.detach(|| self.run(0, &image, spacing_mm, &settings)).map_err(|error| any_error(&error))
    }

    /// Segments several images, as many side by side as there are lanes.
    #[pyo3(signature = (images, *, probabilities = false, uncertainty = None, threshold = None, spacing_mm = None))]
    fn segment_batch(
        &self,
        py: Python<'_>,
        images: &Bound<'_, PyAny>,
        probabilities: bool,
        uncertainty: Option<&str>,
        threshold: Option<f32>,
        spacing_mm: Option<[f64; 2]>,
    ) -> PyResult<Vec<SegmentResult>> {
        let settings = self.asked(probabilities, uncertainty, threshold)?;
        let images = images.try_iter()?.map(|image| Image::from_python(&image?)).collect::<PyResult<Vec<_>>>()?;
        py.detach(|| self.run_all(&images, spacing_mm, &settings)).map_err(|error| any_error(&error))
    }

    #[pyo3(name = "_evaluate")]
    fn evaluate(
        &self,
        py: Python<'_>,
        data: PathBuf,
        split: Option<String>,
        tolerance: [f64; 2],
        bootstrap: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        crate::evaluate::evaluate(py, self, &data, split.as_deref(), tolerance, bootstrap, progress)
    }

    fn __repr__(&self) -> String {
        let files: Vec<_> = self.files.iter().map(|file| file.file.as_str()).collect();
        format!("<Segmenter {} on {}, classes {}>", files.join(", "), self.runs_on.provider, self.classes().join(", "))
    }
}

impl Segmenter {
    pub(crate) fn lane(&self, index: usize) -> MutexGuard<'_, Model> {
        self.lanes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn model_contract(&self) -> &Contract {
        &self.contract
    }

    pub(crate) fn base_settings(&self) -> &Settings {
        &self.settings
    }

    /// Describes what computes.
    pub(crate) fn parts(&self) -> (Vec<ModelFile>, RunsOn) {
        (self.files.clone(), self.runs_on.clone())
    }

    fn asked(&self, probabilities: bool, uncertainty: Option<&str>, threshold: Option<f32>) -> PyResult<Settings> {
        let settings = Settings {
            probabilities,
            uncertainty: options::uncertainty(uncertainty)?,
            threshold: threshold.or(self.settings.threshold),
            ..self.settings.clone()
        };
        settings.check(&self.contract, self.files.len()).map_err(seg_error)?;
        Ok(settings)
    }

    /// Segments an image; the millimetres between rows and between columns are those of pixels, as
    /// files state their own.
    fn run(
        &self,
        lane: usize,
        image: &Image,
        spacing_mm: Option<[f64; 2]>,
        settings: &Settings,
    ) -> anyhow::Result<SegmentResult> {
        let mut model = self.lane(lane);
        model.set(settings.clone())?;
        let (segmentation, spacing_mm) = match image {
            Image::Path(path) => {
                let mut reader = open_image_as(path, &model.steps().reading())?;
                (model.segment_from(reader.as_mut())?, reader.info().spacing)
            }
            Image::Picture(picture) => {
                (model.segment(picture.pixels().with_spacing(spacing_mm))?, spacing_mm)
            }
        };
        Ok(SegmentResult::new(self, image, segmentation, spacing_mm))
    }

    fn run_all(
        &self,
        images: &[Image],
        spacing_mm: Option<[f64; 2]>,
        settings: &Settings,
    ) -> anyhow::Result<Vec<SegmentResult>> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        let work = |lane: usize| -> anyhow::Result<()> {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(image) = images.get(index) else { return Ok(()) };
                match self.run(lane, image, spacing_mm, settings) {
                    Ok(result) => done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result)),
                    Err(error) => {
                        // The others start no further image.
                        next.store(images.len(), Ordering::Relaxed);
                        return Err(error.context(format!("cannot segment image {index} of the batch")));
                    }
                }
            }
        };
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..self.lanes.len()).map(|lane| scope.spawn(move || work(lane))).collect();
            let ended =
                lanes.into_iter().map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            ended.collect::<Vec<_>>().into_iter().collect::<anyhow::Result<()>>()
        })?;
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    }
}

/// A segmented image.
#[pyclass(module = "seg_runtime", name = "Result", frozen)]
pub(crate) struct SegmentResult {
    segmentation: Segmentation,
    areas: Vec<(String, u64)>,
    record: String,
}

impl SegmentResult {
    fn new(segmenter: &Segmenter, image: &Image, segmentation: Segmentation, spacing_mm: Option<[f64; 2]>) -> Self {
        let areas = areas(&segmentation.mask, &segmenter.contract.classes, spacing_mm);
        let milliseconds = |time: std::time::Duration| time.as_micros() as f64 / 1e3;
        let timings = segmentation.timings;
        let input = match image {
            Image::Path(path) => Some(path.to_string_lossy().into_owned()),
            Image::Picture(_) => None,
        };
        let (width, height) = segmentation.mask.dimensions();
        let record = json!({
            "input": input, "models": segmenter.files, "settings": segmenter.settings,
            "width": width, "height": height, "network": segmentation.network, "tiles": segmentation.tiles,
            "resampled": segmentation.resampled, "spacing_mm": spacing_mm,
            "area": areas, "runs_on": segmenter.runs_on,
            "decode_ms": milliseconds(timings.decode), "preprocess_ms": milliseconds(timings.preprocess),
            "infer_ms": milliseconds(timings.infer), "postprocess_ms": milliseconds(timings.postprocess),
        });
        let areas = areas.into_iter().map(|area| (area.class, area.pixels)).collect();
        Self { segmentation, areas, record: record.to_string() }
    }
}

#[pymethods]
impl SegmentResult {
    #[getter]
    fn mask<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<u8>>> {
        let mask = &self.segmentation.mask;
        let shape = [mask.height() as usize, mask.width() as usize];
        let mask = Array2::from_shape_vec(shape, mask.as_raw().clone()).map_err(seg_error)?;
        Ok(mask.into_pyarray(py))
    }

    #[getter]
    fn probabilities<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray3<f32>>> {
        self.segmentation.probabilities.clone().map(|maps| maps.into_pyarray(py))
    }

    #[getter]
    fn uncertainty<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray2<f32>>> {
        self.segmentation.uncertainty.clone().map(|map| map.into_pyarray(py))
    }

    #[getter]
    fn areas<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let areas = PyDict::new(py);
        self.areas.iter().try_for_each(|(class, pixels)| areas.set_item(class, pixels))?;
        Ok(areas)
    }

    #[getter]
    fn record(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        json::to_python(py, &self.record)
    }

    fn __repr__(&self) -> String {
        let areas: Vec<_> = self.areas.iter().map(|(class, pixels)| format!("{class} {pixels} px")).collect();
        let (width, height) = self.segmentation.mask.dimensions();
        format!("<Result {width}x{height}: {}>", areas.join(", "))
    }
}
