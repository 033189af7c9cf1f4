//! The size of an image, told from the head of its file.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use image::error::DecodingError;
use image::{ImageError, ImageFormat, ImageReader as FormatReader};
use tiff::decoder::Decoder;

use crate::decode::{FORMATS, ReadError, check_file, describe, format_of};
use crate::jpeg;

/// Width and height of an image as it is stored, before it is turned upright, without reading its pixels.
///
/// The rest of the file may be damaged all the same.
///
/// # Errors
/// When the file cannot be read, or begins like no image in a known format.
pub fn stored_size(path: &Path) -> Result<(u32, u32), ReadError> {
    let failed = |source| ReadError::File { path: path.into(), source };
    check_file(path)?;
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut start = Vec::new();
    file.by_ref().take(16).read_to_end(&mut start).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let format = match format_of(&start) {
        Some(format) if FORMATS.contains(&format) => format,
        _ => return Err(ReadError::Format { path: path.into(), found: describe(&start) }),
    };
    let refuse = |source| ReadError::Decode { path: path.into(), format, source };
    match format {
        ImageFormat::Jpeg => jpeg::size(&mut file).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::CutOff { path: path.into(), format },
            _ => failed(source),
        }),
        // Of floating-point values too, which the image crate does not know.
        ImageFormat::Tiff => Decoder::new(file)
            .and_then(|mut decoder| decoder.dimensions())
            .map_err(|error| refuse(ImageError::Decoding(DecodingError::new(format.into(), error)))),
        _ => FormatReader::with_format(file, format).into_dimensions().map_err(refuse),
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, Rgb32FImage, RgbImage};

    use super::*;

    #[test]
    fn the_head_of_a_file_says_how_large_its_image_is() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "a.jpg", "a.tif", "a.gif", "a.bmp", "a.webp"] {
            let path = folder.path().join(name);
            RgbImage::from_fn(37, 21, |x, y| Rgb([x as u8, y as u8, 9])).save(&path).unwrap();
            assert_eq!(stored_size(&path).unwrap(), (37, 21), "{name}");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..8]).unwrap();
            assert!(stored_size(&path).unwrap_err().to_string().contains(name), "{name}, cut off");
        }
        let path = folder.path().join("float.tif");
        Rgb32FImage::new(5, 3).save(&path).unwrap();
        assert_eq!(stored_size(&path).unwrap(), (5, 3));
        for (name, part) in [("missing.png", "missing.png"), (".", "a folder")] {
            let message = stored_size(&folder.path().join(name)).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }

    #[test]
    fn a_jpeg_thumbnail_and_tables_are_no_frame() {
        let frame = b"\xff\xc0\0\x0b\x08\0\x15\0\x25\x01\0\0\0";
        let rows: [(&str, &[u8]); 4] = [
            ("at once", b""),
            ("after a thumbnail", b"\xff\xe1\0\x0a\xff\xc0\0\x0b\x08\0\x01\0"),
            ("after a Huffman table", b"\xff\xc4\0\x06\x08\0\x01\0"),
            ("after fill bytes", b"\xff\xff\xff\xd8"),
        ];
        for (name, before) in rows {
            let bytes = [b"\xff\xd8", before, frame].concat();
            assert_eq!(jpeg::size(&mut io::Cursor::new(bytes)).unwrap(), (37, 21), "{name}");
        }
    }
}
