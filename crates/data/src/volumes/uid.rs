//! Unique identifiers that follow from what they identify, so that the same run gives the same
//! file.

use seg_contract::sha256_digest;

/// Returns the uid of content: `2.25.` and the decimal number of a UUID that is made of its hash
/// (RFC 9562, version 8; DICOM PS3.5, B.2).
pub(super) fn uid(purpose: &str, parts: &[&[u8]]) -> String {
    let mut content = purpose.as_bytes().to_vec();
    for part in parts {
        content.extend((part.len() as u64).to_le_bytes());
        content.extend(*part);
    }
    let digest = sha256_digest(&content);
    let mut bytes: [u8; 16] = digest[..16].try_into().expect("a digest has 32 bytes");
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    format!("2.25.{}", u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_valid_and_follows_from_its_content() {
        let first = uid("series", &[b"1.2.3", b"model"]);
        assert_eq!(first, uid("series", &[b"1.2.3", b"model"]));
        for other in [uid("instance", &[b"1.2.3", b"model"]), uid("series", &[b"1.2.3m", b"odel"])] {
            assert_ne!(first, other);
        }
        assert!(first.len() <= 64 && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{first}");
    }
}
