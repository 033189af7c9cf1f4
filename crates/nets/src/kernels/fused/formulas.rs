//! Each operator against its formula: written out in Burn's own operators, in 64 bits, and against
//! difference quotients.

use burn::tensor::activation::{relu, sigmoid, tanh};
use burn::tensor::module::{conv2d, interpolate, max_pool2d};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions, PadMode};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use seg_kernels::{
    Activation, Attention, Average, Concatenate, Convolution, Coordinates, Crop, Down, FeedForward, Gate, GroupNorm,
    Join, MaxPool, Mirror, Moments, NormActivation, NormPointwise, Phases, Pointwise, Upsample,
};

use super::moments_of_batch;
use super::operator::apply;

const EPSILON: f64 = 1e-5;

/// A function of one map.
type Formula = fn(Tensor<4>) -> Tensor<4>;

/// An input's values and shape.
type Input = (Vec<f64>, [usize; 4]);

fn values(tensor: Tensor<4>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Draws values of both signs. Burn's generator belongs to all tests of the process: with it, some
/// run would step over the kink of a ReLU.
fn draw(shape: [usize; 4], random: &mut ChaCha8Rng) -> Vec<f64> {
    (0..shape.iter().product()).map(|_| random.random_range(-1.5..1.9)).collect()
}

fn tensors(inputs: &[Input], dtype: DType, device: &Device) -> Vec<Tensor<4>> {
    let tensor = |(values, shape): &Input| Tensor::from_data(TensorData::new(values.clone(), *shape), (device, dtype));
    inputs.iter().map(tensor).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Fails unless values differ from the expected ones by at most `bound`.
fn assert_close(name: &str, found: &[f64], expected: &[f64], bound: f64) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(error <= bound, "{name}, value {index} is {found}, expected {expected}, bound {bound:e}");
    }
}

/// Fails unless value and gradients of an operator are those of its formula.
fn check<const N: usize>(
    name: &str,
    shapes: [[usize; 4]; N],
    operator: impl Fn([Tensor<4>; N]) -> Tensor<4>,
    formula: impl Fn(&[Tensor<4>]) -> Tensor<4>,
) {
    let (device, inner) = (Device::flex().autodiff(), Device::flex());
    let mut random = ChaCha8Rng::seed_from_u64(name.len() as u64);
    // As 32 bits hold them, so that both sides start from the same numbers.
    let inputs = shapes.map(|shape| (draw(shape, &mut random), shape));
    let [ours, exact] = [DType::F32, DType::F64]
        .map(|dtype| tensors(&inputs, dtype, &device).into_iter().map(Tensor::require_grad).collect::<Vec<_>>());
    let (y, expected) = (operator(std::array::from_fn(|index| ours[index].clone())), formula(&exact));
    assert_eq!(y.dims(), expected.dims(), "{name}");
    let along = draw(y.dims(), &mut random);
    let seed =
        |like: &Tensor<4>, dtype| Tensor::from_data(TensorData::new(along.clone(), like.dims()), (&device, dtype));
    let found = (y.clone() * seed(&y, DType::F32)).sum().backward();
    let wanted = (expected.clone() * seed(&expected, DType::F64)).sum().backward();

    let largest = |values: &[f64]| values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let expected = values(expected);
    assert_close(&format!("{name}: value"), &values(y), &expected, 1e-5 * largest(&expected));
    for index in 0..N {
        let gradient = values(ours[index].grad(&found).expect("every input has a gradient"));
        let exact = values(exact[index].grad(&wanted).expect("every input has a gradient"));
        // Sums over some thousand pixels, whose terms cancel.
        let bound = 5e-5 * largest(&exact).max(1e-2);
        assert_close(&format!("{name}: gradient of input {index}"), &gradient, &exact, bound);

        let direction = draw(inputs[index].1, &mut random);
        let at = |step: f64| {
            let mut moved = inputs.clone();
            for (value, way) in moved[index].0.iter_mut().zip(&direction) {
                *value += step * way;
            }
            dot(&values(formula(&tensors(&moved, DType::F64, &inner))), &along)
        };
        let quotient = (at(1e-6) - at(-1e-6)) / 2e-6;
        let slope = dot(&gradient, &direction);
        let bound = bound * direction.iter().map(|way| way.abs()).sum::<f64>() + 1e-5;
        assert!((slope - quotient).abs() <= bound, "{name}: along input {index}, slope {slope}, quotient {quotient}");
    }
}

fn norm(x: Tensor<4>, weight: &Tensor<4>, bias: &Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let mean = |x: Tensor<4>| x.swap_dims(0, 1).reshape([c, n * h * w]).mean_dim(1).reshape([1, c, 1, 1]);
    let centered = x.clone() - mean(x);
    let variance = mean(centered.clone().powi_scalar(2));
    centered / (variance + EPSILON).sqrt() * weight.clone() + bias.clone()
}

fn conv(x: Tensor<4>, weight: &Tensor<4>, bias: &Tensor<4>, stride: usize, dilation: usize) -> Tensor<4> {
    let [out, per_group, kh, kw] = weight.dims();
    let padding = [kh, kw].map(|side| if stride == 1 { dilation * (side - 1) / 2 } else { 0 });
    let groups = x.dims()[1] / per_group;
    let options = ConvOptions::new([stride; 2], padding, [dilation; 2], groups);
    conv2d(x, weight.clone(), Some(bias.clone().reshape([out])), options)
}

fn gelu(x: Tensor<4>) -> Tensor<4> {
    x.clone() * (x * std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0) * 0.5
}

/// Batches of maps: odd and even, wide and narrow, of one row, of one pixel row less than a strip
/// and more; and of more channels than a block holds.
const MAPS: [[usize; 4]; 6] =
    [[2, 4, 9, 13], [1, 6, 7, 21], [3, 12, 4, 3], [1, 4, 67, 71], [2, 2, 3, 16], [1, 36, 7, 10]];

#[test]
fn pointwise_operators_are_their_formulas() {
    for map @ [_, c, _, _] in MAPS {
        let vector = |count| [1, count, 1, 1];
        for rows in [1, 6, 8] {
            let name = format!("1x1 convolution of {map:?} to {rows}");
            check(
                &name,
                [map, [rows, c, 1, 1], vector(rows)],
                |inputs| apply(Pointwise, inputs),
                |p| conv(p[0].clone(), &p[1], &p[2], 1, 1),
            );
            check(
                &format!("normalised {name}"),
                [map, vector(c), vector(c), [rows, c, 1, 1], vector(rows)],
                |inputs| apply(NormPointwise { moments: moments_of_batch(&inputs[0]), epsilon: EPSILON }, inputs),
                |p| conv(norm(p[0].clone(), &p[1], &p[2]), &p[3], &p[4], 1, 1),
            );
        }
        for groups in (1..=c).filter(|groups| c % groups == 0) {
            check(
                &format!("{map:?} normalised in {groups} groups"),
                [map, vector(c), vector(c)],
                |inputs| apply(GroupNorm { groups, epsilon: EPSILON, activation: Activation::Relu }, inputs),
                |p| {
                    let [n, c, h, w] = p[0].dims();
                    let x = p[0].clone().reshape([n, groups, c / groups * h * w]);
                    let x = x.clone() - x.mean_dim(2);
                    let variance = x.clone().powi_scalar(2).mean_dim(2);
                    let x = (x / (variance + EPSILON).sqrt()).reshape([n, c, h, w]);
                    relu(x * p[1].clone() + p[2].clone())
                },
            );
        }
        let activations: [(Activation, Formula); 3] =
            [(Activation::Identity, |x| x), (Activation::Relu, relu), (Activation::Gelu, gelu)];
        for (activation, formula) in activations {
            check(
                &format!("{activation:?} of a normalised {map:?}"),
                [map, vector(c), vector(c)],
                |inputs| {
                    let moments = moments_of_batch(&inputs[0]);
                    apply(NormActivation { moments, epsilon: EPSILON, activation }, inputs)
                },
                |p| formula(norm(p[0].clone(), &p[1], &p[2])),
            );
            check(
                &format!("{activation:?} of a normalised {map:?} and a residual"),
                [map, vector(c), vector(c), map],
                |inputs| {
                    let moments = moments_of_batch(&inputs[0]);
                    apply(NormActivation { moments, epsilon: EPSILON, activation }, inputs)
                },
                |p| formula(norm(p[0].clone(), &p[1], &p[2]) + p[3].clone()),
            );
        }
    }
}

#[test]
fn dense_convolutions_are_their_formulas() {
    for (map @ [_, c, _, _], rows, kernel @ [kh, kw], padding) in [
        ([2, 3, 9, 13], 6, [3, 3], [1, 1]),
        ([1, 20, 7, 6], 37, [3, 3], [1, 1]),
        ([2, 5, 6, 8], 4, [3, 3], [0, 0]),
        ([1, 4, 5, 9], 18, [5, 3], [2, 0]),
        ([1, 4, 5, 5], 3, [2, 2], [1, 1]),
        ([2, 33, 3, 4], 5, [1, 1], [0, 0]),
    ] {
        check(
            &format!("convolution {kernel:?} of {map:?} to {rows}"),
            [map, [rows, c, kh, kw], [1, rows, 1, 1]],
            |inputs| apply(Convolution { padding }, inputs),
            |p| {
                let options = ConvOptions::new([1; 2], padding, [1; 2], 1);
                conv2d(p[0].clone(), p[1].clone(), Some(p[2].clone().reshape([rows])), options)
            },
        );
    }
}

/// Computes the attention of `[x, norm weight, norm bias, weight, bias, weight, bias, ...]`.
fn attention(p: &[Tensor<4>], dilation: usize) -> Tensor<4> {
    let layer = |x: Tensor<4>, index: usize, dilation| conv(x, &p[3 + 2 * index], &p[4 + 2 * index], 1, dilation);
    let g = gelu(layer(norm(p[0].clone(), &p[1], &p[2]), 0, 1));
    let a = layer(g.clone(), 1, 1);
    let t = layer(a.clone(), 2, dilation);
    let strips = [3, 5, 7].map(|index| layer(layer(t.clone(), index, 1), index + 1, 1));
    let sum = strips.into_iter().fold(a + t, |sum, strip| sum + strip);
    layer(layer(sum, 9, 1) * g, 10, 1)
}

#[test]
fn the_attention_is_its_formula() {
    for (map @ [_, c, _, _], dilation) in MAPS.into_iter().zip([1, 3, 5, 1, 2, 4]) {
        let depthwise = [[3, 3], [3, 3], [1, 5], [5, 1], [1, 7], [7, 1], [1, 11], [11, 1]];
        let mut shapes = vec![map, [1, c, 1, 1], [1, c, 1, 1], [c, c, 1, 1], [1, c, 1, 1]];
        for [kh, kw] in depthwise {
            shapes.extend([[c, 1, kh, kw], [1, c, 1, 1]]);
        }
        shapes.extend([[c, c, 1, 1], [1, c, 1, 1], [c, c, 1, 1], [1, c, 1, 1]]);
        let shapes = shapes.try_into().expect("as many as the operator has inputs");
        check(
            &format!("{map:?}, dilation {dilation}"),
            shapes,
            |inputs| apply(Attention { moments: moments_of_batch(&inputs[0]), epsilon: EPSILON, dilation }, inputs),
            |p| attention(p, dilation),
        );
    }
}

#[test]
fn the_feed_forward_half_is_its_formula() {
    for map @ [_, c, _, _] in MAPS {
        let vector = |count| [1, count, 1, 1];
        let wide = 4 * c;
        check(
            &format!("feed-forward of {map:?}"),
            [
                map,
                map,
                vector(c),
                vector(c),
                [wide, c, 1, 1],
                vector(wide),
                [wide, 1, 3, 3],
                vector(wide),
                [c, wide, 1, 1],
                vector(c),
            ],
            |inputs| apply(FeedForward { moments: moments_of_batch(&inputs[0]), epsilon: EPSILON }, inputs),
            |p| {
                let x = conv(norm(p[0].clone(), &p[2], &p[3]), &p[4], &p[5], 1, 1);
                gelu(conv(gelu(conv(x, &p[6], &p[7], 1, 1)), &p[8], &p[9], 1, 1) + p[1].clone())
            },
        );
    }
}

#[test]
fn the_ways_down_and_up_are_their_formulas() {
    for map @ [n, c, h, w] in MAPS {
        let vector = |count| [1, count, 1, 1];
        check(
            &format!("down from {map:?}"),
            [map, vector(c), vector(c), [6, c, 2, 2], vector(6)],
            |inputs| apply(Down { moments: moments_of_batch(&inputs[0]), epsilon: EPSILON }, inputs),
            |p| conv(norm(p[0].clone(), &p[1], &p[2]), &p[3], &p[4], 2, 1),
        );
        check(
            &format!("gate of {map:?}"),
            [map; 4],
            |inputs| apply(Gate, inputs),
            |p| sigmoid(p[0].clone()) * p[1].clone() + sigmoid(p[2].clone()) * tanh(p[3].clone()),
        );
        for reach in (1..=3).filter(|reach| h.min(w) > *reach) {
            check(
                &format!("{map:?} in a border of {reach}"),
                [map],
                |inputs| apply(Mirror { reach }, inputs),
                |p| p[0].clone().pad((reach, reach, reach, reach), PadMode::Reflect),
            );
            if h.min(w) > 2 * reach {
                check(
                    &format!("{map:?} without a border of {reach}"),
                    [map],
                    |inputs| apply(Crop { reach }, inputs),
                    |p| p[0].clone().narrow(2, reach, h - 2 * reach).narrow(3, reach, w - 2 * reach),
                );
            }
        }
        for padding @ [vertical, horizontal] in [[0, 0], [1, 1], [3, 2]] {
            let size = [(h + 2 * vertical).div_ceil(2), (w + 2 * horizontal).div_ceil(2)];
            check(
                &format!("phases of {map:?} in {padding:?} zeros"),
                [map],
                |inputs| apply(Phases { padding, size }, inputs),
                |p| {
                    let [below, right] = [2 * size[0] - h - vertical, 2 * size[1] - w - horizontal];
                    let x = p[0].clone().pad((horizontal, right, vertical, below), PadMode::Constant(0.0));
                    let x = x.reshape([n * c, size[0], 2, size[1], 2]).permute([0, 2, 4, 1, 3]);
                    x.reshape([n, 4 * c, size[0], size[1]])
                },
            );
        }
        check(
            &format!("{map:?} behind another"),
            [[n, 3, h, w], map],
            |inputs| apply(Concatenate, inputs),
            |p| Tensor::cat(p.to_vec(), 1),
        );
        if h > 1 {
            check(
                &format!("largest of {map:?}"),
                [map],
                |inputs| apply(MaxPool, inputs),
                |p| max_pool2d(p[0].clone(), MaxPoolOptions::new([2, 2])),
            );
        }
        check(
            &format!("average of {map:?}"),
            [map],
            |inputs| apply(Average, inputs),
            |p| p[0].clone().mean_dim(3).mean_dim(2),
        );
        for [rows, columns] in [[0, 0], [1, 0], [0, 1], [1, 1], [3, 2]] {
            let size = [2 * h + rows, 2 * w + columns];
            for (coordinates, aligned) in [(Coordinates::AlignedCorners, true), (Coordinates::HalfPixel, false)] {
                check(
                    &format!("{map:?} up to {size:?}, {coordinates:?}"),
                    [map],
                    |inputs| apply(Upsample { size, coordinates }, inputs),
                    |p| {
                        let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(aligned);
                        let y = interpolate(p[0].clone(), options.with_scale_factor([2.0, 2.0]));
                        let (top, left) = (rows / 2, columns / 2);
                        y.pad((left, columns - left, top, rows - top), PadMode::Constant(0.0))
                    },
                );
            }
        }
        check(
            &format!("join of {map:?}"),
            [map, [n, 6, h, w], vector(c), [n, c, 1, 1], [6, c, 1, 1], vector(6)],
            |inputs| apply(Join, inputs),
            |p| {
                let x = p[0].clone();
                let places = sigmoid((x.clone() * p[2].clone()).sum_dim(1));
                let weighed = x.clone() + x.clone() * x * places * p[3].clone();
                conv(weighed, &p[4], &p[5], 1, 1) + p[1].clone()
            },
        );
    }
}

#[test]
fn statistics_that_are_not_the_batchs_are_constants() {
    let moments = Moments { mean: vec![0.5, -1.0], variance: vec![2.0, 0.25], count: None };
    let (map, vector) = ([2, 2, 5, 6], [1, 2, 1, 1]);
    check(
        "running statistics",
        [map, vector, vector, [3, 2, 1, 1], [1, 3, 1, 1]],
        |inputs| apply(NormPointwise { moments: moments.clone(), epsilon: EPSILON }, inputs),
        |p| {
            let constants = [&moments.mean, &moments.variance].map(|values| (values.clone(), vector));
            let [mean, variance] = tensors(&constants, DType::F64, &p[0].device()).try_into().expect("two inputs");
            let x = (p[0].clone() - mean) / (variance + EPSILON).sqrt() * p[1].clone() + p[2].clone();
            conv(x, &p[3], &p[4], 1, 1)
        },
    );
}
