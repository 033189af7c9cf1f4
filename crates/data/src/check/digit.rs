//! Small numbers in pictures.

use image::{Rgb, RgbImage};

/// The digits in 5 rows of 3 pixels, the highest bit first.
const DIGITS: [u16; 10] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_001_001_001,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
];
const COLUMNS: u32 = 3;
const ROWS: u32 = 5;
/// The width and height of a digit's pixel, in pixels of the picture.
const SCALE: u32 = 3;

/// Writes a number in white on black into the upper left corner, as far as it fits.
pub(super) fn write_number(image: &mut RgbImage, number: usize) {
    let digits: Vec<u16> = number.to_string().bytes().map(|digit| DIGITS[usize::from(digit - b'0')]).collect();
    // Each digit has a border of one pixel.
    let width = digits.len() as u32 * (COLUMNS + 1) + 1;
    for y in 0..((ROWS + 2) * SCALE).min(image.height()) {
        for x in 0..(width * SCALE).min(image.width()) {
            let (column, row) = (x / SCALE, y / SCALE);
            let (digit, column) = (column / (COLUMNS + 1), column % (COLUMNS + 1));
            let inside = column > 0 && (1..=ROWS).contains(&row);
            let bit = |digit: &u16| digit >> ((ROWS - row) * COLUMNS + COLUMNS - column) & 1 == 1;
            let white = inside && digits.get(digit as usize).is_some_and(bit);
            image.put_pixel(x, y, Rgb([if white { 255 } else { 0 }; 3]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_legible() {
        let mut image = RgbImage::from_pixel(30, 21, Rgb([9; 3]));
        write_number(&mut image, 17);
        let rows: Vec<String> = (0..7)
            .map(|row| {
                (0..9)
                    .map(|column| if image.get_pixel(column * 3 + 1, row * 3 + 1)[0] == 255 { '#' } else { '.' })
                    .collect()
            })
            .collect();
        assert_eq!(rows, [".........", "..#..###.", ".##....#.", "..#....#.", "..#....#.", ".###...#.", ".........",]);
        assert_eq!(image.get_pixel(27, 0).0, [9; 3], "the rest of the picture");
        write_number(&mut RgbImage::new(2, 2), 17);
    }
}
