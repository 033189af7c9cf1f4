//! A file for sides that are multiples of a number computes what the file for any size computes,
//! computes no sizes, and takes images of any size through its contract.

use std::fs;

use image::{DynamicImage, Rgb, RgbImage};
use ndarray::{Axis, Ix4};
use seg_export::{ExportError, Options, export};
use seg_inference::Segmenter;
use seg_nets::network::NetworkName;
use seg_onnx::graph::{Op, PadMode, ResizeBy};
use seg_tests::fixtures::{checkpoint, narrow, noise};
use seg_tests::runtime::{environment, open};
use seg_tests::tolerance::ONNX_RUNTIME_CPU;

/// The networks that take more than one size, each with the number that its stages need.
pub(crate) const NUMBERS: [(NetworkName, usize); 9] = [
    (NetworkName::AmsUnet, 16),
    (NetworkName::UNet, 16),
    (NetworkName::UNetPlusPlus, 16),
    (NetworkName::AttentionUNet, 16),
    (NetworkName::ResUNet, 16),
    (NetworkName::ResUNetCanonical, 8),
    (NetworkName::ConvUNext, 16),
    (NetworkName::UNext, 32),
    (NetworkName::SegNext, 32),
];

fn multiples_of(number: usize) -> Options {
    Options { sides: Some(number), ..Options::default() }
}

#[test]
fn every_network_is_listed_or_takes_one_size() {
    for name in NetworkName::ALL {
        let takes_one = narrow(name, 1).config().sides().only.is_some();
        assert_eq!(NUMBERS.iter().any(|(listed, _)| *listed == name), !takes_one, "{name}");
    }
}

#[test]
fn nothing_is_computed_of_sizes_and_the_logits_are_those_of_the_file_for_any_size() {
    for (name, number) in NUMBERS {
        let net = narrow(name, 2);
        let checkpoint = checkpoint(&net);
        let any = export(&checkpoint, &Options::default()).unwrap();
        let multiples = export(&checkpoint, &multiples_of(number)).unwrap();
        // A network that demands multiples itself has this file without being asked for it.
        assert_eq!(any.bytes == multiples.bytes, net.config().sides().multiple == number, "{name}");
        for node in &multiples.model.graph.nodes {
            let computes = matches!(node.op, Op::Shape { .. })
                || matches!(node.op, Op::Resize { by: ResizeBy::Sizes, .. })
                || (matches!(node.op, Op::Pad { mode: PadMode::Constant }) && name != NetworkName::UNext);
            assert!(!computes, "{name}: {} {:?}", node.name, node.op);
        }
        let [mut any, mut multiples] = [any, multiples].map(|export| open(&export.bytes));
        for [n, height, width] in [[1, number, 3 * number], [2, 4 * number, 2 * number]] {
            // The least side may be more than one of the number.
            let [height, width] = net.config().sides().next([height, width]);
            let image = noise(&[n, 3, height, width], 5).into_dimensionality::<Ix4>().unwrap();
            let expected = any.run(image.view()).unwrap();
            let found = multiples.run(image.view()).unwrap();
            assert_eq!(found.dim(), (n, 2, height, width), "{name}");
            let range =
                expected.fold(f32::NEG_INFINITY, |a, b| a.max(*b)) - expected.fold(f32::INFINITY, |a, b| a.min(*b));
            let error = (&found - &expected).fold(0.0_f32, |worst, error| worst.max(error.abs())) / range;
            assert!(f64::from(error) <= ONNX_RUNTIME_CPU.max, "{name}, {height}x{width}: {error:e}");
        }
    }
}

#[test]
fn images_of_any_size_have_masks_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for (name, number) in [(NetworkName::AmsUnet, 16), (NetworkName::ResUNet, 48)] {
        let checkpoint = checkpoint(&narrow(name, 2));
        let mut any = open(&export(&checkpoint, &Options::default()).unwrap().bytes);
        let exported = export(&checkpoint, &multiples_of(number)).unwrap();
        fs::write(&path, &exported.bytes).unwrap();
        let mut segmenter = Segmenter::open(environment(), &path, &Default::default()).unwrap();
        for [width, height] in [[51, 40], [3, 70], [96, 48], [1, 1]] {
            let case = format!("{name}, {height}x{width}");
            let values = noise(&[height, width, 3], 6);
            let image = RgbImage::from_fn(width as u32, height as u32, |x, y| {
                Rgb([0, 1, 2].map(|channel| (values[[y as usize, x as usize, channel]] * 63.0 + 128.0) as u8))
            });
            let image = DynamicImage::ImageRgb8(image).into_rgb32f();
            let mask = segmenter.segment(&image).unwrap().mask;
            assert_eq!(mask.dimensions(), (width as u32, height as u32), "{case}");
            let mirrored = exported.model.contract.preprocess(&image).unwrap();
            assert!(mirrored.geometry.network.iter().all(|side| side.is_multiple_of(number)), "{case}");
            let logits = any.run(mirrored.tensor.view().insert_axis(Axis(0))).unwrap();
            let range = logits.fold(f32::NEG_INFINITY, |a, b| a.max(*b)) - logits.fold(f32::INFINITY, |a, b| a.min(*b));
            let tie = 2.0 * ONNX_RUNTIME_CPU.max as f32 * range;
            for (x, y, pixel) in mask.enumerate_pixels() {
                let [ground, target] = [0, 1].map(|class| logits[[0, class, y as usize, x as usize]]);
                let is_clear = (target - ground).abs() > tie;
                assert!(!is_clear || pixel[0] == u8::from(target > ground), "{case}: at {x}, {y}");
            }
        }
    }
}

#[test]
fn a_number_that_leaves_a_remainder_is_refused_and_the_right_one_is_named() {
    for (name, number) in NUMBERS {
        let error = export(&checkpoint(&narrow(name, 1)), &multiples_of(number / 2)).unwrap_err();
        assert!(
            matches!(error, ExportError::Multiple { expected: Some(least), .. } if least == number),
            "{name}: {error}"
        );
    }
    let error = export(&checkpoint(&narrow(NetworkName::TransUNet, 1)), &multiples_of(16)).unwrap_err().to_string();
    assert!(error.ends_with("the network takes 64x64; leave the number out"), "{error}");
}
