//! `POST /v1/segment`: an image file in, its mask and whatever else is asked for out.

#![allow(unused_qualifications, reason = "the code that describes addresses qualifies every name")]

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use seg_contract::{OutputKind, sha256};
use seg_data::{ImageReader, PngKind, encode_png, open_image_bytes};
use seg_inference::{Inferred, Prepared, RunsOn, SegmentSteps, Settings, Timings, Uncertainty};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;
use utoipa::{IntoParams, ToSchema};

use crate::admission::within;
use crate::body::receive;
use crate::error::{ApiError, ErrorBody};
use crate::lanes::{Job, Work, ended};
use crate::logs::unique;
use crate::model::Model;
use crate::results::{Areas, Done, Format, Needs, ResultFile};
use crate::server::{App, blocking};

/// The longest name of an image, in characters.
const NAME_LENGTH_MAX: usize = 120;

/// The outputs that the server makes itself.
pub(crate) const RECORD: Format = Format {
    name: "record",
    media_type: "application/json",
    alias: None,
    needs: Needs { probabilities: false, uncertainty: false },
    about: "What was computed, of which image, by which model, and the area of each class, as JSON.",
};
pub(crate) const IMAGE: Format = Format {
    name: "image",
    media_type: "image/png",
    alias: None,
    needs: Needs { probabilities: false, uncertainty: false },
    about: "The image itself, upright, with 8 bits, as PNG, for programs that cannot read its format.",
};

/// The wishes of a request.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SegmentQuery {
    /// The model; needed if there are several.
    model: Option<String>,
    /// The version of the model; the latest unless given.
    version: Option<String>,
    /// The outputs, separated by commas; by `Accept` unless given. Several come as parts of
    /// `multipart/form-data`.
    #[param(example = "mask")]
    output: Option<String>,
    /// With two classes, the least probability of the second one, 0 to 1.
    threshold: Option<f32>,
    /// The name of the image, for the record and the names of files.
    name: Option<String>,
}

/// The record of a segmented image.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Record {
    /// The name of the image.
    name: String,
    /// The model.
    model: RecordModel,
    /// The size of the image's file, in bytes.
    input_bytes: usize,
    /// The SHA-256 of the image's file, in hexadecimal.
    input_sha256: String,
    /// Width of image and mask, upright, in pixels.
    width: u32,
    /// Height of image and mask, upright, in pixels.
    height: u32,
    /// The orientation of the camera, as EXIF counts it, 1 to 8. All results are upright.
    orientation: u8,
    /// Height and width of the network's input, in pixels.
    network: [usize; 2],
    /// The number of tiles; absent if the image was run whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    tiles: Option<usize>,
    /// The area of each class, by class index.
    #[schema(value_type = Vec<Object>)]
    area: Areas,
    /// The settings for segmenting.
    #[schema(value_type = Object)]
    settings: Settings,
    /// The provider that computed the result.
    #[schema(value_type = Object)]
    runs_on: RunsOn,
    /// The time to decode the file, in milliseconds.
    decode_ms: f64,
    /// The time to convert the image to the network's input, in milliseconds.
    preprocess_ms: f64,
    /// The time of the network, in milliseconds; for an image in a batch, its share.
    infer_ms: f64,
    /// The time to convert the network's output to the mask, in milliseconds.
    postprocess_ms: f64,
    /// The time to encode all outputs, in milliseconds.
    encode_ms: f64,
}

/// The model of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordModel {
    name: String,
    version: String,
    /// The SHA-256 of the model's file, in hexadecimal.
    sha256: String,
}

/// An image that was read and not segmented yet.
struct Opened {
    reader: Box<dyn ImageReader>,
    input_bytes: usize,
    input_sha256: String,
    took: Duration,
}

/// Segments an image file.
///
/// The body is the file itself, in any format that `seg infer` reads, recognised by its content.
#[utoipa::path(
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
)]
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
        let name = name.clone();
        blocking(move || {
            let start = Instant::now();
            let (input_bytes, input_sha256) = (received.bytes.len(), sha256(&received.bytes));
            let reader = open_image_bytes(Path::new(&name), received.bytes)?;
            let (width, height) = (reader.info().width, reader.info().height);
            if u64::from(width) * u64::from(height) > pixels_max {
                return Err(ApiError::too_large(format!(
                    "the image is {width}x{height}, expected at most {pixels_max} pixels; send a part of it, or raise \
                     `--max-pixels`"
                )));
            }
            Ok(Opened { reader, input_bytes, input_sha256, took: start.elapsed() })
        })
    };
    let Opened { mut reader, input_bytes, input_sha256, took } = within(deadline, opened).await???;
    let info = reader.info().clone();
    let size = [info.height, info.width].map(|side| side as usize);
    let memory = within(deadline, app.images.take(pixels_held(size, steps.maps()))).await?;

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

/// Returns the formats that a request asks for, each once.
fn wanted(app: &App, output: Option<&str>, headers: &HeaderMap) -> Result<Vec<Format>, ApiError> {
    let all = formats(app);
    let Some(output) = output else {
        let accept = headers.get(ACCEPT).map(|value| value.to_str().unwrap_or_default());
        return Ok(vec![accepted(&all, accept.unwrap_or("*/*"))?]);
    };
    let mut wanted: Vec<Format> = Vec::new();
    for name in output.split(',').map(str::trim) {
        let format = all.iter().find(|format| format.name == name).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|format| format!("`{}`", format.name)).collect();
            let found: String = name.chars().take(100).collect();
            ApiError::bad(format!("there is no output `{found}`; there is {}", names.join(", ")))
        })?;
        if !wanted.contains(format) {
            wanted.push(*format);
        }
    }
    Ok(wanted)
}

/// Lists all outputs; the first is the default.
pub(crate) fn formats(app: &App) -> Vec<Format> {
    app.results.formats().iter().copied().chain([RECORD, IMAGE]).collect()
}

/// Returns the output of the type that a client likes most.
fn accepted(formats: &[Format], accept: &str) -> Result<Format, ApiError> {
    let mut best: Option<(f32, Format)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        let is = |media_type: &str| match kind.split_once('/') {
            Some(("*", "*")) => true,
            Some((group, "*")) => media_type.split_once('/').is_some_and(|(own, _)| own == group),
            _ => kind == media_type,
        };
        let mut found = formats.iter().filter(|format| format.alias.is_some_and(|alias| kind == alias));
        // JSON without more is the record, and not the first format that happens to be JSON.
        let named = if kind == RECORD.media_type { Some(&RECORD) } else { None };
        let format = found.next().or(named).or_else(|| formats.iter().find(|format| is(format.media_type)));
        if let Some(format) = format.filter(|_| quality > 0.0)
            && best.as_ref().is_none_or(|(other, _)| quality > *other)
        {
            best = Some((quality, *format));
        }
    }
    best.map(|(_, format)| format).ok_or_else(|| {
        let mut types: Vec<_> = formats.iter().map(|format| format.media_type).collect();
        types.sort_unstable();
        types.dedup();
        let message = format!("no output is of a type that `Accept` lists; there is {}", types.join(", "));
        ApiError::new(StatusCode::NOT_ACCEPTABLE, message)
    })
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

/// Answers with one file, or with several as parts of a form.
fn respond(name: &str, mut files: Vec<ResultFile>) -> Response {
    let file_name = |file: &ResultFile| {
        let (stem, kind) = (name, file.name.replace('/', "-"));
        format!("{stem}.{kind}.{}", file.extension)
    };
    if files.len() == 1 {
        let file = files.remove(0);
        let disposition = format!("inline; filename=\"{}\"", file_name(&file));
        return ([(CONTENT_TYPE, file.media_type.to_owned()), (CONTENT_DISPOSITION, disposition)], file.bytes)
            .into_response();
    }
    let boundary = format!("seg-{}", unique());
    let mut body = Vec::with_capacity(files.iter().map(|file| file.bytes.len() + 256).sum());
    for file in &files {
        let (part, file_name, media_type) = (&file.name, file_name(file), file.media_type);
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{file_name}\"\r\nContent-Type: \
             {media_type}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&file.bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    ([(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))], body).into_response()
}

/// Returns a name that can stand in a header and as that of a file, without a folder and an
/// extension.
fn clean_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => name,
    };
    let clean = |c: char| if c.is_ascii_alphanumeric() || "-_. ()".contains(c) { c } else { '_' };
    let name: String = stem.chars().take(NAME_LENGTH_MAX).map(clean).collect();
    let name = name.trim_matches([' ', '.']);
    if name.is_empty() { "image".into() } else { name.into() }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths_and_stay_in_their_header() {
        for (name, expected) in [
            ("scan 01.tif", "scan 01"),
            ("C:\\patients\\Ann\\scan.png", "scan"),
            ("../../etc/passwd", "passwd"),
            ("a\"b\r\nX-Evil: 1.png", "a_b__X-Evil_ 1"),
            (".hidden", "hidden"),
            ("ä.png", "_"),
            ("", "image"),
            ("..", "image"),
        ] {
            assert_eq!(clean_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_client_gets_the_type_that_it_likes_most() {
        let format = |name, media_type, alias| Format { name, media_type, alias, needs: Needs::default(), about: "" };
        let formats = [
            format("mask", "image/png", None),
            format("overlay", "image/png", None),
            format("rle", "application/json", Some("application/vnd.coco+json")),
            format("polygons", "application/geo+json", None),
            RECORD,
        ];
        for (accept, expected) in [
            ("*/*", Some("mask")),
            ("image/png", Some("mask")),
            ("image/*", Some("mask")),
            ("application/json", Some("record")),
            ("application/geo+json", Some("polygons")),
            ("application/vnd.coco+json", Some("rle")),
            ("text/html, application/json;q=0.5, image/png;q=0.7", Some("mask")),
            ("image/png;q=0, */*;q=0.1", Some("mask")),
            ("text/html", None),
        ] {
            assert_eq!(accepted(&formats, accept).ok().map(|format| format.name), expected, "{accept}");
        }
    }
}
