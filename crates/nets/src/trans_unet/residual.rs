//! A residual stage: several units, of which the first changes size and channels.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Unit, UnitConfig};

/// Configuration of [`Residual`].
#[derive(Config, Debug)]
pub struct ResidualConfig {
    /// Input channels.
    pub channels_in: usize,
    /// The channels in the middle of the units; they have four times as many at their ends.
    pub channels_middle: usize,
    /// The number of units.
    pub units: usize,
    /// The step of the first unit along both axes.
    pub stride: usize,
}

/// Units one behind the other.
#[derive(Module, Debug)]
pub struct Residual {
    /// The units.
    pub units: Vec<Unit>,
}

impl ResidualConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Residual {
        let Self { channels_in, channels_middle, units, stride } = *self;
        let channels_out = 4 * channels_middle;
        let unit = |index: usize| {
            let (channels_in, stride) = if index == 0 { (channels_in, stride) } else { (channels_out, 1) };
            UnitConfig::new(channels_in, channels_middle, channels_out, stride).init(device)
        };
        Residual { units: (0..units).map(unit).collect() }
    }
}

impl Residual {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, 4 * channels_middle, ceil(h / stride), ceil(w / stride)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.units.iter().fold(x, |x, unit| unit.forward(x))
    }
}
