//! The arithmetic of a product: terms in floats or in integers, which tiles add up alike.

#![allow(unsafe_code, reason = "leaves out checks of bounds that are checked once for a tile")]

use std::marker::PhantomData;

use super::matrix::Scaling;
use crate::bytes::Bytes;
use crate::integers::{Integers, QUAD, Quads};
use crate::lanes::{LANES, Lanes};
use crate::vector::Vector;

/// The start of the sums of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a> {
    /// Nothing.
    Zero,
    /// A value per row.
    Bias(&'a [Lanes]),
    /// The values that the output holds.
    Output,
}

/// The terms of a product and their sums, sixteen rows at a time.
pub(super) trait Terms: Copy {
    /// Sixteen channels of a pixel.
    type Input: Copy;
    /// Weights of sixteen rows for [`TOGETHER`](Self::TOGETHER) channels.
    type Weights: Copy;
    /// Sums in registers.
    type Sums: Copy;
    /// The values of a block of rows that all pixels share.
    type First: Copy;
    /// Weights in registers.
    type Row: Copy;
    /// Channels in registers.
    type Value: Copy;
    /// The channels that are multiplied at once.
    const TOGETHER: usize;
    /// True if there are registers for thirty-two vectors, and not only for eight.
    const MANY: bool;

    /// Loads what belongs to a block of rows.
    ///
    /// # Safety
    /// The product has this block of rows.
    unsafe fn first(self, start: Start<'_>, block: usize) -> Self::First;
    /// Returns the sums that a block's pixel at `y` begins with.
    ///
    /// # Safety
    /// `y` can be read.
    unsafe fn begin(first: Self::First, start: Start<'_>, y: *const Lanes) -> Self::Sums;
    /// Loads weights.
    fn row(weights: &Self::Weights) -> Self::Row;
    /// Loads channels from one on.
    ///
    /// # Safety
    /// The input has these channels.
    unsafe fn value(input: &Self::Input, channel: usize) -> Self::Value;
    /// Adds the products of channels and weights.
    fn add(sums: Self::Sums, value: Self::Value, row: Self::Row) -> Self::Sums;
    /// Stores the result of a block's pixel at `y`; with `OUTPUT`, the sums began with its values.
    ///
    /// # Safety
    /// `y` can be read and written.
    unsafe fn end<const OUTPUT: bool>(sums: Self::Sums, first: Self::First, y: *mut Lanes);
}

/// Terms in floats.
#[derive(Clone, Copy)]
pub(super) struct Floats<V>(PhantomData<V>);

impl<V> Floats<V> {
    pub(super) const NEW: Self = Self(PhantomData);
}

impl<V: Vector> Terms for Floats<V> {
    type Input = Lanes;
    type Weights = Lanes;
    type Sums = V;
    type First = V;
    type Row = V;
    type Value = V;
    const TOGETHER: usize = 1;
    const MANY: bool = V::MANY;

    #[inline(always)]
    unsafe fn first(self, start: Start<'_>, block: usize) -> V {
        match start {
            // SAFETY: the caller's promise.
            Start::Bias(bias) => V::load(unsafe { &bias.get_unchecked(block).0 }),
            Start::Zero | Start::Output => V::splat(0.0),
        }
    }

    #[inline(always)]
    unsafe fn begin(first: V, start: Start<'_>, y: *const Lanes) -> V {
        match start {
            Start::Zero | Start::Bias(_) => first,
            // SAFETY: the caller's promise.
            Start::Output => V::load(unsafe { &(*y).0 }),
        }
    }

    #[inline(always)]
    fn row(weights: &Lanes) -> V {
        V::load(&weights.0)
    }

    #[inline(always)]
    unsafe fn value(input: &Lanes, channel: usize) -> V {
        // SAFETY: the caller's promise.
        V::splat(unsafe { *input.0.get_unchecked(channel) })
    }

    #[inline(always)]
    fn add(sums: V, value: V, row: V) -> V {
        sums.add_product(value, row)
    }

    #[inline(always)]
    unsafe fn end<const OUTPUT: bool>(sums: V, _: V, y: *mut Lanes) {
        // SAFETY: the caller's promise.
        sums.store(unsafe { &mut (*y).0 });
    }
}

/// Terms in integers, which become floats when all are added up.
#[derive(Clone, Copy)]
pub(super) struct Rounded<'a, I> {
    scaling: Scaling<'a>,
    integers: PhantomData<I>,
}

/// A block of rows in integers: the sums that it begins with, and the way from its sums to floats.
#[derive(Clone, Copy)]
pub(super) struct Rows<I, V> {
    sums: I,
    scale: V,
    bias: V,
}

impl<'a, I> Rounded<'a, I> {
    pub(super) fn new(scaling: Scaling<'a>) -> Self {
        Self { scaling, integers: PhantomData }
    }
}

impl<I: Integers> Terms for Rounded<'_, I> {
    type Input = Bytes;
    type Weights = Quads;
    type Sums = I;
    type First = Rows<I, I::Floats>;
    type Row = I::Weights;
    type Value = I::Channels;
    const TOGETHER: usize = QUAD;
    const MANY: bool = I::Floats::MANY;

    #[inline(always)]
    unsafe fn first(self, start: Start<'_>, block: usize) -> Self::First {
        let Scaling { scales, offsets, stride, inputs } = self.scaling;
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = I::load(offsets.get_unchecked(block * stride));
            for input in 1..inputs {
                sums = sums.add(offsets.get_unchecked(block * stride + input));
            }
            let scale = I::Floats::load(&scales.get_unchecked(block).0);
            Rows { sums, scale, bias: Floats::NEW.first(start, block) }
        }
    }

    #[inline(always)]
    unsafe fn begin(first: Self::First, _: Start<'_>, _: *const Lanes) -> I {
        first.sums
    }

    #[inline(always)]
    fn row(weights: &Quads) -> I::Weights {
        I::weights(weights)
    }

    #[inline(always)]
    unsafe fn value(input: &Bytes, channel: usize) -> I::Channels {
        debug_assert!(channel + QUAD <= LANES, "four channels at once");
        // SAFETY: the caller's promise.
        I::channels(unsafe { &*input.0.as_ptr().add(channel).cast() })
    }

    #[inline(always)]
    fn add(sums: I, value: I::Channels, row: I::Weights) -> I {
        sums.add_products(value, row)
    }

    #[inline(always)]
    unsafe fn end<const OUTPUT: bool>(sums: I, Rows { scale, bias, .. }: Self::First, y: *mut Lanes) {
        // SAFETY: the caller's promise.
        let y = unsafe { &mut (*y).0 };
        let first = if OUTPUT { I::Floats::load(y) } else { bias };
        first.add_product(sums.floats(), scale).store(y);
    }
}
