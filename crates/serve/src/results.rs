//! The interface between the server and the formats of results, which the program has.

use std::io;

use image::GrayImage;
use seg_contract::Class;
use seg_data::ImageReader;
use seg_inference::Segmentation;
use serde_json::Value;

/// A kind of result that a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The name in `output=`.
    pub name: &'static str,
    /// The media type of its files.
    pub media_type: &'static str,
    /// Another media type by which a client may ask for it, as a media type of its own.
    pub alias: Option<&'static str>,
    /// The maps that it is made of.
    pub needs: Needs,
    /// A sentence for people.
    pub about: &'static str,
}

/// The maps that a result needs besides the mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The probabilities of all classes.
    pub probabilities: bool,
    /// The map of uncertainty.
    pub uncertainty: bool,
}

/// A segmented image.
pub struct Done<'a> {
    /// The name of the image's results.
    pub name: &'a str,
    /// The image, which an overlay reads again.
    pub image: &'a mut dyn ImageReader,
    /// The result of segmenting.
    pub segmentation: &'a Segmentation,
}

/// A file of a result, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultFile {
    /// The name, as `overlay` or `binary/1-nucleus`.
    pub name: String,
    /// The extension, without a dot.
    pub extension: &'static str,
    /// The media type.
    pub media_type: &'static str,
    /// The content.
    pub bytes: Vec<u8>,
}

/// The areas of the classes, as the program records them.
pub type Areas = Value;

/// The formats of results that a program can write.
pub trait Results: Send + Sync {
    /// Lists the formats; the first is the default.
    fn formats(&self) -> &'static [Format];

    /// Writes the files of one format.
    ///
    /// # Errors
    /// When the image cannot be read again, or the segmentation lacks a map.
    fn write(&self, format: &Format, classes: &[Class], done: &mut Done<'_>) -> io::Result<Vec<ResultFile>>;

    /// Measures the area of each class, in mm² too where the distances between rows and between
    /// columns are known, in mm.
    fn areas(&self, mask: &GrayImage, classes: &[Class], spacing_mm: Option<[f64; 2]>) -> Areas;
}
