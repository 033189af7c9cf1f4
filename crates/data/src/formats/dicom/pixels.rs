//! The stored samples of a frame.

use std::path::Path;

use dicom_core::value::Value;
use dicom_dictionary_std::{tags, uids};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::BIG_ENDIAN;
use super::DICOM;
use super::codecs::{Coded, jpeg, jpeg_2000};
use super::file::{DicomFile, numbers};
#[cfg(feature = "charls")]
use super::jpeg_ls::jpeg_ls;
use super::rle;
use crate::formats::error::{PIXELS_MAX, ReadError};
use crate::formats::jpeg_scan::{self, Expected, Fault};
use crate::formats::limits::{check_size, reserve};

/// The layout of a frame's samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PixelLayout {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frames: u32,
    /// The samples of a pixel: 1 or 3.
    pub(crate) samples: u32,
    /// The bits that a sample takes: 1, 8, 16 or 32.
    pub(crate) allocated: u32,
    /// The bits that are used, from 0 up once they are shifted.
    pub(crate) stored: u32,
    /// The bits by which a sample is shifted to the right.
    pub(crate) shift: u32,
    pub(crate) is_signed: bool,
    /// True if all values of a colour lie one behind the other.
    pub(crate) is_planar: bool,
    /// The interpretation as colours.
    pub(crate) photometric: String,
}

/// The stored samples of a frame, pixel by pixel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stored {
    /// Integers.
    Integers(Vec<i64>),
    /// Floating-point numbers.
    Floats(Vec<f64>),
}

/// Makes the error for a kind of file that is not read.
pub(crate) fn unread(path: &Path, kind: String) -> ReadError {
    ReadError::Medical { path: path.into(), format: DICOM, kind }
}

impl PixelLayout {
    /// Reads the layout of a file's pixels.
    ///
    /// # Errors
    /// When the file has no pixels, or a layout that is not read.
    pub(crate) fn new(path: &Path, file: &DicomFile) -> Result<Self, ReadError> {
        if file.media_class == uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
            return Err(unread(path, "an index of files (DICOMDIR) instead of an image; name the files".into()));
        }
        let count = |tag| file.count(tag);
        let (Some(height), Some(width)) = (count(tags::ROWS), count(tags::COLUMNS)) else {
            return Err(unread(path, format!("no pixels, {}", class_name(&file.class()))));
        };
        check_size(path, width, height)?;
        let stored = count(tags::BITS_STORED);
        let allocated = match count(tags::BITS_ALLOCATED) {
            Some(bits @ (1 | 8 | 16 | 32 | 64)) => bits,
            bits => {
                let bits = bits.map_or("none".into(), |bits| bits.to_string());
                return Err(unread(
                    path,
                    format!("samples with Bits Allocated (0028,0100) {bits}, expected 1, 8, 16 or 32"),
                ));
            }
        };
        let stored = stored.unwrap_or(allocated);
        let high = count(tags::HIGH_BIT).unwrap_or(stored.saturating_sub(1));
        if stored == 0 || stored > allocated || high >= allocated || high + 1 < stored {
            let kind = format!(
                "{stored} bits (0028,0101) up to bit {high} (0028,0102) in samples of {allocated} bits (0028,0100), which \
                 contradict each other"
            );
            return Err(unread(path, kind));
        }
        let samples = count(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let photometric = file.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_else(|| "MONOCHROME2".into());
        let expected = match photometric.as_str() {
            "MONOCHROME1" | "MONOCHROME2" | "PALETTE COLOR" => 1,
            "RGB" | "YBR_FULL" | "YBR_FULL_422" | "YBR_RCT" | "YBR_ICT" => 3,
            other => {
                return Err(unread(path, format!("the photometric interpretation (0028,0004) `{other}`")));
            }
        };
        if samples != expected {
            return Err(unread(path, format!("{samples} samples a pixel (0028,0002) that are {photometric}")));
        }
        let frames = file.frames();
        Ok(Self {
            width,
            height,
            frames,
            samples,
            allocated,
            stored,
            shift: high + 1 - stored,
            is_signed: count(tags::PIXEL_REPRESENTATION) == Some(1),
            is_planar: samples > 1 && count(tags::PLANAR_CONFIGURATION) == Some(1),
            photometric,
        })
    }

    /// Returns the samples of a frame.
    fn samples_of_frame(&self) -> usize {
        self.width as usize * self.height as usize * self.samples as usize
    }

    /// Converts a sample as it is allocated to its value: takes the bits that are used, and extends
    /// the sign.
    fn value(&self, sample: u32) -> i64 {
        let mask = u32::MAX >> (32 - self.stored.min(32));
        let bits = (sample >> self.shift) & mask;
        let sign = 1_u32 << (self.stored.min(32) - 1);
        if self.is_signed && bits & sign != 0 { i64::from(bits) - i64::from(mask) - 1 } else { i64::from(bits) }
    }
}

/// Returns the name and the uid of a SOP class.
pub(crate) fn class_name(uid: &str) -> String {
    use dicom_core::dictionary::UidDictionary;
    match dicom_dictionary_std::sop_class::StandardSopClassDictionary.by_uid(uid) {
        Some(entry) => format!("{} ({uid})", entry.name),
        None if uid.is_empty() => "whose SOP class (0008,0016) is not named".into(),
        None => format!("SOP class {uid}"),
    }
}

/// Reads the stored samples of a frame, counted from 0.
///
/// # Errors
/// When the frame is not there, is damaged, or of a transfer syntax that is not read.
pub(crate) fn samples(path: &Path, file: &DicomFile, layout: &PixelLayout, frame: usize) -> Result<Stored, ReadError> {
    let damaged = |found: String| ReadError::Damaged { path: path.into(), format: DICOM, found };
    if frame >= layout.frames as usize {
        return Err(damaged(format!("it has {} frames, number {} was asked for", layout.frames, frame + 1)));
    }
    reserve(path, 8 * layout.samples_of_frame() as u64)?;
    if let Some(floats) = floats(path, file, layout, frame)? {
        return Ok(Stored::Floats(floats));
    }
    let Some(element) = file.object.get(tags::PIXEL_DATA) else {
        return Err(unread(path, format!("no pixels, {}", class_name(&file.class()))));
    };
    if layout.allocated == 64 {
        return Err(unread(path, "integers of 64 bits".into()));
    }
    let samples = match element.value() {
        Value::PixelSequence(sequence) => {
            let content = encapsulated(path, file, layout, sequence.fragments(), sequence.offset_table(), frame)?;
            decoded(path, file, layout, &content)?
        }
        Value::Primitive(value) => {
            refuse_unless_native(path, file)?;
            let bytes = value.to_bytes();
            native(layout, &bytes, frame, has_high_word_first(file)).ok_or_else(|| {
                let expected = native_bits(layout).saturating_mul(u64::from(layout.frames)).div_ceil(8);
                damaged(format!("its pixels have {} bytes, expected {expected}", bytes.len()))
            })?
        }
        Value::Sequence(_) => return Err(damaged("its pixels (7FE0,0010) are a sequence".into())),
    };
    Ok(Stored::Integers(samples.into_iter().map(|sample| layout.value(sample)).collect()))
}

/// Refuses a file whose pixels should be compressed but are not.
fn refuse_unless_native(path: &Path, file: &DicomFile) -> Result<(), ReadError> {
    match TransferSyntaxRegistry.get(&file.syntax) {
        Some(syntax) if syntax.is_encapsulated_pixel_data() => {
            let found =
                format!("its pixels are not compressed, although its transfer syntax is {}", name(&file.syntax));
            Err(ReadError::Damaged { path: path.into(), format: DICOM, found })
        }
        _ => Ok(()),
    }
}

/// Returns the name and the uid of a transfer syntax.
pub(crate) fn name(uid: &str) -> String {
    match TransferSyntaxRegistry.get(uid) {
        Some(syntax) => format!("{} ({uid})", syntax.name()),
        None => uid.into(),
    }
}

/// Reads floating-point pixels; `None` where there are none.
fn floats(path: &Path, file: &DicomFile, layout: &PixelLayout, frame: usize) -> Result<Option<Vec<f64>>, ReadError> {
    let tag = [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA].into_iter().find_map(|tag| file.object.get(tag));
    let Some(element) = tag else { return Ok(None) };
    let all = numbers(element);
    let count = layout.samples_of_frame();
    match all.get(frame * count..(frame + 1) * count) {
        Some(values) => Ok(Some(values.to_vec())),
        None => {
            let found = format!("it has {} floating-point pixels, expected {count} a frame", all.len());
            Err(ReadError::Damaged { path: path.into(), format: DICOM, found })
        }
    }
}

/// Returns the bits of a frame that is not compressed.
fn native_bits(layout: &PixelLayout) -> u64 {
    let pixels = u64::from(layout.width) * u64::from(layout.height);
    let samples = if layout.photometric == "YBR_FULL_422" { 2 } else { u64::from(layout.samples) };
    pixels * samples * u64::from(layout.allocated)
}

/// Returns whether the first word of a sample of 32 bits is the high one: in big-endian files the
/// bytes of each word are put in order, but not the words.
fn has_high_word_first(file: &DicomFile) -> bool {
    file.syntax == BIG_ENDIAN
}

/// Returns the samples of a frame that is not compressed, pixel by pixel; `None` where bytes are
/// missing.
fn native(layout: &PixelLayout, bytes: &[u8], frame: usize, high_word_first: bool) -> Option<Vec<u32>> {
    let bits = native_bits(layout);
    if layout.allocated == 1 {
        // Frames follow each other without filling, the lowest bit first.
        let start = usize::try_from(bits).ok()?.checked_mul(frame)?;
        let end = start.checked_add(bits as usize)?;
        if end.div_ceil(8) > bytes.len() {
            return None;
        }
        return Some((start..end).map(|bit| u32::from(bytes[bit / 8] >> (bit % 8) & 1)).collect());
    }
    let length = usize::try_from(bits / 8).ok()?;
    let start = length.checked_mul(frame)?;
    let bytes = bytes.get(start..start.checked_add(length)?)?;
    let samples: Vec<u32> = match layout.allocated {
        8 => bytes.iter().map(|byte| u32::from(*byte)).collect(),
        16 => bytes.chunks_exact(2).map(|word| u32::from(u16::from_le_bytes([word[0], word[1]]))).collect(),
        _ => {
            let number = |word: &[u8]| u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            let rotation = if high_word_first { 16 } else { 0 };
            bytes.chunks_exact(4).map(|word| number(word).rotate_left(rotation)).collect()
        }
    };
    if layout.photometric == "YBR_FULL_422" {
        // Two pixels: two lumas and the colour differences that they share.
        let pairs = samples.chunks_exact(4);
        return Some(pairs.flat_map(|pair| [pair[0], pair[2], pair[3], pair[1], pair[2], pair[3]]).collect());
    }
    Some(if layout.is_planar { interleaved(&samples) } else { samples })
}

/// Makes pixels of three planes.
pub(super) fn interleaved(planes: &[u32]) -> Vec<u32> {
    let length = planes.len() / 3;
    (0..length).flat_map(|place| [planes[place], planes[length + place], planes[2 * length + place]]).collect()
}

/// Returns the compressed content of a frame, whose fragments are joined.
fn encapsulated(
    path: &Path,
    file: &DicomFile,
    layout: &PixelLayout,
    fragments: &[Vec<u8>],
    offsets: &[u32],
    frame: usize,
) -> Result<Vec<u8>, ReadError> {
    let frames = layout.frames as usize;
    if fragments.len() == frames {
        return Ok(fragments[frame].clone());
    }
    if frames == 1 && !fragments.is_empty() {
        return Ok(fragments.concat());
    }
    // The places of fragments, counted from the first one's item.
    let mut places = Vec::with_capacity(fragments.len());
    let mut place = 0_u64;
    for fragment in fragments {
        places.push(place);
        place += 8 + fragment.len() as u64;
    }
    let extended = file.object.get(tags::EXTENDED_OFFSET_TABLE).and_then(|element| element.to_bytes().ok());
    let extended: Vec<u64> = extended.map_or_else(Vec::new, |bytes| {
        bytes.chunks_exact(8).map(|offset| u64::from_le_bytes(offset.try_into().expect("eight bytes"))).collect()
    });
    let starts: Vec<u64> = if extended.len() == frames {
        extended
    } else if offsets.len() == frames {
        offsets.iter().map(|offset| u64::from(*offset)).collect()
    } else {
        // Each frame begins as a file of its compression does.
        let begins = |fragment: &Vec<u8>| {
            fragment.starts_with(&[0xff, 0xd8])
                || fragment.starts_with(&[0xff, 0x4f])
                || fragment.starts_with(b"\0\0\0\x0cjP")
        };
        fragments.iter().zip(&places).filter(|(fragment, _)| begins(fragment)).map(|(_, place)| *place).collect()
    };
    let found = (starts.len() == frames).then(|| {
        let start = places.iter().position(|place| *place == starts[frame])?;
        let end = match starts.get(frame + 1) {
            Some(next) => places.iter().position(|place| place == next)?,
            None => fragments.len(),
        };
        fragments.get(start..end).filter(|part| !part.is_empty()).map(<[_]>::concat)
    });
    found.flatten().ok_or_else(|| {
        let found = format!("its {} fragments cannot be divided among {frames} frames", fragments.len());
        ReadError::Damaged { path: path.into(), format: DICOM, found }
    })
}

/// Decodes a compressed frame.
fn decoded(path: &Path, file: &DicomFile, layout: &PixelLayout, content: &[u8]) -> Result<Vec<u32>, ReadError> {
    let expected = layout.samples_of_frame();
    if expected as u64 > 3 * PIXELS_MAX {
        return Err(ReadError::Size { path: path.into(), width: layout.width, height: layout.height });
    }
    let refuse = |source: Box<dyn std::error::Error + Send + Sync>| ReadError::Decode {
        path: path.into(),
        format: DICOM,
        source,
    };
    let coded = match file.syntax.as_str() {
        uids::RLE_LOSSLESS => {
            let bytes = layout.allocated.div_ceil(8) as usize;
            let planes = rle::decode(content, layout.samples as usize, bytes, expected / layout.samples as usize);
            let planes = planes.map_err(|found| ReadError::Damaged { path: path.into(), format: DICOM, found })?;
            let samples = if layout.samples == 3 { interleaved(&planes) } else { planes };
            Coded { width: layout.width, height: layout.height, samples }
        }
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT | uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => {
            if file.syntax == uids::JPEG_EXTENDED12_BIT && layout.stored > 8 {
                let kind = format!("{} bits in the transfer syntax {}", layout.stored, name(&file.syntax));
                return Err(unread(path, format!("{kind}; convert it: `gdcmconv --raw` or `dcmdjpeg`")));
            }
            if matches!(file.syntax.as_str(), uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT) {
                check_jpeg(path, layout, content)?;
            }
            jpeg(content, layout, expected).map_err(refuse)?
        }
        uids::JPEG2000_LOSSLESS | uids::JPEG2000 | uids::HTJ2K_LOSSLESS | uids::HTJ2K_LOSSLESS_RPCL | uids::HTJ2K => {
            jpeg_2000(content, layout).map_err(refuse)?
        }
        #[cfg(feature = "charls")]
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => jpeg_ls(content, layout).map_err(refuse)?,
        other => {
            return Err(unread(path, format!("pixels in the transfer syntax {}; {}", name(other), remedy(other))));
        }
    };
    let found = (coded.width, coded.height, coded.samples.len());
    if found != (layout.width, layout.height, expected) {
        let found = format!(
            "a frame is {}x{} with {} samples, expected {}x{} with {expected}",
            found.0, found.1, found.2, layout.width, layout.height
        );
        return Err(ReadError::Damaged { path: path.into(), format: DICOM, found });
    }
    Ok(coded.samples)
}

/// Returns the remedy for pixels in a transfer syntax that is not read.
fn remedy(uid: &str) -> &'static str {
    let number = uid.strip_prefix("1.2.840.10008.1.2.4.").and_then(|number| number.split('.').next()?.parse().ok());
    match number {
        Some(80 | 81) => "convert it: `dcmdjpls`, or build this program with `--features charls`",
        Some(100..=108) => "save the frames of the film as PNG, as `ffmpeg` does",
        Some(110..=112) => "save it in another transfer syntax where it comes from, or its frames as PNG",
        _ => "convert it: `gdcmconv --raw`",
    }
}

/// Checks that the compressed data of a frame hold every block, as the decoder invents those that
/// are missing.
fn check_jpeg(path: &Path, layout: &PixelLayout, content: &[u8]) -> Result<(), ReadError> {
    let expected = Expected { width: layout.width, heights: [layout.height; 2] };
    jpeg_scan::check(content, expected).map_err(|fault| match fault {
        Fault::Damaged(found) => ReadError::Damaged { path: path.into(), format: DICOM, found },
        Fault::Kind(kind) => unread(path, format!("JPEG of the kind {kind}; convert it: `gdcmconv --raw`")),
        Fault::Memory(bytes) => ReadError::Memory { path: path.into(), bytes },
    })
}

/// Returns whether the decoder of a compressed file has converted its colours to red, green and
/// blue.
pub(crate) fn is_converted(file: &DicomFile) -> bool {
    use uids::{
        HTJ2K, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, JPEG_BASELINE8_BIT, JPEG_EXTENDED12_BIT, JPEG2000,
        JPEG2000_LOSSLESS,
    };
    [JPEG_BASELINE8_BIT, JPEG_EXTENDED12_BIT, JPEG2000, JPEG2000_LOSSLESS, HTJ2K, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL]
        .contains(&file.syntax.as_str())
}
