//! The patterns of fixed inputs.

use std::fmt;

use image::{Rgb, Rgb32FImage};
use ndarray::{Array3, Array4};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_contract::Contract;

/// The pattern of a generated input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Each channel of each pixel at random, uniform over all 256 levels.
    Noise,
    /// Black pixels.
    Black,
    /// White pixels.
    White,
    /// Black and white pixels in turn.
    Checkers,
    /// One white pixel in the middle of black ones.
    Spot,
    /// Not an image: random values several times larger than any image has.
    Far,
    /// Not an image: random values large enough to take intermediate values beyond the range of
    /// 16-bit floats.
    Huge,
    /// Not an image: random subnormal values.
    Denormal,
}

/// The largest magnitude of [`Pattern::Far`].
const FAR: f32 = 16.0;

/// The largest magnitude of [`Pattern::Huge`].
const HUGE: f32 = 256.0;

/// The largest magnitude of [`Pattern::Denormal`].
const DENORMAL: f32 = 1e-40;

impl Pattern {
    /// Returns true if bytes can represent the values.
    pub(super) fn fits_bytes(self) -> bool {
        !matches!(self, Self::Far | Self::Huge | Self::Denormal)
    }

    /// Generates a batch `[n, channels, h, w]`, normalised as the contract says.
    pub(super) fn tensor(self, [batch, height, width]: [usize; 3], seed: u64, contract: &Contract) -> Array4<f32> {
        let channels = contract.input.color.channels();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut tensor = Array4::zeros((batch, channels, height, width));
        for mut item in tensor.outer_iter_mut() {
            let size = item.dim();
            item.assign(&match self {
                Self::Far => Array3::from_shape_simple_fn(size, || random.random_range(-FAR..FAR)),
                Self::Huge => Array3::from_shape_simple_fn(size, || random.random_range(-HUGE..HUGE)),
                Self::Denormal => Array3::from_shape_simple_fn(size, || random.random_range(-DENORMAL..DENORMAL)),
                _ => contract.input.normalize(&self.image(width, height, &mut random), [height, width]),
            });
        }
        tensor
    }

    fn image(self, width: usize, height: usize, random: &mut ChaCha8Rng) -> Rgb32FImage {
        Rgb32FImage::from_fn(width as u32, height as u32, |x, y| {
            let gray = |white: bool| Rgb([f32::from(u8::from(white)); 3]);
            match self {
                Self::White => gray(true),
                Self::Checkers => gray((x + y) % 2 == 1),
                Self::Spot => gray((x as usize, y as usize) == (width / 2, height / 2)),
                Self::Noise => Rgb([0; 3].map(|_: u8| f32::from(random.random::<u8>()) / 255.0)),
                Self::Black | Self::Far | Self::Huge | Self::Denormal => gray(false),
            }
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Noise => "noise",
            Self::Black => "black",
            Self::White => "white",
            Self::Checkers => "checkers",
            Self::Spot => "spot",
            Self::Far => "far",
            Self::Huge => "huge",
            Self::Denormal => "denormal",
        })
    }
}
