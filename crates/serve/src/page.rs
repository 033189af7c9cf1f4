//! The page to try models in a browser, with what it shows of the models.

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use seg_contract::Contract;
use seg_inference::{RunsOn, Settings};
use seg_page::{Asset, ICON, SERVER, SHARED};
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

/// The page runs no script but its own, and asks no other host for anything.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) async fn html() -> Response {
    static HTML: LazyLock<String> = LazyLock::new(|| SERVER.html());
    let headers =
        [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")];
    (headers, HTML.as_str()).into_response()
}

/// Lists the page's files.
pub(crate) fn assets() -> impl Iterator<Item = &'static Asset> {
    SHARED.iter().chain(SERVER.scripts)
}

/// Answers with a file of the page.
pub(crate) fn file(asset: &'static Asset) -> Response {
    let caching = if asset.name == ICON { "max-age=86400" } else { "no-cache" };
    ([(CONTENT_TYPE, asset.media_type), (CACHE_CONTROL, caching)], asset.text).into_response()
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
