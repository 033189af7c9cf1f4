//! Changes of colour: each pixel by itself, and noise.

use std::f32::consts::TAU;

use image::Rgb32FImage;
use rand::Rng;

use super::{Augmentation, effect};

/// A change of the colours of a view.
#[derive(Debug)]
pub(super) struct Tone {
    /// The number that is added in each channel.
    brightness: Option<[f32; 3]>,
    contrast: Option<f64>,
    gamma: Option<f64>,
    saturation: Option<f64>,
    hue: Option<f64>,
}

impl Tone {
    /// Draws a change; `deviation` is that of the training images.
    pub(super) fn draw(augmentation: &Augmentation, deviation: [f32; 3], rng: &mut impl Rng) -> Self {
        Self {
            brightness: effect::draw_values(augmentation.brightness, deviation, rng),
            contrast: effect::draw(augmentation.contrast, rng),
            gamma: effect::draw(augmentation.gamma, rng),
            saturation: effect::draw(augmentation.saturation, rng),
            hue: effect::draw(augmentation.hue, rng),
        }
    }

    /// Changes hue and saturation, then contrast and brightness, then gamma; values stay in [0, 1].
    ///
    /// With grey `g` the mean of a pixel `v` and `m` that of the view: `v' = g + s (cos h (v - g) +
    /// sin h (1 x v) / sqrt 3)`, which turns by `h` about the grey axis and scales the distance
    /// from it by `s`; then `m + c (v' - m) + b`, to the power of gamma.
    pub(super) fn apply(&self, view: &mut Rgb32FImage) {
        if self.saturation.is_some() || self.hue.is_some() {
            let saturation = self.saturation.unwrap_or(1.0);
            let (sin, cos) = self.hue.unwrap_or(0.0).to_radians().sin_cos();
            let (along, across) = ((saturation * cos) as f32, (saturation * sin / 3f64.sqrt()) as f32);
            for pixel in view.pixels_mut() {
                let [red, green, blue] = pixel.0;
                let gray = (red + green + blue) / 3.0;
                let turned = [blue - green, red - blue, green - red];
                pixel.0 =
                    std::array::from_fn(|channel| gray + along * (pixel.0[channel] - gray) + across * turned[channel]);
            }
        }
        if self.contrast.is_some() || self.brightness.is_some() {
            let contrast = self.contrast.unwrap_or(1.0);
            let mean = view.iter().map(|value| f64::from(*value)).sum::<f64>() / view.len() as f64;
            let level = (mean * (1.0 - contrast)) as f32;
            let shift = self.brightness.unwrap_or_default().map(|brightness| level + brightness);
            for pixel in view.pixels_mut() {
                pixel.0 = std::array::from_fn(|channel| contrast as f32 * pixel.0[channel] + shift[channel]);
            }
        }
        view.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        if let Some(gamma) = self.gamma {
            view.iter_mut().for_each(|value| *value = value.powf(gamma as f32));
        }
    }
}

/// Adds Gaussian noise of a standard deviation in each channel; values stay in [0, 1].
pub(super) fn add_noise(view: &mut Rgb32FImage, deviation: [f32; 3], rng: &mut impl Rng) {
    let mut deviations = deviation.into_iter().cycle();
    for pair in view.chunks_mut(2) {
        // Box and Muller: two uniform numbers become two independent normal ones. 1 - u is never 0.
        let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
        let (sin, cos) = (TAU * rng.random::<f32>()).sin_cos();
        for ((value, normal), deviation) in pair.iter_mut().zip([cos, sin]).zip(&mut deviations) {
            *value = (*value + deviation * radius * normal).clamp(0.0, 1.0);
        }
    }
}
