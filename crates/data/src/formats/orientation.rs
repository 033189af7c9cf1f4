//! The camera's orientation where decoders do not look: EXIF behind the pixels, with JPEG's own
//! prefix or in text, and XMP.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::ZlibDecoder;
use image::ImageFormat;
use image::metadata::Orientation;

/// The prefix of EXIF in a JPEG segment, which some writers leave before it in other files.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";
/// The prefix of XMP in a JPEG segment.
const JPEG_XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// The keyword of XMP in a PNG text chunk.
const PNG_XMP: &[u8] = b"XML:com.adobe.xmp\0";
/// The beginning of the keyword under which ImageMagick and others keep metadata in PNG text
/// chunks, as hexadecimal digits. The name of the metadata follows.
const PNG_RAW: &[u8] = b"Raw profile type ";
/// The largest such text that is read, in bytes.
const RAW_BYTES_MAX: u64 = 1 << 20;

/// The metadata of a file in which an orientation may stand.
#[derive(Default)]
struct Notes<'a> {
    exif: Option<Cow<'a, [u8]>>,
    xmp: Option<Cow<'a, [u8]>>,
}

/// Returns the orientation that a file notes anywhere: in EXIF, else in XMP. `None` if it notes
/// none, or if the format keeps it elsewhere.
pub(super) fn noted_orientation(format: ImageFormat, bytes: &[u8]) -> Option<Orientation> {
    let notes = match format {
        ImageFormat::Png => png_notes(bytes),
        ImageFormat::WebP => webp_notes(bytes),
        ImageFormat::Jpeg => jpeg_notes(bytes),
        _ => return None,
    };
    let exif = notes
        .exif
        .and_then(|exif| Orientation::from_exif_chunk(exif.strip_prefix(EXIF_PREFIX).unwrap_or(exif.as_ref())));
    exif.or_else(|| notes.xmp.and_then(|xmp| xmp_orientation(&xmp)))
}

/// Finds the metadata in all chunks of a PNG file, before and after the pixels.
fn png_notes(bytes: &[u8]) -> Notes<'_> {
    let mut notes = Notes::default();
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let [l0, l1, l2, l3, name @ ..] = rest {
        let length = u32::from_be_bytes([*l0, *l1, *l2, *l3]) as usize;
        let Some((name, after)) = name.split_at_checked(4) else { break };
        // The checksum follows the content.
        let Some((content, after)) = after.split_at_checked(length) else { break };
        match name {
            b"eXIf" => notes.exif = notes.exif.or(Some(content.into())),
            b"iTXt" if content.starts_with(PNG_XMP) => {
                notes.xmp = notes.xmp.or_else(|| Some(content[PNG_XMP.len()..].into()));
            }
            b"tEXt" | b"zTXt" => match raw_profile(content, name == b"zTXt") {
                Some((b"exif" | b"APP1", profile)) => notes.exif = notes.exif.or_else(|| Some(profile.into())),
                Some((b"xmp", profile)) => notes.xmp = notes.xmp.or_else(|| Some(profile.into())),
                _ => {}
            },
            b"IEND" => break,
            _ => {}
        }
        rest = after.get(4..).unwrap_or_default();
    }
    notes
}

/// Reads metadata that a PNG text chunk keeps as hexadecimal digits, behind a line with their name
/// and one with their number. Returns the name in the keyword too.
fn raw_profile(content: &[u8], is_compressed: bool) -> Option<(&[u8], Vec<u8>)> {
    let content = content.strip_prefix(PNG_RAW)?;
    let end = content.iter().position(|byte| *byte == 0)?;
    let (name, rest) = (&content[..end], &content[end + 1..]);
    let mut text = Vec::new();
    match (is_compressed, rest) {
        (false, text_as_is) => text.extend_from_slice(text_as_is),
        // Zlib is the only method.
        (true, [0, compressed @ ..]) => {
            ZlibDecoder::new(compressed).take(RAW_BYTES_MAX).read_to_end(&mut text).ok()?;
        }
        _ => return None,
    }
    // An empty line, the name, and the number of bytes.
    let digits = text.trim_ascii_start().splitn(3, |byte| *byte == b'\n').nth(2)?;
    let digits = digits.iter().filter(|byte| !byte.is_ascii_whitespace());
    let values: Vec<u8> =
        digits.map(|byte| char::from(*byte).to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    Some((name, values.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
}

/// Finds the metadata in the chunks of a WebP file.
fn webp_notes(bytes: &[u8]) -> Notes<'_> {
    let mut notes = Notes::default();
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let [n0, n1, n2, n3, l0, l1, l2, l3, after @ ..] = rest {
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        let Some((content, after)) = after.split_at_checked(length) else { break };
        match &[*n0, *n1, *n2, *n3] {
            b"EXIF" => notes.exif = notes.exif.or(Some(content.into())),
            b"XMP " => notes.xmp = notes.xmp.or(Some(content.into())),
            _ => {}
        }
        // Chunks begin at even places.
        rest = after.get(length % 2..).unwrap_or_default();
    }
    notes
}

/// Finds the metadata in the segments of a JPEG file before its pixels.
fn jpeg_notes(bytes: &[u8]) -> Notes<'_> {
    let mut notes = Notes::default();
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xff, marker, after @ ..] = rest {
        if *marker == 0xff {
            rest = &rest[1..];
            continue;
        }
        let [high, low, ..] = after else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((segment, after)) = after.split_at_checked(length.max(2)) else { break };
        match (*marker, &segment[2..]) {
            // The pixels.
            (0xda, _) => break,
            (0xe1, content) if content.starts_with(EXIF_PREFIX) => notes.exif = notes.exif.or(Some(content.into())),
            (0xe1, content) => notes.xmp = notes.xmp.or_else(|| content.strip_prefix(JPEG_XMP).map(Into::into)),
            _ => {}
        }
        rest = after;
    }
    notes
}

/// Reads `tiff:Orientation` of XMP, an attribute or an element.
fn xmp_orientation(xmp: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    let start = xmp.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let value = xmp[start..].trim_ascii_start();
    let value = match value {
        [b'=', value @ ..] => {
            value.trim_ascii_start().strip_prefix(b"\"").or(value.trim_ascii_start().strip_prefix(b"'"))?
        }
        [b'>', value @ ..] => value,
        _ => return None,
    };
    match value.trim_ascii_start() {
        [digit @ b'1'..=b'8', b'"' | b'\'' | b'<' | b' ' | b'\t' | b'\r' | b'\n', ..] => {
            Orientation::from_exif(digit - b'0')
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use image::{DynamicImage, GrayImage};

    use super::*;
    use crate::formats::{decode, header};

    /// EXIF of one tag: orientation 6.
    const EXIF: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    const XMP: &[u8] = b"<x:xmpmeta><rdf:Description tiff:Orientation=\"6\"/></x:xmpmeta>";

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        // Dark on the left half.
        let image = GrayImage::from_fn(32, 16, |x, _| [if x < 16 { 0 } else { 255 }].into());
        DynamicImage::from(DynamicImage::from(image).to_rgb8()).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn png_chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
        let named = [name, content].concat();
        let crc = !named.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
        });
        [&(content.len() as u32).to_be_bytes(), named.as_slice(), &crc.to_be_bytes()].concat()
    }

    /// Puts a chunk before the first one of another name.
    fn png_with(name: &[u8], content: &[u8], before: &[u8]) -> Vec<u8> {
        let bytes = encoded(ImageFormat::Png);
        let place = bytes.windows(4).position(|window| window == before).unwrap() - 4;
        [&bytes[..place], &png_chunk(name, content), &bytes[place..]].concat()
    }

    /// Creates an extended WebP file with a chunk behind the pixels.
    fn webp_with(name: &[u8], content: &[u8], flag: u8) -> Vec<u8> {
        let bytes = encoded(ImageFormat::WebP);
        let mut extended = b"VP8X\x0a\0\0\0".to_vec();
        extended.extend([flag, 0, 0, 0, 31, 0, 0, 15, 0, 0]);
        let mut chunks = [&extended, &bytes[12..], name, &(content.len() as u32).to_le_bytes(), content].concat();
        chunks.resize(chunks.len().next_multiple_of(2), 0);
        [b"RIFF", (chunks.len() as u32 + 4).to_le_bytes().as_slice(), b"WEBP", &chunks].concat()
    }

    fn jpeg_with(content: &[u8]) -> Vec<u8> {
        let bytes = encoded(ImageFormat::Jpeg);
        [&bytes[..2], b"\xff\xe1", &(content.len() as u16 + 2).to_be_bytes(), content, &bytes[2..]].concat()
    }

    /// Writes metadata as hexadecimal digits, as ImageMagick does.
    fn raw(name: &str, content: &[u8]) -> Vec<u8> {
        let lines: Vec<String> =
            content.chunks(36).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).collect();
        format!("\n{name}\n{:8}\n{}\n", content.len(), lines.join("\n")).into_bytes()
    }

    /// Creates the content of a chunk of compressed text with EXIF.
    fn compressed(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, text).unwrap();
        [PNG_RAW, b"exif\0\0", &encoder.finish().unwrap()].concat()
    }

    #[test]
    fn an_orientation_is_applied_wherever_the_file_notes_it() {
        let text = [PNG_XMP, &[0, 0, 0, 0], XMP].concat();
        let element: &[u8] = b"<tiff:Orientation> 6 </tiff:Orientation>";
        let prefixed = [EXIF_PREFIX, EXIF].concat();
        let upright = [&EXIF[..18], &[1], &EXIF[19..]].concat();
        let both = [png_with(b"eXIf", &upright, b"IDAT"), Vec::new()].concat();
        let end = both.windows(4).position(|window| window == b"IEND").unwrap() - 4;
        let both = [&both[..end], &png_chunk(b"iTXt", &text), &both[end..]].concat();
        for (name, bytes, orientation) in [
            ("PNG, before the pixels", png_with(b"eXIf", EXIF, b"IDAT"), 6),
            ("PNG, behind the pixels", png_with(b"eXIf", EXIF, b"IEND"), 6),
            ("PNG, with JPEG's prefix", png_with(b"eXIf", &prefixed, b"IEND"), 6),
            ("PNG, in XMP", png_with(b"iTXt", &text, b"IDAT"), 6),
            ("PNG, in XMP behind the pixels", png_with(b"iTXt", &text, b"IEND"), 6),
            ("PNG, EXIF before XMP", both, 1),
            (
                "PNG, in ImageMagick's text",
                png_with(b"tEXt", &[PNG_RAW, b"exif\0", &raw("exif", &prefixed)].concat(), b"IDAT"),
                6,
            ),
            ("PNG, in its compressed text", png_with(b"zTXt", &compressed(&raw("exif", &prefixed)), b"IEND"), 6),
            (
                "PNG, in the text of a segment",
                png_with(b"tEXt", &[PNG_RAW, b"APP1\0", &raw("generic", &prefixed)].concat(), b"IDAT"),
                6,
            ),
            ("PNG, in XMP as text", png_with(b"tEXt", &[PNG_RAW, b"xmp\0", &raw("xmp", XMP)].concat(), b"IDAT"), 6),
            ("PNG without a note", encoded(ImageFormat::Png), 1),
            ("WebP", webp_with(b"EXIF", EXIF, 8), 6),
            ("WebP, with JPEG's prefix", webp_with(b"EXIF", &prefixed, 8), 6),
            ("WebP, in XMP", webp_with(b"XMP ", XMP, 4), 6),
            ("JPEG", jpeg_with(&prefixed), 6),
            ("JPEG, in XMP", jpeg_with(&[JPEG_XMP, element].concat()), 6),
            ("JPEG, XMP with another value", jpeg_with(&[JPEG_XMP, b"tiff:Orientation=\"9\""].concat()), 1),
            ("JPEG, XMP with a long value", jpeg_with(&[JPEG_XMP, b"tiff:Orientation=\"66\""].concat()), 1),
        ] {
            let header = header(Path::new("image"), &bytes).unwrap();
            let image = decode(Path::new("image"), &bytes).unwrap().to_luma8();
            let (size, dark) = if orientation == 6 { ((16, 32), (8, 4)) } else { ((32, 16), (4, 8)) };
            assert_eq!(((header.width, header.height), header.orientation), (size, orientation), "{name}");
            assert_eq!(image.dimensions(), size, "{name}");
            assert!(image.get_pixel(dark.0, dark.1)[0] < 30, "{name}");
        }
    }

    #[test]
    fn files_as_other_programs_write_them_are_turned() {
        let expected = image::load_from_memory(include_bytes!("../../tests/data/turned-6.expected.png")).unwrap();
        for (name, bytes) in [
            ("WebP with JPEG's prefix", include_bytes!("../../tests/data/turned-6.webp").as_slice()),
            ("PNG with EXIF behind the pixels", include_bytes!("../../tests/data/turned-late.png")),
        ] {
            let header = header(Path::new("image"), bytes).unwrap();
            assert_eq!(header.orientation, 6, "{name}");
            let image = decode(Path::new("image"), bytes).unwrap();
            assert_eq!((image.width(), image.height()), (header.width, header.height), "{name}");
            assert!(image.to_rgb8() == expected.to_rgb8(), "{name}");
        }
    }

    #[test]
    fn metadata_that_end_early_are_no_note() {
        let notes: [fn(&[u8]) -> Notes<'_>; 3] = [png_notes, webp_notes, jpeg_notes];
        let files =
            [png_with(b"eXIf", EXIF, b"IEND"), webp_with(b"EXIF", EXIF, 8), jpeg_with(&[JPEG_XMP, XMP].concat())];
        for (notes, bytes) in notes.iter().zip(&files) {
            for length in 0..bytes.len() {
                let found = notes(&bytes[..length]);
                assert!(found.exif.is_none_or(|exif| exif == EXIF) && found.xmp.is_none_or(|xmp| xmp == XMP));
            }
        }
    }
}
