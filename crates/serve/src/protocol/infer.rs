//! `POST /v2/models/{model}/infer`: tensors in, tensors out.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::sync::oneshot;

use super::answer::{JSON_LENGTH, answer};
use super::metadata::{ModelPath, model_at};
use super::request::{Parsed, parse};
#[cfg(test)]
use super::{answer::InferResponse, metadata::VersionPath, request::InferRequest};
use crate::admission::within;
use crate::body::{number, receive};
use crate::error::ApiError;
#[cfg(test)]
use crate::error::ErrorBody;
use crate::lanes::{Job, Work, ended, tensor_pixels};
use crate::server::{App, blocking};

/// Runs a model on a tensor.
#[cfg_attr(test, utoipa::path(
    post, path = "/v2/models/{model}/infer", tag = "inference", params(ModelPath), request_body = InferRequest,
    responses(
        (status = 200, body = InferResponse),
        (status = 400, description = "The request does not fit the model", body = ErrorBody),
        (status = 404, description = "There is no such model", body = ErrorBody),
        (status = 408, description = "The body did not arrive in time", body = ErrorBody),
        (status = 413, description = "The request is too large", body = ErrorBody),
        (status = 503, description = "The server has too much to do", body = ErrorBody),
    )
))]
pub(crate) async fn infer(
    State(app): State<Arc<App>>,
    path: Result<Path<ModelPath>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let deadline = app.admission.deadline();
    let model = model_at(&app, path)?;
    let json_bytes = number(&headers, JSON_LENGTH)?;
    let received = receive(&app.admission, body, deadline).await?;
    let admitted = app.admission.admit()?;
    let start = Instant::now();
    let read = {
        let model = Arc::clone(&model);
        blocking(move || {
            let parsed = parse(model.contract(), &received.bytes, json_bytes);
            drop(received);
            parsed
        })
    };
    let Parsed { id, tensor, is_binary } = within(deadline, read).await???;
    app.metrics.stage("prepare", start.elapsed());
    let pixels = tensor_pixels(model.contract(), &tensor);
    let most = app.admission.limits().pixels_in_networks.get();
    if pixels > most {
        app.admission.refused("tensor-pixels");
        return Err(ApiError::too_large(format!(
            "the tensor holds {pixels} pixels, expected at most {most} at once; send fewer or smaller images"
        )));
    }
    let memory = within(deadline, app.images.take(pixels)).await?;
    let (reply, output) = oneshot::channel();
    let job = Job { work: Work::Tensor(tensor, reply), enqueued: Instant::now(), deadline, pixels, memory };
    model.lanes.add(job);
    let output = within(deadline, output).await?.map_err(ended)??;
    let start = Instant::now();
    let metrics = Arc::clone(&app.metrics);
    let written = blocking(move || answer(&model, id, output, is_binary));
    let response = within(deadline, written).await???;
    metrics.stage("encode", start.elapsed());
    drop(admitted);
    Ok(response)
}

/// Runs a version of a model on a tensor.
#[cfg_attr(test, utoipa::path(
    post, path = "/v2/models/{model}/versions/{version}/infer", tag = "inference", params(VersionPath),
    request_body = InferRequest,
    responses(
        (status = 200, body = InferResponse),
        (status = 400, description = "The request does not fit the model", body = ErrorBody),
        (status = 404, description = "There is no such version", body = ErrorBody),
        (status = 408, description = "The body did not arrive in time", body = ErrorBody),
        (status = 413, description = "The request is too large", body = ErrorBody),
        (status = 503, description = "The server has too much to do", body = ErrorBody),
    )
))]
pub(crate) async fn infer_version(
    app: State<Arc<App>>,
    path: Result<Path<ModelPath>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    infer(app, path, headers, body).await
}
