//! The nodes that turn a network's answer into one that a contract can state.

use seg_contract::{Contract, OutputKind};

use super::{AdoptError, FLOAT, INTEGERS, UINT8, form, name, written};
use crate::proto::messages::{AttributeProto, AttributeType, NodeProto, TensorProto, ValueInfoProto};

/// The beginning of the names of values that are put behind the graph.
const PREFIX: &str = "seg_adopted_";

/// Nodes that are put behind a graph, and the name of the output then.
#[derive(Default)]
pub(super) struct Added {
    pub(super) name: String,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: Vec<TensorProto>,
}

impl Added {
    /// Chooses the nodes that turn an output into the one that the contract describes.
    pub(super) fn behind(output: &ValueInfoProto, contract: &Contract, opset: i64) -> Result<Self, AdoptError> {
        let (own, kind) = (name(output).to_owned(), contract.output.kind);
        let classes = contract.classes.len() as i64;
        let found = form(output);
        let channels = found.as_ref().and_then(|(_, dims)| *dims.get(1)?);
        let refuse = |expected: String| {
            Err(AdoptError::Form { what: "output", name: own.clone(), found: written(found.as_ref()), expected })
        };
        let mut added = Self::default();
        let (element, rank) = match &found {
            Some((element, dims)) => (*element, dims.len()),
            // What the file does not say, running it shows.
            None if kind == OutputKind::Mask => (UINT8, 3),
            None => (FLOAT, 4),
        };
        match kind {
            OutputKind::Logits | OutputKind::Probabilities => {
                let fits = element == FLOAT && rank == 4;
                match channels {
                    Some(channels) if fits && channels == classes => added.name = own,
                    None if fits => added.name = own,
                    Some(1) if fits && classes == 2 => added.put_background(&own, kind),
                    _ => {
                        let one = if classes == 2 { " or with one channel" } else { "" };
                        return refuse(format!("float32[?, {classes}, ?, ?]{one}"));
                    }
                }
            }
            OutputKind::Mask => match rank {
                3 if element == UINT8 => added.name = own,
                3 | 4 if INTEGERS.contains(&element) && (rank == 3 || channels == Some(1)) => {
                    let mut last = own;
                    if rank == 4 {
                        last = added.squeeze(last, opset);
                    }
                    added.name = added.cast(last);
                }
                _ => return refuse("integers [?, ?, ?] or [?, 1, ?, ?]".into()),
            },
        }
        Ok(added)
    }

    fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = format!("{PREFIX}{}", self.nodes.len());
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.clone()],
            name: Some(output.clone()),
            op_type: Some(operator.into()),
            attribute: attributes,
            domain: None,
        });
        output
    }

    /// Puts the channel of the background in front of that of the second class.
    fn put_background(&mut self, second: &str, kind: OutputKind) {
        let first = if kind == OutputKind::Logits {
            self.node("Sub", &[second, second], Vec::new())
        } else {
            let one = format!("{PREFIX}one");
            self.constants.push(TensorProto {
                dims: Vec::new(),
                data_type: Some(FLOAT),
                name: Some(one.clone()),
                raw_data: Some(1.0_f32.to_le_bytes().to_vec()),
                ..TensorProto::default()
            });
            self.node("Sub", &[&one, second], Vec::new())
        };
        self.name = self.node("Concat", &[&first, second], vec![integer("axis", 1)]);
    }

    /// Removes the axis of the channels.
    fn squeeze(&mut self, value: String, opset: i64) -> String {
        if opset < 13 {
            let axes = AttributeProto {
                name: Some("axes".into()),
                ints: vec![1],
                r#type: Some(AttributeType::Ints as i32),
                ..AttributeProto::default()
            };
            return self.node("Squeeze", &[&value], vec![axes]);
        }
        let axes = format!("{PREFIX}axes");
        self.constants.push(TensorProto {
            dims: vec![1],
            data_type: Some(7),
            name: Some(axes.clone()),
            raw_data: Some(1_i64.to_le_bytes().to_vec()),
            ..TensorProto::default()
        });
        self.node("Squeeze", &[&value, &axes], Vec::new())
    }

    fn cast(&mut self, value: String) -> String {
        self.node("Cast", &[&value], vec![integer("to", i64::from(UINT8))])
    }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        i: Some(value),
        r#type: Some(AttributeType::Int as i32),
        ..AttributeProto::default()
    }
}
