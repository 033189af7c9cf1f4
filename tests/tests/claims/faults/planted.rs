//! The planted faults, and the place that a proof must name for each.

use Fault::{Contract as InContract, File, Lowered, Pass as InPass, Runtime};
use ndarray::{Array4, ArrayView4, Axis, s};
use seg_contract::{ColorOrder, Contract, SizePolicy};
use seg_onnx::graph::{Coordinates, Graph, Op, PadMode};

use super::damage::{coordinates, node, op, saturate, shorten, swap_red, transpose, weights, weights_of};

/// The width of the network, which is proven some fifty times.
pub(super) const WIDTH: usize = 4;

/// The step in which a fault is planted.
pub(super) enum Fault {
    /// The lowering: the reference has the fault too.
    Lowered(fn(&mut Graph)),
    /// The pass `clumsy`.
    Pass(fn(&mut Graph)),
    /// The writing of the graph into the file.
    File(fn(&mut Graph)),
    /// The writing of the contract into the file.
    Contract(fn(&mut Contract)),
    /// The library that runs the file: it changes the output for an input.
    Runtime(fn(ArrayView4<'_, f32>, &mut Array4<f32>)),
}

/// The faults: the defect, the place that must be named, and the change that causes it. A place is
/// a culprit and the beginning of its name.
pub(super) const FAULTS: &[(&str, &str, Fault)] = &[
    // Attributes and structure, as the network is lowered.
    ("corners not aligned", "lowering up3", Lowered(|g| *coordinates(g, "up3.upsample") = Coordinates::HalfPixel)),
    ("asymmetric corners", "lowering up1", Lowered(|g| *coordinates(g, "up1.upsample") = Coordinates::Asymmetric)),
    (
        "zeros at the border of the image",
        "lowering in_conv",
        Lowered(|g| *op(g, "in_conv.pad") = Op::Pad { mode: PadMode::Constant }),
    ),
    (
        "the border of the image repeated",
        "lowering in_conv",
        Lowered(|g| *op(g, "in_conv.pad") = Op::Pad { mode: PadMode::Edge }),
    ),
    (
        "no zeros beside the deep image, which shows at odd sizes",
        "lowering up2",
        Lowered(|g| *op(g, "up2.pad") = Op::Pad { mode: PadMode::Edge }),
    ),
    (
        "the epsilon of another framework",
        "lowering down2",
        Lowered(|g| *op(g, "down2.norm") = Op::BatchNormalization { epsilon: 1e-3 }),
    ),
    (
        "the epsilon of another framework, not folded",
        "lowering up4",
        Lowered(|g| *op(g, "up4.norm") = Op::BatchNormalization { epsilon: 1e-3 }),
    ),
    (
        "another dilation",
        "lowering down3",
        Lowered(|g| match op(g, "down3.amse.attention.ams.atrous") {
            Op::Conv(conv) => (conv.dilations, conv.pads) = ([2; 2], [2; 4]),
            other => panic!("{other:?}"),
        }),
    ),
    ("the deep image first", "lowering up2", Lowered(|g| node(g, "up2.joined").inputs.reverse())),
    ("a gate left out", "lowering up2", Lowered(|g| *op(g, "up2.rsc.spatial_sigmoid") = Op::Identity)),
    ("a gate with another curve", "lowering up3", Lowered(|g| *op(g, "up3.rsc.channel_sigmoid") = Op::Relu)),
    ("another activation", "lowering up1", Lowered(|g| *op(g, "up1.amse.ffn.gelu") = Op::Relu)),
    ("the difference of a residual", "lowering up4", Lowered(|g| *op(g, "up4.amse.sum") = Op::Sub)),
    // Weights.
    (
        "statistics of a fresh normalisation",
        "weights down4.2.bn1.running_mean",
        Lowered(|g| {
            weights(g, "down4.amse.norm1.running_mean", |mean| mean.fill(0.0));
            weights(g, "down4.amse.norm1.running_var", |variance| variance.fill(1.0));
        }),
    ),
    (
        "a transposed kernel",
        "weights down1.2.ffn.conv2.weight",
        Lowered(|g| weights(g, "down1.amse.ffn.local.weight", transpose)),
    ),
    (
        "a strip from right to left",
        "weights down3.2.attn.ams.conv2_1.weight",
        Lowered(|g| {
            weights(g, "down3.amse.attention.ams.strip_11.horizontal.weight", |weights| {
                weights.chunks_exact_mut(11).for_each(<[f32]>::reverse);
            });
        }),
    ),
    (
        "blue, green, red in the weights",
        "weights in_conv.0.weight",
        Lowered(|g| weights(g, "in_conv.conv.weight", swap_red)),
    ),
    (
        "classes the other way round in the weights",
        "weights out_conv.0.bias",
        Lowered(|g| {
            weights(g, "out_conv.weight", |weights| weights.rotate_left(WIDTH));
            weights(g, "out_conv.bias", <[f32]>::reverse);
        }),
    ),
    (
        "a bias left out",
        "weights down2.2.ffn.conv3.bias",
        Lowered(|g| weights(g, "down2.amse.ffn.project.bias", |bias| bias.fill(0.0))),
    ),
    (
        "the last bit of one weight",
        "weights up4.conv1x1.weight",
        Lowered(|g| weights(g, "up4.conv.weight", |weights| weights[0] = f32::from_bits(weights[0].to_bits() ^ 1))),
    ),
    (
        "weights in half precision",
        "weights up3.catt.conv1.weight",
        Lowered(|g| weights(g, "up3.rsc.reduce.weight", |weights| weights.iter_mut().for_each(shorten))),
    ),
    // Passes.
    (
        "a pass that forgets a bias",
        "pass clumsy",
        InPass(|g| weights_of(g, "down1.amse.ffn.project", 2, |bias| bias.fill(0.0))),
    ),
    ("a pass that transposes", "pass clumsy", InPass(|g| weights_of(g, "down2.amse.ffn.local", 1, transpose))),
    (
        "a pass that scales by channel",
        "pass clumsy",
        InPass(|g| weights_of(g, "up4.amse.ffn.expand", 1, |w| w[0] *= 1.01)),
    ),
    (
        "a pass that mistakes one padding for another",
        "pass clumsy",
        InPass(|g| *op(g, "in_conv.pad") = Op::Pad { mode: PadMode::Edge }),
    ),
    ("a pass that drops a residual", "pass clumsy", InPass(|g| *op(g, "down3.amse.sum") = Op::Sub)),
    ("a pass that keeps nothing beyond 65504", "pass clumsy", InPass(|g| saturate(g, "up4.rsc.sum"))),
    (
        "a pass that approximates",
        "pass clumsy",
        InPass(|g| weights_of(g, "up1.amse.ffn.project", 1, |w| w.iter_mut().for_each(shorten))),
    ),
    // The file.
    ("another activation in the file", "file up4.amse.gelu", File(|g| *op(g, "up4.amse.gelu") = Op::Relu)),
    (
        "another gate in the file",
        "file up1.rsc.spatial_sigmoid",
        File(|g| *op(g, "up1.rsc.spatial_sigmoid") = Op::Relu),
    ),
    (
        "corners not aligned in the file",
        "file up2.conv.part_2.enlarged",
        File(|g| *coordinates(g, "up2.conv.part_2.enlarged") = Coordinates::HalfPixel),
    ),
    (
        "zeros at the border in the file",
        "file in_conv.pad",
        File(|g| *op(g, "in_conv.pad") = Op::Pad { mode: PadMode::Constant }),
    ),
    (
        "a padding that shows at odd sizes only",
        "file up4.conv.part_2",
        File(|g| *op(g, "up4.conv.part_2") = Op::Pad { mode: PadMode::Edge }),
    ),
    (
        "another operand in the file",
        "file up1.rsc.sum",
        File(|g| node(g, "up1.rsc.sum").inputs[0] = "up1.rsc.product.once".into()),
    ),
    (
        "one weight off by a thousandth in the file",
        "file up3.amse.ffn.project",
        File(|g| weights_of(g, "up3.amse.ffn.project", 1, |weights| weights[0] += 1e-2)),
    ),
    (
        "the last bit of one weight in the file",
        "file up2.amse.ffn.project",
        File(|g| weights_of(g, "up2.amse.ffn.project", 1, |w| w[0] = f32::from_bits(w[0].to_bits() ^ 1))),
    ),
    (
        "a transposed kernel in the file",
        "file down4.amse.ffn.local",
        File(|g| weights_of(g, "down4.amse.ffn.local", 1, transpose)),
    ),
    (
        "a bias left out in the file",
        "file down1.amse.ffn.expand",
        File(|g| weights_of(g, "down1.amse.ffn.expand", 2, |bias| bias.fill(0.0))),
    ),
    ("nothing beyond 65504 in the file", "file up4.rsc.sum", File(|g| saturate(g, "up4.rsc.sum"))),
    ("red and blue in the file's weights", "file in_conv.norm", File(|g| weights_of(g, "in_conv.norm", 1, swap_red))),
    (
        "classes the other way round in the file's weights",
        "file logits",
        File(|g| {
            weights_of(g, "logits", 1, |weights| weights.rotate_left(WIDTH));
            weights_of(g, "logits", 2, <[f32]>::reverse);
        }),
    ),
    // The file's description of itself.
    ("another mean", "contract input.mean", InContract(|c| c.input.mean[1] += 0.01)),
    ("another deviation", "contract input.std", InContract(|c| c.input.std[2] *= 1.01)),
    ("the mean's channels the other way round", "contract input.mean", InContract(|c| c.input.mean.reverse())),
    ("another order of colours", "contract input.color", InContract(|c| c.input.color = ColorOrder::Bgr)),
    (
        "another size",
        "contract input.size",
        InContract(|c| c.input.size = SizePolicy::Resize { height: 64, width: 64 }),
    ),
    ("another smallest side", "contract input.side_min", InContract(|c| c.input.side_min = 8)),
    ("classes the other way round", "contract classes", InContract(|c| c.classes.reverse())),
    ("a class by another name", "contract classes", InContract(|c| c.classes[1].name.push('s'))),
    (
        "the hash of other weights",
        "contract provenance.weights_sha256",
        InContract(|c| c.provenance.weights_sha256.clear()),
    ),
    // The library that runs the file.
    (
        "images exchanged within a batch",
        "runtime in batches",
        Runtime(|_, y| {
            let last = y.len_of(Axis(0)) - 1;
            let (first, end) = (y.slice(s![..1, .., .., ..]).to_owned(), y.slice(s![last.., .., .., ..]).to_owned());
            y.slice_mut(s![..1, .., .., ..]).assign(&end);
            y.slice_mut(s![last.., .., .., ..]).assign(&first);
        }),
    ),
    (
        "the first image's answer for all",
        "runtime in batches",
        Runtime(|_, y| {
            let first = y.slice(s![..1, .., .., ..]).to_owned();
            let size = y.dim();
            y.assign(&first.broadcast(size).unwrap());
        }),
    ),
    (
        "the last column of an odd width",
        "runtime where a side is odd",
        Runtime(|_, y| {
            let width = y.len_of(Axis(3));
            if width % 2 == 1 {
                y.slice_mut(s![.., .., .., width - 1]).fill(0.0);
            }
        }),
    ),
    ("one answer that is no number", "runtime", Runtime(|_, y| y[[0, 0, 3, 4]] = f32::NAN)),
    ("half precision", "runtime", Runtime(|_, y| y.iter_mut().for_each(shorten))),
    ("the classes' channels exchanged", "runtime", Runtime(|_, y| y.invert_axis(Axis(1)))),
    ("the image upside down", "runtime", Runtime(|_, y| y.invert_axis(Axis(2)))),
    ("a thousandth too much", "runtime", Runtime(|_, y| *y += 1e-3)),
];
