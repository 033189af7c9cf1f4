//! The frames of a segmentation, from the masks of the slices.

use std::io;

use image::GrayImage;

use super::Source;

/// The frames: their segments and slices, and their pixels.
pub(super) struct Frames {
    /// The number of the segment and the place of the slice, by segment and then by slice.
    pub(super) places: Vec<(usize, usize)>,
    /// The pixels of all frames, without filling between frames: bits, the lowest first, or bytes
    /// of labels.
    pub(super) bits: Vec<u8>,
}

impl Frames {
    /// Joins the labels of each slice.
    pub(super) fn of_labels(
        masks: &mut dyn FnMut(usize) -> io::Result<GrayImage>,
        sources: &[Source<'_>],
    ) -> io::Result<Self> {
        let mut all = Self { places: Vec::new(), bits: Vec::new() };
        for place in 0..sources.len() {
            let mask = masks(place)?;
            check_size(&mask, sources[0].slice.size)?;
            all.bits.extend_from_slice(&mask);
            all.places.push((0, place));
        }
        all.bits.resize(all.bits.len().next_multiple_of(2), 0);
        Ok(all)
    }

    /// Packs the pixels of each segment and slice; an empty mask has one empty frame.
    pub(super) fn new(
        masks: &mut dyn FnMut(usize) -> io::Result<GrayImage>,
        sources: &[Source<'_>],
        classes: usize,
    ) -> io::Result<Self> {
        let [rows, columns] = sources[0].slice.size;
        let pixels = rows as usize * columns as usize;
        // The frames of each segment, each packed by itself.
        let mut frames: Vec<Vec<(usize, Vec<u8>)>> = vec![Vec::new(); classes];
        for place in 0..sources.len() {
            let mask = masks(place)?;
            check_size(&mask, [rows, columns])?;
            let mut is_there = [false; 256];
            mask.iter().for_each(|label| is_there[usize::from(*label)] = true);
            for (segment, frames) in frames.iter_mut().enumerate().skip(1).filter(|(segment, _)| is_there[*segment]) {
                let mut bits = vec![0_u8; pixels.div_ceil(8)];
                for (pixel, _) in mask.iter().enumerate().filter(|(_, label)| usize::from(**label) == segment) {
                    bits[pixel / 8] |= 1 << (pixel % 8);
                }
                frames.push((place, bits));
            }
        }
        let mut all = Self { places: Vec::new(), bits: Vec::new() };
        let mut length = 0;
        for (segment, frames) in frames.into_iter().enumerate() {
            for (place, bits) in frames {
                all.append(&bits, pixels, &mut length);
                all.places.push((segment, place));
            }
        }
        if all.places.is_empty() {
            all.places.push((1, 0));
            all.append(&vec![0; pixels.div_ceil(8)], pixels, &mut length);
        }
        all.bits.resize(all.bits.len().next_multiple_of(2), 0);
        Ok(all)
    }

    /// Appends a frame of some pixels behind the bits that there are.
    fn append(&mut self, frame: &[u8], pixels: usize, length: &mut usize) {
        self.bits.resize((*length + pixels).div_ceil(8), 0);
        let (start, shift) = (*length / 8, *length % 8);
        for (place, byte) in frame.iter().enumerate() {
            self.bits[start + place] |= byte << shift;
            if shift > 0
                && let Some(next) = self.bits.get_mut(start + place + 1)
            {
                *next |= byte >> (8 - shift);
            }
        }
        *length += pixels;
    }
}

/// Checks that a mask has the size of its slice.
fn check_size(mask: &GrayImage, [rows, columns]: [u32; 2]) -> io::Result<()> {
    let (width, height) = mask.dimensions();
    if (width, height) == (columns, rows) {
        return Ok(());
    }
    Err(io::Error::other(format!("a mask is {width}x{height}, expected {columns}x{rows}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other_without_filling() {
        let mut frames = Frames { places: Vec::new(), bits: Vec::new() };
        let mut length = 0;
        // Frames of 11 pixels.
        for _ in 0..3 {
            frames.append(&[0b1000_0001, 0b101], 11, &mut length);
        }
        let bit = |place: usize| frames.bits[place / 8] >> (place % 8) & 1;
        let found: Vec<_> = (0..33).map(bit).collect();
        let frame = [1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1];
        assert_eq!(found, [frame, frame, frame].concat());
    }
}
