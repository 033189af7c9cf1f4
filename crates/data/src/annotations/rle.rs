//! COCO's run lengths: column by column, the first run outside.

/// Decodes COCO's compressed run lengths: numbers in base 32, from the third one on the differences
/// to the number two places before.
pub(crate) fn decompress(text: &str) -> Option<Vec<u32>> {
    let mut counts = Vec::<i64>::new();
    let mut bytes = text.bytes();
    while let Some(first) = bytes.next() {
        let (mut value, mut shift, mut byte) = (0_i64, 0_u32, first);
        loop {
            let digit = i64::from(byte.checked_sub(48).filter(|digit| *digit < 64)?);
            if shift > 55 {
                return None;
            }
            value |= (digit & 0x1f) << shift;
            shift += 5;
            if digit & 0x20 == 0 {
                if digit & 0x10 != 0 {
                    value |= -1 << shift;
                }
                break;
            }
            byte = bytes.next()?;
        }
        if counts.len() > 2 {
            value = value.checked_add(counts[counts.len() - 2])?;
        }
        counts.push(value);
    }
    counts.into_iter().map(|count| u32::try_from(count).ok()).collect()
}

/// Sets the pixels of runs; `mask` is row by row. Returns false if the runs are not those of an
/// image of this size.
pub(crate) fn fill(counts: &[u32], [width, height]: [usize; 2], mask: &mut [bool]) -> bool {
    let total = counts.iter().map(|count| u64::from(*count)).sum::<u64>();
    if total != width as u64 * height as u64 || mask.len() as u64 != total {
        return false;
    }
    let mut start = 0;
    for (run, count) in counts.iter().enumerate() {
        let end = start + *count as usize;
        if run % 2 == 1 {
            (start..end).for_each(|index| mask[index % height * width + index / height] = true);
        }
        start = end;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_down_the_columns() {
        let mut mask = [false; 6];
        assert!(fill(&[1, 2, 3], [3, 2], &mut mask));
        assert_eq!(mask, [false, true, false, true, false, false]);
        assert!(!fill(&[1, 2], [3, 2], &mut mask), "too short");
        assert!(!fill(&[1, u32::MAX], [3, 2], &mut mask), "too long");
    }

    /// The strings are those of `pycocotools` 2.0.
    #[test]
    fn compressed_runs_are_those_of_the_reference() {
        let counts = [0, 1, 8, 1, 5, 1, 5, 1, 5, 1, 19, 1];
        assert_eq!(decompress("0180M00000>0").unwrap(), counts);
        let counts = decompress(
            "`j05m24M2N2O0O2O0O2O0O2O000O2O000000000O2O0000000000000001N10000000001N10001N101N101N101N2N3LVb3",
        )
        .unwrap();
        assert_eq!((&counts[..6], &counts[87..]), (&[848, 5, 93, 9, 90, 11][..], &[9, 93, 5, 3747][..]));
        assert_eq!(counts.iter().skip(1).step_by(2).sum::<u32>(), 803);
        for text in ["\u{e9}", "o", "0p", "/"] {
            assert_eq!(decompress(text).filter(|counts| !counts.is_empty()), None, "{text}");
        }
    }
}
