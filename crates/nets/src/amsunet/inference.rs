//! The network without gradients on the CPU: its parameters as the kernels read them.

use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;
use seg_kernels::inference::{
    self, BlockParameters, Constants, Dense, DownParameters, Parameters, UpParameters, Weights,
};

use super::amse::{NormPlace, Residuals};
use super::{AmsUnet, Amse, Down, Ffn, Up};
use crate::kernels::fused::{from_tensor, into_tensor, layer};
use crate::kernels::is_fused;

fn weights(conv: &Conv2d) -> Weights {
    layer(conv).map(from_tensor)
}

/// Returns a layer behind a normalisation.
fn normalised(norm: Constants, weights: Weights) -> Dense {
    Dense::Floats { norm: Some(norm), weights }
}

impl Amse {
    /// Returns the parameters of the published form without gradients.
    fn parameters(&self) -> Option<BlockParameters> {
        let published = (self.form.norm, self.form.residual) == (NormPlace::Bf, Residuals::N);
        let Self { norm1, attention, norm2, ffn, .. } = self;
        let Ffn { expand, local, project } = ffn;
        published.then_some(())?;
        let mut layers = attention.layers().map(|layer| layer.map(from_tensor)).into_iter();
        let mut layer = || layers.next().expect("the attention has all layers");
        Some(BlockParameters {
            expand: normalised(norm1.constants()?, layer()),
            depthwise: std::array::from_fn(|_| layer()),
            mix: layer().into(),
            project: Some(layer().into()),
            dilation: attention.ams.dilation(),
            widen: normalised(norm2.constants()?, weights(expand)),
            local: weights(local),
            narrow: weights(project).into(),
        })
    }
}

impl Down {
    fn parameters(&self) -> Option<DownParameters> {
        let Self { norm, conv, amse } = self;
        Some(DownParameters { conv: normalised(norm.constants()?, weights(conv)), block: amse.parameters()? })
    }
}

impl Up {
    fn parameters(&self) -> Option<UpParameters> {
        let rsc = self.rsc.as_ref()?;
        let ([skip, deep], [bias, no_bias]) = self.halves();
        Some(UpParameters {
            spatial: from_tensor(rsc.spatial.weight.val()),
            gate: [&rsc.reduce, &rsc.restore].map(weights),
            skip: [skip, bias].map(from_tensor).into(),
            deep: normalised(self.norm.constants()?, [deep, no_bias].map(from_tensor)),
            block: self.amse.parameters()?,
        })
    }
}

impl AmsUnet {
    /// Computes the logits of an image without gradients by the kernels of the CPU, where they have
    /// the network's form.
    pub(super) fn infer(&self, image: &Tensor<4>) -> Option<Tensor<4>> {
        let parameters_in_graph = self.in_conv.conv.weight.val().device().is_autodiff();
        if !is_fused(image) || image.device().is_autodiff() || parameters_in_graph {
            return None;
        }
        let Self { in_conv, out_conv, .. } = self;
        let shape = self.u_shape();
        let parameters = Parameters {
            stem: weights(&in_conv.conv),
            stem_norm: in_conv.norm.constants()?,
            stem_block: in_conv.amse.parameters()?,
            downs: shape.downs.iter().map(|down| down.parameters()).collect::<Option<_>>()?,
            ups: shape.ups.iter().map(|up| up.parameters()).collect::<Option<_>>()?,
            head: weights(out_conv).into(),
        };
        let image = from_tensor(image.clone().pad((1, 1, 1, 1), PadMode::Reflect));
        Some(into_tensor(inference::forward(&parameters, &image)))
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::tensor::{Device, Distribution};

    use super::*;
    use crate::amsunet::AmsUnetConfig;
    use crate::network::Architecture;
    use crate::parameters::{ParameterMapper, Parameters};

    /// Moves biases, normalisations and their statistics.
    struct Shuffle;

    impl ParameterMapper for Shuffle {
        fn map<const D: usize>(&mut self, _: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if D > 1 {
                return param;
            }
            param.map(|values| values.clone() + values.random_like(Distribution::Uniform(0.0, 0.3)))
        }
    }

    #[test]
    fn the_values_are_those_of_the_stages_bit_by_bit() {
        let device = Device::flex();
        device.seed(3);
        for (width, [n, h, w]) in [(8, [1, 16, 16]), (4, [2, 37, 50]), (12, [1, 65, 33]), (16, [1, 70, 130])] {
            let net = AmsUnetConfig::new().with_base_width(width).init(&device).map_each(&mut Shuffle);
            let image = Tensor::<4>::random([n, 3, h, w], Distribution::Normal(0.0, 1.0), &device);
            let found = net.infer(&image).expect("it is the published network on the CPU");
            let expected = net.forward_observed(image, |_, _| {});
            let [found, expected] = [found, expected].map(|y| y.into_data().try_into_vec::<f32>().unwrap());
            let differ = found.iter().zip(&expected).filter(|(found, expected)| found != expected).count();
            let first = [found[0], expected[0]];
            assert!(expected.iter().all(|value| value.is_finite()), "width {width}, {n}x3x{h}x{w}: {first:?}");
            assert_eq!(differ, 0, "width {width}, {n}x3x{h}x{w}, of {}: the first are {first:?}", found.len());
        }
    }

    #[test]
    fn other_forms_and_steps_with_gradients_go_by_their_stages() {
        let device = Device::flex();
        let image = Tensor::<4>::zeros([1, 3, 16, 16], &device);
        let config = AmsUnetConfig::new().with_base_width(4);
        assert!(config.init(&device).infer(&image).is_some());
        assert!(config.init(&device.clone().autodiff()).infer(&image.clone().autodiff()).is_none());
        assert!(config.init(&device.autodiff()).infer(&image).is_none());
    }
}
