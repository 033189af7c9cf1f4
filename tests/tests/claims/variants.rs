//! In every form of export, a network finds the classes that Burn finds.

use std::fs;

use burn::tensor::Device;
use image::{DynamicImage, GrayImage, Rgb, Rgb32FImage, RgbImage};
use ndarray::{ArrayD, Axis, Ix4};
use seg_contract::{Contract, Element, InputForm, OutputKind};
use seg_export::{Options, export};
use seg_inference::Segmenter;
use seg_nets::network::Network;
use seg_nets::weights::to_array;
use seg_onnx::Opset;
use seg_tests::fixtures::{NARROW, checkpoint, network, noise, to_tensor};
use seg_tests::parity::{Exported, stages};
use seg_tests::runtime::environment;
use seg_tests::tolerance::ONNX_RUNTIME_CPU;

const SIZE: [u32; 2] = [51, 40];

/// Creates noise in bytes.
fn image() -> Rgb32FImage {
    let [width, height] = SIZE;
    let values = noise(&[height as usize, width as usize, 3], 6);
    let bytes = RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|channel| (values[[y as usize, x as usize, channel]] * 63.0 + 128.0) as u8))
    });
    DynamicImage::ImageRgb8(bytes).into_rgb32f()
}

/// Returns by how much the second class leads at each pixel in Burn, and the tolerance of that
/// elsewhere.
fn lead(net: &Network, contract: &Contract, image: &Rgb32FImage) -> (ArrayD<f32>, f32) {
    let input = contract.preprocess(image).unwrap().tensor.insert_axis(Axis(0)).into_dyn();
    let logits = to_array(net.forward(to_tensor::<4>(&input, &Device::flex())));
    let range = logits.fold(f32::NEG_INFINITY, |a, b| a.max(*b)) - logits.fold(f32::INFINITY, |a, b| a.min(*b));
    let logits = logits.into_dimensionality::<Ix4>().unwrap().index_axis_move(Axis(0), 0);
    let lead = &logits.index_axis(Axis(0), 1) - &logits.index_axis(Axis(0), 0);
    (lead.into_dyn(), 2.0 * ONNX_RUNTIME_CPU.max as f32 * range)
}

#[test]
fn every_form_finds_the_same_classes() {
    let net = network(NARROW, 1);
    let image = image();
    let [width, height] = SIZE;
    let size = Some([height as usize, width as usize]);
    let folder = tempfile::tempdir().unwrap();
    for element in [Element::Float, Element::U8] {
        for output in [OutputKind::Logits, OutputKind::Probabilities, OutputKind::Mask] {
            for (batch, size) in [(None, None), (Some(3), None), (Some(1), size)] {
                let name = format!("{element} to {output}, batch {batch:?}, size {size:?}");
                let input = InputForm { element, batch, size };
                let exported = export(&checkpoint(&net), &Options { input, output, ..Options::default() }).unwrap();
                let path = folder.path().join("model.onnx");
                fs::write(&path, &exported.bytes).unwrap();
                let mut segmenter = Segmenter::open(environment(), &path, &Default::default()).unwrap();
                let (lead, tie) = lead(&net, &exported.model.contract, &image);
                let mask: GrayImage = segmenter.segment(&image).unwrap().mask;
                for ((index, &lead), pixel) in lead.indexed_iter().zip(mask.pixels()) {
                    let clear = lead.abs() > tie;
                    assert!(!clear || pixel[0] == u8::from(lead > 0.0), "{name}: at {index:?} Burn's lead is {lead}");
                }
                let clear = lead.iter().filter(|lead| lead.abs() > tie).count();
                assert!(clear * 100 > 99 * lead.len(), "{name}: the image shows little");
            }
        }
    }
}

#[test]
fn every_operator_set_computes_the_same() {
    let net = network(NARROW, 1);
    let input = noise(&[2, 3, 33, 50], 2);
    let expected = stages(&net, &input);
    for opset in Opset::all() {
        let model = export(&checkpoint(&net), &Options { opset, ..Options::default() }).unwrap().model;
        Exported::open(&model).check(&format!("opset {opset}"), &input, &expected).unwrap();
    }
}
