//! A request for a model's output: JSON, and behind it tensors in binary.

use seg_contract::{Contract, Element};
use seg_inference::GraphTensor;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
#[cfg(test)]
use utoipa::ToSchema;

use super::metadata::{input_of, output_of};
use super::tensor::{DATATYPES, from_bytes, from_json};
use crate::error::ApiError;

/// The request, as it stands in JSON.
#[derive(Debug, Deserialize)]
struct Request<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(borrow)]
    inputs: Vec<RequestInput<'a>>,
    #[serde(default)]
    outputs: Option<Vec<RequestOutput>>,
}

#[derive(Debug, Deserialize)]
struct RequestInput<'a> {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct RequestOutput {
    name: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

/// A request for a model's output.
#[cfg(test)]
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes the body")]
pub(crate) struct InferRequest {
    /// A name for the request, which the answer repeats.
    id: Option<String>,
    /// `binary_data_output`: true for outputs in binary.
    parameters: Option<Value>,
    inputs: Vec<InferInput>,
    outputs: Option<Vec<InferOutput>>,
}

/// A tensor of a request.
#[cfg(test)]
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes the body")]
pub(crate) struct InferInput {
    name: String,
    shape: Vec<u64>,
    #[schema(example = "FP32")]
    datatype: String,
    /// `binary_data_size`: the number of bytes behind the JSON, in place of `data`.
    parameters: Option<Value>,
    /// The values, row by row, flat or nested.
    data: Option<Value>,
}

/// An output that is asked for.
#[cfg(test)]
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes the body")]
pub(crate) struct InferOutput {
    name: String,
    /// `binary_data`: true for this output in binary.
    parameters: Option<Value>,
}

/// A request that was read, and fits its model.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) id: Option<String>,
    pub(crate) tensor: GraphTensor,
    /// True if the output is to be in binary.
    pub(crate) is_binary: bool,
}

/// Reads a request; `json_bytes` is the length of its JSON if tensors follow in binary.
///
/// # Errors
/// When the request does not fit the protocol or the model.
pub(crate) fn parse(contract: &Contract, body: &[u8], json_bytes: Option<usize>) -> Result<Parsed, ApiError> {
    let (json, binary) = match json_bytes {
        None => (body, &[][..]),
        Some(length) => body.split_at_checked(length).ok_or_else(|| {
            let found = body.len();
            ApiError::bad(format!(
                "`Inference-Header-Content-Length` says {length} bytes of JSON, the body of the request has {found}"
            ))
        })?,
    };
    let Request { id, parameters, inputs, outputs } =
        serde_json::from_slice(json).map_err(|error| malformed(&error, json))?;
    let mut rest = binary;
    let mut found = None;
    let expected = input_of(contract);
    for input in inputs {
        let bytes = match size_of_binary(&input)? {
            None => None,
            Some(size) => {
                let (own, other) = rest.split_at_checked(size).ok_or_else(|| {
                    ApiError::bad(format!(
                        "the input `{}` has `binary_data_size` {size}, but only {} bytes are left behind the JSON",
                        input.name,
                        rest.len()
                    ))
                })?;
                rest = other;
                Some(own)
            }
        };
        if input.name != expected.name {
            let (found, expected) = (shorten(&input.name), &expected.name);
            return Err(ApiError::bad(format!("the model has no input `{found}`; it has `{expected}`")));
        }
        if found.is_some() {
            return Err(ApiError::bad(format!("the input `{}` is there twice", input.name)));
        }
        found = Some(tensor(contract, &input, bytes)?);
    }
    if !rest.is_empty() {
        return Err(ApiError::bad(format!("{} bytes follow the last tensor of the request", rest.len())));
    }
    let tensor = found.ok_or_else(|| ApiError::bad(format!("the input `{}` is missing", expected.name)))?;
    let flag = |parameters: &Option<Map<String, Value>>, key: &str| parameters.as_ref()?.get(key)?.as_bool();
    let all = flag(&parameters, "binary_data_output").unwrap_or(false);
    let name = output_of(contract).name;
    let mut is_binary = all;
    for output in outputs.iter().flatten() {
        if output.name != name {
            let found = shorten(&output.name);
            return Err(ApiError::bad(format!("the model has no output `{found}`; it has `{name}`")));
        }
        is_binary = flag(&output.parameters, "binary_data").unwrap_or(all);
    }
    Ok(Parsed { id, tensor, is_binary })
}

/// Returns the bytes of an input behind the JSON.
fn size_of_binary(input: &RequestInput<'_>) -> Result<Option<usize>, ApiError> {
    let size = input.parameters.as_ref().and_then(|parameters| parameters.get("binary_data_size"));
    let name = shorten(&input.name);
    match (size, input.data) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(ApiError::bad(format!(
            "the input `{name}` has both `data` and `binary_data_size`; leave out one of them"
        ))),
        (Some(size), None) => match size.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(size) => Ok(Some(size)),
            None => Err(ApiError::bad(format!(
                "the input `{name}` has `binary_data_size` {size}, expected a number of bytes"
            ))),
        },
    }
}

/// Reads a tensor that the model takes.
fn tensor(contract: &Contract, input: &RequestInput<'_>, bytes: Option<&[u8]>) -> Result<GraphTensor, ApiError> {
    let expected = input_of(contract);
    let name = &input.name;
    if input.datatype != expected.datatype {
        let found = shorten(&input.datatype);
        let known =
            if DATATYPES.contains(&input.datatype.as_str()) { "" } else { ", which is no datatype of the protocol" };
        return Err(ApiError::bad(format!(
            "the input `{name}` has datatype `{found}`{known}; expected {}",
            expected.datatype
        )));
    }
    let fits = |(found, expected): (&u64, &i64)| *expected < 0 || u64::try_from(*expected) == Ok(*found);
    if input.shape.len() != expected.shape.len() || !input.shape.iter().zip(&expected.shape).all(fits) {
        let (found, wanted) = (list(&input.shape), list(&expected.shape));
        return Err(ApiError::bad(format!(
            "the input `{name}` has shape {found}, expected {wanted}, where -1 is any size"
        )));
    }
    let shape: Vec<usize> = input.shape.iter().map(|side| usize::try_from(*side).unwrap_or(usize::MAX)).collect();
    let count = shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
    let count = count.filter(|count| (1..=VALUES_MAX).contains(count)).ok_or_else(|| {
        ApiError::bad(format!("the input `{name}` has shape {}, expected 1 to {VALUES_MAX} values", list(&input.shape)))
    })?;
    let sides = match contract.input.form.element {
        Element::Float => [shape[2], shape[3]],
        Element::U8 => [shape[1], shape[2]],
    };
    if !contract.input.fits(sides) {
        let [height, width] = sides;
        let takes = contract.input.sides();
        return Err(ApiError::bad(format!(
            "the input `{name}` holds images of {height}x{width}; the model takes {takes}"
        )));
    }
    let shape = [shape[0], shape[1], shape[2], shape[3]];
    match (bytes, input.data) {
        (Some(bytes), _) => from_bytes(contract.input.form.element, shape, count, bytes),
        (None, Some(data)) => from_json(contract.input.form.element, shape, count, data.get()),
        (None, None) => Err("it has neither `data` nor `binary_data_size`".into()),
    }
    .map_err(|reason| ApiError::bad(format!("the input `{name}` cannot be read: {reason}")))
}

/// The most values of a tensor.
const VALUES_MAX: usize = 1 << 31;

fn list<T: ToString>(sides: &[T]) -> String {
    format!("[{}]", sides.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// Cuts a name of a request for a message.
fn shorten(name: &str) -> String {
    name.chars().take(100).collect()
}

/// Makes the error for JSON that cannot be read.
fn malformed(error: &serde_json::Error, json: &[u8]) -> ApiError {
    let advice = if holds_no_number(json) { "; NaN and Infinity are no JSON, send such tensors in binary" } else { "" };
    ApiError::bad(format!("the request is not JSON of the Open Inference Protocol: {error}{advice}"))
}

/// Returns whether JSON holds the words that some writers use for values that are no numbers.
fn holds_no_number(json: &[u8]) -> bool {
    ["NaN", "Infinity"].iter().any(|word| json.windows(word.len()).any(|found| found == word.as_bytes()))
}
