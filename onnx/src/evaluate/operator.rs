//! The result of each operator, by its definition.

use ndarray::{ArrayD, Axis, IxDyn};

use super::array::{self, Array};
use super::{axis, conv, conv_transpose, elementwise, matrix, norm, pad, pool, quantize, resize};
use crate::graph::{DataType, Op, ResizeBy};

/// The reason why an operator is undefined for its operands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// Operands of this kind are not defined.
    #[error("the operands are not {0}")]
    Operands(&'static str),
    /// The kernel is larger than the padded image.
    #[error("a kernel that reaches over {reach} pixels does not fit {padded}")]
    Kernel {
        /// The distance from the first tap to the last, in pixels.
        reach: usize,
        /// The size of the axis with padding, in pixels.
        padded: usize,
    },
    /// A padding is negative, or mirrors more pixels than exist.
    #[error("an axis of {size} cannot be padded by {pads:?}")]
    Pads {
        /// The size of the axis.
        size: usize,
        /// The padding before and after.
        pads: [i64; 2],
    },
}

/// Computes the operator's result; `data_type` is the type that the graph records for it.
pub(super) fn compute(op: &Op, operands: &[&Array], data_type: DataType) -> Result<Array, OpError> {
    use Array::{F64, I64};
    match (op, operands) {
        (Op::Conv(conv), [F64(x), F64(weight)]) => Ok(F64(conv::convolve(conv, x, weight, None)?)),
        (Op::Conv(conv), [F64(x), F64(weight), F64(bias)]) => Ok(F64(conv::convolve(conv, x, weight, Some(bias))?)),
        (Op::ConvTranspose { strides }, [F64(x), F64(weight), bias @ ..]) => match bias {
            [] => Ok(F64(conv_transpose::spread(*strides, x, weight, None)?)),
            [F64(bias)] => Ok(F64(conv_transpose::spread(*strides, x, weight, Some(bias))?)),
            _ => Err(OpError::Operands("of a number and type that the operator is evaluated for")),
        },
        (Op::BatchNormalization { epsilon }, [F64(x), F64(scale), F64(shift), F64(mean), F64(variance)]) => {
            let mut y = x.clone();
            for (channel, mut values) in y.axis_iter_mut(Axis(1)).enumerate() {
                let deviation = (variance[channel] + f64::from(*epsilon)).sqrt();
                values.mapv_inplace(|x| (x - mean[channel]) / deviation * scale[channel] + shift[channel]);
            }
            Ok(F64(y))
        }
        (Op::Gelu, [F64(x)]) => Ok(F64(elementwise::map(x, elementwise::gelu))),
        (Op::Erf, [F64(x)]) => Ok(F64(elementwise::map(x, elementwise::erf))),
        (Op::Sigmoid, [F64(x)]) => Ok(F64(elementwise::map(x, elementwise::sigmoid))),
        (Op::Relu, [F64(x)]) => Ok(F64(x.mapv(elementwise::relu))),
        (Op::Tanh, [F64(x)]) => Ok(F64(elementwise::map(x, f64::tanh))),
        (Op::Add, [F64(a), F64(b)]) => Ok(F64(elementwise::combine(a, b, |a, b| a + b)?)),
        (Op::Sub, [F64(a), F64(b)]) => Ok(F64(elementwise::combine(a, b, |a, b| a - b)?)),
        (Op::Mul, [F64(a), F64(b)]) => Ok(F64(elementwise::combine(a, b, |a, b| a * b)?)),
        (Op::Div, [F64(a), F64(b)]) => Ok(F64(elementwise::combine(a, b, |a, b| a / b)?)),
        (Op::Add, [I64(a), I64(b)]) => Ok(I64(elementwise::combine(a, b, i64::wrapping_add)?)),
        (Op::Sub, [I64(a), I64(b)]) => Ok(I64(elementwise::combine(a, b, i64::wrapping_sub)?)),
        (Op::Mul, [I64(a), I64(b)]) => Ok(I64(elementwise::combine(a, b, i64::wrapping_mul)?)),
        (Op::Concat { axis }, operands) => array::concat(*axis, operands),
        (Op::MaxPool(pool), [F64(x)]) => Ok(F64(pool::max_pool(pool, x)?)),
        (Op::AveragePool(pool), [F64(x)]) => Ok(F64(pool::average_pool(pool, x)?)),
        (Op::GlobalMaxPool, [F64(x)]) => Ok(F64(pool::global_max_pool(x)?)),
        (Op::GlobalAveragePool, [F64(x)]) => {
            let mean = |x: &ArrayD<f64>, axis| x.mean_axis(Axis(axis)).map(|mean| mean.insert_axis(Axis(axis)));
            let pooled = mean(x, 3).and_then(|rows| mean(&rows, 2));
            Ok(F64(pooled.ok_or(OpError::Operands("images with pixels"))?))
        }
        (Op::Pad { mode }, [F64(x), I64(pads)]) => Ok(F64(pad::pad(*mode, x, pads)?)),
        (Op::Pad { mode }, [I64(x), I64(pads)]) => Ok(I64(pad::pad(*mode, x, pads)?)),
        (Op::Resize { mode, coordinates, by: ResizeBy::Scales }, [F64(x), F64(scales)]) => {
            let axes = resize::axes_by_scales(x.shape(), scales);
            Ok(F64(resize::resize(*mode, *coordinates, x, &axes)))
        }
        (Op::Resize { mode, coordinates, by: ResizeBy::Sizes }, [F64(x), I64(sizes)]) => {
            let axes = resize::axes_by_sizes(x.shape(), sizes)?;
            Ok(F64(resize::resize(*mode, *coordinates, x, &axes)))
        }
        (Op::Shape { start, end }, [x]) => {
            let sizes: Vec<i64> = x.shape().iter().map(|&size| size as i64).take(*end).skip(*start).collect();
            Ok(I64(ArrayD::from_shape_fn(IxDyn(&[sizes.len()]), |index| sizes[index[0]])))
        }
        (Op::Cast { to }, [x]) => Ok((*x).clone().cast(*to)),
        (Op::Transpose { perm }, [F64(x)]) => Ok(F64(x.clone().permuted_axes(IxDyn(perm)))),
        (Op::Transpose { perm }, [I64(x)]) => Ok(I64(x.clone().permuted_axes(IxDyn(perm)))),
        (Op::Slice, [F64(x), I64(starts), I64(ends), I64(axes)]) => {
            let mut sliced = x.clone();
            for ((&axis, &start), &end) in axes.iter().zip(starts).zip(ends) {
                sliced.slice_axis_inplace(Axis(axis as usize), (start as isize..end as isize).into());
            }
            Ok(F64(sliced))
        }
        (Op::Squeeze, [F64(x), I64(axes)]) => Ok(F64(axis::squeeze(x, axes))),
        (Op::Squeeze, [I64(x), I64(axes)]) => Ok(I64(axis::squeeze(x, axes))),
        (Op::ReduceMean, [F64(x), I64(axes)]) => Ok(F64(axis::mean(x, axes))),
        (Op::ReduceSum, [F64(x), I64(axes)]) => Ok(F64(axis::sum(x, axes))),
        (Op::LayerNormalization { axis, epsilon }, [F64(x), F64(scale), F64(shift)]) => {
            Ok(F64(norm::layer(*axis, f64::from(*epsilon), x, scale, shift)))
        }
        (Op::InstanceNormalization { epsilon }, [F64(x), F64(scale), F64(shift)]) => {
            Ok(F64(norm::instance(f64::from(*epsilon), x, scale, shift)))
        }
        (Op::MatMul, [F64(a), F64(b)]) => Ok(F64(matrix::product(a, b)?)),
        (Op::Reshape, [F64(x), I64(shape)]) => Ok(F64(axis::reshape(x, shape)?)),
        (Op::Reshape, [I64(x), I64(shape)]) => Ok(I64(axis::reshape(x, shape)?)),
        (Op::Softmax { axis }, [F64(x)]) => Ok(F64(axis::softmax(*axis, x))),
        (Op::ArgMax { axis }, [F64(x)]) => Ok(I64(axis::arg_max(*axis, x))),
        (Op::Greater, [F64(a), F64(b)]) => Ok(I64(elementwise::combine(a, b, |a, b| a > b)?.mapv(i64::from))),
        (Op::Greater, [I64(a), I64(b)]) => Ok(I64(elementwise::combine(a, b, |a, b| a > b)?.mapv(i64::from))),
        (Op::QuantizeLinear { axis }, [F64(x), F64(scale), I64(zero)]) => {
            Ok(I64(quantize::quantize(*axis, x, scale, zero, data_type)?))
        }
        (Op::DequantizeLinear { axis }, [I64(x), F64(scale), I64(zero)]) => {
            Ok(F64(quantize::dequantize(*axis, x, scale, zero)?))
        }
        (Op::Identity, [x]) => Ok((*x).clone()),
        _ => Err(OpError::Operands("of a number and type that the operator is evaluated for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{EvaluateError, evaluate};
    use crate::graph::{
        AveragePool, BatchNorm, Conv, Coordinates, Data, Dim, GraphBuilder, MaxPool, PadMode, ResizeMode, Scope,
        Tensor, Value,
    };

    /// Evaluates `node` on the image `[1, channels, height, width]`.
    fn run(
        image: ArrayD<f64>,
        node: impl FnOnce(&mut Scope<'_>, Value) -> Value,
    ) -> Result<ArrayD<f64>, EvaluateError> {
        let channels = Dim::try_from(image.shape()[1]).unwrap();
        let mut builder = GraphBuilder::new("operator");
        let x = builder.input("x", [Dim::batch(), channels, Dim::height(), Dim::width()]).unwrap();
        let y = node(&mut builder.root(), x);
        let graph = builder.finish(&[("y", y)]).unwrap();
        evaluate(&graph, &[("x", image)], &["y"]).map(|mut values| match values.remove("y") {
            Some(Array::F64(values)) => values,
            other => panic!("expected floats, found {other:?}"),
        })
    }

    fn array(shape: [usize; 4], values: &[f64]) -> ArrayD<f64> {
        ArrayD::from_shape_vec(IxDyn(&shape), values.to_vec()).unwrap()
    }

    #[test]
    fn convolutions_follow_their_definition() {
        let image = || array([1, 1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let kernel = || Tensor::new([1, 1, 1, 2], vec![1.0, 10.0]).unwrap();
        for (name, conv, expected) in [
            ("plain", Conv::default(), array([1, 1, 2, 2], &[21.5, 32.5, 54.5, 65.5])),
            ("stride", Conv { strides: [2, 1], ..Conv::default() }, array([1, 1, 1, 2], &[21.5, 32.5])),
            ("dilation", Conv { dilations: [1, 2], ..Conv::default() }, array([1, 1, 2, 1], &[31.5, 64.5])),
            (
                "padding at the left and the bottom",
                Conv { pads: [0, 1, 1, 0], ..Conv::default() },
                array([1, 1, 3, 3], &[10.5, 21.5, 32.5, 40.5, 54.5, 65.5, 0.5, 0.5, 0.5]),
            ),
        ] {
            let y =
                run(image(), |root, x| root.conv("conv", x, kernel(), Some(Tensor::vector(vec![0.5])), conv).unwrap());
            assert_eq!(y.unwrap(), expected, "{name}");
        }
        let groups = Conv { group: 2, ..Conv::default() };
        let weight = Tensor::new([2, 1, 1, 1], vec![2.0, 3.0]).unwrap();
        let y = run(array([1, 2, 1, 1], &[10.0, 100.0]), |root, x| root.conv("conv", x, weight, None, groups).unwrap());
        assert_eq!(y.unwrap(), array([1, 2, 1, 1], &[20.0, 300.0]), "groups");
    }

    #[test]
    fn transposed_convolutions_follow_their_definition() {
        let image = || array([1, 2, 1, 2], &[1.0, 2.0, 10.0, 20.0]);
        // The first channel spreads 1, 2 to the right, the second 3, 4.
        let kernel = || Tensor::new([2, 1, 1, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        for (name, strides, bias, expected) in [
            ("apart", [1, 2], None, array([1, 1, 1, 4], &[31.0, 42.0, 62.0, 84.0])),
            ("a bias", [1, 2], Some(0.5), array([1, 1, 1, 4], &[31.5, 42.5, 62.5, 84.5])),
            ("overlapping", [1, 1], None, array([1, 1, 1, 3], &[31.0, 42.0 + 62.0, 84.0])),
            ("gaps", [1, 3], Some(1.0), array([1, 1, 1, 5], &[32.0, 43.0, 1.0, 63.0, 85.0])),
        ] {
            let bias = bias.map(|bias| Tensor::vector(vec![bias]));
            let y = run(image(), |root, x| root.conv_transpose("up", x, kernel(), bias, strides).unwrap());
            assert_eq!(y.unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn means_and_global_maxima_follow_their_definitions() {
        let image = || array([1, 2, 2, 3], &[1.0, 2.0, 3.0, 5.0, 6.0, 7.0, -1.0, -2.0, -3.0, -5.0, -6.0, -7.0]);
        for (name, kernel, strides, expected) in [
            ("columns", [2, 1], [2, 1], array([1, 2, 1, 3], &[3.0, 4.0, 5.0, -3.0, -4.0, -5.0])),
            ("overlapping", [1, 2], [1, 1], array([1, 2, 2, 2], &[1.5, 2.5, 5.5, 6.5, -1.5, -2.5, -5.5, -6.5])),
            ("the rest is left out", [2, 2], [2, 2], array([1, 2, 1, 1], &[3.5, -3.5])),
        ] {
            let y = run(image(), |root, x| root.average_pool("pool", x, AveragePool { kernel, strides }).unwrap());
            assert_eq!(y.unwrap(), expected, "{name}");
        }
        let y = run(image(), |root, x| root.global_max_pool("pool", x).unwrap());
        assert_eq!(y.unwrap(), array([1, 2, 1, 1], &[7.0, -1.0]));
    }

    #[test]
    fn the_largest_value_follows_its_definition() {
        let image = || array([1, 1, 3, 4], &[1.0, 2.0, 3.0, 4.0, 8.0, 7.0, 6.0, 5.0, -1.0, -2.0, -3.0, -4.0]);
        for (name, image, kernel, strides, pads, expected) in [
            ("halves", image(), [2, 2], [2, 2], [0; 4], array([1, 1, 1, 2], &[8.0, 6.0])),
            ("axes are not swapped", image(), [1, 3], [2, 1], [0; 4], array([1, 1, 2, 2], &[3.0, 4.0, -1.0, -2.0])),
            (
                "a stride beyond the kernel",
                image(),
                [1, 1],
                [2, 3],
                [0; 4],
                array([1, 1, 2, 2], &[1.0, 4.0, -1.0, -4.0]),
            ),
            (
                "padding is below any value",
                array([1, 1, 2, 2], &[-1.0, -2.0, -3.0, -4.0]),
                [2, 2],
                [1, 2],
                [0, 1, 1, 1],
                array([1, 1, 2, 2], &[-1.0, -2.0, -3.0, -4.0]),
            ),
            (
                "channels and images stay apart",
                array([2, 2, 1, 2], &[1.0, 2.0, 20.0, 10.0, -1.0, -2.0, -20.0, -10.0]),
                [1, 2],
                [1, 2],
                [0; 4],
                array([2, 2, 1, 1], &[2.0, 20.0, -1.0, -10.0]),
            ),
            (
                "infinities",
                array([1, 1, 1, 4], &[f64::NEG_INFINITY, f64::NEG_INFINITY, f64::INFINITY, 0.0]),
                [1, 2],
                [1, 2],
                [0; 4],
                array([1, 1, 1, 2], &[f64::NEG_INFINITY, f64::INFINITY]),
            ),
        ] {
            let y = run(image, |root, x| root.max_pool("pool", x, MaxPool { kernel, strides, pads }).unwrap());
            assert_eq!(y.unwrap(), expected, "{name}");
        }
        for at in 0..3 {
            let mut values = [1.0, 2.0, 3.0];
            values[at] = f64::NAN;
            let pool = MaxPool { kernel: [1, 3], strides: [1, 1], pads: [0; 4] };
            let y = run(array([1, 1, 1, 3], &values), |root, x| root.max_pool("pool", x, pool).unwrap()).unwrap();
            assert!(y[[0, 0, 0, 0]].is_nan(), "NaN at {at}: {y}");
        }
    }

    #[test]
    fn padding_follows_its_definition() {
        let image = || array([1, 1, 1, 3], &[1.0, 2.0, 3.0]);
        for (mode, expected) in [
            (PadMode::Constant, [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]),
            (PadMode::Reflect, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]),
            (PadMode::Edge, [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]),
        ] {
            let y = run(image(), |root, x| root.pad("pad", x, [0, 2, 0, 1], mode).unwrap());
            assert_eq!(y.unwrap(), array([1, 1, 1, 6], &expected), "{mode:?}");
        }
    }

    #[test]
    fn resizing_follows_its_definition() {
        use Coordinates::{AlignCorners, Asymmetric, HalfPixel};
        use ResizeMode::{Linear, Nearest};
        for (mode, coordinates, expected) in [
            (Linear, AlignCorners, [0.0, 1.0, 2.0, 3.0]),
            (Linear, HalfPixel, [0.0, 0.75, 2.25, 3.0]),
            (Linear, Asymmetric, [0.0, 1.5, 3.0, 3.0]),
            (Nearest, AlignCorners, [0.0, 0.0, 0.0, 3.0]),
            (Nearest, HalfPixel, [0.0, 0.0, 0.0, 3.0]),
            (Nearest, Asymmetric, [0.0, 0.0, 3.0, 3.0]),
        ] {
            let image = array([1, 1, 1, 2], &[0.0, 3.0]);
            let y = run(image, |root, x| root.upsample("up", x, 2, mode, coordinates).unwrap()).unwrap();
            let expected = array([1, 1, 2, 4], &[expected, expected].concat());
            assert!(
                (&y - &expected).iter().all(|difference| difference.abs() < 1e-15),
                "{mode:?} {coordinates:?}: {y}"
            );
        }
    }

    #[test]
    fn normalisation_pooling_and_broadcasting_follow_their_definition() {
        let image = || array([1, 2, 1, 2], &[1.0, 3.0, 10.0, 30.0]);
        let norm = BatchNorm {
            weight: Tensor::vector(vec![2.0, 3.0]),
            bias: Tensor::vector(vec![0.5, 0.25]),
            running_mean: Tensor::vector(vec![1.0, 10.0]),
            running_var: Tensor::vector(vec![3.0, 99.0]),
            epsilon: 1.0,
        };
        let y = run(image(), |root, x| root.batch_norm("norm", x, norm).unwrap());
        assert_eq!(y.unwrap(), array([1, 2, 1, 2], &[0.5, 2.5, 0.25, 6.25]));
        let y = run(image(), |root, x| {
            let mean = root.global_average_pool("mean", x).unwrap();
            root.sub("centred", x, mean).unwrap()
        });
        assert_eq!(y.unwrap(), array([1, 2, 1, 2], &[-1.0, 1.0, -10.0, 10.0]));
    }

    /// Evaluates `op` on the image and constants.
    fn apply(op: Op, image: ArrayD<f64>, constants: Vec<Tensor>) -> Array {
        let shape: Vec<_> = image.shape().iter().map(|&size| Dim::try_from(size).unwrap()).collect();
        let mut builder = GraphBuilder::new("operator");
        let x = builder.input("x", shape).unwrap();
        let mut operands = vec![x];
        for (number, constant) in constants.into_iter().enumerate() {
            operands.push(builder.root().constant(&format!("c{number}"), constant).unwrap());
        }
        let y = builder.root().node("y", op, &operands).unwrap();
        let graph = builder.finish(&[("y", y)]).unwrap();
        evaluate(&graph, &[("x", image)], &["y"]).unwrap().remove("y").unwrap()
    }

    fn integers<const N: usize>(shape: [usize; N], values: &[i64]) -> Array {
        Array::I64(ArrayD::from_shape_vec(IxDyn(&shape), values.to_vec()).unwrap())
    }

    #[test]
    fn classes_are_found_and_shared_out_by_definition() {
        let scores = || array([1, 3, 1, 4], &[1.0, 2.0, -1.0, 3.0, 1.0, 5.0, -2.0, 3.0, 0.0, 5.0, -1.0, 4.0]);
        assert_eq!(
            apply(Op::ArgMax { axis: 1 }, scores(), vec![]),
            integers([1, 1, 4], &[0, 1, 0, 2]),
            "lowest on a tie"
        );
        let zero = vec![Tensor::scalar(1.0)];
        let greater = integers([1, 1, 1, 2], &[0, 1]);
        assert_eq!(apply(Op::Greater, array([1, 1, 1, 2], &[1.0, 1.5]), zero), greater, "strictly");
        let shares = apply(Op::Softmax { axis: 1 }, array([1, 2, 1, 2], &[800.0, 0.0, 800.0, 3f64.ln()]), vec![]);
        let expected = array([1, 2, 1, 2], &[0.5, 0.25, 0.5, 0.75]);
        assert!((shares.as_f64().unwrap() - &expected).iter().all(|difference| difference.abs() < 1e-15), "{shares:?}");
    }

    #[test]
    fn axes_move_and_go_by_definition() {
        let image = || array([1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let swapped = apply(Op::Transpose { perm: vec![0, 2, 3, 1] }, image(), vec![]);
        assert_eq!(swapped, Array::F64(array([1, 1, 2, 2], &[1.0, 3.0, 2.0, 4.0])));
        let mean = apply(Op::ReduceMean, image(), vec![Tensor::vector(vec![3])]);
        assert_eq!(mean, Array::F64(array([1, 2, 1, 1], &[1.5, 3.5])));
        let squeezed = apply(Op::Squeeze, image(), vec![Tensor::vector(vec![0, 2])]);
        assert_eq!(
            squeezed,
            Array::F64(array([1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]).into_shape_with_order(IxDyn(&[2, 2])).unwrap())
        );
    }

    #[test]
    fn normalisations_by_own_statistics_follow_their_definition() {
        // Deviations from the mean are -1 and 1, and -3 and 3; 8 and 16 are their squares and 7.
        let image = || array([1, 2, 1, 2], &[1.0, 3.0, 10.0, 16.0]);
        let each = |values: [f32; 2]| Tensor::vector(values.to_vec());
        let instance = Op::InstanceNormalization { epsilon: 7.0 };
        let y = apply(instance, image(), vec![each([8f32.sqrt(), 4.0]), each([0.5, 0.25])]);
        let expected = array([1, 2, 1, 2], &[-0.5, 1.5, -2.75, 3.25]);
        assert!((y.as_f64().unwrap() - &expected).iter().all(|difference| difference.abs() < 1e-6), "{y:?}");
        let layer = Op::LayerNormalization { axis: 3, epsilon: 7.0 };
        let y = apply(layer, image(), vec![each([8f32.sqrt(), 4.0]), each([0.5, 0.25])]);
        let expected = array([1, 2, 1, 2], &[-0.5, 2f64.sqrt() + 0.25, 0.5 - 3.0 * 0.5f64.sqrt(), 3.25]);
        assert!((y.as_f64().unwrap() - &expected).iter().all(|difference| difference.abs() < 1e-6), "{y:?}");
        let all = Op::LayerNormalization { axis: 1, epsilon: 0.75 };
        let ones = |value: f32| Tensor::new([2, 1, 2], vec![value; 4]).unwrap();
        // The mean is 7.5, the variance 35.25.
        let y = apply(all, image(), vec![ones(6.0), ones(1.0)]);
        assert_eq!(y, Array::F64(array([1, 2, 1, 2], &[-5.5, -3.5, 3.5, 9.5])));
    }

    #[test]
    fn products_shapes_and_sums_follow_their_definition() {
        let image = || array([1, 2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let both = Tensor::new([2, 1], vec![1.0, 10.0]).unwrap();
        let y = apply(Op::MatMul, image(), vec![both]);
        assert_eq!(y, Array::F64(array([1, 2, 2, 1], &[21.0, 43.0, 65.0, 87.0])), "one matrix for all");
        let each = Tensor::new([2, 2, 1], vec![1.0, 10.0, 1.0, 100.0]).unwrap();
        let y = apply(Op::MatMul, image(), vec![each]);
        assert_eq!(y, Array::F64(array([1, 2, 2, 1], &[21.0, 43.0, 605.0, 807.0])), "one matrix for each channel");
        let images = array([2, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let wide = Tensor::new([1, 2, 2, 1], vec![1.0, 10.0, 1.0, 100.0]).unwrap();
        let y = apply(Op::MatMul, images, vec![wide]);
        assert_eq!(y, Array::F64(array([2, 2, 1, 1], &[21.0, 201.0, 43.0, 403.0])), "both are repeated");
        let sum = apply(Op::ReduceSum, image(), vec![Tensor::vector(vec![1, 3])]);
        assert_eq!(sum, Array::F64(array([1, 1, 2, 1], &[14.0, 22.0])));
        let shaped = apply(Op::Reshape, image(), vec![Tensor::vector(vec![0, 1, -1, 4])]);
        let values = image().iter().copied().collect::<Vec<_>>();
        assert_eq!(shaped, Array::F64(array([1, 1, 2, 4], &values)));
        let tanh = apply(Op::Tanh, array([1, 1, 1, 2], &[0.0, 0.5]), vec![]);
        let error = &tanh.as_f64().unwrap()[[0, 0, 0, 1]] - 0.462_117_157_260_01;
        assert!(error.abs() < 1e-14, "{tanh:?}");
    }

    #[test]
    fn a_slice_may_count_from_the_end() {
        let image = array([1, 1, 1, 4], &[1.0, 2.0, 3.0, 4.0]);
        let y = apply(Op::Slice, image, [1, -1, 3].map(|value| Tensor::vector(vec![value])).to_vec());
        assert_eq!(y, Array::F64(array([1, 1, 1, 2], &[2.0, 3.0])));
    }

    #[test]
    fn casts_and_quantisation_round_and_saturate_by_definition() {
        let image = || array([1, 2, 1, 3], &[-1.7, 0.5, 1.5, 2.6, 300.0, 70000.0]);
        assert_eq!(
            apply(Op::Cast { to: DataType::U8 }, image(), vec![]),
            integers([1, 2, 1, 3], &[0, 0, 1, 2, 255, 255])
        );
        assert_eq!(apply(Op::Cast { to: DataType::Bool }, image(), vec![]), integers([1, 2, 1, 3], &[1; 6]));
        let halves = apply(Op::Cast { to: DataType::F16 }, array([1, 1, 1, 3], &[0.1, 65519.0, 65520.0]), vec![]);
        assert_eq!(halves, Array::F64(array([1, 1, 1, 3], &[0.0999755859375, 65504.0, f64::INFINITY])));
        let quantize = Op::QuantizeLinear { axis: 1 };
        let all = vec![Tensor::scalar(1.0), Tensor::new([], Data::U8(vec![2])).unwrap()];
        assert_eq!(
            apply(quantize.clone(), image(), all),
            integers([1, 2, 1, 3], &[0, 2, 4, 5, 255, 255]),
            "ties to even"
        );
        let each = vec![Tensor::vector(vec![0.5, 100.0]), Tensor::vector(Data::I8(vec![-1, 0]))];
        assert_eq!(
            apply(quantize, image(), each),
            integers([1, 2, 1, 3], &[-4, 0, 2, 0, 3, 127]),
            "channel by channel"
        );
    }

    #[test]
    fn what_is_dequantised_is_what_was_quantised() {
        let mut builder = GraphBuilder::new("both");
        let x = builder.input("x", [Dim::from(1), 2.into(), 1.into(), 2.into()]).unwrap();
        let mut root = builder.root();
        let scale = root.constant("scale", Tensor::vector(vec![0.5, 0.25])).unwrap();
        let zero = root.constant("zero", Tensor::vector(Data::U8(vec![10, 128]))).unwrap();
        let x = root.node("q", Op::QuantizeLinear { axis: 1 }, &[x, scale, zero]).unwrap();
        let x = root.node("dq", Op::DequantizeLinear { axis: 1 }, &[x, scale, zero]).unwrap();
        let graph = builder.finish(&[("y", x)]).unwrap();
        let image = array([1, 2, 1, 2], &[-6.0, 1.2, -6.0, 1.2]);
        let found = evaluate(&graph, &[("x", image)], &["y"]).unwrap().remove("y").unwrap();
        assert_eq!(found, Array::F64(array([1, 2, 1, 2], &[-5.0, 1.0, -6.0, 1.25])));
    }

    #[test]
    fn what_is_not_defined_is_an_error_that_names_the_node() {
        let image = || array([1, 1, 1, 1], &[1.0]);
        let kernel = Tensor::new([1, 1, 2, 2], vec![1.0; 4]).unwrap();
        let rows = [
            (
                run(image(), |root, x| root.conv("conv", x, kernel, None, Conv::default()).unwrap()),
                OpError::Kernel { reach: 2, padded: 1 },
            ),
            (
                run(image(), |root, x| root.pad("pad", x, [0, 1, 0, 0], PadMode::Reflect).unwrap()),
                OpError::Pads { size: 1, pads: [1, 0] },
            ),
        ];
        for (found, expected) in rows {
            match found {
                Err(EvaluateError::Op { node, cause, .. }) => assert_eq!((node.as_str(), cause), ("y", expected)),
                other => panic!("expected {expected}, found {other:?}"),
            }
        }
    }
}
