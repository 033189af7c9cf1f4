//! A network that takes multiples of a number, or one size, segments images of every size: mirrored
//! to the right and below and cut again, or in tiles of its size.

use std::fs;

use burn::tensor::Device;
use image::{DynamicImage, Rgb, Rgb32FImage, RgbImage};
use ndarray::{Axis, Ix4};
use seg_export::{Options, export};
use seg_inference::{Segmenter, Settings, Tiles};
use seg_nets::network::NetworkName;
use seg_nets::weights::to_array;
use seg_tests::fixtures::{checkpoint, narrow, noise, to_tensor};
use seg_tests::runtime::environment;
use seg_tests::tolerance::ONNX_RUNTIME_CPU;

/// Creates noise in bytes.
fn image([width, height]: [u32; 2]) -> Rgb32FImage {
    let values = noise(&[height as usize, width as usize, 3], 6);
    let bytes = RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|channel| (values[[y as usize, x as usize, channel]] * 63.0 + 128.0) as u8))
    });
    DynamicImage::ImageRgb8(bytes).into_rgb32f()
}

#[test]
fn images_of_every_size_are_segmented() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for name in [NetworkName::ConvUNext, NetworkName::UNext, NetworkName::SegNext, NetworkName::TransUNet] {
        let net = narrow(name, 1);
        let exported = export(&checkpoint(&net), &Options::default()).unwrap();
        let (contract, sides) = (&exported.model.contract, net.config().sides());
        fs::write(&path, &exported.bytes).unwrap();
        for size in [[51, 40], [64, 64], [101, 70]] {
            let case = format!("{name}, {}x{}", size[1], size[0]);
            let image = image(size);
            let mut segmenter = Segmenter::open(environment(), &path, &Default::default()).unwrap();
            let mask = segmenter.segment(&image).unwrap().mask;
            assert_eq!(mask.dimensions(), (size[0], size[1]), "{case}");
            let Ok(whole) = contract.preprocess(&image) else {
                assert!(sides.only.is_some_and(|only| only != [size[1] as usize, size[0] as usize]), "{case}");
                let settings = Settings { tiles: Tiles::Off, ..Settings::default() };
                let mut segmenter = segmenter.with(settings).unwrap();
                assert!(segmenter.segment(&image).is_err(), "{case}: an image of another size is run whole");
                continue;
            };
            let taken = whole.geometry.network;
            assert!(sides.fit(taken) && taken == sides.next([size[1] as usize, size[0] as usize]), "{case}: {taken:?}");
            let input = whole.tensor.insert_axis(Axis(0)).into_dyn();
            let logits = to_array(net.forward(to_tensor::<4>(&input, &Device::flex())));
            let range = logits.fold(f32::NEG_INFINITY, |a, b| a.max(*b)) - logits.fold(f32::INFINITY, |a, b| a.min(*b));
            let tie = 2.0 * ONNX_RUNTIME_CPU.max as f32 * range;
            let logits = logits.into_dimensionality::<Ix4>().unwrap();
            let mut clear = 0;
            for (x, y, pixel) in mask.enumerate_pixels() {
                let [ground, target] = [0, 1].map(|class| logits[[0, class, y as usize, x as usize]]);
                if (target - ground).abs() > tie {
                    clear += 1;
                    assert_eq!(pixel[0], u8::from(target > ground), "{case}: at {x}, {y}");
                }
            }
            assert!(clear * 100 > 99 * mask.len(), "{case}: the image shows little");
        }
    }
}
