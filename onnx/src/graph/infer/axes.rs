//! Operators that reorder, drop or search axes.

use super::{Fact, Mismatch, property, require};
use crate::graph::{DataType, Dim, TensorType};

pub(super) fn transpose(perm: &[usize], x: &Fact) -> Result<Fact, Mismatch> {
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..x.tensor_type.rank()) {
        return Err(property("the order", format!("each of {} axes once", x.tensor_type.rank()), format!("{perm:?}")));
    }
    let shape: Vec<_> = perm.iter().map(|&axis| x.shape()[axis].clone()).collect();
    Ok(Fact::from_type(TensorType::new(x.tensor_type.data_type, shape)))
}

pub(super) fn squeeze(x: &Fact, axes: &Fact) -> Result<Fact, Mismatch> {
    let mut shape: Vec<_> = x.shape().iter().map(Some).collect();
    for (axis, dim) in listed(axes)? {
        let size = axis.and_then(|axis| shape.get_mut(axis)).and_then(Option::take);
        match size {
            Some(size) => require("the size of a dropped axis", &Dim::from(1), size)?,
            None => return Err(property("a dropped axis", format!("one of {}", x.tensor_type.rank()), dim)),
        }
    }
    let shape: Vec<_> = shape.into_iter().flatten().cloned().collect();
    Ok(Fact::from_type(TensorType::new(x.tensor_type.data_type, shape)))
}

/// Infers a reduction. At least one axis must be given: without any, ONNX reduces all, which an
/// empty list does not suggest.
pub(super) fn reduce(x: &Fact, axes: &Fact) -> Result<Fact, Mismatch> {
    let mut shape = x.shape().to_vec();
    let mut listed = listed(axes)?.peekable();
    if listed.peek().is_none() {
        return Err(property("the number of reduced axes", "at least 1", 0));
    }
    for (axis, dim) in listed {
        match axis.and_then(|axis| shape.get_mut(axis)) {
            Some(size) => *size = Dim::from(1),
            None => return Err(property("a reduced axis", format!("one of {}", x.tensor_type.rank()), dim)),
        }
    }
    Ok(Fact::from_type(TensorType::new(x.tensor_type.data_type, shape)))
}

/// Converts known axes to positions, if they can be positions.
fn listed(axes: &Fact) -> Result<impl Iterator<Item = (Option<usize>, &Dim)>, Mismatch> {
    let position = |dim: &Dim| dim.as_constant().and_then(|axis| usize::try_from(axis).ok());
    let count = axes.shape().first().and_then(position).unwrap_or(0);
    Ok(axes.integers("the axes", count)?.iter().map(move |dim| (position(dim), dim)))
}

/// Infers a slice. Each end must lie within its axis for every value of the symbols, because a
/// longer one would be cut off silently. A negative end counts from the axis's end.
pub(super) fn slice(x: &Fact, [starts, ends]: [&Fact; 2], axes: &Fact) -> Result<Fact, Mismatch> {
    let count =
        axes.shape().first().and_then(Dim::as_constant).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let mut shape = x.shape().to_vec();
    let ranges = starts.integers("the starts", count)?.iter().zip(ends.integers("the ends", count)?);
    for (axis, (start, end)) in axes.integers("the axes", count)?.iter().zip(ranges) {
        let size = axis.as_constant().and_then(|axis| shape.get_mut(usize::try_from(axis).ok()?));
        let Some(size) = size else {
            return Err(property("a sliced axis", format!("one of {}", x.tensor_type.rank()), axis));
        };
        let counted;
        let end = if end.as_constant().is_some_and(|end| end < 0) {
            counted = size.add(end)?;
            &counted
        } else {
            end
        };
        let len = end.sub(start)?;
        if !(start.is_never_negative() && len.is_never_negative() && size.sub(end)?.is_never_negative()) {
            return Err(property("a slice", format!("within 0..{size}"), format!("{start}..{end}")));
        }
        *size = len;
    }
    Ok(Fact::from_type(TensorType::new(x.tensor_type.data_type, shape)))
}

pub(super) fn softmax(axis: usize, x: &Fact) -> Result<Fact, Mismatch> {
    within("the axis", axis, x)?;
    Ok(Fact::from_type(x.tensor_type.clone()))
}

pub(super) fn arg_max(axis: usize, x: &Fact) -> Result<Fact, Mismatch> {
    within("the axis", axis, x)?;
    let mut shape = x.shape().to_vec();
    shape.remove(axis);
    Ok(Fact::from_type(TensorType::new(DataType::I64, shape)))
}

pub(super) fn within(what: &'static str, axis: usize, x: &Fact) -> Result<(), Mismatch> {
    let rank = x.tensor_type.rank();
    if axis < rank { Ok(()) } else { Err(property(what, format!("less than {rank}"), axis)) }
}

#[cfg(test)]
mod tests {
    use crate::graph::Op;
    use crate::graph::infer::tests::{assert_rows, f32_fact, integers};

    #[test]
    fn axes_are_reordered_dropped_and_searched_or_refused() {
        let x = || vec![f32_fact(["batch", "1", "height", "width"])];
        let squeeze = |axes| vec![f32_fact(["batch", "1", "height", "width"]), axes];
        let slice = |start, end| {
            vec![f32_fact(["batch", "1", "height", "width"]), integers([start]), integers([end]), integers(["2"])]
        };
        assert_rows(&[
            ("to the back", Op::Transpose { perm: vec![0, 2, 3, 1] }, x(), "f32[batch, height, width, 1]"),
            ("sliced", Op::Slice, slice("0", "height - 1"), "f32[batch, 1, height - 1, width]"),
            ("all of it", Op::Slice, slice("0", "height"), "f32[batch, 1, height, width]"),
            ("up to the last row", Op::Slice, slice("0", "-1"), "f32[batch, 1, height - 1, width]"),
            (
                "from the end, perhaps before the start",
                Op::Slice,
                slice("0", "-2"),
                "a slice must be within 0..height, found 0..height - 2",
            ),
            (
                "beyond the end",
                Op::Slice,
                slice("0", "height + 1"),
                "a slice must be within 0..height, found 0..height + 1",
            ),
            (
                "before the start",
                Op::Slice,
                slice("-1", "height"),
                "a slice must be within 0..height, found -1..height",
            ),
            ("perhaps beyond", Op::Slice, slice("0", "width"), "a slice must be within 0..height, found 0..width"),
            (
                "an axis twice",
                Op::Transpose { perm: vec![0, 1, 1, 2] },
                x(),
                "the order must be each of 4 axes once, found [0, 1, 1, 2]",
            ),
            ("too few", Op::Transpose { perm: vec![0, 1] }, x(), "the order must be each of 4 axes once, found [0, 1]"),
            ("dropped", Op::Squeeze, squeeze(integers(["1"])), "f32[batch, height, width]"),
            (
                "not of size 1",
                Op::Squeeze,
                squeeze(integers(["2"])),
                "the size of a dropped axis must be 1, found height",
            ),
            ("dropped twice", Op::Squeeze, squeeze(integers(["1", "1"])), "a dropped axis must be one of 4, found 1"),
            ("negative", Op::Squeeze, squeeze(integers(["-3"])), "a dropped axis must be one of 4, found -3"),
            ("unknown axes", Op::Squeeze, squeeze(f32_fact(["1"])), "the axes must be 1 known integers, found f32[1]"),
            ("a mean", Op::ReduceMean, squeeze(integers(["3", "2"])), "f32[batch, 1, 1, 1]"),
            ("a mean beyond", Op::ReduceMean, squeeze(integers(["4"])), "a reduced axis must be one of 4, found 4"),
            (
                "a mean over no axis",
                Op::ReduceMean,
                squeeze(integers([])),
                "the number of reduced axes must be at least 1, found 0",
            ),
            ("the largest", Op::ArgMax { axis: 1 }, x(), "i64[batch, height, width]"),
            ("beyond", Op::ArgMax { axis: 4 }, x(), "the axis must be less than 4, found 4"),
            ("a share", Op::Softmax { axis: 3 }, x(), "f32[batch, 1, height, width]"),
            ("a share beyond", Op::Softmax { axis: 4 }, x(), "the axis must be less than 4, found 4"),
        ]);
    }
}
