//! The description of the server as an OpenAPI document.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use crate::error::ErrorBody;

/// The description of all addresses.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "seg serve",
        description = "Segments images with exported models: whole images by `/v1/segment`, tensors by the Open Inference \
                       Protocol, version 2. For research: not a medical device.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        crate::segment::segment,
        crate::page::models,
        crate::protocol::metadata::server,
        crate::protocol::metadata::live,
        crate::protocol::metadata::ready,
        crate::protocol::metadata::model,
        crate::protocol::metadata::version,
        crate::protocol::metadata::model_ready,
        crate::protocol::metadata::version_ready,
        crate::protocol::metadata::config,
        crate::protocol::metadata::index,
        crate::protocol::infer::infer,
        crate::protocol::infer::infer_version,
        crate::router::metrics,
    ),
    components(schemas(ErrorBody))
)]
struct Api;

/// Returns the OpenAPI document as JSON.
pub fn openapi() -> String {
    Api::openapi().to_pretty_json().unwrap_or_default()
}

/// Answers with the OpenAPI document.
pub(crate) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], openapi()).into_response()
}
