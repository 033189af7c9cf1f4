//! DICOM files: images of one or several frames.
//!
//! ```text
//! file -> pixels (codecs, rle) -> values or color -> window -> picture
//! ```

mod codecs;
mod color;
pub(crate) mod file;
#[cfg(feature = "charls")]
mod jpeg_ls;
pub(crate) mod pixels;
mod rle;
pub(crate) mod segmentation;
pub(crate) mod series;
mod structure;
mod tables;
mod values;

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dicom_dictionary_std::tags;
use image::{DynamicImage, GrayImage, ImageBuffer};
use seg_contract::{Reading, Windowing};

use super::error::ReadError;
use super::format::{Format, Header};
use super::lazy::LazyImage;
use super::picture_path::PicturePath;
use super::reader::{ImageInfo, ImageReader};
use super::shown::{Curve, ShownWindow, WindowSource, percentiles};
use crate::picture::Picture;
use file::{DicomFile, is_dicom, items, numbers};
use pixels::{PixelLayout, Stored, samples, unread};
use segmentation::{Segmentation, is_segmentation};
use series::Slice;
use values::Values;

/// The name of the format in messages.
pub(crate) const DICOM: &str = "DICOM";

/// Explicit VR big endian, a retired transfer syntax that older files have.
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// The most values of a series that its percentiles are computed from; of more, every second, third
/// and so on is taken.
const COUNTED_MAX: u64 = 1 << 24;

/// DICOM.
pub(super) struct Dicom;

impl Format for Dicom {
    fn name(&self) -> &'static str {
        DICOM
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["dcm", "dicom"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        is_dicom(head)
    }

    fn is_known_by_content(&self) -> bool {
        true
    }

    fn stored_size(&self, path: &Path, _: BufReader<File>) -> Result<(u32, u32), ReadError> {
        let layout = PixelLayout::new(path, &DicomFile::open_head(path, path)?)?;
        Ok((layout.width, layout.height))
    }

    fn header(&self, path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
        let layout = PixelLayout::new(path, &DicomFile::parse(path, bytes, true)?)?;
        Ok(Header { width: layout.width, height: layout.height, orientation: 1 })
    }

    fn decode(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        let file = Arc::new(DicomFile::parse(path, bytes, false)?);
        let frame = Frame { path: path.into(), file, index: 0, is_alone: true };
        Ok(frame.picture(&Reading::default())?.1.into())
    }

    fn pictures(&self, path: &Path, _: &Reading) -> Result<Vec<u32>, ReadError> {
        let file = DicomFile::open_head(path, path)?;
        if is_segmentation(&file) {
            return Ok(Segmentation::new(Arc::new(file)).pictures());
        }
        let mut slices = series::slices_of(path, &file);
        series::sort(&mut slices);
        Ok(slices.iter().map(|slice| slice.frame.unwrap_or(1)).collect())
    }

    fn picture_size(&self, path: &PicturePath, file: BufReader<File>, _: &Reading) -> Result<(u32, u32), ReadError> {
        self.stored_size(&path.file, file)
    }

    fn open_picture(&self, path: &PicturePath, reading: &Reading) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        let file = DicomFile::open(&path.path, &path.file)?;
        let frame = Frame { path: path.clone(), file, index: path.index(), is_alone: false };
        frame.reader(reading).map(Some)
    }

    fn open_content(
        &self,
        name: &Path,
        content: &[u8],
        reading: &Reading,
    ) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        let file = Arc::new(DicomFile::parse(name, content, false)?);
        let pictures = file.frames() as usize;
        if pictures > 1 && !is_segmentation(&file) {
            return Err(ReadError::Several { path: name.into(), format: DICOM, pictures });
        }
        Frame { path: name.into(), file, index: 0, is_alone: true }.reader(reading).map(Some)
    }

    fn open_labels(&self, path: &PicturePath, _: &Reading) -> Result<Option<DynamicImage>, ReadError> {
        labels(path)
    }
}

/// Returns the stored values of an image as labels, or the segments of a segmentation.
fn labels(path: &PicturePath) -> Result<Option<DynamicImage>, ReadError> {
    let file = DicomFile::open(&path.path, &path.file)?;
    if is_segmentation(&file) {
        return Segmentation::new(file).labels(&path.path, path.number.unwrap_or(1)).map(Some);
    }
    let layout = PixelLayout::new(&path.path, &file)?;
    if layout.samples > 1 {
        return Ok(None);
    }
    let Stored::Integers(values) = samples(&path.path, &file, &layout, path.index())? else {
        return Err(ReadError::MaskValues { path: path.path.clone() });
    };
    let words: Option<Vec<u16>> = values.iter().map(|value| u16::try_from(*value).ok()).collect();
    let words = words.ok_or_else(|| ReadError::MaskValues { path: path.path.clone() })?;
    const FITS: &str = "a frame has a sample for each pixel";
    let (width, height) = (layout.width, layout.height);
    if words.iter().all(|word| *word <= 255) {
        let bytes = words.iter().map(|word| *word as u8).collect();
        return Ok(Some(GrayImage::from_raw(width, height, bytes).expect(FITS).into()));
    }
    Ok(Some(DynamicImage::ImageLuma16(ImageBuffer::from_raw(width, height, words).expect(FITS))))
}

impl From<&Path> for PicturePath {
    fn from(path: &Path) -> Self {
        Self { path: path.into(), file: path.into(), number: None }
    }
}

/// A frame of a file.
pub(crate) struct Frame {
    pub(crate) path: PicturePath,
    pub(crate) file: Arc<DicomFile>,
    /// The place of the frame, counted from 0.
    pub(crate) index: usize,
    /// True for a file that is in memory alone, beside which no other of its series is looked for.
    pub(crate) is_alone: bool,
}

impl Frame {
    pub(crate) fn layout(&self) -> Result<PixelLayout, ReadError> {
        PixelLayout::new(&self.path.path, &self.file)
    }

    /// Returns the reader of the picture.
    fn reader(self, reading: &Reading) -> Result<Box<dyn ImageReader>, ReadError> {
        self.refuse_segmentation()?;
        let layout = self.layout()?;
        let mut info = ImageInfo::new(layout.width, layout.height);
        info.spacing = self.spacing();
        if layout.samples == 1 && layout.photometric != "PALETTE COLOR" {
            let (curve, source) = self.curve(&layout, reading)?;
            let (low, high) = curve.ends();
            info.window = Some(ShownWindow { low, high, source });
        }
        let reading = *reading;
        Ok(Box::new(LazyImage::new(info, move || Ok(self.picture(&reading)?.1))))
    }

    fn refuse_segmentation(&self) -> Result<(), ReadError> {
        if is_segmentation(&self.file) {
            let kind = "a segmentation, which is a mask and not an image; give the images that it refers to";
            return Err(unread(&self.path.path, kind.into()));
        }
        Ok(())
    }

    /// Returns the picture, and its layout.
    fn picture(&self, reading: &Reading) -> Result<(PixelLayout, Picture), ReadError> {
        let (path, layout) = (&self.path.path, self.layout()?);
        let stored = samples(path, &self.file, &layout, self.index)?;
        let picture = match layout.photometric.as_str() {
            "PALETTE COLOR" => color::from_palette(path, &self.file, &layout, &stored)?,
            photometric @ ("MONOCHROME1" | "MONOCHROME2") => {
                let values = Values::new(path, &self.file, &layout, self.index)?.values(&stored);
                let (curve, _) = self.curve(&layout, reading)?;
                curve.picture(layout.width, layout.height, &values, photometric == "MONOCHROME1")
            }
            _ => color::picture(path, &self.file, &layout, &stored)?,
        };
        Ok((layout, picture))
    }

    /// Returns the curve by which a grey frame is shown, and its origin.
    fn curve(&self, layout: &PixelLayout, reading: &Reading) -> Result<(Curve, WindowSource), ReadError> {
        let windowing = reading.windowing();
        let found = values::curve(&self.path.path, &self.file, layout, self.index, windowing)?;
        if let Some(found) = found {
            return Ok(found);
        }
        let shares = match windowing {
            Windowing::Percentiles { low, high } => [low, high],
            _ => [Windowing::LOW, Windowing::HIGH],
        };
        let [low, high] = self.range(shares)?;
        Ok((Curve::Range(low, high), WindowSource::Percentiles))
    }

    /// Returns percentiles of the values of the series: of all its files in the folder, and all
    /// their frames. They are computed once.
    fn range(&self, shares: [f64; 2]) -> Result<[f64; 2], ReadError> {
        if self.is_alone {
            let layout = self.layout()?;
            let pixels = u64::from(layout.width) * u64::from(layout.height) * u64::from(layout.frames);
            let step = pixels.div_ceil(COUNTED_MAX).max(1) as usize;
            let mut values = Vec::new();
            for index in 0..layout.frames as usize {
                values.extend(counted(&self.path.path, &self.file, index, step)?);
            }
            return Ok(percentiles(&mut values, shares).unwrap_or([0.0, 0.0]));
        }
        type Key = (std::path::PathBuf, String, [u64; 2]);
        static KNOWN: Mutex<Option<HashMap<Key, [f64; 2]>>> = Mutex::new(None);
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.path.file.parent().unwrap_or(Path::new(""));
        let folder = if folder == Path::new("") { Path::new(".") } else { folder };
        let series = self.file.text(tags::SERIES_INSTANCE_UID);
        // A file that names no series is one of its own.
        let key = match &series {
            Some(series) => (folder.to_path_buf(), series.clone(), shares.map(f64::to_bits)),
            None => (self.path.file.clone(), String::new(), shares.map(f64::to_bits)),
        };
        if let Some(range) = known().as_ref().and_then(|known| known.get(&key)) {
            return Ok(*range);
        }
        let mut slices: Vec<Slice> = match &series {
            Some(series) => series::in_folder(folder).iter().filter(|slice| slice.series == *series).cloned().collect(),
            None => Vec::new(),
        };
        if slices.is_empty() {
            slices = series::slices_of(&self.path.file, &self.file);
        }
        let pixels: u64 = slices.iter().map(|slice| u64::from(slice.size[0]) * u64::from(slice.size[1])).sum();
        let step = pixels.div_ceil(COUNTED_MAX).max(1) as usize;
        let mut values = Vec::new();
        for slice in &slices {
            let path = PicturePath { path: slice.path(), file: slice.file.clone(), number: slice.frame };
            // One that cannot be read reports its own error, and does not keep the others from
            // being read.
            let found =
                DicomFile::open(&path.path, &path.file).and_then(|file| counted(&path.path, &file, path.index(), step));
            match found {
                Ok(found) => values.extend(found),
                Err(error) if slice.file == self.path.file => return Err(error),
                Err(_) => {}
            }
        }
        let range = percentiles(&mut values, shares).unwrap_or([0.0, 0.0]);
        known().get_or_insert_default().insert(key, range);
        Ok(range)
    }

    /// Returns the millimetres between rows and between columns, where the file says so of the
    /// patient.
    fn spacing(&self) -> Option<[f64; 2]> {
        let spacing = self.file.frame_numbers(self.index, tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING);
        let usable = |spacing: &[f64; 2]| spacing.iter().all(|spacing| spacing.is_finite() && *spacing > 0.0);
        if let Some(spacing) = <[f64; 2]>::try_from(spacing).ok().filter(usable) {
            return Some(spacing);
        }
        let regions = items(&self.file.object, tags::SEQUENCE_OF_ULTRASOUND_REGIONS);
        // With several regions, or in another unit than centimetres, pixels have no one size.
        let [region] = regions else { return None };
        let number = |tag| region.get(tag).and_then(|element| numbers(element).first().copied());
        let is_length = [tags::PHYSICAL_UNITS_X_DIRECTION, tags::PHYSICAL_UNITS_Y_DIRECTION]
            .iter()
            .all(|tag| number(*tag) == Some(3.0));
        let spacing =
            [number(tags::PHYSICAL_DELTA_Y)?, number(tags::PHYSICAL_DELTA_X)?].map(|delta: f64| 10.0 * delta.abs());
        Some(spacing).filter(|spacing| is_length && usable(spacing))
    }
}

/// Returns the values of a grey frame that count for percentiles, one of `step`; none of a frame in
/// colours.
fn counted(path: &Path, file: &DicomFile, index: usize, step: usize) -> Result<Vec<f32>, ReadError> {
    let layout = PixelLayout::new(path, file)?;
    if layout.samples != 1 || layout.photometric == "PALETTE COLOR" {
        return Ok(Vec::new());
    }
    let stored = samples(path, file, &layout, index)?;
    Ok(Values::new(path, file, &layout, index)?.counted(&stored, step))
}
