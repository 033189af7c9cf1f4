//! The frames of animated GIF, PNG and WebP files.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, ImageFormat, ImageResult};

use super::error::ReadError;

/// The most frames that are counted.
const FRAMES_MAX: u32 = 1 << 20;

/// Counts the frames of a file; 1 where it holds one picture, or is damaged before others.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn count(path: &Path, format: ImageFormat) -> Result<u32, ReadError> {
    let file = File::open(path).map_err(|source| ReadError::File { path: path.into(), source })?;
    let mut file = BufReader::new(file);
    let found = match format {
        ImageFormat::Gif => gif(&mut file),
        ImageFormat::Png => png(&mut file),
        ImageFormat::WebP => webp(&mut file),
        _ => Ok(1),
    };
    match found {
        Ok(count) => Ok(count.clamp(1, FRAMES_MAX)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(1),
        Err(source) => Err(ReadError::File { path: path.into(), source }),
    }
}

fn byte(file: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Skips GIF's blocks up to the empty one.
fn skip_blocks(file: &mut (impl Read + Seek)) -> io::Result<()> {
    loop {
        match byte(file)? {
            0 => return Ok(()),
            length => file.seek(SeekFrom::Current(length.into()))?,
        };
    }
}

/// Counts the images of a GIF.
fn gif(file: &mut (impl Read + Seek)) -> io::Result<u32> {
    let mut head = [0; 13];
    file.read_exact(&mut head)?;
    let palette = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    file.seek(SeekFrom::Current(palette(head[10])))?;
    let mut frames = 0;
    loop {
        match byte(file) {
            Ok(0x21) => {
                byte(file)?;
                skip_blocks(file)?;
            }
            Ok(0x2c) => {
                let mut image = [0; 9];
                file.read_exact(&mut image)?;
                file.seek(SeekFrom::Current(palette(image[8]) + 1))?;
                frames += 1;
                if skip_blocks(file).is_err() || frames >= FRAMES_MAX {
                    return Ok(frames);
                }
            }
            _ => return Ok(frames),
        }
    }
}

/// Reads the frames that an APNG announces before its pixels.
fn png(file: &mut (impl Read + Seek)) -> io::Result<u32> {
    file.seek(SeekFrom::Start(8))?;
    loop {
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        match &head[4..] {
            b"acTL" => {
                let mut frames = [0; 4];
                file.read_exact(&mut frames)?;
                return Ok(u32::from_be_bytes(frames));
            }
            b"IDAT" | b"IEND" => return Ok(1),
            _ => file.seek(SeekFrom::Current(i64::from(length) + 4))?,
        };
    }
}

/// Counts the frames of an animated WebP.
fn webp(file: &mut (impl Read + Seek)) -> io::Result<u32> {
    file.seek(SeekFrom::Start(12))?;
    let mut frames = 0;
    let mut head = [0; 8];
    while file.read_exact(&mut head).is_ok() {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        match &head[..4] {
            b"ANMF" => frames += 1,
            b"VP8 " | b"VP8L" => return Ok(1),
            _ => {}
        }
        file.seek(SeekFrom::Current((i64::from(length) + 1) & !1))?;
    }
    Ok(frames)
}

/// Decodes a frame, counted from 0, as it is shown: upon those before it.
///
/// # Errors
/// When a frame up to it is damaged; `None` if there are fewer.
pub(super) fn decode(path: &Path, format: ImageFormat, index: usize) -> ImageResult<Option<DynamicImage>> {
    let file = BufReader::new(File::open(path)?);
    let frames = match format {
        ImageFormat::Gif => GifDecoder::new(file)?.into_frames(),
        ImageFormat::WebP => WebPDecoder::new(file)?.into_frames(),
        _ => PngDecoder::new(file)?.apng()?.into_frames(),
    };
    frames.into_iter().nth(index).transpose().map(|frame| frame.map(|frame| frame.into_buffer().into()))
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::GifEncoder;
    use image::{Frame, Rgba, RgbaImage};

    use super::*;

    #[test]
    fn frames_are_counted_and_decoded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gif");
        let frame = |value: u8| Frame::new(RgbaImage::from_pixel(5, 4, Rgba([value, 0, 0, 255])));
        let mut encoder = GifEncoder::new(File::create(&path).unwrap());
        encoder.encode_frames([10, 200, 90].map(frame)).unwrap();
        drop(encoder);
        assert_eq!(count(&path, ImageFormat::Gif).unwrap(), 3);
        for (index, value) in [10, 200, 90].into_iter().enumerate() {
            let image = decode(&path, ImageFormat::Gif, index).unwrap().unwrap().into_rgb8();
            assert!(image.pixels().all(|pixel| pixel[0].abs_diff(value) < 3), "{index}: {:?}", image.get_pixel(0, 0));
        }
        assert!(decode(&path, ImageFormat::Gif, 3).unwrap().is_none());
        let single = folder.path().join("b.png");
        RgbaImage::new(3, 3).save(&single).unwrap();
        assert_eq!(count(&single, ImageFormat::Png).unwrap(), 1);
    }
}
