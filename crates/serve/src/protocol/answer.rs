//! The answer with a model's output, in JSON or with the tensor in binary behind it.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use ndarray::{Array, Dimension};
use seg_inference::ModelOutput;
use serde::Serialize;
use serde_json::json;
#[cfg(test)]
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::model::Model;

/// The header that says how long the JSON is.
pub(crate) const JSON_LENGTH: &str = "inference-header-content-length";

/// The answer.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct InferResponse {
    model_name: String,
    model_version: String,
    /// The request's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<ResponseOutput>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct ResponseOutput {
    name: String,
    datatype: &'static str,
    shape: Vec<usize>,
    /// `binary_data_size`: the number of bytes behind the JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<serde_json::Value>,
    /// The values, row by row; null for one that is no number.
    #[serde(skip_serializing_if = "Data::is_none")]
    #[cfg_attr(test, schema(value_type = Vec<f64>))]
    data: Data,
}

/// The values of an output in JSON.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    None,
    Floats(Vec<f32>),
    Bytes(Vec<u8>),
}

impl Data {
    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// Writes the output of a model.
///
/// # Errors
/// When it cannot be written as JSON.
pub(crate) fn answer(
    model: &Model,
    id: Option<String>,
    output: ModelOutput,
    is_binary: bool,
) -> Result<Response, ApiError> {
    let (datatype, shape, data) = match output {
        ModelOutput::Scores(scores) => ("FP32", scores.shape().to_vec(), Data::Floats(flat(scores))),
        ModelOutput::Masks(masks) => ("UINT8", masks.shape().to_vec(), Data::Bytes(flat(masks))),
    };
    let name = model.contract().output.name.clone();
    let (binary, parameters, data) = match (is_binary, data) {
        (false, data) => (None, None, data),
        (true, Data::Floats(values)) => {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let size = bytes.len();
            (Some(bytes), Some(json!({"binary_data_size": size})), Data::None)
        }
        (true, Data::Bytes(bytes)) => {
            let size = bytes.len();
            (Some(bytes), Some(json!({"binary_data_size": size})), Data::None)
        }
        (true, Data::None) => (None, None, Data::None),
    };
    let response = InferResponse {
        model_name: model.name.clone(),
        model_version: model.version.to_string(),
        id,
        outputs: vec![ResponseOutput { name, datatype, shape, parameters, data }],
    };
    let mut body = serde_json::to_vec(&response).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(match binary {
        None => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Some(bytes) => {
            let length = body.len();
            body.extend_from_slice(&bytes);
            let headers =
                [(CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()), (JSON_LENGTH, length.to_string())];
            (headers, body).into_response()
        }
    })
}

/// Returns the values of an array in rows.
fn flat<T, D: Dimension>(array: Array<T, D>) -> Vec<T> {
    array.into_iter().collect()
}
