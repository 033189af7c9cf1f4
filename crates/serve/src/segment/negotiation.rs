//! The choice of outputs, by `output=` or by `Accept`.

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};

use crate::error::ApiError;
use crate::results::{Format, Needs};
use crate::server::App;

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

/// Returns the formats that a request asks for, each once.
pub(super) fn wanted(app: &App, output: Option<&str>, headers: &HeaderMap) -> Result<Vec<Format>, ApiError> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
