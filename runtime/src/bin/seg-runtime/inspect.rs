//! `seg-runtime inspect`: what a model file holds.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::fs;

use anyhow::{Context, ensure};
use seg_cli::{Shown, print, print_json, warn};
use seg_contract::{Contract, SizePolicy};
use seg_inference::{Runnable, Session, parse_model, runnable};
use seg_onnx::Model;
use seg_onnx::graph::Dim;
use serde::Serialize;

use crate::args::{Inspect, Size};
use crate::engine;

/// The size to count at where neither the user nor the model names one.
const DEFAULT_SIZE: Size = Size { height: 256, width: 256 };

/// The description of a model.
#[derive(Serialize)]
struct Report {
    model: String,
    opset: i64,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
    parameters: u64,
    constant_bytes: u64,
    multiply_adds: u64,
    /// The size that the multiply-adds are counted at.
    height: u32,
    width: u32,
    /// The number of nodes of each operator.
    operators: BTreeMap<&'static str, usize>,
    contract: Contract,
    /// The graph as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    graph: Option<String>,
    /// The number of nodes of each operator that each provider computes.
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<Placement>,
}

/// An input or an output.
#[derive(Serialize)]
struct Value {
    name: String,
    /// Element type and shape, as `f32[batch, 3, height, width]`.
    #[serde(rename = "type")]
    tensor_type: String,
}

/// Counts of nodes by provider and operator.
type Placement = BTreeMap<String, BTreeMap<String, usize>>;

pub(crate) fn inspect(args: &Inspect) -> anyhow::Result<()> {
    let bytes = fs::read(&args.model).with_context(|| format!("cannot read the model `{}`", args.model.shown()))?;
    let found = runnable(&args.model, &bytes)?;
    if let Some(warning) = &found.warning {
        warn(warning);
    }
    if found.graph.is_none() {
        return inspect_contract(args, found);
    }
    let model = parse_model(&args.model, &bytes)?;
    let size = args.size.unwrap_or_else(|| own_size(&model.contract));
    size.check_for(&model.contract)?;
    let mut report = examine(&model, size)?;
    report.graph = args.graph.then(|| model.graph.to_string());
    report.placement = args.placement.then(|| placement(args)).transpose()?;
    if args.json { print_json(&serde_json::to_string_pretty(&report)?) } else { print(&describe(&report)?) }
}

/// The description of a model whose graph cannot be read.
#[derive(Serialize)]
struct ContractReport {
    contract: Contract,
    /// The reason for which nothing else is known.
    unread: Option<String>,
    /// The number of nodes of each operator that each provider computes.
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<Placement>,
}

/// Prints what is known of a model whose graph cannot be read.
fn inspect_contract(args: &Inspect, found: Runnable) -> anyhow::Result<()> {
    ensure!(!args.graph, "the graph of `{}` cannot be read, so it cannot be printed", args.model.shown());
    let placement = args.placement.then(|| placement(args)).transpose()?;
    let report = ContractReport { contract: found.contract, unread: found.warning, placement };
    if args.json {
        return print_json(&serde_json::to_string_pretty(&report)?);
    }
    let mut text = format!("contract\n{}\n", report.contract.to_json());
    write_placement(&mut text, report.placement.as_ref())?;
    print(&text)
}

/// Counts which provider computes how many nodes of which operator.
fn placement(args: &Inspect) -> anyhow::Result<Placement> {
    let (environment, options) = engine::start(&args.engine, &[&args.model])?;
    let session = engine::open(&options, || Session::open(&environment, &args.model, &options))?;
    let mut placement = Placement::new();
    for node in &session.placement().nodes {
        let operators = placement.entry(node.provider.clone()).or_default();
        *operators.entry(node.operator.clone()).or_default() += 1;
    }
    Ok(placement)
}

/// Returns the size at which the model runs, if it has only one.
pub(crate) fn own_size(contract: &Contract) -> Size {
    let size = |height, width| Size { height: height as u32, width: width as u32 };
    match (contract.input.form.size, contract.input.size) {
        (Some([height, width]), _) | (None, SizePolicy::Resize { height, width }) => size(height, width),
        (None, SizePolicy::Native) => DEFAULT_SIZE,
    }
}

fn examine(model: &Model, Size { height, width }: Size) -> anyhow::Result<Report> {
    let Model { graph, opset, contract } = model;
    let [batch_symbol, height_symbol, width_symbol] =
        [Dim::batch(), Dim::height(), Dim::width()].map(|dim| dim.to_string());
    let bindings = [
        (batch_symbol.as_str(), 1),
        (height_symbol.as_str(), i64::from(height)),
        (width_symbol.as_str(), i64::from(width)),
    ];
    let cost = graph.cost(&bindings).with_context(|| format!("cannot count the cost at {height}x{width}"))?.total;
    let mut operators = BTreeMap::new();
    for node in &graph.nodes {
        *operators.entry(node.op.name()).or_default() += 1;
    }
    let inputs = graph.inputs.iter();
    let inputs = inputs.map(|input| Value { name: input.name.clone(), tensor_type: input.tensor_type.to_string() });
    let outputs = graph.outputs.iter().map(|name| {
        let tensor_type = graph.tensor_type(name).context("an output is not a value of the graph")?.to_string();
        Ok(Value { name: name.clone(), tensor_type })
    });
    Ok(Report {
        model: graph.name.clone(),
        opset: opset.version(),
        inputs: inputs.collect(),
        outputs: outputs.collect::<anyhow::Result<_>>()?,
        parameters: cost.parameters,
        constant_bytes: cost.constant_bytes,
        multiply_adds: cost.multiply_adds,
        height,
        width,
        operators,
        contract: contract.clone(),
        graph: None,
        placement: None,
    })
}

fn describe(report: &Report) -> anyhow::Result<String> {
    let Report { model, opset, height, width, operators, .. } = report;
    let mut text = String::new();
    writeln!(text, "model          {model} (ONNX opset {opset})")?;
    for Value { name, tensor_type } in &report.inputs {
        writeln!(text, "input          {name}: {tensor_type}")?;
    }
    for Value { name, tensor_type } in &report.outputs {
        writeln!(text, "output         {name}: {tensor_type}")?;
    }
    writeln!(text, "parameters     {}", grouped(report.parameters))?;
    writeln!(text, "constants      {} bytes", grouped(report.constant_bytes))?;
    writeln!(text, "multiply-adds  {} at {height}x{width}", grouped(report.multiply_adds))?;
    writeln!(text, "operators      {}", counts(operators))?;
    writeln!(text, "contract\n{}", report.contract.to_json())?;
    if let Some(graph) = &report.graph {
        write!(text, "\n{graph}")?;
    }
    write_placement(&mut text, report.placement.as_ref())?;
    Ok(text)
}

fn write_placement(text: &mut String, placement: Option<&Placement>) -> anyhow::Result<()> {
    if let Some(placement) = placement {
        writeln!(text, "\nplacement")?;
        for (provider, operators) in placement {
            writeln!(text, "{provider}  {}", counts(operators))?;
        }
    }
    Ok(())
}

/// Writes the sum of counts, and each with its name.
fn counts<S: Display>(counts: &BTreeMap<S, usize>) -> String {
    let list: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!("{}: {}", counts.values().sum::<usize>(), list.join(", "))
}

/// Formats a number with thousands separators.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_003_456, "12,003,456")] {
            assert_eq!(grouped(number), text);
        }
    }
}
