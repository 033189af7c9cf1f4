//! A decoder that panics costs the image that it reads, and prints nothing.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::BufReader;
use std::ops::Range;
use std::panic;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{DynamicImage, GrayImage};
use seg_data::{
    Format, Header, ImageInfo, ImageReader, MaskCoding, Picture, ReadError, add_format, open_image, read_image,
    read_mask, stored_size,
};

/// A format whose decoder panics where the content says so: `PANIC` and a word.
struct Panics;

fn fail(bytes: &[u8], place: &str) {
    assert!(!bytes.ends_with(place.as_bytes()), "index out of bounds\nin {place}");
}

impl Format for Panics {
    fn name(&self) -> &'static str {
        "PANIC"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["panic"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        fail(head, "sniff");
        head.starts_with(b"PANIC ")
    }

    fn stored_size(&self, path: &Path, _: BufReader<File>) -> Result<(u32, u32), ReadError> {
        fail(&fs::read(path).unwrap(), "size");
        Ok((3, 2))
    }

    fn header(&self, _: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
        fail(bytes, "header");
        Ok(Header { width: 3, height: 2, orientation: 1 })
    }

    fn decode(&self, _: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        fail(bytes, "decode");
        Ok(GrayImage::new(3, 2).into())
    }

    fn decode_indices(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        fail(bytes, "indices");
        self.decode(path, bytes)
    }

    fn open_bands(&self, path: &Path) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        let bytes = fs::read(path).unwrap();
        fail(&bytes, "open");
        let info = ImageInfo::new(3, 2);
        Ok(bytes.ends_with(b"rows").then(|| Box::new(Rows(info)) as Box<dyn ImageReader>))
    }
}

/// A reader that panics at its first row and not at the others.
struct Rows(ImageInfo);

impl ImageReader for Rows {
    fn info(&self) -> &ImageInfo {
        &self.0
    }

    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
        assert!(rows.start > 0, "index out of bounds\nin rows");
        Ok(Cow::Owned(DynamicImage::from(GrayImage::new(3, 1)).into()))
    }
}

/// Reads a file in one way.
type Read = fn(&Path) -> Result<(), String>;

fn open(path: &Path) -> Result<(), String> {
    let mut reader = open_image(path).map_err(|error| error.to_string())?;
    let result = reader.rows(0..1).map(|_| ()).map_err(|error| error.to_string());
    if result.is_err() {
        // A reader that has panicked is not used again.
        assert_eq!(reader.rows(1..2).map(|_| ()).map_err(|error| error.to_string()), result);
    }
    result
}

fn size(path: &Path) -> Result<(), String> {
    stored_size(path).map(|_| ()).map_err(|error| error.to_string())
}

fn whole(path: &Path) -> Result<(), String> {
    read_image(path).map(|_| ()).map_err(|error| error.to_string())
}

fn mask(path: &Path) -> Result<(), String> {
    read_mask(path, &MaskCoding::Binary).map(|_| ()).map_err(|error| error.to_string())
}

fn indices(path: &Path) -> Result<(), String> {
    read_mask(path, &MaskCoding::Index { classes: 2 }).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn a_panic_is_the_error_of_one_image() {
    static PRINTED: AtomicUsize = AtomicUsize::new(0);
    panic::set_hook(Box::new(|_| {
        PRINTED.fetch_add(1, Ordering::SeqCst);
    }));
    add_format(&Panics);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let rows: [(&str, Read, bool); 18] = [
        ("sniff", size, true),
        ("sniff", open, true),
        ("sniff", whole, true),
        ("sniff", mask, true),
        ("sniff", indices, true),
        ("size", size, true),
        ("header", open, true),
        ("decode", whole, true),
        ("decode", mask, true),
        ("decode", open, true),
        ("indices", indices, true),
        ("open", open, true),
        ("rows", open, true),
        ("nowhere", open, false),
        ("nowhere", whole, false),
        ("nowhere", mask, false),
        ("nowhere", indices, false),
        ("nowhere", size, false),
    ];
    for (place, read, panics) in rows {
        fs::write(&path, format!("PANIC {place}")).unwrap();
        let expected = format!(
            "cannot decode `{}`: the decoder of PANIC files panicked (index out of bounds in {place}); convert the \
             file to another format",
            path.display()
        );
        let expected = if panics { Err(expected) } else { Ok(()) };
        assert_eq!(read(&path), expected, "{place}");
    }
    assert_eq!(PRINTED.load(Ordering::SeqCst), 0, "a panic of a decoder was printed");
    // Other panics still reach the program's hook, on the same thread.
    assert!(panic::catch_unwind(|| panic!("of this test")).is_err());
    assert_eq!(PRINTED.load(Ordering::SeqCst), 1);
    let _ = panic::take_hook();
}
