//! Rows of a TIFF file are those that were written, whichever are read in which order.

use std::fs;
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

use proptest::prelude::{Strategy, any, prop};
use proptest::sample::Index;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_data::{open_image, read_image};
use tiff::encoder::colortype::{ColorType, Gray8, Gray16, Gray32Float, RGB8, RGB16, RGB32Float, RGBA8};
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, TiffValue};

use super::check;

/// The ways in which a file may be compressed.
const PACKINGS: [Compression; 4] =
    [Compression::Uncompressed, Compression::Lzw, Compression::Packbits, Compression::Deflate(DeflateLevel::Fast)];

/// The kinds of values that a file may hold.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Gray8,
    Rgb8,
    Rgba8,
    Gray16,
    Rgb16,
    GrayFloat,
    RgbFloat,
}

/// A file, and the red of each of its pixels as it is read.
#[derive(Clone, Debug)]
struct Written {
    size: [u32; 2],
    bytes: Vec<u8>,
    red: Vec<f32>,
}

fn encode<C: ColorType>(size: [u32; 2], rows: u32, packing: Compression, values: &[C::Inner]) -> Vec<u8>
where
    [C::Inner]: TiffValue,
{
    let mut file = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut file).unwrap().with_compression(packing);
    let mut image = encoder.new_image::<C>(size[1], size[0]).unwrap();
    image.rows_per_strip(rows).unwrap();
    image.write_data(values).unwrap();
    file.into_inner()
}

impl Kind {
    fn channels(self) -> usize {
        match self {
            Self::Gray8 | Self::Gray16 | Self::GrayFloat => 1,
            Self::Rgb8 | Self::Rgb16 | Self::RgbFloat => 3,
            Self::Rgba8 => 4,
        }
    }

    /// Returns the value that stands for a byte, as it is read.
    fn read(self, byte: u8) -> f32 {
        match self {
            Self::Gray8 | Self::Rgb8 | Self::Rgba8 => f32::from(byte) / 255.0,
            Self::Gray16 | Self::Rgb16 => f32::from(word(byte)) / 65535.0,
            Self::GrayFloat | Self::RgbFloat => float(byte),
        }
    }
}

/// Returns the 16-bit value that stands for a byte.
fn word(byte: u8) -> u16 {
    u16::from(byte) * 251
}

/// Returns the floating-point value that stands for a byte.
fn float(byte: u8) -> f32 {
    f32::from(byte) / 256.0
}

/// Writes an image of random values, `rows` in a strip.
fn write(kind: Kind, size: [u32; 2], rows: u32, packing: Compression, seed: u32) -> Written {
    let values = size[0] as usize * size[1] as usize * kind.channels();
    let mut random = ChaCha8Rng::seed_from_u64(seed.into());
    let values: Vec<u8> = (0..values).map(|_| random.random()).collect();
    let words = || values.iter().copied().map(word).collect::<Vec<u16>>();
    let floats = || values.iter().copied().map(float).collect::<Vec<f32>>();
    let bytes = match kind {
        Kind::Gray8 => encode::<Gray8>(size, rows, packing, &values),
        Kind::Rgb8 => encode::<RGB8>(size, rows, packing, &values),
        Kind::Rgba8 => encode::<RGBA8>(size, rows, packing, &values),
        Kind::Gray16 => encode::<Gray16>(size, rows, packing, &words()),
        Kind::Rgb16 => encode::<RGB16>(size, rows, packing, &words()),
        Kind::GrayFloat => encode::<Gray32Float>(size, rows, packing, &floats()),
        Kind::RgbFloat => encode::<RGB32Float>(size, rows, packing, &floats()),
    };
    let red = values.iter().step_by(kind.channels()).map(|byte| kind.read(*byte)).collect();
    Written { size, bytes, red }
}

/// Makes files of all kinds.
fn files() -> impl Strategy<Value = Written> {
    let kinds = [Kind::Gray8, Kind::Rgb8, Kind::Rgba8, Kind::Gray16, Kind::Rgb16, Kind::GrayFloat, Kind::RgbFloat];
    let kind = prop::sample::select(kinds.to_vec());
    (kind, [1..40_u32, 1..40_u32], 1..9_u32, 0..PACKINGS.len(), any::<u32>())
        .prop_map(|(kind, size, rows, packing, seed)| write(kind, size, rows, PACKINGS[packing], seed))
}

/// Makes ranges of rows, as shares of the height.
fn ranges() -> impl Strategy<Value = Vec<[Index; 2]>> {
    prop::collection::vec(any::<[Index; 2]>(), 1..6)
}

fn range([first, last]: [Index; 2], height: u32) -> Range<u32> {
    let [first, last] = [first, last].map(|row| row.index(height as usize) as u32);
    first.min(last)..first.max(last) + 1
}

/// Reads ranges of rows of a file and compares them with those that were written.
fn compare(path: &Path, written: &Written, ranges: Vec<[Index; 2]>) {
    let [height, width] = written.size;
    let mut reader = open_image(path).unwrap();
    assert_eq!((reader.info().width, reader.info().height), (width, height));
    for rows in ranges.into_iter().map(|ends| range(ends, height)) {
        let picture = reader.rows(rows.clone()).unwrap();
        let red: Vec<_> = picture.to_float().pixels().map(|pixel| pixel[0]).collect();
        let [start, end] = [rows.start, rows.end].map(|row| (row * width) as usize);
        assert_eq!(red, written.red[start..end], "rows {rows:?} of {height}x{width}");
    }
}

#[test]
fn rows_are_those_that_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    check(200, &(files(), ranges()), |(written, ranges)| {
        fs::write(&path, &written.bytes).unwrap();
        let red: Vec<_> = read_image(&path).unwrap().pixels().map(|pixel| pixel[0]).collect();
        assert_eq!(red, written.red, "the whole image");
        compare(&path, &written, ranges);
        assert!(crate::fuzz::tiff(&written.bytes));
    });
}

#[test]
fn rows_of_a_large_file_are_those_that_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    for kind in [Kind::Gray8, Kind::Gray16] {
        // Large enough to be read strip by strip.
        let written = write(kind, [4099, 4097], 16, Compression::Uncompressed, 7);
        fs::write(&path, &written.bytes).unwrap();
        assert_eq!(open_image(&path).unwrap().info().band, Some(16), "the file is decoded whole");
        let windows = prop::collection::vec((any::<Index>(), 1..40_u32), 1..4);
        check(12, &windows, |windows| {
            let mut reader = open_image(&path).unwrap();
            for (first, count) in windows {
                let first = first.index(4099) as u32;
                let rows = first..(first + count).min(4099);
                let picture = reader.rows(rows.clone()).unwrap();
                let red: Vec<_> = picture.to_float().pixels().map(|pixel| pixel[0]).collect();
                let [start, end] = [rows.start, rows.end].map(|row| (row * 4097) as usize);
                assert!(red == written.red[start..end], "{kind:?}: rows {rows:?}");
            }
        });
    }
}
