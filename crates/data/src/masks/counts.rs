//! The number of pixels of each label.

use image::GrayImage;

/// The tables that are counted in: neighbours mostly have one label, and a count that was just
/// written would be waited for.
const TABLES: usize = 4;

/// Counts the pixels of a mask by label.
pub fn count_labels(mask: &GrayImage) -> [u64; 256] {
    let mut tables = [[0_u64; 256]; TABLES];
    let (parts, rest) = mask.as_raw().as_chunks::<TABLES>();
    for part in parts {
        for (table, label) in tables.iter_mut().zip(part) {
            table[usize::from(*label)] += 1;
        }
    }
    for (table, label) in tables.iter_mut().zip(rest) {
        table[usize::from(*label)] += 1;
    }
    std::array::from_fn(|label| tables.iter().map(|table| table[label]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_counts_once() {
        for pixels in [0_u32, 1, 3, 4, 5, 1023] {
            let label = |place: u32| (place * place % 7) as u8 * 42;
            let counts = count_labels(&GrayImage::from_fn(pixels, 1, |x, _| [label(x)].into()));
            for (found, value) in counts.into_iter().zip(0..=u8::MAX) {
                let expected = (0..pixels).filter(|place| label(*place) == value).count() as u64;
                assert_eq!(found, expected, "label {value} of {pixels}");
            }
        }
    }
}
