//! Medical images of different spacings, resampled to one: the trained run, the exported model and
//! the masks agree, and masks lie on the images' own pixels.

use std::fs;

use burn::tensor::Device;
use image::GrayImage;
use seg_contract::{Contract, Evaluation, Pixels, Reading, SizePolicy, Spacing, Windowing};
use seg_data::open_image_as;
use seg_export::{Options, export};
use seg_inference::{Segmenter, Settings, Tiles, Tiling};
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::checkpoint::Checkpoint;
use seg_runtime::record::areas;
use seg_tests::medical::{RADIUS_MM, draw};
use seg_tests::runtime::environment;
use seg_tests::ties;
use seg_train::data::augment::Augmentation;
use seg_train::data::picture::Picture;
use seg_train::data::split::Split;
use seg_train::evaluate::Evaluator;
use seg_train::run::Run;
use seg_train::run::config::Config;

#[test]
fn a_run_on_anisotropic_images_segments_in_onnx_runtime_as_it_does_in_burn() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let reading = Reading {
        windowing: Some(Windowing::Fixed { center: 100.0, width: 500.0 }),
        resample: Some(Spacing([0.9, 0.9])),
        ..Reading::default()
    };
    let dataset = draw(&folder.path().join("data")).with_reading(&reading).unwrap();
    let config = Config {
        epochs: 6,
        batch_size: 1,
        learning_rate: 1e-2,
        validation: Some(0.3),
        seed: 5,
        device: "cpu".into(),
        reading,
        mean: [0.35; 3],
        std: [0.25; 3],
        ..Config::recipe(
            dataset.root.clone(),
            AmsUnetConfig::new().with_base_width(4),
            Augmentation::none(None, [32, 32]),
        )
    };
    config.check().unwrap();
    let split = Split::from_config(&dataset, &config).unwrap();
    let run = Run::create(&folder.path().join("run"), dataset, config, split).unwrap_or_else(|error| panic!("{error}"));
    run.train(|_| {}).unwrap();

    let checkpoint = Checkpoint::read(&run.folder).unwrap();
    let contract = checkpoint.contract.clone().unwrap();
    assert_eq!((contract.format, contract.input.reading), (4, reading));
    assert_eq!(Contract::from_json(&contract.to_json()).unwrap(), contract);
    let net = checkpoint.weights.to_network(&device).unwrap();
    let evaluator = Evaluator { net: &net, contract: &contract, device: &device };
    let mut masks = Vec::new();
    let samples = &run.dataset.train;
    let expected = evaluator.run(samples, |_, mask| masks.push(mask.clone())).unwrap().scores(&contract.classes);
    assert!(expected.dice_per_image > 0.8, "discs are learned: {expected:?}");

    let model = run.folder.join("model.onnx");
    fs::write(&model, export(&checkpoint, &Options::default()).unwrap().bytes).unwrap();
    let mut segmenter = Segmenter::open(environment(), &model, &Default::default()).unwrap();
    assert_eq!(segmenter.contract(), &contract);
    let mut evaluation = Evaluation::new(contract.classes.len());
    for (sample, expected) in samples.iter().zip(masks) {
        let name = &sample.name;
        let (image, truth, spacing) = sample.load_sized().unwrap();
        let own = spacing.unwrap();
        let pixels = Pixels::from(&image).with_spacing(spacing);
        assert_eq!(ties::count(&net, &contract, pixels), 0, "image {name} cannot tell the two apart");
        // From the file, as `infer` does, and from memory, as `eval` does.
        let mut reader = open_image_as(&sample.image, &segmenter.steps().reading()).unwrap();
        let found = segmenter.segment_from(reader.as_mut()).unwrap();
        assert!(found.mask == expected && segmenter.segment(pixels).unwrap().mask == expected, "image {name}");
        assert_eq!(found.mask.dimensions(), image.dimensions(), "image {name}");
        let seen = [0, 1].map(|axis| {
            let side = [image.height(), image.width()][axis];
            (f64::from(side) * own[axis] / 0.9).round() as usize
        });
        assert_eq!(found.resampled, Some(seen), "image {name}");
        let picture = Picture::load(sample, SizePolicy::Native, 1).unwrap();
        assert_eq!(picture.dimensions(), (seen[1] as u32, seen[0] as u32), "image {name}: in training");
        // The disc has its size and its place.
        let area = areas(&found.mask, &contract.classes, reader.info().spacing)[1].mm2.unwrap();
        let disc = std::f64::consts::PI * RADIUS_MM * RADIUS_MM;
        assert!((area / disc - 1.0).abs() < 0.2, "image {name}: {area} mm2, expected {disc}");
        let middle = center(&found.mask);
        for (axis, side) in [image.height(), image.width()].into_iter().enumerate() {
            let off = (middle[axis] - f64::from(side) / 2.0) * own[axis];
            assert!(off.abs() < 1.0, "image {name}: the disc lies {off} mm beside its place");
        }
        evaluation.add(&found.mask, &truth).unwrap();
    }
    assert_eq!(evaluation.scores(&contract.classes), expected);

    // In tiles of the resampled image the mask is nearly that of the whole.
    let tiles = Tiles::Of(Tiling { size: [32, 32], overlap: 0.5 });
    let mut segmenter = segmenter.with(Settings { tiles, ..Settings::default() }).unwrap();
    for sample in samples {
        let mut reader = open_image_as(&sample.image, &segmenter.steps().reading()).unwrap();
        let found = segmenter.segment_from(reader.as_mut()).unwrap();
        assert_eq!(found.mask.dimensions(), (reader.info().width, reader.info().height), "image {}", sample.name);
    }
}

/// Returns the row and the column of the middle of the target, in pixels from the corner.
fn center(mask: &GrayImage) -> [f64; 2] {
    let places = mask.enumerate_pixels().filter(|(.., label)| label[0] == 1);
    let (mut sum, mut count) = ([0.0; 2], 0.0);
    for (x, y, _) in places {
        sum = [sum[0] + f64::from(y) + 0.5, sum[1] + f64::from(x) + 0.5];
        count += 1.0;
    }
    sum.map(|sum| sum / count)
}
