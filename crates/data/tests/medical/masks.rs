//! Masks of whole volumes, written and read again.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::open_file;
use image::{GrayImage, Luma};
use seg_contract::{Class, Code, Codes, Reading, Slices};
use seg_data::{
    Dataset, MaskCoding, SegmentationKind, SegmentationLabels, list_folder, open_image_as, read_mask, read_mask_as,
    stacks,
};

use super::dicom_file;
use super::nifti_file;

const INDEX: MaskCoding = MaskCoding::Index { classes: 3 };

/// Slices of 5x3 pixels, of which no number of bits is that of whole bytes.
fn series(folder: &Path) -> Vec<PathBuf> {
    for (name, number, height) in [("c", 1, 0.0), ("a", 2, 2.5), ("b", 3, 5.0)] {
        let values: Vec<u16> = (0..15).map(|value| value * number).collect();
        let mut file = dicom_file::File::grey(5, &values).at(&format!("1.2.9.{number}"), number.into(), height);
        file.text(tags::PATIENT_ID, VR::LO, "7");
        file.save(&folder.join(name));
    }
    list_folder(folder, &Reading::default()).unwrap().pictures
}

/// The mask of a slice: both classes in the first and the last one, none in the second.
fn mask(place: usize) -> io::Result<GrayImage> {
    Ok(GrayImage::from_fn(5, 3, |x, y| {
        let label = if (x + y + place as u32).is_multiple_of(3) { 1 } else { 2 * u8::from(x == 4) };
        Luma([if place == 1 { 0 } else { label }])
    }))
}

fn classes() -> Vec<Class> {
    let code = |value: &str, meaning: &str| Code { value: value.into(), scheme: "SCT".into(), meaning: meaning.into() };
    let codes = Codes { category: code("123037004", "Anatomical Structure"), r#type: code("10200004", "Liver") };
    let mut classes: Vec<_> = ["background", "tumour", "liver"]
        .into_iter()
        .enumerate()
        .map(|(index, name)| Class::new(name, index))
        .collect();
    classes[2].codes = Some(codes);
    classes
}

fn segmentation(pictures: &[PathBuf], model: &str) -> Vec<u8> {
    let stack = stacks(pictures).unwrap().remove(0);
    let classes = classes();
    let labels = SegmentationLabels { classes: &classes, model, algorithm: "unet", version: "1" };
    let mut bytes = Vec::new();
    stack.write_dicom_seg(&labels, SegmentationKind::Binary, &mut mask, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_segmentation_is_read_as_it_was_written_and_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = series(folder.path());
    assert_eq!(pictures, ["c", "a", "b"].map(|name| folder.path().join(name)));
    let bytes = segmentation(&pictures, "model");
    assert!(bytes == segmentation(&pictures, "model"));
    let other = folder.path().join("masks");
    fs::create_dir(&other).unwrap();
    let path = other.join("seg.dcm");
    fs::write(&path, &bytes).unwrap();
    for place in 0..3 {
        let number = PathBuf::from(format!("{}#{}", path.display(), place + 1));
        assert_eq!(read_mask(&number, &INDEX).unwrap(), mask(place).unwrap(), "{place}");
    }
    let object = open_file(&path).unwrap();
    let text = |tag| object.element(tag).unwrap().to_str().unwrap().trim_end_matches('\0').to_owned();
    assert_eq!(text(tags::SOP_CLASS_UID), uids::SEGMENTATION_STORAGE);
    assert_eq!((text(tags::STUDY_INSTANCE_UID), text(tags::PATIENT_ID)), ("1.2.3.1".into(), "7 ".trim().into()));
    // Two classes in two of the slices.
    assert_eq!(text(tags::NUMBER_OF_FRAMES).trim(), "4");
    let instance = text(tags::SOP_INSTANCE_UID);
    assert!(instance.starts_with("2.25.") && instance.len() <= 64, "{instance}");
    let segments = object.element(tags::SEGMENT_SEQUENCE).unwrap().items().unwrap();
    assert_eq!(segments.len(), 2);
    let kind = segments[1].element(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE).unwrap().items().unwrap();
    assert_eq!(kind[0].element(tags::CODE_MEANING).unwrap().to_str().unwrap().trim(), "Liver");
    fs::write(&path, segmentation(&pictures, "another model")).unwrap();
    let other = open_file(&path).unwrap().element(tags::SOP_INSTANCE_UID).unwrap().to_str().unwrap().into_owned();
    assert_ne!(other.trim_end_matches('\0'), instance, "the result of another model is another object");
}

#[test]
fn a_label_map_has_a_frame_of_each_slice_and_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = series(folder.path());
    let stack = stacks(&pictures).unwrap().remove(0);
    let classes = classes();
    let labels = SegmentationLabels { classes: &classes, model: "m", algorithm: "unet", version: "1" };
    let mut bytes = Vec::new();
    stack.write_dicom_seg(&labels, SegmentationKind::LabelMap, &mut mask, &mut bytes).unwrap();
    let masks = folder.path().join("masks");
    fs::create_dir(&masks).unwrap();
    let path = masks.join("seg.dcm");
    fs::write(&path, bytes).unwrap();
    for place in 0..3 {
        let number = PathBuf::from(format!("{}#{}", path.display(), place + 1));
        assert_eq!(read_mask(&number, &INDEX).unwrap(), mask(place).unwrap(), "{place}");
    }
    let object = open_file(&path).unwrap();
    let number = |tag| object.element(tag).unwrap().to_int::<u32>().unwrap();
    assert_eq!(object.element(tags::SOP_CLASS_UID).unwrap().to_str().unwrap(), "1.2.840.10008.5.1.4.1.1.66.7");
    assert_eq!(object.element(tags::SEGMENTATION_TYPE).unwrap().to_str().unwrap(), "LABELMAP");
    let found = [tags::NUMBER_OF_FRAMES, tags::BITS_ALLOCATED, tags::HIGH_BIT, tags::PIXEL_PADDING_VALUE].map(number);
    assert_eq!(found, [3, 8, 7, 0]);
    let segments = object.element(tags::SEGMENT_SEQUENCE).unwrap().items().unwrap();
    let numbers: Vec<u32> =
        segments.iter().map(|item| item.element(tags::SEGMENT_NUMBER).unwrap().to_int().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2]);
    for group in object.element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).unwrap().items().unwrap() {
        assert!(
            group.get(tags::SEGMENT_IDENTIFICATION_SEQUENCE).is_none()
                && group.get(tags::PLANE_POSITION_SEQUENCE).is_some()
        );
    }
    // A picture without a place.
    let alone = folder.path().join("alone");
    dicom_file::File::grey(5, &[0; 15]).save(&alone);
    let stack = stacks(&[alone]).unwrap().remove(0);
    let refused = stack.write_dicom_seg(&labels, SegmentationKind::LabelMap, &mut mask, &mut Vec::new());
    assert!(refused.unwrap_err().to_string().contains("save `dicom-seg`"));
}

#[test]
fn probabilities_of_a_volume_lie_on_its_grid_in_every_direction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume.nii");
    let size = [2, 3, 4];
    let source = nifti_file::File { codes: [1, 2], ..nifti_file::File::volume(size, &[0; 24]) };
    fs::write(&path, source.content()).unwrap();
    let mut first = None;
    for slices in [Slices::K, Slices::J, Slices::I] {
        let reading = Reading { slices: Some(slices), ..Reading::default() };
        let pictures = seg_data::pictures(&path, &reading).unwrap();
        // A value that follows from the voxel: i + 10 j + 100 k + 1000 class.
        let mut maps = |class: usize, place: usize| {
            let info = open_image_as(&pictures[place], &reading).map_err(io::Error::other)?.info().clone();
            let pixels = (0..info.height as usize).flat_map(|y| (0..info.width as usize).map(move |x| (x, y)));
            let voxel = |(x, y): (usize, usize)| match slices {
                Slices::K => x + 10 * y + 100 * place,
                Slices::J => x + 10 * place + 100 * y,
                _ => place + 10 * x + 100 * y,
            };
            Ok(pixels.map(|pixel| (voxel(pixel) + 1000 * class) as f32).collect())
        };
        let mut compressed = Vec::new();
        let stack = stacks(&pictures).unwrap().remove(0);
        stack.write_nifti_probabilities(&reading, 3, &mut maps, &mut compressed).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(compressed.as_slice()).read_to_end(&mut bytes).unwrap();
        let short = |place: usize| i16::from_le_bytes([bytes[place], bytes[place + 1]]);
        assert_eq!([40, 42, 44, 46, 48].map(short), [4, 2, 3, 4, 3], "{slices:?}: the dimensions");
        assert_eq!([70, 72].map(short), [16, 32], "{slices:?}: float32");
        let values: Vec<f32> = bytes[352..].as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        let expected = (0..3).flat_map(|class| {
            (0..4).flat_map(move |k| (0..3).flat_map(move |j| (0..2).map(move |i| (i, j, k, class))))
        });
        let expected: Vec<f32> =
            expected.map(|(i, j, k, class)| (i + 10 * j + 100 * k + 1000 * class) as f32).collect();
        assert_eq!(values, expected, "{slices:?}");
        assert_eq!(first.get_or_insert(compressed.clone()), &compressed, "{slices:?}: the same bytes");
    }
}

#[test]
fn an_empty_mask_is_one_empty_frame() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = series(folder.path());
    let stack = stacks(&pictures).unwrap().remove(0);
    let classes = classes();
    let labels = SegmentationLabels { classes: &classes, model: "m", algorithm: "unet", version: "1" };
    let path = folder.path().join("seg.dcm");
    let mut bytes = Vec::new();
    stack.write_dicom_seg(&labels, SegmentationKind::Binary, &mut |_| Ok(GrayImage::new(5, 3)), &mut bytes).unwrap();
    fs::write(&path, bytes).unwrap();
    let object = open_file(&path).unwrap();
    assert_eq!(object.element(tags::NUMBER_OF_FRAMES).unwrap().to_int::<u32>().unwrap(), 1);
    assert_eq!(object.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().as_ref(), [0, 0]);
}

#[test]
fn a_segmentation_is_the_mask_of_the_images_that_it_refers_to() {
    let root = tempfile::tempdir().unwrap();
    let [images, masks] = ["images", "masks"].map(|name| root.path().join(name));
    fs::create_dir(&images).unwrap();
    fs::create_dir(&masks).unwrap();
    let pictures = series(&images);
    fs::write(masks.join("any_name.dcm"), segmentation(&pictures, "model")).unwrap();
    let json = r#"{"masks": "index", "classes": [{"name": "background"}, {"name": "tumour"}, {"name": "liver"}]}"#;
    fs::write(root.path().join("classes.json"), json).unwrap();
    let dataset = Dataset::open(root.path()).unwrap();
    assert!(dataset.is_medical());
    let names: Vec<_> = dataset.train.iter().map(|sample| sample.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    for (sample, place) in dataset.train.iter().zip([1, 2, 0]) {
        assert_eq!(sample.load().unwrap().1, mask(place).unwrap(), "{}", sample.name);
    }
}

#[test]
fn a_nifti_mask_lies_on_the_grid_of_its_volume_in_every_direction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume.nii");
    let source = nifti_file::File { codes: [1, 2], ..nifti_file::File::volume([2, 3, 4], &[0; 24]) };
    fs::write(&path, source.content()).unwrap();
    for slices in [Slices::K, Slices::J, Slices::I, Slices::Axial, Slices::Coronal, Slices::Sagittal] {
        let reading = Reading { slices: Some(slices), ..Reading::default() };
        let pictures = seg_data::pictures(&path, &reading).unwrap();
        let label = |place: usize, x: u32, y: u32| ((place as u32 + 2 * x + y) % 3) as u8;
        let mut masks = |place: usize| {
            let info = open_image_as(&pictures[place], &reading).map_err(io::Error::other)?.info().clone();
            Ok(GrayImage::from_fn(info.width, info.height, |x, y| Luma([label(place, x, y)])))
        };
        let stack = stacks(&pictures).unwrap().remove(0);
        let written = folder.path().join("mask.nii.gz");
        let mut bytes = Vec::new();
        stack.check_nifti(&reading).unwrap();
        stack.write_nifti(&reading, &mut masks, &mut bytes).unwrap();
        fs::write(&written, bytes).unwrap();
        for place in 0..pictures.len() {
            let number = PathBuf::from(format!("{}#{}", written.display(), place + 1));
            let found = read_mask_as(&number, &INDEX, &reading).unwrap();
            assert_eq!(found, masks(place).unwrap(), "{slices:?}: {place}");
        }
        let part = stacks(&pictures[1..]).unwrap().remove(0);
        let message = part.check_nifti(&reading).unwrap_err().to_string();
        assert!(message.contains("would look like background"), "{message}");
    }
}

#[test]
fn a_series_with_a_missing_slice_has_no_nifti_mask() {
    let folder = tempfile::tempdir().unwrap();
    for (name, number, height) in [("a", 1, 0.0), ("b", 2, 2.0), ("c", 3, 6.0)] {
        dicom_file::File::grey(5, &[0; 15])
            .at(&format!("1.2.{number}"), number, height)
            .save(&folder.path().join(name));
    }
    let pictures = list_folder(folder.path(), &Reading::default()).unwrap().pictures;
    let stack = stacks(&pictures).unwrap().remove(0);
    let message = stack.check_nifti(&Reading::default()).unwrap_err().to_string();
    assert!(message.contains("a slice") || message.contains("missing or doubled"), "{message}");
    assert!(message.contains("0.00, 2.00, 6.00 mm"), "{message}");
    stack.check_dicom_seg().unwrap();
}
