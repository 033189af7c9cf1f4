//! A certificate that was changed so that it shows less is refused without any key.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::certificate::Place;

/// A change that takes something away from what a certificate shows, or claims what was not shown.
type Weakening = fn(&mut Value, &mut ChaCha8Rng);

const WEAKENINGS: [(&str, Weakening); 32] = [
    ("a larger bound of the error", |document, random| multiply(&mut document["relative"], random)),
    ("a larger bound for each pixel", |document, random| multiply(&mut document["per_pixel"], random)),
    ("a larger ratio to training's error", |document, random| multiply(&mut document["times_trained"], random)),
    ("no ratio to training's error", |document, _| {
        document["times_trained"] = Value::Null;
        inputs(document).iter_mut().for_each(|input| input["times_allowed"] = Value::Null);
    }),
    ("a larger bound of training's error", |document, random| multiply(&mut document["trained_relative"], random)),
    ("other limits", |document, random| multiply(&mut document["limits"]["ordinary_roundings"], random)),
    ("more pixels before a class is judged", |document, random| {
        document["limits"]["class_pixels_least"] = random.random_range(101..1_000_000_u64).into();
    }),
    ("a bound of fewer bits", |document, _| {
        let bounds =
            json!({"precision": "float16", "relative": 2e-2, "flipped": 0.005, "dice": 0.95, "times_trained": null});
        document.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
    }),
    ("one input only", |document, random| {
        let kept = random.random_range(0..inputs(document).len());
        let kept = inputs(document)[kept].clone();
        *inputs(document) = vec![kept];
    }),
    ("an input less", |document, random| {
        let inputs = inputs(document);
        inputs.remove(random.random_range(0..inputs.len()));
    }),
    ("an input twice instead of another", |document, random| {
        let inputs = inputs(document);
        let [from, to] = [random.random_range(0..inputs.len()), random.random_range(0..inputs.len() - 1)];
        let other = (from + 1 + to) % inputs.len();
        inputs[other] = inputs[from].clone();
    }),
    ("a long list that was not compared", |document, _| document["thorough"] = true.into()),
    ("a large error", |document, random| {
        let errors = &mut input(document, random)["exported"];
        let large = errors["scale"].as_f64().unwrap() * random.random_range(1e-3..1e6);
        (errors["max"], errors["p999"], errors["rms"]) = (large.into(), large.into(), large.into());
    }),
    ("a large mean error", |document, random| {
        let errors = &mut input(document, random)["exported"];
        errors["rms"] = (1e3 * errors["scale"].as_f64().unwrap()).into();
    }),
    ("scores that are not finite", |document, random| {
        input(document, random)["exported"]["not_finite"] = random.random_range(1..10_u64).into();
    }),
    ("fewer scores", |document, random| {
        input(document, random)["exported"]["elements"] = random.random_range(0..9_u64).into()
    }),
    ("a scale of its own", |document, random| multiply(&mut input(document, random)["exported"]["scale"], random)),
    ("all pixels flipped", |document, random| {
        let mask = &mut input(document, random)["mask"];
        mask["flipped"] = mask["pixels"].clone();
    }),
    ("flipped pixels that rounding explains", |document, random| {
        let mask = &mut input(document, random)["mask"];
        (mask["flipped"], mask["widest"]) = (1.into(), 1e-9.into());
    }),
    ("unexplained pixels", |document, random| {
        input(document, random)["mask"]["unexplained"] = random.random_range(1..9_u64).into();
    }),
    ("a wider margin", |document, random| multiply(&mut input(document, random)["mask"]["margin"], random)),
    ("no pixels", |document, random| input(document, random)["mask"]["pixels"] = 0.into()),
    ("beyond 32-bit floats", |document, random| input(document, random)["beyond_float32"] = true.into()),
    ("no output of training", |document, random| {
        let input = input(document, random);
        for key in ["trained", "framework", "times_trained", "times_allowed", "largest_times_trained"] {
            input[key] = Value::Null;
        }
        input["mask"]["differing_from_trained"] = Value::Null;
    }),
    ("a large error of training", |document, random| {
        input(document, random)["framework"]["relative"] = random.random_range(1e-3..1e3).into();
    }),
    ("images that depend on each other", |document, _| {
        let batches = inputs(document).iter_mut().filter(|input| !input["batch"].is_null());
        batches.for_each(|input| input["batch"] = 0.5.into());
    }),
    ("batches that were not compared", |document, _| {
        for input in inputs(document) {
            (input["batch"], input["batch_allowed"]) = (Value::Null, Value::Null);
        }
    }),
    ("another input", |document, random| {
        let hash: String = (0..64).map(|_| char::from_digit(random.random_range(0..16), 16).unwrap()).collect();
        let fixed = random.random_range(0..inputs(document).len() - 1);
        inputs(document)[fixed]["input_sha256"] = hash.into();
    }),
    ("other weights", |document, random| {
        document["weights_sha256"] = format!("{:064x}", random.random::<u64>()).into();
    }),
    ("another model", |document, random| document["id"] = format!("{:064x}", random.random::<u64>()).into()),
    ("no reference", |document, _| document["reference"]["path"] = "".into()),
    ("an error inside", |document, random| {
        let large = random.random_range(1e-3..1e3);
        document["inside"]["found"] = large.into();
        document["inside"]["allowed"] = (2.0 * large).into();
    }),
];

/// The number of changes of each kind.
const SEEDS: u64 = 4;

fn inputs(document: &mut Value) -> &mut Vec<Value> {
    document["proof"]["cases"].as_array_mut().unwrap()
}

/// Returns a fixed input that is not made to take values beyond any range.
fn input<'d>(document: &'d mut Value, random: &mut ChaCha8Rng) -> &'d mut Value {
    let noise: Vec<_> =
        inputs(document).iter_mut().filter(|input| input["name"].as_str().unwrap().starts_with("noise")).collect();
    let place = random.random_range(0..noise.len());
    noise.into_iter().nth(place).unwrap()
}

/// Multiplies a number by some power of ten.
fn multiply(number: &mut Value, random: &mut ChaCha8Rng) {
    *number = (number.as_f64().unwrap() * 10_f64.powi(random.random_range(1..12))).into();
}

#[test]
fn no_weakened_certificate_is_accepted_without_a_key() {
    let place = Place::new();
    place.write(&place.document);
    place.require(None).unwrap();
    for (name, weaken) in WEAKENINGS {
        for seed in 0..SEEDS {
            let mut weakened = place.document.clone();
            weaken(&mut weakened, &mut ChaCha8Rng::seed_from_u64(seed));
            assert!(weakened != place.document, "{name}, seed {seed} changes nothing");
            place.write(&weakened);
            assert!(place.require(None).is_err(), "{name}, seed {seed}");
        }
    }
    assert!(WEAKENINGS.len() as u64 * SEEDS >= 100);
}
