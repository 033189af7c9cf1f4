//! The place of voxels in the world: x to the right, y to the front, z up.

use seg_contract::Slices;

/// The rows x, y and z of the matrix from voxels to the world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine(pub(crate) [[f64; 4]; 3]);

impl Affine {
    /// Creates the matrix of a rotation by a unit quaternion, without its real part.
    ///
    /// The formulas are those of `nifti1.h`. `handedness` below 0 turns the third axis round.
    pub(crate) fn from_quaternion([b, c, d]: [f64; 3], origin: [f64; 3], sides: [f64; 3], handedness: f64) -> Self {
        let squares = b * b + c * c + d * d;
        let (a, b, c, d) = if squares > 1.0 {
            let length = squares.sqrt();
            (0.0, b / length, c / length, d / length)
        } else {
            ((1.0 - squares).sqrt(), b, c, d)
        };
        let third = if handedness < 0.0 { -sides[2] } else { sides[2] };
        let rows = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ];
        let row = |row: usize| {
            let [x, y, z] = rows[row];
            [x * sides[0], y * sides[1], z * third, origin[row]]
        };
        Self([0, 1, 2].map(row))
    }

    /// Returns the direction of a voxel axis, times the length of a voxel.
    pub(crate) fn column(&self, axis: usize) -> [f64; 3] {
        self.0.map(|row| row[axis])
    }

    /// Returns the lengths of a voxel's sides.
    pub(crate) fn lengths(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.column(axis).iter().map(|part| part * part).sum::<f64>().sqrt())
    }

    /// Returns the volume of a voxel, negative in a left-handed order of axes.
    pub(crate) fn determinant(&self) -> f64 {
        let [[a, b, c, _], [d, e, f, _], [g, h, i, _]] = self.0;
        a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    }

    /// Returns whether all numbers are finite and no axis is a combination of the others.
    pub(super) fn is_usable(&self) -> bool {
        let product: f64 = self.lengths().iter().product();
        self.0.as_flattened().iter().all(|number| number.is_finite()) && self.determinant().abs() > 1e-6 * product
    }

    /// Returns whether the axes are perpendicular to each other.
    pub(crate) fn is_perpendicular(&self) -> bool {
        let lengths = self.lengths();
        [(0, 1), (0, 2), (1, 2)].iter().all(|(one, other)| {
            let product: f64 = self.column(*one).iter().zip(self.column(*other)).map(|(a, b)| a * b).sum();
            product.abs() <= 1e-4 * lengths[*one] * lengths[*other]
        })
    }

    /// Returns, for x, y and z, the voxel axis that runs most along it, and whether it runs
    /// against it.
    pub(crate) fn axes(&self) -> [(usize, bool); 3] {
        let lengths = self.lengths();
        let share = |row: usize, axis: usize| self.0[row][axis] / lengths[axis];
        let mut axes = [(0, false); 3];
        let (mut rows, mut columns) = (vec![0, 1, 2], vec![0, 1, 2]);
        while !rows.is_empty() {
            let pairs = rows.iter().flat_map(|row| columns.iter().map(move |axis| (*row, *axis)));
            let best = pairs.max_by(|one, other| share(one.0, one.1).abs().total_cmp(&share(other.0, other.1).abs()));
            let Some((row, axis)) = best else { break };
            axes[row] = (axis, share(row, axis) < 0.0);
            rows.retain(|other| *other != row);
            columns.retain(|other| *other != axis);
        }
        axes
    }
}

/// The way in which pictures are cut from a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The axis from picture to picture, from row to row, and from column to column.
    pub(crate) axes: [usize; 3],
    /// True for each of them that is followed from its end.
    pub(crate) is_flipped: [bool; 3],
}

impl Cut {
    /// Returns the cut of a volume whose voxels lie where the matrix says; `None` for directions
    /// in the patient where there is no matrix.
    pub(crate) fn new(slices: Slices, affine: Option<&Affine>) -> Option<Self> {
        let stored = |axes| Some(Self { axes, is_flipped: [false; 3] });
        // The world's axes of pictures, rows and columns, and whether they run against x, y and z:
        // to the left, to the back, and down.
        let directed = |world: [usize; 3], is_negative: [bool; 3]| {
            let axes = affine?.axes();
            let is_flipped = [0, 1, 2].map(|index| axes[world[index]].1 != is_negative[index]);
            Some(Self { axes: world.map(|world| axes[world].0), is_flipped })
        };
        match slices {
            Slices::K => stored([2, 1, 0]),
            Slices::J => stored([1, 2, 0]),
            Slices::I => stored([0, 2, 1]),
            Slices::Axial => directed([2, 1, 0], [false, true, true]),
            Slices::Coronal => directed([1, 2, 0], [true, true, true]),
            Slices::Sagittal => directed([0, 2, 1], [true, true, true]),
        }
    }

    /// Returns pictures, rows and columns of a volume of this size.
    pub(crate) fn size(&self, size: [u64; 3]) -> [u64; 3] {
        self.axes.map(|axis| size[axis])
    }

    /// Returns the voxel of a pixel: its place along the three axes of the file.
    pub(crate) fn voxel(&self, size: [u64; 3], place: [u64; 3]) -> [u64; 3] {
        let mut voxel = [0; 3];
        for ((axis, is_flipped), place) in self.axes.into_iter().zip(self.is_flipped).zip(place) {
            voxel[axis] = if is_flipped { size[axis] - 1 - place } else { place };
        }
        voxel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_turned_as_in_a_series_whatever_the_order_of_axes() {
        // Voxel axes to the left, to the front, and up; and a permuted order: front, up, right.
        let las = Affine([[-2.0, 0.0, 0.1, 5.0], [0.0, 3.0, 0.0, 6.0], [0.0, 0.2, 4.0, 7.0]]);
        let asr = Affine([[0.0, 0.1, 2.0, 0.0], [3.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0]]);
        let size = [5, 6, 7];
        for (name, affine, slices, axes, first) in [
            ("stored", &las, Slices::K, [2, 1, 0], [0, 0, 0]),
            ("stored, second axis", &las, Slices::J, [1, 2, 0], [0, 0, 0]),
            ("stored, first axis", &las, Slices::I, [0, 2, 1], [0, 0, 0]),
            // The first pixel is that of the feet, the front and the right.
            ("axial", &las, Slices::Axial, [2, 1, 0], [0, 5, 0]),
            ("axial, permuted", &asr, Slices::Axial, [1, 0, 2], [4, 0, 6]),
            // The front, the head and the right.
            ("coronal", &las, Slices::Coronal, [1, 2, 0], [0, 5, 6]),
            // The right, the head and the front.
            ("sagittal", &las, Slices::Sagittal, [0, 2, 1], [0, 5, 6]),
        ] {
            let cut = Cut::new(slices, Some(affine)).unwrap();
            assert_eq!((cut.axes, cut.voxel(size, [0, 0, 0])), (axes, first), "{name}");
        }
        assert_eq!(Cut::new(Slices::Axial, None), None);
    }
}
