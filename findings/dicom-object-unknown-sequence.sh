#!/usr/bin/env bash
# dicom-object 0.10.1 (crates.io): items of a sequence of unknown representation (UN) are read in the wrong form.
#
# Expected: DICOM PS3.5, 6.2.2, note on UN: an element of the representation UN and undefined length is a sequence whose items
#           are encoded in implicit little endian, whatever the transfer syntax. pydicom reads it so. Software that makes
#           explicit files of implicit ones writes private sequences in this way.
# Seen:     the items are read in the explicit form of the file: the length of an element is taken for its representation, and
#           the first four bytes of its value for its length. Here that gives another value without an error; other values give
#           lengths of gigabytes, or the end of the file.
# Affects:  who opens files in explicit little endian with such a sequence, also if it is private and nobody asks for it.
# Instead:  find such sequences first, and write their length in place of the undefined one: they are mere bytes then.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv && venv/bin/pip install --quiet pydicom==3.0.2 || exit 2
venv/bin/python - <<'PY' >expected || exit 2
from struct import pack

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

# A private element of eight bytes, in implicit little endian, in an item of a private sequence of unknown representation.
element = pack("<HHI", 0x0009, 0x1002, 8) + b"\x04\0\0\0abcd"
item = pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + element + pack("<HHI", 0xFFFE, 0xE00D, 0)
sequence = pack("<HH2sHI", 0x0009, 0x1001, b"UN", 0, 0xFFFFFFFF) + item + pack("<HHI", 0xFFFE, 0xE0DD, 0)

data = pydicom.Dataset()
data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, "1.2.3"
data.file_meta = FileMetaDataset()
data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
data.add_new((0x0009, 0x0010), "LO", "FINDING")
data.save_as("file.dcm", enforce_file_format=True)
with open("file.dcm", "ab") as file:
    file.write(sequence)

found = pydicom.dcmread("file.dcm")[0x0009, 0x1001]
print(found[0][0x0009, 0x1002].value.hex())
PY

mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
dicom-core = "=0.10.1"
dicom-object = { version = "=0.10.1", default-features = false }
TOML
cat > src/main.rs <<'RUST'
use dicom_core::Tag;

fn main() {
    let file = dicom_object::open_file("file.dcm").expect("the file is valid");
    let sequence = file.element(Tag(0x0009, 0x1001)).expect("it has the sequence");
    let item = &sequence.items().expect("it is a sequence")[0];
    let value = item.element(Tag(0x0009, 0x1002)).expect("it has the element").to_bytes().expect("it has bytes");
    println!("{}", value.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
}
RUST
CARGO_TARGET_DIR=target cargo build --quiet 2>cargo.log || { cat cargo.log; exit 2; }
seen=$(target/debug/finding 2>&1) || true
echo "expected $(cat expected), as pydicom reads it"
echo "seen     $seen"
[ "$(cat expected)" = 0400000061626364 ] && [ "$seen" = 61626364 ]
