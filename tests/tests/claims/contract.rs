//! The runtime knows of a model what the model's contract says, and nothing else.

use std::fs;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use image::{GrayImage, Luma, Rgb, Rgb32FImage};
use ndarray::{Array2, Array4, ArrayD, Axis, Ix4};
use seg_contract::{Class, ColorOrder, Contract};
use seg_export::{Options, export};
use seg_inference::Segmenter;
use seg_nets::network::Network;
use seg_nets::weights::to_array;
use seg_onnx::Model;
use seg_tests::fixtures::{NARROW, checkpoint, network, noise, to_tensor};
use seg_tests::runtime::environment;
use seg_tests::ties;

const WIDTH: u32 = 51;
const HEIGHT: u32 = 40;

/// Normalises the image as a contract at native size describes it, by its definition: channel by
/// channel in the contract's order, `(x - mean) / std`.
fn normalized(contract: &Contract, image: &Rgb32FImage) -> ArrayD<f32> {
    let (width, height) = image.dimensions();
    let shape = [1, 3, height as usize, width as usize];
    let values = Array4::from_shape_fn(shape, |(_, c, y, x)| {
        let channel = if contract.input.color == ColorOrder::Bgr { 2 - c } else { c };
        (image.get_pixel(x as u32, y as u32)[channel] - contract.input.mean[c]) / contract.input.std[c]
    });
    values.into_dyn()
}

/// Returns by how much the second class has the larger logit, pixel by pixel.
fn margin(net: &Network, contract: &Contract, image: &Rgb32FImage) -> Array2<f32> {
    let logits = to_array(net.forward(to_tensor(&normalized(contract, image), &Device::flex())));
    let logits = logits.into_dimensionality::<Ix4>().unwrap().index_axis_move(Axis(0), 0);
    &logits.index_axis(Axis(0), 1) - &logits.index_axis(Axis(0), 0)
}

/// Shifts the second class so that about half of the image is of either class, and no pixel is
/// tied.
fn balance(net: &mut Network, contract: &Contract, image: &Rgb32FImage) {
    let mut margins: Vec<_> = margin(net, contract, image).into_iter().collect();
    margins.sort_unstable_by(f32::total_cmp);
    let third = margins.len() / 3;
    let neighbours = margins[third..2 * third].windows(2);
    let widest = neighbours.max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0]))).unwrap();
    let shift = Tensor::<1>::from_data([0.0, (widest[0] + widest[1]) / 2.0], &Device::flex());
    let Network::AmsUnet(net) = net else { panic!("the fixture is an AMSUnet") };
    let bias = net.out_conv.bias.as_ref().unwrap().val();
    net.out_conv.bias = Some(Param::from_tensor(bias - shift));
}

#[test]
fn masks_and_classes_follow_the_contract() {
    let values = noise(&[HEIGHT as usize, WIDTH as usize, 3], 1);
    let image = Rgb32FImage::from_fn(WIDTH, HEIGHT, |x, y| {
        Rgb([0, 1, 2].map(|channel| values[[y as usize, x as usize, channel]] / 4.0 + 0.5))
    });
    let mut net = network(NARROW, 1);
    let Model { contract, .. } = export(&checkpoint(&net), &Options::default()).unwrap().model;
    balance(&mut net, &contract, &image);
    let Model { graph, opset, .. } = export(&checkpoint(&net), &Options::default()).unwrap().model;
    type Change = fn(&mut Contract);
    let rows: [(&str, Change); 4] = [
        ("as it is", |_| {}),
        ("mean and deviation", |c| {
            c.input.mean = vec![0.7, 0.4, 0.2];
            c.input.std = vec![0.125, 0.25, 0.5];
        }),
        ("channels", |c| {
            c.input.color = ColorOrder::Bgr;
            c.input.mean = vec![0.25, 0.5, 0.75];
        }),
        ("classes", |c| c.classes = ["ground", "vessel"].map(|name| Class::new(name, 7)).into()),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut masks: Vec<GrayImage> = Vec::new();
    for (name, change) in rows {
        let mut contract = contract.clone();
        change(&mut contract);
        let path = folder.path().join("model.onnx");
        let model = Model { graph: graph.clone(), opset, contract: contract.clone() };
        fs::write(&path, model.to_bytes().unwrap()).unwrap();
        let mut segmenter = Segmenter::open(environment(), &path, &Default::default()).unwrap();
        assert_eq!(segmenter.contract(), &contract, "{name}");

        let margin = margin(&net, &contract, &image);
        let expected =
            GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([u8::from(margin[[y as usize, x as usize]] > 0.0)]));
        assert_eq!(ties::count(&net, &contract, &image), 0, "{name}: the image cannot tell the two apart");
        let mask = segmenter.segment(&image).unwrap().mask;
        assert!(mask == expected, "{name}: the mask is not what the contract says");
        masks.push(mask);
    }
    assert!(masks[1] != masks[0] && masks[2] != masks[0], "the contract makes no difference to this image");
}
