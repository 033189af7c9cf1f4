//! Several models as one.

use std::path::Path;

use image::{Rgb, Rgb32FImage};
use seg_contract::{ColorOrder, Element, InputForm, OutputKind, SizePolicy};
use seg_inference::{EnsembleError, ModelFile, Options, Segmenter, Settings, Tiles, Tiling, Uncertainty, Views};
use seg_onnx::forms;

use super::threshold;
use super::{environment, half_red, left_half, segmenter};

#[test]
fn views_and_members_are_averaged_and_their_variance_told() {
    let folder = tempfile::tempdir().unwrap();
    let model = threshold::write(folder.path(), SizePolicy::Native);
    let image = half_red(20, 12);
    let settings = |views, uncertainty| Settings { views, probabilities: true, uncertainty, ..Settings::default() };
    let single = segmenter(folder.path(), SizePolicy::Native, settings(Views::None, None)).segment(&image).unwrap();
    let models = [model.clone(), model.clone()];
    for (name, views, models) in [
        ("flips", Views::Flips, &models[..1]),
        ("members", Views::None, &models[..]),
        ("both", Views::Flips, &models[..]),
    ] {
        let ensemble = Segmenter::open_ensemble(environment(), models, &Options::default()).unwrap();
        let settings = settings(views, Some(Uncertainty::Variance));
        let found = ensemble.with(settings).unwrap().segment(&image).unwrap();
        // The model looks at each pixel alone, so all views and equal members agree.
        assert_eq!((&found.mask, &found.probabilities), (&single.mask, &single.probabilities), "{name}");
        assert!(found.uncertainty.unwrap().iter().all(|variance| *variance == 0.0), "{name}");
    }
    let alone = Segmenter::open(environment(), &model, &Options::default()).unwrap();
    let message = alone.with(settings(Views::None, Some(Uncertainty::Variance))).unwrap_err().to_string();
    assert!(message.contains("`--tta flips`"), "{message}");

    let mut entropy = segmenter(folder.path(), SizePolicy::Native, settings(Views::None, Some(Uncertainty::Entropy)));
    let sure = entropy.segment(&Rgb32FImage::from_pixel(9, 9, Rgb([1.0, 0.0, 0.0]))).unwrap().uncertainty.unwrap();
    let unsure = entropy.segment(&Rgb32FImage::from_pixel(9, 9, Rgb([0.5, 0.0, 0.0]))).unwrap().uncertainty.unwrap();
    assert!(sure.iter().all(|value| *value < 0.6) && unsure.iter().all(|value| (value - 1.0).abs() < 1e-6));
}

#[test]
fn an_ensemble_is_the_same_in_any_order_of_its_members() {
    let folder = tempfile::tempdir().unwrap();
    let any = threshold::write(folder.path(), SizePolicy::Native);
    let only = |name: &str, size| {
        let model = threshold::write_as(folder.path(), InputForm { size, ..InputForm::default() }, OutputKind::Logits);
        let path = folder.path().join(name);
        std::fs::rename(model, &path).unwrap();
        path
    };
    let (small, large) = (only("small.onnx", Some([20, 33])), only("large.onnx", Some([32, 40])));
    let open = |models: &[_]| Segmenter::open_ensemble(environment(), models, &Options::default());
    for models in [[&any, &small], [&small, &any]] {
        let mut ensemble = open(&models).unwrap();
        for (size, tiles) in [((33, 20), None), ((50, 30), Some(4))] {
            let found = ensemble.segment(&half_red(size.0, size.1)).unwrap();
            assert_eq!((found.network, found.tiles), ([20, 33], tiles), "{models:?}");
            assert_eq!(found.mask, left_half(size.0, size.1), "{models:?}");
        }
    }
    for models in [[&small, &large], [&large, &small]] {
        let error = open(&models).unwrap_err();
        assert!(error.to_string().contains("differ in the sizes that their graphs take"), "{error}");
    }
    let error = open(&[&small, &any, &large]).unwrap_err();
    assert!(error.to_string().contains("differ in the sizes"), "{error}");
}

#[test]
fn each_member_normalises_images_by_its_own_mean_and_deviation() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, mean: [f32; 3], std: [f32; 3], element| {
        let mut model = threshold::model(SizePolicy::Native);
        (model.contract.input.mean, model.contract.input.std) = (mean.to_vec(), std.to_vec());
        model.contract.input.form.element = element;
        forms::apply(&mut model.graph, "logits", &model.contract).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, model.to_bytes().unwrap()).unwrap();
        path
    };
    let floats = write("floats.onnx", [0.3, 0.4, 0.5], [0.2, 0.25, 0.3], Element::Float);
    let others = write("others.onnx", [0.6, 0.1, 0.2], [0.11, 0.3, 0.1], Element::Float);
    let bytes = write("bytes.onnx", [0.45, 0.1, 0.2], [0.13, 0.3, 0.1], Element::U8);
    let red = |x: u32, y: u32| Rgb([((x * 7 + y * 13) % 32 * 8) as f32 / 255.0, 0.25, 0.75]);
    let image = Rgb32FImage::from_fn(30, 21, red);
    let whole = Settings { probabilities: true, ..Settings::default() };
    let tiled = Settings { tiles: Tiles::Of(Tiling { size: [16, 16], overlap: 0.25 }), ..whole.clone() };
    for (name, settings, second) in
        [("whole", &whole, &others), ("in tiles", &tiled, &others), ("a graph that takes bytes", &whole, &bytes)]
    {
        let alone = |path: &Path| {
            let model = Segmenter::open(environment(), path, &Options::default()).unwrap();
            model.with(settings.clone()).unwrap().segment(&image).unwrap().probabilities.unwrap()
        };
        let (one, other) = (alone(&floats), alone(second));
        assert!((&one - &other).iter().any(|difference| difference.abs() > 0.1), "{name}: the members are alike");
        let expected = one.clone() + (other - &one) / 2.0;
        for models in [[&floats, second], [second, &floats]] {
            let ensemble = Segmenter::open_ensemble(environment(), &models, &Options::default()).unwrap();
            let found = ensemble.with(settings.clone()).unwrap().segment(&image).unwrap().probabilities.unwrap();
            let worst = (found - &expected).iter().fold(0.0_f32, |worst, error| worst.max(error.abs()));
            // The mean of two numbers is rounded in another order, and tiles are weighted.
            assert!(worst < 2e-7, "{name}: {worst}");
        }
    }
}

#[test]
fn models_are_told_by_the_bytes_that_were_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = threshold::write(folder.path(), SizePolicy::Native);
    let sha256 = seg_contract::sha256(std::fs::read(&path).unwrap());
    let segmenter = Segmenter::open_ensemble(environment(), &[&path, &path], &Options::default()).unwrap();
    // As a training that goes on would.
    std::fs::write(&path, "another model").unwrap();
    let expected = ModelFile { file: "threshold.onnx".into(), file_raw: None, sha256 };
    assert_eq!(segmenter.files(), [expected.clone(), expected]);
    let alone = segmenter.as_ref()[0].runs_on().nodes.values().sum::<usize>();
    assert_eq!(segmenter.runs_on().nodes.values().sum::<usize>(), 2 * alone, "the nodes of both");
}

#[test]
fn models_that_differ_are_no_ensemble() {
    let folder = tempfile::tempdir().unwrap();
    let first = threshold::write(folder.path(), SizePolicy::Native);
    let mut other = threshold::model(SizePolicy::Native);
    other.contract.input.color = ColorOrder::Bgr;
    let path = folder.path().join("other.onnx");
    std::fs::write(&path, other.to_bytes().unwrap()).unwrap();
    let error = Segmenter::open_ensemble(environment(), &[first, path], &Options::default()).unwrap_err();
    assert!(error.to_string().contains("differ in the order of the colours"), "{error}");
    let none: [&Path; 0] = [];
    let error = Segmenter::open_ensemble(environment(), &none, &Options::default()).unwrap_err();
    assert!(matches!(error, EnsembleError::Empty));
}
