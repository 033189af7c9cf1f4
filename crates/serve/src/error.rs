//! The errors that a client gets: a status, and a sentence in JSON.

use std::error::Error;

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use seg_data::ReadError;
use seg_inference::{RunError, SegmentError};
use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

/// The body of every error.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct ErrorBody {
    /// The error, in a sentence.
    error: String,
}

/// The reason for which a request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    retry_after_s: Option<u64>,
    is_last: bool,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after_s: None, is_last: false }
    }

    /// Makes the error for a request that is wrong.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Makes the error for a thing that is not there.
    pub(crate) fn absent(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Makes the error for more than a limit.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// Makes the error for a server that has too much to do.
    pub(crate) fn busy(message: impl Into<String>, retry_after_s: u64) -> Self {
        let retry_after_s = Some(retry_after_s.max(1));
        Self { retry_after_s, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// Makes the error for a defect of the server.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// Closes the connection after the answer.
    pub(crate) fn and_close(self) -> Self {
        Self { is_last: true, ..self }
    }

    /// Returns the status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the sentence of the answer.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&ErrorBody { error: self.message }).unwrap_or_default();
        let mut response = (self.status, [(CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.is_last {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let status = match &error {
            ReadError::Format { .. }
            | ReadError::Foreign { .. }
            | ReadError::Kind { .. }
            | ReadError::Medical { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ReadError::Size { .. }
            | ReadError::FileSize { .. }
            | ReadError::Strip { .. }
            | ReadError::Memory { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, chain(&error))
    }
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> Self {
        let status = match &error {
            RunError::Outside { .. } | RunError::NoScores => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, chain(&error))
    }
}

impl From<SegmentError> for ApiError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Read(error) => error.into(),
            SegmentError::Run(error) => error.into(),
            SegmentError::Maps { .. } => Self::too_large(chain(&error)),
            // The values of the input are to blame: a model that gives no numbers for ordinary ones
            // has no certificate.
            SegmentError::Preprocess(_) | SegmentError::NotFinite { .. } => Self::bad(chain(&error)),
            _ => Self::internal(chain(&error)),
        }
    }
}

/// Writes an error and its causes on one line, without causes that the line already ends with.
pub(crate) fn chain(error: &dyn Error) -> String {
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = one_line(error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = one_line(error.to_string());
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
