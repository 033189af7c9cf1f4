//! A network without gradients: its maps stay in blocks of channels, in memory that is used again,
//! from the image to the logits.
//!
//! The operators with gradients hand planes to each other, which any other operator reads. Where
//! nobody else sees the maps, the way between planes and blocks and the zeros of fresh memory need
//! not be. The values are those of the operators with gradients, bit by bit.

#![allow(unsafe_code, reason = "threads write to parts of a map that interleave")]

mod amse;
mod dense;
mod down;
mod head;
mod map;
mod network;
mod stem;
mod up;

pub use super::bytes::Steps;
pub use super::chain::DEPTHWISE;
pub use dense::{Dense, Integers};
pub use map::Memory;
pub use network::{BlockParameters, DownParameters, Network, Parameters, Place, UpParameters, forward};

use amse::Amse;
use down::Down;
use head::Head;
use map::Blocked;
use stem::Stem;
use up::Up;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::affine::{self, Moments};
use super::bytes::Bytes;
use super::lanes::Lanes;
use super::map::Map;
use super::{chain, feed_forward};

/// A batch normalisation by constants.
#[derive(Clone, Debug)]
pub struct Constants {
    /// Mean and variance.
    pub moments: Moments,
    /// Added to the variance.
    pub epsilon: f64,
    /// A factor for each channel.
    pub weight: Map,
    /// A summand for each channel.
    pub bias: Map,
}

impl Constants {
    /// Returns the normalisation that leaves maps of `channels` channels as they are.
    pub fn identity(channels: usize) -> Self {
        let vector = |value: f32| Map::new(vec![value; channels], [1, channels, 1, 1]);
        let moments = Moments { mean: vec![0.0; channels], variance: vec![1.0; channels], count: None };
        Self { moments, epsilon: 0.0, weight: vector(1.0), bias: vector(0.0) }
    }

    /// Returns the normalisation as what folds into a layer.
    fn norm(&self) -> affine::Norm<'_> {
        let (weight, bias) = (self.weight.values(), self.bias.values());
        affine::Norm { moments: &self.moments, epsilon: self.epsilon, weight, bias }
    }
}

/// Weight and bias of a layer.
pub type Weights = [Map; 2];

/// The buffers of a thread.
#[derive(Default)]
struct Scratch {
    input: Vec<Lanes>,
    output: Vec<Lanes>,
    /// The input of a product in integers.
    bytes: Vec<Bytes>,
    places: Vec<f32>,
    chain: chain::Rows,
    middle: feed_forward::Scratch,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Does `count` pieces of work on all threads, each with its number and the thread's buffers.
///
/// One function for all work: a parallel loop is a lot of code.
fn each(count: usize, work: &(dyn Fn(usize, &mut Scratch) + Sync)) {
    (0..count).into_par_iter().for_each(|index| {
        // No work starts other work on its thread.
        SCRATCH.with_borrow_mut(|scratch| work(index, scratch));
    });
}

/// Does work for pieces of up to `length` of the `size` pixels or rows of each image.
fn each_piece(images: usize, size: usize, length: usize, work: impl Fn(usize, Range<usize>, &mut Scratch) + Sync) {
    let pieces = size.div_ceil(length);
    each(images * pieces, &|index, scratch| {
        let start = index % pieces * length;
        work(index / pieces, start..(start + length).min(size), scratch);
    });
}

/// Computes values on all threads, in their order.
fn map_each<T: Send + Sync>(count: usize, of: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let places: Vec<_> = (0..count).map(|_| OnceLock::new()).collect();
    each(count, &|index, _| {
        let _ = places[index].set(of(index));
    });
    places.into_iter().map(|place| place.into_inner().expect("every value was computed")).collect()
}
