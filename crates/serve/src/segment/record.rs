//! The record of a segmented image: what was computed, of what, by what.

#![allow(unused_qualifications, reason = "the code that describes addresses qualifies every name")]

use seg_inference::{RunsOn, Settings};
use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

use crate::results::Areas;

/// The record of a segmented image.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct Record {
    /// The name of the image.
    pub(super) name: String,
    /// The model.
    pub(super) model: RecordModel,
    /// The size of the image's file, in bytes.
    pub(super) input_bytes: usize,
    /// The SHA-256 of the image's file, in hexadecimal.
    pub(super) input_sha256: String,
    /// Width of image and mask, upright, in pixels.
    pub(super) width: u32,
    /// Height of image and mask, upright, in pixels.
    pub(super) height: u32,
    /// The orientation of the camera, as EXIF counts it, 1 to 8. All results are upright.
    pub(super) orientation: u8,
    /// Height and width of the network's input, in pixels.
    pub(super) network: [usize; 2],
    /// The number of tiles; absent if the image was run whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tiles: Option<usize>,
    /// The area of each class, by class index.
    #[cfg_attr(test, schema(value_type = Vec<Object>))]
    pub(super) area: Areas,
    /// The settings for segmenting.
    #[cfg_attr(test, schema(value_type = Object))]
    pub(super) settings: Settings,
    /// The provider that computed the result.
    #[cfg_attr(test, schema(value_type = Object))]
    pub(super) runs_on: RunsOn,
    /// The time to decode the file, in milliseconds.
    pub(super) decode_ms: f64,
    /// The time to convert the image to the network's input, in milliseconds.
    pub(super) preprocess_ms: f64,
    /// The time of the network, in milliseconds; for an image in a batch, its share.
    pub(super) infer_ms: f64,
    /// The time to convert the network's output to the mask, in milliseconds.
    pub(super) postprocess_ms: f64,
    /// The time to encode all outputs, in milliseconds.
    pub(super) encode_ms: f64,
}

/// The model of a record.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct RecordModel {
    pub(super) name: String,
    pub(super) version: String,
    /// The SHA-256 of the model's file, in hexadecimal.
    pub(super) sha256: String,
}
