//! Files of several pictures: pages and frames.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use image::codecs::gif::GifEncoder;
use image::{Frame, GrayImage, Luma, Rgba, RgbaImage};
use seg_contract::Reading;
use seg_data::{Dataset, MaskCoding, list_folder, open_image, pictures, read_image, read_mask};
use tiff::encoder::{TiffEncoder, colortype};

/// Writes pages of 4x3 pixels, each of one grey value.
fn stack(path: &Path, values: &[u8]) {
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    for value in values {
        encoder.write_image::<colortype::Gray8>(4, 3, &[*value; 12]).unwrap();
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}#{number}", path.display()))
}

#[test]
fn every_page_and_frame_is_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    stack(&folder.join("stack.tif"), &[10, 20, 30]);
    stack(&folder.join("single.tif"), &[40]);
    let frame = |value: u8| Frame::new(RgbaImage::from_pixel(4, 3, Rgba([value, value, value, 255])));
    let mut encoder = GifEncoder::new(File::create(folder.join("film.gif")).unwrap());
    encoder.encode_frames([50, 60].map(frame)).unwrap();
    drop(encoder);
    let listing = list_folder(folder, &Reading::default()).unwrap();
    let names = ["film.gif#1", "film.gif#2", "single.tif", "stack.tif#1", "stack.tif#2", "stack.tif#3"];
    assert_eq!(listing.pictures, names.map(|name| folder.join(name)));
    for (path, value) in listing.pictures.iter().zip([50, 60, 40, 10, 20, 30]) {
        let found = read_image(path).unwrap();
        assert_eq!(found.dimensions(), (4, 3), "{}", path.display());
        let expected = f32::from(value as u8) / 255.0;
        assert!(found.iter().all(|found| (found - expected).abs() < 2.0 / 255.0), "{}", path.display());
        let mut reader = open_image(path).unwrap();
        assert_eq!(reader.rows(1..2).unwrap().to_float().get_pixel(0, 0), found.get_pixel(0, 1), "{}", path.display());
    }
    // The path of the file alone is that of its first page.
    assert_eq!(read_image(&folder.join("stack.tif")).unwrap(), read_image(&folder.join("stack.tif#1")).unwrap());
    for (name, part) in [("stack.tif#4", "the TIFF file has 3 pictures"), ("film.gif#3", "has 2 pictures")] {
        let message = read_image(&folder.join(name)).unwrap_err().to_string();
        assert!(message.contains(part), "{name}: {message}");
        let message = pictures(&folder.join(name), &Reading::default()).unwrap_err().to_string();
        assert!(message.contains(part), "{name}: {message}");
    }
    let mask = read_mask(&folder.join("stack.tif#2"), &MaskCoding::Index { classes: 30 }).unwrap();
    assert!(mask.iter().all(|label| *label == 20));
}

#[test]
fn a_stack_and_its_masks_are_a_sample_for_each_page() {
    let root = tempfile::tempdir().unwrap();
    for name in ["images", "masks"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    stack(&root.path().join("images/a.tif"), &[10, 20, 30]);
    stack(&root.path().join("masks/a.tif"), &[0, 255, 0]);
    GrayImage::from_pixel(4, 3, Luma([7])).save(root.path().join("images/b.png")).unwrap();
    GrayImage::from_pixel(4, 3, Luma([255])).save(root.path().join("masks/b.png")).unwrap();
    fs::write(root.path().join("train.txt"), "a").unwrap();
    fs::write(root.path().join("val.txt"), "b").unwrap();
    let dataset = Dataset::open(root.path()).unwrap();
    let names: Vec<_> = dataset.train.iter().map(|sample| sample.name.as_str()).collect();
    assert_eq!(names, ["a#1", "a#2", "a#3", "b"]);
    assert_eq!(dataset.validation, ["b"]);
    for (sample, label) in dataset.train.iter().zip([0, 1, 0]) {
        assert!(sample.load().unwrap().1.iter().all(|found| *found == label), "{}", sample.name);
    }
    assert_eq!(dataset.fingerprint().unwrap(), Dataset::open(root.path()).unwrap().fingerprint().unwrap());
    let again = dataset.with_reading(&Reading { slices: Some(seg_contract::Slices::J), ..Reading::default() }).unwrap();
    assert_eq!(again.train.len(), 4, "pages are pages in every direction");
    stack(&root.path().join("masks/a.tif"), &[0, 255]);
    let message = Dataset::open(root.path()).unwrap_err().to_string();
    assert!(message.contains("a.tif` holds 3 pictures") && message.contains("holds 2"), "{message}");
    assert_eq!(numbered(Path::new("a"), 2), PathBuf::from("a#2"));
}

#[test]
fn files_that_are_not_images_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for (content, parts) in [
        ("version https://git-lfs.github.com/spec/v1\n", ["a Git LFS pointer", "git lfs pull"]),
        ("<!DOCTYPE html><html>", ["an HTML page", "download"]),
        ("\u{0}", ["it begins with", "convert it to PNG"]),
        ("%PDF-1.7", ["a PDF file", "PNG"]),
    ] {
        let path = folder.path().join("image.png");
        fs::write(&path, content).unwrap();
        let message = read_image(&path).unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}
