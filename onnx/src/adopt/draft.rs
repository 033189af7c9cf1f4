//! A contract to be filled in, from what a graph says.

use seg_contract::{
    Class, ColorOrder, Contract, Element, IGNORE_LABEL, Input, InputForm, Output, OutputKind, Provenance, Reading,
    SizePolicy,
};

use super::{AdoptError, Foreign, INTEGERS, UINT8, form, name, names, written};
use crate::proto::messages::{GraphProto, ValueInfoProto};

/// A contract to be filled in, and what is known only from looking at the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The contract as far as the graph says it; the values that it cannot say are arbitrary.
    pub contract: Contract,
    /// Sentences on what was guessed, and from what.
    pub guesses: Vec<String>,
}

/// Reads from a graph as much of a contract as it says.
///
/// # Errors
/// When the bytes are no ONNX file, have a contract, or no input or output that may be an image and
/// its segmentation.
pub fn draft(bytes: &[u8]) -> Result<Draft, AdoptError> {
    let Foreign { graph, inputs, .. } = Foreign::read(bytes)?;
    let mut guesses = Vec::new();
    let absent = |what, found: &[ValueInfoProto]| AdoptError::Absent {
        what,
        expected: "of four axes".into(),
        found: names(found),
    };
    let (input, (element, dims)) = inputs
        .iter()
        .find_map(|input| Some((input, form(input).filter(|(_, dims)| dims.len() == 4)?)))
        .ok_or_else(|| absent("input", &inputs))?;
    let (output, (output_element, output_dims)) = graph
        .output
        .iter()
        .find_map(|output| Some((output, form(output).filter(|(_, dims)| [3, 4].contains(&dims.len()))?)))
        .ok_or_else(|| absent("output", &graph.output))?;
    if graph.output.len() > 1 {
        guesses.push(format!("of the outputs {}, `{}` is taken for the answer", names(&graph.output), name(output)));
    }
    let size = |dim: Option<i64>| dim.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
    let is_bytes = element == UINT8;
    let axes = if is_bytes { [0, 1, 2, 3] } else { [0, 2, 3, 1] };
    let [batch, height, width, channels] = axes.map(|axis| size(dims[axis]));
    let color = if channels == Some(1) { ColorOrder::Gray } else { ColorOrder::Rgb };
    let sides = height.zip(width).map(|(height, width)| [height, width]);
    let kind =
        if INTEGERS.contains(&output_element) { OutputKind::Mask } else { kind_by_last(&graph, output, &mut guesses) };
    let classes = match (kind, size(output_dims[1.min(output_dims.len() - 1)])) {
        (OutputKind::Mask, _) => {
            guesses.push("the graph does not say how many classes its masks have; two are named".into());
            2
        }
        (_, Some(1)) => {
            guesses.push("the answer has one channel: that of the second of two classes".into());
            2
        }
        (_, Some(classes)) if classes <= usize::from(IGNORE_LABEL) => classes,
        (_, Some(_)) => {
            let form = (output_element, output_dims);
            return Err(AdoptError::Form {
                what: "output",
                name: name(output).into(),
                found: written(Some(&form)),
                expected: "a channel for each of at most 255 classes".into(),
            });
        }
        (_, None) => {
            guesses.push("the graph does not say how many classes there are; two are named".into());
            2
        }
    };
    let (side_min, side_multiple) = if sides.is_some() { (1, 1) } else { (32, 32) };
    if sides.is_none() {
        guesses.push("sides are taken to be multiples of 32; name fewer where the network takes any".into());
    }
    let named = |index| if index == 0 { "background".to_owned() } else { format!("class {index}") };
    let input = Input {
        name: name(input).into(),
        color,
        mean: vec![0.0; color.channels()],
        std: vec![1.0; color.channels()],
        size: sides.map_or(SizePolicy::Native, |[height, width]| SizePolicy::Resize { height, width }),
        side_min,
        side_multiple,
        form: InputForm { element: if is_bytes { Element::U8 } else { Element::Float }, batch, size: sides },
        reading: Reading::default(),
    };
    let contract = Contract {
        format: input.contract_format(),
        input,
        output: Output { name: name(output).into(), kind },
        classes: (0..classes).map(|index| Class::new(named(index), index)).collect(),
        provenance: Provenance { network: graph.name.clone().unwrap_or_default(), ..Provenance::default() },
    };
    Ok(Draft { contract, guesses })
}

/// Guesses from the operator that makes an output what its numbers are.
fn kind_by_last(graph: &GraphProto, output: &ValueInfoProto, guesses: &mut Vec<String>) -> OutputKind {
    let last = graph.node.iter().find(|node| node.output.iter().any(|made| made == name(output)));
    let operator = last.and_then(|node| node.op_type.as_deref()).unwrap_or("nothing");
    let kind = match operator {
        "Softmax" | "Sigmoid" => OutputKind::Probabilities,
        _ => OutputKind::Logits,
    };
    guesses.push(format!("the answer is taken for {kind}, because {operator} makes it"));
    kind
}
