//! A reference that was changed so that less is asked of the model proves nothing.

use std::path::Path;

use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_inference::Session;
use seg_tests::fixtures::network;
use seg_tests::runtime::environment;
use seg_verify::bounds::CPU_FLOAT32;
use seg_verify::{ExactEvaluator, FrameworkOutput, ModelUnderTest, Reference, check_graph, prove};

use super::planted::WIDTH;
use super::{CASES, Setting};

/// A change that takes something away from what a reference shows.
type Weakening = fn(&mut Reference, &mut ChaCha8Rng);

const WEAKENINGS: [(&str, Weakening); 14] = [
    ("no output of the framework", |reference, _| reference.framework_outputs.clear()),
    ("an output is missing", |reference, random| {
        let name = reference.framework_outputs.keys().choose(random).unwrap().clone();
        reference.framework_outputs.remove(&name);
    }),
    ("all outputs but one are missing", |reference, random| {
        let kept = reference.framework_outputs.keys().choose(random).unwrap().clone();
        reference.framework_outputs.retain(|name, _| *name == kept);
    }),
    ("another input", |reference, random| {
        let digit = random.random_range(0..64);
        let output = output(reference, random);
        let other = if output.input_sha256.as_bytes()[digit] == b'0' { "1" } else { "0" };
        output.input_sha256.replace_range(digit..=digit, other);
    }),
    ("a large error", |reference, random| {
        let times = 10_f64.powi(random.random_range(3..12));
        let errors = &mut output(reference, random).logits;
        (errors.max, errors.rms) = (errors.scale * times, errors.scale * times);
    }),
    ("a mean error above the largest one", |reference, random| {
        let times = random.random_range(1.1..1e9);
        let errors = &mut output(reference, random).logits;
        errors.rms = errors.max * times;
    }),
    ("a mean error of the probabilities above the largest one", |reference, random| {
        let times = random.random_range(1.1..1e9);
        let errors = &mut output(reference, random).probabilities;
        errors.rms = errors.max * times;
    }),
    ("values that are not finite", |reference, random| {
        let errors = &mut output(reference, random).logits;
        errors.not_finite = random.random_range(1..errors.elements);
    }),
    ("fewer values", |reference, random| {
        let errors = &mut output(reference, random).logits;
        errors.elements = random.random_range(1..errors.elements);
    }),
    ("no values inside", |reference, _| {
        reference.framework_outputs.values_mut().for_each(|output| output.values.clear());
    }),
    ("a large error inside", |reference, random| {
        let times = 10_f64.powi(random.random_range(3..12));
        let values = reference.framework_outputs.values_mut().flat_map(|output| output.values.values_mut());
        let errors = values.choose(random).unwrap();
        (errors.max, errors.p999) = (errors.scale * times, errors.scale * times);
    }),
    ("a weight is not named", |reference, random| {
        let name = reference.parameters.keys().choose(random).unwrap().clone();
        reference.parameters.remove(&name);
    }),
    ("other weights are named", |reference, random| {
        let hash = &mut reference.model.contract.provenance.weights_sha256;
        let digit = random.random_range(0..hash.len());
        let other = if hash.as_bytes()[digit] == b'0' { "1" } else { "0" };
        hash.replace_range(digit..=digit, other);
    }),
    ("no pass", |reference, _| reference.passes.clear()),
];

/// The number of changes of each kind.
const SEEDS: u64 = 8;

/// Returns an output of the framework that is compared: none of values beyond 32-bit floats.
fn output<'r>(reference: &'r mut Reference, random: &mut ChaCha8Rng) -> &'r mut FrameworkOutput {
    let compared = reference.framework_outputs.iter_mut().filter(|(name, _)| name.starts_with("noise"));
    compared.map(|(_, output)| output).choose(random).unwrap()
}

#[test]
fn no_weakened_reference_proves_a_model() {
    let setting = Setting::new(network(WIDTH, 1)).with_cases(&CASES);
    let reference = setting.reference(|_| {});
    let model = &setting.export.model;
    let (path, options) = (Path::new("model.onnx"), seg_inference::Options::default());
    let bytes = &setting.export.bytes;
    let mut session = Session::start(environment(), path, bytes, model.clone(), &options).unwrap();
    let mut evaluator = ExactEvaluator::new(&reference.model.graph);
    let mut proves = |reference: &Reference| -> bool {
        // As a file, because that is what someone changes.
        let Ok(read) = Reference::from_bytes(path, &reference.to_bytes().unwrap()) else { return false };
        let tested = ModelUnderTest { reference: &read, model, bound: &CPU_FLOAT32 };
        let mut proof = prove(tested, &mut evaluator, &mut session, &setting.cases, |_| {}).unwrap();
        proof.findings.extend(check_graph(&read, model, seg_onnx::passes::PASSES).unwrap().into_iter().flatten());
        proof.holds()
    };
    assert!(proves(&reference), "a reference that is not changed");
    for (name, weaken) in WEAKENINGS {
        for seed in 0..SEEDS {
            let mut weakened = reference.clone();
            weaken(&mut weakened, &mut ChaCha8Rng::seed_from_u64(seed));
            assert!(!proves(&weakened), "{name}, seed {seed}");
        }
    }
    assert!(WEAKENINGS.len() as u64 * SEEDS >= 100);
}
