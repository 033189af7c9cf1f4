//! Writes a checked graph as the bytes of an ONNX file; equal graphs give equal bytes.

use prost::Message;

use super::messages::*;
use crate::Opset;
use crate::graph::{Attribute, CheckError, Data, Dim, Graph, Node, Op, ResizeBy, Tensor, TensorType};

/// An error in writing a graph.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The graph breaks an invariant.
    #[error("cannot write graph `{graph}`")]
    Check {
        /// The graph.
        graph: String,
        /// The invariant.
        #[source]
        cause: CheckError,
    },
    /// A node needs a newer operator set.
    #[error("cannot write node `{node}`: opset {opset} has no operator {op}; run the passes for this opset first")]
    Opset {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
        /// The requested operator set.
        opset: Opset,
    },
}

/// Returns the bytes of an ONNX model, with `metadata` in its `metadata_props` and a shape for
/// every value.
pub fn write(graph: &Graph, opset: Opset, metadata: &[(String, String)]) -> Result<Vec<u8>, WriteError> {
    graph.check().map_err(|cause| WriteError::Check { graph: graph.name.clone(), cause })?;
    if let Some(node) = graph.nodes.iter().find(|node| !opset.has(&node.op)) {
        return Err(WriteError::Opset { node: node.name.clone(), op: node.op.name(), opset });
    }
    let opset_import = OperatorSetIdProto { domain: Some(String::new()), version: Some(opset.version()) };
    let model = ModelProto {
        ir_version: Some(opset.ir_version()),
        producer_name: Some(env!("CARGO_PKG_NAME").to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(graph_proto(graph)),
        opset_import: vec![opset_import],
        metadata_props: metadata
            .iter()
            .map(|(key, value)| StringStringEntryProto { key: Some(key.clone()), value: Some(value.clone()) })
            .collect(),
        training_info: Vec::new(),
        functions: Vec::new(),
    };
    Ok(model.encode_to_vec())
}

fn graph_proto(graph: &Graph) -> GraphProto {
    let computed = |node: &Node| value_info(&node.name, &node.output);
    let find = |name: &String| graph.nodes.iter().find(|node| node.name == *name);
    GraphProto {
        node: graph.nodes.iter().map(node_proto).collect(),
        name: Some(graph.name.clone()),
        initializer: graph.initializers.iter().map(|(name, tensor)| tensor_proto(name, tensor)).collect(),
        input: graph.inputs.iter().map(|input| value_info(&input.name, &input.tensor_type)).collect(),
        output: graph.outputs.iter().filter_map(find).map(computed).collect(),
        value_info: graph.nodes.iter().filter(|node| !graph.outputs.contains(&node.name)).map(computed).collect(),
        quantization_annotation: Vec::new(),
        sparse_initializer: Vec::new(),
    }
}

fn node_proto(node: &Node) -> NodeProto {
    NodeProto {
        input: operand_slots(&node.op, &node.inputs),
        output: vec![node.name.clone()],
        name: Some(node.name.clone()),
        op_type: Some(node.op.name().to_owned()),
        attribute: node.op.attributes().into_iter().map(|(name, value)| attribute_proto(name, value)).collect(),
        domain: None,
    }
}

/// Returns the operands in ONNX's order: `Resize(x, roi, scales, sizes)` leaves out those that are
/// not used.
fn operand_slots(op: &Op, operands: &[String]) -> Vec<String> {
    let left_out = match op {
        Op::Resize { by: ResizeBy::Scales, .. } => 1,
        Op::Resize { by: ResizeBy::Sizes, .. } => 2,
        _ => 0,
    };
    let mut slots = operands.to_vec();
    slots.splice(1..1, vec![String::new(); left_out]);
    slots
}

fn attribute_proto(name: &str, value: Attribute) -> AttributeProto {
    let mut attribute = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    let kind = match value {
        Attribute::Int(value) => {
            attribute.i = Some(value);
            AttributeType::Int
        }
        Attribute::Ints(values) => {
            attribute.ints = values;
            AttributeType::Ints
        }
        Attribute::Float(value) => {
            attribute.f = Some(value);
            AttributeType::Float
        }
        Attribute::Text(text) => {
            attribute.s = Some(text.into_bytes());
            AttributeType::String
        }
    };
    attribute.set_type(kind);
    attribute
}

fn tensor_proto(name: &str, tensor: &Tensor) -> TensorProto {
    let raw_data = match tensor.data() {
        Data::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Data::F16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Data::U8(values) => values.clone(),
        Data::I8(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Data::I32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Data::I64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    TensorProto {
        // Lossless: a checked graph has sizes within 63 bits.
        dims: tensor.shape().iter().map(|&size| size as i64).collect(),
        data_type: Some(tensor.data_type().onnx_number()),
        name: Some(name.to_owned()),
        raw_data: Some(raw_data),
        external_data: Vec::new(),
        data_location: None,
    }
}

fn value_info(name: &str, tensor_type: &TensorType) -> ValueInfoProto {
    let dim = tensor_type.shape.iter().map(|size| DimensionProto { value: Some(dimension_value(size)) }).collect();
    let tensor_type =
        TensorTypeProto { elem_type: Some(tensor_type.data_type.onnx_number()), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

fn dimension_value(size: &Dim) -> DimensionValue {
    size.as_constant().map_or_else(|| DimensionValue::Param(size.to_string()), DimensionValue::Value)
}
