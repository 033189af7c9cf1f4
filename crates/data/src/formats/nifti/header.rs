//! The header of a NIfTI file, of version 1 or 2, in either order of bytes.

use std::path::Path;

use super::NIFTI;
use super::affine::Affine;
use crate::formats::error::ReadError;

/// The bytes of a header of version 1 and 2.
pub(super) const HEADER_1: usize = 348;
pub(super) const HEADER_2: usize = 540;

/// The longest side of a volume that is read, in voxels: twice what version 1 can say. A path is
/// made for each slice, before its voxels are looked for.
const SIDE_MAX: i64 = 1 << 16;
/// The largest volume that is read, in bytes.
const VOLUME_BYTES_MAX: u64 = 1 << 36;

/// A header.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NiftiHeader {
    /// 1 or 2.
    pub(crate) version: u8,
    pub(crate) is_big_endian: bool,
    /// True if the voxels lie in a file of their own, `.img`.
    pub(crate) is_pair: bool,
    /// The sizes of all dimensions, as the file lists them.
    pub(crate) dimensions: Vec<i64>,
    /// The voxels along the three axes.
    pub(crate) size: [u64; 3],
    /// The type of the voxels.
    pub(crate) kind: VoxelKind,
    /// The place of the first voxel in the file.
    pub(crate) offset: u64,
    /// Slope and intercept of the values; `None` where they are as stored.
    pub(crate) scale: Option<(f64, f64)>,
    /// The lengths of a voxel's sides, in the file's unit.
    pub(crate) sides: [f64; 3],
    /// The codes of the quaternion and of the matrix; 0 for one that says nothing.
    pub(crate) codes: [i16; 2],
    /// The places that the quaternion and the matrix give, in the file's unit.
    pub(crate) qform: Affine,
    pub(crate) sform: Affine,
    /// The unit of lengths and times as it is stored.
    pub(crate) units: u8,
}

/// The type of voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VoxelKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
    /// Red, green and blue.
    Rgb,
    /// Red, green, blue and transparency.
    Rgba,
}

impl VoxelKind {
    /// Returns the type of a code; `None` for one that is not read.
    fn from_code(code: i16) -> Option<Self> {
        Some(match code {
            2 => Self::U8,
            4 => Self::I16,
            8 => Self::I32,
            16 => Self::F32,
            64 => Self::F64,
            128 => Self::Rgb,
            256 => Self::I8,
            512 => Self::U16,
            768 => Self::U32,
            1024 => Self::I64,
            1280 => Self::U64,
            2304 => Self::Rgba,
            _ => return None,
        })
    }

    /// Returns the bytes of a voxel.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::Rgb => 3,
            Self::U32 | Self::I32 | Self::F32 | Self::Rgba => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Returns whether voxels are colours.
    pub(crate) fn is_color(self) -> bool {
        matches!(self, Self::Rgb | Self::Rgba)
    }
}

/// Numbers of a header.
struct Fields<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
}

impl Fields<'_> {
    fn at<const N: usize>(&self, place: usize) -> [u8; N] {
        let mut bytes: [u8; N] = self.bytes[place..place + N].try_into().expect("the slice has this length");
        if self.is_big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn i16(&self, place: usize) -> i16 {
        i16::from_le_bytes(self.at(place))
    }

    fn i32(&self, place: usize) -> i32 {
        i32::from_le_bytes(self.at(place))
    }

    fn i64(&self, place: usize) -> i64 {
        i64::from_le_bytes(self.at(place))
    }

    fn f32(&self, place: usize) -> f64 {
        f32::from_le_bytes(self.at(place)).into()
    }

    fn f64(&self, place: usize) -> f64 {
        f64::from_le_bytes(self.at(place))
    }
}

/// Returns the version, the order of bytes and the kind of a header; `None` for other content.
fn recognize(bytes: &[u8]) -> Option<(u8, bool, bool)> {
    let size = bytes.get(..4)?;
    let size = [size[0], size[1], size[2], size[3]];
    let (version, is_big_endian) = match (u32::from_le_bytes(size), u32::from_be_bytes(size)) {
        (348, _) => (1, false),
        (_, 348) => (1, true),
        (540, _) => (2, false),
        (_, 540) => (2, true),
        _ => return None,
    };
    let magic = if version == 1 { bytes.get(344..348)? } else { bytes.get(4..8)? };
    match (version, magic) {
        (1, b"n+1\0") | (2, b"n+2\0") => Some((version, is_big_endian, false)),
        (1, b"ni1\0") | (2, b"ni2\0") => Some((version, is_big_endian, true)),
        _ => None,
    }
}

/// Returns whether content begins with a header.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    recognize(bytes).is_some()
}

impl NiftiHeader {
    /// Parses a header.
    ///
    /// # Errors
    /// When it is cut off or damaged, or the file is of a kind that is not read.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ReadError> {
        let cut_off = || ReadError::CutOff { path: path.into(), format: NIFTI };
        let damaged = |found: String| ReadError::Damaged { path: path.into(), format: NIFTI, found };
        let unread = |kind: String| ReadError::Medical { path: path.into(), format: NIFTI, kind };
        let (version, is_big_endian, is_pair) = recognize(bytes).ok_or_else(cut_off)?;
        if bytes.len() < if version == 1 { HEADER_1 } else { HEADER_2 } {
            return Err(cut_off());
        }
        let fields = Fields { bytes, is_big_endian };
        let is_first = version == 1;
        let dimension = |index: usize| {
            if is_first { i64::from(fields.i16(40 + 2 * index)) } else { fields.i64(16 + 8 * index) }
        };
        let number = |first: usize, second: usize, index: usize| {
            if is_first { fields.f32(first + 4 * index) } else { fields.f64(second + 8 * index) }
        };
        let count = dimension(0);
        if !(1..=7).contains(&count) {
            return Err(damaged(format!("it has {count} dimensions, expected 1 to 7")));
        }
        let sizes: Vec<i64> = (1..=7).map(|index| if index <= count as usize { dimension(index) } else { 1 }).collect();
        if let Some(size) = sizes.iter().find(|size| **size < 1) {
            return Err(damaged(format!("a side has {size} voxels")));
        }
        if let Some((index, size)) = (1..=3).zip(&sizes).find(|(_, size)| **size > SIDE_MAX) {
            return Err(unread(format!("{size} voxels along a side (dim[{index}]), expected at most {SIDE_MAX}")));
        }
        if let Some((index, size)) = (4..=7).zip(&sizes[3..]).find(|(_, size)| **size > 1) {
            let what = if index == 4 { "points in time" } else { "values a voxel" };
            return Err(unread(format!("{size} {what} (dim[{index}]); save each volume as a file of its own")));
        }
        let code = if is_first { fields.i16(70) } else { fields.i16(12) };
        let kind = VoxelKind::from_code(code).ok_or_else(|| {
            let name = match code {
                1 => "bits",
                32 | 1792 | 2048 => "complex numbers",
                1536 => "floating-point numbers of 128 bits",
                _ => "an unknown type",
            };
            unread(format!("voxels of {name} (datatype {code}); save them as integers or 32-bit floats"))
        })?;
        let size = [sizes[0] as u64, sizes[1] as u64, sizes[2] as u64];
        let bytes_needed = size.iter().try_fold(kind.bytes() as u64, |bytes, size| bytes.checked_mul(*size));
        if bytes_needed.is_none_or(|bytes| bytes > VOLUME_BYTES_MAX) {
            let [i, j, k] = size;
            return Err(unread(format!("{i}x{j}x{k} voxels, expected at most {VOLUME_BYTES_MAX} bytes of them")));
        }
        let offset = if is_first { fields.f32(108) } else { fields.i64(168) as f64 };
        let header_bytes = if is_first { HEADER_1 } else { HEADER_2 } as f64;
        if !(0.0..=9e15).contains(&offset) || (!is_pair && offset < header_bytes) {
            return Err(damaged(format!("its voxels begin at byte {offset}")));
        }
        let (slope, intercept) = (number(112, 176, 0), number(116, 184, 0));
        let is_scaled = slope.is_finite() && slope != 0.0 && !kind.is_color();
        let scale = is_scaled.then_some((slope, if intercept.is_finite() { intercept } else { 0.0 }));
        let side = |index: usize| number(76, 104, index);
        let sides = [1, 2, 3].map(|index| match side(index).abs() {
            length if length.is_finite() && length > 0.0 => length,
            _ => 1.0,
        });
        let code_at = |first: usize, second: usize| {
            if is_first { fields.i16(first) } else { fields.i32(second).clamp(0, i16::MAX.into()) as i16 }
        };
        let quaternion = [0, 1, 2].map(|index| number(256, 352, index));
        let origin = [0, 1, 2].map(|index| number(268, 376, index));
        let qform = Affine::from_quaternion(quaternion, origin, sides, side(0));
        let sform = Affine([0, 1, 2].map(|row| [0, 1, 2, 3].map(|column| number(280, 400, 4 * row + column))));
        Ok(Self {
            version,
            is_big_endian,
            is_pair,
            dimensions: sizes[..count as usize].to_vec(),
            size,
            kind,
            offset: offset as u64,
            scale,
            sides,
            codes: [code_at(252, 344), code_at(254, 348)],
            qform,
            sform,
            units: if is_first { bytes[123] } else { fields.i32(500) as u8 },
        })
    }

    /// Returns the place of each voxel in the world, in the file's unit: by the matrix if it says
    /// something, else by the quaternion; `None` where neither does.
    pub(crate) fn affine(&self) -> Option<Affine> {
        let [by_quaternion, by_matrix] = self.codes;
        let affine = if by_matrix > 0 {
            self.sform
        } else if by_quaternion > 0 {
            self.qform
        } else {
            return None;
        };
        affine.is_usable().then_some(affine)
    }

    /// Returns the millimetres of the file's unit.
    pub(crate) fn unit_mm(&self) -> f64 {
        match self.units & 7 {
            1 => 1000.0,
            3 => 1e-3,
            _ => 1.0,
        }
    }

    /// Returns the lengths of a voxel's sides in millimetres.
    pub(crate) fn spacing_mm(&self) -> [f64; 3] {
        let lengths = self.affine().map_or(self.sides, |affine| affine.lengths());
        lengths.map(|length| length * self.unit_mm())
    }

    /// Returns the bytes of all voxels.
    pub(crate) fn voxel_bytes(&self) -> u64 {
        self.size.iter().product::<u64>() * self.kind.bytes() as u64
    }
}
