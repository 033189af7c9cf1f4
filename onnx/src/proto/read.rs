//! Reads the bytes of an ONNX file as a checked graph, if they contain nothing that
//! [`write`](super::write) does not write.
//!
//! The bytes are not trusted: the result is a graph or an error.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;
use prost::Message;

use super::messages::*;
use crate::graph::{
    Attribute, AttributeError, CheckError, Data, DataType, Dim, DimError, Graph, Input, Node, Op, ResizeBy, Tensor,
    TensorError, TensorType,
};
use crate::{Opset, UnsupportedOpset};

/// The content of an ONNX file.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// The computation.
    pub graph: Graph,
    /// The operator set of the file.
    pub opset: Opset,
    /// The `metadata_props`, in the order of the file.
    pub metadata: Vec<(String, String)>,
}

/// An error that says why bytes are not a graph.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not a protobuf message with ONNX's fields, or not a complete one.
    #[error("cannot read the bytes as an ONNX model: they are something else or cut off")]
    Decode(#[from] prost::DecodeError),
    /// A part that every model has is absent.
    #[error("cannot read the ONNX model: {owner} has no {part}")]
    Missing {
        /// The thing that lacks the part.
        owner: String,
        /// The part.
        part: &'static str,
    },
    /// A part that models of this toolchain do not have is present.
    #[error("cannot read the ONNX model: {owner} has {part}, which is not supported")]
    Unsupported {
        /// The thing that has the part.
        owner: String,
        /// The part.
        part: String,
    },
    /// The operator set is too old or too new.
    #[error("cannot read the ONNX model")]
    Opset(#[from] UnsupportedOpset),
    /// An operator or one of its attributes is not supported.
    #[error("cannot read node `{node}` ({op})")]
    Op {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// The unsupported property.
        #[source]
        cause: AttributeError,
    },
    /// A constant's bytes do not fill its shape.
    #[error("cannot read initializer `{name}`")]
    Tensor {
        /// The initializer.
        name: String,
        /// The mismatch.
        #[source]
        cause: TensorError,
    },
    /// A size has an unknown form.
    #[error("cannot read the shape of `{name}`")]
    Dim {
        /// The value.
        name: String,
        /// The defect.
        #[source]
        cause: DimError,
    },
    /// The graph breaks an invariant.
    #[error("cannot use graph `{graph}`")]
    Check {
        /// The graph.
        graph: String,
        /// The invariant.
        #[source]
        cause: CheckError,
    },
}

/// Returns the metadata alone of any ONNX file, whatever its graph. No key occurs twice.
pub fn read_metadata(bytes: &[u8]) -> Result<Vec<(String, String)>, ReadError> {
    metadata_of(ModelProto::decode(bytes)?.metadata_props)
}

fn metadata_of(entries: Vec<StringStringEntryProto>) -> Result<Vec<(String, String)>, ReadError> {
    let entries = entries.into_iter().map(metadata_entry).collect::<Result<Vec<_>, _>>()?;
    // Readers would differ in which of two values they take, such as which of two contracts.
    let mut keys = BTreeSet::new();
    match entries.iter().find(|(key, _)| !keys.insert(key)) {
        Some((key, _)) => Err(unsupported(format!("metadata entry `{key}`"), "two values")),
        None => Ok(entries),
    }
}

fn metadata_entry(entry: StringStringEntryProto) -> Result<(String, String), ReadError> {
    Ok((present("a metadata entry", "key", entry.key)?, present("a metadata entry", "value", entry.value)?))
}

/// Returns the graph, opset and metadata of a file that [`write`](super::write) wrote.
pub fn read(bytes: &[u8]) -> Result<File, ReadError> {
    let model = ModelProto::decode(bytes)?;
    refuse("the model", "training information", &model.training_info)?;
    refuse("the model", "functions", &model.functions)?;
    let graph = read_graph(present("the model", "graph", model.graph)?)?;
    let opset = read_opset(&model.opset_import)?;
    if let Some(node) = graph.nodes.iter().find(|node| !opset.has(&node.op)) {
        return Err(unsupported(
            format!("node `{}`", node.name),
            format!("operator {} in opset {opset}", node.op.name()),
        ));
    }
    graph.check().map_err(|cause| ReadError::Check { graph: graph.name.clone(), cause })?;
    Ok(File { graph, opset, metadata: metadata_of(model.metadata_props)? })
}

fn read_opset(imports: &[OperatorSetIdProto]) -> Result<Opset, ReadError> {
    match imports {
        [import] if import.domain().is_empty() => Ok(Opset::try_from(import.version())?),
        [] => Err(missing("the model", "opset")),
        [import, ..] => Err(unsupported("the model", format!("operators of the domain `{}`", import.domain()))),
    }
}

fn read_graph(graph: GraphProto) -> Result<Graph, ReadError> {
    refuse("the graph", "quantization annotations", &graph.quantization_annotation)?;
    refuse("the graph", "sparse initializers", &graph.sparse_initializer)?;
    let mut types = BTreeMap::new();
    let outputs = graph.output.iter().map(|output| output.name().to_owned()).collect();
    for output in graph.output {
        let (name, tensor_type) = read_value_info(output)?;
        if types.insert(name.clone(), tensor_type).is_some() {
            return Err(unsupported(format!("output `{name}`"), "two types"));
        }
    }
    for value in graph.value_info {
        let (name, tensor_type) = read_value_info(value)?;
        // A repetition says nothing new.
        if types.get(&name).is_some_and(|known| *known != tensor_type) {
            return Err(unsupported(format!("value `{name}`"), "two types"));
        }
        types.insert(name, tensor_type);
    }
    let nodes = graph.node.into_iter().map(|node| read_node(node, &mut types)).collect::<Result<_, _>>()?;
    if let Some(name) = types.into_keys().next() {
        return Err(missing(format!("value `{name}`"), "node that computes it"));
    }
    let inputs = graph.input.into_iter().map(|input| {
        let (name, tensor_type) = read_value_info(input)?;
        Ok(Input { name, tensor_type })
    });
    let mut initializers = BTreeMap::new();
    for tensor in graph.initializer {
        let (name, tensor) = read_tensor(tensor)?;
        if initializers.insert(name.clone(), tensor).is_some() {
            return Err(unsupported(format!("initializer `{name}`"), "two values"));
        }
    }
    Ok(Graph {
        name: present("the graph", "name", graph.name)?,
        inputs: inputs.collect::<Result<_, ReadError>>()?,
        outputs,
        nodes,
        initializers,
    })
}

fn read_node(node: NodeProto, types: &mut BTreeMap<String, TensorType>) -> Result<Node, ReadError> {
    let (op_type, domain) = (node.op_type().to_owned(), node.domain().to_owned());
    let name = present("a node", "name", node.name)?;
    let owner = || format!("node `{name}`");
    if !domain.is_empty() {
        return Err(unsupported(owner(), format!("an operator of the domain `{domain}`")));
    }
    if node.output != [name.as_str()] {
        return Err(unsupported(owner(), format!("the outputs {:?}", node.output)));
    }
    let mut attributes = BTreeMap::new();
    for attribute in node.attribute {
        let (attribute, value) = read_attribute(&owner(), attribute)?;
        if attributes.insert(attribute.clone(), value).is_some() {
            return Err(unsupported(owner(), format!("attribute `{attribute}` twice")));
        }
    }
    let (inputs, by) = operands(&op_type, node.input);
    if inputs.iter().any(String::is_empty) {
        return Err(unsupported(owner(), "an operand that is left out"));
    }
    let op = Op::from_attributes(&op_type, attributes, by).map_err(|cause| ReadError::Op {
        node: name.clone(),
        op: op_type,
        cause,
    })?;
    let output = types.remove(&name).ok_or_else(|| missing(owner(), "type and shape"))?;
    Ok(Node { name, op, inputs, output })
}

/// Returns the operands without the absent ones of `Resize(x, roi, scales, sizes)`.
fn operands(op_type: &str, mut slots: Vec<String>) -> (Vec<String>, ResizeBy) {
    let by = if slots.len() == 4 { ResizeBy::Sizes } else { ResizeBy::Scales };
    let left_out = if by == ResizeBy::Sizes { 1..3 } else { 1..2 };
    if op_type == "Resize" && slots.get(left_out.clone()).is_some_and(|slots| slots.iter().all(String::is_empty)) {
        slots.drain(left_out);
    }
    (slots, by)
}

fn read_attribute(owner: &str, attribute: AttributeProto) -> Result<(String, Attribute), ReadError> {
    let kind = AttributeType::try_from(attribute.r#type.unwrap_or_default());
    let name = present(owner, "name for an attribute", attribute.name)?;
    let value = match kind {
        Ok(AttributeType::Int) => attribute.i.map(Attribute::Int),
        Ok(AttributeType::Float) => attribute.f.map(Attribute::Float),
        Ok(AttributeType::Ints) => Some(Attribute::Ints(attribute.ints)),
        Ok(AttributeType::String) => attribute.s.and_then(|text| String::from_utf8(text).ok()).map(Attribute::Text),
        Ok(AttributeType::Undefined) | Err(_) => None,
    };
    match value {
        Some(value) => Ok((name, value)),
        None => Err(unsupported(owner, format!("attribute `{name}` of an unknown form"))),
    }
}

fn read_tensor(tensor: TensorProto) -> Result<(String, Tensor), ReadError> {
    let data_type = tensor.data_type.unwrap_or_default();
    let name = present("an initializer", "name", tensor.name)?;
    let owner = || format!("initializer `{name}`");
    if tensor.data_location.unwrap_or_default() != 0 {
        return Err(unsupported(owner(), "its data in another file"));
    }
    refuse(&owner(), "its data in another file", &tensor.external_data)?;
    let shape = tensor.dims.iter().map(|&size| usize::try_from(size)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| unsupported(owner(), format!("the shape {:?}", tensor.dims)))?;
    let raw = present(&owner(), "raw data", tensor.raw_data)?;
    let data_type = read_data_type(&owner(), data_type)?;
    if raw.len() % data_type.size_bytes() != 0 {
        return Err(unsupported(owner(), format!("{} bytes of {data_type}", raw.len())));
    }
    let data: Data = match data_type {
        DataType::F32 => elements(&raw, f32::from_le_bytes).into(),
        DataType::F16 => elements(&raw, f16::from_le_bytes).into(),
        DataType::U8 => Data::U8(raw),
        DataType::I8 => Data::I8(elements(&raw, i8::from_le_bytes)),
        DataType::I32 => Data::I32(elements(&raw, i32::from_le_bytes)),
        DataType::I64 => elements(&raw, i64::from_le_bytes).into(),
        DataType::Bool => return Err(unsupported(owner(), "truth values")),
    };
    match Tensor::new(shape, data) {
        Ok(tensor) => Ok((name, tensor)),
        Err(cause) => Err(ReadError::Tensor { name, cause }),
    }
}

fn elements<T, const N: usize>(raw: &[u8], from_bytes: fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks().0.iter().copied().map(from_bytes).collect()
}

fn read_value_info(value: ValueInfoProto) -> Result<(String, TensorType), ReadError> {
    let name = present("a value", "name", value.name)?;
    let owner = || format!("value `{name}`");
    let tensor_type = present(&owner(), "tensor type", value.r#type.and_then(|value| value.tensor_type))?;
    let data_type = read_data_type(&owner(), tensor_type.elem_type.unwrap_or_default())?;
    let mut shape = Vec::new();
    for dim in present(&owner(), "shape", tensor_type.shape)?.dim {
        shape.push(match present(&owner(), "size for an axis", dim.value)? {
            DimensionValue::Value(size) => Dim::from(size),
            DimensionValue::Param(text) => {
                text.parse().map_err(|cause| ReadError::Dim { name: name.clone(), cause })?
            }
        });
    }
    Ok((name, TensorType { data_type, shape }))
}

fn read_data_type(owner: &str, number: i32) -> Result<DataType, ReadError> {
    DataType::from_onnx_number(number).ok_or_else(|| unsupported(owner, format!("the element type {number}")))
}

fn present<T>(owner: &str, part: &'static str, value: Option<T>) -> Result<T, ReadError> {
    value.ok_or_else(|| missing(owner, part))
}

fn refuse(owner: &str, part: &str, found: &[Vec<u8>]) -> Result<(), ReadError> {
    if found.is_empty() { Ok(()) } else { Err(unsupported(owner, part)) }
}

fn missing(owner: impl Into<String>, part: &'static str) -> ReadError {
    ReadError::Missing { owner: owner.into(), part }
}

fn unsupported(owner: impl Into<String>, part: impl Into<String>) -> ReadError {
    ReadError::Unsupported { owner: owner.into(), part: part.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphBuilder, MaxPool, example};
    use crate::proto::write;

    fn metadata() -> [(String, String); 1] {
        [("key".to_owned(), "value".to_owned())]
    }

    fn bytes() -> Vec<u8> {
        write(&example::encoder_decoder(), Opset::V20, &metadata()).unwrap()
    }

    #[test]
    fn a_graph_is_read_as_it_was_written() {
        let file = read(&bytes()).unwrap();
        let written = File { graph: example::encoder_decoder(), opset: Opset::V20, metadata: metadata().to_vec() };
        assert_eq!(file, written);
    }

    #[test]
    fn maximum_pooling_is_read_as_it_was_written() {
        let mut builder = GraphBuilder::new("pool");
        let image = [Dim::batch(), Dim::from(1), Dim::height(), Dim::width()];
        let image = builder.input("image", image).unwrap();
        let pool = MaxPool { kernel: [2, 3], strides: [4, 5], pads: [1, 0, 0, 2] };
        let y = builder.root().max_pool("pool", image, pool).unwrap();
        let graph = builder.finish(&[("y", y)]).unwrap();
        for opset in Opset::all() {
            assert_eq!(read(&write(&graph, opset, &[]).unwrap()).unwrap().graph, graph, "opset {opset}");
        }
    }

    #[test]
    fn operators_of_tokens_are_read_as_they_were_written() {
        let mut builder = GraphBuilder::new("tokens");
        let image = [Dim::batch(), Dim::from(4), Dim::height(), Dim::width()];
        let image = builder.input("image", image).unwrap();
        let mut root = builder.root();
        let vector = || Tensor::vector(vec![0.5_f32, 1.0, 2.0, 3.0]);
        let x = root.reshape("groups", image, [0, 2, -1, 0]).unwrap();
        let x = root.instance_norm("instance", x, 2, 1e-6).unwrap();
        let x = root.reshape("channels", x, [0, 4, -1, 0]).unwrap();
        let x = root.transpose("last", x, [0, 2, 3, 1]).unwrap();
        let x = root.layer_norm("layer", x, [vector(), vector()], 1e-6).unwrap();
        let turned = root.transpose("turned", x, [0, 1, 3, 2]).unwrap();
        let product = root.mat_mul("product", turned, x).unwrap();
        let sum = root.reduce_sum("sum", product, 1).unwrap();
        let shares = root.softmax("shares", sum, 3).unwrap();
        let y = root.tanh("tanh", shares).unwrap();
        let y = root.slice("slice", y, [(2, 1, -1), (3, 0, 2)]).unwrap();
        let graph = builder.finish(&[("y", y)]).unwrap();
        assert_eq!(graph.tensor_type("y").unwrap().to_string(), "f32[batch, 1, 2, 2]");
        for opset in Opset::all() {
            assert_eq!(read(&write(&graph, opset, &[]).unwrap()).unwrap().graph, graph, "opset {opset}");
        }
    }

    #[test]
    fn constants_of_every_type_are_read_as_they_were_written() {
        let mut builder = GraphBuilder::new("constants");
        let image = builder.input("image", [Dim::batch(), Dim::height()]).unwrap();
        let mut root = builder.root();
        let mut outputs = vec![root.node("i", Op::Identity, &[image]).unwrap()];
        for (number, constant) in [
            Tensor::vector(vec![0.1_f32, -1.0]),
            Tensor::vector(vec![f16::from_f32(0.1), f16::MAX]),
            Tensor::vector(Data::U8(vec![0, 255])),
            Tensor::vector(Data::I8(vec![-128, 127])),
            Tensor::vector(Data::I32(vec![i32::MIN, 7])),
            Tensor::vector(vec![i64::MAX, -1]),
        ]
        .into_iter()
        .enumerate()
        {
            let constant = root.constant(&format!("c{number}"), constant).unwrap();
            outputs.push(root.node(&format!("n{number}"), Op::Identity, &[constant]).unwrap());
        }
        let names: Vec<_> = (0..outputs.len()).map(|number| format!("y{number}")).collect();
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
        let graph = builder.finish(&outputs).unwrap();
        assert_eq!(read(&write(&graph, Opset::V20, &[]).unwrap()).unwrap().graph, graph);
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error_wherever_the_cut_is() {
        let bytes = bytes();
        for end in 0..bytes.len() {
            // A cut between the last fields leaves a complete message, without metadata.
            if let Ok(file) = read(&bytes[..end]) {
                assert_eq!(file.metadata, [], "cut at {end}");
            }
        }
    }

    #[test]
    fn a_damaged_byte_never_panics() {
        let bytes = bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= [0x01, 0x80, 0xff][at % 3];
            let _ = read(&damaged);
        }
    }

    #[test]
    fn what_is_not_written_is_refused_by_name() {
        type Damage = fn(&mut ModelProto);
        fn graph(model: &mut ModelProto) -> &mut GraphProto {
            model.graph.as_mut().unwrap()
        }
        fn find<'m>(model: &'m mut ModelProto, node: &str) -> &'m mut NodeProto {
            graph(model).node.iter_mut().find(|found| found.name() == node).unwrap()
        }
        let rows: [(Damage, &str); 28] = [
            (|m| m.graph = None, "the model has no graph"),
            (|m| m.opset_import.clear(), "the model has no opset"),
            (|m| m.opset_import[0].version = Some(9), "opset 9 is not supported: expected 17 to 25"),
            (
                |m| m.opset_import[0].version = Some(17),
                "node `in_conv.gelu` has operator Gelu in opset 17, which is not supported",
            ),
            (|m| m.opset_import[0].domain = Some("com.microsoft".into()), "operators of the domain `com.microsoft`"),
            (|m| m.functions.push(vec![]), "the model has functions"),
            (|m| m.training_info.push(vec![]), "the model has training information"),
            (|m| graph(m).sparse_initializer.push(vec![]), "the graph has sparse initializers"),
            (|m| graph(m).initializer[0].data_location = Some(1), "has its data in another file"),
            (|m| graph(m).initializer[0].dims = vec![i64::MAX, i64::MAX], "cannot hold 6 elements"),
            (|m| graph(m).initializer[0].dims = vec![-6], "has the shape [-6]"),
            (|m| graph(m).initializer[0].raw_data.as_mut().unwrap().truncate(7), "has 7 bytes of f32"),
            (|m| graph(m).initializer[0].raw_data = None, "has no raw data"),
            (|m| graph(m).initializer[0].data_type = Some(11), "has the element type 11"),
            (|m| graph(m).initializer[0].data_type = Some(9), "has truth values"),
            (|m| graph(m).value_info.truncate(3), "has no type and shape"),
            (
                |m| m.metadata_props.push(m.metadata_props[0].clone()),
                "metadata entry `key` has two values, which is not supported",
            ),
            (
                |m| {
                    let repeated = graph(m).initializer[0].clone();
                    graph(m).initializer.push(repeated);
                },
                "initializer `down.conv.bias` has two values, which is not supported",
            ),
            (
                |m| {
                    let mut other = graph(m).initializer[0].clone();
                    other.raw_data.as_mut().unwrap().fill(1);
                    graph(m).initializer.insert(0, other);
                },
                "initializer `down.conv.bias` has two values, which is not supported",
            ),
            (
                |m| {
                    let repeated = graph(m).output[0].clone();
                    graph(m).output.push(repeated);
                },
                "output `logits` has two types, which is not supported",
            ),
            (
                |m| {
                    let mut other = graph(m).output[0].clone();
                    other.name = graph(m).value_info[0].name.clone();
                    graph(m).value_info.push(other);
                },
                "has two types, which is not supported",
            ),
            (|m| graph(m).input[0].r#type = None, "value `input` has no tensor type"),
            (|m| find(m, "down.gelu").op_type = Some("Swish".into()), "operator `Swish` is not supported"),
            (|m| find(m, "down.gelu").domain = Some("ai.onnx.ml".into()), "an operator of the domain `ai.onnx.ml`"),
            (|m| find(m, "down.gelu").output.push("mask".into()), "has the outputs [\"down.gelu\", \"mask\"]"),
            (|m| find(m, "down.conv").attribute[0].r#type = Some(5), "attribute `strides` of an unknown form"),
            (|m| find(m, "up.concat").input[0].clear(), "node `up.concat` has an operand that is left out"),
            (|m| find(m, "down.gelu").input[0] = "logits".into(), "reads `logits`, which is not computed before it"),
        ];
        for (damage, message) in rows {
            let mut model = ModelProto::decode(&bytes()[..]).unwrap();
            damage(&mut model);
            let error = chain(&read(&model.encode_to_vec()).expect_err(message));
            assert!(error.contains(message), "expected `{message}`, found `{error}`");
        }
    }

    #[test]
    fn a_type_that_is_repeated_says_nothing_new() {
        let mut model = ModelProto::decode(&bytes()[..]).unwrap();
        let graph = model.graph.as_mut().unwrap();
        let repeated = [graph.value_info[0].clone(), graph.output[0].clone()];
        graph.value_info.extend(repeated);
        assert_eq!(read(&model.encode_to_vec()).unwrap(), read(&bytes()).unwrap());
    }

    #[test]
    fn other_bytes_are_not_a_model() {
        for (name, bytes) in [("nothing", &b""[..]), ("text", b"not a model"), ("a picture", b"\x89PNG\r\n\x1a\n")] {
            assert!(read(bytes).is_err(), "{name}");
        }
    }

    fn chain(error: &dyn std::error::Error) -> String {
        let cause = error.source().map(|cause| format!(": {}", chain(cause)));
        format!("{error}{}", cause.unwrap_or_default())
    }
}
