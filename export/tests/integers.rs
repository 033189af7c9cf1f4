//! 8-bit graphs give in ONNX Runtime the results that they describe; and the parts of the network
//! that become 8-bit together.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use burn::tensor::Device;
use ndarray::{Array4, ArrayD, Axis, IxDyn};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_export::{Options, export};
use seg_inference::library::{Build, Search};
use seg_inference::{Options as SessionOptions, Provider, Session as ModelSession};
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::checkpoint::Checkpoint;
use seg_nets::weights::Weights;
use seg_onnx::evaluate::{Array, evaluate};
use seg_onnx::graph::{Conv, Dim, Graph, GraphBuilder, Tensor};
use seg_onnx::precision::{Range, Ranges, Scheme, float_groups, quantizable, quantize};
use seg_onnx::{Opset, Target, proto};

/// Maps, and their height and width.
const SIDES: [usize; 2] = [13, 18];
/// The name of the convolution in question.
const CONV: &str = "conv";

/// Builds a convolution of `[filters, channels, height, width]` by weights up to 1, and its
/// readers.
fn network([filters, channels, height, width]: [usize; 4], group: usize, weight: impl FnMut() -> f32) -> Graph {
    let mut builder = GraphBuilder::new("network");
    let sides = SIDES.map(|side| Dim::try_from(side).unwrap());
    let shape = [1.into(), Dim::try_from(channels * group).unwrap(), sides[0].clone(), sides[1].clone()];
    let image = builder.input("image", shape).unwrap();
    let weights: Vec<f32> = std::iter::repeat_with(weight).take(filters * channels * height * width).collect();
    let weights = Tensor::new([filters, channels, height, width], weights).unwrap();
    let mut root = builder.root();
    let x = root.conv(CONV, image, weights, None, Conv { group, ..Conv::default() }).unwrap();
    let y = root.relu("y", x).unwrap();
    builder.finish(&[("y", y)]).unwrap()
}

/// ONNX Runtime, which a process can start once; with the CPU alone a static does no harm.
fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| Search::from_env(None, Build::Cpu).locate().unwrap().load().unwrap())
}

fn exact(graph: &Graph, image: &ArrayD<f32>, name: &str) -> ArrayD<f64> {
    match evaluate(graph, &[("image", image.mapv(f64::from))], &[name]).unwrap().remove(name) {
        Some(Array::F64(values)) => values,
        other => panic!("{other:?}"),
    }
}

/// ONNX Runtime's kernels differ by processor: where products of neighbours are added in 16 bits,
/// this fails if they do not fit.
#[test]
fn onnx_runtime_computes_what_the_integers_say() {
    let environment = environment();
    for (name, shape, group) in [
        ("1x1", [8, 64, 1, 1], 1),
        ("1x1, odd channels", [8, 33, 1, 1], 1),
        ("3x3", [8, 16, 3, 3], 1),
        ("3x3, odd channels", [8, 9, 3, 3], 1),
        ("groups of odd channels", [8, 3, 3, 3], 2),
        ("several of a channel", [24, 1, 3, 3], 8),
        ("depthwise", [16, 1, 5, 5], 16),
    ] {
        for scheme in [Scheme::Cpu, Scheme::TensorRt] {
            for (kind, weight_min, image_min) in
                [("one sign, full scale", 1.0, 1.0), ("one sign", 0.7, 0.5), ("mixed", -1.0, -1.0)]
            {
                let case = format!("{name}, {kind}, {scheme:?}");
                let mut random = ChaCha8Rng::seed_from_u64(5);
                let mut number = |min| random.random_range(min..=1.0_f32);
                let before = network(shape, group, || number(weight_min));
                let sides = [1, shape[1] * group, SIDES[0], SIDES[1]];
                let image = ArrayD::from_shape_simple_fn(IxDyn(&sides), || number(image_min));
                let values = exact(&before, &image, CONV);
                let reach = values.iter().fold(0.0, |reach: f64, value| reach.max(value.abs())) as f32;
                let range = |reach: f32| Range { min: -reach, max: reach };
                let ranges = Ranges::from([("image".into(), range(1.0)), (CONV.into(), range(reach))]);
                let graph = quantize(&before, &BTreeSet::from([CONV]), &ranges, scheme).unwrap().graph;

                let bytes = proto::write(&graph, Opset::V20, &[]).unwrap();
                let mut session = Session::builder(environment).unwrap().commit_from_memory(&bytes).unwrap();
                let tensor = TensorRef::from_array_view(image.view()).unwrap();
                let outputs = session.run(ort::inputs!["image" => tensor]).unwrap();
                let found = outputs["y"].try_extract_array::<f32>().unwrap().mapv(f64::from);
                let expected = exact(&graph, &image, "y");
                // Both round the exact sum to a step, and what is next to the middle of two may go
                // to either.
                let step = f64::from(2.0 * reach / 255.0);
                let worst = (&found - &expected).iter().fold(0.0, |worst: f64, value| worst.max(value.abs())) / step;
                assert!(worst < 1.5, "{case}: off by {worst} steps");
                let float = exact(&before, &image, "y");
                let rounded = (&expected - &float).iter().fold(0.0, |worst: f64, value| worst.max(value.abs())) / step;
                assert!(rounded > 0.0 && rounded < 6.0, "{case}: rounding takes {rounded} steps");
            }
        }
    }
}

#[test]
fn the_network_goes_to_integers_in_stretches_between_activations() {
    let weights = Weights::from_network(&AmsUnetConfig::new().init(&Device::flex()));
    let checkpoint = Checkpoint { path: "net.safetensors".into(), weights, contract: None };
    // Attention from its first depthwise convolution goes with the first half of the feed-forward
    // part, whose second half goes with the residual, and with what gives the residual.
    let mut expected = vec![("in_conv.amse.attention.conv1".to_owned(), "in_conv.amse.attention.conv1".to_owned())];
    let mut add = |first: &str, last: &str| expected.push((first.to_owned(), last.to_owned()));
    add("in_conv.amse.attention.ams.local", "in_conv.amse.ffn.local");
    add("in_conv.amse.ffn.project", "in_conv.amse.sum");
    for stage in ["down1", "down2", "down3", "down4"] {
        add(&format!("{stage}.conv"), &format!("{stage}.amse.sum"));
        add(&format!("{stage}.amse.attention.ams.local"), &format!("{stage}.amse.ffn.local"));
    }
    for stage in ["up1", "up2", "up3", "up4"] {
        add(&format!("{stage}.conv.part_2.before"), &format!("{stage}.conv.part_2.before"));
        add(&format!("{stage}.rsc.product.factor"), &format!("{stage}.amse.sum"));
        add(&format!("{stage}.amse.attention.ams.local"), &format!("{stage}.amse.ffn.local"));
    }
    for target in [Target::Portable, Target::Cpu] {
        let graph = export(&checkpoint, &Options { target, ..Options::default() }).unwrap().model.graph;
        let nodes: BTreeSet<_> = quantizable(&graph, Scheme::Cpu).into_iter().collect();
        let parts = float_groups(&graph, &nodes);
        let whole = |name: &str| name.split(".slice_").next().unwrap().to_owned();
        let ends: Vec<_> = parts.iter().map(|part| (whole(part[0]), whole(part[part.len() - 1]))).collect();
        assert_eq!(ends, expected, "{target}");
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), nodes.len(), "{target}");
        for node in &graph.nodes {
            let part_of = |name: &str| parts.iter().position(|part| part.contains(&name));
            let Some(own) = part_of(&node.name) else { continue };
            for operand in node.inputs.iter().filter_map(|operand| part_of(operand)) {
                assert_eq!(operand, own, "{target}: `{}` reads another part", node.name);
            }
        }
    }
}

/// The largest and the mean difference of logits, and the share of pixels of another class.
fn differences(found: &Array4<f32>, expected: &Array4<f32>) -> [f64; 3] {
    let errors = found.iter().zip(expected).map(|(found, expected)| f64::from((found - expected).abs()));
    let (largest, sum) = errors.fold((0.0, 0.0), |(largest, sum): (f64, f64), error| (largest.max(error), sum + error));
    let classes = [found, expected].map(|logits| logits.map_axis(Axis(1), |pixel| pixel[1] > pixel[0]));
    let flipped = classes[0].iter().zip(&classes[1]).filter(|(found, expected)| found != expected).count();
    [largest, sum / found.len() as f64, flipped as f64 / classes[0].len() as f64]
}

#[test]
fn the_fused_kernel_computes_what_onnx_runtime_does_of_a_file_that_the_program_wrote() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    device.seed(4);
    // More than one block of channels everywhere but in the first maps.
    let net = AmsUnetConfig::new().with_base_width(16).init(&device);
    Weights::from_network(&net).write(&folder.path().join("net.safetensors"), None).unwrap();
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample/nuclei/test/images");
    let image = std::fs::read_dir(&images).unwrap().map(|file| file.unwrap().path()).min().unwrap();
    let write = |name: &str, flags: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_export"));
        command.current_dir(folder.path()).args(["--quiet", "--checkpoint", "net.safetensors", "--no-verify"]);
        command.args(["--network-option", "norm=bf,residual=n,dilation=1-1-1-3-5", "--classes", "background,nucleus"]);
        command.args(["--mean", "0.1,0.1,0.1", "--std", "0.2,0.2,0.2", "--out", name]).args(flags.split_whitespace());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{flags}: {}", String::from_utf8_lossy(&output.stderr));
        folder.path().join(name)
    };
    let floats = write("floats.onnx", "--target fused");
    let integers = write(
        "integers.onnx",
        &format!("--target fused --precision int8 --max-dice-loss 1 --calibrate {}", image.display()),
    );
    let pixels = image::open(&image).unwrap().to_rgb8();
    // Odd sides, and a batch of two.
    let tensor = Array4::from_shape_fn((2, 3, 75, 86), |(n, channel, y, x)| {
        (f32::from(pixels.get_pixel((100 * n + x) as u32, y as u32).0[channel]) / 255.0 - 0.1) / 0.2
    });
    let run = |path: &Path, provider, tensor: &Array4<f32>| {
        let options = SessionOptions { provider, ..SessionOptions::default() };
        ModelSession::open(environment(), path, &options).unwrap().run(tensor.view()).unwrap()
    };
    let [of_floats, expected] = [&floats, &integers].map(|path| run(path, Provider::Cpu, &tensor));
    let found = run(&integers, Provider::Fused, &tensor);
    // A value next to a tie goes to another step where the last bits of a float are others, and
    // moves those behind it. So does an input with other last bits, in ONNX Runtime alone.
    let nearly = tensor.indexed_iter().map(|((_, _, y, x), value)| value * (1.0 + ((x + y) % 3) as f32 * 1e-6));
    let nearly = Array4::from_shape_vec(tensor.dim(), nearly.collect()).unwrap();
    let [_, of_last_bits, _] = differences(&run(&integers, Provider::Cpu, &nearly), &expected);
    let scale = expected.iter().fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
    let [largest, mean, flipped] = differences(&found, &expected);
    assert!(largest < 2e-2 * scale && flipped < 5e-3, "{largest:e} of {scale:e}, {flipped:e} of the pixels");
    assert!(mean < 2.0 * of_last_bits, "{mean:e} between the engines, {of_last_bits:e} by last bits");
    let [_, of_rounding, _] = differences(&of_floats, &expected);
    assert!(of_rounding > 4.0 * mean && mean > 0.0, "{of_rounding:e} by rounding, {mean:e} between the engines");
}
