//! The parameters of a convolution of one group, in floats or in integers.

use std::borrow::Cow;

use super::{Constants, Weights};
use crate::bytes::Steps;
use crate::down::{WINDOW, by_pixel};
use crate::lanes::LANES;
use crate::map::Map;
use crate::product::Layer;

/// A convolution of one group: of 1x1, or of 2x2 with stride 2.
#[derive(Clone, Debug)]
pub enum Dense {
    /// In floats, behind a normalisation if there is one.
    Floats {
        /// The normalisation.
        norm: Option<Constants>,
        /// The weight and the bias.
        weights: Weights,
    },
    /// In integers of eight bits, whose sums become floats.
    Integers(Integers),
}

/// The parameters of a convolution in integers.
#[derive(Clone, Debug)]
pub struct Integers {
    /// The weight, each output channel in steps of its own.
    pub weight: Vec<i8>,
    /// The shape of the weight; an output channel has at most [`WEIGHTS_MAX`](Self::WEIGHTS_MAX).
    pub shape: [usize; 4],
    /// The step of each output channel.
    pub row_steps: Vec<f32>,
    /// The steps that the input is rounded to.
    pub input: Steps,
    /// The bias, in floats.
    pub bias: Map,
}

impl Integers {
    /// The weights of an output channel whose sum fits 32 bits, whatever they are.
    pub const WEIGHTS_MAX: usize = 1 << 16;
}

impl From<Weights> for Dense {
    fn from(weights: Weights) -> Self {
        Self::Floats { norm: None, weights }
    }
}

impl Dense {
    /// Returns the shape of the weight.
    pub fn shape(&self) -> [usize; 4] {
        match self {
            Self::Floats { weights: [weight, _], .. } => weight.shape(),
            Self::Integers(Integers { shape, .. }) => *shape,
        }
    }

    /// Prepares the convolution.
    pub(super) fn layer(&self) -> Layer {
        let [rows, columns, height, width] = self.shape();
        let taps = height * width;
        let depth = if taps == 1 { columns } else { WINDOW * columns.next_multiple_of(LANES) };
        match self {
            Self::Floats { norm, weights: [weight, bias] } => {
                let (weight, bias) = match norm {
                    Some(norm) => {
                        let (weight, bias) = norm.norm().fold(weight.values(), bias.values());
                        (Cow::Owned(weight), Cow::Owned(bias))
                    }
                    None => (Cow::Borrowed(weight.values()), Cow::Borrowed(bias.values())),
                };
                Layer::floats(&arranged(weight, taps, columns), [rows, depth], &bias)
            }
            Self::Integers(Integers { weight, row_steps, input, bias, .. }) => {
                let weight = arranged(Cow::Borrowed(&weight[..]), taps, columns);
                Layer::integers(&weight, [rows, depth], row_steps, input.clone(), bias.values())
            }
        }
    }
}

/// Returns weights in the order of a product's columns.
fn arranged<T: Copy + Default>(weights: Cow<'_, [T]>, taps: usize, columns: usize) -> Cow<'_, [T]> {
    if taps == 1 { weights } else { Cow::Owned(by_pixel(&weights, columns)) }
}
