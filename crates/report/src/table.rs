//! The tables of a report: classes, the confusion matrix, and lists of names and values.

use maud::{Markup, html};
use seg_contract::{Class, ConfusionMatrix};
use serde_json::Value;

/// Renders a row of scores per class, over all pixels.
pub fn classes(classes: &[Class], confusion: &ConfusionMatrix) -> Markup {
    let pixels: u64 = confusion.counts().iter().flatten().sum();
    let optional = |value: Option<f64>| value.map_or_else(|| "–".into(), score);
    html! {
        div.wide {
            table {
                thead {
                    tr { th { "Class" } th.n { "IoU" } th.n { "Dice" } th.n { "Precision" } th.n { "Recall" } th.n { "Share of pixels" } }
                }
                tbody {
                    @for (index, class) in classes.iter().enumerate() {
                        @let truth: u64 = confusion.counts()[index].iter().sum();
                        tr {
                            th scope="row" { (color(class.color)) (class.name) }
                            td.n { (score(confusion.iou(index))) }
                            td.n { (score(confusion.dice(index))) }
                            td.n { (optional(confusion.precision(index))) }
                            td.n { (optional(confusion.recall(index))) }
                            td.n { (percent(truth, pixels)) }
                        }
                    }
                }
            }
        }
    }
}

/// Renders the confusion matrix: each row's shares, with the numbers of pixels below them.
pub fn confusion(classes: &[Class], confusion: &ConfusionMatrix) -> Markup {
    html! {
        div.wide {
            table.confusion {
                thead {
                    tr { th { "true ↓  predicted →" } @for class in classes { th.n { (class.name) } } }
                }
                tbody {
                    @for (class, row) in classes.iter().zip(confusion.counts()) {
                        @let all: u64 = row.iter().sum();
                        tr {
                            th scope="row" { (class.name) }
                            @for count in row {
                                @let share = *count as f64 / all.max(1) as f64;
                                td.n style=(format!("--share:{share:.3}")) { (percent(*count, all)) small { (grouped(*count)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Renders names and values, a row each.
pub fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } }
    }
}

/// Renders a value's fields by their paths, a row each.
pub fn settings(value: &Value) -> Markup {
    let mut rows = Vec::new();
    flatten(String::new(), value, &mut rows);
    html! {
        dl.settings { @for (path, text) in &rows { div { dt { (path) } dd { (text) } } } }
    }
}

/// Lists the leaves of a value by their paths; a list of plain values is one leaf.
fn flatten(path: String, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(path, value, rows);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                flatten(format!("{path}.{index}"), item, rows);
            }
        }
        Value::Array(items) => rows.push((path, items.iter().map(leaf).collect::<Vec<_>>().join(", "))),
        value => rows.push((path, leaf(value))),
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Renders a small square of a colour.
pub fn color([red, green, blue]: [u8; 3]) -> Markup {
    html! { span.color style={ "background:#" (format!("{red:02x}{green:02x}{blue:02x}")) } {} }
}

/// Formats a score with four digits.
pub fn score(value: f64) -> String {
    format!("{value:.4}")
}

/// Formats a part of a whole; a part of 0 is a dash.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "–".into() } else { format!("{:.2} %", 100.0 * part as f64 / whole as f64) }
}

/// Formats a number with thousands separators.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1\u{202f}000"), (1_234_567, "1\u{202f}234\u{202f}567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn every_setting_has_a_row() {
        let mut rows = Vec::new();
        let value = json!({"lr": 0.002, "size": {"native": true}, "mean": [0.5, 1], "init": null, "list": [{"a": "x"}], "none": {}});
        flatten(String::new(), &value, &mut rows);
        rows.sort();
        let rows: Vec<_> = rows.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert_eq!(
            rows,
            [
                ("init", "–"),
                ("list.0.a", "x"),
                ("lr", "0.002"),
                ("mean", "0.5, 1"),
                ("none", "{}"),
                ("size.native", "true")
            ]
        );
    }

    #[test]
    fn a_class_that_was_never_there_has_no_precision() {
        let names = [Class::new("background", 0), Class::new("a < b", 1), Class::new("absent", 2)];
        let matrix: ConfusionMatrix = serde_json::from_str(r#"{"counts":[[900,100,0],[50,950,0],[0,0,0]]}"#).unwrap();
        let table = classes(&names, &matrix).into_string();
        for part in ["a &lt; b", "0.9500", "50.00 %", "–"] {
            assert!(table.contains(part), "no {part:?} in {table}");
        }
        let table = confusion(&names, &matrix).into_string();
        for part in ["90.00 %<small>900</small>", "--share:0.950", "–<small>0</small>"] {
            assert!(table.contains(part), "no {part:?} in {table}");
        }
    }
}
