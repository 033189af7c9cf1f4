//! Files of several pictures, volumes, and what is not an image.

use std::fs::{self, File};
use std::path::Path;

use seg_data::{MaskCoding, read_mask};
use tiff::encoder::{TiffEncoder, colortype};

use super::Workplace;

/// Writes pages of 20x16 pixels whose left columns are red: 5 of the first page, 6 of the second.
fn stack(path: &Path, pages: u32) {
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    for page in 0..pages {
        let row = (0..20).flat_map(|x| if x < 5 + page { [200_u8, 90, 90] } else { [20, 90, 90] });
        let row: Vec<u8> = row.collect();
        encoder.write_image::<colortype::RGB8>(20, 16, &row.repeat(16)).unwrap();
    }
}

/// Returns a NIfTI volume of 20x16 voxels of red, green and blue and some slices, as the stack,
/// with sides of 0.5, 0.25 and 3 mm.
fn volume(slices: u32) -> Vec<u8> {
    let mut bytes = vec![0; 352];
    let mut put = |place: usize, content: &[u8]| bytes[place..place + content.len()].copy_from_slice(content);
    put(0, &348_i32.to_le_bytes());
    for (index, size) in [3_i16, 20, 16, slices as i16, 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * index, &size.to_le_bytes());
    }
    put(70, &128_i16.to_le_bytes());
    put(72, &24_i16.to_le_bytes());
    for (index, side) in [1.0_f32, 0.5, 0.25, 3.0].into_iter().enumerate() {
        put(76 + 4 * index, &side.to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    put(123, &[2]);
    put(254, &1_i16.to_le_bytes());
    for (index, number) in [0.5_f32, 0.0, 0.0, 1.0, 0.0, 0.25, 0.0, 2.0, 0.0, 0.0, 3.0, 3.0].into_iter().enumerate() {
        put(280 + 4 * index, &number.to_le_bytes());
    }
    put(344, b"n+1\0");
    for slice in 0..slices {
        for _ in 0..16 {
            (0..20).for_each(|x| bytes.extend(if x < 5 + slice { [200, 90, 90] } else { [20, 90, 90] }));
        }
    }
    bytes
}

#[test]
fn every_page_is_segmented_under_its_number_and_none_is_lost() {
    let place = Workplace::new();
    fs::create_dir(place.path("in")).unwrap();
    stack(&place.path("in/stack.tif"), 3);
    place.image("in/single.png", 20, 16);
    fs::write(place.path("in/paper.pdf"), "%PDF-1.4").unwrap();
    let ended = place.run("infer --model threshold.onnx --out out --save mask,tiff in");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("1 file is not an image") && ended.stderr.contains("(a PDF file)"),
        "{}",
        ended.stderr
    );
    let entries = place.json_lines("out/predictions.jsonl");
    let names: Vec<_> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["single", "stack#1", "stack#2", "stack#3"]);
    let pixels: Vec<_> = entries.iter().map(|entry| entry["area"][1]["pixels"].as_u64().unwrap()).collect();
    assert_eq!(pixels, [160, 5 * 16, 6 * 16, 7 * 16]);
    assert!(entries[1]["input"].as_str().unwrap().ends_with("in/stack.tif#1"));
    for page in 1..=3 {
        let mask = |name: &str| read_mask(&place.path(name), &MaskCoding::Index { classes: 2 }).unwrap();
        assert_eq!(mask(&format!("out/tiff/stack.tif#{page}")), mask(&format!("out/masks/stack#{page}.png")), "{page}");
    }
    let volumes = place.json_lines("out/volumes.jsonl");
    assert_eq!(volumes.len(), 2);
    assert_eq!(volumes[1]["pictures"], serde_json::json!(["stack#1", "stack#2", "stack#3"]));

    // A run that continues does nothing again, and makes the same files.
    let before = fs::read(place.path("out/tiff/stack.tif")).unwrap();
    fs::remove_file(place.path("out/masks/stack#2.png")).unwrap();
    fs::remove_dir_all(place.path("out/tiff")).unwrap();
    let ended = place.run("infer --model threshold.onnx --out out --save mask,tiff --continue in");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("3 of 4 images are complete"), "{}", ended.stderr);
    assert!(before == fs::read(place.path("out/tiff/stack.tif")).unwrap());

    let ended = place.run("infer --model threshold.onnx --out some --pages 2-3 in/stack.tif");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let names: Vec<_> = place
        .json_lines("some/predictions.jsonl")
        .iter()
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["stack#2", "stack#3"]);
    let ended = place.run("infer --model threshold.onnx --out none --pages 9 in/stack.tif");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("--pages"), "{}", ended.stderr);
}

#[test]
fn a_volume_has_a_mask_on_its_grid_and_areas_in_square_millimetres() {
    let place = Workplace::new();
    fs::write(place.path("volume.nii"), volume(3)).unwrap();
    let ended = place.run("infer --model threshold.onnx --out out --save nifti volume.nii");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let entries = place.json_lines("out/predictions.jsonl");
    assert_eq!(entries.len(), 3);
    for (slice, entry) in entries.iter().enumerate() {
        assert_eq!(entry["spacing_mm"], serde_json::json!([0.25, 0.5]));
        let area = &entry["area"][1];
        assert_eq!(area["pixels"].as_u64().unwrap(), (5 + slice as u64) * 16);
        assert_eq!(area["mm2"].as_f64().unwrap(), (5.0 + slice as f64) * 16.0 * 0.125);
        let mask = |name: String| read_mask(&place.path(name), &MaskCoding::Index { classes: 2 }).unwrap();
        let number = slice + 1;
        assert_eq!(mask(format!("out/nifti/volume.nii.gz#{number}")), mask(format!("out/masks/volume#{number}.png")));
    }
    // Another order of the axes changes the slices, and the mask lies where it did.
    let ended = place.run("infer --model threshold.onnx --out other --save nifti --slices axial volume.nii");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let bytes = |name| fs::read(place.path(name)).unwrap();
    assert!(bytes("out/nifti/volume.nii.gz") == bytes("other/nifti/volume.nii.gz"));
    for (flags, part) in [
        ("--save nifti --pages 2", "would look like background"),
        ("--save dicom-seg", "is not DICOM"),
        ("--window 40,0", "expected file, CENTER,WIDTH"),
    ] {
        let ended = place.run(&format!("infer --model threshold.onnx --out {} {flags} volume.nii", flags.len()));
        assert_ne!(ended.code, Some(0), "{flags}");
        assert!(ended.stderr.contains(part), "{flags}: {}", ended.stderr);
    }
}
