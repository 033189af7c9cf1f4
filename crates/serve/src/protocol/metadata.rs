//! The description of the server and of its models.

#![allow(unused_qualifications, reason = "the code that describes addresses qualifies every name")]

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use seg_contract::{Contract, Element, OutputKind};
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;
#[cfg(test)]
use crate::error::ErrorBody;
use crate::model::Model;
use crate::server::App;

/// The extensions of the protocol that the server has.
pub(crate) const EXTENSIONS: [&str; 1] = ["binary_tensor_data"];

/// The model and the version in an address.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Path))]
pub(crate) struct ModelPath {
    /// The name of the model.
    pub(crate) model: String,
    /// The version; the latest unless it is in the address.
    #[serde(default)]
    #[cfg_attr(test, param(ignore))]
    pub(crate) version: Option<String>,
}

/// The model and the version in an address that has both.
#[cfg(test)]
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes the address")]
pub(crate) struct VersionPath {
    /// The name of the model.
    model: String,
    /// The version.
    version: String,
}

/// The server.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; EXTENSIONS.len()],
}

/// A model.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct ModelMetadata {
    name: String,
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

/// An input or output of a model.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct TensorMetadata {
    pub(crate) name: String,
    #[cfg_attr(test, schema(example = "FP32"))]
    pub(crate) datatype: &'static str,
    /// The sizes; -1 for any.
    pub(crate) shape: Vec<i64>,
}

/// A model as Triton describes it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct ModelConfig {
    name: String,
    platform: &'static str,
    backend: &'static str,
    /// 0: the shapes begin with the number of images.
    max_batch_size: u32,
    input: Vec<TensorConfig>,
    output: Vec<TensorConfig>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct TensorConfig {
    name: String,
    data_type: String,
    dims: Vec<i64>,
}

/// An entry of the repository's index.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct IndexEntry {
    name: String,
    version: String,
    state: &'static str,
}

const PLATFORM: &str = "onnxruntime_onnx";

/// Describes the input of a model.
pub(crate) fn input_of(contract: &Contract) -> TensorMetadata {
    let any = |size: Option<usize>| size.map_or(-1, |size| size as i64);
    let form = contract.input.form;
    let (batch, channels) = (any(form.batch), contract.input.color.channels() as i64);
    let [height, width] = [0, 1].map(|side| any(form.size.map(|size| size[side])));
    let name = contract.input.name.clone();
    match form.element {
        Element::Float => TensorMetadata { name, datatype: "FP32", shape: vec![batch, channels, height, width] },
        Element::U8 => TensorMetadata { name, datatype: "UINT8", shape: vec![batch, height, width, channels] },
    }
}

/// Describes the output of a model.
pub(crate) fn output_of(contract: &Contract) -> TensorMetadata {
    let any = |size: Option<usize>| size.map_or(-1, |size| size as i64);
    let form = contract.input.form;
    let [height, width] = [0, 1].map(|side| any(form.size.map(|size| size[side])));
    let name = contract.output.name.clone();
    match contract.output.kind {
        OutputKind::Logits | OutputKind::Probabilities => TensorMetadata {
            name,
            datatype: "FP32",
            shape: vec![any(form.batch), contract.classes.len() as i64, height, width],
        },
        OutputKind::Mask => TensorMetadata { name, datatype: "UINT8", shape: vec![any(form.batch), height, width] },
    }
}

/// Finds the model of an address.
pub(crate) fn model_at(app: &App, path: Result<Path<ModelPath>, PathRejection>) -> Result<Arc<Model>, ApiError> {
    let Path(ModelPath { model, version }) = path.map_err(|error| ApiError::bad(error.body_text()))?;
    app.catalog()?.get(&model, version.as_deref())
}

/// A server that lives.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct Live {
    live: bool,
}

/// A server that takes requests.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct Ready {
    ready: bool,
}

/// A model that takes requests.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(crate) struct ModelReady {
    name: String,
    ready: bool,
}

/// Answers as long as the process lives.
#[cfg_attr(test, utoipa::path(get, path = "/v2/health/live", tag = "health", responses((status = 200, body = Live))))]
pub(crate) async fn live() -> Json<Live> {
    Json(Live { live: true })
}

/// Answers when all models are open, and no longer when the server is being stopped.
#[cfg_attr(test, utoipa::path(
    get, path = "/v2/health/ready", tag = "health",
    responses(
        (status = 200, description = "The server takes requests", body = Ready),
        (status = 503, description = "Models are being opened, or the server stops", body = ErrorBody),
    )
))]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Ready>, ApiError> {
    check_ready(&app)?;
    Ok(Json(Ready { ready: true }))
}

/// Checks that the server takes requests.
fn check_ready(app: &App) -> Result<(), ApiError> {
    app.catalog()?;
    if app.is_stopping() { Err(ApiError::busy("the server is being stopped", 5)) } else { Ok(()) }
}

/// Describes the server.
#[cfg_attr(test, utoipa::path(get, path = "/v2", tag = "models", responses((status = 200, body = ServerMetadata))))]
pub(crate) async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata { name: "seg", version: env!("CARGO_PKG_VERSION"), extensions: EXTENSIONS })
}

/// Describes the tensors of a model.
#[cfg_attr(test, utoipa::path(
    get, path = "/v2/models/{model}", tag = "models", params(ModelPath),
    responses((status = 200, body = ModelMetadata), (status = 404, description = "There is no such model", body = ErrorBody))
))]
pub(crate) async fn model(
    State(app): State<Arc<App>>,
    path: Result<Path<ModelPath>, PathRejection>,
) -> Result<Json<ModelMetadata>, ApiError> {
    let model = model_at(&app, path)?;
    let versions = app.catalog()?.versions(&model.name)?;
    Ok(Json(ModelMetadata {
        name: model.name.clone(),
        versions: versions.iter().map(u64::to_string).collect(),
        platform: PLATFORM,
        inputs: vec![input_of(model.contract())],
        outputs: vec![output_of(model.contract())],
    }))
}

/// Describes the tensors of a version of a model.
#[cfg_attr(test, utoipa::path(
    get, path = "/v2/models/{model}/versions/{version}", tag = "models", params(VersionPath),
    responses((status = 200, body = ModelMetadata), (status = 404, description = "There is no such version", body = ErrorBody))
))]
pub(crate) async fn version(
    app: State<Arc<App>>,
    path: Result<Path<ModelPath>, PathRejection>,
) -> Result<Json<ModelMetadata>, ApiError> {
    model(app, path).await
}

/// Answers if a model takes requests.
#[cfg_attr(test, utoipa::path(
    get, path = "/v2/models/{model}/ready", tag = "health", params(ModelPath),
    responses((status = 200, body = ModelReady), (status = 404, description = "There is no such model", body = ErrorBody))
))]
pub(crate) async fn model_ready(
    State(app): State<Arc<App>>,
    path: Result<Path<ModelPath>, PathRejection>,
) -> Result<Json<ModelReady>, ApiError> {
    let model = model_at(&app, path)?;
    check_ready(&app)?;
    Ok(Json(ModelReady { name: model.name.clone(), ready: true }))
}

/// Answers if a version of a model takes requests.
#[cfg_attr(test, utoipa::path(
    get, path = "/v2/models/{model}/versions/{version}/ready", tag = "health", params(VersionPath),
    responses((status = 200, body = ModelReady), (status = 404, description = "There is no such version", body = ErrorBody))
))]
pub(crate) async fn version_ready(
    app: State<Arc<App>>,
    path: Result<Path<ModelPath>, PathRejection>,
) -> Result<Json<ModelReady>, ApiError> {
    model_ready(app, path).await
}

/// Describes a model as Triton does.
#[cfg_attr(test, utoipa::path(
    get, path = "/v2/models/{model}/config", tag = "models", params(ModelPath),
    responses((status = 200, body = ModelConfig), (status = 404, description = "There is no such model", body = ErrorBody))
))]
pub(crate) async fn config(
    State(app): State<Arc<App>>,
    path: Result<Path<ModelPath>, PathRejection>,
) -> Result<Json<ModelConfig>, ApiError> {
    let model = model_at(&app, path)?;
    let config = |tensor: TensorMetadata| TensorConfig {
        name: tensor.name,
        data_type: format!("TYPE_{}", tensor.datatype),
        dims: tensor.shape,
    };
    Ok(Json(ModelConfig {
        name: model.name.clone(),
        platform: PLATFORM,
        backend: "onnxruntime",
        max_batch_size: 0,
        input: vec![config(input_of(model.contract()))],
        output: vec![config(output_of(model.contract()))],
    }))
}

/// Lists the models, as Triton's repository does.
#[cfg_attr(test, utoipa::path(post, path = "/v2/repository/index", tag = "models", responses((status = 200, body = Vec<IndexEntry>))))]
pub(crate) async fn index(State(app): State<Arc<App>>) -> Result<Json<Vec<IndexEntry>>, ApiError> {
    let models = app.catalog()?.all();
    let entry = |model: &Arc<Model>| IndexEntry {
        name: model.name.clone(),
        version: model.version.to_string(),
        state: "READY",
    };
    Ok(Json(models.iter().map(entry).collect()))
}
