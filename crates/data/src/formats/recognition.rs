//! The format of a file, by its content or by its name.

use std::path::Path;

use seg_contract::{Level, Reading};

use super::error::ReadError;
use super::file::{describe, open_file};
use super::foreign::{self, recognize_foreign};
use super::format::Format;
use super::formats;
use super::guard::guard;
use super::picture_path::PicturePath;

/// Finds the file of a picture and its format.
pub(super) fn find(path: &Path) -> Result<(PicturePath, &'static dyn Format), ReadError> {
    let picture = PicturePath::new(path);
    let (_, head) = open_file(&picture.file)?;
    let format = format_of(path, &head)?;
    Ok((picture, format))
}

/// Refuses a level other than the full size of a format without pyramids.
pub(super) fn check_level(path: &Path, format: &dyn Format, reading: &Reading) -> Result<(), ReadError> {
    match reading.level() {
        Level::Number(0) => Ok(()),
        _ if format.has_levels() => Ok(()),
        level => Err(ReadError::Level { path: path.into(), level, levels: "one size, level 0".into() }),
    }
}

/// Counts the levels of a picture: the sizes in which a pyramid holds it.
pub(crate) fn levels(path: &Path) -> Result<usize, ReadError> {
    let (picture, format) = find(path)?;
    guard(path, format.name(), || format.levels(&picture))
}

/// Returns the file of a picture that is the only one of its file.
pub(super) fn whole_file<'a>(picture: &'a PicturePath, format: &dyn Format) -> Result<&'a Path, ReadError> {
    match picture.number {
        None | Some(1) => Ok(&picture.file),
        Some(_) => Err(ReadError::Number { path: picture.path.clone(), format: format.name(), pictures: 1 }),
    }
}

/// Returns the format of a picture.
pub(crate) fn format_of_picture(path: &Path) -> Result<&'static dyn Format, ReadError> {
    Ok(find(path)?.1)
}

/// Returns whether a file is one of the images of its folder: by the extension of its name or, in
/// the formats whose files often have none, by its content.
pub fn has_image_extension(path: &Path) -> bool {
    is_named_image(path) || is_known_by_content(path)
}

/// Returns whether the name of a file has the extension of a format that is read.
pub(super) fn is_named_image(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let name = name.to_ascii_lowercase();
    let ends =
        |extension: &&str| name.strip_suffix(extension).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    formats().iter().any(|format| format.extensions().iter().any(ends))
}

/// Returns whether a file's content is of a format whose files often have no extension.
pub(crate) fn is_known_by_content(path: &Path) -> bool {
    let Ok((_, head)) = open_file(path) else { return false };
    matches!(recognize(path, &head), Ok(Some(format)) if format.is_known_by_content())
}

/// Returns the names of the formats that [`read_image`](crate::read_image) reads, for messages and
/// help: `PNG, JPEG or TIFF`.
pub fn image_formats() -> String {
    let mut names: Vec<_> = formats().iter().map(|format| format.name()).collect();
    let last = names.pop().unwrap_or_default();
    format!("{} or {last}", names.join(", "))
}

/// Returns the format of the file `path`, whose content begins with `bytes`; `None` if no format
/// recognises it.
///
/// # Errors
/// When a format panics.
pub(crate) fn recognize(path: &Path, bytes: &[u8]) -> Result<Option<&'static dyn Format>, ReadError> {
    for format in formats() {
        if guard(path, format.name(), || Ok(format.sniff(bytes)))? {
            return Ok(Some(format));
        }
    }
    Ok(None)
}

/// Returns the format of the file `path`, whose content begins with `bytes`.
pub(super) fn format_of(path: &Path, bytes: &[u8]) -> Result<&'static dyn Format, ReadError> {
    if let Some(format) = recognize(path, bytes)? {
        return Ok(format);
    }
    Err(match recognize_foreign(bytes) {
        Some(foreign) if foreign.kind != foreign::TEXT => {
            ReadError::Foreign { path: path.into(), kind: foreign.kind, remedy: foreign.remedy }
        }
        _ => ReadError::Format { path: path.into(), found: describe(bytes), expected: image_formats() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_files_are_told_by_their_extension() {
        for (name, expected) in
            [("a.png", true), ("a.JPG", true), ("a.b.tiff", true), ("a.webp", true), ("a.txt", false), ("png", false)]
        {
            assert_eq!(has_image_extension(Path::new(name)), expected, "{name}");
        }
    }
}
