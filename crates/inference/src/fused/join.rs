//! A step of the decoder up to its block: the weighed skip and the enlarged deep map, joined by a
//! convolution, which the export has cut in two.

use seg_kernels::inference::{BlockParameters, UpParameters, Weights};
use seg_onnx::graph::{Coordinates, Op, PadMode, ResizeBy, ResizeMode};

use super::walk::{Bias, Form, Unrecognized, Walk};

/// A step of the decoder.
pub(super) struct Joined<'g> {
    /// The map of the encoder that it reads.
    pub(super) skip: &'g str,
    /// The map of half the size that it reads.
    pub(super) deep: &'g str,
    pub(super) parameters: UpParameters,
}

/// Takes `W rsc(skip) + b + pad(upsample2(V deep + d))`, which `block` reads.
pub(super) fn join<'g>(
    walk: &mut Walk<'g>,
    value: &'g str,
    block: BlockParameters,
) -> Result<Joined<'g>, Unrecognized> {
    let [weighed, padded] = walk.take_pair(value, &Op::Add)?;
    let (sum, skip_layer) = walk.dense(weighed, &Form::POINTWISE)?;
    let (skip, spatial, gate) = rsc(walk, sum)?;
    let [rows, _, _, _] = skip_layer.shape();
    let channels = walk.channels(skip).unwrap_or_default();
    walk.check_shape(weighed, skip_layer.shape(), [rows, channels])?;
    let small = enlarged(walk, padded, skip, rows)?;
    let (deep, deep_layer) = walk.dense(small, &Form::POINTWISE)?;
    let columns = walk.channels(deep).unwrap_or_default();
    walk.check_shape(small, deep_layer.shape(), [rows, columns])?;
    let [spatial, _] = spatial;
    let parameters = UpParameters { spatial, gate, skip: skip_layer, deep: deep_layer, block };
    Ok(Joined { skip, deep, parameters })
}

/// Takes `(x * (sigmoid(spatial x) * gate) + 1) * x`; returns `x`, the weights of the places and
/// the layers of the gate.
fn rsc<'g>(walk: &mut Walk<'g>, value: &str) -> Result<(&'g str, Weights, [Weights; 2]), Unrecognized> {
    let [factor, x] = walk.take_pair(value, &Op::Mul)?;
    let [product, one] = walk.take(factor, "Add", |op| *op == Op::Add)?;
    walk.expect_scalar(one, 1.0)?;
    let [weights, again] = walk.take(product, "Mul", |op| *op == Op::Mul)?;
    walk.expect_same(again, x)?;
    let [place, channel] = walk.take(weights, "Mul", |op| *op == Op::Mul)?;
    let channels = walk.channels(x).unwrap_or_default();

    let [scores] = walk.take(place, "Sigmoid", |op| *op == Op::Sigmoid)?;
    let (again, spatial) = walk.conv(scores, &Form { bias: Bias::None, ..Form::POINTWISE })?;
    walk.check_shape(scores, spatial[0].shape(), [1, channels])?;
    walk.expect_same(again, x)?;

    let [restored] = walk.take(channel, "Sigmoid", |op| *op == Op::Sigmoid)?;
    let (hidden, restore) = walk.conv(restored, &Form::POINTWISE)?;
    let [_, width, _, _] = restore[0].shape();
    walk.check_shape(restored, restore[0].shape(), [channels, width])?;
    let [reduced] = walk.take(hidden, "Relu", |op| *op == Op::Relu)?;
    let (mean, reduce) = walk.pointwise(reduced, [width, channels])?;
    let [averaged] = walk.take(mean, "GlobalAveragePool", |op| *op == Op::GlobalAveragePool)?;
    let mut again = averaged;
    if walk.node(averaged).is_some_and(|node| node.op == Op::ReduceMean) {
        let [all, axes] = walk.take(averaged, "ReduceMean", |_| true)?;
        walk.expect_integers(axes, &[3])?;
        again = all;
    }
    walk.expect_same(again, x)?;
    Ok((x, spatial, [reduce, restore]))
}

/// Takes the upsampling of a map and its padding to the size of the skip; returns the map.
fn enlarged<'g>(walk: &mut Walk<'g>, value: &'g str, skip: &str, channels: usize) -> Result<&'g str, Unrecognized> {
    let sides = |walk: &Walk<'_>, value: &str| walk.tensor_type(value).map(|found| found.shape[2..].to_vec());
    if sides(walk, value) != sides(walk, skip) {
        return Err(walk.refuse(value, format!("a map of the size of `{skip}`")));
    }
    let mut x = value;
    // A convolution by one pads, or turns the layout.
    if walk.node(x).is_some_and(|node| matches!(node.op, Op::Conv(_))) {
        x = by_one(walk, x, channels)?;
    }
    if walk.node(x).is_some_and(|node| matches!(node.op, Op::Pad { .. })) {
        let constant = Op::Pad { mode: PadMode::Constant };
        let [all, pads] = walk.take(x, "Pad with zeros", |op| *op == constant)?;
        check_pads(walk, x, pads, [skip, all])?;
        x = all;
    }
    let doubling =
        Op::Resize { mode: ResizeMode::Linear, coordinates: Coordinates::AlignCorners, by: ResizeBy::Scales };
    let [small, scales] = walk.take(x, "Resize, linear with aligned corners", |op| *op == doubling)?;
    if walk.values(scales) != Some(&[1.0, 1.0, 2.0, 2.0]) {
        return Err(walk.refuse(scales, "the constant [1, 1, 2, 2]"));
    }
    Ok(small)
}

/// Takes a depthwise convolution by one, which may add zeros behind a map; returns the map.
fn by_one<'g>(walk: &mut Walk<'g>, value: &str, channels: usize) -> Result<&'g str, Unrecognized> {
    let expected = "a depthwise Conv of 1x1 by one, with padding behind the map alone";
    let [x, weight] = walk.take(value, expected, |op| {
        matches!(op, Op::Conv(conv) if conv.strides == [1; 2]
            && conv.dilations == [1; 2]
            && conv.pads[..2] == [0; 2]
            && conv.group == channels)
    })?;
    let is_one = walk.values(weight).is_some_and(|values| values.len() == channels && values.iter().all(|v| *v == 1.0));
    if is_one { Ok(x) } else { Err(walk.refuse(value, expected)) }
}

/// Checks that what is added lies behind the map: as constants, or as the difference of two sizes.
fn check_pads(walk: &mut Walk<'_>, value: &str, pads: &str, [skip, all]: [&str; 2]) -> Result<(), Unrecognized> {
    if let Some(pads) = walk.integers(pads) {
        let is_behind = pads.len() == 8 && pads[..6].iter().all(|added| *added == 0);
        return if is_behind { Ok(()) } else { Err(walk.refuse(value, "Pad behind the map alone")) };
    }
    let [zeros, missing] = walk.take(pads, "Concat", |op| *op == Op::Concat { axis: 0 })?;
    walk.expect_integers(zeros, &[0; 6])?;
    let [wanted, given] = walk.take(missing, "Sub", |op| *op == Op::Sub)?;
    for (size, of) in [(wanted, skip), (given, all)] {
        let [found] = walk.take(size, "Shape of height and width", |op| *op == Op::Shape { start: 2, end: 4 })?;
        walk.expect_same(found, of)?;
    }
    Ok(())
}
