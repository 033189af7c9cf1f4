//! The answer to a segmented image, and the names of its files.

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::logs::unique;
use crate::results::ResultFile;

/// The longest name of an image, in characters.
const NAME_LENGTH_MAX: usize = 120;

/// Answers with one file, or with several as parts of a form.
pub(super) fn respond(name: &str, mut files: Vec<ResultFile>) -> Response {
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
pub(super) fn clean_name(name: &str) -> String {
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
}
