//! Images in the form that a graph takes.

use ndarray::{Array4, ArrayView4, CowArray, Ix4};
use ort::session::SessionInputValue;
use ort::value::{DynTensor, TensorRef};
use seg_contract::{Element, Input};

/// Images in the form that a graph takes, from outside of this program.
#[derive(Clone, Debug, PartialEq)]
pub enum GraphTensor {
    /// Normalised floats, `[n, channels, h, w]`.
    Floats(Array4<f32>),
    /// Bytes, `[n, h, w, channels]`.
    Bytes(Array4<u8>),
}

/// Normalised images in the form that a graph takes.
pub(crate) enum GraphInput<'a> {
    Floats(CowArray<'a, f32, Ix4>),
    Bytes(CowArray<'a, u8, Ix4>),
}

impl<'a> GraphInput<'a> {
    pub(super) fn new(images: ArrayView4<'a, f32>, expected: &Input) -> Self {
        match expected.form.element {
            Element::Float if images.is_standard_layout() => Self::Floats(images.into()),
            Element::Float => Self::Floats(images.as_standard_layout().into_owned().into()),
            Element::U8 => Self::Bytes(expected.to_bytes(images).into()),
        }
    }

    pub(super) fn tensor(&self) -> ort::Result<SessionInputValue<'_>> {
        Ok(match self {
            Self::Floats(images) => TensorRef::from_array_view(images.view())?.into(),
            Self::Bytes(images) => TensorRef::from_array_view(images.view())?.into(),
        })
    }

    /// Writes the images to a tensor of their shape in memory.
    pub(crate) fn fill(&self, tensor: &mut DynTensor) -> ort::Result<()> {
        match self {
            Self::Floats(images) => tensor.try_extract_array_mut()?.assign(images),
            Self::Bytes(images) => tensor.try_extract_array_mut()?.assign(images),
        }
        Ok(())
    }
}
