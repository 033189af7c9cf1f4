//! The description of the server as an OpenAPI document.
//!
//! It is made from the types and addresses of this crate when its tests run, and kept in
//! `openapi.json`, so that the program holds the text and nothing that writes it.

use axum::http::header::CONTENT_TYPE;

/// Returns the OpenAPI document as JSON.
pub const fn openapi() -> &'static str {
    include_str!("openapi.json")
}

/// Answers with the OpenAPI document.
pub(crate) async fn document() -> ([(axum::http::HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], openapi())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs};

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

    #[test]
    fn the_document_describes_the_types_and_addresses_that_there_are() {
        let expected = Api::openapi().to_pretty_json().unwrap() + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openapi.json");
        if env::var_os("SEG_UPDATE_SCHEMAS").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap();
        assert!(found == expected, "{} is old; SEG_UPDATE_SCHEMAS=1 writes it again", path.display());
    }
}
