//! The network's input: the image that a model expects.

use std::fmt;

use ndarray::{Array4, ArrayView4, Axis};
use serde::{Deserialize, Serialize};

use crate::pixels::Share;
use crate::sides::Sides;
use crate::{CONTRACT_FORMAT, CONTRACT_FORMAT_MULTIPLE, CONTRACT_FORMAT_READING, CONTRACT_FORMAT_RESAMPLING, Reading};

/// The network's input: `[n, channels, height, width]` in float32, unless [`form`](Self::form) says
/// otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name of the graph's input.
    pub name: String,
    /// The channels and their order.
    pub color: ColorOrder,
    /// The mean of each channel, subtracted from an image in [0, 1].
    pub mean: Vec<f32>,
    /// The standard deviation of each channel, by which the result is divided.
    pub std: Vec<f32>,
    /// The size at which an image is run.
    pub size: SizePolicy,
    /// The shortest side that the network takes, in pixels.
    pub side_min: usize,
    /// The number of pixels that each side is a multiple of; 1 for a network that takes any side.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub side_multiple: usize,
    /// The form of the graph's input, if it is not any number of normalised images of any size.
    #[serde(default, skip_serializing_if = "InputForm::is_default")]
    pub form: InputForm,
    /// The way in which medical images become pictures, if it is not that of the files.
    #[serde(default, skip_serializing_if = "Reading::is_empty")]
    pub reading: Reading,
}

/// The form in which a graph takes images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct InputForm {
    /// The type of the elements.
    pub element: Element,
    /// The only batch size, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// The only height and width, in pixels, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
}

/// The type of the elements of a graph's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// Normalised floats, `[n, channels, height, width]` in float32.
    #[default]
    Float,
    /// Bytes as they are read, 0 to 255, `[n, height, width, channels]` with the channels in the
    /// contract's order. The graph normalises them itself.
    U8,
}

/// Returns the [`Input::side_multiple`] of a contract that does not state it.
fn one() -> usize {
    1
}

/// Returns whether a multiple holds for every side and is therefore not written.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(multiple: &usize) -> bool {
    *multiple == 1
}

impl InputForm {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float => "float",
            Self::U8 => "u8",
        })
    }
}

impl Input {
    /// Returns the oldest [`format`](crate::Contract::format) of a contract that can hold this
    /// input.
    pub fn contract_format(&self) -> u32 {
        match self.side_multiple {
            _ if self.reading.resample.is_some() => CONTRACT_FORMAT_RESAMPLING,
            _ if !self.reading.is_empty() => CONTRACT_FORMAT_READING,
            1 => CONTRACT_FORMAT,
            _ => CONTRACT_FORMAT_MULTIPLE,
        }
    }

    /// Returns the sides that the network takes, of [`side_min`](Self::side_min) and
    /// [`side_multiple`](Self::side_multiple).
    ///
    /// A graph may be restricted to one such size by its [`form`](InputForm::size).
    pub fn sides(&self) -> Sides {
        Sides { min: self.side_min, multiple: self.side_multiple, only: None }
    }

    /// Returns whether the network takes images of this height and width, as [`Sides::fit`].
    pub fn fits(&self, size: [usize; 2]) -> bool {
        self.sides().fit(size)
    }

    /// Returns the smallest height and width that the network takes and that hold an image of this
    /// height and width, as [`Sides::next`].
    pub fn next_size(&self, size: [usize; 2]) -> [usize; 2] {
        self.sides().next(size)
    }

    /// Converts normalised images `[n, channels, height, width]` to bytes `[n, height, width,
    /// channels]`.
    ///
    /// If the images were made from bytes, these are the same bytes; other values are rounded. A
    /// channel that the model does not have is all zero: the shape stays that of the images, so
    /// that the receiver of the bytes can refuse it.
    pub fn to_bytes(&self, images: ArrayView4<'_, f32>) -> Array4<u8> {
        let (n, channels, height, width) = images.dim();
        let mut bytes = Array4::zeros((n, height, width, channels));
        for (images, mut bytes) in images.outer_iter().zip(bytes.outer_iter_mut()) {
            for (channel, ((plane, mean), std)) in images.outer_iter().zip(&self.mean).zip(&self.std).enumerate() {
                let (mean, std) = (255.0 * mean, 255.0 * std);
                let mut bytes = bytes.index_axis_mut(Axis(2), channel);
                // A conversion to a byte saturates at 0 and 255.
                bytes.zip_mut_with(&plane, |byte, value| *byte = (value * std + mean).round() as u8);
            }
        }
        bytes
    }

    /// Rounds normalised images `[n, channels, height, width]` as a graph that takes bytes sees
    /// them: converts them to [bytes](Self::to_bytes) and normalises these again.
    pub fn through_bytes(&self, mut images: Array4<f32>) -> Array4<f32> {
        let bytes = self.to_bytes(images.view());
        for (mut images, bytes) in images.outer_iter_mut().zip(bytes.outer_iter()) {
            for (channel, ((mut plane, mean), std)) in
                images.outer_iter_mut().zip(&self.mean).zip(&self.std).enumerate()
            {
                let bytes = bytes.index_axis(Axis(2), channel);
                plane.zip_mut_with(&bytes, |value, byte| *value = (byte.share() - mean) / std);
            }
        }
        images
    }
}

/// The channels of the input and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ColorOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as OpenCV reads files.
    Bgr,
    /// One channel: the luma of ITU-R BT.709, `0.2126 r + 0.7152 g + 0.0722 b`.
    Gray,
}

impl ColorOrder {
    /// Returns the number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Gray => 1,
        }
    }

    /// Returns the network's channels of a pixel given as red, green, blue; only the first
    /// [`channels`](Self::channels) are used.
    pub(super) fn arrange(self, [red, green, blue]: [f32; 3]) -> [f32; 3] {
        match self {
            Self::Rgb => [red, green, blue],
            Self::Bgr => [blue, green, red],
            Self::Gray => [0.2126 * red + 0.7152 * green + 0.0722 * blue, 0.0, 0.0],
        }
    }
}

/// The size at which an image is run; the mask always has the image's own size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "policy", rename_all = "lowercase", deny_unknown_fields)]
pub enum SizePolicy {
    /// Its own size, extended to the right and below to the [next size](Input::next_size) that the
    /// network takes. The last row and column are repeated; if sides must be multiples of a number,
    /// the image is mirrored instead.
    Native,
    /// One size, to which images are stretched, as in training.
    Resize {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
    },
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};
    use ndarray::{Array4, Axis};

    use crate::Sides;
    use crate::example::contract;

    #[test]
    fn bytes_come_back_from_their_normalised_values() {
        let image = RgbImage::from_fn(256, 16, |x, y| Rgb([x as u8, 255 - x as u8, (16 * y) as u8]));
        for (mean, std) in [([0.5, 0.25, 0.125], [0.5, 0.25, 0.25]), ([0.709, 0.381, 0.224], [0.127, 0.079, 0.043])] {
            let mut contract = contract();
            (contract.input.mean, contract.input.std) = (mean.to_vec(), std.to_vec());
            let tensor = contract.preprocess(&image).unwrap().tensor;
            let bytes = contract.input.to_bytes(tensor.view().insert_axis(Axis(0)));
            assert_eq!(bytes.dim(), (1, 16, 256, 3));
            assert_eq!(bytes.into_raw_vec_and_offset().0, image.as_raw().as_slice());
            let tensor = tensor.insert_axis(Axis(0));
            assert_eq!(contract.input.through_bytes(tensor.clone()), tensor, "what came of bytes stays as it is");
        }
    }

    #[test]
    fn the_sides_are_those_of_the_fields() {
        let mut input = contract().input;
        (input.side_min, input.side_multiple) = (20, 16);
        assert_eq!(input.sides(), Sides { min: 20, multiple: 16, only: None });
        assert_eq!(input.next_size([1, 33]), [32, 48]);
        assert_eq!([[32, 48], [16, 48], [40, 48]].map(|size| input.fits(size)), [true, false, false]);
    }

    #[test]
    fn what_lies_between_two_bytes_is_the_nearer_one() {
        let mut contract = contract();
        (contract.input.mean, contract.input.std) = (vec![0.5], vec![0.25]);
        let normalized = |level: f32| (level / 255.0 - 0.5) / 0.25;
        for (level, byte) in [(7.0, 7.0), (7.4, 7.0), (7.6, 8.0), (-3.0, 0.0), (300.0, 255.0)] {
            let image = Array4::from_elem((1, 1, 1, 1), normalized(level));
            assert_eq!(contract.input.through_bytes(image)[[0, 0, 0, 0]], normalized(byte), "{level}");
        }
    }

    #[test]
    fn images_of_other_channels_keep_their_shape() {
        for channels in [1, 4] {
            let images = Array4::ones((2, channels, 5, 6));
            assert_eq!(contract().input.to_bytes(images.view()).dim(), (2, 5, 6, channels));
        }
    }
}
