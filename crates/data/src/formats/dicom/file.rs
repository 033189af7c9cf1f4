//! A DICOM file in memory, and its attributes.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Length, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::meta::FileMetaTable;
use dicom_object::{InMemDicomObject, OpenFileOptions};
use dicom_transfer_syntax_registry::entries::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};
use flate2::read::DeflateDecoder;

use super::DICOM;
use super::structure::{Part, UnknownSequence, check_structure};
use crate::formats::error::ReadError;
use crate::formats::file::read_file;

/// The bytes before the signature.
const PREAMBLE: usize = 128;
/// The signature.
const SIGNATURE: &[u8; 4] = b"DICM";
/// The bytes that are read of a file for its attributes without the pixels, first and second.
const HEAD_BYTES: [u64; 2] = [1 << 16, 1 << 24];
/// The largest compressed data set that is unpacked, in bytes.
const UNPACKED_BYTES_MAX: u64 = 1 << 32;

/// The most files of several frames that stay in memory, and the most bytes of all.
const KEPT_FILES: usize = 128;
const KEPT_BYTES_MAX: u64 = 1 << 30;

/// A file in memory.
#[derive(Debug)]
pub(crate) struct DicomFile {
    /// The data set.
    pub(crate) object: InMemDicomObject,
    /// The uid of the transfer syntax.
    pub(crate) syntax: String,
    /// The uid of the SOP class that the meta group names.
    pub(crate) media_class: String,
}

/// Returns whether a file that begins with these bytes is a DICOM file.
pub(crate) fn is_dicom(head: &[u8]) -> bool {
    head.get(PREAMBLE..PREAMBLE + SIGNATURE.len()) == Some(SIGNATURE)
}

impl DicomFile {
    /// Reads a file. One of several frames stays in memory for the others.
    pub(crate) fn open(named: &Path, path: &Path) -> Result<Arc<Self>, ReadError> {
        type Kept = (std::path::PathBuf, u64, Option<SystemTime>, Arc<DicomFile>);
        static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
        let metadata = path.metadata().map_err(|source| ReadError::File { path: named.into(), source })?;
        let (length, changed) = (metadata.len(), metadata.modified().ok());
        let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |entry: &&Kept| entry.0 == path && entry.1 == length && entry.2 == changed;
        if let Some((.., file)) = kept().iter().find(is_same) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(Self::parse(named, &read_file(path)?, false)?);
        if file.frames() > 1 && length <= KEPT_BYTES_MAX {
            let mut kept = kept();
            kept.insert(0, (path.into(), length, changed, Arc::clone(&file)));
            let mut bytes = 0;
            let fits = |kept: &Kept| {
                bytes += kept.1;
                bytes <= KEPT_BYTES_MAX
            };
            let count = kept.iter().map(fits).take_while(|fits| *fits).count();
            kept.truncate(count.clamp(1, KEPT_FILES));
        }
        Ok(file)
    }

    /// Reads the attributes before the pixels.
    pub(crate) fn open_head(named: &Path, path: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::File { path: named.into(), source };
        for bytes_max in HEAD_BYTES {
            let mut bytes = Vec::new();
            File::open(path).map_err(failed)?.take(bytes_max).read_to_end(&mut bytes).map_err(failed)?;
            let is_whole = (bytes.len() as u64) < bytes_max;
            match Self::parse(named, &bytes, true) {
                // It may only be cut off by the limit.
                Err(_) if !is_whole => {}
                result => return result,
            }
        }
        Self::parse(named, &read_file(path)?, true)
    }

    /// Parses the content of a file, or its attributes before the pixels.
    pub(crate) fn parse(path: &Path, bytes: &[u8], is_head: bool) -> Result<Self, ReadError> {
        let refuse = |source: Box<dyn std::error::Error + Send + Sync>| ReadError::Decode {
            path: path.into(),
            format: DICOM,
            source,
        };
        if !is_dicom(bytes) {
            return Err(ReadError::CutOff { path: path.into(), format: DICOM });
        }
        let content = &bytes[PREAMBLE..];
        let meta = content.get(SIGNATURE.len()..).unwrap_or_default();
        check_structure(path, meta, uids::EXPLICIT_VR_LITTLE_ENDIAN, Part::Meta)?;
        let mut cursor = Cursor::new(content);
        let meta = FileMetaTable::from_reader(&mut cursor).map_err(|source| refuse(source.into()))?;
        let syntax = trimmed(meta.transfer_syntax()).to_owned();
        let media_class = trimmed(meta.media_storage_sop_class_uid()).to_owned();
        let data = content.get(cursor.position() as usize..).unwrap_or_default();
        let read_failed = |source: dicom_object::ReadError| refuse(source.into());
        let (mut object, unknown, data) = if syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
            let mut unpacked = Vec::new();
            let mut decoder = DeflateDecoder::new(data).take(UNPACKED_BYTES_MAX);
            decoder.read_to_end(&mut unpacked).map_err(|source| refuse(source.into()))?;
            let unknown = check_structure(path, &unpacked, uids::EXPLICIT_VR_LITTLE_ENDIAN, Part::All)?;
            unknown.iter().for_each(|sequence| sequence.close(&mut unpacked));
            let explicit = EXPLICIT_VR_LITTLE_ENDIAN.erased();
            let object = InMemDicomObject::read_dataset_with_ts(unpacked.as_slice(), &explicit).map_err(read_failed)?;
            (object, unknown, Cow::Owned(unpacked))
        } else {
            let unknown = check_structure(path, data, &syntax, if is_head { Part::Head } else { Part::All })?;
            let mut closed = Cow::Borrowed(content);
            for sequence in &unknown {
                sequence.close(&mut closed.to_mut()[content.len() - data.len()..]);
            }
            let options = OpenFileOptions::new();
            let options = if is_head { options.read_until(tags::PIXEL_DATA) } else { options };
            let object = options.from_reader(closed.as_ref()).map_err(read_failed)?.into_inner();
            (object, unknown, Cow::Borrowed(data))
        };
        put_known(&mut object, &data, &unknown).map_err(read_failed)?;
        Ok(Self { object, syntax, media_class })
    }

    /// Returns the number of frames.
    pub(crate) fn frames(&self) -> u32 {
        let frames = self.object.get(tags::NUMBER_OF_FRAMES).and_then(|element| numbers(element).first().copied());
        frames.filter(|frames| *frames >= 1.0).map_or(1, |frames| frames as u32)
    }

    /// Returns the uid of the SOP class.
    pub(crate) fn class(&self) -> String {
        self.text(tags::SOP_CLASS_UID).unwrap_or_else(|| self.media_class.clone())
    }

    /// Returns an attribute of a frame: that of the frame's item in a functional group, else of the
    /// group that all frames share, else of the data set.
    pub(crate) fn of_frame(&self, frame: usize, group: Tag, tag: Tag) -> Option<&InMemElement> {
        let per_frame = items(&self.object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).get(frame);
        let shared = items(&self.object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
        for groups in [per_frame, shared].into_iter().flatten() {
            if let Some(element) = items(groups, group).first().and_then(|item| item.get(tag)) {
                return Some(element);
            }
        }
        self.object.get(tag)
    }

    /// Returns the numbers of an attribute of a frame, as [`of_frame`](Self::of_frame); none if it
    /// is not there.
    pub(crate) fn frame_numbers(&self, frame: usize, group: Tag, tag: Tag) -> Vec<f64> {
        self.of_frame(frame, group, tag).map(numbers).unwrap_or_default()
    }

    /// Returns the text of an attribute, without filling.
    pub(crate) fn text(&self, tag: Tag) -> Option<String> {
        self.object.get(tag).and_then(text)
    }

    /// Returns the first number of an attribute.
    pub(crate) fn number(&self, tag: Tag) -> Option<f64> {
        numbers(self.object.get(tag)?).first().copied()
    }

    /// Returns a whole number that is not negative.
    pub(crate) fn count(&self, tag: Tag) -> Option<u32> {
        self.number(tag).filter(|number| (0.0..=f64::from(u32::MAX)).contains(number)).map(|number| number as u32)
    }
}

/// Returns the items of a sequence; none if it is not there.
pub(crate) fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|element| element.value().items()).unwrap_or_default()
}

/// Puts the sequences into an object that its writer did not know and the dictionary does.
fn put_known(
    object: &mut InMemDicomObject,
    data: &[u8],
    unknown: &[UnknownSequence],
) -> Result<(), dicom_object::ReadError> {
    let is_known = |tag| StandardDataDictionary.by_tag(tag).is_some_and(|entry| entry.vr().relaxed() == VR::SQ);
    for UnknownSequence { tag, bytes, .. } in
        unknown.iter().filter(|sequence| sequence.is_outermost && is_known(sequence.tag))
    {
        let mut sequence: Vec<u8> = [tag.0, tag.1].into_iter().flat_map(u16::to_le_bytes).collect();
        sequence.extend(Length::UNDEFINED.0.to_le_bytes());
        sequence.extend(&data[bytes.start + UnknownSequence::HEAD_BYTES..bytes.end]);
        let implicit = IMPLICIT_VR_LITTLE_ENDIAN.erased();
        let read = InMemDicomObject::read_dataset_with_ts(sequence.as_slice(), &implicit)?;
        read.into_iter().for_each(|element| drop(object.put(element)));
    }
    Ok(())
}

/// Returns the numbers of an element, of whatever representation; none if it holds something else.
pub(crate) fn numbers(element: &InMemElement) -> Vec<f64> {
    if element.header().len == Length(0) {
        return Vec::new();
    }
    match element.to_multi_float64() {
        Ok(numbers) => numbers,
        // Decimal strings are often padded with NULs.
        Err(_) => match element.to_str() {
            Ok(text) => text.split('\\').filter_map(|number| trimmed(number).parse().ok()).collect(),
            Err(_) => Vec::new(),
        },
    }
}

/// Returns the text of an element without filling; `None` of an empty one.
pub(crate) fn text(element: &InMemElement) -> Option<String> {
    let text = element.to_str().ok()?;
    let text = trimmed(&text);
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns a text without the blanks and NULs that fill it.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\0' || c.is_whitespace())
}
