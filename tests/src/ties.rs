//! Pixels whose class depends on rounding.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array3, Axis, Ix3};
use seg_contract::{Contract, Pixels};
use seg_nets::network::Network;
use seg_nets::weights::to_array;

use crate::tolerance::ONNX_RUNTIME_CPU;

/// Counts the pixels of Burn's mask of an image that might be of another class when they are
/// computed elsewhere: those whose class changes when the logits of one class rise by what two
/// computations may differ by.
///
/// # Panics
/// When the network is not the contract's.
pub fn count<'a>(net: &Network, contract: &Contract, image: impl Into<Pixels<'a>>) -> usize {
    let input = contract.preprocess(image).expect("the image has pixels");
    let (channels, height, width) = input.tensor.dim();
    let data = TensorData::new(input.tensor.into_raw_vec_and_offset().0, [1, channels, height, width]);
    let logits: Tensor<3> = net.forward(Tensor::from_data(data, &Device::flex())).squeeze_dim(0);
    let logits = to_array(logits).into_dimensionality::<Ix3>().expect("a rank-3 tensor is a rank-3 array");

    let mask = |logits: &Array3<f32>| {
        contract.postprocess(logits.view(), &input.geometry).unwrap_or_else(|error| panic!("{error}"))
    };
    let range = logits.fold(f32::NEG_INFINITY, |a, b| a.max(*b)) - logits.fold(f32::INFINITY, |a, b| a.min(*b));
    // Each of the two may be off by the tolerance.
    let rise = 2.0 * ONNX_RUNTIME_CPU.max as f32 * range;
    let chosen = mask(&logits);
    let mut tied = vec![false; chosen.len()];
    for class in 0..contract.classes.len() {
        let mut raised = logits.clone();
        raised.index_axis_mut(Axis(0), class).mapv_inplace(|logit| logit + rise);
        for (tied, (chosen, raised)) in tied.iter_mut().zip(chosen.iter().zip(mask(&raised).iter())) {
            *tied |= chosen != raised;
        }
    }
    tied.into_iter().filter(|tied| *tied).count()
}
