//! `POST /v1/segment`: an image file in, its mask and whatever else is asked for out.

#![allow(unused_qualifications, reason = "the code that describes addresses qualifies every name")]

mod answer;
mod negotiation;
mod record;

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use seg_contract::{OutputKind, sha256};
use seg_data::{ImageReader, PngKind, encode_png, open_image_bytes};
use seg_inference::{Inferred, Prepared, SegmentSteps, Settings, Timings, Uncertainty};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;
#[cfg(test)]
use utoipa::IntoParams;

use crate::admission::within;
use crate::body::receive;
use crate::error::ApiError;
#[cfg(test)]
use crate::error::ErrorBody;
use crate::lanes::{Job, Work, ended};
use crate::model::Model;
use crate::results::{Done, Format, Needs, ResultFile};
use crate::server::{App, blocking};
use answer::{clean_name, respond};
use negotiation::wanted;
use record::{Record, RecordModel};

pub(crate) use negotiation::{IMAGE, RECORD, formats};

/// The wishes of a request.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, into_params(parameter_in = Query))]
pub(crate) struct SegmentQuery {
    /// The model; needed if there are several.
    model: Option<String>,
    /// The version of the model; the latest unless given.
    version: Option<String>,
    /// The outputs, separated by commas; by `Accept` unless given. Several come as parts of
    /// `multipart/form-data`.
    #[cfg_attr(test, param(example = "mask"))]
    output: Option<String>,
    /// With two classes, the least probability of the second one, 0 to 1.
    threshold: Option<f32>,
    /// The name of the image, for the record and the names of files.
    name: Option<String>,
}

/// An image that was read and not segmented yet.
struct Opened {
    reader: Box<dyn ImageReader>,
    /// Height and width at which the networks see it.
    seen: [usize; 2],
    input_bytes: usize,
    input_sha256: String,
    took: Duration,
}

/// Segments an image file.
///
/// The body is the file itself, in any format that `seg infer` reads, recognised by its content.
#[cfg_attr(test, utoipa::path(
    post, path = "/v1/segment", tag = "inference", params(SegmentQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The image file"),
    responses(
        (status = 200, description = "The output, or several as parts", content(
            (Vec<u8> = "image/png"), (Record = "application/json"), (Value = "application/geo+json"),
            (Vec<u8> = "application/octet-stream"), (Value = "multipart/form-data"),
        )),
        (status = 400, description = "The image or a wish cannot be used", body = ErrorBody),
        (status = 404, description = "There is no such model", body = ErrorBody),
        (status = 406, description = "No output is of a type that the client accepts", body = ErrorBody),
        (status = 408, description = "The body did not arrive in time", body = ErrorBody),
        (status = 413, description = "The image is too large", body = ErrorBody),
        (status = 415, description = "The body is no image in a known format", body = ErrorBody),
        (status = 503, description = "The server has too much to do", body = ErrorBody),
    )
))]
pub(crate) async fn segment(
    State(app): State<Arc<App>>,
    query: Result<Query<SegmentQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let deadline = app.admission.deadline();
    let Query(query) = query.map_err(|error| {
        let text = error.body_text();
        ApiError::bad(format!(
            "cannot read what stands behind `?`: {}",
            text.rsplit_once("string: ").map_or(text.as_str(), |(_, cause)| cause)
        ))
    })?;
    let model = match &query.model {
        Some(name) => app.catalog()?.get(name, query.version.as_deref())?,
        None => {
            let model = app.catalog()?.only()?;
            match &query.version {
                Some(version) => app.catalog()?.get(&model.name, Some(version))?,
                None => model,
            }
        }
    };
    let formats = wanted(&app, query.output.as_deref(), &headers)?;
    let steps = steps(&app, &model, &formats, query.threshold)?;
    let name = clean_name(query.name.as_deref().unwrap_or("image"));
    let received = receive(&app.admission, body, deadline).await?;
    let admitted = app.admission.admit()?;

    let pixels_max = app.admission.limits().image_pixels;
    let opened = {
        let (name, reading, steps) = (name.clone(), steps.reading(), steps.clone());
        blocking(move || {
            let start = Instant::now();
            let (input_bytes, input_sha256) = (received.bytes.len(), sha256(&received.bytes));
            let reader = open_image_bytes(Path::new(&name), received.bytes, &reading)?;
            let (width, height) = (reader.info().width, reader.info().height);
            if u64::from(width) * u64::from(height) > pixels_max {
                return Err(ApiError::too_large(format!(
                    "the image is {width}x{height}, expected at most {pixels_max} pixels; send a part of it, or raise \
                     `--max-pixels`"
                )));
            }
            let seen = steps.seen(reader.info())?;
            if (seen[0] as u64).saturating_mul(seen[1] as u64) > pixels_max {
                let [height, width] = seen;
                return Err(ApiError::too_large(format!(
                    "the image of {width0}x{height0} is resampled to {width}x{height}, expected at most {pixels_max} pixels; correct \
                     the size of its pixels, send a part of it, or raise `--max-pixels`",
                    width0 = reader.info().width,
                    height0 = reader.info().height
                )));
            }
            Ok(Opened { reader, seen, input_bytes, input_sha256, took: start.elapsed() })
        })
    };
    let Opened { mut reader, seen, input_bytes, input_sha256, took } = within(deadline, opened).await???;
    let info = reader.info().clone();
    let size = [info.height, info.width].map(|side| side as usize);
    let resampled = if seen == size { 0 } else { (seen[0] * seen[1]) as u64 };
    let memory = within(deadline, app.images.take(pixels_held(size, steps.maps()) + resampled)).await?;

    let start = Instant::now();
    let prepared = {
        let steps = steps.clone();
        blocking(move || steps.prepare(reader.as_mut()).map(|prepared| (prepared, reader)))
    };
    let (prepared, reader) = within(deadline, prepared).await???;
    app.metrics.stage("prepare", took + start.elapsed());
    let (inferred, reader, memory) = match prepared {
        Prepared::Whole(image) => {
            let pixels = image.network().iter().product::<usize>() as u64;
            let (reply, inferred) = oneshot::channel();
            let work = Work::Whole(Box::new(image), reply);
            // The share of memory is that of the image, which stays here.
            model.lanes.add(Job { work, enqueued: Instant::now(), deadline, pixels, memory: None });
            (within(deadline, inferred).await?.map_err(ended)??, reader, memory)
        }
        Prepared::Tiles(tiling) => {
            let batch = steps.settings.batch.map_or(1, std::num::NonZeroUsize::get);
            let pixels = (tiling.size[0] * tiling.size[1] * batch) as u64;
            let (reply, inferred) = oneshot::channel();
            let work = Work::Tiles(reader, tiling, steps.settings.clone(), reply);
            model.lanes.add(Job { work, enqueued: Instant::now(), deadline, pixels, memory });
            let (inferred, reader) = within(deadline, inferred).await?.map_err(ended)??;
            (inferred, reader, None)
        }
    };
    let record = Record {
        name,
        model: RecordModel {
            name: model.name.clone(),
            version: model.version.to_string(),
            sha256: model.file.sha256.clone(),
        },
        input_bytes,
        input_sha256,
        width: info.width,
        height: info.height,
        orientation: info.orientation,
        network: [0, 0],
        tiles: None,
        area: Value::Null,
        settings: Settings { batch: None, ..steps.settings.clone() },
        runs_on: model.runs_on.clone(),
        decode_ms: milliseconds(took),
        preprocess_ms: 0.0,
        infer_ms: 0.0,
        postprocess_ms: 0.0,
        encode_ms: 0.0,
    };
    let written = {
        let (app, model) = (Arc::clone(&app), Arc::clone(&model));
        blocking(move || {
            let files = finish(&app, &model, &steps, inferred, reader, &formats, record);
            drop(memory);
            files
        })
    };
    let (name, files) = within(deadline, written).await???;
    app.metrics.segmented(u64::from(info.width) * u64::from(info.height));
    drop(admitted);
    Ok(respond(&name, files))
}

/// Returns the model's steps with the settings of this request.
fn steps(app: &App, model: &Model, formats: &[Format], threshold: Option<f32>) -> Result<SegmentSteps, ApiError> {
    let needs = |need: fn(&Needs) -> bool| formats.iter().any(|format| need(&format.needs));
    let mut settings = app.settings.clone();
    settings.probabilities = needs(|needs| needs.probabilities);
    settings.uncertainty = needs(|needs| needs.uncertainty).then_some(Uncertainty::Entropy);
    settings.threshold = threshold.or(settings.threshold);
    settings.check(model.contract(), 1).map_err(|error| ApiError::bad(error.to_string()))?;
    let mut steps = model.steps.clone();
    steps.settings = settings;
    Ok(steps)
}

/// Returns whether a model gives probabilities.
pub(crate) fn has_probabilities(model: &Model) -> bool {
    model.contract().output.kind != OutputKind::Mask
}

/// Returns the pixels for which an image counts in memory: its own, its mask and its maps.
fn pixels_held([height, width]: [usize; 2], maps: usize) -> u64 {
    /// The memory for a pixel of an image, in bytes: its colours, and three `f32` for the network.
    const BYTES_PER_PIXEL: u64 = 16;
    let pixels = (height as u64).saturating_mul(width as u64);
    pixels.saturating_add(pixels.saturating_mul(1 + 4 * maps as u64) / BYTES_PER_PIXEL)
}

/// Makes the mask and writes the outputs; returns the image's name too.
fn finish(
    app: &App,
    model: &Model,
    steps: &SegmentSteps,
    inferred: Inferred,
    mut reader: Box<dyn ImageReader>,
    formats: &[Format],
    record: Record,
) -> Result<(String, Vec<ResultFile>), ApiError> {
    let segmentation = steps.finish(inferred)?;
    let start = Instant::now();
    let classes = &model.contract().classes;
    let mut files = Vec::new();
    let failed = |error: io::Error| ApiError::bad(crate::error::chain(&error));
    for format in formats {
        match *format {
            RECORD => {}
            IMAGE => files.push(picture(reader.as_mut()).map_err(failed)?),
            _ => {
                let mut done = Done { name: &record.name, image: reader.as_mut(), segmentation: &segmentation };
                files.extend(app.results.write(format, classes, &mut done).map_err(failed)?);
            }
        }
    }
    let Timings { decode, preprocess, infer, postprocess } = segmentation.timings;
    let encode = start.elapsed();
    app.metrics.stage("encode", encode);
    app.metrics.stage("finish", postprocess);
    let name = record.name.clone();
    if formats.contains(&RECORD) {
        let record = Record {
            network: segmentation.network,
            tiles: segmentation.tiles,
            area: app.results.areas(&segmentation.mask, classes, reader.info().spacing),
            decode_ms: record.decode_ms + milliseconds(decode),
            preprocess_ms: milliseconds(preprocess),
            infer_ms: milliseconds(infer),
            postprocess_ms: milliseconds(postprocess),
            encode_ms: milliseconds(encode),
            ..record
        };
        let bytes = serde_json::to_vec(&record).map_err(|error| ApiError::internal(error.to_string()))?;
        let file = ResultFile { name: "record".into(), extension: "json", media_type: RECORD.media_type, bytes };
        files.insert(0, file);
    }
    Ok((name, files))
}

/// Writes the image with 8 bits.
fn picture(reader: &mut dyn ImageReader) -> io::Result<ResultFile> {
    let (width, height) = (reader.info().width, reader.info().height);
    let mut bytes = Vec::new();
    encode_png(&mut bytes, PngKind::Rgb, (width, height), &mut |rows| {
        let picture = reader.rows(rows).map_err(io::Error::other)?;
        let byte = |value: &f32| (value * 255.0).round() as u8;
        Ok(Cow::Owned(match picture.as_ref() {
            seg_data::Picture::Bits8(image) => image.as_raw().clone(),
            seg_data::Picture::Bits16(image) => image.iter().map(|value| (value / 257) as u8).collect(),
            seg_data::Picture::Float(image) => image.iter().map(byte).collect(),
        }))
    })?;
    Ok(ResultFile { name: "image".into(), extension: "png", media_type: IMAGE.media_type, bytes })
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}
