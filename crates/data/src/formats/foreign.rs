//! Files that are not images, but that everybody knows: what they are, and what to do.

/// A kind of file that is not an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// The kind, with its article.
    pub(crate) kind: &'static str,
    /// The remedy.
    pub(crate) remedy: &'static str,
}

/// The kind of any text.
pub(crate) const TEXT: &str = "a text file";

/// The beginnings of files, and their kinds.
const KINDS: [(&[u8], &str, &str); 20] = [
    (b"version https://git-lfs", "a Git LFS pointer and not the file itself", "run `git lfs pull` where it comes from"),
    (b"%PDF", "a PDF file", "export its images as PNG"),
    (b"\x93NUMPY", "a NumPy array", "save it as PNG, TIFF or NIfTI"),
    (b"PK\x03\x04", "a ZIP archive, as NumPy's `.npz` is too", "unpack it"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "save its images as PNG, TIFF or NIfTI"),
    (b"MATLAB 5.0", "a MATLAB file", "save its images as PNG or TIFF"),
    (b"NRRD", "an NRRD file", "convert it to NIfTI, as `SimpleITK.WriteImage` does"),
    (b"ObjectType", "a MetaImage header", "convert it to NIfTI, as `SimpleITK.WriteImage` does"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"BZh", "a bzip2 file", "unpack it"),
    (b"\x1f\x8b", "a gzip file without a NIfTI volume in it", "unpack it"),
    (b"SQLite format 3", "an SQLite database", "leave it out"),
    (b"\x02\0\0\0", "DICOM without its preamble, it seems", "write it again, as `dcmconv` does"),
    (b"\x08\0\x05\0", "DICOM without its preamble, it seems", "write it again, as `dcmconv` does"),
    (b"\x08\0\x08\0", "DICOM without its preamble, it seems", "write it again, as `dcmconv` does"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image", "convert it to PNG, as `djxl` does"),
    (b"\xff\x0a", "a JPEG XL image", "convert it to PNG, as `djxl` does"),
    (b"{", "a JSON file", "leave it out"),
    (b"[", "a JSON file", "leave it out"),
];

/// Recognises a file that begins with `head`; `None` for unknown content.
pub(crate) fn recognize_foreign(head: &[u8]) -> Option<Foreign> {
    if head.is_empty() {
        return Some(Foreign { kind: "an empty file", remedy: "fetch or save it again" });
    }
    if head.starts_with(b"\x02\0\0\0") && !head.starts_with(b"\x02\0\0\0UL") {
        return None;
    }
    let text = head.trim_ascii_start();
    let begins = |start: &[u8]| text.len() >= start.len() && text[..start.len()].eq_ignore_ascii_case(start);
    if begins(b"<!doctype html") || begins(b"<html") || begins(b"<head") {
        return Some(Foreign { kind: "an HTML page and not the file itself", remedy: "download the file again" });
    }
    if begins(b"<?xml") || begins(b"<error") {
        let is_svg = head.windows(4).any(|part| part == b"<svg");
        let kind = if is_svg { "an SVG drawing" } else { "an XML file" };
        let remedy = if is_svg { "export it as PNG" } else { "if it reports an error, download the file again" };
        return Some(Foreign { kind, remedy });
    }
    // ISO 14496-12: the length of the first box, its name, and the brand.
    let brand = head.get(4..8).filter(|name| *name == b"ftyp").and_then(|_| head.get(8..12));
    match brand {
        Some(b"avif" | b"avis") => {
            return Some(Foreign { kind: "an AVIF image", remedy: "convert it to PNG, as `avifdec` does" });
        }
        Some(b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1") => {
            return Some(Foreign { kind: "an HEIF image", remedy: "convert it to PNG, as `heif-convert` does" });
        }
        _ => {}
    }
    let known =
        KINDS.iter().find(|(start, ..)| head.starts_with(start) || (start.len() == 1 && text.starts_with(start)));
    if let Some((_, kind, remedy)) = known {
        return Some(Foreign { kind, remedy });
    }
    // A head may end within a character.
    let is_text = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
    };
    let has_controls = head.iter().any(|byte| *byte < b' ' && !b"\t\r\n\x0c".contains(byte));
    (is_text && !has_controls).then_some(Foreign { kind: TEXT, remedy: "leave it out" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_files_are_named() {
        for (head, expected) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..], Some("a Git LFS pointer")),
            (b"\n <!DOCTYPE HTML><title>", Some("an HTML page")),
            (b"<?xml version='1.0'?><Error><Code>AccessDenied", Some("an XML file")),
            (b"<?xml version='1.0'?><svg width='3'>", Some("an SVG drawing")),
            (b"%PDF-1.7", Some("a PDF file")),
            (b"\x93NUMPY\x01\0", Some("a NumPy array")),
            (b"", Some("an empty file")),
            (b" {\"a\": 1}", Some("a JSON file")),
            ("id,größe\n1,2\n".as_bytes(), Some("a text file")),
            (b"\x02\0\0\0UL\x04\0", Some("DICOM without its preamble")),
            (b"\0\0\0\x0cJXL \r\n\x87\n", Some("a JPEG XL image")),
            (b"\xff\x0a\xfa\x1f", Some("a JPEG XL image")),
            (b"\0\0\0\x20ftypavif\0\0\0\0", Some("an AVIF image")),
            (b"\0\0\0\x18ftypheic\0\0\0\0", Some("an HEIF image")),
            (b"\0\0\0\x18ftypmp42\0\0\0\0", None),
            (b"\x02\0\0\0\x01\x02", None),
            (b"\0\x01\x02\x03", None),
            (b"\xff\xfe\xfd", None),
        ] {
            let found = recognize_foreign(head).map(|foreign| foreign.kind);
            let is_expected = match (found, expected) {
                (Some(found), Some(expected)) => found.starts_with(expected),
                (found, expected) => found == expected,
            };
            assert!(is_expected, "{}: {found:?}", head.escape_ascii());
        }
    }
}
