#!/usr/bin/env bash
# tiff 0.11.3 (crates.io): an image with FillOrder 2 is decoded with the pixels of each byte in reverse order.
#
# Expected: TIFF 6.0, section 8, field FillOrder: with the value 2, pixels with lower column values are stored in the
#           lower-order bits of the byte. The decoder returns the pixels in their columns, or an error. libtiff, which
#           Pillow uses, returns them in their columns.
# Seen:     the decoder does not read the field and returns the bytes of the file, so that of 8 pixels the first and
#           the last, the second and the last but one, and so on, are exchanged. There is no error.
# Affects:  one-bit masks and scans from fax software and some scanners.
# Instead:  read the field (tag 266) and reverse the bits of each byte before decompression.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# An 8x1 image of one bit per pixel, black is zero: only the pixel in column 0 is white.
python3 - <<'PY' || exit 2
import struct

fields = [
    (256, 3, 8),    # ImageWidth
    (257, 3, 1),    # ImageLength
    (258, 3, 1),    # BitsPerSample
    (259, 3, 1),    # Compression: none
    (262, 3, 1),    # PhotometricInterpretation: BlackIsZero
    (266, 3, 2),    # FillOrder: lower columns in lower-order bits
    (273, 4, 8),    # StripOffsets
    (277, 3, 1),    # SamplesPerPixel
    (278, 3, 1),    # RowsPerStrip
    (279, 4, 1),    # StripByteCounts
]
directory = struct.pack("<H", len(fields))
for tag, kind, value in fields:
    directory += struct.pack("<HHI", tag, kind, 1) + (struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value))
pixels = bytes([0b0000_0001, 0])  # padded to a word
with open("image.tif", "wb") as file:
    file.write(b"II" + struct.pack("<HI", 42, 8 + len(pixels)) + pixels + directory + struct.pack("<I", 0))
PY

mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
tiff = "=0.11.3"
TOML
cat > src/main.rs <<'RUST'
use tiff::decoder::{Decoder, DecodingResult};

fn main() {
    let file = std::fs::File::open("image.tif").expect("the file was just written");
    let mut decoder = Decoder::new(std::io::BufReader::new(file)).expect("the header is valid");
    match decoder.read_image() {
        Ok(DecodingResult::U8(bytes)) => println!("{:08b}", bytes[0]),
        other => println!("{other:?}"),
    }
}
RUST
seen=$(CARGO_TARGET_DIR=target cargo run --quiet 2>cargo.log) || { cat cargo.log; exit 2; }
echo "expected 10000000: column 0, the highest bit of the result, is white"
echo "seen     $seen"
[ "$seen" = 00000001 ]
