//! NIfTI volumes: values, slices, places, and what is refused.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use seg_contract::{Reading, Slices, Windowing};
use seg_data::{MaskCoding, Picture, list_folder, open_image_as, pictures, read_image, read_mask, read_mask_as};

use super::nifti_file::File;

/// A window in which the value v, from 0 to 100, is v/100 of white.
fn reading(slices: Slices) -> Reading {
    Reading {
        windowing: Some(Windowing::Fixed { center: 50.5, width: 101.0 }),
        slices: Some(slices),
        ..Reading::default()
    }
}

/// Returns the values of a picture, from 0 to 100, row by row.
fn values(path: &Path, slices: Slices) -> Vec<f64> {
    let mut reader = open_image_as(path, &reading(slices)).unwrap();
    let height = reader.info().height;
    match reader.rows(0..height).unwrap().as_ref() {
        Picture::Bits16(image) => {
            image.pixels().map(|pixel| (f64::from(pixel[0]) / 65535.0 * 100.0 * 8.0).round() / 8.0).collect()
        }
        other => panic!("not 16 bits: {other:?}"),
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}#{number}", path.display()))
}

/// Values that say where they are: i + 2 * j + 10 * k.
fn volume() -> File {
    let place = |index: i16| index % 2 + 2 * (index / 2 % 3) + 10 * (index / 6);
    File::volume([2, 3, 4], &(0..24).map(place).collect::<Vec<_>>())
}

#[test]
fn values_are_those_of_nibabel_in_every_kind_of_file() {
    let folder = tempfile::tempdir().unwrap();
    let gz = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let plain = volume().content();
    // As pigz and bgzip write them: several members.
    let members = [gz(&plain[..400]), gz(&plain[400..])].concat();
    let as_floats = |file: File| File {
        values: file.values.iter().map(|value| (*value as f32).to_bits().into()).collect(),
        kind: (16, 4),
        ..file
    };
    let as_bytes = |file: File| File { kind: (2, 1), ..file };
    let doubles = File {
        values: volume().values.iter().map(|value| (*value as f64).to_bits()).collect(),
        kind: (64, 8),
        ..volume()
    };
    for (name, content, [slope, intercept]) in [
        ("plain.nii", plain.clone(), [1.0, 0.0]),
        ("big_endian.nii", File { is_big_endian: true, ..volume() }.content(), [1.0, 0.0]),
        ("second.nii", File { version: 2, ..volume() }.content(), [1.0, 0.0]),
        ("second_big_endian.nii", File { version: 2, is_big_endian: true, ..volume() }.content(), [1.0, 0.0]),
        ("packed.nii.gz", gz(&plain), [1.0, 0.0]),
        ("members.nii.gz", members, [1.0, 0.0]),
        ("packed.nii", gz(&plain), [1.0, 0.0]),
        ("extension.nii", File { extension: 32, ..volume() }.content(), [1.0, 0.0]),
        ("scaled.nii", File { scale: [0.5, 10.0], ..volume() }.content(), [0.5, 10.0]),
        ("slope_zero.nii", File { scale: [0.0, 10.0], ..volume() }.content(), [1.0, 0.0]),
        ("slope_nan.nii", File { scale: [f64::NAN, f64::NAN], ..volume() }.content(), [1.0, 0.0]),
        ("floats.nii", as_floats(volume()).content(), [1.0, 0.0]),
        ("doubles.nii", doubles.content(), [1.0, 0.0]),
        ("bytes.nii", as_bytes(volume()).content(), [1.0, 0.0]),
        ("int64.nii", File { kind: (1024, 8), ..volume() }.content(), [1.0, 0.0]),
        ("trailing.nii", File { dimensions: vec![2, 3, 4, 1, 1], ..volume() }.content(), [1.0, 0.0]),
        ("no_extension", plain.clone(), [1.0, 0.0]),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let expected = (1..=4).map(|number| numbered(&path, number)).collect::<Vec<_>>();
        assert_eq!(pictures(&path, &Reading::default()).unwrap(), expected, "{name}");
        // The third slice: a row is j, a column i.
        let expected: Vec<_> = [20.0, 21.0, 22.0, 23.0, 24.0, 25.0].map(|value| slope * value + intercept).to_vec();
        assert_eq!(values(&numbered(&path, 3), Slices::K), expected, "{name}");
    }
    let listing = list_folder(folder.path(), &Reading::default()).unwrap();
    assert_eq!((listing.pictures.len(), listing.unread.len()), (17 * 4, 0));
}

#[test]
fn slices_along_every_axis_and_direction_are_those_of_the_array() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    fs::write(&path, volume().content()).unwrap();
    // The axes run to the right, the front and up. In a patient's slices columns run to the left.
    for (slices, number, expected) in [
        (Slices::K, 1, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        // numpy: data[:, 1, :].T and data[1].T
        (Slices::J, 2, vec![2.0, 3.0, 12.0, 13.0, 22.0, 23.0, 32.0, 33.0]),
        (Slices::I, 2, vec![1.0, 3.0, 5.0, 11.0, 13.0, 15.0, 21.0, 23.0, 25.0, 31.0, 33.0, 35.0]),
        // data[::-1, ::-1, 0].T
        (Slices::Axial, 1, vec![5.0, 4.0, 3.0, 2.0, 1.0, 0.0]),
        // data[::-1, 2, ::-1].T: the front first, from the head down.
        (Slices::Coronal, 1, vec![35.0, 34.0, 25.0, 24.0, 15.0, 14.0, 5.0, 4.0]),
        // data[1, ::-1, ::-1].T: the right first.
        (Slices::Sagittal, 1, vec![35.0, 33.0, 31.0, 25.0, 23.0, 21.0, 15.0, 13.0, 11.0, 5.0, 3.0, 1.0]),
    ] {
        assert_eq!(values(&numbered(&path, number), slices), expected, "{slices:?}");
    }
    let spacing = |slices| open_image_as(&path, &reading(slices)).unwrap().info().spacing;
    assert_eq!(spacing(Slices::K), Some([3.0, 2.0]));
    assert_eq!(spacing(Slices::I), Some([4.0, 3.0]));
    fs::write(&path, File { units: 3, ..volume() }.content()).unwrap();
    assert_eq!(spacing(Slices::K), Some([0.003, 0.002]), "micrometres");
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let series = File { dimensions: vec![2, 3, 2, 2], ..volume() };
    for (name, content, part) in [
        ("points in time", series.content(), "2 points in time (dim[4])"),
        ("complex numbers", File { kind: (32, 8), ..volume() }.content(), "complex numbers (datatype 32)"),
        ("an unknown type", File { kind: (7, 2), ..volume() }.content(), "an unknown type (datatype 7)"),
        ("no voxels", File { dimensions: vec![2, 0, 2], ..volume() }.content(), "a side has 0 voxels"),
        ("too many dimensions", File { dimensions: vec![1; 8], ..volume() }.content(), "8 dimensions"),
        ("more voxels than there are", File { dimensions: vec![2, 3, 5], ..volume() }.content(), "cut off"),
        ("cut off in the header", volume().content()[..347].to_vec(), "cut off"),
    ] {
        fs::write(&path, content).unwrap();
        let message = read_image(&path).err().unwrap_or_else(|| panic!("{name}: it is read")).to_string();
        assert!(message.contains(part) || (part == "cut off" && message.contains("begins with")), "{name}: {message}");
    }
    fs::write(&path, File { codes: [0, 0], ..volume() }.content()).unwrap();
    let message = open_image_as(&path, &reading(Slices::Axial)).err().unwrap().to_string();
    assert!(message.contains("sform_code and qform_code are 0") && message.contains("--slices k"), "{message}");
    assert_eq!(values(&path, Slices::K).len(), 6);
    let whole = volume().content();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let message = read_image(&path).err().unwrap_or_else(|| panic!("{length} bytes are read")).to_string();
        assert!(!message.contains("panicked"), "{length}: {message}");
    }
}

#[test]
fn labels_are_values_in_every_direction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.nii.gz");
    let labels: Vec<i16> = (0..24).map(|index| index % 3).collect();
    fs::write(&path, File::volume([2, 3, 4], &labels).content()).unwrap();
    let coding = MaskCoding::Index { classes: 3 };
    assert_eq!(read_mask(&numbered(&path, 1), &coding).unwrap().into_raw(), [0, 1, 2, 0, 1, 2]);
    let axial = Reading { slices: Some(Slices::Axial), ..Reading::default() };
    assert_eq!(read_mask_as(&numbered(&path, 1), &coding, &axial).unwrap().into_raw(), [2, 1, 0, 2, 1, 0]);
    fs::write(&path, File { scale: [0.5, 0.0], ..File::volume([2, 3, 4], &labels) }.content()).unwrap();
    let message = read_mask(&numbered(&path, 1), &coding).unwrap_err().to_string();
    assert!(message.contains("the value 0.5 in a mask"), "{message}");
}
