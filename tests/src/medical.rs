//! Medical images of drawn discs, whose pixels have sizes in millimetres.

use std::fs;
use std::path::Path;

use seg_data::Dataset;

/// The radius of a disc, in millimetres.
pub const RADIUS_MM: f64 = 9.0;

/// Rows and columns of an image, and the millimetres between them.
struct Grid {
    size: [usize; 2],
    spacing: [f64; 2],
}

impl Grid {
    /// Returns whether the centre of each pixel lies in a disc around the middle, row by row.
    fn disc(&self) -> Vec<bool> {
        let [rows, columns] = self.size;
        let from_middle =
            |axis: usize, place: usize| (place as f64 + 0.5 - self.size[axis] as f64 / 2.0) * self.spacing[axis];
        (0..rows * columns)
            .map(|place| from_middle(0, place / columns).hypot(from_middle(1, place % columns)) < RADIUS_MM)
            .collect()
    }

    /// Returns values of -100 to 100 outside the disc and of 200 to 300 in it.
    fn values(&self) -> Vec<i16> {
        let shade = |place: usize| (place * 37 % 101) as i16;
        self.disc()
            .iter()
            .enumerate()
            .map(|(place, inside)| if *inside { 200 + shade(place) } else { 2 * shade(place) - 100 })
            .collect()
    }

    /// Returns a NIfTI volume of one slice of values of a type, as the header codes it.
    fn nifti(&self, code: [i16; 2], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 352];
        let mut put = |place: usize, content: &[u8]| bytes[place..place + content.len()].copy_from_slice(content);
        put(0, &348_i32.to_le_bytes());
        let [rows, columns] = self.size.map(|side| side as i16);
        for (index, size) in [3, columns, rows, 1, 1, 1, 1, 1_i16].into_iter().enumerate() {
            put(40 + 2 * index, &size.to_le_bytes());
        }
        put(70, &code[0].to_le_bytes());
        put(72, &code[1].to_le_bytes());
        let [down, across] = self.spacing.map(|spacing| spacing as f32);
        for (index, side) in [1.0, across, down, 4.0_f32].into_iter().enumerate() {
            put(76 + 4 * index, &side.to_le_bytes());
        }
        put(108, &352_f32.to_le_bytes());
        put(123, &[2]);
        put(254, &1_i16.to_le_bytes());
        let matrix = [across, 0.0, 0.0, -7.0, 0.0, down, 0.0, 11.0, 0.0, 0.0, 4.0, 3.0];
        for (index, number) in matrix.into_iter().enumerate() {
            put(280 + 4 * index, &number.to_le_bytes());
        }
        put(344, b"n+1\0");
        bytes.extend_from_slice(values);
        bytes
    }

    /// Returns a DICOM file in Explicit VR Little Endian.
    fn dicom(&self, uid: &str) -> Vec<u8> {
        let mut set = Vec::new();
        let spacing = format!("{}\\{}", self.spacing[0], self.spacing[1]);
        let [rows, columns] = self.size.map(|side| side as u16);
        element(&mut set, [0x0008, 0x0016], b"UI", b"1.2.840.10008.5.1.4.1.1.2");
        element(&mut set, [0x0008, 0x0018], b"UI", uid.as_bytes());
        element(&mut set, [0x0020, 0x000d], b"UI", b"1.2.3.1");
        element(&mut set, [0x0020, 0x000e], b"UI", uid.as_bytes());
        element(&mut set, [0x0028, 0x0002], b"US", &1_u16.to_le_bytes());
        element(&mut set, [0x0028, 0x0004], b"CS", b"MONOCHROME2");
        element(&mut set, [0x0028, 0x0010], b"US", &rows.to_le_bytes());
        element(&mut set, [0x0028, 0x0011], b"US", &columns.to_le_bytes());
        element(&mut set, [0x0028, 0x0030], b"DS", spacing.as_bytes());
        for (number, value) in [(0x0100, 16_u16), (0x0101, 16), (0x0102, 15), (0x0103, 1)] {
            element(&mut set, [0x0028, number], b"US", &value.to_le_bytes());
        }
        let values: Vec<u8> = self.values().iter().flat_map(|value| value.to_le_bytes()).collect();
        element(&mut set, [0x7fe0, 0x0010], b"OW", &values);

        let mut meta = Vec::new();
        element(&mut meta, [0x0002, 0x0002], b"UI", b"1.2.840.10008.5.1.4.1.1.2");
        element(&mut meta, [0x0002, 0x0003], b"UI", uid.as_bytes());
        element(&mut meta, [0x0002, 0x0010], b"UI", b"1.2.840.10008.1.2.1");
        element(&mut meta, [0x0002, 0x0012], b"UI", b"1.2.3.4");
        let mut file = [vec![0; 128], b"DICM".to_vec()].concat();
        element(&mut file, [0x0002, 0x0000], b"UL", &(meta.len() as u32).to_le_bytes());
        [file, meta, set].concat()
    }
}

/// Adds a data element in Explicit VR Little Endian.
fn element(to: &mut Vec<u8>, [group, number]: [u16; 2], vr: &[u8; 2], value: &[u8]) {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == b"UI" { 0 } else { b' ' });
    }
    to.extend(group.to_le_bytes());
    to.extend(number.to_le_bytes());
    to.extend(vr);
    match vr {
        b"OW" => {
            to.extend([0, 0]);
            to.extend((value.len() as u32).to_le_bytes());
        }
        _ => to.extend((value.len() as u16).to_le_bytes()),
    }
    to.extend(value);
}

/// Draws discs of one size in millimetres on grids of different spacings, which are not the same
/// down and across: three NIfTI volumes with volumes of labels, and three DICOM files with masks.
///
/// # Panics
/// When the folder cannot be written.
pub fn draw(folder: &Path) -> Dataset {
    for part in ["images", "masks"] {
        fs::create_dir_all(folder.join(part)).expect("the folder can be written");
    }
    let write = |name: String, bytes: Vec<u8>| fs::write(folder.join(name), bytes).expect("the folder can be written");
    for (number, (size, spacing)) in [
        ([40, 31], [0.75, 1.25]),
        ([27, 60], [1.25, 0.625]),
        ([64, 25], [0.5, 1.5]),
        ([35, 44], [1.0, 0.75]),
        ([31, 33], [1.125, 1.0]),
        ([50, 28], [0.625, 1.25]),
    ]
    .into_iter()
    .enumerate()
    {
        let grid = Grid { size, spacing };
        let labels: Vec<u8> = grid.disc().iter().map(|inside| u8::from(*inside)).collect();
        if number % 2 == 0 {
            let values: Vec<u8> = grid.values().iter().flat_map(|value| value.to_le_bytes()).collect();
            write(format!("images/{number}.nii"), grid.nifti([4, 16], &values));
        } else {
            write(format!("images/{number}.dcm"), grid.dicom(&format!("1.2.3.5.{number}")));
        }
        write(format!("masks/{number}.nii"), grid.nifti([2, 8], &labels));
    }
    Dataset::open(folder).unwrap_or_else(|error| panic!("{error}"))
}
