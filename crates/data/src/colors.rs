//! Conversions between grey and colour, value by value those of the image crate.
//!
//! That crate turns each value into a float and back. A grey image of 7.5 megapixels takes 0.16 s
//! as the crate is built here, for size, and 0.04 s where it is built for speed. These functions
//! take 0.01 s, and decoding takes 0.03 s.

use std::array;

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Pixel, Primitive, Rgb, Rgb32FImage, RgbImage};

/// Copies the colours of an image: grey becomes three equal values, and transparency is dropped.
pub(crate) fn in_color<P: Pixel<Subpixel: Primitive>>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
) -> ImageBuffer<Rgb<P::Subpixel>, Vec<P::Subpixel>>
where
    Rgb<P::Subpixel>: Pixel<Subpixel = P::Subpixel>,
{
    let channels = usize::from(P::CHANNEL_COUNT);
    // Grey is the first of one or two channels.
    let [green, blue] = if channels < 3 { [0, 0] } else { [1, 2] };
    let pixels = image.as_raw().chunks_exact(channels);
    let values = pixels.flat_map(|pixel| [pixel[0], pixel[green], pixel[blue]]).collect();
    ImageBuffer::from_raw(image.width(), image.height(), values).expect("each pixel has three values")
}

/// Returns an image in colours of 8 bits, without its transparency.
pub(crate) fn to_rgb8(image: &DynamicImage) -> RgbImage {
    match image {
        DynamicImage::ImageLuma8(image) => in_color(image),
        DynamicImage::ImageLumaA8(image) => in_color(image),
        DynamicImage::ImageRgba8(image) => in_color(image),
        image => image.to_rgb8(),
    }
}

/// Returns an image in 8-bit grey, without its transparency.
pub(crate) fn to_luma8(image: &DynamicImage) -> GrayImage {
    to_luma(image, |value| value, |brightness| rounded(brightness * 255.0) as u8).unwrap_or_else(|| image.to_luma8())
}

/// Returns an image in 16-bit grey, without its transparency.
pub(crate) fn to_luma16(image: &DynamicImage) -> ImageBuffer<Luma<u16>, Vec<u16>> {
    to_luma(image, |value| 257 * u16::from(value), |brightness| rounded(brightness * 65535.0))
        .unwrap_or_else(|| image.to_luma16())
}

/// Returns an image of 8 bits in grey, whose values follow from stored grey or from brightness in
/// [0, 1]; `None` for others.
fn to_luma<T: Primitive>(
    image: &DynamicImage,
    of_grey: impl Fn(u8) -> T,
    of_brightness: impl Fn(f32) -> T,
) -> Option<ImageBuffer<Luma<T>, Vec<T>>> {
    let values = match image {
        DynamicImage::ImageLuma8(image) => image.iter().map(|value| of_grey(*value)).collect(),
        DynamicImage::ImageLumaA8(image) => image.pixels().map(|pixel| of_grey(pixel[0])).collect(),
        DynamicImage::ImageRgb8(image) => brightness(image, 3).map(of_brightness).collect(),
        DynamicImage::ImageRgba8(image) => brightness(image, 4).map(of_brightness).collect(),
        _ => return None,
    };
    Some(ImageBuffer::from_raw(image.width(), image.height(), values).expect("each pixel has one value"))
}

/// Returns the shares of red, green and blue in the brightness of a pixel, which the image crate
/// derives from the primaries of sRGB: about 0.2126, 0.7152 and 0.0722.
fn shares() -> [f32; 3] {
    let units = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let pixels = Rgb32FImage::from_fn(3, 1, |x, _| Rgb(units[x as usize]));
    let brightness = DynamicImage::from(pixels).to_luma32f();
    array::from_fn(|channel| brightness[(channel as u32, 0)][0])
}

/// Returns the brightness of each pixel of `channels` samples, the first three of them red, green
/// and blue.
fn brightness(samples: &[u8], channels: usize) -> impl Iterator<Item = f32> {
    let [red, green, blue] =
        shares().map(|share| array::from_fn::<_, 256, _>(|value| value as f32 * (1.0 / 255.0) * share));
    let at = |table: &[f32; 256], value: u8| table[usize::from(value)];
    samples.chunks_exact(channels).map(move |pixel| at(&red, pixel[0]) + at(&green, pixel[1]) + at(&blue, pixel[2]))
}

/// Rounds a number of at most 65535, half away from zero, without a call.
fn rounded(value: f32) -> u16 {
    let whole = value as u16;
    whole + u16::from(value - f32::from(whole) >= 0.5)
}

#[cfg(test)]
mod tests {
    use image::RgbaImage;

    use super::*;
    use crate::Picture;

    #[test]
    fn conversions_are_those_of_the_image_crate() {
        let rgba = RgbaImage::from_fn(256, 300, |x, y| {
            // Greys in the first row.
            let [green, blue] = if y == 0 { [x; 2] } else { [x * 7 + y * 31, x * x + y * 57] };
            [x as u8, green as u8, blue as u8, (x + y) as u8].into()
        });
        let all = DynamicImage::from(rgba);
        let kinds = [
            all.to_luma8().into(),
            all.to_luma_alpha8().into(),
            all.to_rgb8().into(),
            all.to_luma16().into(),
            all.to_luma_alpha16().into(),
            all.to_rgb16().into(),
            all.to_rgba16().into(),
            all.to_rgb32f().into(),
            all.to_rgba32f().into(),
            all,
        ];
        for image in kinds {
            let kind = image.color();
            assert!(to_rgb8(&image) == image.to_rgb8(), "{kind:?}: to_rgb8");
            assert!(to_luma8(&image) == image.to_luma8(), "{kind:?}: to_luma8");
            assert!(to_luma16(&image) == image.to_luma16(), "{kind:?}: to_luma16");
            let is_same = match Picture::from(image.clone()) {
                Picture::Bits8(found) => found == image.to_rgb8(),
                Picture::Bits16(found) => found == image.to_rgb16(),
                Picture::Float(found) => found == image.to_rgb32f(),
            };
            assert!(is_same, "{kind:?}: a picture");
        }
    }
}
