//! The random views of an image that training sees: the recipe's scale, flips and crop, and what
//! else is chosen.
//!
//! Everything that moves pixels, from the file's size to the crop, is one map, through which
//! colours and labels are read once. Then come the changes of colour, the blur and the noise, which
//! do not concern labels.

mod change;
mod effect;
mod elastic;
mod mix;
mod resample;
mod tone;
mod warp;

pub use change::{Change, ChangeError};
pub use effect::{AugmentationError, Chance, Unit};
pub(crate) use mix::Patch;

use image::{GrayImage, Rgb32FImage, imageops};
use rand::Rng;
use serde::{Deserialize, Serialize};
use tone::Tone;
use warp::Warp;

use crate::data::picture::Picture;

/// The colours of the training images, in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colors {
    /// The mean of each channel, the colour of what lies beyond an image.
    pub mean: [f32; 3],
    /// The standard deviation of each channel.
    pub deviation: [f32; 3],
}

/// The random changes to an image each time that it is seen. An effect that is absent or has
/// probability 0 is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// The shorter side that a scale of 1 stands for, in pixels; that of each image unless it is
    /// given.
    #[serde(default)]
    pub short_side: Option<u32>,
    /// The smallest scale.
    pub scale_min: f64,
    /// The largest scale.
    pub scale_max: f64,
    /// The probability of mirroring left and right.
    pub flip_horizontal: f64,
    /// The probability of mirroring top and bottom.
    pub flip_vertical: f64,
    /// Height and width of the crop, in pixels.
    pub crop: [u32; 2],
    /// The probability of a turn by one, two or three right angles about the crop's centre.
    #[serde(default)]
    pub turn: f64,
    /// The probability of a crop that is laid over a pixel of a class, drawn among the classes of
    /// the image but the background, so that a rare one is seen often.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub target: f64,
    /// The probability that a rectangle of another view of the batch covers a part of a view, at
    /// most half of it, with its labels.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mix: f64,
    /// A rotation about the crop's centre, in degrees.
    #[serde(default)]
    pub rotation: Option<Chance>,
    /// An elastic deformation: how far its control points move at most, in pixels of the crop.
    #[serde(default)]
    pub elastic: Option<Chance>,
    /// The number that is added to the values, which lie in [0, 1]; or that number of deviations.
    #[serde(default)]
    pub brightness: Option<Chance>,
    /// The factor of the distance from the view's mean.
    #[serde(default)]
    pub contrast: Option<Chance>,
    /// The power to which values are raised.
    #[serde(default)]
    pub gamma: Option<Chance>,
    /// The factor of the distance from grey.
    #[serde(default)]
    pub saturation: Option<Chance>,
    /// A rotation of the colours about the grey axis, in degrees.
    #[serde(default)]
    pub hue: Option<Chance>,
    /// The standard deviation of a Gaussian blur, in pixels of the crop.
    #[serde(default)]
    pub blur: Option<Chance>,
    /// The standard deviation of Gaussian noise on values in [0, 1], or in times the data's.
    #[serde(default)]
    pub noise: Option<Chance>,
}

/// Returns whether a probability is that of runs from before there was one.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(probability: &f64) -> bool {
    *probability == 0.0
}

impl Augmentation {
    /// Returns the recipe's choices: scales 0.7 to 1.3 and both flips with probability 0.5.
    pub fn recipe(short_side: impl Into<Option<u32>>, crop: [u32; 2]) -> Self {
        Self {
            scale_min: 0.7,
            scale_max: 1.3,
            flip_horizontal: 0.5,
            flip_vertical: 0.5,
            ..Self::none(short_side, crop)
        }
    }

    /// Returns a crop at scale 1 without other effects.
    pub fn none(short_side: impl Into<Option<u32>>, crop: [u32; 2]) -> Self {
        Self {
            short_side: short_side.into(),
            scale_min: 1.0,
            scale_max: 1.0,
            flip_horizontal: 0.0,
            flip_vertical: 0.0,
            crop,
            turn: 0.0,
            target: 0.0,
            mix: 0.0,
            rotation: None,
            elastic: None,
            brightness: None,
            contrast: None,
            gamma: None,
            saturation: None,
            hue: None,
            blur: None,
            noise: None,
        }
    }

    /// Returns the pixels that a picture needs in each direction, in times those that the network
    /// sees, so that no view of it is blurred.
    pub(crate) fn detail(&self) -> u32 {
        // Twice at least: what is turned lies between the pixels.
        (self.scale_max.ceil() as u32).max(2)
    }

    /// Draws a view of a picture and its labels, of the crop's size.
    ///
    /// Pixels beyond the picture have the mean of `colors` and are labelled
    /// [`IGNORE_LABEL`](seg_contract::IGNORE_LABEL).
    pub fn view(&self, picture: &Picture, colors: &Colors, rng: &mut impl Rng) -> (Rgb32FImage, GrayImage) {
        let warp = Warp::draw(self, picture, rng);
        let tone = Tone::draw(self, colors.deviation, rng);
        let blur = effect::draw(self.blur, rng);
        let noise = effect::draw_values(self.noise, colors.deviation, rng);
        let (mut image, labels) = resample::view(picture, &warp, self.crop, colors.mean);
        tone.apply(&mut image);
        if let Some(sigma) = blur.filter(|sigma| *sigma > 0.0) {
            image = imageops::blur(&image, sigma as f32);
        }
        if let Some(deviation) = noise {
            tone::add_noise(&mut image, deviation, rng);
        }
        (image, labels)
    }
}

#[cfg(test)]
mod tests {
    use image::imageops::FilterType;
    use image::{Luma, Rgb};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use seg_contract::IGNORE_LABEL;

    use super::*;

    /// A mean that no picture here has as a colour, and a deviation of each channel's own.
    const COLORS: Colors = Colors { mean: [0.25, 0.5, 0.75], deviation: [0.1, 0.2, 0.02] };

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    /// Creates a picture with a bright region, which has the label 1, so that both can be seen to
    /// move together.
    fn marked(width: u32, height: u32) -> (Rgb32FImage, GrayImage) {
        let labels = GrayImage::from_fn(width, height, |x, y| Luma([u8::from(x > width / 3 && y > height / 2)]));
        let image = Rgb32FImage::from_fn(width, height, |x, y| Rgb([f32::from(labels.get_pixel(x, y)[0]), 0.0, 1.0]));
        (image, labels)
    }

    fn picture(width: u32, height: u32) -> Picture {
        let (image, labels) = marked(width, height);
        Picture::new(&image, &labels)
    }

    /// Lists each effect alone.
    fn alone(change: &str, crop: [u32; 2]) -> Augmentation {
        let mut augmentation = Augmentation::none(60, crop);
        augmentation.apply(&change.parse().unwrap());
        augmentation
    }

    /// Applies the recipe by its definition: the whole image is resized and mirrored, then cropped.
    fn plainly(
        augmentation: &Augmentation,
        image: &Rgb32FImage,
        labels: &GrayImage,
        rng: &mut ChaCha8Rng,
    ) -> (Rgb32FImage, GrayImage) {
        let short = f64::from(augmentation.short_side.unwrap());
        let short = rng.random_range((short * 0.7).round() as u32..=(short * 1.3).round() as u32);
        let factor = f64::from(short) / f64::from(image.width().min(image.height()));
        let [width, height] = [image.width(), image.height()].map(|side| (f64::from(side) * factor).round() as u32);
        let mut image = imageops::resize(image, width, height, FilterType::Triangle);
        let mut labels = imageops::resize(labels, width, height, FilterType::Nearest);
        if rng.random_bool(0.5) {
            imageops::flip_horizontal_in_place(&mut image);
            imageops::flip_horizontal_in_place(&mut labels);
        }
        if rng.random_bool(0.5) {
            imageops::flip_vertical_in_place(&mut image);
            imageops::flip_vertical_in_place(&mut labels);
        }
        let [crop_height, crop_width] = augmentation.crop;
        let left = rng.random_range(0..=width - crop_width);
        let top = rng.random_range(0..=height - crop_height);
        let image = imageops::crop_imm(&image, left, top, crop_width, crop_height).to_image();
        (image, imageops::crop_imm(&labels, left, top, crop_width, crop_height).to_image())
    }

    #[test]
    fn the_recipe_is_a_scale_flips_and_a_crop() {
        let (image, labels) = marked(90, 61);
        let augmentation = Augmentation::recipe(60, [32, 40]);
        for seed in 0..20 {
            let (expected, expected_labels) = plainly(&augmentation, &image, &labels, &mut rng(seed));
            let (view, view_labels) = augmentation.view(&Picture::new(&image, &labels), &COLORS, &mut rng(seed));
            let apart = view_labels.iter().zip(expected_labels.iter()).filter(|(a, b)| a != b).count();
            // A pixel's centre on the border of two may go to either.
            assert!(apart <= 40, "seed {seed}: {apart} labels differ");
            let difference = view.iter().zip(expected.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 1e-4, "seed {seed}: the colours are {difference} apart");
        }
    }

    #[test]
    fn a_crop_of_everything_is_the_image_itself() {
        let image = Rgb32FImage::from_fn(33, 21, |x, y| Rgb([x, y, x * y % 256].map(|value| value as f32 / 255.0)));
        let labels = GrayImage::from_fn(33, 21, |x, y| Luma([(x * 7 + y) as u8]));
        let picture = Picture::new(&image, &labels);
        for side in [Some(21), None] {
            let view = Augmentation::none(side, [21, 33]).view(&picture, &COLORS, &mut rng(0));
            assert_eq!(view, (image.clone(), labels.clone()), "{side:?}");
        }
    }

    #[test]
    fn image_and_labels_move_together() {
        let picture = picture(90, 60);
        for change in
            ["scale=0.3..2", "flip-horizontal=1", "flip-vertical=1", "turn=1", "rotation=180@1", "elastic=20@1"]
        {
            let augmentation = alone(change, [48, 48]);
            for seed in 0..10 {
                let (image, labels) = augmentation.view(&picture, &COLORS, &mut rng(seed));
                let pairs = image.pixels().zip(labels.pixels()).filter(|(_, label)| label[0] != IGNORE_LABEL);
                let apart = pairs.clone().filter(|(pixel, label)| (pixel[0] - f32::from(label[0])).abs() > 0.5).count();
                // Along the border of the region the two filters may round to different sides.
                assert!(apart * 50 <= pairs.count(), "{change}, seed {seed}: {apart} pixels differ");
            }
        }
    }

    #[test]
    fn a_crop_over_a_target_shows_it_and_each_class_as_often() {
        // Two small targets far apart, of which one has many more pixels.
        let label = |x: u32, y: u32| match (x, y) {
            (3..6, 50..52) => 2,
            (70..80, 5..15) => 1,
            _ => 0,
        };
        let labels = GrayImage::from_fn(90, 60, |x, y| Luma([label(x, y)]));
        let picture = Picture::new(&Rgb32FImage::new(90, 60), &labels);
        let recipe = Augmentation { target: 1.0, ..Augmentation::recipe(None, [24, 16]) };
        let turned = Augmentation { turn: 1.0, crop: [24, 24], ..recipe.clone() };
        for (name, augmentation) in [("upright", recipe), ("turned", turned)] {
            let (mut seen, mut misses) = ([0; 3], 0);
            for seed in 0..200 {
                let (_, view) = augmentation.view(&picture, &COLORS, &mut rng(seed));
                let shows = |class: u8| view.contains(&class);
                misses += usize::from(!shows(1) && !shows(2));
                (1..3).for_each(|class| seen[class] += usize::from(shows(class as u8)));
            }
            // Where the view shrinks the picture, a pixel on the crop's edge may be skipped.
            assert!(misses <= 4, "{name}: {misses} of 200 crops show no target");
            assert!(seen[1..].iter().all(|count| (60..=140).contains(count)), "{name}: {seen:?} of 200");
        }
        let nothing = Picture::new(&Rgb32FImage::new(40, 40), &GrayImage::new(40, 40));
        let augmentation = Augmentation { target: 1.0, ..Augmentation::recipe(None, [16, 16]) };
        augmentation.view(&nothing, &COLORS, &mut rng(0));
    }

    #[test]
    fn what_lies_beyond_the_image_is_ignored_and_filled() {
        for change in ["scale=0.5..0.6", "turn=1", "rotation=45@1", "elastic=20@1"] {
            let augmentation = alone(change, [64, 96]);
            let mut beyond = 0;
            for seed in 0..10 {
                let (view, labels) = augmentation.view(&picture(60, 80), &COLORS, &mut rng(seed));
                for (x, y, label) in labels.enumerate_pixels() {
                    assert_eq!(label[0] == IGNORE_LABEL, view.get_pixel(x, y).0 == COLORS.mean, "{change}: {x},{y}");
                    beyond += usize::from(label[0] == IGNORE_LABEL);
                }
            }
            assert!(beyond > 0, "{change}");
        }
    }

    #[test]
    fn ignored_labels_are_moved_like_others() {
        let (image, _) = marked(64, 64);
        let labels = GrayImage::from_fn(64, 64, |x, _| Luma([if x < 32 { IGNORE_LABEL } else { 1 }]));
        let augmentation = Augmentation { flip_horizontal: 1.0, ..Augmentation::none(64, [64, 64]) };
        let (_, labels) = augmentation.view(&Picture::new(&image, &labels), &COLORS, &mut rng(0));
        assert!(labels.enumerate_pixels().all(|(x, _, label)| label[0] == if x < 32 { 1 } else { IGNORE_LABEL }));
    }

    #[test]
    fn a_strong_reduction_averages_and_does_not_skip() {
        let board = Rgb32FImage::from_fn(256, 256, |x, y| Rgb([((x + y) % 2) as f32; 3]));
        let picture = Picture::new(&board, &GrayImage::new(256, 256));
        for scale in ["0.5", "0.3", "0.15"] {
            let mut augmentation = Augmentation::none(256, [32, 32]);
            augmentation.apply(&format!("scale={scale}..{scale}").parse().unwrap());
            let (view, _) = augmentation.view(&picture, &COLORS, &mut rng(0));
            let worst = view.iter().map(|value| (value - 0.5).abs()).fold(0.0, f32::max);
            assert!(worst < 0.05, "scale {scale}: a checkerboard's grey is {worst} off");
        }
    }

    #[test]
    fn a_seed_gives_one_view() {
        let picture = picture(50, 70);
        let mut augmentation = Augmentation::recipe(50, [32, 32]);
        for effect in effect::EFFECTS {
            augmentation.apply(&effect.name.parse().unwrap());
        }
        let view = |seed| augmentation.view(&picture, &COLORS, &mut rng(seed));
        assert_eq!(view(3), view(3));
        assert_ne!(view(3), view(4));
    }

    fn chroma(view: &Rgb32FImage) -> f32 {
        view.pixels().map(|p| p[0].max(p[1]).max(p[2]) - p[0].min(p[1]).min(p[2])).sum::<f32>()
    }

    fn mean(view: &Rgb32FImage) -> f32 {
        view.iter().sum::<f32>() / view.len() as f32
    }

    fn spread(view: &Rgb32FImage) -> f32 {
        (view.iter().map(|v| (v - mean(view)).powi(2)).sum::<f32>() / view.len() as f32).sqrt()
    }

    #[test]
    fn each_change_of_colour_does_what_its_name_says() {
        let image = Rgb32FImage::from_fn(32, 32, |x, y| Rgb([x as f32 / 64.0 + 0.25, y as f32 / 64.0 + 0.25, 0.5]));
        let picture = Picture::new(&image, &GrayImage::new(32, 32));
        let edges = |view: &Rgb32FImage| view.as_raw().windows(4).map(|w| (w[3] - w[0]).abs()).sum::<f32>();
        type Measure<'a> = &'a dyn Fn(&Rgb32FImage) -> f32;
        let plain = alone("none", [32, 32]);
        let before = Augmentation { short_side: Some(32), ..plain }.view(&picture, &COLORS, &mut rng(0)).0;
        for (change, measure, expected) in [
            ("brightness=0.1..0.1@1", &mean as Measure, mean(&before) + 0.1),
            ("brightness=0.5..0.5sd@1", &|view| view.get_pixel(3, 9)[0], before.get_pixel(3, 9)[0] + 0.05),
            ("brightness=-0.5..-0.5sd@1", &|view| view.get_pixel(3, 9)[1], before.get_pixel(3, 9)[1] - 0.1),
            ("brightness=2..2sd@1", &|view| view.get_pixel(3, 9)[2], before.get_pixel(3, 9)[2] + 0.04),
            ("contrast=0.5..0.5@1", &spread, spread(&before) * 0.5),
            ("contrast=0.5..0.5@1", &mean, mean(&before)),
            ("gamma=2..2@1", &|view| view.get_pixel(0, 0)[0], 0.25 * 0.25),
            ("saturation=0..0@1", &chroma, 0.0),
            ("saturation=0.5..0.5@1", &chroma, chroma(&before) * 0.5),
            ("saturation=0.5..0.5@1", &mean, mean(&before)),
            // A third of the circle takes red to green, green to blue and blue to red.
            ("hue=120..120@1", &|view| view.get_pixel(0, 9)[1], before.get_pixel(0, 9)[0]),
            ("hue=120..120@1", &|view| view.get_pixel(0, 9)[2], before.get_pixel(0, 9)[1]),
            ("hue=180..180@1", &mean, mean(&before)),
            ("blur=0..0@1", &edges, edges(&before)),
            ("noise=0..0@1", &spread, spread(&before)),
        ] {
            let augmentation = Augmentation { short_side: Some(32), ..alone(change, [32, 32]) };
            let found = measure(&augmentation.view(&picture, &COLORS, &mut rng(1)).0);
            assert!((found - expected).abs() < 1e-3, "{change}: {found}, expected {expected}");
        }
    }

    #[test]
    fn blur_smooths_and_noise_has_its_deviation() {
        let spread = |change: &str, step: f32| {
            let board = Rgb32FImage::from_fn(96, 96, |x, y| Rgb([0.5 - step + 2.0 * step * ((x + y) % 2) as f32; 3]));
            let picture = Picture::new(&board, &GrayImage::new(96, 96));
            let augmentation = Augmentation { short_side: Some(96), ..alone(change, [96, 96]) };
            let view = augmentation.view(&picture, &COLORS, &mut rng(2)).0;
            (view.iter().map(|value| (value - 0.5).powi(2)).sum::<f32>() / view.len() as f32).sqrt()
        };
        for (change, step, expected) in [
            ("none", 0.1, 0.1..0.1001),
            ("blur=1.5..1.5@1", 0.1, 0.0..0.01),
            ("noise=0.05..0.05@1", 0.0, 0.049..0.051),
            // The root of a third of 0.05, 0.1 and 0.01 squared.
            ("noise=0.5..0.5sd@1", 0.0, 0.0638..0.0658),
        ] {
            let found = spread(change, step);
            assert!(found > expected.start - 1e-4 && found < expected.end, "{change}: {found}");
        }
    }
}
