//! The pixels of a view, read from its picture: colours between their neighbours, labels from the
//! nearest.
//!
//! Colours are weighted by a triangle that widens where the view shrinks the picture, so that
//! nothing is skipped: upright it is the filter by which the contract brings an image to the
//! network's size.

use image::{GrayImage, Luma, Rgb, Rgb32FImage};
use seg_contract::IGNORE_LABEL;

use super::warp::Warp;
use crate::data::picture::{Picture, Pixels};

/// Computes a view of a picture and its labels, of the height and width `crop`.
pub(super) fn view(picture: &Picture, warp: &Warp, crop: [u32; 2], fill: [f32; 3]) -> (Rgb32FImage, GrayImage) {
    let size = picture.dimensions();
    match picture.pixels() {
        Pixels::Bits8(pixels) => read(&Plane { pixels, size, largest: 255.0 }, warp, crop, fill),
        Pixels::Bits16(pixels) => read(&Plane { pixels, size, largest: 65535.0 }, warp, crop, fill),
    }
}

/// Red, green, blue and label, row by row.
struct Plane<'a, T> {
    pixels: &'a [[T; 4]],
    /// Width and height.
    size: (u32, u32),
    /// The value of a colour that stands for 1.
    largest: f32,
}

fn read<T: Copy + Into<f32>>(
    plane: &Plane<'_, T>,
    warp: &Warp,
    [height, width]: [u32; 2],
    fill: [f32; 3],
) -> (Rgb32FImage, GrayImage) {
    let reach = reach(warp);
    let mut view = Rgb32FImage::from_pixel(width, height, Rgb(fill));
    let mut labels = GrayImage::from_pixel(width, height, Luma([IGNORE_LABEL]));
    for (y, (colors, labels)) in (0..).zip(view.rows_mut().zip(labels.rows_mut())) {
        let row = warp.row(y);
        for (x, (color, label)) in (0..).zip(colors.zip(labels)) {
            let point = row.at(x);
            let Some(nearest) = plane.nearest(point) else { continue };
            // A label is at most 255 in either depth.
            *label = Luma([nearest[3].into() as u8]);
            *color = Rgb(plane.mean(point, reach).map(|value| value / plane.largest));
        }
    }
    (view, labels)
}

/// Returns the reach of the filter from a point along x and y: the distance of the view's pixels in
/// the picture, whichever way it is turned, but to the next pixel at least.
fn reach(warp: &Warp) -> [f32; 2] {
    [0, 1].map(|axis| warp.across[axis].hypot(warp.down[axis]).max(1.0) as f32)
}

impl<T: Copy + Into<f32>> Plane<'_, T> {
    /// Returns the pixel that a point lies in; `None` beyond the picture.
    fn nearest(&self, [x, y]: [f32; 2]) -> Option<[T; 4]> {
        let (width, height) = self.size;
        let inside = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
        inside.then(|| self.pixels[y as usize * width as usize + x as usize])
    }

    /// Returns the mean of the colours around a point in the picture, each weighted by how near it
    /// is along x and y.
    fn mean(&self, point: [f32; 2], reach: [f32; 2]) -> [f32; 3] {
        let width = self.size.0 as usize;
        let [columns, rows] =
            [(point[0], reach[0], self.size.0), (point[1], reach[1], self.size.1)].map(|(centre, reach, side)| {
                ((centre - reach) as usize)..((centre + reach).ceil() as usize).min(side as usize)
            });
        // From a pixel's centre; 0 for those that the ends of the range take in by rounding.
        let weight =
            |axis: usize, place: usize| (1.0 - (place as f32 + 0.5 - point[axis]).abs() / reach[axis]).max(0.0);
        let (mut sum, mut total) = ([0.0; 3], 0.0);
        for y in rows {
            let row_weight = weight(1, y);
            for x in columns.clone() {
                let weight = row_weight * weight(0, x);
                let pixel = self.pixels[y * width + x];
                sum = std::array::from_fn(|channel| sum[channel] + weight * pixel[channel].into());
                total += weight;
            }
        }
        sum.map(|sum| sum / total)
    }
}
