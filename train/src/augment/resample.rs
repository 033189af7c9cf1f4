//! The pixels of a view, read from its picture: colours between their neighbours, labels from the nearest.

use image::{GrayImage, Luma, Rgb, Rgb32FImage};
use seg_onnx::contract::IGNORE_LABEL;

use super::warp::Warp;
use crate::picture::{Picture, Pixels};

/// A view of a picture and its labels, of the height and width `crop`.
///
/// Where the view shrinks the picture, a pixel is the mean of as many points as it covers pixels, so that nothing is skipped.
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
    let offsets = offsets(warp);
    let count = offsets.len() as f32;
    let mut view = Rgb32FImage::from_pixel(width, height, Rgb(fill));
    let mut labels = GrayImage::from_pixel(width, height, Luma([IGNORE_LABEL]));
    for (y, (colors, labels)) in (0..).zip(view.rows_mut().zip(labels.rows_mut())) {
        let row = warp.row(y);
        for (x, (color, label)) in (0..).zip(colors.zip(labels)) {
            let point = row.at(x);
            let Some(nearest) = plane.nearest(point) else { continue };
            // A label is at most 255 in either depth.
            *label = Luma([nearest[3].into() as u8]);
            let mut sum = [0.0; 4];
            for offset in &offsets {
                let value = plane.between([point[0] + offset[0], point[1] + offset[1]]);
                sum = std::array::from_fn(|channel| sum[channel] + value[channel]);
            }
            *color = Rgb([sum[0], sum[1], sum[2]].map(|sum| sum / count / plane.largest));
        }
    }
    (view, labels)
}

/// Where in the picture, from a pixel's centre, the points lie whose mean it is.
fn offsets(warp: &Warp) -> Vec<[f32; 2]> {
    // A step a trifle longer than a pixel is one pixel that was rounded.
    let [columns, rows] = [warp.across, warp.down].map(|step| (step[0].hypot(step[1]) - 1e-3).ceil().max(1.0) as usize);
    let place = |index: usize, count: usize| (index as f64 + 0.5) / count as f64 - 0.5;
    let point = |index: usize| {
        let (across, down) = (place(index % columns, columns), place(index / columns, rows));
        [0, 1].map(|axis| (across * warp.across[axis] + down * warp.down[axis]) as f32)
    };
    (0..rows * columns).map(point).collect()
}

impl<T: Copy + Into<f32>> Plane<'_, T> {
    /// The pixel that a point lies in; `None` beyond the picture.
    fn nearest(&self, [x, y]: [f32; 2]) -> Option<[T; 4]> {
        let (width, height) = self.size;
        let inside = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
        inside.then(|| self.pixels[y as usize * width as usize + x as usize])
    }

    /// The values at a point between the four pixels around it; beyond the outermost centres they are those of the border.
    fn between(&self, [x, y]: [f32; 2]) -> [f32; 4] {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let (x, y) = ((x - 0.5).max(0.0), (y - 0.5).max(0.0));
        let (left, top) = ((x as usize).min(width - 1), (y as usize).min(height - 1));
        let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
        let (to_right, to_bottom) = (x - left as f32, y - top as f32);
        let at = |x: usize, y: usize| self.pixels[y * width + x].map(Into::into);
        let upper = mix(at(left, top), at(right, top), to_right);
        mix(upper, mix(at(left, bottom), at(right, bottom), to_right), to_bottom)
    }
}

/// Each value a share of the way from `a` to `b`.
fn mix(a: [f32; 4], b: [f32; 4], share: f32) -> [f32; 4] {
    std::array::from_fn(|channel| a[channel] + share * (b[channel] - a[channel]))
}
