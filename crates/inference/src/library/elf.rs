//! The processor that a library is built for: the system's loader calls a library for another one
//! "not found".

use std::fs::File;
use std::io::Read;
use std::path::Path;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::FileHeader;
use object::{Endianness, FileKind};

/// The length of the longest header of an ELF file.
const HEADER_LEN: u64 = size_of::<FileHeader64<Endianness>>() as u64;

/// The processor that this program is built for.
const OWN: &str = std::env::consts::ARCH;

/// Returns the processor that an ELF file is built for, if it is not this program's.
///
/// Returns `None` as well for a file that is not ELF or cannot be read: the loader's message says
/// enough about it.
pub(crate) fn foreign_machine(path: &Path) -> Option<String> {
    let mut header = Vec::new();
    File::open(path).and_then(|file| file.take(HEADER_LEN).read_to_end(&mut header)).ok()?;
    machine(&header).filter(|machine| machine != OWN)
}

/// Returns the processor in a header, by the names of `std::env::consts::ARCH`.
fn machine(header: &[u8]) -> Option<String> {
    let machine = match FileKind::parse(header).ok()? {
        FileKind::Elf32 => machine_of::<FileHeader32<Endianness>>(header)?,
        FileKind::Elf64 => machine_of::<FileHeader64<Endianness>>(header)?,
        _ => return None,
    };
    Some(match machine {
        elf::EM_386 => "x86".into(),
        elf::EM_ARM => "arm".into(),
        elf::EM_X86_64 => "x86_64".into(),
        elf::EM_AARCH64 => "aarch64".into(),
        elf::EM_RISCV => "riscv64".into(),
        other => format!("ELF machine {}", other.0),
    })
}

fn machine_of<H: FileHeader<Endian = Endianness>>(header: &[u8]) -> Option<elf::Machine> {
    let header = H::parse(header).ok()?;
    Some(header.e_machine(header.endian().ok()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns the header of a library of 64 bits for a processor.
    pub(crate) fn header(endianness: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut header = vec![0; 64];
        header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, endianness, 1]);
        header[18..20].copy_from_slice(&machine);
        header
    }

    #[test]
    fn the_processor_is_read_from_the_header() {
        let mut of_32_bits = header(1, [40, 0]);
        of_32_bits[4] = 1;
        for (name, header, expected) in [
            ("ours", header(1, [62, 0]), Some("x86_64")),
            ("little-endian", header(1, [183, 0]), Some("aarch64")),
            ("big-endian", header(2, [0, 22]), Some("ELF machine 22")),
            ("of 32 bits", of_32_bits, Some("arm")),
            ("cut off", header(1, [183, 0])[..20].to_vec(), None),
            ("not an ELF file", vec![b'a'; 64], None),
        ] {
            assert_eq!(machine(&header).as_deref(), expected, "{name}");
        }
    }
}
