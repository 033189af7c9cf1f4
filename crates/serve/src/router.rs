//! The addresses of the server.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::decompression::RequestDecompressionLayer;

use crate::error::ApiError;
#[cfg(test)]
use crate::error::ErrorBody;
use crate::logs::observe;
use crate::openapi::document;
use crate::page;
use crate::protocol::answer::JSON_LENGTH;
use crate::protocol::{infer, metadata};
use crate::segment::segment;
use crate::server::App;

/// Makes the router.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for asset in page::assets() {
        router = router.route(&format!("/{}", asset.name), get(async move || page::file(asset)));
    }
    let router = router
        .route("/", get(page::html))
        .route("/openapi.json", get(document))
        .route("/metrics", get(metrics))
        .route("/v1/models", get(page::models))
        .route("/v1/segment", post(segment))
        .route("/v2", get(metadata::server))
        .route("/v2/health/live", get(metadata::live))
        .route("/v2/health/ready", get(metadata::ready))
        .route("/v2/repository/index", post(metadata::index))
        .route("/v2/models/{model}", get(metadata::model))
        .route("/v2/models/{model}/ready", get(metadata::model_ready))
        .route("/v2/models/{model}/config", get(metadata::config))
        .route("/v2/models/{model}/infer", post(infer::infer))
        .route("/v2/models/{model}/versions/{version}", get(metadata::version))
        .route("/v2/models/{model}/versions/{version}/ready", get(metadata::version_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer::infer_version))
        .fallback(absent)
        .method_not_allowed_fallback(not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(RequestDecompressionLayer::new())
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(Arc::clone(&app), observe));
    match cors(&app) {
        Some(cors) => router.layer(cors).with_state(app),
        None => router.with_state(app),
    }
}

/// Lets the pages of listed origins read answers.
fn cors(app: &App) -> Option<CorsLayer> {
    let origins = &app.access.origins;
    if origins.is_empty() {
        return None;
    }
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let length = HeaderName::from_static(JSON_LENGTH);
    let layer = CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([CONTENT_TYPE, AUTHORIZATION, length.clone()])
        .expose_headers([length]);
    Some(layer)
}

async fn absent() -> ApiError {
    ApiError::absent("there is nothing at this address; `/openapi.json` describes what there is")
}

async fn not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this address takes another method; `/openapi.json` says which")
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::internal("the server stopped this request with a defect of the program").into_response()
}

/// Writes counters and histograms for Prometheus.
#[cfg_attr(test, utoipa::path(
    get, path = "/metrics", tag = "server",
    responses((status = 200, description = "Prometheus's text format", body = String, content_type = "text/plain"),
        (status = 503, description = "Models are being opened", body = ErrorBody))
))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let models = app.catalog().map(|catalog| catalog.all()).unwrap_or_default();
    let models: Vec<_> = models
        .iter()
        .map(|model| (model.name.clone(), model.version, model.runs_on.provider.to_string(), model.lanes.waiting()))
        .collect();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.text(&models)).into_response()
}
