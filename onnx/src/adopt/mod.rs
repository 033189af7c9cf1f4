//! Other people's models: a segmentation network that another program exported gets a contract.
//!
//! The graph stays as it is. Its sizes get the names of this toolchain, outputs that the contract
//! does not name are left out, and where the network answers in another form than a contract can
//! state, a node or two are put behind it:
//!
//! - one channel `z` for two classes: the logits `[z - z, z]`, whose softmax is the sigmoid of `z`;
//! - one channel `p` of probabilities: `[1 - p, p]`;
//! - a mask of other integers, or with an axis of one channel: bytes, without that axis.

mod behind;
mod draft;
mod wire;

pub use draft::{Draft, draft};

use behind::Added;
use prost::Message as _;
use seg_contract::{Contract, ContractError, Element, OutputKind, sha256};
use thiserror::Error;
use wire::{Field, Message, fields};

use crate::graph::Dim;
use crate::model::{CERTIFICATE_KEY, CONTRACT_KEY, Model};
use crate::proto::messages::*;
use crate::proto::{ReadError, read_metadata};

/// The key in an ONNX file's `metadata_props` that an adopted model has: the hash of its graph and
/// its contract.
pub const ADOPTED_KEY: &str = "seg.adopted";

/// The fields of `ModelProto` and `GraphProto` that are changed.
const GRAPH: u32 = 7;
const METADATA: u32 = 14;
const NODE: u32 = 1;
const INITIALIZER: u32 = 5;
const INPUT: u32 = 11;
const OUTPUT: u32 = 12;

/// The numbers of element types in ONNX.
const FLOAT: i32 = 1;
const UINT8: i32 = 2;
const INTEGERS: [i32; 7] = [UINT8, 3, 4, 5, 6, 7, 12];

/// The reason for which a model cannot be adopted.
#[derive(Debug, Error)]
pub enum AdoptError {
    /// The bytes are not an ONNX file.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The bytes are not an ONNX file.
    #[error("cannot read the bytes as an ONNX model: they are something else or cut off")]
    Decode(#[from] prost::DecodeError),
    /// The file has a contract.
    #[error("the model has a contract already; it was exported by this toolchain or adopted before")]
    HasContract,
    /// The contract cannot be used.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The graph lacks the input or the output that the contract names, or has too many.
    #[error("the model has no {what} `{expected}`; it has {found}")]
    Absent {
        /// Input or output.
        what: &'static str,
        /// The name in the contract.
        expected: String,
        /// The names in the graph.
        found: String,
    },
    /// The network needs more than an image.
    #[error("the network takes `{found}` besides `{input}`; expected one input, an image")]
    Inputs {
        /// The image.
        input: String,
        /// The other inputs.
        found: String,
    },
    /// The input or the output has another form.
    #[error("the {what} `{name}` is {found}, the contract asks for {expected}")]
    Form {
        /// Input or output.
        what: &'static str,
        /// Its name.
        name: String,
        /// Its type in the graph.
        found: String,
        /// The types that would do.
        expected: String,
    },
}

/// An ONNX file as far as adopting needs it.
struct Foreign {
    graph: GraphProto,
    opset: i64,
    inputs: Vec<ValueInfoProto>,
}

impl Foreign {
    fn read(bytes: &[u8]) -> Result<Self, AdoptError> {
        let model = ModelProto::decode(bytes)?;
        if read_metadata(bytes)?.iter().any(|(key, _)| key == CONTRACT_KEY) {
            return Err(AdoptError::HasContract);
        }
        let graph = model.graph.ok_or(ReadError::Missing { owner: "the model".into(), part: "graph" })?;
        let default = |domain: &Option<String>| domain.as_deref().is_none_or(|name| ["", "ai.onnx"].contains(&name));
        let opset = model.opset_import.iter().find(|import| default(&import.domain));
        let opset = opset.and_then(|import| import.version).unwrap_or(1);
        // Old exporters list constants as inputs too.
        let is_constant = |name: &Option<String>| graph.initializer.iter().any(|constant| constant.name == *name);
        let inputs = graph.input.iter().filter(|input| !is_constant(&input.name)).cloned().collect();
        Ok(Self { graph, opset, inputs })
    }
}

/// The element type and the sizes of a tensor; `None` for a size that is open.
type Form = (i32, Vec<Option<i64>>);

fn name(value: &ValueInfoProto) -> &str {
    value.name.as_deref().unwrap_or_default()
}

fn form(value: &ValueInfoProto) -> Option<Form> {
    let tensor = value.r#type.as_ref()?.tensor_type.as_ref()?;
    let dims = tensor.shape.as_ref()?.dim.iter().map(|dim| match dim.value {
        Some(DimensionValue::Value(size)) => Some(size),
        _ => None,
    });
    Some((tensor.elem_type.unwrap_or_default(), dims.collect()))
}

/// Writes a form as in `element type 1 [?, 3, ?, ?]`.
fn written(form: Option<&Form>) -> String {
    let Some((element, dims)) = form else { return "of no tensor type that the file states".into() };
    let element = match *element {
        FLOAT => "float32".into(),
        UINT8 => "uint8".into(),
        6 => "int32".into(),
        7 => "int64".into(),
        10 => "float16".into(),
        11 => "float64".into(),
        other => format!("element type {other}"),
    };
    let dims: Vec<_> = dims.iter().map(|dim| dim.map_or_else(|| "?".into(), |size| size.to_string())).collect();
    format!("{element}[{}]", dims.join(", "))
}

fn names<'a>(values: impl IntoIterator<Item = &'a ValueInfoProto>) -> String {
    let names: Vec<_> = values.into_iter().map(name).collect();
    if names.is_empty() { "none".into() } else { format!("`{}`", names.join("`, `")) }
}

/// Gives a foreign model its contract, and returns the bytes of the new file.
///
/// # Errors
/// When the bytes are no ONNX file or have a contract, or the graph is not what the contract says
/// and cannot be made so.
pub fn adopt(bytes: &[u8], mut contract: Contract) -> Result<Vec<u8>, AdoptError> {
    contract.format = contract.least_format();
    contract.validate()?;
    let foreign = Foreign::read(bytes)?;
    let input = chosen("input", &foreign.inputs, &contract.input.name)?;
    if foreign.inputs.len() > 1 {
        let others = foreign.inputs.iter().map(name).filter(|other| *other != contract.input.name);
        let found = others.collect::<Vec<_>>().join("`, `");
        return Err(AdoptError::Inputs { input: contract.input.name, found });
    }
    let output = chosen("output", &foreign.graph.output, &contract.output.name)?;
    let [input_type, output_type] = types(&contract);
    check_input(input, &input_type)?;
    let added = Added::behind(output, &contract, foreign.opset)?;
    contract.output.name.clone_from(&added.name);
    let ends = [(input, input_type), (output, output_type)];
    let mut whole = Message(assemble(bytes, &ends, &added, &contract)?);
    // A graph that can be read has the identity of an exported one.
    if let Some(id) = Model::from_bytes(&whole.0).ok().and_then(|model| model.id().ok()) {
        whole.add(METADATA, &entry(CERTIFICATE_KEY, &id));
    }
    Ok(whole.0)
}

/// Returns whether a file is as [`adopt`] wrote it; `None` if it was not adopted.
///
/// # Errors
/// When the bytes are no ONNX file.
pub fn is_as_adopted(bytes: &[u8]) -> Result<Option<bool>, AdoptError> {
    let metadata = read_metadata(bytes)?;
    let value = |wanted: &str| metadata.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
    let Some(hash) = value(ADOPTED_KEY) else { return Ok(None) };
    let graphs = fields(bytes)?.into_iter().filter(|field| field.number == GRAPH);
    let graph: Vec<u8> = graphs.flat_map(|field| field.content.iter().copied()).collect();
    Ok(Some(identity(&graph, value(CONTRACT_KEY).unwrap_or_default()) == hash))
}

fn identity(graph: &[u8], contract: &str) -> String {
    sha256([graph, contract.as_bytes()].concat())
}

fn chosen<'a>(
    what: &'static str,
    values: &'a [ValueInfoProto],
    wanted: &str,
) -> Result<&'a ValueInfoProto, AdoptError> {
    let found = || AdoptError::Absent { what, expected: wanted.into(), found: names(values) };
    values.iter().find(|value| name(value) == wanted).ok_or_else(found)
}

/// The element type and the sizes of a value, by number or name.
type Sized = (i32, Vec<DimensionValue>);

/// Returns the types of the input and of the output that a contract describes.
fn types(contract: &Contract) -> [Sized; 2] {
    let number = |size: usize| DimensionValue::Value(size as i64);
    let open = |dim: Dim| DimensionValue::Param(dim.to_string());
    let form = &contract.input.form;
    let batch = form.batch.map_or_else(|| open(Dim::batch()), number);
    let [height, width] = form.size.map_or_else(|| [open(Dim::height()), open(Dim::width())], |size| size.map(number));
    let (channels, classes) = (number(contract.input.color.channels()), number(contract.classes.len()));
    let input = match form.element {
        Element::Float => (FLOAT, vec![batch.clone(), channels, height.clone(), width.clone()]),
        Element::U8 => (UINT8, vec![batch.clone(), height.clone(), width.clone(), channels]),
    };
    let output = match contract.output.kind {
        OutputKind::Logits | OutputKind::Probabilities => (FLOAT, vec![batch, classes, height, width]),
        OutputKind::Mask => (UINT8, vec![batch, height, width]),
    };
    [input, output]
}

/// Makes sure that the network takes what the contract says; sizes may be open in the file.
fn check_input(input: &ValueInfoProto, (element, dims): &Sized) -> Result<(), AdoptError> {
    let found = form(input);
    let fits = |(found_element, found_dims): &Form| {
        found_element == element
            && found_dims.len() == dims.len()
            && found_dims.iter().zip(dims).all(|(found, wanted)| match (found, wanted) {
                (None, _) => true,
                (Some(found), DimensionValue::Value(wanted)) => found == wanted,
                // A size of -1 or 0 is how some exporters write an open one.
                (Some(found), DimensionValue::Param(_)) => *found <= 0,
            })
    };
    if found.as_ref().is_some_and(fits) {
        return Ok(());
    }
    let wanted = dims.iter().map(|dim| match dim {
        DimensionValue::Value(size) => Some(*size),
        DimensionValue::Param(_) => None,
    });
    let expected = written(Some(&(*element, wanted.collect())));
    Err(AdoptError::Form { what: "input", name: name(input).into(), found: written(found.as_ref()), expected })
}

/// Puts the new file together from the fields of the old one.
fn assemble(
    bytes: &[u8],
    [(input, input_type), (_, output_type)]: &[(&ValueInfoProto, Sized); 2],
    added: &Added,
    contract: &Contract,
) -> Result<Vec<u8>, AdoptError> {
    let all = fields(bytes)?;
    // A message that occurs twice is one, by protobuf's rules.
    let graph: Vec<Field<'_>> = all
        .iter()
        .filter(|field| field.number == GRAPH)
        .map(|field| fields(field.content))
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    let mut whole = Message::default();
    for field in &graph {
        let is_input = || ValueInfoProto::decode(field.content).is_ok_and(|value| value.name == input.name);
        match field.number {
            OUTPUT => {}
            INPUT if is_input() => whole.add(INPUT, &value_info(name(input), input_type).encode_to_vec()),
            _ => whole.keep(field),
        }
    }
    added.constants.iter().for_each(|constant| whole.add(INITIALIZER, &constant.encode_to_vec()));
    added.nodes.iter().for_each(|node| whole.add(NODE, &node.encode_to_vec()));
    whole.add(OUTPUT, &value_info(&added.name, output_type).encode_to_vec());
    let (graph, json) = (whole.0, contract.to_json());
    let mut model = Message::default();
    for field in &all {
        match field.number {
            GRAPH => {}
            METADATA if is_own(field) => {}
            _ => model.keep(field),
        }
    }
    model.add(GRAPH, &graph);
    model.add(METADATA, &entry(CONTRACT_KEY, &json));
    model.add(METADATA, &entry(ADOPTED_KEY, &identity(&graph, &json)));
    Ok(model.0)
}

/// Returns whether a note is one of this toolchain's, left over from another file.
fn is_own(field: &Field<'_>) -> bool {
    let key = StringStringEntryProto::decode(field.content).ok().and_then(|entry| entry.key);
    key.is_some_and(|key| [CERTIFICATE_KEY, ADOPTED_KEY].contains(&key.as_str()))
}

fn entry(key: &str, value: &str) -> Vec<u8> {
    StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) }.encode_to_vec()
}

fn value_info(name: &str, (element, dims): &Sized) -> ValueInfoProto {
    let dim = dims.iter().map(|value| DimensionProto { value: Some(value.clone()) }).collect();
    let tensor_type = Some(TensorTypeProto { elem_type: Some(*element), shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type }) }
}

#[cfg(test)]
mod tests {
    use seg_contract::{ColorOrder, Output};

    use super::*;
    use crate::graph::example;
    use crate::{Opset, proto};

    /// Writes a graph of one node that makes `y` from the image `x`, as another program would.
    fn foreign(operator: &str, output: (i32, &[i64]), more_outputs: &[&str]) -> Vec<u8> {
        let value = |name: &str, element, dims: &[i64]| {
            let open = |index: usize| DimensionValue::Param(format!("d{index}"));
            let dims = dims.iter().enumerate().map(|(index, size)| match *size {
                0 => open(index),
                size => DimensionValue::Value(size),
            });
            value_info(name, &(element, dims.collect()))
        };
        let node = NodeProto {
            input: vec!["x".into()],
            output: vec!["y".into()],
            op_type: Some(operator.into()),
            ..NodeProto::default()
        };
        let mut outputs = vec![value("y", output.0, output.1)];
        outputs.extend(more_outputs.iter().map(|name| value(name, FLOAT, &[1])));
        let graph = GraphProto {
            node: vec![node],
            name: Some("net".into()),
            input: vec![value("x", FLOAT, &[0, 3, 0, 0])],
            output: outputs,
            ..GraphProto::default()
        };
        let model = ModelProto {
            ir_version: Some(8),
            producer_name: Some("pytorch".into()),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
            ..ModelProto::default()
        };
        let mut bytes = model.encode_to_vec();
        // A field that this program does not know: `domain`.
        bytes.extend_from_slice(b"\x22\x03abc");
        bytes
    }

    fn stated(kind: OutputKind, classes: usize) -> Contract {
        let mut contract = draft(&foreign("Conv", (FLOAT, &[0, classes as i64, 0, 0]), &[])).unwrap().contract;
        contract.output.kind = kind;
        contract
    }

    /// Returns the operators behind the graph, and the output's name.
    fn behind(bytes: &[u8]) -> (Vec<String>, String) {
        let graph = ModelProto::decode(bytes).unwrap().graph.unwrap();
        let operators = graph.node.iter().skip(1).map(|node| node.op_type.clone().unwrap()).collect();
        assert_eq!(graph.output.len(), 1);
        (operators, graph.output[0].name.clone().unwrap())
    }

    #[test]
    fn what_a_contract_cannot_state_is_turned_into_what_it_can() {
        use OutputKind::{Logits, Mask, Probabilities};
        for (name, output, kind, classes, operators) in [
            ("logits", (FLOAT, &[0, 4, 0, 0][..]), Logits, 4, &[][..]),
            ("open sizes", (FLOAT, &[0, 0, 0, 0]), Logits, 4, &[]),
            ("one logit", (FLOAT, &[0, 1, 0, 0]), Logits, 2, &["Sub", "Concat"]),
            ("one probability", (FLOAT, &[0, 1, 0, 0]), Probabilities, 2, &["Sub", "Concat"]),
            ("a mask", (UINT8, &[0, 0, 0]), Mask, 3, &[]),
            ("an argmax", (7, &[0, 0, 0]), Mask, 3, &["Cast"]),
            ("an argmax that keeps its axis", (7, &[0, 1, 0, 0]), Mask, 3, &["Squeeze", "Cast"]),
        ] {
            let adopted = adopt(&foreign("Conv", output, &["other"]), stated(kind, classes)).unwrap();
            let (found, last) = behind(&adopted);
            assert_eq!(found, operators, "{name}");
            assert_eq!(Model::contract_of(&adopted).unwrap().output.name, last, "{name}");
            assert_eq!(is_as_adopted(&adopted).unwrap(), Some(true), "{name}");
            assert!(adopted.windows(5).any(|bytes| bytes == b"\x22\x03abc"), "{name}: an unknown field is lost");
            assert!(matches!(draft(&adopted), Err(AdoptError::HasContract)), "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_the_contract_is_named() {
        use OutputKind::{Logits, Mask};
        let named = |name: &str| Contract { output: Output { name: name.into(), kind: Logits }, ..stated(Logits, 2) };
        let sized = |size| {
            let mut contract = stated(Logits, 2);
            contract.input.form.size = size;
            contract.input.color = ColorOrder::Gray;
            (contract.input.mean, contract.input.std) = (vec![0.0], vec![1.0]);
            contract
        };
        for (name, output, contract, part) in [
            ("classes", (FLOAT, &[0, 5, 0, 0][..]), stated(Logits, 2), "float32[?, 2, ?, ?] or with one channel"),
            ("one of many", (FLOAT, &[0, 1, 0, 0]), stated(Logits, 3), "is float32[?, 1, ?, ?], the contract asks for"),
            ("half floats", (10, &[0, 2, 0, 0]), stated(Logits, 2), "the output `y` is float16[?, 2, ?, ?]"),
            ("no integers", (FLOAT, &[0, 0, 0]), stated(Mask, 2), "integers [?, ?, ?] or [?, 1, ?, ?]"),
            ("another name", (FLOAT, &[0, 2, 0, 0]), named("z"), "the model has no output `z`; it has `y`"),
            ("channels", (FLOAT, &[0, 2, 0, 0]), sized(None), "the input `x` is float32[?, 3, ?, ?]"),
        ] {
            let message = adopt(&foreign("Conv", output, &[]), contract).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
        assert!(adopt(b"not ONNX", stated(Logits, 2)).is_err());
    }

    #[test]
    fn no_bytes_cause_a_panic() {
        let whole = foreign("Conv", (FLOAT, &[0, 1, 0, 0]), &["other"]);
        let contract = stated(OutputKind::Logits, 2);
        for place in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, whole[place].wrapping_add(8)] {
                let mut damaged = whole.clone();
                damaged[place] = value;
                let drafted = draft(&damaged);
                if let Ok(adopted) = adopt(&damaged, drafted.map_or(contract.clone(), |draft| draft.contract)) {
                    assert_eq!(is_as_adopted(&adopted).unwrap(), Some(true), "{place} {value}");
                }
            }
            // What ends between two fields is a file, and may be adopted.
            let _ = adopt(&whole[..place], contract.clone());
        }
        let many = draft(&foreign("Conv", (FLOAT, &[0, i64::MAX, 0, 0]), &[])).unwrap_err().to_string();
        assert!(many.contains("at most 255 classes"), "{many}");
    }

    #[test]
    fn a_draft_says_what_the_graph_says_and_what_was_guessed() {
        for (operator, output, kind, classes, guess) in [
            ("Conv", (FLOAT, &[0, 5, 0, 0][..]), OutputKind::Logits, 5, "logits, because Conv makes it"),
            ("Softmax", (FLOAT, &[0, 5, 0, 0]), OutputKind::Probabilities, 5, "probabilities, because Softmax"),
            ("Sigmoid", (FLOAT, &[0, 1, 0, 0]), OutputKind::Probabilities, 2, "the second of two classes"),
            ("ArgMax", (7, &[0, 0, 0]), OutputKind::Mask, 2, "does not say how many classes its masks have"),
        ] {
            let Draft { contract, guesses } = draft(&foreign(operator, output, &[])).unwrap();
            assert_eq!((contract.output.kind, contract.classes.len()), (kind, classes), "{operator}");
            assert!(guesses.iter().any(|sentence| sentence.contains(guess)), "{operator}: {guesses:?}");
            assert!(contract.validate().is_ok(), "{operator}");
        }
    }

    #[test]
    fn a_graph_that_can_be_read_is_read_and_a_change_after_adoption_is_seen() {
        let graph = example::encoder_decoder();
        let bytes = proto::write(&graph, Opset::V20, &[]).unwrap();
        let mut contract = seg_contract::example::contract();
        contract.provenance.tool = "adopted".into();
        let adopted = adopt(&bytes, contract.clone()).unwrap();
        let model = Model::from_bytes(&adopted).unwrap();
        assert_eq!((&model.graph, &model.contract), (&graph, &contract));
        assert!(model.is_as_exported(&adopted).unwrap());
        let place = adopted.windows(6).rposition(|bytes| bytes == b"logits").unwrap();
        let mut changed = adopted;
        changed[place] = b'A';
        assert_eq!(is_as_adopted(&changed).unwrap_or(Some(false)), Some(false));
        assert_eq!(is_as_adopted(&bytes).unwrap(), None);
    }
}
