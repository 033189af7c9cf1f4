#!/usr/bin/env bash
# jpeg-decoder 0.3.2 (crates.io): with `ColorTransform::None` the samples of a row are not in the order of its pixels.
#
# Expected: documentation of `ColorTransform::None`: "No transform should be applied and the data is returned as-is."
#           `Decoder::info` says `PixelFormat::RGB24`, three bytes a pixel. So the first three bytes are the luma and
#           the two colour differences of the first pixel, as libjpeg gives them with the colour space left as it is.
# Seen:     each row holds all of its lumas, then all first, then all second colour differences. The first three bytes
#           are the lumas of three pixels. There is no error.
# Affects:  who reads YCbCr or four inks as they are stored, as strips of TIFF files need it.
# Instead:  `ColorTransform::RGB` for three components leaves the values alone and gives them pixel by pixel;
#           `ColorTransform::CMYK` for four inverts them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# A red image of 16x16 pixels; every colour difference has a value of its own.
python3 -m venv venv && venv/bin/pip install --quiet pillow==12.0.0 || exit 2
venv/bin/python - <<'PY' || exit 2
from PIL import Image

Image.new("RGB", (16, 16), (255, 0, 0)).save("image.jpg", quality=100, subsampling=0)
PY
expected=$(venv/bin/python - <<'PY'
from PIL import Image

image = Image.open("image.jpg")
image.draft("YCbCr", image.size)
print(*image.getpixel((0, 0)))
PY
)

mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
jpeg-decoder = { version = "=0.3.2", default-features = false }
TOML
cat > src/main.rs <<'RUST'
use jpeg_decoder::{ColorTransform, Decoder};

fn main() {
    let file = std::fs::File::open("image.jpg").expect("the file was just written");
    let mut decoder = Decoder::new(std::io::BufReader::new(file));
    decoder.set_color_transform(ColorTransform::None);
    let bytes = decoder.decode().expect("the file is valid");
    println!("{} {} {}", bytes[0], bytes[1], bytes[2]);
}
RUST
seen=$(CARGO_TARGET_DIR=target cargo run --quiet 2>cargo.log) || { cat cargo.log; exit 2; }
echo "expected $expected: luma and colour differences of the first pixel"
echo "seen     $seen"
[ "$seen" != "$expected" ] && [ "$(echo $seen | tr ' ' '\n' | sort -u | wc -l)" = 1 ]
