//! SHA-256, in the one form that files and messages use: lower-case hexadecimal.

use sha2::Digest;

/// A SHA-256 hash of data that arrives in pieces.
#[derive(Clone, Debug, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Creates the hash of no data.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends data.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// Returns the digest.
    pub fn digest(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// Returns the digest in hexadecimal.
    pub fn hex(self) -> String {
        hex(self.digest())
    }
}

/// Returns the SHA-256 of bytes.
pub fn sha256_digest(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(bytes);
    hash.digest()
}

/// Returns the SHA-256 of bytes in hexadecimal.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(sha256_digest(bytes))
}

/// Returns bytes in lower-case hexadecimal.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_standard_in_pieces_too() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256("abc"), expected);
        let mut hash = Sha256::new();
        hash.update("a");
        hash.update(b"bc");
        assert_eq!(hash.hex(), expected);
        assert_eq!(hex([0x00, 0x0f, 0xa0, 0xff]), "000fa0ff");
    }
}
