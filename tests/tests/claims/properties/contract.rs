//! A contract is read as it was written.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seg_contract::{
    Class, ColorOrder, Contract, Element, Input, InputForm, Output, OutputKind, Provenance, Reading, Scores, SizePolicy,
};
use seg_text::control;
use serde_json::Map;

use super::{check, note, text};

/// Makes the name of a graph's input or output.
fn graph_name() -> impl Strategy<Value = String> {
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain("_.-".chars()).collect();
    prop::collection::vec(prop::sample::select(letters), 1..8).prop_map(String::from_iter)
}

/// Makes the sides that a network takes: the least one, the number that each is a multiple of, and
/// two sides.
fn sides() -> impl Strategy<Value = (usize, usize, [usize; 2])> {
    let multiple = prop_oneof![Just(1_usize), 1..=64_usize];
    (1..=200_usize, multiple, [0..40_usize, 0..40]).prop_map(|(least, multiple, steps)| {
        let first = least.next_multiple_of(multiple);
        (least, multiple, steps.map(|steps| first + steps * multiple))
    })
}

/// Makes an input that a contract may have, for any image or for images of one size.
fn input() -> impl Strategy<Value = Input> {
    let color = prop::sample::select(vec![ColorOrder::Rgb, ColorOrder::Bgr, ColorOrder::Gray]);
    let element = prop::sample::select(vec![Element::Float, Element::U8]);
    let numbers = ([-2.0_f32..2.0, -2.0_f32..2.0, -2.0_f32..2.0], [1e-6_f32..4.0, 1e-6_f32..4.0, 1e-6_f32..4.0]);
    let form = (element, prop::option::of(1..9_usize), any::<bool>(), any::<bool>());
    (graph_name(), color, numbers, sides(), form).prop_map(|(name, color, (mean, std), sides, form)| {
        let (side_min, side_multiple, [height, width]) = sides;
        let (element, batch, is_stretched, is_fixed) = form;
        let channels = color.channels();
        Input {
            name,
            color,
            mean: mean[..channels].to_vec(),
            std: std[..channels].to_vec(),
            size: if is_stretched { SizePolicy::Resize { height, width } } else { SizePolicy::Native },
            side_min,
            side_multiple,
            reading: Reading::default(),
            form: InputForm { element, batch, size: is_fixed.then_some([height, width]) },
        }
    })
}

/// Makes scores of a validation part.
fn scores() -> impl Strategy<Value = Scores> {
    let pooled =
        prop::collection::vec((note(), any::<f64>().prop_filter("JSON has finite numbers", |x| x.is_finite())), 0..3);
    (any::<u32>(), [0.0..=1.0, 0.0..=1.0, 0.0..=1.0], pooled).prop_map(|(images, scores, pooled)| {
        let pooled = BTreeMap::from_iter(pooled);
        Scores {
            images: images as usize,
            dice_per_image: scores[0],
            dice_pooled: pooled.clone(),
            iou_pooled: pooled,
            mean_iou_pooled: scores[1],
            accuracy_pooled: scores[2],
        }
    })
}

/// Makes contracts with values in all fields.
fn contracts() -> impl Strategy<Value = Contract> {
    let kind = prop::sample::select(vec![OutputKind::Logits, OutputKind::Probabilities, OutputKind::Mask]);
    let class = (note(), any::<[u8; 3]>()).prop_map(|(name, color)| Class { name, color, codes: None });
    let texts = prop::array::uniform8(note());
    let provenance = (texts, prop::option::of(any::<usize>()), prop::option::of(scores()));
    let classes = prop::collection::vec(class, 2..6);
    (input(), (graph_name(), kind), classes, provenance).prop_map(|(input, (name, kind), classes, provenance)| {
        let ([network, configuration, tool, weights_sha256, data, score, data_sha256, precision], epoch, validation) =
            provenance;
        let training = Map::from_iter([(data.clone(), score.clone().into())]);
        let assumptions = vec![tool.clone(), precision.clone()];
        Contract {
            format: input.contract_format(),
            input,
            output: Output { name, kind },
            classes,
            provenance: Provenance {
                network,
                configuration,
                tool,
                weights_sha256,
                data,
                epoch,
                score,
                data_sha256,
                validation,
                training,
                precision,
                assumptions,
            },
        }
    })
}

#[test]
fn a_contract_is_read_as_it_was_written() {
    check(300, &contracts(), |contract| {
        let json = contract.to_json();
        assert_eq!(Contract::from_json(&json).unwrap(), contract, "{json}");
        assert!(crate::fuzz::contract(json.as_bytes()), "{json}");
    });
}

#[test]
fn a_contract_with_a_control_character_is_refused_and_its_error_has_none() {
    check(300, &(contracts(), text()), |(mut contract, name)| {
        let is_plain = !control::has_control(&name);
        contract.classes[1].name = name;
        match Contract::from_json(&contract.to_json()) {
            Ok(read) => assert!(is_plain && read == contract),
            Err(error) => assert!(!is_plain && !control::has_control(&error.to_string()), "{error}"),
        }
    });
}
