//! The page to try models in a browser, which is part of the program.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use seg_contract::Contract;
use seg_inference::{RunsOn, Settings};
use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

use crate::error::ApiError;
#[cfg(test)]
use crate::error::ErrorBody;
use crate::model::{Model, Verdict};
use crate::protocol::metadata::{TensorMetadata, input_of, output_of};
use crate::segment::{formats, has_probabilities};
use crate::server::App;

const HTML: &str = include_str!("page/index.html");
const CSS: &str = include_str!("page/page.css");
const JS: &str = include_str!("page/page.js");
const DECODE: &str = include_str!("page/decode.js");
const STAGE: &str = include_str!("page/stage.js");
const ICON: &str = include_str!("page/favicon.svg");

/// The page runs no script but its own, and asks no other host for anything.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) async fn html() -> Response {
    let headers =
        [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")];
    (headers, HTML).into_response()
}

pub(crate) async fn css() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "no-cache")], CSS).into_response()
}

pub(crate) async fn js() -> Response {
    script(JS)
}

pub(crate) async fn decode() -> Response {
    script(DECODE)
}

pub(crate) async fn stage() -> Response {
    script(STAGE)
}

fn script(text: &'static str) -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "no-cache")], text).into_response()
}

pub(crate) async fn icon() -> Response {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "max-age=86400")], ICON).into_response()
}

/// The models, as the page shows them.
#[derive(Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct Models {
    models: Vec<ModelCard>,
    outputs: Vec<OutputCard>,
    /// The formats of images that are read.
    image_formats: String,
    /// The most bytes of a request.
    body_bytes_max: usize,
    /// The settings for segmenting.
    #[cfg_attr(test, schema(value_type = Object))]
    settings: Settings,
}

/// A model.
#[derive(Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct ModelCard {
    name: String,
    version: String,
    /// The SHA-256 of the model's file, in hexadecimal.
    sha256: String,
    /// The contract: what the model expects and means.
    #[cfg_attr(test, schema(value_type = Object))]
    contract: Contract,
    certificate: Verdict,
    #[cfg_attr(test, schema(value_type = Object))]
    runs_on: RunsOn,
    /// True if the model gives probabilities, and not only masks.
    probabilities: bool,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

/// A kind of output of `/v1/segment`.
#[derive(Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct OutputCard {
    name: &'static str,
    media_type: &'static str,
    about: &'static str,
}

/// Lists the models with their contracts and certificates, and the outputs of `/v1/segment`.
#[cfg_attr(test, utoipa::path(
    get, path = "/v1/models", tag = "models",
    responses((status = 200, body = Models), (status = 503, description = "Models are being opened", body = ErrorBody))
))]
pub(crate) async fn models(State(app): State<Arc<App>>) -> Result<Json<Models>, ApiError> {
    let models = app.catalog()?.all();
    let card = |model: &Arc<Model>| ModelCard {
        name: model.name.clone(),
        version: model.version.to_string(),
        sha256: model.file.sha256.clone(),
        contract: model.contract().clone(),
        certificate: model.verdict(),
        runs_on: model.runs_on.clone(),
        probabilities: has_probabilities(model),
        inputs: vec![input_of(model.contract())],
        outputs: vec![output_of(model.contract())],
    };
    let output = |format: crate::results::Format| OutputCard {
        name: format.name,
        media_type: format.media_type,
        about: format.about,
    };
    Ok(Json(Models {
        models: models.iter().map(card).collect(),
        outputs: formats(&app).into_iter().map(output).collect(),
        image_formats: seg_data::image_formats(),
        body_bytes_max: app.admission.limits().body_bytes,
        settings: app.settings.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_no_other_host_and_holds_no_script_of_its_own() {
        for (name, text) in [("html", HTML), ("css", CSS), ("js", JS), ("decode", DECODE), ("stage", STAGE)] {
            for part in ["http:", "https:", "//cdn", "@import", "eval(", "innerHTML", "document.write"] {
                let text = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(part), "{part:?} in the page's {name}");
            }
        }
        let scripts = HTML.matches("<script").count();
        assert_eq!((scripts, HTML.matches("<script src=\"/page.js\"").count()), (1, 1));
        assert!(!HTML.contains("style=\"") && !HTML.contains("onclick"));
    }
}
