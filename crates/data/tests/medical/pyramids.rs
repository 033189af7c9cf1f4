//! Pyramids: files that hold an image in several sizes.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma};
use seg_contract::{Level, Reading};
use seg_data::{
    Dataset, MaskCoding, Selection, check, open_image_as, pictures, read_image_as, read_mask_as, stored_size_as,
};

/// The side of a tile.
const TILE: u32 = 16;

/// A TIFF file of pages in tiles of one byte a pixel.
struct Pages {
    bytes: Vec<u8>,
    /// The place of the last page's link to the next one.
    link: usize,
}

impl Pages {
    fn new() -> Self {
        Self { bytes: b"II*\0\0\0\0\0".to_vec(), link: 4 }
    }

    /// Adds a page, whose pixels are the level's number times 50 and their column and row modulo 7,
    /// with some more tags, and returns its place. One that is not linked is reached by a tag
    /// alone.
    fn add(&mut self, [width, height]: [u32; 2], level: u8, is_linked: bool, tags: &[(u16, u16, Vec<u8>)]) -> u32 {
        let (across, down) = (width.div_ceil(TILE), height.div_ceil(TILE));
        let mut places = Vec::new();
        for (row, column) in (0..down).flat_map(|row| (0..across).map(move |column| (row, column))) {
            places.push(self.bytes.len() as u32);
            for (y, x) in (0..TILE).flat_map(|y| (0..TILE).map(move |x| (row * TILE + y, column * TILE + x))) {
                self.bytes.push(pixel(level, x, y));
            }
        }
        let longs = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let long = |tag: u16, number: u32| (tag, 4, longs(&[number]));
        let mut all = vec![long(256, width), long(257, height), long(258, 8), long(259, 1), long(262, 1), long(277, 1)];
        all.extend([long(322, TILE), long(323, TILE), (324, 4, longs(&places))]);
        all.push((325, 4, longs(&vec![TILE * TILE; places.len()])));
        all.extend(tags.iter().cloned());
        all.sort_by_key(|(tag, ..)| *tag);
        let mut entries = Vec::new();
        for (tag, kind, content) in &all {
            let count = content.len() / if *kind == 4 { 4 } else { 1 };
            entries.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            entries.extend((count as u32).to_le_bytes());
            if content.len() > 4 {
                entries.extend((self.bytes.len() as u32).to_le_bytes());
                self.bytes.extend(content);
            } else {
                entries.extend(content.iter().copied().chain([0; 4]).take(4));
            }
        }
        let place = self.bytes.len() as u32;
        self.bytes.extend((all.len() as u16).to_le_bytes());
        self.bytes.extend(entries);
        if is_linked {
            self.bytes[self.link..self.link + 4].copy_from_slice(&place.to_le_bytes());
            self.link = self.bytes.len();
        }
        self.bytes.extend([0; 4]);
        place
    }
}

fn pixel(level: u8, x: u32, y: u32) -> u8 {
    (50 * u32::from(level) + 7 * (x % 7) + y % 7) as u8
}

/// Writes three levels of 70x50, 35x25 and 18x13 pixels with pixels of 0.5 µm: as OME-TIFF or as
/// Aperio's SVS, which has other pages too.
fn write(path: &Path, is_ome: bool) {
    let mut pages = Pages::new();
    if is_ome {
        let smaller =
            [([35, 25], 1), ([18, 13], 2)].map(|(size, level)| pages.add(size, level, false, &[]).to_le_bytes());
        let text = br#"<OME><Pixels PhysicalSizeX="0.5" PhysicalSizeY="0.5" SizeX="70">"#.to_vec();
        pages.add([70, 50], 0, true, &[(270, 2, text), (330, 4, smaller.concat())]);
    } else {
        let text = |text: &str| (270, 2, text.as_bytes().to_vec());
        pages.add([70, 50], 0, true, &[text("Aperio Image Library|AppMag = 20|MPP = 0.5")]);
        // The thumbnail has another ratio, and the label comes last.
        pages.add([20, 20], 9, true, &[text("Aperio thumbnail")]);
        pages.add([35, 25], 1, true, &[text("Aperio")]);
        pages.add([18, 13], 2, true, &[text("Aperio")]);
        pages.add([30, 40], 8, true, &[text("Aperio label"), (254, 4, vec![1, 0, 0, 0])]);
    }
    fs::write(path, &pages.bytes).unwrap();
}

fn at(level: Level) -> Reading {
    Reading { level: Some(level), ..Reading::default() }
}

#[test]
fn each_level_is_read_by_its_number_and_by_the_size_of_its_pixels() {
    let folder = tempfile::tempdir().unwrap();
    for (name, is_ome) in [("slide.ome.tif", true), ("slide.svs.tif", false)] {
        let path = folder.path().join(name);
        write(&path, is_ome);
        assert_eq!(pictures(&path, &Reading::default()).unwrap(), std::slice::from_ref(&path), "{name}");
        let whole = open_image_as(&path, &Reading::default()).unwrap();
        assert_eq!((whole.info().width, whole.info().spacing), (70, Some([0.0005; 2])), "{name}");
        for (level, number, size, spacing) in [
            (Level::Number(0), 0, (70, 50), [0.0005; 2]),
            (Level::Number(1), 1, (35, 25), [0.001; 2]),
            (Level::Number(2), 2, (18, 13), [0.0005 * 50.0 / 13.0, 0.0005 * 70.0 / 18.0]),
            (Level::Micrometres(0.52), 0, (70, 50), [0.0005; 2]),
            (Level::Micrometres(1.0), 1, (35, 25), [0.001; 2]),
            (Level::Micrometres(2.0), 2, (18, 13), [0.0005 * 50.0 / 13.0, 0.0005 * 70.0 / 18.0]),
        ] {
            let name = format!("{name}, {level}");
            let reading = at(level);
            assert_eq!(stored_size_as(&path, &reading).unwrap(), size, "{name}");
            let mut reader = open_image_as(&path, &reading).unwrap();
            let info = reader.info().clone();
            assert_eq!((info.width, info.height), size, "{name}");
            let found = info.spacing.unwrap();
            assert!(found.iter().zip(spacing).all(|(found, expected)| (found - expected).abs() < 1e-12), "{name}");
            assert_eq!(info.level, (level != Level::Number(0)).then_some(number), "{name}");
            let image = reader.rows(0..size.1).unwrap().to_float();
            for (x, y, found) in image.enumerate_pixels() {
                let expected = f32::from(pixel(number as u8, x, y)) / 255.0;
                assert_eq!(found.0, [expected; 3], "{name}: {x}, {y}");
            }
            assert_eq!(read_image_as(&path, &reading).unwrap(), image, "{name}");
        }
        for (level, part) in [
            (Level::Number(3), "at level 3: it has 0 (70x50, 0.500 µm a pixel), 1 (35x25, 1.000 µm a pixel), 2 (18x13"),
            (Level::Micrometres(0.7), "at level 0.7um: it has 0 (70x50"),
        ] {
            let message = read_image_as(&path, &at(level)).unwrap_err().to_string();
            assert!(message.contains(part) && message.ends_with("name one of them"), "{name}: {message}");
        }
    }
}

#[test]
fn other_images_have_the_full_size_alone() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "a.tif"] {
        let path = folder.path().join(name);
        GrayImage::new(4, 3).save(&path).unwrap();
        assert_eq!(read_image_as(&path, &at(Level::Number(0))).unwrap().dimensions(), (4, 3), "{name}");
        for level in [Level::Number(1), Level::Micrometres(0.5)] {
            let message = read_image_as(&path, &at(level)).unwrap_err().to_string();
            assert!(message.contains(&format!("at level {level}: it has ")), "{name}: {message}");
            assert!(stored_size_as(&path, &at(level)).is_err() && open_image_as(&path, &at(level)).is_err(), "{name}");
        }
    }
}

#[test]
fn a_level_is_learned_from_with_a_mask_of_its_size() {
    let root = tempfile::tempdir().unwrap();
    for name in ["images", "masks"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    for (name, is_ome) in [("a", true), ("b", false)] {
        write(&root.path().join(format!("images/{name}.tif")), is_ome);
        let mask = GrayImage::from_fn(35, 25, |x, _| Luma([if x < 9 { 255 } else { 0 }]));
        mask.save(root.path().join(format!("masks/{name}.png"))).unwrap();
    }
    let reading = at(Level::Number(1));
    let dataset = Dataset::open(root.path()).unwrap().with_reading(&reading).unwrap();
    let (image, labels, spacing) = dataset.train[0].load_sized().unwrap();
    assert_eq!((image.dimensions(), labels.dimensions(), spacing), ((35, 25), (35, 25), Some([0.001; 2])));
    let found = check(root.path(), &Selection::default(), &reading, |_| {}).unwrap().report;
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    let full = check(root.path(), &Selection::default(), &Reading::default(), |_| {}).unwrap().report;
    assert!(full.problems[0].message.contains("is 35x25, but its image"), "{:?}", full.problems);
    // A mask that is a pyramid has the level's size too.
    let pyramid = root.path().join("pyramid.tif");
    write(&pyramid, true);
    let coding = MaskCoding::Index { classes: 150 };
    assert_eq!(read_mask_as(&pyramid, &coding, &reading).unwrap().dimensions(), (35, 25));
}
