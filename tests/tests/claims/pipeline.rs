//! The main job from end to end: images and masks give a trained run, the run gives a model, and
//! the model gives the masks and scores of the training.

use std::fs;

use burn::tensor::Device;
use seg_contract::{Evaluation, SizePolicy};
use seg_export::{Options, export};
use seg_inference::Segmenter;
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::checkpoint::Checkpoint;
use seg_nets::network::NetworkConfig;
use seg_nets::res_unet_canonical::ResUNetCanonicalConfig;
use seg_nets::unet_plus_plus::{DeepSupervision, UNetPlusPlusConfig};
use seg_onnx::Opset;
use seg_tests::runtime::environment;
use seg_tests::{discs, ties};
use seg_train::evaluate::Evaluator;

#[test]
fn a_trained_run_segments_in_onnx_runtime_as_it_does_in_burn() {
    let device = Device::flex();
    let amsunet = || NetworkConfig::from(AmsUnetConfig::new().with_base_width(4));
    // The images have sides of 33 to 47 pixels: these networks see them mirrored at the right and
    // below, up to the next multiple of 16 and of 8.
    let nested = UNetPlusPlusConfig::new().with_base_width(4).with_options(DeepSupervision::on());
    let residual = ResUNetCanonicalConfig::new().with_base_width(4);
    for (name, network, size, opset) in [
        ("at the images' own size", amsunet(), SizePolicy::Native, Opset::V20),
        ("at a size of its own", amsunet(), SizePolicy::Resize { height: 48, width: 37 }, Opset::V17),
        ("multiples of 16", NetworkConfig::from(nested), SizePolicy::Native, Opset::V20),
        ("multiples of 8", NetworkConfig::from(residual), SizePolicy::Native, Opset::V17),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let sides = network.sides();
        let run = discs::begin_run_of(folder.path(), network, size);
        run.train(|_| {}).unwrap();

        let checkpoint = Checkpoint::read(&run.folder).unwrap();
        let net = checkpoint.weights.to_network(&device).unwrap();
        let contract = checkpoint.contract.clone().unwrap();
        assert_eq!(contract.input.sides(), sides, "{name}");
        let evaluator = Evaluator { net: &net, contract: &contract, device: &device };
        let mut masks = Vec::new();
        let samples = &run.dataset.train;
        let expected = evaluator.run(samples, |_, mask| masks.push(mask.clone())).unwrap().scores(&contract.classes);

        let model = run.folder.join("model.onnx");
        fs::write(&model, export(&checkpoint, &Options { opset, ..Options::default() }).unwrap().bytes).unwrap();
        let mut segmenter = Segmenter::open(environment(), &model, &Default::default()).unwrap();
        assert_eq!(segmenter.contract(), &contract, "{name}");
        let mut evaluation = Evaluation::new(contract.classes.len());
        for (sample, expected) in samples.iter().zip(masks) {
            let (image, truth) = sample.load().unwrap();
            assert_eq!(
                ties::count(&net, &contract, &image),
                0,
                "{name}: image {} cannot tell the two apart",
                sample.name
            );
            let mask = segmenter.segment(&image).unwrap().mask;
            assert!(mask == expected, "{name}: the masks of image {} differ", sample.name);
            evaluation.add(&mask, &truth).unwrap();
        }
        assert_eq!(evaluation.scores(&contract.classes), expected, "{name}");
        let [ground, discs] =
            [0, 1].map(|class| evaluation.pooled().counts().iter().map(|row| row[class]).sum::<u64>());
        assert!(ground.min(discs) > 0, "{name}: the masks are of one class, and show little");
    }
}
