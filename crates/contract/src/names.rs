//! The names and notes of a contract, which others print and write to files of many formats.

use seg_text::control::{escape, has_control};
use serde_json::Value;

use crate::{Contract, ContractError, Provenance, Scores};

/// The form of a graph's name, which needs quotes nowhere.
const GRAPH_NAME: &str = "a name of A-Z, a-z, 0-9, `_`, `.` and `-`; export the model again with such a name";

/// The form of a text.
const NO_CONTROLS: &str =
    "text without control characters such as ESC and line ends; take them out where it comes from";

/// Checks the names of the graph's input and output and those of the classes.
///
/// # Errors
/// [`ContractError::Field`] for the first that is no name.
pub(crate) fn names(contract: &Contract) -> Result<(), ContractError> {
    for (field, name) in [("input.name", &contract.input.name), ("output.name", &contract.output.name)] {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(fits) {
            return Err(ContractError::Field { field, found: quoted(name), expected: GRAPH_NAME });
        }
    }
    for class in &contract.classes {
        plain("classes.name", &class.name)?;
        for code in class.codes.iter().flat_map(|codes| [&codes.category, &codes.r#type]) {
            if !code.is_usable() {
                let found = format!("({}, {}, {})", quoted(&code.value), quoted(&code.scheme), quoted(&code.meaning));
                const EXPECTED: &str = "value and scheme of 1 to 16 characters and a meaning of 1 to 64";
                return Err(ContractError::Field { field: "classes.codes", found, expected: EXPECTED });
            }
            [&code.value, &code.scheme, &code.meaning].into_iter().try_for_each(|text| plain("classes.codes", text))?;
        }
    }
    Ok(())
}

/// Checks the notes on the origin of the weights.
///
/// # Errors
/// [`ContractError::Field`] for the first that holds a control character.
pub(crate) fn notes(contract: &Contract) -> Result<(), ContractError> {
    // All fields are named, so that a new one cannot be forgotten here.
    let Provenance {
        network,
        configuration,
        tool,
        weights_sha256,
        data,
        epoch: _,
        score,
        data_sha256,
        validation,
        training,
        precision,
        assumptions,
    } = &contract.provenance;
    for (field, note) in [
        ("provenance.network", network),
        ("provenance.configuration", configuration),
        ("provenance.tool", tool),
        ("provenance.weights_sha256", weights_sha256),
        ("provenance.data", data),
        ("provenance.score", score),
        ("provenance.data_sha256", data_sha256),
        ("provenance.precision", precision),
    ] {
        plain(field, note)?;
    }
    assumptions.iter().try_for_each(|assumption| plain("provenance.assumptions", assumption))?;
    validation.iter().try_for_each(classes)?;
    training.iter().try_for_each(|(key, value)| setting(key, value))
}

/// Checks the names of classes in scores.
fn classes(scores: &Scores) -> Result<(), ContractError> {
    let Scores { images: _, dice_per_image: _, dice_pooled, iou_pooled, mean_iou_pooled: _, accuracy_pooled: _ } =
        scores;
    dice_pooled.keys().chain(iou_pooled.keys()).try_for_each(|class| plain("provenance.validation", class))
}

/// Checks a setting of the training and all that it holds.
fn setting(key: &str, value: &Value) -> Result<(), ContractError> {
    plain("provenance.training", key)?;
    match value {
        Value::String(text) => plain("provenance.training", text),
        Value::Array(values) => values.iter().try_for_each(|value| setting("", value)),
        Value::Object(settings) => settings.iter().try_for_each(|(key, value)| setting(key, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn plain(field: &'static str, text: &str) -> Result<(), ContractError> {
    if has_control(text) {
        Err(ContractError::Field { field, found: quoted(text), expected: NO_CONTROLS })
    } else {
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    format!("`{}`", escape(text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use crate::example::contract;
    use crate::{Contract, Scores};

    #[test]
    fn names_of_the_graph_need_quotes_nowhere() {
        for (name, text, shown) in [
            ("the usual one", "input", None),
            ("a path", "model.head-2.logits_0", None),
            ("nothing", "", Some("``")),
            ("a field of Triton's configuration", "x\" } ]\ninstance_group", Some(r#"`x" } ]\u{a}instance_group`"#)),
            ("a quote and a backslash", "y\"\\", Some(r#"`y"\`"#)),
            ("a space", "a b", Some("`a b`")),
            ("markup", "<b>", Some("`<b>`")),
            ("another script", "größe", Some("`größe`")),
            ("a shape of TensorRT's profile", "x:1x3,y", Some("`x:1x3,y`")),
        ] {
            type Set = fn(&mut Contract, &str);
            let fields: [(&str, Set); 2] = [
                ("input.name", |c, text| c.input.name = text.into()),
                ("output.name", |c, text| c.output.name = text.into()),
            ];
            for (field, set) in fields {
                let mut contract = contract();
                set(&mut contract, text);
                let found = Contract::from_json(&contract.to_json()).map_err(|error| error.to_string());
                match (found, shown) {
                    (Ok(found), None) => assert_eq!(found, contract, "{name}"),
                    (Err(message), Some(shown)) => {
                        let part = format!("`{field}` is {shown}, expected a name of A-Z");
                        assert!(
                            message.contains(&part) && message.contains("export the model again"),
                            "{name}: {message}"
                        );
                    }
                    (found, _) => panic!("{name}: {found:?}"),
                }
            }
        }
    }

    #[test]
    fn names_and_notes_hold_no_control_character() {
        type Set = fn(&mut Contract, &str);
        let fields: [(&str, Set); 14] = [
            ("classes.name", |c, text| c.classes[1].name = text.into()),
            ("provenance.network", |c, text| c.provenance.network = text.into()),
            ("provenance.configuration", |c, text| c.provenance.configuration = text.into()),
            ("provenance.tool", |c, text| c.provenance.tool = text.into()),
            ("provenance.weights_sha256", |c, text| c.provenance.weights_sha256 = text.into()),
            ("provenance.data", |c, text| c.provenance.data = text.into()),
            ("provenance.score", |c, text| c.provenance.score = text.into()),
            ("provenance.data_sha256", |c, text| c.provenance.data_sha256 = text.into()),
            ("provenance.precision", |c, text| c.provenance.precision = text.into()),
            ("provenance.assumptions", |c, text| c.provenance.assumptions = vec!["a".into(), text.into()]),
            ("provenance.validation", |c, text| {
                c.provenance.validation = Some(Scores {
                    images: 1,
                    dice_per_image: 1.0,
                    dice_pooled: BTreeMap::new(),
                    iou_pooled: BTreeMap::from([(text.into(), 1.0)]),
                    mean_iou_pooled: 1.0,
                    accuracy_pooled: 1.0,
                });
            }),
            ("provenance.training", |c, text| {
                c.provenance.training.insert("a".into(), json!([{ "b": text }]));
            }),
            ("provenance.training", |c, text| {
                c.provenance.training.insert(text.into(), json!(1));
            }),
            ("provenance.training", |c, text| {
                c.provenance.training.insert("a".into(), json!({ text: null }));
            }),
        ];
        for (field, set) in fields {
            for (name, control) in [
                ("an escape sequence", '\u{1b}'),
                ("a line end", '\n'),
                ("a zero", '\0'),
                ("DEL", '\u{7f}'),
                ("C1", '\u{9b}'),
                ("an override of the direction", '\u{202e}'),
                ("an isolate", '\u{2066}'),
                ("a line separator", '\u{2028}'),
            ] {
                let mut contract = contract();
                set(&mut contract, &format!("cell{control}[2J"));
                let message = Contract::from_json(&contract.to_json()).unwrap_err().to_string();
                let part = format!("`{field}` is `cell\\u{{{:x}}}[2J`, expected text without", u32::from(control));
                assert!(message.contains(&part) && message.contains("take them out"), "{field}, {name}: {message}");
                assert!(!seg_text::control::has_control(&message), "{field}, {name}: {message:?}");
            }
            let mut contract = contract();
            set(&mut contract, "Zellkern <größer> \"als\" `5 µm` | 细胞");
            assert_eq!(Contract::from_json(&contract.to_json()).unwrap(), contract, "{field}: markup is text");
        }
    }
}
