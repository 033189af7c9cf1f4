//! The indices of an indexed PNG or GIF file, whose palette shows them in colours.
//!
//! Their decoders return colours. So the palette is replaced by one in which entry `i` is the grey
//! `i`, and an image of any depth, orientation and interlacing decodes to its indices.

use std::borrow::Cow;
use std::ops::Range;

use image::{DynamicImage, Rgba};

/// The signature, the `IHDR` chunk's length and name, and the size.
const PNG_DEPTH: usize = 24;
const PNG_COLOR: usize = PNG_DEPTH + 1;
const PNG_INDEXED: u8 = 3;
/// The position of the chunk after `IHDR`.
const PNG_CHUNKS: usize = 33;

/// The position of the first block, or of the global palette, in a GIF.
const GIF_BLOCKS: usize = 13;
/// The position of the flags in a GIF's header, and of the background's index.
const GIF_FLAGS: usize = 10;
const GIF_BACKGROUND: usize = 11;

/// Returns the file with a palette of its own indices; a file without palette, or a damaged one, is
/// unchanged.
pub(super) fn with_indices(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut bytes = Cow::Borrowed(bytes);
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        if let Some((chunk, entries)) = png_palette(&bytes) {
            bytes.to_mut().splice(chunk, png_chunk(b"PLTE", &grays(entries)));
        }
    } else if bytes.starts_with(b"GIF8") {
        for range in gif_palettes(&bytes) {
            let grays = grays(range.len() / 3);
            if let Some(palette) = bytes.to_mut().get_mut(range) {
                palette.copy_from_slice(&grays);
            }
        }
    }
    bytes
}

/// Returns red, green and blue of entries that are each their own index.
fn grays(entries: usize) -> Vec<u8> {
    (0..entries).flat_map(|index| [index as u8; 3]).collect()
}

/// Returns the whole `PLTE` chunk of an indexed PNG with as many entries as its depth allows.
fn png_palette(bytes: &[u8]) -> Option<(Range<usize>, usize)> {
    if *bytes.get(PNG_COLOR)? != PNG_INDEXED {
        return None;
    }
    let depth = u32::from(bytes[PNG_DEPTH].min(8));
    let mut start = PNG_CHUNKS;
    loop {
        let head = bytes.get(start..start + 8)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let end = start.checked_add(length)?.checked_add(12)?;
        if &head[4..] == b"PLTE" {
            return (end <= bytes.len()).then_some((start..end, 1 << depth));
        }
        start = end;
    }
}

fn png_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let named = [name.as_slice(), content].concat();
    let length = (content.len() as u32).to_be_bytes();
    [&length, named.as_slice(), &crc32(&named).to_be_bytes()].concat()
}

/// Computes the checksum of PNG's chunks.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// Returns the palettes that the first frame of a GIF may use: the global one and its own.
fn gif_palettes(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut palettes: Vec<_> = gif_global_palette(bytes).into_iter().collect();
    let frame = gif_frame(bytes);
    palettes.extend(frame.and_then(|at| gif_palette(*bytes.get(at + 9)?, at + 10)));
    palettes
}

/// Returns the place of a palette whose flags are these.
fn gif_palette(flags: u8, start: usize) -> Option<Range<usize>> {
    (flags & 0x80 != 0).then(|| start..start + 3 * (2 << (flags & 7)))
}

fn gif_global_palette(bytes: &[u8]) -> Option<Range<usize>> {
    gif_palette(*bytes.get(GIF_FLAGS)?, GIF_BLOCKS)
}

/// Returns the place of the first frame of a GIF.
fn gif_frame(bytes: &[u8]) -> Option<usize> {
    let byte = |at: usize| bytes.get(at).copied();
    let mut at = gif_global_palette(bytes).map_or(GIF_BLOCKS, |palette| palette.end);
    // Extensions: a label, then blocks that begin with their length until one is empty.
    while byte(at) == Some(0x21) {
        at += 2;
        while let Some(length @ 1..) = byte(at) {
            at += 1 + usize::from(length);
        }
        at += 1;
    }
    (byte(at) == Some(0x2c)).then_some(at)
}

/// Gives the pixels that the first frame of a GIF does not reach their colour: the background of
/// the palette that all frames share. They stay transparent.
pub(super) fn fill_around_frame(bytes: &[u8], image: &mut DynamicImage) {
    let DynamicImage::ImageRgba8(image) = image else { return };
    let Some(frame) = gif_frame(bytes) else { return };
    let number = |place: usize| Some(u32::from(u16::from_le_bytes([*bytes.get(place)?, *bytes.get(place + 1)?])));
    let sides = [1, 3, 5, 7].map(|place| number(frame + place));
    let [Some(left), Some(top), Some(width), Some(height)] = sides else { return };
    let background = || {
        let palette = bytes.get(gif_global_palette(bytes)?)?;
        palette.get(3 * usize::from(*bytes.get(GIF_BACKGROUND)?)..)?.first_chunk::<3>().copied()
    };
    let Some([red, green, blue]) = background() else { return };
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let is_inside = (left..left + width).contains(&x) && (top..top + height).contains(&y);
        if !is_inside {
            *pixel = Rgba([red, green, blue, 0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use png::{BitDepth, ColorType, Encoder};

    use super::*;
    use crate::masks::MaskCoding;
    use crate::masks::tests::{encoded, gray8, read_bytes};

    /// Creates an indexed PNG of the indices 0, 1, 1, 0 in colours unrelated to them.
    fn png(depth: BitDepth, row: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 4, 1);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(depth);
        encoder.set_palette(&[9, 200, 9, 1, 2, 3][..]);
        encoder.set_trns(&[0, 255][..]);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(row).unwrap();
        writer.finish().unwrap();
        bytes
    }

    /// Creates a GIF of 2x2 pixels with the indices 0, 1, 2, 3, a comment before them, and a global
    /// or a local palette.
    fn gif(own: bool) -> Vec<u8> {
        let colors = [7; 12];
        let flags = |here: bool| if here { 0x81 } else { 0 };
        let mut bytes = b"GIF89a\x02\0\x02\0".to_vec();
        bytes.extend([flags(!own), 0, 0]);
        bytes.extend(if own { &[][..] } else { &colors });
        bytes.extend(b"\x21\xfe\x02hi\0\x2c\0\0\0\0\x02\0\x02\0");
        bytes.push(flags(own));
        bytes.extend(if own { &colors[..] } else { &[] });
        // Clear, 0, 1 and 2 in 3 bits each; 3 and the end in 4.
        bytes.extend(b"\x02\x03\x44\x34\x05\0\x3b");
        bytes
    }

    /// Creates a TIFF file of 4x1 pixels with the indices 0, 1, 1, 0 in colours unrelated to them.
    fn tiff(is_big_endian: bool, is_big: bool, entries: usize) -> Vec<u8> {
        let put = |bytes: &mut Vec<u8>, value: usize, length: usize| {
            let value = (value as u64).to_be_bytes();
            let value = &value[8 - length..];
            bytes.extend(value.iter().copied().take(if is_big_endian { length } else { 0 }));
            bytes.extend(value.iter().rev().copied().take(if is_big_endian { 0 } else { length }));
        };
        let [offset, count] = if is_big { [8, 8] } else { [4, 2] };
        let mut bytes = if is_big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        if is_big {
            [(43, 2), (8, 2), (0, 2), (16, 8)].into_iter().for_each(|(value, length)| put(&mut bytes, value, length));
        } else {
            [(42, 2), (8, 4)].into_iter().for_each(|(value, length)| put(&mut bytes, value, length));
        }
        let behind = bytes.len() + count + 8 * (4 + 2 * offset) + offset;
        let palette = 3 * entries;
        let tags = [
            (256, 1, 4),
            (257, 1, 1),
            (258, 1, 8),
            (262, 1, 3),
            (273, 1, behind + 2 * palette),
            (278, 1, 1),
            (279, 1, 4),
            (320, palette, behind),
        ];
        put(&mut bytes, tags.len(), count);
        for (tag, values, value) in tags {
            let (kind, length) = if tag == 320 {
                (3, offset)
            } else if tag == 273 {
                (4, 4)
            } else {
                (3, 2)
            };
            put(&mut bytes, tag, 2);
            put(&mut bytes, kind, 2);
            put(&mut bytes, values, offset);
            put(&mut bytes, value, length);
            bytes.resize(bytes.len() + offset - length, 0);
        }
        put(&mut bytes, 0, offset);
        (0..palette).for_each(|index| put(&mut bytes, 7919 * index % 65536, 2));
        bytes.extend([0, 1, 1, 0]);
        bytes
    }

    #[test]
    fn indexed_images_are_read_by_their_indices() {
        for (name, bytes, labels) in [
            ("PNG, 8 bits", png(BitDepth::Eight, &[0, 1, 1, 0]), vec![0, 1, 1, 0]),
            ("TIFF", tiff(false, false, 256), vec![0, 1, 1, 0]),
            ("TIFF, more colours than indices", tiff(false, false, 257), vec![0, 1, 1, 0]),
            ("TIFF, far more colours than indices", tiff(false, false, 1024), vec![0, 1, 1, 0]),
            ("TIFF, highest byte first", tiff(true, false, 256), vec![0, 1, 1, 0]),
            ("BigTIFF", tiff(false, true, 256), vec![0, 1, 1, 0]),
            ("BigTIFF, highest byte first", tiff(true, true, 256), vec![0, 1, 1, 0]),
            ("PNG, 4 bits", png(BitDepth::Four, &[0x01, 0x10]), vec![0, 1, 1, 0]),
            ("PNG, 2 bits", png(BitDepth::Two, &[0b0001_0100]), vec![0, 1, 1, 0]),
            ("PNG, 1 bit", png(BitDepth::One, &[0b0110_0000]), vec![0, 1, 1, 0]),
            ("PNG, an index that the palette lacks", png(BitDepth::Eight, &[0, 1, 3, 255]), vec![0, 1, 3, 255]),
            ("GIF, one palette", gif(false), vec![0, 1, 2, 3]),
            ("GIF, the frame's palette", gif(true), vec![0, 1, 2, 3]),
            ("grey", encoded(&gray8(&[2, 1]), image::ImageFormat::Png), vec![2, 1]),
        ] {
            assert_eq!(read_bytes(&bytes, &MaskCoding::Index { classes: 4 }).unwrap(), labels, "{name}");
        }
    }

    #[test]
    fn what_a_frame_does_not_reach_has_the_background_of_the_file() {
        let mut bytes = gif(false);
        // Four columns and three rows, of which the frame takes two of each, and the third colour.
        (bytes[6], bytes[8], bytes[11]) = (4, 3, 2);
        for (entry, color) in bytes[13..25].chunks_exact_mut(3).zip(0..) {
            entry.fill(50 * color);
        }
        let frame = gif_frame(&bytes).unwrap();
        bytes[frame + 1] = 1;
        let image = crate::formats::decode(std::path::Path::new("a.gif"), &bytes).unwrap().into_rgb8();
        let rows: Vec<Vec<u8>> = image.rows().map(|row| row.map(|pixel| pixel[1]).collect()).collect();
        assert_eq!(rows, [[100, 0, 50, 100], [100, 100, 150, 100], [100; 4]]);
    }

    #[test]
    fn too_few_colours_are_an_error() {
        for (name, entries) in [("none", 0), ("one too few", 255)] {
            let found = read_bytes(&tiff(false, false, entries), &MaskCoding::Index { classes: 4 });
            assert!(found.unwrap_err().to_string().contains(&format!("a palette of {entries} colours")), "{name}");
        }
    }

    #[test]
    fn files_that_are_cut_off_are_errors() {
        for (name, whole) in [("PNG", png(BitDepth::Eight, &[0, 1, 1, 0])), ("GIF", gif(true))] {
            for length in 0..whole.len() {
                let cut = with_indices(&whole[..length]);
                assert!(cut.len() >= length, "{name}: {length}");
            }
            let half = read_bytes(&whole[..whole.len() / 2], &MaskCoding::Index { classes: 4 });
            assert!(half.unwrap_err().to_string().contains("cut off"), "{name}");
        }
    }
}
