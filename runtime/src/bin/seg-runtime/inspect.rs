//! `seg-runtime inspect`: what a model file holds.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Context;
use seg_contract::{Contract, SizePolicy};
use seg_inference::{Session, read_model};
use seg_onnx::Model;
use seg_onnx::graph::Dim;

use crate::args::{Inspect, Size};
use crate::{engine, print};

/// The size to count at where neither the user nor the model names one.
const DEFAULT_SIZE: Size = Size { height: 256, width: 256 };

pub(crate) fn inspect(args: &Inspect) -> anyhow::Result<()> {
    let model = read_model(&args.model)?;
    let size = args.size.unwrap_or_else(|| own_size(&model.contract));
    size.check_for(&model.contract)?;
    let mut text = describe(&model, size)?;
    if args.graph {
        write!(text, "\n{}", model.graph)?;
    }
    if args.placement {
        write!(text, "\n{}", placement(args)?)?;
    }
    print(&text)
}

/// Which provider computes how many nodes of which operator.
fn placement(args: &Inspect) -> anyhow::Result<String> {
    let (environment, options) = engine::start(&args.engine)?;
    let session = engine::open(&options, || Session::open(&environment, &args.model, &options))?;
    let mut operators = BTreeMap::<_, BTreeMap<_, usize>>::new();
    for node in &session.placement().nodes {
        *operators.entry(&node.provider).or_default().entry(&node.operator).or_default() += 1;
    }
    let mut text = String::from("placement\n");
    for (provider, operators) in operators {
        let nodes: usize = operators.values().sum();
        let operators: Vec<_> = operators.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(text, "{provider}  {nodes}: {}", operators.join(", "))?;
    }
    Ok(text)
}

/// The size that the model runs at, where it has one.
pub(crate) fn own_size(contract: &Contract) -> Size {
    let size = |height, width| Size { height: height as u32, width: width as u32 };
    match (contract.input.form.size, contract.input.size) {
        (Some([height, width]), _) | (None, SizePolicy::Resize { height, width }) => size(height, width),
        (None, SizePolicy::Native) => DEFAULT_SIZE,
    }
}

fn describe(model: &Model, Size { height, width }: Size) -> anyhow::Result<String> {
    let Model { graph, opset, contract } = model;
    let [batch_symbol, height_symbol, width_symbol] =
        [Dim::batch(), Dim::height(), Dim::width()].map(|dim| dim.to_string());
    let bindings = [
        (batch_symbol.as_str(), 1),
        (height_symbol.as_str(), i64::from(height)),
        (width_symbol.as_str(), i64::from(width)),
    ];
    let cost = graph.cost(&bindings).with_context(|| format!("cannot count the cost at {height}x{width}"))?.total;
    let mut operators = BTreeMap::<_, usize>::new();
    for node in &graph.nodes {
        *operators.entry(node.op.name()).or_default() += 1;
    }
    let operators: Vec<_> = operators.iter().map(|(name, count)| format!("{name} {count}")).collect();

    let mut text = String::new();
    writeln!(text, "model          {} (ONNX opset {})", graph.name, opset.version())?;
    for input in &graph.inputs {
        writeln!(text, "input          {}: {}", input.name, input.tensor_type)?;
    }
    for output in &graph.outputs {
        let tensor_type = graph.tensor_type(output).context("an output is no value of the graph")?;
        writeln!(text, "output         {output}: {tensor_type}")?;
    }
    writeln!(text, "parameters     {}", grouped(cost.parameters))?;
    writeln!(text, "constants      {} bytes", grouped(cost.constant_bytes))?;
    writeln!(text, "multiply-adds  {} at {height}x{width}", grouped(cost.multiply_adds))?;
    writeln!(text, "operators      {}: {}", graph.nodes.len(), operators.join(", "))?;
    writeln!(text, "contract\n{}", contract.to_json())?;
    Ok(text)
}

/// A number with a comma after each three digits.
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
