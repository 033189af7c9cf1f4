//! DICOM images: from stored bytes to the values that a network sees.

use std::fs;
use std::path::Path;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use seg_contract::{Reading, Windowing};
use seg_data::{Picture, WindowSource, list_folder, open_image, open_image_as, pictures, read_image};

use super::dicom_file::File;

/// Returns the first channel in 16 bits, as it is read.
fn words(path: &Path, reading: &Reading) -> Vec<u16> {
    let mut reader = open_image_as(path, reading).unwrap();
    let height = reader.info().height;
    match reader.rows(0..height).unwrap().as_ref() {
        Picture::Bits16(image) => image.pixels().map(|pixel| pixel[0]).collect(),
        other => panic!("not 16 bits: {other:?}"),
    }
}

fn colors(path: &Path) -> Vec<[u8; 3]> {
    let mut reader = open_image(path).unwrap();
    let height = reader.info().height;
    match reader.rows(0..height).unwrap().as_ref() {
        Picture::Bits8(image) => image.pixels().map(|pixel| pixel.0).collect(),
        other => panic!("not 8 bits: {other:?}"),
    }
}

/// The values of 12 bits with a sign, under bits of an overlay: 0, 1, 2047, -2048, -1 and 1000.
fn signed() -> File {
    let mut file = File::grey(3, &[0x7000, 0x0001, 0x37ff, 0x0800, 0xafff, 0x03e8]);
    file.number(tags::BITS_STORED, 12);
    file.number(tags::HIGH_BIT, 11);
    file.number(tags::PIXEL_REPRESENTATION, 1);
    file.text(tags::RESCALE_SLOPE, VR::DS, "0.5 ");
    file.text(tags::RESCALE_INTERCEPT, VR::DS, "-100");
    file
}

#[test]
fn values_are_masked_extended_scaled_and_shown_through_the_first_window() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("IM0001");
    let mut file = signed();
    file.text(tags::WINDOW_CENTER, VR::DS, "40\\0");
    file.text(tags::WINDOW_WIDTH, VR::DS, "400\\1");
    file.save(&path);
    // pydicom's apply_modality_lut and apply_windowing, scaled to 65535.
    let expected = [9855, 9937, 65535, 0, 9773, 65535];
    assert_eq!(words(&path, &Reading::default()), expected);
    let window = open_image(&path).unwrap().info().window.clone().unwrap();
    assert_eq!((window.low, window.high, window.source), (-160.0, 239.0, WindowSource::FileWindow));
    let float = read_image(&path).unwrap();
    assert_eq!(float.get_pixel(1, 0).0, [9937.0 / 65535.0; 3]);

    let reading = Reading { windowing: Some(Windowing::Fixed { center: 40.0, width: 400.0 }), ..Reading::default() };
    let mut file = signed();
    file.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
    file.save(&path);
    // The same window; small values are white.
    assert_eq!(words(&path, &reading), expected.map(|word| 65535 - word));
}

#[test]
fn other_windows_and_tables_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let values = [0, 80, 85, 90, 95, 100];
    let with = |change: &dyn Fn(&mut File)| {
        let mut file = File::grey(3, &values);
        change(&mut file);
        file.save(&path);
        words(&path, &Reading::default())
    };
    let window = |file: &mut File, function: &str| {
        file.text(tags::WINDOW_CENTER, VR::DS, "90");
        file.text(tags::WINDOW_WIDTH, VR::DS, "20");
        file.text(tags::VOILUT_FUNCTION, VR::CS, function);
    };
    let exact = with(&|file| window(file, "LINEAR_EXACT"));
    assert_eq!(exact, [0, 0, 16384, 32768, 49151, 65535]);
    let sigmoid = with(&|file| window(file, "SIGMOID"));
    let share = |value: f64| (65535.0 / (1.0 + (-4.0 * (value - 90.0) / 20.0).exp())).round() as u16;
    assert_eq!(sigmoid, values.map(|value| share(value.into())));
    let table = with(&|file| {
        let mut item = File::grey(1, &[0]);
        item.object = InMemDicomObject::new_empty();
        item.words(tags::LUT_DESCRIPTOR, VR::US, &[3, 85, 10]);
        item.words(tags::LUT_DATA, VR::OW, &[0, 1023, 341]);
        file.sequence(tags::VOILUT_SEQUENCE, vec![item.object]);
        // A table goes before a window.
        window(file, "LINEAR_EXACT");
    });
    assert_eq!(table, [0, 0, 0, 21845, 21845, 21845]);
    let modality = with(&|file| {
        let mut item = File::grey(1, &[0]);
        item.object = InMemDicomObject::new_empty();
        item.words(tags::LUT_DESCRIPTOR, VR::US, &[2, 85, 16]);
        item.words(tags::LUT_DATA, VR::OW, &[80, 100]);
        file.sequence(tags::MODALITY_LUT_SEQUENCE, vec![item.object]);
        window(file, "LINEAR_EXACT");
    });
    assert_eq!(modality, [0, 0, 0, 65535, 65535, 65535]);
}

#[test]
fn percentiles_are_those_of_the_series_and_padding_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first: Vec<u16> = (0..12).map(|value| 100 * value).collect();
    let mut second: Vec<u16> = first.iter().map(|value| value + 37).collect();
    File::grey(4, &first).at("1.2.1", 1, 0.0).save(&folder.join("a"));
    // One more row of padding.
    second.extend([9999; 4]);
    let mut file = File::grey(4, &second).at("1.2.2", 2, 2.5);
    file.number(tags::PIXEL_PADDING_VALUE, 9999);
    file.save(&folder.join("b"));
    let mut other = File::grey(4, &[60_000; 12]);
    other.text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.99");
    other.save(&folder.join("c"));
    let reading = Reading { windowing: Some(Windowing::Percentiles { low: 10.0, high: 90.0 }), ..Reading::default() };
    // numpy.percentile of all 24 values gives 111.1 and 1025.9.
    let expected = [0, 0, 6369, 13533, 20696, 27860, 35024, 42188, 49352, 56516, 63680, 65535];
    assert_eq!(words(&folder.join("a"), &reading), expected);
    let window = open_image_as(&folder.join("b"), &reading).unwrap().info().window.clone().unwrap();
    assert!((window.low - 111.1).abs() < 1e-4 && (window.high - 1025.9).abs() < 1e-3, "{window:?}");
    assert_eq!(window.source, WindowSource::Percentiles);
}

#[test]
fn colours_are_red_green_and_blue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let mut planar = File::bytes([1, 2], "RGB", 3, &[1, 4, 2, 5, 3, 6]);
    planar.number(tags::PLANAR_CONFIGURATION, 1);
    let luma = [149, 43, 21, 76, 85, 255];
    let full = File::bytes([1, 2], "YBR_FULL", 3, &luma);
    // Two lumas, and the colour differences that they share.
    let half = File::bytes([1, 2], "YBR_FULL_422", 3, &[149, 76, 43, 21]);
    let mut palette = File::bytes([1, 4], "PALETTE COLOR", 1, &[9, 10, 11, 200]);
    for (descriptor, data, entries) in [
        (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA, [1, 2]),
        (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA, [3, 4]),
        (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA, [5, 6]),
    ] {
        palette.words(descriptor, VR::US, &[2, 10, 8]);
        palette.words(data, VR::OW, &entries);
    }
    // pydicom's convert_color_space of the same samples.
    let rgb = |[y, cb, cr]: [u8; 3]| {
        let (y, cb, cr) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
        [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
            .map(|value| value.round().clamp(0.0, 255.0) as u8)
    };
    for (name, file, expected) in [
        ("planes", planar, vec![[1, 2, 3], [4, 5, 6]]),
        ("luma and colour differences", full, vec![rgb([149, 43, 21]), rgb([76, 85, 255])]),
        ("shared colour differences", half, vec![rgb([149, 43, 21]), rgb([76, 43, 21])]),
        ("palette, below, first, second, above", palette, vec![[1, 3, 5], [1, 3, 5], [2, 4, 6], [2, 4, 6]]),
    ] {
        file.save(&path);
        assert_eq!(colors(&path), expected, "{name}");
    }
}

#[test]
fn frames_are_read_by_their_number_and_listed_by_their_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enhanced.dcm");
    let mut file = File::grey(2, &[0, 10, 20, 30, 40, 50]);
    file.number(tags::ROWS, 1);
    file.text(tags::NUMBER_OF_FRAMES, VR::IS, "3 ");
    file.text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0");
    let group = |height: &str, slope: &str| {
        let mut item = File::grey(1, &[0]);
        item.object = InMemDicomObject::new_empty();
        let mut position = InMemDicomObject::new_empty();
        position.put_str(tags::IMAGE_POSITION_PATIENT, VR::DS, format!("0\\0\\{height}"));
        let mut scale = InMemDicomObject::new_empty();
        scale.put_str(tags::RESCALE_SLOPE, VR::DS, slope);
        scale.put_str(tags::RESCALE_INTERCEPT, VR::DS, "0");
        item.sequence(tags::PLANE_POSITION_SEQUENCE, vec![position]);
        item.sequence(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, vec![scale]);
        item.object
    };
    let groups = vec![group("4", "1"), group("0", "2"), group("2", "0.5")];
    file.sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups);
    file.save(&path);
    let names = |numbers: [u32; 3]| numbers.map(|number| folder.path().join(format!("enhanced.dcm#{number}")));
    assert_eq!(pictures(&path, &Reading::default()).unwrap(), names([2, 3, 1]));
    let reading = Reading { windowing: Some(Windowing::Fixed { center: 50.5, width: 101.0 }), ..Reading::default() };
    // Each frame has a slope of its own.
    for (number, values) in [(1, [0.0, 10.0]), (2, [40.0, 60.0]), (3, [20.0, 25.0])] {
        let path = folder.path().join(format!("enhanced.dcm#{number}"));
        assert_eq!(
            words(&path, &reading),
            values.map(|value| (((value - 50.0) / 100.0 + 0.5_f64) * 65535.0).round() as u16),
            "{number}"
        );
    }
    let missing =
        open_image(&folder.path().join("enhanced.dcm#4")).and_then(|mut reader| reader.rows(0..1).map(|_| ()));
    assert!(missing.unwrap_err().to_string().contains("3 frames, number 4"));
}

#[test]
fn a_series_is_sorted_by_position_whatever_the_names_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, number, height) in [("IM000", 3, 5.0), ("IM001", 1, -2.5), ("IM002", 2, 0.0), ("1.2.840.4", 9, 2.5)] {
        File::grey(2, &[1, 2]).at(&format!("1.2.{number}"), number, height).save(&folder.join(name));
    }
    fs::write(folder.join("notes.txt"), "text").unwrap();
    let listing = list_folder(folder, &Reading::default()).unwrap();
    assert_eq!(listing.pictures, ["IM001", "IM002", "1.2.840.4", "IM000"].map(|name| folder.join(name)));
    assert_eq!(listing.unread.iter().map(|unread| unread.kind).collect::<Vec<_>>(), ["a text file"]);
    let info = open_image(&folder.join("IM000")).unwrap().info().clone();
    assert_eq!(info.spacing, Some([0.5, 0.25]));
}

#[test]
fn what_is_not_read_is_refused_with_its_attribute_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let with = |change: &dyn Fn(&mut File)| {
        let mut file = File::grey(2, &[1, 2]);
        change(&mut file);
        file
    };
    let video = File::grey(2, &[1, 2]).compressed("1.2.840.10008.1.2.4.100", vec![vec![0; 8]]);
    for (name, file, parts) in [
        ("MPEG", video, &["(1.2.840.10008.1.2.4.100)", "ffmpeg"][..]),
        (
            "an unknown interpretation",
            with(&|file| file.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "HSV")),
            &["(0028,0004) `HSV`"],
        ),
        ("contradicting bits", with(&|file| file.number(tags::HIGH_BIT, 3)), &["(0028,0102)", "contradict"]),
        ("no pixels", with(&|file| drop(file.object.take(tags::ROWS))), &["no pixels, CT Image Storage"]),
        (
            "a slope of 0",
            with(&|file| file.text(tags::RESCALE_SLOPE, VR::DS, "0")),
            &["rescale slope (0028,1053) is 0"],
        ),
        ("more pixels than there are", with(&|file| file.number(tags::ROWS, 60_000)), &["expected 240000"]),
        (
            "a segmentation",
            with(&|file| file.text(tags::SOP_CLASS_UID, VR::UI, uids::SEGMENTATION_STORAGE)),
            &["is a mask"],
        ),
    ] {
        file.save(&path);
        let message = read_image(&path).unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{name}: {message}");
    }
}

#[test]
fn a_file_that_is_cut_off_or_changed_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let whole = signed().content();
    for length in 132..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let message = match read_image(&path) {
            Ok(_) => panic!("{length} of {} bytes are read", whole.len()),
            Err(error) => error.to_string(),
        };
        assert!(!message.contains("panicked"), "{length}: {message}");
    }
    // One byte after the other has another value.
    for place in 132..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 0xff;
        fs::write(&path, &changed).unwrap();
        if let Err(error) = read_image(&path) {
            assert!(!error.to_string().contains("panicked"), "{place}: {error}");
        }
    }
}

/// Writes an element in the implicit form.
fn implicit(tag: Tag, value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u32).to_le_bytes();
    [&tag.0.to_le_bytes()[..], &tag.1.to_le_bytes(), &length, value].concat()
}

/// Writes a sequence of one item, both ending at marks, behind its tag and representation.
fn marked(head: &[u8], item: &[u8]) -> Vec<u8> {
    let item_begins = [0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff];
    let ends = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
    [head, &[0xff; 4], &item_begins, item, &ends].concat()
}

#[test]
fn items_of_an_unknown_kind_are_implicit_in_an_explicit_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    // A writer that did not know the sequence of the spacing, nor a private one that holds another.
    let measures = implicit(tags::PIXEL_SPACING, b"0.5\\0.25");
    let groups = marked(&[0x28, 0, 0x10, 0x91], &measures);
    let mut unknown = marked(b"\x00\x52\x29\x92UN\0\0", &groups);
    let inner = marked(&[0x09, 0, 0x11, 0x10], &implicit(Tag(0x0009, 0x1012), b"text"));
    unknown.extend(marked(b"\x01\x52\x10\x10UN\0\0", &inner));
    let mut content = File::grey(2, &[1, 2]).content();
    let pixels = content.windows(4).position(|bytes| bytes == [0xe0, 0x7f, 0x10, 0]).unwrap();
    content.splice(pixels..pixels, unknown);
    fs::write(&path, &content).unwrap();
    assert_eq!(open_image(&path).unwrap().info().spacing, Some([0.5, 0.25]));
    let whole = Reading { windowing: Some(Windowing::Fixed { center: 32768.0, width: 65536.0 }), ..Reading::default() };
    assert_eq!(words(&path, &whole), [1, 2]);
}

#[test]
fn sequences_that_never_end_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let mut bytes = signed().content();
    // A private sequence of items that hold another one, 20000 levels deep.
    for _ in 0..20_000 {
        bytes.extend([0x09, 0x00, 0x10, 0x10, b'S', b'Q', 0, 0, 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]);
    }
    fs::write(&path, bytes).unwrap();
    let message = read_image(&path).unwrap_err().to_string();
    assert!(message.contains("levels deep"), "{message}");
}

#[test]
fn run_lengths_are_decoded_frame_by_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let frame = |value: u8| {
        let mut bytes = vec![0; 64];
        bytes[..4].copy_from_slice(&2_u32.to_le_bytes());
        bytes[4..8].copy_from_slice(&64_u32.to_le_bytes());
        bytes[8..12].copy_from_slice(&66_u32.to_le_bytes());
        // Two high bytes of 1, and two low bytes.
        bytes.extend([0xff, 1, 1, value, value + 1, 0]);
        bytes
    };
    let mut file = File::grey(2, &[0, 0]).compressed(uids::RLE_LOSSLESS, vec![frame(7), frame(70)]);
    file.text(tags::NUMBER_OF_FRAMES, VR::IS, "2");
    file.save(&path);
    let reading =
        Reading { windowing: Some(Windowing::Fixed { center: 32768.0, width: 65536.0 }), ..Reading::default() };
    for (number, expected) in [(1, [263, 264]), (2, [326, 327])] {
        let path = folder.path().join(format!("a.dcm#{number}"));
        assert_eq!(words(&path, &reading), expected, "{number}");
    }
}

#[test]
fn words_of_32_bits_are_in_order_in_big_endian_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dose.dcm");
    // 65538 and 2, the high word first.
    let mut file = File::grey(2, &[1, 2, 0, 2]).in_syntax("1.2.840.10008.1.2.2");
    file.number(tags::ROWS, 1);
    file.number(tags::BITS_ALLOCATED, 32);
    file.number(tags::BITS_STORED, 32);
    file.number(tags::HIGH_BIT, 31);
    file.save(&path);
    let reading = Reading { windowing: Some(Windowing::Fixed { center: 65538.5, width: 101.0 }), ..Reading::default() };
    assert_eq!(words(&path, &reading), [32768, 0]);
}

#[test]
fn a_slice_that_cannot_be_read_does_not_keep_the_others_from_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    File::grey(2, &[0, 100]).at("1.2.1", 1, 0.0).save(&folder.join("a"));
    let broken = File::grey(2, &[1, 2]).at("1.2.2", 2, 2.0);
    broken.compressed(uids::JPEGLS_LOSSLESS, vec![vec![0xff, 0xd8]]).save(&folder.join("b"));
    let reading = Reading { windowing: Some(Windowing::Percentiles { low: 0.0, high: 100.0 }), ..Reading::default() };
    assert_eq!(words(&folder.join("a"), &reading), [0, 65535]);
    assert!(read_image(&folder.join("b")).unwrap_err().to_string().contains("b` as an image"));
}
