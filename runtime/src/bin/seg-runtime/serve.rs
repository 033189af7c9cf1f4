//! `seg-runtime serve`: models over HTTP.

use std::io::{self, stderr};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use image::GrayImage;
use seg_cli::{is_quiet, note};
use seg_contract::Class;
use seg_inference::{Settings, read_contract};
use seg_runtime::pipeline::{Lanes, pixels_in_memory, pixels_in_networks, whole_pixels_max};
use seg_runtime::record::areas;
use seg_runtime::save::{Finished, Save};
use seg_serve::{
    Access, Areas, Certified, Done, Format, Limits, Needs, Options, ResultFile, Results, Source, Tls, Token,
};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::args::{Log, Serve};
use crate::engine;

/// The bytes of bodies in memory, as a multiple of the largest one.
const BODIES: usize = 8;

/// The results that are served, with their types; the first is the default.
const FORMATS: [(Save, Format); 8] = [
    (
        Save::Mask,
        format("mask", "image/png", None, "The class of each pixel, as an indexed PNG with the classes' colours."),
    ),
    (Save::Overlay, format("overlay", "image/png", None, "The image with each class tinted and outlined, as PNG.")),
    (Save::Contours, format("contours", "image/png", None, "The image with each class outlined, as PNG.")),
    (Save::Polygons, format("polygons", "application/geo+json", None, "A polygon for each area, as GeoJSON.")),
    (
        Save::Rle,
        format(
            "rle",
            "application/json",
            Some("application/vnd.coco+json"),
            "Each class as COCO's run lengths, as JSON.",
        ),
    ),
    (Save::Binary, format("binary", "image/png", None, "A black and white PNG for each class except the background.")),
    (
        Save::ProbabilitiesNpy,
        Format {
            needs: Needs { probabilities: true, uncertainty: false },
            ..format(
                "probabilities",
                "application/octet-stream",
                Some("application/x-npy"),
                "The probabilities of all classes, `[classes, height, width]` in float32, as a NumPy file.",
            )
        },
    ),
    (
        Save::Uncertainty,
        Format {
            needs: Needs { probabilities: false, uncertainty: true },
            ..format("uncertainty", "image/png", None, "The entropy of the probabilities as a 16-bit PNG; 65535 is 1.")
        },
    ),
];

const fn format(
    name: &'static str,
    media_type: &'static str,
    alias: Option<&'static str>,
    about: &'static str,
) -> Format {
    let needs = Needs { probabilities: false, uncertainty: false };
    Format { name, media_type, alias, needs, about }
}

/// The formats alone.
static SERVED: [Format; FORMATS.len()] = {
    let mut served = [FORMATS[0].1; FORMATS.len()];
    let mut index = 0;
    while index < FORMATS.len() {
        served[index] = FORMATS[index].1;
        index += 1;
    }
    served
};

/// The results that `infer` saves, in memory.
struct Saved;

impl Results for Saved {
    fn formats(&self) -> &'static [Format] {
        &SERVED
    }

    fn write(&self, format: &Format, classes: &[Class], done: &mut Done<'_>) -> io::Result<Vec<ResultFile>> {
        let found = FORMATS.iter().find(|(_, own)| own == format);
        let (save, _) = found.ok_or_else(|| io::Error::other(format!("there is no output `{}`", format.name)))?;
        let writers = save.writers(classes);
        let is_one = writers.len() == 1 && *save != Save::Binary;
        let files = writers.iter().map(|writer| {
            let Done { name, ref mut image, segmentation } = *done;
            let mut bytes = Vec::new();
            writer.write(&mut Finished { name, image: &mut **image, segmentation }, &mut bytes)?;
            let place = writer.place();
            let class = place.folder.rsplit('/').next().unwrap_or_default();
            let name = if is_one { format.name.to_owned() } else { format!("{}/{class}", format.name) };
            Ok(ResultFile { name, extension: place.extension, media_type: format.media_type, bytes })
        });
        files.collect()
    }

    fn areas(&self, mask: &GrayImage, classes: &[Class], spacing_mm: Option<[f64; 2]>) -> Areas {
        json!(areas(mask, classes, spacing_mm))
    }
}

pub(crate) fn serve(args: &Serve) -> anyhow::Result<()> {
    log(args.log);
    let sources = sources(args)?;
    let access = Access {
        token: args.access.token_file.as_deref().map(Token::read).transpose()?,
        no_auth: args.access.no_auth,
        origins: args.access.cors_origin.clone(),
    };
    access.check(args.listen)?;
    let tls = match (&args.access.tls_certificate, &args.access.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls::read(certificate, key)?),
        _ => None,
    };
    // The classes of the first model, by whose names masks may be cleaned.
    let targets = targets(&sources)?;
    // As `infer` cuts images here.
    let settings = Settings { whole_pixels_max: whole_pixels_max(), ..args.answers.settings(&targets) };
    if args.certified.require_certificate && args.certified.public_key.is_none() {
        note(
            "certificates are checked against their models, but not for who made them; `--public-key KEY` checks that too",
        );
    }
    let places: Vec<_> = sources.iter().map(|(Source::File { path, .. } | Source::Folder(path))| path).collect();
    let (environment, engine) = engine::start(&args.engine, &places)?;
    let bounds = &args.limits;
    let images = bounds.lanes.map_or(usize::MAX, |lanes| lanes.get());
    let lanes = Lanes::new(engine.provider, images, engine.threads, || largest(&settings));
    let seconds = |number: usize| Duration::from_secs(number as u64);
    let body_bytes = bounds.max_body.get().saturating_mul(1 << 20);
    let positive = |number| NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN);
    let options = Options {
        listen: args.listen,
        sources,
        engine,
        lanes: lanes.threads,
        batch: settings.batch.unwrap_or(std::num::NonZeroUsize::MIN),
        settings,
        batch_delay: Duration::from_millis(bounds.batch_delay),
        certified: args
            .certified
            .require_certificate
            .then(|| Certified { public_key: args.certified.public_key.clone() }),
        reload: (args.reload > 0).then(|| Duration::from_secs(args.reload)),
        access,
        tls,
        limits: Limits {
            body_bytes,
            bodies_bytes: body_bytes.saturating_mul(BODIES),
            image_pixels: (bounds.max_pixels.get() as u64).saturating_mul(1_000_000),
            pixels_in_memory: positive(pixels_in_memory()),
            pixels_in_networks: positive(pixels_in_networks()),
            requests: bounds.max_requests,
            connections: bounds.max_connections,
            request: seconds(bounds.timeout.get()),
            head: seconds(bounds.idle_timeout.get()),
        },
        shutdown: Duration::from_secs(bounds.shutdown_timeout),
    };
    Ok(seg_serve::serve(environment, options, Arc::new(Saved))?)
}

/// Returns the models that the flags name.
fn sources(args: &Serve) -> anyhow::Result<Vec<Source>> {
    let files = args
        .model
        .iter()
        .map(|text| text.parse::<Source>().with_context(|| format!("`--model {text}` names no model")));
    let mut sources = files.collect::<anyhow::Result<Vec<_>>>()?;
    sources.extend(args.models.iter().cloned().map(Source::Folder));
    Ok(sources)
}

/// Returns the first model that is named as a file.
fn first_file(sources: &[Source]) -> Option<&Path> {
    sources.iter().find_map(|source| match source {
        Source::File { path, .. } => Some(path.as_path()),
        Source::Folder(_) => None,
    })
}

/// Returns the classes except the background of the first model that is named as a file.
fn targets(sources: &[Source]) -> anyhow::Result<Vec<String>> {
    let Some(path) = first_file(sources) else { return Ok(Vec::new()) };
    let contract = read_contract(path)?;
    Ok(contract.classes.into_iter().skip(1).map(|class| class.name).collect())
}

/// Returns the pixels that a network is likely to work on at once: no image is known yet, and what
/// is larger runs while others wait.
fn largest(settings: &Settings) -> usize {
    const USUAL: usize = 512 * 512;
    USUAL * settings.batch.map_or(1, |batch| batch.get())
}

/// Starts the log on standard error.
fn log(form: Log) {
    let level = if is_quiet() { LevelFilter::WARN } else { LevelFilter::INFO };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(stderr)
        .with_target(false)
        .with_ansi(false)
        .with_timer(SystemTime);
    match form {
        Log::Text => builder.init(),
        Log::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
}
