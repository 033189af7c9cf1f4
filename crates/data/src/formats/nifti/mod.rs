//! NIfTI files: volumes and images of version 1 and 2, compressed or not.

pub(crate) mod affine;
pub(crate) mod header;
pub(crate) mod volume;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::MultiGzDecoder;
use image::{DynamicImage, GrayImage, ImageBuffer, RgbImage};
use seg_contract::{Reading, Windowing};

use super::error::ReadError;
use super::format::{Format, Header};
use super::lazy::LazyImage;
use super::limits::check_size;
use super::picture_path::PicturePath;
use super::reader::{ImageInfo, ImageReader};
use super::shown::{Curve, ShownWindow, WindowSource, percentiles};
use crate::picture::Picture;
use affine::Cut;
use header::{NiftiHeader, VoxelKind, is_header};
use volume::Volume;

/// The name of the format in messages.
pub(crate) const NIFTI: &str = "NIfTI";

/// The most values of a volume that its percentiles are computed from; of more, every second, third
/// and so on is taken.
const COUNTED_MAX: u64 = 1 << 24;

/// NIfTI.
pub(super) struct Nifti;

/// Returns the way in which pictures are cut from a volume.
///
/// # Errors
/// When directions in the patient are asked for that the file does not name.
pub(crate) fn cut(path: &Path, header: &NiftiHeader, reading: &Reading) -> Result<Cut, ReadError> {
    Cut::new(reading.slices(), header.affine().as_ref()).ok_or_else(|| {
        let kind = "no orientation (sform_code and qform_code are 0), which slices in the patient's directions need; choose \
                    `--slices k`";
        ReadError::Medical { path: path.into(), format: NIFTI, kind: kind.into() }
    })
}

impl Format for Nifti {
    fn name(&self) -> &'static str {
        NIFTI
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["nii", "nii.gz"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        if !head.starts_with(&[0x1f, 0x8b]) {
            return is_header(head);
        }
        let mut unpacked = Vec::new();
        // The head of a file ends within its compressed content, which is no error here.
        let mut decoder = MultiGzDecoder::new(head).take(header::HEADER_2 as u64);
        let _ = decoder.read_to_end(&mut unpacked);
        is_header(&unpacked)
    }

    fn is_known_by_content(&self) -> bool {
        true
    }

    fn stored_size(&self, path: &Path, _: BufReader<File>) -> Result<(u32, u32), ReadError> {
        let header = Volume::read_header(path, path)?;
        size(path, &header, &cut(path, &header, &Reading::default())?)
    }

    fn header(&self, path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
        let header = Volume::parse_header(path, bytes)?;
        let (width, height) = size(path, &header, &cut(path, &header, &Reading::default())?)?;
        Ok(Header { width, height, orientation: 1 })
    }

    fn decode(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        let reading = Reading::default();
        Ok(Slice::parse(path, bytes, &reading)?.picture(&reading)?.into())
    }

    fn pictures(&self, path: &Path, reading: &Reading) -> Result<Vec<u32>, ReadError> {
        let header = Volume::read_header(path, path)?;
        let [pictures, ..] = cut(path, &header, reading)?.size(header.size);
        Ok((1..=u32::try_from(pictures).unwrap_or(u32::MAX)).collect())
    }

    fn picture_size(&self, path: &PicturePath, _: BufReader<File>, reading: &Reading) -> Result<(u32, u32), ReadError> {
        let header = Volume::read_header(&path.path, &path.file)?;
        size(&path.path, &header, &cut(&path.path, &header, reading)?)
    }

    fn open_picture(&self, path: &PicturePath, reading: &Reading) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        Slice::open(path, reading)?.reader(reading).map(Some)
    }

    fn open_content(
        &self,
        name: &Path,
        content: &[u8],
        reading: &Reading,
    ) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        Slice::parse(name, content, reading)?.reader(reading).map(Some)
    }

    fn open_labels(&self, path: &PicturePath, reading: &Reading) -> Result<Option<DynamicImage>, ReadError> {
        Slice::open(path, reading)?.labels().map(Some)
    }
}

/// Returns width and height of a picture.
fn size(path: &Path, header: &NiftiHeader, cut: &Cut) -> Result<(u32, u32), ReadError> {
    let [_, rows, columns] = cut.size(header.size).map(|size| u32::try_from(size).unwrap_or(u32::MAX));
    check_size(path, columns, rows)?;
    Ok((columns, rows))
}

/// A slice of a volume.
struct Slice {
    path: PicturePath,
    volume: Arc<Volume>,
    cut: Cut,
    /// True for a volume that is in memory alone.
    is_alone: bool,
}

impl Slice {
    fn open(path: &PicturePath, reading: &Reading) -> Result<Self, ReadError> {
        let volume = Volume::open(&path.path, &path.file)?;
        let cut = cut(&path.path, &volume.header, reading)?;
        let [pictures, ..] = cut.size(volume.header.size);
        if path.index() as u64 >= pictures {
            let found = format!("it has {pictures} slices, number {} was asked for", path.index() + 1);
            return Err(ReadError::Damaged { path: path.path.clone(), format: NIFTI, found });
        }
        Ok(Self { path: path.clone(), volume, cut, is_alone: false })
    }

    /// Opens the only slice of a file's content.
    fn parse(name: &Path, content: &[u8], reading: &Reading) -> Result<Self, ReadError> {
        let header = Volume::parse_header(name, content)?;
        let cut = cut(name, &header, reading)?;
        size(name, &header, &cut)?;
        let [pictures, ..] = cut.size(header.size);
        if pictures > 1 {
            let pictures = usize::try_from(pictures).unwrap_or(usize::MAX);
            return Err(ReadError::Several { path: name.into(), format: NIFTI, pictures });
        }
        let volume = Arc::new(Volume::parse(name, content, header)?);
        Ok(Self { path: name.into(), volume, cut, is_alone: true })
    }

    /// Returns the reader of the picture.
    fn reader(self, reading: &Reading) -> Result<Box<dyn ImageReader>, ReadError> {
        let (width, height) = self.size()?;
        let mut info = ImageInfo::new(width, height);
        let spacing = self.volume.header.spacing_mm();
        info.spacing = Some([1, 2].map(|index| spacing[self.cut.axes[index]]));
        if !self.volume.header.kind.is_color() {
            let (curve, source) = self.curve(reading)?;
            let (low, high) = curve.ends();
            info.window = Some(ShownWindow { low, high, source });
        }
        let reading = *reading;
        Ok(Box::new(LazyImage::new(info, move || self.picture(&reading))))
    }

    fn size(&self) -> Result<(u32, u32), ReadError> {
        size(&self.path.path, &self.volume.header, &self.cut)
    }

    /// Reads the bytes of the voxels, row by row.
    fn bytes(&self) -> Result<Vec<u8>, ReadError> {
        self.volume.slice(&self.path.path, &self.cut, self.path.index() as u64)
    }

    fn picture(&self, reading: &Reading) -> Result<Picture, ReadError> {
        let (width, height) = self.size()?;
        let bytes = self.bytes()?;
        let kind = self.volume.header.kind;
        if kind.is_color() {
            let pixels = bytes.chunks_exact(kind.bytes()).flat_map(|voxel| voxel[..3].to_vec()).collect();
            return Ok(Picture::Bits8(RgbImage::from_raw(width, height, pixels).expect("each voxel is a pixel")));
        }
        let (curve, _) = self.curve(reading)?;
        Ok(curve.picture(width, height, &self.volume.decode(&bytes), false))
    }

    /// Returns the values as labels.
    fn labels(&self) -> Result<DynamicImage, ReadError> {
        let (width, height) = self.size()?;
        if self.volume.header.kind.is_color() {
            return Ok(self.picture(&Reading::default())?.into());
        }
        let values = self.volume.decode(&self.bytes()?);
        let is_label = |value: &f64| (0.0..=65535.0).contains(value) && value.fract() == 0.0;
        if let Some(value) = values.iter().find(|value| !is_label(value)) {
            let kind = format!("the value {value} in a mask, expected whole numbers from 0; save it as class indices");
            return Err(ReadError::Medical { path: self.path.path.clone(), format: NIFTI, kind });
        }
        const FITS: &str = "each voxel is a pixel";
        if values.iter().all(|value| *value <= 255.0) {
            let labels = values.iter().map(|value| *value as u8).collect();
            return Ok(GrayImage::from_raw(width, height, labels).expect(FITS).into());
        }
        let labels = values.iter().map(|value| *value as u16).collect();
        Ok(DynamicImage::ImageLuma16(ImageBuffer::from_raw(width, height, labels).expect(FITS)))
    }

    /// Returns the curve by which values are shown, and its origin.
    fn curve(&self, reading: &Reading) -> Result<(Curve, WindowSource), ReadError> {
        let shares = match reading.windowing() {
            Windowing::Fixed { center, width } => return Ok((Curve::Linear(center, width), WindowSource::Given)),
            Windowing::Percentiles { low, high } => [low, high],
            Windowing::File => {
                let NiftiHeader { kind, scale, .. } = self.volume.header;
                if kind == VoxelKind::U8 && scale.is_none_or(|scale| scale == (1.0, 0.0)) {
                    return Ok((Curve::Range(0.0, 255.0), WindowSource::TypeRange));
                }
                [Windowing::LOW, Windowing::HIGH]
            }
        };
        let [low, high] = self.range(shares)?;
        Ok((Curve::Range(low, high), WindowSource::Percentiles))
    }

    /// Returns percentiles of the values of the volume, which are computed once.
    fn range(&self, shares: [f64; 2]) -> Result<[f64; 2], ReadError> {
        let voxels: u64 = self.volume.header.size.iter().product();
        let step = voxels.div_ceil(COUNTED_MAX).max(1) as usize;
        if self.is_alone {
            let mut values = self.volume.values(&self.path.path, step)?;
            return Ok(percentiles(&mut values, shares).unwrap_or([0.0, 0.0]));
        }
        type Key = (PathBuf, Option<std::time::SystemTime>, [u64; 2]);
        static KNOWN: Mutex<Option<HashMap<Key, [f64; 2]>>> = Mutex::new(None);
        let changed = self.path.file.metadata().and_then(|metadata| metadata.modified()).ok();
        let key = (self.path.file.clone(), changed, shares.map(f64::to_bits));
        // Other threads wait, as they need the same.
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(range) = known.as_ref().and_then(|known| known.get(&key)) {
            return Ok(*range);
        }
        let mut values = self.volume.values(&self.path.path, step)?;
        let range = percentiles(&mut values, shares).unwrap_or([0.0, 0.0]);
        known.get_or_insert_default().insert(key, range);
        Ok(range)
    }
}
