//! A set of pixels, of which shape metrics compare two.

use image::GrayImage;
use seg_contract::IGNORE_LABEL;

/// A set of pixels of an image; what lies beyond the image's edge is outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    width: usize,
    height: usize,
    inside: Vec<bool>,
}

impl Region {
    /// Creates a region from a flag for each pixel, row by row.
    ///
    /// # Panics
    /// When `inside` does not have `width * height` elements.
    pub fn new(width: usize, height: usize, inside: Vec<bool>) -> Self {
        assert_eq!(inside.len(), width * height, "a region has a flag for each pixel");
        Self { width, height, inside }
    }

    /// Selects the pixels of `class` in `labels`, except those that `truth` ignores.
    ///
    /// # Panics
    /// When the two differ in size.
    pub fn from_labels(labels: &GrayImage, class: u8, truth: &GrayImage) -> Self {
        assert_eq!(labels.dimensions(), truth.dimensions(), "labels and truth are of one image");
        let is_inside = |(label, truth): (&u8, &u8)| *label == class && *truth != IGNORE_LABEL;
        let inside = labels.iter().zip(truth.iter()).map(is_inside).collect();
        Self::new(labels.width() as usize, labels.height() as usize, inside)
    }

    /// Returns the width of the image, in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the height of the image, in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns a flag for each pixel, row by row: true for those in the region.
    pub fn inside(&self) -> &[bool] {
        &self.inside
    }

    /// Returns true if the region has no pixel.
    pub fn is_empty(&self) -> bool {
        !self.inside.contains(&true)
    }

    /// Returns true if the pixel is inside. Coordinates beyond the image are outside, including
    /// those that wrapped below 0.
    pub fn contains(&self, x: usize, y: usize) -> bool {
        x < self.width && y < self.height && self.inside[y * self.width + x]
    }

    /// Returns the surface: the pixels inside that have a pixel outside above, below, left or right
    /// of them.
    ///
    /// A morphological erosion by a cross removes the same pixels.
    pub fn surface(&self) -> Vec<(usize, usize)> {
        let mut surface = Vec::new();
        for y in 0..self.height {
            for x in (0..self.width).filter(|x| self.inside[y * self.width + x]) {
                let beside = self.contains(x.wrapping_sub(1), y) && self.contains(x + 1, y);
                if !beside || !self.contains(x, y.wrapping_sub(1)) || !self.contains(x, y + 1) {
                    surface.push((x, y));
                }
            }
        }
        surface
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Creates the region of the pixels that are drawn as `#`.
    pub(crate) fn drawn(rows: &[&str]) -> Region {
        let inside = rows.iter().flat_map(|row| row.bytes().map(|byte| byte == b'#')).collect();
        Region::new(rows.first().map_or(0, |row| row.len()), rows.len(), inside)
    }

    #[test]
    fn a_surface_is_what_erosion_takes_away_and_the_images_edge_is_outside() {
        for (name, rows, surface) in [
            ("nothing", vec!["...", "..."], vec![]),
            ("one pixel", vec!["...", ".#."], vec![(1, 1)]),
            ("a plus keeps its middle", vec![".#.", "###", ".#."], vec![(1, 0), (0, 1), (2, 1), (1, 2)]),
            (
                "a full image",
                vec!["###", "###", "###"],
                vec![(0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2), (2, 2)],
            ),
        ] {
            assert_eq!(drawn(&rows).surface(), surface, "{name}");
        }
    }

    #[test]
    fn ignored_pixels_are_in_no_region() {
        let mask = |labels: [u8; 4]| GrayImage::from_raw(4, 1, labels.to_vec()).unwrap();
        let truth = mask([1, IGNORE_LABEL, 0, 1]);
        assert_eq!(Region::from_labels(&mask([1, 1, 1, 0]), 1, &truth), drawn(&["#.#."]));
        assert_eq!(Region::from_labels(&truth, 1, &truth), drawn(&["#..#"]));
    }
}
