//! Whole blocks as operators of the CPU backend: what a block computes, with its gradient, in few passes over memory.
//!
//! Burn's own operators write every map out, and keep most of them for the gradient; on a CPU, that is where the time
//! and the memory go. Here the maps between a block's operators live in tiles that stay in the cache, and the gradient
//! computes them again. What is kept of a block is its input and three maps.

mod affine;
mod frame;
mod lanes;
mod operator;
mod panels;
mod product;

mod attention;
mod feed_forward;
mod norm_pointwise;

pub(crate) use affine::Moments;

use burn::module::Param;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

use crate::model::Amse;

/// [`Amse::forward`] on the CPU backend.
pub(crate) fn amse(block: &Amse, x: Tensor<4>) -> Tensor<4> {
    let Amse { norm1, attention, norm2, ffn } = block;
    let moments = norm1.moments(&x);
    let inputs = [x.clone(), vector(&norm1.weight), vector(&norm1.bias), weight(&attention.conv1), bias(&attention.conv1)];
    let u = operator::apply(norm_pointwise::NormPointwise { moments, epsilon: norm1.epsilon }, inputs);

    let ams = &attention.ams;
    let [strip_5, strip_7, strip_11] = [&ams.strip_5, &ams.strip_7, &ams.strip_11];
    let layers = [
        &ams.local,
        &ams.atrous,
        &strip_5.horizontal,
        &strip_5.vertical,
        &strip_7.horizontal,
        &strip_7.vertical,
        &strip_11.horizontal,
        &strip_11.vertical,
        &ams.mix,
        &attention.conv2,
    ];
    let mut parameters = layers.into_iter().flat_map(|layer| [weight(layer), bias(layer)]);
    let mut u = Some(u);
    let inputs = std::array::from_fn(|_| u.take().or_else(|| parameters.next()).expect("as many inputs as layers have"));
    let y = operator::apply(attention::Attention { dilation: ams.atrous.dilation[0] }, inputs);

    let moments = norm2.moments(&y);
    let [expand, local, project] = [&ffn.expand, &ffn.local, &ffn.project];
    let inputs = [
        y,
        x,
        vector(&norm2.weight),
        vector(&norm2.bias),
        weight(expand),
        bias(expand),
        weight(local),
        bias(local),
        weight(project),
        bias(project),
    ];
    operator::apply(feed_forward::FeedForward { moments, epsilon: norm2.epsilon }, inputs)
}

/// A layer's weight.
fn weight(layer: &Conv2d) -> Tensor<4> {
    layer.weight.val()
}

/// A layer's bias, as a map.
fn bias(layer: &Conv2d) -> Tensor<4> {
    vector(layer.bias.as_ref().expect("the block's layers have a bias"))
}

/// A vector as a map of one image with one pixel.
fn vector(values: &Param<Tensor<1>>) -> Tensor<4> {
    values.val().reshape([1, -1, 1, 1])
}

/// A tensor of the CPU backend in host memory.
pub(crate) fn moments_of_batch(x: &Tensor<4>) -> Moments {
    let [_, c, h, w] = x.dims();
    operator::inspect(x, |values| Moments::of_batch(values, c, h * w))
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{DType, Device, Distribution, TensorData};

    use super::*;
    use crate::model::AmseConfig;

    /// A block's parameters with their names, in the order of its operators.
    fn parameters(block: &Amse) -> Vec<(String, Tensor<4>)> {
        let Amse { norm1, attention, norm2, ffn } = block;
        let ams = &attention.ams;
        let layers = [
            ("conv1", &attention.conv1),
            ("local", &ams.local),
            ("atrous", &ams.atrous),
            ("strip_5.horizontal", &ams.strip_5.horizontal),
            ("strip_5.vertical", &ams.strip_5.vertical),
            ("strip_7.horizontal", &ams.strip_7.horizontal),
            ("strip_7.vertical", &ams.strip_7.vertical),
            ("strip_11.horizontal", &ams.strip_11.horizontal),
            ("strip_11.vertical", &ams.strip_11.vertical),
            ("mix", &ams.mix),
            ("conv2", &attention.conv2),
            ("expand", &ffn.expand),
            ("ffn.local", &ffn.local),
            ("project", &ffn.project),
        ];
        let norms = [("norm1", norm1), ("norm2", norm2)].into_iter().flat_map(|(name, norm)| {
            [(format!("{name}.weight"), vector(&norm.weight)), (format!("{name}.bias"), vector(&norm.bias))]
        });
        let layers = layers.into_iter().flat_map(|(name, layer)| {
            [(format!("{name}.weight"), weight(layer)), (format!("{name}.bias"), bias(layer))]
        });
        norms.chain(layers).collect()
    }

    /// The block from Burn's own operators, by the formula of the paper; `p` in the order of [`parameters`].
    fn composed(x: Tensor<4>, p: &[Tensor<4>], dilation: usize) -> Tensor<4> {
        let norm = |x: Tensor<4>, index: usize| {
            let [n, c, h, w] = x.dims();
            let mean = |x: Tensor<4>| x.swap_dims(0, 1).reshape([c, n * h * w]).mean_dim(1).reshape([1, c, 1, 1]);
            let centered = x.clone() - mean(x);
            let variance = mean(centered.clone().powi_scalar(2));
            centered / (variance + 1e-5).sqrt() * p[index].clone() + p[index + 1].clone()
        };
        let conv = |x: Tensor<4>, index: usize, dilation: usize| {
            let (weight, bias) = (p[4 + 2 * index].clone(), p[5 + 2 * index].clone());
            let [out, per_group, kh, kw] = weight.dims();
            let padding = [kh, kw].map(|side| dilation * (side - 1) / 2);
            let options = ConvOptions::new([1, 1], padding, [dilation, dilation], if per_group == 1 { out } else { 1 });
            conv2d(x, weight, Some(bias.reshape([out])), options)
        };
        let gelu = |x: Tensor<4>| x.clone() * (x * std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0) * 0.5;
        let g = gelu(conv(norm(x.clone(), 0), 0, 1));
        let a = conv(g.clone(), 1, 1);
        let t = conv(a.clone(), 2, dilation);
        let strips = [3, 5, 7].map(|index| conv(conv(t.clone(), index, 1), index + 1, 1));
        let sum = strips.into_iter().fold(a + t, |sum, strip| sum + strip);
        let y = norm(conv(conv(sum, 9, 1) * g, 10, 1), 2);
        let y = conv(gelu(conv(conv(y, 11, 1), 12, 1)), 13, 1);
        gelu(y + x)
    }

    /// Values in 64 bits, as a tensor of a device.
    fn wide(values: &[f64], shape: [usize; 4], device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), (device, DType::F64))
    }

    fn values(tensor: Tensor<4>) -> Vec<f64> {
        tensor.into_data().iter::<f64>().collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn value_and_gradients_are_those_of_the_formula_and_of_finite_differences() {
        for (seed, (channels, dilation, [n, h, w])) in
            [(4, 1, [2, 9, 13]), (8, 3, [1, 7, 21]), (12, 5, [3, 3, 4]), (4, 1, [1, 67, 71]), (4, 2, [1, 1, 5])]
                .into_iter()
                .enumerate()
        {
            let name = format!("{channels} channels, dilation {dilation}, {n} of {h}x{w}");
            let device = Device::flex().autodiff();
            device.seed(seed as u64);
            let random = |shape| Tensor::<4>::random(shape, Distribution::Normal(0.3, 1.0), &device);
            let mut block = AmseConfig::new(channels, dilation).init(&device);
            for norm in [&mut block.norm1, &mut block.norm2] {
                norm.weight = Param::from_tensor(random([channels, 1, 1, 1]).reshape([channels]));
                norm.bias = Param::from_tensor(random([channels, 1, 1, 1]).reshape([channels]));
            }
            let x = random([n, channels, h, w]).require_grad();
            let along = random([n, channels, h, w]);
            let y = block.forward(x.clone());
            let gradients = (y.clone() * along.clone()).sum().backward();
            let along = values(along);

            let mut names = vec!["input".to_owned()];
            let mut inputs = vec![(values(x.clone()), x.dims())];
            for (name, parameter) in parameters(&block) {
                names.push(name);
                inputs.push((values(parameter.clone()), parameter.dims()));
            }
            let inner = Device::flex();
            let plain = |inputs: &[(Vec<f64>, [usize; 4])], device: &Device| {
                let tensors: Vec<_> = inputs.iter().map(|(values, shape)| wide(values, *shape, device)).collect();
                composed(tensors[0].clone(), &tensors[1..], dilation)
            };
            let expected = values(plain(&inputs, &inner));
            for (index, (found, expected)) in values(y).into_iter().zip(&expected).enumerate() {
                let error = (found - expected).abs();
                assert!(error <= 2e-5 * expected.abs().max(1.0), "{name}: value {index} is {found}, expected {expected}");
            }

            // The gradient, entry by entry, against that of the composed formula in 64 bits.
            let tensors: Vec<_> =
                inputs.iter().map(|(values, shape)| wide(values, *shape, &device).require_grad()).collect();
            let loss = (composed(tensors[0].clone(), &tensors[1..], dilation) * wide(&along, [n, channels, h, w], &device)).sum();
            let exact = loss.backward();
            let mut ours = vec![x.grad(&gradients).unwrap()];
            ours.extend(gradients_of(&block, &gradients));
            let exact: Vec<_> = tensors.iter().map(|tensor| values(tensor.grad(&exact).unwrap())).collect();
            let largest = |values: &[f64]| values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            let largest_of_all = exact.iter().map(|values| largest(values)).fold(0.0, f64::max);
            for (((part, ours), exact), (start, shape)) in names.iter().zip(&ours).zip(&exact).zip(&inputs) {
                let ours = values(ours.clone());
                // A normalisation takes any bias before it off again: what is left of its gradient is rounding of the others.
                let scale = if part == "conv2.bias" { largest_of_all } else { largest(exact) };
                for (index, (ours, exact)) in ours.iter().zip(exact).enumerate() {
                    let error = (ours - exact).abs();
                    assert!(error <= 1e-4 * scale, "{name}: gradient {index} of {part} is {ours}, expected {exact}, of {scale}");
                }
                // Along a random direction, against the difference quotient of the value.
                let direction = values(Tensor::<4>::random(*shape, Distribution::Normal(0.0, 1.0), &inner));
                let position = names.iter().position(|name| name == part).unwrap();
                let at = |step: f64| {
                    let mut moved = inputs.clone();
                    moved[position].0 = start.iter().zip(&direction).map(|(value, way)| value + step * way).collect();
                    dot(&values(plain(&moved, &inner)), &along)
                };
                let quotient = (at(1e-5) - at(-1e-5)) / 2e-5;
                let slope = dot(&ours, &direction);
                let bound = 1e-4 * scale * direction.iter().map(|way| way.abs()).sum::<f64>() + 1e-5;
                assert!((slope - quotient).abs() <= bound, "{name}: along {part}, slope {slope}, quotient {quotient}");
            }
        }
    }

    /// The gradients of a block's parameters, in the order of [`parameters`].
    fn gradients_of(block: &Amse, gradients: &burn::tensor::Gradients) -> Vec<Tensor<4>> {
        let vector = |param: &Param<Tensor<1>>| param.val().grad(gradients).unwrap().reshape([1, -1, 1, 1]);
        let layer = |layer: &Conv2d| {
            [layer.weight.val().grad(gradients).unwrap(), vector(layer.bias.as_ref().unwrap())]
        };
        let Amse { norm1, attention, norm2, ffn } = block;
        let ams = &attention.ams;
        let mut all = vec![vector(&norm1.weight), vector(&norm1.bias), vector(&norm2.weight), vector(&norm2.bias)];
        all.extend(layer(&attention.conv1));
        all.extend([&ams.local, &ams.atrous].into_iter().flat_map(layer));
        for strip in [&ams.strip_5, &ams.strip_7, &ams.strip_11] {
            all.extend([&strip.horizontal, &strip.vertical].into_iter().flat_map(layer));
        }
        all.extend([&ams.mix, &attention.conv2, &ffn.expand, &ffn.local, &ffn.project].into_iter().flat_map(layer));
        all
    }
}
