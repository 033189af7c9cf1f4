//! Findings about the contract of a model's file.

use seg_contract::Contract;
use serde_json::Value;

use super::Finding;

/// Compares two contracts and returns a finding for each field that differs.
///
/// Fields that describe the file's form rather than its meaning are left out, and so is the
/// provenance for a contract that a run wrote (`of_run`).
pub fn contract_differences(found: &Contract, expected: &Contract, of_run: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    differences("", &to_json(found), &to_json(expected), &mut |field, found, expected| {
        let is_ignored = FORM.iter().any(|part| is_within(field, part)) || of_run && is_within(field, "provenance");
        if !is_ignored {
            let (field, found, expected) = (field.to_owned(), found.to_string(), expected.to_string());
            findings.push(Finding::Contract { field, found, expected });
        }
    });
    findings
}

fn to_json(contract: &Contract) -> Value {
    serde_json::to_value(contract).expect("a contract is plain data")
}

/// Returns true if a field is `part` or lies in it.
fn is_within(field: &str, part: &str) -> bool {
    field.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The fields by which files of one model may differ.
const FORM: &[&str] = &["input.form", "output", "provenance.precision", "provenance.tool"];

/// Calls `see` with each leaf that differs, by its path.
fn differences(path: &str, found: &Value, expected: &Value, see: &mut dyn FnMut(&str, &Value, &Value)) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let absent = expected.keys().filter(|key| !found.contains_key(*key));
            for key in found.keys().chain(absent) {
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                let [found, expected] = [found, expected].map(|object| object.get(key).unwrap_or(&Value::Null));
                differences(&path, found, expected, see);
            }
        }
        (found, expected) if found != expected => see(path, found, expected),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use seg_contract::{
        CONTRACT_FORMAT, Class, ColorOrder, Input, InputForm, Output, OutputKind, Provenance, Reading, SizePolicy,
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
                reading: Reading::default(),
            },
            output: Output { name: "logits".into(), kind: OutputKind::Logits },
            classes: vec![Class::new("background", 0), Class::new("vessel", 1)],
            provenance: Provenance { weights_sha256: "ab".into(), tool: "export".into(), ..Provenance::default() },
        }
    }

    #[test]
    fn every_field_with_a_meaning_is_compared() {
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
