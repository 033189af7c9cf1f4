//! COCO's run lengths: a class's pixels, column by column, in a compressed string as `pycocotools`
//! reads it.

use image::GrayImage;

/// The pixels of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunLengths {
    /// Lengths of runs, without and with the class in turn, column by column from the left.
    counts: Vec<u64>,
    /// The pixels of the class.
    pub(crate) area: u64,
    /// Left, top, width and height of the bounding box.
    pub(crate) bounds: [u32; 4],
}

impl RunLengths {
    /// Counts the pixels of a label.
    pub(crate) fn from_mask(mask: &GrayImage, label: u8) -> Self {
        let mut counts = Vec::new();
        let (mut is_inside, mut length) = (false, 0);
        let mut area = 0;
        let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
        for x in 0..mask.width() {
            for y in 0..mask.height() {
                let is_label = mask.get_pixel(x, y)[0] == label;
                if is_label {
                    area += 1;
                    (left, top) = (left.min(x), top.min(y));
                    (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
                }
                if is_label != is_inside {
                    counts.push(length);
                    (is_inside, length) = (is_label, 0);
                }
                length += 1;
            }
        }
        counts.push(length);
        let bounds = if area == 0 { [0; 4] } else { [left, top, right - left, bottom - top] };
        Self { counts, area, bounds }
    }

    /// Encodes the lengths as COCO's string: differences to the length before the last, five bits
    /// per character.
    pub(crate) fn compressed(&self) -> String {
        let mut text = String::new();
        for (index, count) in self.counts.iter().enumerate() {
            let mut rest = *count as i64;
            if index > 2 {
                rest -= self.counts[index - 2] as i64;
            }
            loop {
                let bits = (rest & 0x1f) as u8;
                rest >>= 5;
                let is_last = if bits & 0x10 == 0 { rest == 0 } else { rest == -1 };
                text.push(char::from(48 + if is_last { bits } else { bits | 0x20 }));
                if is_last {
                    break;
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_those_of_pycocotools() {
        // The expected values are from `pycocotools.mask.encode` of the same masks, version 2.0.11.
        let slope = |x, y| (50..54).contains(&x) && (30..90 - x).contains(&y);
        let slope = GrayImage::from_fn(200, 100, |x, y| [u8::from(slope(x, y))].into());
        let dots = GrayImage::from_fn(5, 3, |x, y| [u8::from((x + y) % 2 == 0)].into());
        let rows: [(&str, GrayImage, &str, u64, [u32; 4]); 4] = [
            ("nothing", GrayImage::new(4, 3), "<", 0, [0; 4]),
            ("all", GrayImage::from_pixel(4, 3, [1].into()), "0<", 12, [0, 0, 4, 3]),
            ("chequered", dots, "0110000000000000", 8, [0, 0, 5, 3]),
            ("a slope", slope, "Vm4:j2O1O1O[W>", 34, [50, 30, 4, 10]),
        ];
        for (name, mask, expected, area, bounds) in rows {
            let found = RunLengths::from_mask(&mask, 1);
            assert_eq!((found.area, found.bounds), (area, bounds), "{name}");
            assert_eq!(found.counts.iter().sum::<u64>(), u64::from(mask.width() * mask.height()), "{name}");
            assert_eq!(found.compressed(), expected, "{name}");
        }
    }
}
