//! The body of a request in memory, within its limits.

use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use crate::admission::Admission;
use crate::error::ApiError;

/// The bytes that are read of a body that is refused, so that the client reads the answer before
/// the connection ends.
const REFUSED_BYTES_MAX: usize = 256 << 20;

/// The body of a request, with its share of memory.
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Reads a body until the deadline.
///
/// # Errors
/// When it is larger than the limit, too slow, or ends early, or too many are being read.
pub(crate) async fn receive(admission: &Admission, body: Body, deadline: Instant) -> Result<Received, ApiError> {
    let most = admission.limits().body_bytes;
    let mut body = body;
    let mut bytes = Vec::new();
    let mut memory: Option<OwnedSemaphorePermit> = None;
    let mut refused = None;
    if body.size_hint().lower() > most as u64 {
        refused = Some(too_large(admission));
    }
    let mut dropped = 0;
    loop {
        let frame = match timeout_at(deadline.into(), body.frame()).await {
            Err(_) => {
                admission.refused("body-time");
                let message = "the body of the request did not arrive in time";
                return Err(refused.unwrap_or_else(|| ApiError::new(StatusCode::REQUEST_TIMEOUT, message)).and_close());
            }
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                return Err(refused.unwrap_or_else(|| unreadable(&error)).and_close());
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if refused.is_some() {
            dropped += data.len();
            if dropped > REFUSED_BYTES_MAX {
                break;
            }
            continue;
        }
        if bytes.len() + data.len() > most {
            refused = Some(too_large(admission));
            (bytes, memory) = (Vec::new(), None);
            continue;
        }
        let held = memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * crate::admission::BYTES_PER_PERMIT;
        if bytes.len() + data.len() > held {
            // The vector grows by doubling, and so does its share.
            let wanted = (bytes.len() + data.len()).max(2 * held).min(most) - held;
            match admission.body(wanted.max(data.len())) {
                Some(more) => match &mut memory {
                    Some(memory) => memory.merge(more),
                    None => memory = Some(more),
                },
                None => {
                    admission.refused("bodies");
                    refused =
                        Some(ApiError::busy("the server reads too many requests at once; send this one again", 1));
                    (bytes, memory) = (Vec::new(), None);
                    continue;
                }
            }
        }
        append(&mut bytes, &data)?;
    }
    match refused {
        Some(error) => Err(if dropped > REFUSED_BYTES_MAX { error.and_close() } else { error }),
        None => Ok(Received { bytes, _memory: memory }),
    }
}

fn append(bytes: &mut Vec<u8>, data: &Bytes) -> Result<(), ApiError> {
    bytes.try_reserve(data.len()).map_err(|_| ApiError::busy("the system gives no memory for the request", 1))?;
    bytes.extend_from_slice(data);
    Ok(())
}

fn too_large(admission: &Admission) -> ApiError {
    admission.refused("body-bytes");
    let most = admission.limits().body_bytes;
    ApiError::too_large(format!(
        "the body of the request is larger than {most} bytes; send less, or raise `--max-body`"
    ))
}

/// Makes the error for a body that cannot be read: the client has left, or its encoding is wrong.
fn unreadable(error: &axum::Error) -> ApiError {
    ApiError::bad(format!("cannot read the body of the request: {}", crate::error::chain(error)))
}

/// Returns the number in a header.
///
/// # Errors
/// When the header is no number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Result<Option<usize>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(ApiError::bad(format!("the header `{name}` is {value:?}, expected a number of bytes"))),
    }
}
