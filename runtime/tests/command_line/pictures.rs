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
pub(crate) fn volume(slices: u32) -> Vec<u8> {
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
fn a_volume_is_resampled_for_the_network_alone() {
    let place = Workplace::new();
    fs::write(place.path("volume.nii"), volume(3)).unwrap();
    let plain = place.run("infer --model threshold.onnx --out plain --save nifti volume.nii");
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    for (out, flags) in [
        ("whole", "--resample 0.25"),
        ("tiles", "--resample 0.25 --tile 16"),
        ("batch", "--resample 0.25 --batch 3"),
        ("pair", "--resample 0.25x0.25"),
        ("parts", "--resample 0.25 --threads 2"),
    ] {
        let ended =
            place.run(&format!("infer --model threshold.onnx --out {out} --save mask,nifti {flags} volume.nii"));
        assert_eq!(ended.code, Some(0), "{flags}: {}", ended.stderr);
        let entries = place.json_lines(&format!("{out}/predictions.jsonl"));
        assert_eq!(entries.len(), 3, "{flags}");
        for (slice, entry) in entries.iter().enumerate() {
            assert_eq!(entry["resampled"], serde_json::json!([16, 40]), "{flags}");
            assert_eq!((&entry["width"], &entry["height"]), (&20.into(), &16.into()), "{flags}");
            assert_eq!(entry["spacing_mm"], serde_json::json!([0.25, 0.5]), "{flags}");
            assert_eq!(entry["area"][1]["mm2"].as_f64().unwrap(), (5.0 + slice as f64) * 16.0 * 0.125, "{flags}");
        }
        let bytes = |name: &str| fs::read(place.path(format!("{name}/nifti/volume.nii.gz"))).unwrap();
        assert!(bytes(out) == bytes("plain"), "{flags}");
        let job: serde_json::Value =
            serde_json::from_slice(&fs::read(place.path(format!("{out}/job.json"))).unwrap()).unwrap();
        assert_eq!(job["settings"]["reading"]["resample"], serde_json::json!([0.25, 0.25]), "{flags}");
    }
    place.image("photo.png", 20, 16);
    let ended = place.run("infer --model threshold.onnx --out none --resample 0.25 photo.png volume.nii");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("photo.png") && ended.stderr.contains("is not known"), "{}", ended.stderr);
    assert_eq!(place.json_lines("none/predictions.jsonl").len(), 4);
    for (flags, part) in [("--resample 0", "expected millimetres a pixel"), ("--resample 1e-6", "too large")] {
        let ended = place.run(&format!("infer --model threshold.onnx --out bad {flags} volume.nii"));
        assert_ne!(ended.code, Some(0), "{flags}");
        assert!(ended.stderr.contains(part), "{flags}: {}", ended.stderr);
    }
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
    // Probabilities say what the mask says: class 1 is at least one half where the label is 1.
    let ended = place.run("infer --model threshold.onnx --out maps --save probabilities-nifti volume.nii");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(place.path("maps/masks/volume#1.png").is_file() && place.path("maps/probabilities/volume#3.npy").is_file());
    let unpacked = |path: std::path::PathBuf| {
        let mut bytes = Vec::new();
        let mut file = flate2::read::MultiGzDecoder::new(File::open(path).unwrap());
        std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        bytes
    };
    let maps = unpacked(place.path("maps/probabilities-nifti/volume.nii.gz"));
    let labels = unpacked(place.path("out/nifti/volume.nii.gz"));
    let values: Vec<f32> = maps[352..].as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    assert_eq!(values.len(), 2 * 20 * 16 * 3);
    for (place, label) in labels[352..].iter().enumerate() {
        let [ground, target] = [values[place], values[960 + place]];
        assert!((ground + target - 1.0).abs() < 1e-6 && (target > 0.5) == (*label == 1), "{ground} {target} {label}");
    }
    assert_eq!(maps[280..328], labels[280..328], "the matrix");
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

#[test]
fn the_parts_of_a_volume_end_as_a_run_in_one_go() {
    let place = Workplace::new();
    fs::write(place.path("volume.nii"), volume(5)).unwrap();
    let infer = |args: &str| {
        let ended = place.run(&format!("infer --model threshold.onnx {args} --save nifti,tiff volume.nii"));
        assert_eq!(ended.code, Some(0), "{args}: {}", ended.stderr);
        ended.stderr
    };
    infer("--out whole");
    for part in [1, 2] {
        let said = infer(&format!("--out parts --num-parts 2 --part {part}"));
        assert!(said.contains("the masks of volumes are made of all parts"), "{said}");
        assert!(!place.path("parts/nifti").exists() && !place.path("parts/tiff").exists(), "part {part}");
    }
    let ended = place.run("merge parts");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said = infer("--out parts --continue");
    assert!(said.contains("5 of 5 images are complete") && said.contains("2 files of volumes written"), "{said}");
    for name in ["nifti/volume.nii.gz", "tiff/volume.tif", "volumes.jsonl"] {
        let bytes = |folder: &str| fs::read(place.path(format!("{folder}/{name}"))).unwrap();
        assert!(bytes("whole") == bytes("parts"), "{name}");
    }
}

/// Writes a slide of 96x64 pixels of 0.25 µm in tiles of 16x16 and a copy of half its size, both
/// red on the left: a quarter of the slide, and half of the copy.
fn slide(path: &Path) {
    const TILE: u32 = 16;
    let mut bytes = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    for [width, height, red] in [[96_u32, 64, 24], [48, 32, 24]] {
        let mut places = Vec::new();
        for (row, column) in (0..height / TILE).flat_map(|row| (0..width / TILE).map(move |column| (row, column))) {
            let _ = row;
            places.extend((bytes.len() as u32).to_le_bytes());
            for x in (0..TILE * TILE).map(|place| column * TILE + place % TILE) {
                bytes.extend(if x < red { [200, 90, 90] } else { [20, 90, 90] });
            }
        }
        let count = places.len() as u32 / 4;
        let sizes: Vec<u8> = (0..count).flat_map(|_| (3 * TILE * TILE).to_le_bytes()).collect();
        let text = b"Aperio Image Library|MPP = 0.25".to_vec();
        let bits: Vec<u8> = [8_u16; 3].iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let place = |bytes: &mut Vec<u8>, content: &[u8]| {
            bytes.extend(content);
            (bytes.len() - content.len()) as u32
        };
        let [bits, text_place, places, sizes] =
            [&bits, &text, &places, &sizes].map(|content| place(&mut bytes, content));
        let text_length = text.len() as u32;
        let tags: [(u16, u16, u32, u32); 11] = [
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 3, bits),
            (259, 4, 1, 1),
            (262, 4, 1, 2),
            (270, 2, text_length, text_place),
            (277, 4, 1, 3),
            (322, 4, 1, TILE),
            (323, 4, 1, TILE),
            (324, 4, count, places),
            (325, 4, count, sizes),
        ];
        let own = bytes.len() as u32;
        bytes[link..link + 4].copy_from_slice(&own.to_le_bytes());
        bytes.extend((tags.len() as u16).to_le_bytes());
        for (tag, kind, count, value) in tags {
            bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            bytes.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
        }
        link = bytes.len();
        bytes.extend([0; 4]);
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_level_of_a_slide_is_segmented_and_named() {
    let place = Workplace::new();
    slide(&place.path("slide.tif"));
    for (flags, size, level, um, red) in [
        ("", [96, 64], serde_json::Value::Null, 0.25, 24),
        ("--level 1", [48, 32], 1.into(), 0.5, 24),
        ("--level 0.25um", [96, 64], 0.into(), 0.25, 24),
        ("--level 0.5um", [48, 32], 1.into(), 0.5, 24),
    ] {
        let out = format!("out-{}", flags.replace(' ', "-"));
        let ended = place.run(&format!("infer --model threshold.onnx --out {out} {flags} slide.tif"));
        assert_eq!(ended.code, Some(0), "{flags}: {}", ended.stderr);
        let entries = place.json_lines(&format!("{out}/predictions.jsonl"));
        assert_eq!(entries.len(), 1, "{flags}");
        let entry = &entries[0];
        assert_eq!([&entry["width"], &entry["height"]], [&size[0].into(), &size[1].into()] as [&serde_json::Value; 2]);
        assert_eq!((&entry["name"], &entry["level"]), (&"slide".into(), &level), "{flags}");
        assert_eq!(entry["spacing_mm"], serde_json::json!([um / 1000.0, um / 1000.0]), "{flags}");
        assert_eq!(entry["area"][1]["pixels"], red * size[1], "{flags}");
        let mask = read_mask(&place.path(format!("{out}/masks/slide.png")), &MaskCoding::Index { classes: 2 }).unwrap();
        assert_eq!(mask.dimensions(), (size[0], size[1]), "{flags}");
    }
    let job: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path("out---level-1/job.json")).unwrap()).unwrap();
    assert_eq!(job["settings"]["reading"]["level"], serde_json::json!({"number": 1}));
    let ended = place.run("infer --model threshold.onnx --out none --level 2 slide.tif");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("at level 2: it has 0 (96x64, 0.250 µm a pixel), 1 (48x32"), "{}", ended.stderr);
    let ended = place.run("infer --model threshold.onnx --out none --level 20x slide.tif");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    // A mask of the level's size belongs to the level.
    fs::create_dir_all(place.path("data/images")).unwrap();
    fs::copy(place.path("slide.tif"), place.path("data/images/slide.tif")).unwrap();
    place.mask("data/masks/slide.png", 48, 32);
    let ended = place.run("eval --model threshold.onnx --data data --split all --level 1 --out scores");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let scores: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path("scores/scores.json")).unwrap()).unwrap();
    assert_eq!(scores.pointer("/scores/per_image/overall/dice/value"), Some(&1.0.into()));
    let ended = place.run("eval --model threshold.onnx --data data --split all");
    assert!(ended.stderr.contains("is 48x32, but its image"), "{}", ended.stderr);
}
