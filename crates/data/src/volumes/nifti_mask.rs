//! The mask of a volume, or its probabilities, as a compressed NIfTI file on the grid of its
//! images.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use image::GrayImage;
use seg_contract::{Reading, Slices};

use super::stack::{Origin, Stack, VolumeError};
use crate::formats::dicom::file::DicomFile;
use crate::formats::dicom::series::{Slice, normal};
use crate::formats::nifti::affine::{Affine, Cut};
use crate::formats::nifti::cut;
use crate::formats::nifti::volume::Volume;
use dicom_dictionary_std::tags;

/// The name of the format in messages.
const NIFTI: &str = "NIfTI";

/// The reason for which other files have no such mask.
const NO_GRID: &str = "it is neither DICOM nor NIfTI, so that its grid is unknown; save `tiff` or `mask`";

/// The share of a step by which the distances of slices may differ, and the millimetres.
const UNEVEN: f64 = 0.01;

/// The grid of a mask.
#[derive(Clone, Debug, PartialEq)]
struct Grid {
    /// The sizes of all dimensions, as the header lists them.
    dimensions: Vec<i64>,
    /// The place of the voxels; `None` if it is unknown.
    affine: Option<Affine>,
    /// The lengths of a voxel's sides where it is.
    sides: [f64; 3],
    /// The codes of quaternion and matrix.
    codes: [i16; 2],
    units: u8,
    /// The code of the type of a voxel, and its bits.
    voxel: [i16; 2],
}

/// The cut and the size of a volume whose pictures are not its slices in their order.
type Turned = (Cut, [u64; 3]);

impl Stack {
    /// Checks that the pictures have a grid that a NIfTI file can have, and are all of their
    /// volume.
    ///
    /// # Errors
    /// When they have none, slices are missing, or reading fails.
    pub fn check_nifti(&self, reading: &Reading) -> Result<(), VolumeError> {
        match &self.origin {
            Origin::Nifti(file) => {
                let header = Volume::read_header(self.first(), file)?;
                let pictures = cut(self.first(), &header, reading)?.size(header.size)[0];
                self.check_slices(pictures)
            }
            Origin::Dicom(slices) => self.grid_of_series(slices).map(|_| ()),
            Origin::File => Err(self.refuse(NIFTI, NO_GRID)),
        }
    }

    /// Checks that all slices of a file are there.
    fn check_slices(&self, pictures: u64) -> Result<(), VolumeError> {
        if pictures == self.paths.len() as u64 {
            return Ok(());
        }
        let reason = format!(
            "only {} of its {pictures} slices are segmented, and the others would look like background; segment all of them",
            self.paths.len()
        );
        Err(self.refuse(NIFTI, reason))
    }

    /// Writes the masks of all slices as a compressed NIfTI file of labels, with the grid of the
    /// images: that of the NIfTI file, or the positions of DICOM slices.
    ///
    /// # Errors
    /// When the images have no such grid, slices are missing, or reading or writing fails.
    pub fn write_nifti(
        &self,
        reading: &Reading,
        masks: &mut dyn FnMut(usize) -> io::Result<GrayImage>,
        out: impl Write,
    ) -> Result<(), VolumeError> {
        self.write_volume::<u8>(reading, None, &mut |_, place| Ok(masks(place)?.into_raw()), out)
    }

    /// Writes the probabilities of classes as a compressed NIfTI file of float32 with that grid,
    /// and the classes as its fourth dimension. `maps` gives the map of a class, counted from 0, in
    /// the picture at a place: `[height, width]`, row by row.
    ///
    /// # Errors
    /// As [`write_nifti`](Self::write_nifti).
    pub fn write_nifti_probabilities(
        &self,
        reading: &Reading,
        classes: usize,
        maps: &mut dyn FnMut(usize, usize) -> io::Result<Vec<f32>>,
        out: impl Write,
    ) -> Result<(), VolumeError> {
        self.write_volume::<f32>(reading, Some(classes), maps, out)
    }

    /// Writes the voxels of all slices, of several volumes where there is a fourth dimension.
    fn write_volume<T: Voxel>(
        &self,
        reading: &Reading,
        volumes: Option<usize>,
        slices: &mut dyn FnMut(usize, usize) -> io::Result<Vec<T>>,
        out: impl Write,
    ) -> Result<(), VolumeError> {
        let (mut grid, turned) = self.grid(reading)?;
        grid.voxel = T::TYPE;
        if let Some(volumes) = volumes {
            grid.dimensions.resize(3, 1);
            grid.dimensions.push(volumes as i64);
        }
        let mut out = GzBuilder::new().mtime(0).write(out, Compression::fast());
        out.write_all(&grid.header())?;
        for volume in 0..volumes.unwrap_or(1) {
            let Some((cut, size)) = &turned else {
                // The slices follow each other in the file.
                (0..self.paths.len()).try_for_each(|place| T::write(&slices(volume, place)?, &mut out))?;
                continue;
            };
            let mut voxels = vec![T::default(); size.iter().product::<u64>() as usize];
            let [columns, rows, _] = *size;
            let [pictures, height, width] = cut.size(*size);
            for number in 0..pictures {
                let slice = slices(volume, number as usize)?;
                if slice.len() as u64 != height * width {
                    let message = format!("a slice has {} pixels, expected {width}x{height}", slice.len());
                    return Err(io::Error::other(message).into());
                }
                for (place, value) in (0_u64..).zip(slice) {
                    let [i, j, k] = cut.voxel(*size, [number, place / width, place % width]);
                    voxels[((k * rows + j) * columns + i) as usize] = value;
                }
            }
            // In the pieces of the other order, so that the compressed bytes are the same.
            let plane = (rows * columns).max(1) as usize;
            voxels.chunks(plane).try_for_each(|plane| T::write(plane, &mut out))?;
        }
        Ok(out.finish()?.flush()?)
    }

    /// Returns the grid of the pictures, and the cut and the size of a volume whose pictures are
    /// not its slices in their order.
    fn grid(&self, reading: &Reading) -> Result<(Grid, Option<Turned>), VolumeError> {
        match &self.origin {
            Origin::Nifti(file) => {
                let header = Volume::read_header(self.first(), file)?;
                let cut = cut(self.first(), &header, reading)?;
                self.check_slices(cut.size(header.size)[0])?;
                let [by_quaternion, by_matrix] = header.codes;
                let code = |code: i16| if code > 0 { code } else { 1 };
                let grid = Grid {
                    dimensions: header.dimensions.clone(),
                    affine: header.affine(),
                    sides: header.sides,
                    codes: [code(by_quaternion), code(by_matrix)],
                    units: if header.units & 7 == 0 { header.units | 2 } else { header.units },
                    voxel: u8::TYPE,
                };
                let is_turned = Cut::new(Slices::K, None) != Some(cut);
                Ok((grid, is_turned.then_some((cut, header.size))))
            }
            Origin::Dicom(slices) => Ok((self.grid_of_series(slices)?, None)),
            Origin::File => Err(self.refuse(NIFTI, NO_GRID)),
        }
    }

    /// Returns the grid of DICOM slices.
    fn grid_of_series(&self, slices: &[Slice]) -> Result<Grid, VolumeError> {
        let refuse = |reason: &str| Err(self.refuse(NIFTI, reason));
        let [first, .., last] = slices else {
            return self.grid_of_slices(&slices[0], &slices[0], 1);
        };
        if slices.iter().any(|slice| slice.size != first.size || !has_orientation_of(slice, first)) {
            return refuse("its slices differ in size or orientation; give the images of one stack");
        }
        let along: Option<Vec<f64>> = slices.iter().map(Slice::along_normal).collect();
        let Some(along) = along else {
            return refuse("its slices have no position (0020,0032); save `tiff` or `mask`");
        };
        let step = (along[along.len() - 1] - along[0]) / (along.len() - 1) as f64;
        let is_even = |pair: &[f64]| (pair[1] - pair[0] - step).abs() <= (UNEVEN * step).max(UNEVEN);
        if step <= 0.0 || !along.windows(2).all(is_even) {
            let places: Vec<_> = along.iter().map(|place| format!("{place:.2}")).collect();
            let reason = format!(
                "the distances between its slices differ, so that one is missing or doubled (at {} mm along the normal); save \
                 `mask`, or add the slice",
                places.join(", ")
            );
            return Err(self.refuse(NIFTI, reason));
        }
        self.grid_of_slices(first, last, slices.len())
    }

    /// Returns the grid of slices from the first to the last.
    fn grid_of_slices(&self, first: &Slice, last: &Slice, count: usize) -> Result<Grid, VolumeError> {
        let file = DicomFile::open_head(self.first(), &first.file)?;
        let frame = first.frame.unwrap_or(1) as usize - 1;
        let measures = |tag| file.frame_numbers(frame, tags::PIXEL_MEASURES_SEQUENCE, tag);
        let spacing: Option<[f64; 2]> = measures(tags::PIXEL_SPACING).try_into().ok();
        let places = (first.orientation, first.position, last.position, spacing);
        let (Some(orientation), Some(start), Some(end), Some([rows, columns])) = places else {
            let reason = "its images have no position, orientation or pixel spacing; save `tiff` or `mask`";
            return Err(self.refuse(NIFTI, reason));
        };
        let [rx, ry, rz, cx, cy, cz] = orientation;
        let step = if count > 1 {
            [0, 1, 2].map(|axis| (end[axis] - start[axis]) / (count - 1) as f64)
        } else {
            let thickness = measures(tags::SLICE_THICKNESS).first().copied().filter(|thickness| *thickness > 0.0);
            normal(&orientation).map(|part| part * thickness.unwrap_or(1.0))
        };
        let [right, down] = [[rx, ry, rz].map(|part| part * columns), [cx, cy, cz].map(|part| part * rows)];
        // DICOM's x runs to the left and its y to the back.
        let sign = [-1.0, -1.0, 1.0];
        let row = |axis: usize| [right[axis], down[axis], step[axis], start[axis]].map(|part| part * sign[axis]);
        let affine = Affine([0, 1, 2].map(row));
        let [height, width] = first.size;
        Ok(Grid {
            dimensions: vec![width.into(), height.into(), count as i64],
            sides: affine.lengths(),
            affine: Some(affine),
            codes: [1, 1],
            units: 2,
            voxel: u8::TYPE,
        })
    }
}

/// Returns whether two slices have one orientation.
fn has_orientation_of(slice: &Slice, first: &Slice) -> bool {
    match (slice.orientation, first.orientation) {
        (Some(one), Some(other)) => one.iter().zip(other).all(|(one, other)| (one - other).abs() <= 1e-4),
        (None, None) => true,
        _ => false,
    }
}

/// A value of a voxel.
trait Voxel: Copy + Default {
    /// The code of the type and the bits of a value.
    const TYPE: [i16; 2];

    /// Writes values.
    fn write(values: &[Self], out: &mut dyn Write) -> io::Result<()>;
}

impl Voxel for u8 {
    const TYPE: [i16; 2] = [2, 8];

    fn write(values: &[Self], out: &mut dyn Write) -> io::Result<()> {
        out.write_all(values)
    }
}

impl Voxel for f32 {
    const TYPE: [i16; 2] = [16, 32];

    fn write(values: &[Self], out: &mut dyn Write) -> io::Result<()> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        out.write_all(&bytes)
    }
}

impl Grid {
    /// Returns the header of a file: of version 1, or 2 where a side is too long for it.
    fn header(&self) -> Vec<u8> {
        let is_first = self.dimensions.iter().all(|size| i16::try_from(*size).is_ok());
        let mut header = Header { bytes: vec![0; if is_first { 352 } else { 544 }], is_first };
        header.put_i32(0, 0, if is_first { 348 } else { 540 });
        if is_first {
            header.bytes[344..348].copy_from_slice(b"n+1\0");
        } else {
            header.bytes[4..12].copy_from_slice(b"n+2\0\r\n\x1a\n");
        }
        let mut sizes = vec![self.dimensions.len() as i64];
        sizes.extend(&self.dimensions);
        sizes.resize(8, 1);
        for (index, size) in sizes.iter().enumerate() {
            header.put_size(index, *size);
        }
        header.put_i16(70, 12, self.voxel[0]);
        header.put_i16(72, 14, self.voxel[1]);
        let (lengths, determinant) = match &self.affine {
            Some(affine) => (affine.lengths(), affine.determinant()),
            None => (self.sides, 1.0),
        };
        let handedness = if determinant < 0.0 { -1.0 } else { 1.0 };
        let sides = [handedness, lengths[0], lengths[1], lengths[2], 1.0, 1.0, 1.0, 1.0];
        for (index, side) in sides.iter().enumerate() {
            header.put_float([76, 104], index, *side);
        }
        header.put_float([112, 176], 0, 1.0);
        if is_first {
            header.put_float([108, 0], 0, 352.0);
            header.bytes[123] = self.units;
        } else {
            header.bytes[168..176].copy_from_slice(&544_i64.to_le_bytes());
            header.put_i32(0, 500, self.units.into());
        }
        if let Some(affine) = &self.affine {
            let [by_quaternion, by_matrix] = self.codes;
            header.put_code([254, 348], by_matrix);
            for (index, number) in affine.0.as_flattened().iter().enumerate() {
                header.put_float([280, 400], index, *number);
            }
            // A sheared grid has no quaternion.
            if affine.is_perpendicular() {
                header.put_code([252, 344], by_quaternion);
                let origin = affine.0.map(|row| row[3]);
                for (index, number) in quaternion(affine, handedness).into_iter().chain(origin).enumerate() {
                    header.put_float([256, 352], index, number);
                }
            }
        }
        header.bytes
    }
}

/// A header of version 1 or 2, in which numbers lie at other places.
struct Header {
    bytes: Vec<u8>,
    is_first: bool,
}

impl Header {
    fn put(&mut self, place: usize, bytes: &[u8]) {
        self.bytes[place..place + bytes.len()].copy_from_slice(bytes);
    }

    fn put_i16(&mut self, first: usize, second: usize, number: i16) {
        self.put(if self.is_first { first } else { second }, &number.to_le_bytes());
    }

    fn put_i32(&mut self, first: usize, second: usize, number: i32) {
        self.put(if self.is_first { first } else { second }, &number.to_le_bytes());
    }

    fn put_size(&mut self, index: usize, size: i64) {
        match i16::try_from(size) {
            Ok(size) if self.is_first => self.put(40 + 2 * index, &size.to_le_bytes()),
            _ => self.put(16 + 8 * index, &size.to_le_bytes()),
        }
    }

    fn put_code(&mut self, [first, second]: [usize; 2], code: i16) {
        if self.is_first {
            self.put(first, &code.to_le_bytes());
        } else {
            self.put(second, &i32::from(code).to_le_bytes());
        }
    }

    fn put_float(&mut self, [first, second]: [usize; 2], index: usize, number: f64) {
        if self.is_first {
            self.put(first + 4 * index, &(number as f32).to_le_bytes());
        } else {
            self.put(second + 8 * index, &number.to_le_bytes());
        }
    }
}

/// Returns b, c and d of the unit quaternion of a rotation, as `nifti1_io` computes them.
fn quaternion(affine: &Affine, handedness: f64) -> [f64; 3] {
    let lengths = affine.lengths();
    let part = |row: usize, axis: usize| affine.0[row][axis] / lengths[axis] * if axis == 2 { handedness } else { 1.0 };
    let m = [0, 1, 2].map(|row| [0, 1, 2].map(|axis| part(row, axis)));
    let trace = m[0][0] + m[1][1] + m[2][2] + 1.0;
    if trace > 0.5 {
        let a = 0.5 * trace.sqrt();
        return [m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]].map(|part| 0.25 * part / a);
    }
    let x: f64 = 1.0 + m[0][0] - (m[1][1] + m[2][2]);
    let y: f64 = 1.0 + m[1][1] - (m[0][0] + m[2][2]);
    let z: f64 = 1.0 + m[2][2] - (m[0][0] + m[1][1]);
    let (a, [b, c, d]) = if x > 1.0 {
        let b = 0.5 * x.sqrt();
        let [c, d] = [m[0][1] + m[1][0], m[0][2] + m[2][0]].map(|part| 0.25 * part / b);
        (0.25 * (m[2][1] - m[1][2]) / b, [b, c, d])
    } else if y > 1.0 {
        let c = 0.5 * y.sqrt();
        let [b, d] = [m[0][1] + m[1][0], m[1][2] + m[2][1]].map(|part| 0.25 * part / c);
        (0.25 * (m[0][2] - m[2][0]) / c, [b, c, d])
    } else {
        let d = 0.5 * z.sqrt();
        let [b, c] = [m[0][2] + m[2][0], m[1][2] + m[2][1]].map(|part| 0.25 * part / d);
        (0.25 * (m[1][0] - m[0][1]) / d, [b, c, d])
    };
    if a < 0.0 { [-b, -c, -d] } else { [b, c, d] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::nifti::header::NiftiHeader;
    use std::path::Path;

    #[test]
    fn quaternion_and_matrix_of_a_mask_give_the_same_grid() {
        // Rotations about each axis by angles from small to more than half a turn, either handed.
        for degrees in [0.0_f64, 20.0, 100.0, 179.0, 181.0, 250.0] {
            let (sin, cos) = degrees.to_radians().sin_cos();
            for axis in 0..3 {
                for hand in [1.0, -1.0] {
                    let mut rows = [[0.0; 4]; 3];
                    let [one, other] = [(axis + 1) % 3, (axis + 2) % 3];
                    rows[axis][axis] = 1.0;
                    (rows[one][one], rows[other][other]) = (cos, cos);
                    (rows[other][one], rows[one][other]) = (sin, -sin);
                    for row in &mut rows {
                        (row[0], row[1], row[2], row[3]) =
                            (row[0] * 1.5, row[1] * 0.7, row[2] * 3.0 * hand, row[0] * 9.0);
                    }
                    let affine = Affine(rows);
                    let lengths = affine.lengths();
                    let found =
                        Affine::from_quaternion(quaternion(&affine, hand), rows.map(|row| row[3]), lengths, hand);
                    for (found, expected) in found.0.as_flattened().iter().zip(rows.as_flattened()) {
                        assert!((found - expected).abs() < 1e-9, "{degrees} {axis} {hand}: {found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for sizes in [vec![5, 6, 7], vec![5, 6], vec![40_000, 6, 7]] {
            let affine = Affine([[-1.5, 0.0, 0.0, 4.0], [0.0, 2.0, 0.0, 5.0], [0.0, 0.0, 3.0, 6.0]]);
            let sides = affine.lengths();
            let grid = Grid {
                dimensions: sizes.clone(),
                affine: Some(affine),
                sides,
                codes: [1, 2],
                units: 2,
                voxel: u8::TYPE,
            };
            let header = NiftiHeader::parse(Path::new("a.nii"), &grid.header()).unwrap();
            assert_eq!(header.dimensions, sizes);
            assert_eq!((header.affine(), header.codes), (Some(affine), [1, 2]));
            for (found, expected) in header.qform.0.as_flattened().iter().zip(affine.0.as_flattened()) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
            assert_eq!(header.offset, if sizes[0] > 32767 { 544 } else { 352 });
        }
    }
}
