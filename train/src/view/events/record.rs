//! TFRecord: each message framed by its length and by checksums of both.

/// Frames a message: its length, the length's checksum, the message, its checksum; all numbers
/// little endian.
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length, &masked_crc(&length).to_le_bytes()[..], message, &masked_crc(message).to_le_bytes()].concat()
}

/// Computes the CRC-32C, rotated and shifted so that the checksum of data which holds checksums
/// stays strong.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Reads the messages of a file, in order; panics if a checksum is wrong or the file is cut
    /// off.
    pub(crate) fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(8);
            let (length_crc, rest) = rest.split_at(4);
            assert_eq!(length_crc, masked_crc(length).to_le_bytes(), "message {}", messages.len());
            let (message, rest) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
            let (crc, rest) = rest.split_at(4);
            assert_eq!(crc, masked_crc(message).to_le_bytes(), "message {}", messages.len());
            messages.push(message.to_vec());
            bytes = rest;
        }
        messages
    }

    #[test]
    fn checksums_are_masked_as_tensorflow_masks_them() {
        // CRC-32C of "123456789" is 0xe3069283.
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5);
    }

    #[test]
    fn frames_come_apart_again() {
        let messages: [&[u8]; 3] = [b"", b"a", &[7; 300]];
        let file = messages.map(frame).concat();
        assert_eq!(self::messages(&file), messages);
        assert_eq!(frame(b"").len(), 16);
    }
}
