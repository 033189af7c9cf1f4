//! For which processor a library is built: the system's loader calls one for another processor "not found".

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of an ELF file up to and with the field `e_machine`.
const HEADER_LEN: usize = 20;

/// `e_machine` of this program.
const OWN: &str = std::env::consts::ARCH;

/// The processor that an ELF file is built for, where that is not this program's.
///
/// `None` as well for what is no ELF file or cannot be read: of these the loader says enough.
pub(crate) fn foreign_machine(path: &Path) -> Option<String> {
    let mut header = [0; HEADER_LEN];
    File::open(path).and_then(|mut file| file.read_exact(&mut header)).ok()?;
    machine(&header).filter(|machine| machine != OWN)
}

/// The processor in a header, by the names of `std::env::consts::ARCH`.
fn machine(header: &[u8; HEADER_LEN]) -> Option<String> {
    if !header.starts_with(b"\x7fELF") {
        return None;
    }
    let little_endian = header[5] == 1;
    let bytes = [header[18], header[19]];
    let number = if little_endian { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) };
    Some(match number {
        3 => "x86".into(),
        40 => "arm".into(),
        62 => "x86_64".into(),
        183 => "aarch64".into(),
        243 => "riscv64".into(),
        other => format!("ELF machine {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_read_from_the_header() {
        let header = |endianness, machine: [u8; 2]| {
            let mut header = [0; HEADER_LEN];
            header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, endianness, 1]);
            header[18..].copy_from_slice(&machine);
            header
        };
        for (name, header, expected) in [
            ("ours", header(1, [62, 0]), Some("x86_64")),
            ("little-endian", header(1, [183, 0]), Some("aarch64")),
            ("big-endian", header(2, [0, 22]), Some("ELF machine 22")),
            ("no ELF file", [b'a'; HEADER_LEN], None),
        ] {
            assert_eq!(machine(&header).as_deref(), expected, "{name}");
        }
    }
}
