//! What speaks against a model: each finding says what was asked, and what was found.

use std::fmt;

use seg_contract::Contract;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bounds::{CLASS_PIXELS_LEAST, Precision};
use crate::masks::Overlap;

/// Something that a proven model would not show. One is enough for a verdict against it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// A weight of the reference is not the trained one.
    Weights {
        /// Its name in the checkpoint.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The reference's weights, taken together, are not those that the contract names.
    Hash {
        /// Their hash.
        found: String,
        /// The hash that the contract names.
        expected: String,
    },
    /// The file describes its input, its output or its classes otherwise.
    Contract {
        /// The field.
        field: String,
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// The training framework computes something else than the network's graph.
    Trained {
        /// The value by its path.
        value: String,
        /// Its largest error, relative to the scale.
        found: f64,
        /// How many values are not finite.
        not_finite: usize,
        /// The largest error that passes.
        allowed: f64,
    },
    /// The training framework's mask is another one.
    TrainedMask {
        /// Flipped pixels that rounding does not explain.
        unexplained: usize,
        /// The widest margin that one crossed.
        widest: f64,
        /// The widest margin that rounding explains.
        allowed: f64,
    },
    /// The file's graph is not what the passes make of the reference's.
    File {
        /// The node that differs.
        node: String,
        /// Its operator.
        operator: String,
        /// What of it differs.
        what: String,
    },
    /// Nothing was asked that a wrong model would fail: the precision is judged on images, and there was none.
    NoImage {
        /// The precision.
        precision: Precision,
    },
    /// The same, because the images show one class only: a model that answers nothing else is as good.
    OneClass {
        /// The precision.
        precision: Precision,
    },
    /// Nothing was compared: whatever the input, the network takes it beyond what 32-bit floats hold, or amplifies their rounding to the size of its answer.
    Nothing,
    /// The same of an image file, of which a proof is asked for.
    NothingOfImage,
    /// The training framework saw another input.
    Input,
    /// The output has another shape.
    Shape {
        /// The shape.
        found: Vec<usize>,
        /// The expected one.
        expected: Vec<usize>,
    },
    /// The output is infinite or not a number.
    NotFinite {
        /// At how many places.
        count: usize,
        /// Of how many.
        elements: usize,
    },
    /// The output is finite where no 32-bit float holds the exact one.
    Hidden {
        /// At how many places.
        count: usize,
        /// Of how many.
        elements: usize,
    },
    /// The output is too far from the exact one.
    Error {
        /// The largest error, relative to the scale.
        found: f64,
        /// The largest error that passes.
        allowed: f64,
    },
    /// The output is, in the root mean square, much farther from the exact one than the training framework's.
    TimesTrained {
        /// How many times its error.
        found: f64,
        /// How many times pass.
        allowed: f64,
    },
    /// An image's answer depends on the images beside it in the batch.
    Batch {
        /// The largest difference to the image's own answer, relative to the scale; of masks the share of pixels.
        found: f64,
        /// The largest difference that passes.
        allowed: f64,
    },
    /// Pixels have another class, and rounding does not explain it.
    Mask {
        /// How many.
        unexplained: usize,
        /// The widest margin that one crossed.
        widest: f64,
        /// The widest margin that rounding explains.
        allowed: f64,
    },
    /// Too many pixels have another class, though rounding may explain each.
    Flipped {
        /// Their share.
        found: f64,
        /// The largest share that passes.
        allowed: f64,
    },
    /// A class of the exact masks of all images is lost, or one that they do not show is there, or it is elsewhere.
    Class {
        /// Its name.
        class: String,
        /// Its pixels.
        pixels: Overlap,
        /// Their Dice.
        found: f64,
        /// The least that passes.
        allowed: f64,
    },
    /// A value is larger than the precision holds.
    Overflow {
        /// The value by its path.
        value: String,
        /// Its largest magnitude.
        found: f64,
        /// The largest magnitude that the precision holds.
        allowed: f64,
    },
    /// A value inside is too far from the exact one.
    Value {
        /// The value by its path.
        value: String,
        /// Its largest error, relative to the scale.
        found: f64,
        /// How many values are not finite.
        not_finite: usize,
        /// The largest error that passes.
        allowed: f64,
    },
}

impl Finding {
    /// Whether it says that too little was asked, and nothing of the model.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::NoImage { .. } | Self::OneClass { .. } | Self::Nothing | Self::NothingOfImage)
    }
}

/// The fields in which two contracts differ, as findings. Fields that say how a file is to be fed rather than what it means are
/// left out, and so is, for a contract that a run wrote, where it came from.
pub fn contract_differences(found: &Contract, expected: &Contract, of_run: bool) -> Vec<Finding> {
    let tree = |contract| serde_json::to_value(contract).expect("a contract is plain data");
    let mut findings = Vec::new();
    differences("", &tree(found), &tree(expected), &mut |field, found, expected| {
        let is_below = |part: &str| field == part || field.starts_with(&format!("{part}."));
        let ignored = FORM.iter().any(|part| is_below(part)) || of_run && is_below("provenance");
        if !ignored {
            let (field, found, expected) = (field.to_owned(), found.to_string(), expected.to_string());
            findings.push(Finding::Contract { field, found, expected });
        }
    });
    findings
}

/// The fields by which files of one model may differ.
const FORM: &[&str] = &["input.form", "output", "provenance.precision", "provenance.tool"];

fn differences(path: &str, found: &Value, expected: &Value, see: &mut dyn FnMut(&str, &Value, &Value)) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let absent = expected.keys().filter(|key| !found.contains_key(*key));
            for key in found.keys().chain(absent) {
                let of = |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or_default();
                differences(&below(key), &of(found), &of(expected), see);
            }
        }
        (found, expected) if found != expected => see(path, found, expected),
        _ => {}
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weights { tensor, problem } => write!(f, "the weights `{tensor}`: {problem}"),
            Self::Hash { found, expected } => {
                write!(f, "the reference's weights have the hash {found}, the contract names {expected}")
            }
            Self::Contract { field, found, expected } => {
                write!(f, "the contract's `{field}` is {found}, expected {expected}")
            }
            Self::Trained { value, found, not_finite, allowed } => {
                write!(f, "the training framework's `{value}` is {}", off(*found, *not_finite, *allowed))
            }
            Self::TrainedMask { unexplained, widest, allowed } => {
                write!(f, "the training framework's mask: {}", flips(*unexplained, *widest, *allowed))
            }
            Self::File { node, operator, what } => write!(
                f,
                "the file's node `{node}` ({operator}) is not what the passes make of the reference: {what}; export \
                 the model again"
            ),
            Self::NoImage { precision } => write!(
                f,
                "{precision} is proven on images only, and there was none: name some with `export --verify DIR` or \
                 `seg-runtime verify --data DIR`"
            ),
            Self::OneClass { precision } => write!(
                f,
                "{precision} is proven on images only, and in the exact masks of these only one class has \
                 {CLASS_PIXELS_LEAST} pixels: name images that show others with `export --verify DIR` or `seg-runtime \
                 verify --data DIR`"
            ),
            Self::Nothing => f.write_str(
                "no input could be compared: the network takes each beyond what 32-bit floats hold, or amplifies \
                 rounding to the size of its answer; train it anew",
            ),
            Self::NothingOfImage => f.write_str(
                "nothing could be compared: the network takes this image beyond what 32-bit floats hold, or amplifies \
                 rounding to the size of its answer; leave the image out, or train the network anew",
            ),
            Self::Input => f.write_str("the training framework saw another input: export the model again"),
            Self::Shape { found, expected } => write!(f, "the output has the shape {found:?}, expected {expected:?}"),
            Self::NotFinite { count, elements } => {
                write!(f, "{count} of {elements} outputs are infinite or not a number")
            }
            Self::Hidden { count, elements } => {
                write!(f, "{count} of {elements} outputs are finite, and no 32-bit float holds the exact ones")
            }
            Self::Error { found, allowed } => write!(f, "the output is {}", off(*found, 0, *allowed)),
            Self::TimesTrained { found, allowed } => {
                write!(f, "the error is {found:.2} times the training framework's, allowed {allowed:.2}")
            }
            Self::Batch { found, allowed } => {
                write!(
                    f,
                    "in a batch an image's answer differs by {found:.1e} of the scale, or of the mask, allowed {allowed:.1e}"
                )
            }
            Self::Mask { unexplained, widest, allowed } => {
                write!(f, "the mask: {}", flips(*unexplained, *widest, *allowed))
            }
            Self::Flipped { found, allowed } => {
                write!(f, "{:.3} % of the pixels have another class, allowed {:.3} %", 100.0 * found, 100.0 * allowed)
            }
            Self::Class { class, pixels: Overlap { exact, exported, both }, found, allowed } => {
                let how = match (exact, exported) {
                    (0, _) => "is invented",
                    (_, 0) => "is lost",
                    _ => "is another one",
                };
                write!(
                    f,
                    "class `{class}` {how}: of all images the exact masks have {exact} pixels of it, the model's \
                     {exported}, both {both}, a Dice of {found:.3}, allowed {allowed} and more"
                )
            }
            Self::Overflow { value, found, allowed } => {
                write!(f, "`{value}` reaches {found:.3e}, the precision holds {allowed:.3e}")
            }
            Self::Value { value, found, not_finite, allowed } => {
                write!(f, "`{value}` is {}", off(*found, *not_finite, *allowed))
            }
        }
    }
}

fn off(found: f64, not_finite: usize, allowed: f64) -> String {
    let more = if not_finite > 0 { format!(", and {not_finite} values are not finite") } else { String::new() };
    format!("off by {found:.1e} of its scale, allowed {allowed:.1e}{more}")
}

fn flips(unexplained: usize, widest: f64, allowed: f64) -> String {
    format!(
        "{unexplained} pixels have another class across a margin of up to {widest:.1e}, rounding explains {allowed:.1e}"
    )
}

#[cfg(test)]
mod tests {
    use seg_contract::{
        CONTRACT_FORMAT, Class, ColorOrder, Input, InputForm, Output, OutputKind, Provenance, SizePolicy,
    };

    use super::*;

    fn contract() -> Contract {
        Contract {
            format: CONTRACT_FORMAT,
            input: Input {
                name: "input".into(),
                color: ColorOrder::Rgb,
                mean: vec![0.5; 3],
                std: vec![0.25; 3],
                size: SizePolicy::Native,
                side_min: 16,
                side_multiple: 1,
                form: InputForm::default(),
            },
            output: Output { name: "logits".into(), kind: OutputKind::Logits },
            classes: vec![Class::new("background", 0), Class::new("vessel", 1)],
            provenance: Provenance { weights_sha256: "ab".into(), tool: "export".into(), ..Provenance::default() },
        }
    }

    #[test]
    fn every_field_that_means_something_is_compared() {
        type Change = fn(&mut Contract);
        let rows: [(&str, Change, Option<&str>, Option<&str>); 8] = [
            ("nothing", |_| {}, None, None),
            ("the tool", |c| c.provenance.tool = "other".into(), None, None),
            ("the colours", |c| c.input.color = ColorOrder::Bgr, Some("input.color"), Some("input.color")),
            ("the mean", |c| c.input.mean[1] += 1e-6, Some("input.mean"), Some("input.mean")),
            ("the smallest side", |c| c.input.side_min = 8, Some("input.side_min"), Some("input.side_min")),
            ("the classes' order", |c| c.classes.reverse(), Some("classes"), Some("classes")),
            ("the output's form", |c| c.output.kind = OutputKind::Mask, None, None),
            ("the weights", |c| c.provenance.weights_sha256 = "cd".into(), Some("provenance.weights_sha256"), None),
        ];
        for (name, change, of_file, of_run) in rows {
            let mut changed = contract();
            change(&mut changed);
            for (of_run, expected) in [(false, of_file), (true, of_run)] {
                let fields: Vec<_> = contract_differences(&changed, &contract(), of_run)
                    .into_iter()
                    .map(|finding| match finding {
                        Finding::Contract { field, .. } => field,
                        other => panic!("{name}: {other}"),
                    })
                    .collect();
                assert_eq!(fields.is_empty(), expected.is_none(), "{name}: {fields:?}");
                assert!(fields.iter().all(|field| Some(field.as_str()) == expected), "{name}: {fields:?}");
            }
        }
    }
}
