//! The head of JPEG 2000.

/// Returns height and width that a JPEG 2000 codestream states, alone or in the boxes of a file
/// (ITU-T T.800, A.5.1).
pub(super) fn codestream_size(content: &[u8]) -> Option<[u64; 2]> {
    let start = content.windows(4).position(|bytes| bytes == [0xff, 0x4f, 0xff, 0x51])?;
    let number = |place: usize| {
        let bytes = content.get(start + place..start + place + 4)?;
        Some(u64::from(u32::from_be_bytes(bytes.try_into().ok()?)))
    };
    Some([number(12)?.checked_sub(number(20)?)?, number(8)?.checked_sub(number(16)?)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_states_its_size_or_is_cut_off() {
        let mut head = b"....\xff\x4f\xff\x51\0\x2f\0\0".to_vec();
        // Width, height, and where the image begins on its grid.
        [41_u32, 29, 1, 9].iter().for_each(|number| head.extend(number.to_be_bytes()));
        assert_eq!(codestream_size(&head), Some([20, 40]));
        for length in 0..head.len() {
            assert_eq!(codestream_size(&head[..length]), None, "{length}");
        }
    }
}
