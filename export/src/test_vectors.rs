//! The training framework's results: seeded inputs with their logits, to compare an exported model
//! with.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView};
use seg_contract::Sides;
use seg_nets::network::Network;
use seg_nets::weights::to_array;

/// Batch, height and width of each case: the smallest image, an even one, and sides that an encoder
/// halves unevenly. A network or a model that does not take a size gets the next one that it takes.
pub const CASES: [[usize; 3]; 4] = [[1, 16, 16], [2, 64, 96], [1, 71, 93], [3, 48, 33]];

const SEED: u64 = 1;

/// Returns the bytes of a `.safetensors` file with the tensors `case0.input` and `case0.logits` and
/// so on, one pair for each of [`CASES`]: uniform noise in -2 to 2, `[n, in_channels, h, w]`, and
/// the network's output for it, `[n, num_classes, h, w]`, both in float32.
///
/// `sides` are those that the model takes. The network must be on a device without autodiff, where
/// it normalises by its running statistics. The inputs depend on its number of channels only; equal
/// networks give equal bytes on the same machine.
pub fn reference(net: &Network, sides: Sides) -> Vec<u8> {
    let device = net.devices().into_iter().next().expect("a network has parameters");
    let config = net.config();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut tensors = Vec::new();
    for (case, [n, height, width]) in CASES.into_iter().enumerate() {
        let [height, width] = sides.next([height, width]);
        let shape = [n, config.in_channels(), height, width];
        let noise: Vec<f32> = (0..shape.iter().product()).map(|_| random.random_range(-2.0..2.0)).collect();
        let input = Tensor::<4>::from_data(TensorData::new(noise, shape), &device);
        tensors.push((format!("case{case}.input"), input.clone()));
        tensors.push((format!("case{case}.logits"), net.forward(input)));
    }
    let arrays: Vec<_> = tensors.into_iter().map(|(name, tensor)| (name, to_array(tensor))).collect();
    let bytes: Vec<Vec<u8>> =
        arrays.iter().map(|(_, array)| array.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = arrays.iter().zip(&bytes).map(|((name, array), bytes)| {
        let view = TensorView::new(Dtype::F32, array.shape().to_vec(), bytes);
        (name, view.expect("an array has as many values as its shape says"))
    });
    safetensors::serialize(views, None).expect("the names are unique")
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use safetensors::SafeTensors;
    use seg_nets::amsunet::AmsUnetConfig;

    use super::*;

    #[test]
    fn each_case_has_its_input_and_its_logits_and_they_are_always_the_same() {
        let net = AmsUnetConfig::new().with_base_width(4).with_num_classes(5).init(&Device::flex()).into();
        let bytes = reference(&net, Sides::at_least(16));
        assert_eq!(reference(&net, Sides::at_least(16)), bytes);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), 2 * CASES.len());
        for (case, [n, height, width]) in CASES.into_iter().enumerate() {
            assert_eq!(file.tensor(&format!("case{case}.input")).unwrap().shape(), [n, 3, height, width]);
            assert_eq!(file.tensor(&format!("case{case}.logits")).unwrap().shape(), [n, 5, height, width]);
        }
    }
}
