//! Images as Python has them, as pixels: a path, an array of NumPy, or an image of Pillow.

use std::path::PathBuf;

use image::{ImageBuffer, Pixel, Rgb};
use numpy::{Element, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use seg_data::Picture;

/// An image that needs Python no more.
pub(crate) enum Image {
    /// A file.
    Path(PathBuf),
    /// Pixels.
    Picture(Picture),
}

impl Image {
    /// Takes an image from Python; pixels are copied.
    pub(crate) fn from_python(image: &Bound<'_, PyAny>) -> PyResult<Self> {
        if image.is_instance_of::<PyString>() || image.hasattr("__fspath__")? {
            return Ok(Self::Path(image.extract()?));
        }
        if image.hasattr("mode")? && image.hasattr("convert")? {
            return from_array(&array_of_pillow(image)?).map(Self::Picture);
        }
        from_array(image).map(Self::Picture)
    }
}

/// Converts an image of Pillow to an array: grey and colour as they are, all others to colour.
fn array_of_pillow<'py>(image: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let mode: String = image.getattr("mode")?.extract()?;
    let numpy = image.py().import("numpy")?;
    match mode.as_str() {
        "L" | "RGB" | "I;16" => numpy.call_method1("asarray", (image,)),
        // Pillow would cut these to 8 bits without a word.
        "I" | "F" | "I;16B" | "I;16L" => Err(PyValueError::new_err(format!(
            "the image has Pillow's mode {mode}, whose range is not known; give an array of uint8, uint16 or float32 in [0, 1]"
        ))),
        // The colour that is stored under transparency counts, as in files.
        "RGBA" | "LA" | "PA" => {
            let opaque = if mode == "PA" { image.call_method1("convert", ("RGBA",))? } else { image.clone() };
            numpy.call_method1("asarray", (opaque,))
        }
        _ => numpy.call_method1("asarray", (image.call_method1("convert", ("RGB",))?,)),
    }
}

fn from_array(image: &Bound<'_, PyAny>) -> PyResult<Picture> {
    let untyped = image
        .cast::<PyUntypedArray>()
        .map_err(|_| PyTypeError::new_err("expected a path, an array of NumPy, or an image of Pillow"))?;
    if let Ok(array) = image.extract::<PyReadonlyArrayDyn<'_, u8>>() {
        return Ok(Picture::Bits8(pixels(&array)?));
    }
    if let Ok(array) = image.extract::<PyReadonlyArrayDyn<'_, u16>>() {
        return Ok(Picture::Bits16(pixels(&array)?));
    }
    if let Ok(array) = image.extract::<PyReadonlyArrayDyn<'_, f32>>() {
        let picture = pixels::<f32>(&array)?;
        return match picture.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            Some(value) => {
                Err(PyValueError::new_err(format!("the array holds the value {value}, expected 0 to 1; scale it")))
            }
            None => Ok(Picture::Float(picture)),
        };
    }
    let dtype = untyped.dtype();
    Err(PyTypeError::new_err(format!("the array has values of {dtype}, expected uint8, uint16, or float32 in [0, 1]")))
}

/// Arranges an array `[height, width]`, or with 1 to 4 channels behind, as red, green and blue.
fn pixels<T>(array: &PyReadonlyArrayDyn<'_, T>) -> PyResult<ImageBuffer<Rgb<T>, Vec<T>>>
where
    T: Element + Copy + image::Primitive,
    Rgb<T>: Pixel<Subpixel = T>,
{
    let array = array.as_array();
    let shape = array.shape().to_vec();
    let (height, width, channels) = match shape[..] {
        [height, width] => (height, width, 1),
        [height, width, channels @ 1..=4] => (height, width, channels),
        _ => {
            let message = format!("the array has shape {shape:?}, expected [height, width] or [height, width, 1 to 4]");
            return Err(PyValueError::new_err(message));
        }
    };
    let sides = u32::try_from(width).ok().zip(u32::try_from(height).ok()).filter(|_| width > 0 && height > 0);
    let (columns, rows) =
        sides.ok_or_else(|| PyValueError::new_err(format!("the array has shape {shape:?}, expected pixels")))?;
    let mut values = Vec::with_capacity(height * width * 3);
    let all: Vec<T> = array.iter().copied().collect();
    for pixel in all.chunks_exact(channels) {
        // Grey is three equal values, and transparency is dropped, as in files.
        values.extend(if channels < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] });
    }
    ImageBuffer::from_raw(columns, rows, values).ok_or_else(|| PyValueError::new_err("the array has too few values"))
}
