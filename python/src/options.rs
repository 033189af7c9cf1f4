//! The options of a segmenter, from Python's words.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use seg_inference::{Cleanup, ComputePrecision, Provider, Tiles, Tiling, Uncertainty};

/// Returns the provider of this name.
pub(crate) fn provider(name: &str) -> PyResult<Provider> {
    Provider::ALL.into_iter().find(|provider| provider.flag() == name).ok_or_else(|| {
        let names: Vec<_> = Provider::ALL.iter().map(|provider| provider.flag()).collect();
        PyValueError::new_err(format!("there is no provider `{name}`; expected {}", names.join(", ")))
    })
}

/// Returns the precision of this name.
pub(crate) fn precision(name: &str) -> PyResult<ComputePrecision> {
    match name {
        "fp32" => Ok(ComputePrecision::Fp32),
        "tf32" => Ok(ComputePrecision::Tf32),
        "fp16" => Ok(ComputePrecision::Fp16),
        _ => Err(PyValueError::new_err(format!("there is no precision `{name}`; expected fp32, tf32 or fp16"))),
    }
}

/// Returns the measure of uncertainty of this name.
pub(crate) fn uncertainty(name: Option<&str>) -> PyResult<Option<Uncertainty>> {
    match name {
        None => Ok(None),
        Some("entropy") => Ok(Some(Uncertainty::Entropy)),
        Some("variance") => Ok(Some(Uncertainty::Variance)),
        Some(name) => {
            Err(PyValueError::new_err(format!("there is no uncertainty `{name}`; expected entropy or variance")))
        }
    }
}

/// Returns a number of threads or lanes.
pub(crate) fn count(name: &str, number: usize) -> PyResult<NonZeroUsize> {
    NonZeroUsize::new(number).ok_or_else(|| PyValueError::new_err(format!("`{name}` is 0, expected 1 or more")))
}

/// Returns the images to cut: `auto`, `off`, or a side in pixels.
pub(crate) fn tiles(tile: &Bound<'_, PyAny>, overlap: f64) -> PyResult<Tiles> {
    if let Ok(side) = tile.extract::<usize>() {
        let side = count("tile", side)?.get();
        return Ok(Tiles::Of(Tiling { size: [side; 2], overlap }));
    }
    match tile.extract::<String>().as_deref() {
        Ok("auto") => Ok(Tiles::Auto { overlap }),
        Ok("off") => Ok(Tiles::Off),
        _ => Err(PyTypeError::new_err("`tile` is a side in pixels, \"auto\" or \"off\"")),
    }
}

/// Returns the cleaning of each class that is named.
pub(crate) fn cleanup(classes: Option<&Bound<'_, PyDict>>) -> PyResult<BTreeMap<String, Cleanup>> {
    let mut all = BTreeMap::new();
    let Some(classes) = classes else { return Ok(all) };
    for (class, steps) in classes {
        let steps = steps
            .cast_into::<PyDict>()
            .map_err(|_| PyTypeError::new_err("`cleanup` has a dictionary for each class"))?;
        let mut cleanup = Cleanup::default();
        for (step, value) in steps {
            match step.extract::<String>()?.as_str() {
                "fill_holes" => cleanup.fill_holes = value.extract()?,
                "min_area" => cleanup.min_area = value.extract()?,
                "largest_component" => cleanup.largest_component = value.extract()?,
                name => {
                    let message =
                        format!("there is no step `{name}`; expected fill_holes, min_area or largest_component");
                    return Err(PyValueError::new_err(message));
                }
            }
        }
        all.insert(class.extract()?, cleanup);
    }
    Ok(all)
}
