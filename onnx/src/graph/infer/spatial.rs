//! Operators that change the size of an image.

use super::{Content, Fact, Mismatch, float, image, property, require, signed};
use crate::graph::{AveragePool, Conv, Dim, MaxPool, PadMode, ResizeBy, TensorType};

pub(super) fn conv(conv: &Conv, x: &Fact, weight: &Fact, bias: Option<&Fact>) -> Result<Fact, Mismatch> {
    let [batch, channels, height, width] = image(x)?;
    let [out_channels, in_channels, kernel_height, kernel_width] = image(weight)?;
    let data_type = x.tensor_type.data_type;
    require("the type of the weight", &data_type, &weight.tensor_type.data_type)?;
    let group = Dim::try_from(conv.group)?;
    let fits_group = match (out_channels.as_constant(), group.as_constant()) {
        (Some(out_channels), Some(group)) => group > 0 && out_channels % group == 0,
        _ => false,
    };
    if !fits_group {
        return Err(property("the number of output channels", format!("a multiple of {group} groups"), out_channels));
    }
    require("the number of input channels", &in_channels.scale(signed(conv.group)?)?, channels)?;
    if let Some(bias) = bias {
        require("the bias", &TensorType::new(data_type, [out_channels.clone()]), &bias.tensor_type)?;
    }
    let [top, left, bottom, right] = conv.pads;
    let height = convolved(height, kernel_height, conv.strides[0], conv.dilations[0], [top, bottom])?;
    let width = convolved(width, kernel_width, conv.strides[1], conv.dilations[1], [left, right])?;
    Ok(Fact::from_type(TensorType::new(data_type, [batch.clone(), out_channels.clone(), height, width])))
}

/// Infers `stride * (size - 1) + kernel`.
pub(super) fn conv_transpose(
    strides: [usize; 2],
    x: &Fact,
    weight: &Fact,
    bias: Option<&Fact>,
) -> Result<Fact, Mismatch> {
    let [batch, channels, height, width] = image(x)?;
    let [in_channels, out_channels, kernel_height, kernel_width] = image(weight)?;
    let data_type = x.tensor_type.data_type;
    require("the type of the weight", &data_type, &weight.tensor_type.data_type)?;
    require("the number of input channels", in_channels, channels)?;
    if let Some(bias) = bias {
        require("the bias", &TensorType::new(data_type, [out_channels.clone()]), &bias.tensor_type)?;
    }
    let spread = |size: &Dim, kernel: &Dim, stride: usize| match kernel.as_constant() {
        _ if stride == 0 => Err(property("the stride", "positive", stride)),
        Some(1..) => Ok(size.sub(&Dim::from(1))?.scale(signed(stride)?)?.add(kernel)?),
        _ => Err(property("the kernel", "a positive constant", kernel)),
    };
    let shape = [
        batch.clone(),
        out_channels.clone(),
        spread(height, kernel_height, strides[0])?,
        spread(width, kernel_width, strides[1])?,
    ];
    Ok(Fact::from_type(TensorType::new(data_type, shape)))
}

/// Infers a maximum pooling. No kernel may lie in the padding as a whole.
pub(super) fn max_pool(pool: &MaxPool, x: &Fact) -> Result<Fact, Mismatch> {
    let [batch, channels, height, width] = image(x)?;
    let MaxPool { kernel, strides, pads } = pool;
    for (side, pad) in pads.iter().enumerate() {
        let kernel = kernel[side % 2];
        if *pad >= kernel {
            return Err(property("a pad", format!("less than the kernel's size {kernel}"), pad));
        }
    }
    let [height_kernel, width_kernel] = [Dim::try_from(kernel[0])?, Dim::try_from(kernel[1])?];
    let [top, left, bottom, right] = *pads;
    let height = convolved(height, &height_kernel, strides[0], 1, [top, bottom])?;
    let width = convolved(width, &width_kernel, strides[1], 1, [left, right])?;
    Ok(Fact::from_type(TensorType::new(x.tensor_type.data_type, [batch.clone(), channels.clone(), height, width])))
}

/// Infers an average pooling, whose sizes are those of a maximum pooling without padding.
pub(super) fn average_pool(AveragePool { kernel, strides }: &AveragePool, x: &Fact) -> Result<Fact, Mismatch> {
    max_pool(&MaxPool { kernel: *kernel, strides: *strides, pads: [0; 4] }, x)
}

/// Infers `floor((size + pads - dilation * (kernel - 1) - 1) / stride) + 1`.
fn convolved(size: &Dim, kernel: &Dim, stride: usize, dilation: usize, pads: [usize; 2]) -> Result<Dim, Mismatch> {
    let one = Dim::from(1);
    let kernel = match kernel.as_constant() {
        Some(kernel) if kernel > 0 => Dim::from(kernel),
        _ => return Err(property("the kernel", "a positive constant", kernel)),
    };
    for (what, value) in [("the stride", stride), ("the dilation", dilation)] {
        if value == 0 {
            return Err(property(what, "positive", value));
        }
    }
    let reach = kernel.sub(&one)?.scale(signed(dilation)?)?.add(&one)?;
    let padded = size.add(&Dim::try_from(pads[0])?)?.add(&Dim::try_from(pads[1])?)?;
    let result = padded.sub(&reach)?.floor_div(signed(stride)?)?.add(&one)?;
    match result.as_constant() {
        Some(size) if size < 1 => Err(property("the padded size", format!("at least {reach}"), padded)),
        _ => Ok(result),
    }
}

pub(super) fn pad(mode: PadMode, x: &Fact, pads: &Fact) -> Result<Fact, Mismatch> {
    let rank = x.tensor_type.rank();
    let (before, after) = pads.integers("the pads", 2 * rank)?.split_at(rank);
    let mut shape = Vec::with_capacity(rank);
    for ((size, before), after) in x.shape().iter().zip(before).zip(after) {
        for pad in [before, after] {
            let (Some(pad), Some(size)) = (pad.as_constant(), size.as_constant()) else { continue };
            if pad < 0 {
                return Err(property("a pad", "positive or 0", pad));
            }
            if mode == PadMode::Reflect && pad >= size.max(1) {
                return Err(property("a mirrored pad", format!("less than the size {size}"), pad));
            }
        }
        shape.push(size.add(before)?.add(after)?);
    }
    Ok(Fact::from_type(TensorType::new(x.tensor_type.data_type, shape)))
}

pub(super) fn resize(by: ResizeBy, x: &Fact, size: &Fact) -> Result<Fact, Mismatch> {
    float(x)?;
    let rank = x.tensor_type.rank();
    let shape = match (by, &size.content) {
        (ResizeBy::Sizes, _) => size.integers("the sizes", rank)?.to_vec(),
        (ResizeBy::Scales, Content::Floats(scales)) if scales.len() == rank => {
            x.shape().iter().zip(scales).map(|(size, &scale)| scaled(size, scale)).collect::<Result<_, _>>()?
        }
        (ResizeBy::Scales, _) => {
            return Err(property("the scales", format!("{rank} known floats"), &size.tensor_type));
        }
    };
    Ok(Fact::from_type(TensorType::new(x.tensor_type.data_type, shape)))
}

/// Infers `floor(size * scale)` if the scale or its inverse is an integer.
fn scaled(size: &Dim, scale: f32) -> Result<Dim, Mismatch> {
    /// The largest integer up to which 32-bit floats are exact.
    const SCALE_MAX: f32 = 16_777_216.0;
    let whole = |value: f32| (value.fract() == 0.0 && (1.0..=SCALE_MAX).contains(&value)).then_some(value as i64);
    if let Some(factor) = whole(scale) {
        Ok(size.scale(factor)?)
    } else if let Some(divisor) = whole(scale.recip()) {
        Ok(size.floor_div(divisor)?)
    } else {
        Err(property("a scale", "an integer or the inverse of one", scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::infer::tests::{assert_rows, f32_fact, floats, integers};
    use crate::graph::{Coordinates, Op, ResizeMode};

    #[test]
    fn a_convolution_has_an_exact_size_or_is_refused() {
        let x = || f32_fact(["batch", "4", "height", "width"]);
        let with = |weight: [&str; 4]| vec![x(), f32_fact(weight)];
        let conv = |conv| Op::Conv(conv);
        let default = Conv::default;
        assert_rows(&[
            ("1x1", conv(default()), with(["6", "4", "1", "1"]), "f32[batch, 6, height, width]"),
            (
                "halves and rounds down",
                conv(Conv { strides: [2, 2], ..default() }),
                with(["6", "4", "2", "2"]),
                "f32[batch, 6, floor(height/2), floor(width/2)]",
            ),
            (
                "axes are not swapped",
                conv(Conv { strides: [1, 3], pads: [1, 2, 3, 4], dilations: [2, 1], group: 2 }),
                with(["6", "2", "5", "3"]),
                "f32[batch, 6, height - 4, floor(width/3) + 2]",
            ),
            (
                "kernel larger than the image",
                conv(default()),
                vec![f32_fact(["batch", "4", "2", "2"]), f32_fact(["6", "4", "3", "3"])],
                "the padded size must be at least 3, found 2",
            ),
            (
                "channels",
                conv(default()),
                with(["6", "3", "1", "1"]),
                "the number of input channels must be 3, found 4",
            ),
            (
                "groups",
                conv(Conv { group: 4, ..default() }),
                with(["6", "1", "1", "1"]),
                "the number of output channels must be a multiple of 4 groups, found 6",
            ),
            (
                "no groups",
                conv(Conv { group: 0, ..default() }),
                with(["6", "4", "1", "1"]),
                "the number of output channels must be a multiple of 0 groups, found 6",
            ),
            (
                "no stride",
                conv(Conv { strides: [1, 0], ..default() }),
                with(["6", "4", "1", "1"]),
                "the stride must be positive, found 0",
            ),
            (
                "bias",
                conv(default()),
                [with(["6", "4", "1", "1"]), vec![f32_fact(["4"])]].concat(),
                "the bias must be f32[6], found f32[4]",
            ),
            ("operands", conv(default()), vec![x()], "the number of operands must be 2 or 3, found 1"),
            (
                "rank",
                conv(default()),
                vec![f32_fact(["4", "height"]), f32_fact(["6", "4", "1", "1"])],
                "the operand must be of floats and rank 4, found f32[4, height]",
            ),
            (
                "unlimited dilation",
                conv(Conv { dilations: [usize::MAX, 1], ..default() }),
                with(["6", "4", "3", "3"]),
                "a dimension leaves the range of 64-bit integers",
            ),
        ]);
    }

    #[test]
    fn a_transposed_convolution_has_an_exact_size_or_is_refused() {
        let transpose = |strides| Op::ConvTranspose { strides };
        let x = || f32_fact(["batch", "4", "floor(height/2)", "width"]);
        let with = |weight: [&str; 4]| vec![x(), f32_fact(weight)];
        assert_rows(&[
            ("doubles", transpose([2, 2]), with(["4", "6", "2", "2"]), "f32[batch, 6, 2*floor(height/2), 2*width]"),
            (
                "axes are not swapped",
                transpose([1, 3]),
                with(["4", "6", "5", "2"]),
                "f32[batch, 6, floor(height/2) + 4, 3*width - 1]",
            ),
            (
                "channels",
                transpose([2, 2]),
                with(["6", "4", "2", "2"]),
                "the number of input channels must be 6, found 4",
            ),
            ("no stride", transpose([2, 0]), with(["4", "6", "2", "2"]), "the stride must be positive, found 0"),
            (
                "no kernel",
                transpose([2, 2]),
                with(["4", "6", "0", "2"]),
                "the kernel must be a positive constant, found 0",
            ),
            (
                "bias",
                transpose([2, 2]),
                [with(["4", "6", "2", "2"]), vec![f32_fact(["4"])]].concat(),
                "the bias must be f32[6], found f32[4]",
            ),
            ("operands", transpose([2, 2]), vec![x()], "the number of operands must be 2 or 3, found 1"),
        ]);
    }

    #[test]
    fn pooling_has_an_exact_size_or_is_refused() {
        let pool = |kernel, strides, pads| Op::MaxPool(MaxPool { kernel, strides, pads });
        let x = || vec![f32_fact(["batch", "4", "height", "width"])];
        assert_rows(&[
            (
                "halves and rounds down",
                pool([2, 2], [2, 2], [0; 4]),
                x(),
                "f32[batch, 4, floor(height/2), floor(width/2)]",
            ),
            (
                "halves again",
                pool([2, 2], [2, 2], [0; 4]),
                vec![f32_fact(["batch", "4", "floor(height/2)", "floor(width/2)"])],
                "f32[batch, 4, floor(height/4), floor(width/4)]",
            ),
            ("keeps the size", pool([3, 3], [1, 1], [1; 4]), x(), "f32[batch, 4, height, width]"),
            (
                "axes are not swapped",
                pool([3, 5], [1, 3], [1, 2, 2, 4]),
                x(),
                "f32[batch, 4, height + 1, floor((width + 1)/3) + 1]",
            ),
            (
                "kernel larger than the image",
                pool([3, 3], [1, 1], [0; 4]),
                vec![f32_fact(["batch", "4", "2", "2"])],
                "the padded size must be at least 3, found 2",
            ),
            (
                "only padding at the bottom",
                pool([2, 3], [1, 1], [0, 0, 2, 0]),
                x(),
                "a pad must be less than the kernel's size 2, found 2",
            ),
            (
                "only padding at the left",
                pool([3, 2], [1, 1], [0, 2, 0, 0]),
                x(),
                "a pad must be less than the kernel's size 2, found 2",
            ),
            ("no stride", pool([2, 2], [2, 0], [0; 4]), x(), "the stride must be positive, found 0"),
            ("no kernel", pool([2, 0], [2, 2], [0; 4]), x(), "a pad must be less than the kernel's size 0, found 0"),
            (
                "unlimited kernel",
                pool([usize::MAX, 2], [2, 2], [0; 4]),
                x(),
                "a dimension leaves the range of 64-bit integers",
            ),
            (
                "rank",
                pool([2, 2], [2, 2], [0; 4]),
                vec![f32_fact(["4", "height"])],
                "the operand must be of floats and rank 4, found f32[4, height]",
            ),
            (
                "integers",
                pool([2, 2], [2, 2], [0; 4]),
                vec![integers(["1", "2"])],
                "the operand must be of floats and rank 4, found i64[2]",
            ),
        ]);
    }

    #[test]
    fn averages_have_the_sizes_of_maxima() {
        let pool = |kernel, strides| Op::AveragePool(AveragePool { kernel, strides });
        let x = || vec![f32_fact(["batch", "height", "12", "width"])];
        assert_rows(&[
            ("one row", pool([12, 1], [12, 1]), x(), "f32[batch, height, 1, width]"),
            ("axes are not swapped", pool([3, 2], [1, 2]), x(), "f32[batch, height, 10, floor(width/2)]"),
            ("larger than the image", pool([13, 1], [1, 1]), x(), "the padded size must be at least 13, found 12"),
        ]);
    }

    #[test]
    fn padding_by_computed_amounts_has_an_exact_size() {
        let constant = || Op::Pad { mode: PadMode::Constant };
        let reflect = || Op::Pad { mode: PadMode::Reflect };
        let x = || f32_fact(["batch", "4", "2*floor(height/2)", "5"]);
        assert_rows(&[
            (
                "computed",
                constant(),
                vec![x(), integers(["0", "0", "0", "0", "0", "0", "height - 2*floor(height/2)", "1"])],
                "f32[batch, 4, height, 6]",
            ),
            ("unknown", constant(), vec![x(), floats(&[0.0; 8])], "the pads must be 8 known integers, found f32[8]"),
            ("too few", constant(), vec![x(), integers(["0", "0"])], "the pads must be 8 known integers, found i64[2]"),
            (
                "negative",
                constant(),
                vec![x(), integers(["0", "0", "0", "-1", "0", "0", "0", "0"])],
                "a pad must be positive or 0, found -1",
            ),
            (
                "mirrors all but the border",
                reflect(),
                vec![x(), integers(["0", "0", "0", "4", "0", "0", "0", "0"])],
                "f32[batch, 4, 2*floor(height/2), 9]",
            ),
            (
                "mirrors more than there is",
                reflect(),
                vec![x(), integers(["0", "0", "0", "0", "0", "0", "0", "5"])],
                "a mirrored pad must be less than the size 5, found 5",
            ),
        ]);
    }

    #[test]
    fn resizing_has_an_exact_size_or_is_refused() {
        let resize = |by| Op::Resize { mode: ResizeMode::Linear, coordinates: Coordinates::HalfPixel, by };
        let x = || f32_fact(["batch", "4", "floor(height/2)", "width"]);
        assert_rows(&[
            (
                "twice",
                resize(ResizeBy::Scales),
                vec![x(), floats(&[1.0, 1.0, 2.0, 2.0])],
                "f32[batch, 4, 2*floor(height/2), 2*width]",
            ),
            (
                "half",
                resize(ResizeBy::Scales),
                vec![x(), floats(&[1.0, 1.0, 0.5, 0.5])],
                "f32[batch, 4, floor(height/4), floor(width/2)]",
            ),
            (
                "by a fraction",
                resize(ResizeBy::Scales),
                vec![x(), floats(&[1.0, 1.0, 1.5, 1.0])],
                "a scale must be an integer or the inverse of one, found 1.5",
            ),
            (
                "by nothing",
                resize(ResizeBy::Scales),
                vec![x(), floats(&[1.0, 1.0, f32::NAN, 0.0])],
                "a scale must be an integer or the inverse of one, found NaN",
            ),
            (
                "to a size",
                resize(ResizeBy::Sizes),
                vec![x(), integers(["batch", "4", "height", "7"])],
                "f32[batch, 4, height, 7]",
            ),
            (
                "by scales where sizes are due",
                resize(ResizeBy::Sizes),
                vec![x(), floats(&[1.0, 1.0, 2.0, 2.0])],
                "the sizes must be 4 known integers, found f32[4]",
            ),
        ]);
    }
}
