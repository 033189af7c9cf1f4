//! An exported network gives in ONNX Runtime the results that it gives in Burn, block by block and
//! as a whole.

use seg_export::{Options, export};
use seg_onnx::{Opset, Target, passes};
use seg_tests::blocks::Block;
use seg_tests::fixtures::{NARROW, checkpoint, network, noise};
use seg_tests::parity::{Exported, check, stages};
use seg_tests::runtime::run;
use seg_tests::tolerance::{Measure, ONNX_RUNTIME_CPU, Tolerance};

const OPSETS: [Opset; 2] = [Opset::V20, Opset::V17];

/// The smallest image, an even one, one whose sides the encoder halves unevenly, and the recipe's
/// crop.
const SIZES: [[usize; 2]; 4] = [[16, 16], [64, 96], [71, 93], [480, 480]];

/// The numbers of images that are computed at once.
const BATCHES: [usize; 3] = [1, 2, 3];

/// The network's width by default.
const WIDE: usize = 32;

#[test]
fn each_block_computes_the_same() {
    for block in Block::all() {
        for opset in OPSETS {
            let mut graph = block.graph.clone();
            passes::run(&mut graph, opset, Target::Portable).unwrap();
            for &(n, [height, width]) in BATCHES.map(|n| SIZES.map(|size| (n, size))).as_flattened() {
                let inputs = block.inputs([n, height, width]);
                let found = &run(&graph, opset, &inputs)["output"];
                let case = format!("{}, opset {opset}, {n} images of {height}x{width}", block.name);
                check(&case, found, &block.forward(&inputs).mapv(f64::from), &ONNX_RUNTIME_CPU).unwrap();
            }
        }
    }
}

#[test]
fn the_network_computes_the_same() {
    let narrow = BATCHES.map(|n| SIZES.map(|size| (n, size)));
    let wide = [(1, [480, 480]), (2, [64, 96]), (3, [71, 93])];
    for (base_width, rows) in [(NARROW, narrow.as_flattened()), (WIDE, &wide)] {
        let net = network(base_width, 1);
        let options = OPSETS.map(|opset| Options { opset, ..Options::default() });
        let models = options.map(|options| export(&checkpoint(&net), &options).unwrap().model);
        let mut exported = models.each_ref().map(|model| (model.opset, Exported::open(model)));
        for (seed, &(n, [height, width])) in (0..).zip(rows) {
            let input = noise(&[n, 3, height, width], seed);
            let expected = stages(&net, &input);
            for (opset, exported) in &mut exported {
                let case = format!("base width {base_width}, opset {opset}, {n} images of {height}x{width}");
                exported.check(&case, &input, &expected).unwrap();
            }
        }
    }
}

#[test]
fn what_cannot_be_measured_does_not_pass() {
    let measures = [Measure::Absolute, Measure::OfRange, Measure::OfNorm];
    for (name, found, expected, passing) in [
        ("equal", [1.0, 2.0], [1.0, 2.0], &measures[..]),
        ("close to the range", [1.0, 2.5], [1.0, 3.0], &measures[..]),
        ("close to large numbers", [101.0, 201.0], [100.0, 200.0], &measures[1..]),
        ("close to numbers that are nearly the same", [100.0, 100.5], [100.0, 100.25], &[measures[0], measures[2]]),
        ("all the same", [1.0, 1.0], [1.0, 1.0], &[measures[0], measures[2]]),
        ("all zero", [0.0, 0.0], [0.0, 0.0], &measures[..1]),
        ("not a number", [f32::NAN, 2.0], [1.0, 2.0], &[]),
        ("the same infinity", [f32::INFINITY, 2.0], [f64::INFINITY, 2.0], &[]),
    ] {
        let (found, expected) = (ndarray::arr1(&found).into_dyn(), ndarray::arr1(&expected).into_dyn());
        let passes = |measure| check(name, &found, &expected, &Tolerance { measure, max: 0.5, reason: "" }).is_ok();
        assert_eq!(measures.map(passes), measures.map(|measure| passing.contains(&measure)), "{name}");
    }
}
