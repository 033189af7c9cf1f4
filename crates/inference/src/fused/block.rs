//! AMSUnet's block in a graph: attention, feed-forward half and residual.

use seg_kernels::Map;
use seg_kernels::inference::{BlockParameters, DEPTHWISE, Dense, Weights};
use seg_onnx::graph::{Conv, Op};

use super::walk::{Bias, Form, Unrecognized, Walk};

/// The strips of the attention: the lengths of their kernels.
const STRIPS: [usize; 3] = [5, 7, 11];

/// The largest dilation of the atrous convolution: its rows are kept in the cache.
const DILATION_MAX: usize = 64;

/// Takes `gelu(ffn(attention(x)) + x)`; returns `x` and the parameters.
///
/// The projection behind the attention and the expansion behind that are one convolution.
pub(super) fn block<'g>(walk: &mut Walk<'g>, value: &str) -> Result<(&'g str, BlockParameters), Unrecognized> {
    let sum = walk.gelu(value)?;
    let (x, projections) = residual(walk, sum)?;
    let channels = walk.channels(x).ok_or_else(|| walk.refuse(x, "a map of channels"))?;

    let (mut attended, mut slices) = (None, Vec::new());
    for projection in projections {
        let (input, slice) = slice(walk, projection, channels)?;
        walk.expect_same(input, attended.unwrap_or(input))?;
        attended = Some(input);
        slices.push(slice);
    }
    let attended = attended.ok_or_else(|| walk.refuse(sum, "a sum with a projection"))?;
    let expected = "a sum in which one projection has a bias and, with several of them, all are in floats";
    let feed_forward = merged(slices).ok_or_else(|| walk.refuse(sum, expected))?;

    let (mixed, g) = match walk.take_pair(attended, &Op::Mul)? {
        [mixed, g] if walk.is_gelu(g) => (mixed, g),
        [g, mixed] => (mixed, g),
    };
    let (map, mix) = walk.dense_pointwise(mixed, [channels; 2])?;
    let (input, depthwise, dilation) = chain(walk, map, channels)?;
    walk.expect_same(input, g)?;
    let expanded = walk.gelu(g)?;
    let (input, expand) = walk.dense_pointwise(expanded, [channels; 2])?;
    walk.expect_same(input, x)?;

    let Slice { widen, local, narrow } = feed_forward;
    Ok((x, BlockParameters { expand, depthwise, mix, project: None, dilation, widen, local, narrow }))
}

/// Takes the sum of a value and projections, from the last to the first; returns the value, and the
/// projections from the first on.
fn residual<'g>(walk: &mut Walk<'g>, sum: &str) -> Result<(&'g str, Vec<&'g str>), Unrecognized> {
    let mut projections = Vec::new();
    let (mut at, mut x) = (sum, None);
    loop {
        let is_sum = walk
            .node(at)
            .is_some_and(|node| node.op == Op::Add && node.inputs.iter().any(|operand| walk.is_projection(operand)));
        if let (Some(x), false) = (x, is_sum) {
            projections.reverse();
            return Ok((x, projections));
        }
        let [a, b] = walk.take_pair(at, &Op::Add)?;
        let (projection, rest) = if walk.is_projection(b) { (b, a) } else { (a, b) };
        projections.push(projection);
        (at, x) = (rest, Some(rest));
    }
}

/// Some channels of the wide middle: `narrow gelu(local(widen x))`.
struct Slice {
    widen: Dense,
    local: Weights,
    narrow: Dense,
}

/// Takes `W gelu(dw3x3(V x + a) + d) + b`, some channels of the wide middle; returns `x`.
fn slice<'g>(walk: &mut Walk<'g>, projection: &str, channels: usize) -> Result<(&'g str, Slice), Unrecognized> {
    let (activated, narrow) = walk.dense(projection, &Form { bias: Bias::Optional, ..Form::POINTWISE })?;
    let [_, wide, _, _] = narrow.shape();
    walk.check_shape(projection, narrow.shape(), [channels, wide])?;
    let middle = walk.gelu(activated)?;
    let (expanded, local) = walk.depthwise(middle, wide, [3; 2], 1)?;
    let (x, widen) = walk.dense_pointwise(expanded, [wide, channels])?;
    Ok((x, Slice { widen, local, narrow }))
}

/// Joins slices of the wide middle; `None` if more than one of them adds something to the result,
/// or if one of several is in integers, whose steps are its own.
fn merged(mut slices: Vec<Slice>) -> Option<Slice> {
    if slices.len() == 1 {
        return slices.pop();
    }
    let in_floats = |slice: Slice| match (slice.widen, slice.narrow) {
        (Dense::Floats { weights: widen, .. }, Dense::Floats { weights: narrow, .. }) => {
            Some([widen, slice.local, narrow])
        }
        _ => None,
    };
    let slices = slices.into_iter().map(in_floats).collect::<Option<Vec<[Weights; 3]>>>()?;
    let [rows, _, _, _] = slices.first()?[2][0].shape();
    let wide: Vec<usize> = slices.iter().map(|[widen, ..]| widen[0].shape()[0]).collect();
    let all = wide.iter().sum();
    let joined = |layer: usize| -> Weights {
        let values = |part: usize| slices.iter().flat_map(|slice| slice[layer][part].values()).copied().collect();
        let [_, columns, height, width] = slices[0][layer][0].shape();
        [Map::new(values(0), [all, columns, height, width]), Map::new(values(1), [1, all, 1, 1])]
    };
    let columns = |row: usize| {
        let slices = slices.iter().zip(&wide);
        slices.flat_map(move |(slice, wide)| &slice[2][0].values()[row * wide..(row + 1) * wide])
    };
    let project = (0..rows).flat_map(columns).copied().collect();
    let mut biases = slices.iter().map(|slice| &slice[2][1]).filter(|bias| bias.values().iter().any(|b| *b != 0.0));
    let bias = biases.next().unwrap_or(&slices[0][2][1]).clone();
    let narrow = [Map::new(project, [rows, all, 1, 1]), bias].into();
    biases.next().is_none().then(|| Slice { widen: joined(0).into(), local: joined(1), narrow })
}

/// Takes the sum of the attention's depthwise convolutions; returns their operand, their parameters
/// in the kernels' order, and the dilation of the atrous one.
fn chain<'g>(
    walk: &mut Walk<'g>,
    sum: &str,
    channels: usize,
) -> Result<(&'g str, [Weights; DEPTHWISE], usize), Unrecognized> {
    let mut at = sum;
    let mut ends = Vec::new();
    for _ in STRIPS {
        let [rest, strip] = walk.take_pair(at, &Op::Add)?;
        ends.push(strip);
        at = rest;
    }
    let [local, atrous] = walk.take_pair(at, &Op::Add)?;
    let dilation = match walk.node(atrous).map(|node| &node.op) {
        Some(Op::Conv(Conv { dilations: [dilation, _], .. })) if (1..=DILATION_MAX).contains(dilation) => *dilation,
        _ => return Err(walk.refuse(atrous, format!("a depthwise Conv of 3x3, dilation 1 to {DILATION_MAX}"))),
    };
    let (x, local_layer) = walk.depthwise(local, channels, [3; 2], 1)?;
    let (input, atrous_layer) = walk.depthwise(atrous, channels, [3; 2], dilation)?;
    walk.expect_same(input, local)?;
    let mut layers = vec![local_layer, atrous_layer];
    // The sum's operands come from the last strip to the first.
    for (length, end) in STRIPS.into_iter().zip(ends.into_iter().rev()) {
        let (middle, vertical) = walk.depthwise(end, channels, [length, 1], 1)?;
        let (input, horizontal) = walk.depthwise(middle, channels, [1, length], 1)?;
        walk.expect_same(input, atrous)?;
        layers.extend([horizontal, vertical]);
    }
    let mut layers = layers.into_iter();
    Ok((x, std::array::from_fn(|_| layers.next().expect("there are as many layers")), dilation))
}
