//! The voxels of a NIfTI file, read slice by slice.
//!
//! A compressed volume is unpacked once: into memory if it is small, else into a temporary file
//! without a name. So a volume of any size takes the memory of a few slices.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;

use super::NIFTI;
use super::affine::Cut;
use super::header::{HEADER_2, NiftiHeader, VoxelKind};
use crate::formats::error::ReadError;

/// The bytes of an unpacked volume up to which it stays in memory.
const MEMORY_BYTES_MAX: u64 = 1 << 28;
/// The bytes of slices that are kept where a slice takes voxels from all of the file.
const BLOCK_BYTES: u64 = 1 << 26;
/// The values that are read at once where all are.
const VALUES_AT_ONCE: u64 = 1 << 20;
/// The volumes that stay open, and the bytes of those in memory.
const KEPT_VOLUMES: usize = 128;
const KEPT_BYTES_MAX: u64 = 1 << 30;

/// A volume.
pub(crate) struct Volume {
    pub(crate) header: NiftiHeader,
    voxels: Mutex<Voxels>,
}

/// The bytes of all voxels.
struct Voxels {
    source: Source,
    /// The slices that were read last: the axis, the first one, and their bytes one by one.
    block: Option<(usize, u64, Vec<u8>)>,
}

enum Source {
    Memory(Vec<u8>),
    /// A file, and the place of the first voxel.
    File(File, u64),
}

/// Opens a file and returns a reader of its content, unpacked if it is compressed.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut head = [0; 2];
    let is_packed = file.read_exact(&mut head).is_ok() && head == [0x1f, 0x8b];
    file.rewind()?;
    // Files may be made of several packed parts.
    Ok(if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// Returns a reader of content, unpacked if it is compressed.
fn unpacked(content: &[u8]) -> Box<dyn Read + '_> {
    if content.starts_with(&[0x1f, 0x8b]) { Box::new(MultiGzDecoder::new(content)) } else { Box::new(content) }
}

/// Reads as many bytes as there are, up to a number.
fn read_up_to(reader: impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    reader.take(bytes as u64).read_to_end(&mut content)?;
    Ok(content)
}

/// Returns the path of the voxels of a header with a file of its own.
fn pair(path: &Path) -> PathBuf {
    let name = path.to_string_lossy();
    match name.strip_suffix(".hdr.gz") {
        Some(stem) => format!("{stem}.img.gz").into(),
        None => path.with_extension("img"),
    }
}

impl Volume {
    /// Opens a file; the last volumes stay open.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged or cut off.
    pub(crate) fn open(named: &Path, path: &Path) -> Result<Arc<Self>, ReadError> {
        type Kept = (PathBuf, u64, Option<SystemTime>, Arc<Volume>);
        static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
        let metadata = path.metadata().map_err(|source| ReadError::File { path: named.into(), source })?;
        let (length, changed) = (metadata.len(), metadata.modified().ok());
        // Other threads wait, as they would unpack the same volume.
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.iter().find(|kept| kept.0 == path && kept.1 == length && kept.2 == changed) {
            return Ok(Arc::clone(&found.3));
        }
        let header = Self::read_header(named, path)?;
        let source = Self::unpack(named, path, &header)?;
        let volume = Arc::new(Self { header, voxels: Mutex::new(Voxels { source, block: None }) });
        kept.insert(0, (path.into(), length, changed, Arc::clone(&volume)));
        let mut bytes = 0;
        let fits = |kept: &Kept| {
            bytes += kept.3.memory_bytes();
            bytes <= KEPT_BYTES_MAX
        };
        let count = kept.iter().map(fits).take_while(|fits| *fits).count();
        kept.truncate(count.clamp(1, KEPT_VOLUMES));
        Ok(volume)
    }

    /// Returns the memory that it takes while it stays open.
    fn memory_bytes(&self) -> u64 {
        match &self.voxels.lock().unwrap_or_else(PoisonError::into_inner).source {
            Source::Memory(content) => content.len() as u64,
            Source::File(..) => 0,
        }
    }

    /// Reads the header of a file.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged or cut off.
    pub(crate) fn read_header(named: &Path, path: &Path) -> Result<NiftiHeader, ReadError> {
        let head =
            open(path).and_then(|reader| read_up_to(reader, HEADER_2)).map_err(|source| failed(named, source))?;
        NiftiHeader::parse(named, &head)
    }

    /// Reads the header of a file's content.
    ///
    /// # Errors
    /// When it is damaged or cut off.
    pub(crate) fn parse_header(named: &Path, content: &[u8]) -> Result<NiftiHeader, ReadError> {
        let head = read_up_to(unpacked(content), HEADER_2).map_err(|source| failed(named, source))?;
        NiftiHeader::parse(named, &head)
    }

    /// Reads the voxels of a file's content, whose header is this one, into memory.
    ///
    /// # Errors
    /// When they are damaged or cut off, lie in another file, or are too many.
    pub(crate) fn parse(named: &Path, content: &[u8], header: NiftiHeader) -> Result<Self, ReadError> {
        let bytes = header.voxel_bytes();
        if header.is_pair {
            let kind = "its voxels in a file of their own; give a file that holds both, as `.nii` does";
            return Err(ReadError::Medical { path: named.into(), format: NIFTI, kind: kind.into() });
        }
        if bytes > MEMORY_BYTES_MAX {
            return Err(ReadError::FileSize { path: named.into(), bytes, bytes_max: MEMORY_BYTES_MAX });
        }
        let mut reader = unpacked(content);
        let mut voxels = Vec::new();
        io::copy(&mut reader.by_ref().take(header.offset), &mut io::sink())
            .and_then(|_| reader.take(bytes).read_to_end(&mut voxels))
            .map_err(|source| failed(named, source))?;
        if (voxels.len() as u64) < bytes {
            return Err(ReadError::CutOff { path: named.into(), format: NIFTI });
        }
        let source = Source::Memory(voxels);
        Ok(Self { header, voxels: Mutex::new(Voxels { source, block: None }) })
    }

    /// Makes the voxels of a file accessible.
    fn unpack(named: &Path, path: &Path, header: &NiftiHeader) -> Result<Source, ReadError> {
        let failed = |source| failed(named, source);
        let data = if header.is_pair { pair(path) } else { path.to_owned() };
        let bytes = header.voxel_bytes();
        let mut head = [0; 2];
        let is_packed =
            File::open(&data).and_then(|mut file| file.read(&mut head)).map_err(failed)? == 2 && head == [0x1f, 0x8b];
        if !is_packed {
            let file = File::open(&data).map_err(failed)?;
            let found = file.metadata().map_err(failed)?.len();
            if found < header.offset.saturating_add(bytes) {
                return Err(ReadError::CutOff { path: named.into(), format: NIFTI });
            }
            return Ok(Source::File(file, header.offset));
        }
        let mut reader = open(&data).map_err(failed)?;
        io::copy(&mut reader.by_ref().take(header.offset), &mut io::sink()).map_err(failed)?;
        let mut voxels = reader.take(bytes);
        let (source, found) = if bytes <= MEMORY_BYTES_MAX {
            let mut content = Vec::new();
            let found = voxels.read_to_end(&mut content).map_err(failed)?;
            (Source::Memory(content), found as u64)
        } else {
            let mut file = tempfile::tempfile().map_err(failed)?;
            let found = io::copy(&mut voxels, &mut file).map_err(failed)?;
            file.flush().map_err(failed)?;
            (Source::File(file, 0), found)
        };
        if found < bytes {
            return Err(ReadError::CutOff { path: named.into(), format: NIFTI });
        }
        Ok(source)
    }

    /// Reads the bytes of the voxels of a slice, row by row as they lie in the picture.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub(crate) fn slice(&self, named: &Path, cut: &Cut, number: u64) -> Result<Vec<u8>, ReadError> {
        let size = self.header.size;
        let width = self.header.kind.bytes();
        let [pictures, rows, columns] = cut.size(size);
        let axis = cut.axes[0];
        let place = if cut.is_flipped[0] { pictures - 1 - number } else { number };
        let mut voxels = self.voxels.lock().unwrap_or_else(PoisonError::into_inner);
        let plane = voxels.plane(&self.header, axis, place).map_err(|source| failed(named, source))?;
        // The plane's own axes, the faster one first.
        let [fast, _] = others(axis);
        let mut picture = Vec::with_capacity(plane.len());
        for row in 0..rows {
            for column in 0..columns {
                let voxel = cut.voxel(size, [number, row, column]);
                let [one, other] = others(axis).map(|axis| voxel[axis]);
                let start = (other * size[fast] + one) as usize * width;
                picture.extend_from_slice(&plane[start..start + width]);
            }
        }
        Ok(picture)
    }

    /// Reads values of the whole volume in the order of the file, one of `step`.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub(crate) fn values(&self, named: &Path, step: usize) -> Result<Vec<f32>, ReadError> {
        let total: u64 = self.header.size.iter().product();
        let width = self.header.kind.bytes() as u64;
        // Each part begins with a value that is taken.
        let part = (VALUES_AT_ONCE / step as u64).max(1) * step as u64;
        let mut values = Vec::new();
        for start in (0..total).step_by(part as usize) {
            let count = part.min(total - start);
            let mut voxels = self.voxels.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = voxels.source.read(start * width, count * width).map_err(|source| failed(named, source))?;
            drop(voxels);
            let taken = self.decode(&bytes).into_iter().step_by(step).map(|value| value as f32);
            values.extend(taken.filter(|value| value.is_finite()));
        }
        Ok(values)
    }

    /// Converts the bytes of voxels to values.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Vec<f64> {
        let NiftiHeader { kind, is_big_endian, scale, .. } = self.header;
        let stored = bytes.chunks_exact(kind.bytes()).map(|voxel| value(kind, is_big_endian, voxel));
        match scale {
            Some((slope, intercept)) => stored.map(|stored| slope * stored + intercept).collect(),
            None => stored.collect(),
        }
    }
}

/// Returns the axes of a slice across `axis`, the faster one first.
fn others(axis: usize) -> [usize; 2] {
    match axis {
        0 => [1, 2],
        1 => [0, 2],
        _ => [0, 1],
    }
}

impl Voxels {
    /// Returns the bytes of a slice across an axis of the file, its faster axis first.
    fn plane(&mut self, header: &NiftiHeader, axis: usize, place: u64) -> io::Result<Vec<u8>> {
        let [i, j, k] = header.size;
        let width = header.kind.bytes() as u64;
        let read = |source: &mut Source, start: u64, bytes: u64| source.read(start * width, bytes * width);
        match axis {
            2 => read(&mut self.source, place * i * j, i * j),
            1 => {
                let mut plane = Vec::with_capacity((i * k * width) as usize);
                for slice in 0..k {
                    plane.extend(read(&mut self.source, (slice * j + place) * i, i)?);
                }
                Ok(plane)
            }
            _ => {
                // Every voxel lies elsewhere, so that several slices are read in one go.
                let bytes = (j * k * width) as usize;
                let count = (BLOCK_BYTES / bytes.max(1) as u64).clamp(1, i);
                let first = place / count * count;
                let is_there = matches!(&self.block, Some((0, start, _)) if *start == first);
                if !is_there {
                    let count = count.min(i - first);
                    let mut block = vec![0; bytes * count as usize];
                    let step = width as usize;
                    for line in 0..j * k {
                        let row = read(&mut self.source, line * i + first, count)?;
                        for (slice, voxel) in row.chunks_exact(step).enumerate() {
                            let start = slice * bytes + line as usize * step;
                            block[start..start + step].copy_from_slice(voxel);
                        }
                    }
                    self.block = Some((0, first, block));
                }
                let start = (place - first) as usize * bytes;
                Ok(self.block.as_ref().map(|(_, _, block)| block[start..start + bytes].to_vec()).unwrap_or_default())
            }
        }
    }
}

impl Source {
    /// Reads bytes from a place, counted from the first voxel.
    fn read(&mut self, start: u64, bytes: u64) -> io::Result<Vec<u8>> {
        match self {
            Self::Memory(content) => Ok(content[start as usize..(start + bytes) as usize].to_vec()),
            Self::File(file, first) => {
                file.seek(SeekFrom::Start(*first + start))?;
                let mut content = vec![0; bytes as usize];
                file.read_exact(&mut content)?;
                Ok(content)
            }
        }
    }
}

/// Makes the error of reading the file.
fn failed(path: &Path, source: io::Error) -> ReadError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::CutOff { path: path.into(), format: NIFTI },
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            ReadError::Damaged { path: path.into(), format: NIFTI, found: source.to_string() }
        }
        _ => ReadError::File { path: path.into(), source },
    }
}

/// Converts the bytes of a voxel to its stored value.
fn value(kind: VoxelKind, is_big_endian: bool, voxel: &[u8]) -> f64 {
    let mut bytes = [0; 8];
    bytes[..voxel.len()].copy_from_slice(voxel);
    if is_big_endian {
        bytes[..voxel.len()].reverse();
    }
    let [b0, b1, b2, b3, ..] = bytes;
    match kind {
        VoxelKind::U8 | VoxelKind::Rgb | VoxelKind::Rgba => b0.into(),
        VoxelKind::I8 => i8::from_le_bytes([b0]).into(),
        VoxelKind::U16 => u16::from_le_bytes([b0, b1]).into(),
        VoxelKind::I16 => i16::from_le_bytes([b0, b1]).into(),
        VoxelKind::U32 => u32::from_le_bytes([b0, b1, b2, b3]).into(),
        VoxelKind::I32 => i32::from_le_bytes([b0, b1, b2, b3]).into(),
        VoxelKind::F32 => f32::from_le_bytes([b0, b1, b2, b3]).into(),
        VoxelKind::U64 => u64::from_le_bytes(bytes) as f64,
        VoxelKind::I64 => i64::from_le_bytes(bytes) as f64,
        VoxelKind::F64 => f64::from_le_bytes(bytes),
    }
}
