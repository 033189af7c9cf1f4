//! Strips and tiles of the kinds of TIFF that the decoder reads under other tags, or not at all.

use std::io::{Read, Seek};
use std::path::Path;

use tiff::decoder::{Decoder, DecodingResult};

use super::error::ReadError;
use super::jpeg_scan::{self, Expected, Fault};
use super::tiff_band::{Band, Place};
use super::tiff_codecs::Codec;
use super::tiff_fax::{self, FaxCode};
use super::tiff_layout::{CMYK, JPEG, Layout, OLD_JPEG};
use super::tiff_samples::{Samples, to_colors};
use super::tiff_view::View;

/// The name of the format in messages.
pub(super) const TIFF: &str = "TIFF";

/// The largest strip or tile that is read, in bytes.
pub(super) const CHUNK_BYTES_MAX: usize = 1 << 30;

/// Decodes a row of chunks of a file under other tags; `None` if a chunk has too few values.
pub(super) fn view_band<R: Read + Seek>(
    path: &Path,
    layout: &Layout,
    decoder: &mut Decoder<View<R>>,
    index: u32,
    [height, width]: [u32; 2],
) -> Result<Option<Band>, ReadError> {
    let is_cmyk = layout.interpretation == CMYK;
    let [chunk_rows, columns] = layout.chunk;
    let across = width.div_ceil(columns);
    let plane_chunks = across * layout.height.div_ceil(chunk_rows);
    let colors = if layout.has_three_colors() { 3 } else { 1 };
    let planes = if layout.is_planar { colors } else { 1 };
    // Tiles have all their rows, the last strip those that the image has.
    let rows = if layout.is_tiled { chunk_rows } else { height } as usize;
    let pixels = height as usize * width as usize;
    let mut band: Option<Band> = None;
    for (column, plane) in (0..across).flat_map(|column| (0..planes).map(move |plane| (column, plane))) {
        let chunk = plane * plane_chunks + index * across + column;
        let decoded = decoded_chunk(path, layout, decoder, chunk, [height as usize, rows])?;
        let Some(samples) = Samples::new(path, layout, decoded, rows)? else { return Ok(None) };
        let place = Place {
            channels: if is_cmyk { 3 } else { usize::from(layout.samples_together()) },
            size: [height as usize, columns as usize],
            left: (column * columns) as usize,
            width: width as usize,
        };
        // The sample for each of red, green and blue; of a plane only its own colour is set.
        let colors = match (layout.is_planar, colors) {
            (true, 3) => [0, 1, 2].map(|color| (color == plane).then_some(0)),
            (false, 3) => [Some(0), Some(1), Some(2)],
            _ => [Some(0); 3],
        };
        match (samples, &mut band) {
            (Samples::Bits8(values), None) => {
                let mut target = vec![[0; 3]; pixels];
                place.copy_colors(&values, &mut target, colors);
                band = Some(Band::Bits8(target));
            }
            (Samples::Bits16(values), None) => {
                let mut target = vec![[0; 3]; pixels];
                place.copy_colors(&values, &mut target, colors);
                band = Some(Band::Bits16(target));
            }
            (Samples::Float(values), None) => {
                let mut target = vec![[0.0; 3]; pixels];
                place.copy_colors(&values, &mut target, colors);
                band = Some(Band::Float(target));
            }
            (Samples::Bits8(values), Some(Band::Bits8(target))) => place.copy_colors(&values, target, colors),
            (Samples::Bits16(values), Some(Band::Bits16(target))) => place.copy_colors(&values, target, colors),
            (Samples::Float(values), Some(Band::Float(target))) => place.copy_colors(&values, target, colors),
            _ => return Ok(None),
        }
    }
    Ok(band.map(|band| to_colors(layout, band)))
}

/// Decodes a strip of some rows in a fax code to packed bits.
fn fax_chunk<R: Read + Seek>(
    path: &Path,
    layout: &Layout,
    decoder: &mut Decoder<View<R>>,
    chunk: u32,
    code: FaxCode,
    rows: usize,
) -> Result<Vec<u8>, ReadError> {
    let bytes = chunk_bytes(path, layout, decoder, chunk)?;
    tiff_fax::decode(&bytes, code, [rows, layout.chunk[1] as usize]).ok_or_else(|| ReadError::Damaged {
        path: path.into(),
        format: TIFF,
        found: format!("the fax code of strip {chunk} has no meaning or ends early"),
    })
}

/// Reads the bytes of a strip or a tile as the file holds them.
fn chunk_bytes<R: Read + Seek>(
    path: &Path,
    layout: &Layout,
    decoder: &mut Decoder<View<R>>,
    chunk: u32,
) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError::File { path: path.into(), source };
    let (place, count) = (layout.places[chunk as usize], layout.counts[chunk as usize]);
    let mut bytes = Vec::new();
    let view = decoder.inner();
    view.seek_file(place).map_err(failed)?;
    view.by_ref().take(count.min(CHUNK_BYTES_MAX as u64)).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Decodes a strip or a tile, of which the image has `height` rows and the samples fill `rows`.
fn decoded_chunk<R: Read + Seek>(
    path: &Path,
    layout: &Layout,
    decoder: &mut Decoder<View<R>>,
    chunk: u32,
    [height, rows]: [usize; 2],
) -> Result<DecodingResult, ReadError> {
    let refuse = |source: Box<dyn std::error::Error + Send + Sync>| ReadError::Decode {
        path: path.into(),
        format: TIFF,
        source,
    };
    if let Some(code) = layout.fax_code() {
        return Ok(DecodingResult::U8(fax_chunk(path, layout, decoder, chunk, code, rows)?));
    }
    let mut codec = layout.codec();
    let mut content = Vec::new();
    if matches!(layout.compression, JPEG | OLD_JPEG) {
        content = jpeg_file(layout, chunk_bytes(path, layout, decoder, chunk)?);
        if jpeg_scan::is_lossless(&content) {
            codec = Some(Codec::Jpeg);
        } else {
            check_jpeg(path, layout, &content, chunk, height as u32)?;
        }
    } else if codec.is_some() {
        content = chunk_bytes(path, layout, decoder, chunk)?;
    }
    match codec {
        Some(codec) => codec.decode(layout, &content, rows).map_err(refuse),
        None => decoder.read_chunk(chunk).map_err(|source| refuse(source.into())),
    }
}

/// Returns the JPEG file of a strip or a tile, with the tables that all have in common.
fn jpeg_file(layout: &Layout, bytes: Vec<u8>) -> Vec<u8> {
    let tables = layout.jpeg_tables.strip_suffix(b"\xff\xd9").unwrap_or(&layout.jpeg_tables);
    if tables.is_empty() { bytes } else { [tables, bytes.get(2..).unwrap_or_default()].concat() }
}

/// Checks that a strip or a tile in JPEG is whole and of its size, with so many rows of the image:
/// the decoder invents what is missing. The last strip may have the rows of the others.
fn check_jpeg(path: &Path, layout: &Layout, content: &[u8], chunk: u32, height: u32) -> Result<(), ReadError> {
    let [rows, width] = layout.chunk;
    let expected = Expected { width, heights: [if layout.is_tiled { rows } else { height }, rows] };
    jpeg_scan::check(content, expected).map_err(|fault| match fault {
        Fault::Damaged(found) => {
            ReadError::Damaged { path: path.into(), format: TIFF, found: format!("strip or tile {chunk}: {found}") }
        }
        Fault::Kind(kind) => ReadError::Kind { path: path.into(), format: TIFF, kind: kind.into() },
        Fault::Memory(bytes) => ReadError::Memory { path: path.into(), bytes },
    })
}
