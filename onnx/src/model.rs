//! A model file: a graph together with the contract that says what it expects and means.

use seg_contract::{Contract, ContractError, Element, OutputKind, Sha256};

use crate::Opset;
use crate::forms;
use crate::graph::{DataType, Dim, Graph, TensorType};
use crate::proto::{self, ReadError, WriteError};

/// The key in an ONNX file's `metadata_props` that holds the contract, as JSON.
pub const CONTRACT_KEY: &str = "seg.contract";

/// The key that holds the identity of the file's certificate, see [`Model::id`].
pub const CERTIFICATE_KEY: &str = "seg.certificate";

/// The content of an exported file.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The computation.
    pub graph: Graph,
    /// The operator set of the computation.
    pub opset: Opset,
    /// The contract: what the model expects and means.
    pub contract: Contract,
}

/// An error in writing or reading a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The graph cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The bytes are not a graph.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file carries no contract.
    #[error(
        "the ONNX model has no `{CONTRACT_KEY}` in its metadata: it was not written by this toolchain; `seg adopt` gives a \
         network that another program exported a contract"
    )]
    NoContract,
    /// The contract cannot be used.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The graph is not what the contract describes.
    #[error("the graph does not keep the model's contract: expected the {what} {expected}, found {found}")]
    Broken {
        /// The part of the graph.
        what: &'static str,
        /// The contract's description.
        expected: String,
        /// The graph's property.
        found: String,
    },
}

impl Model {
    /// Returns the bytes of the ONNX file; equal models give equal bytes.
    ///
    /// # Errors
    /// When the contract is unusable, the graph breaks an invariant or the contract, or the opset
    /// lacks an operator.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        self.check()?;
        let metadata = [(CONTRACT_KEY.to_owned(), self.contract.to_json()), (CERTIFICATE_KEY.to_owned(), self.id()?)];
        Ok(proto::write(&self.graph, self.opset, &metadata)?)
    }

    /// Returns the identity by which a certificate knows the model: the SHA-256, in hexadecimal, of
    /// the graph's file without metadata, and of the contract.
    ///
    /// # Errors
    /// When the graph breaks an invariant or the opset lacks an operator.
    pub fn id(&self) -> Result<String, ModelError> {
        let mut hash = Sha256::new();
        hash.update(proto::write(&self.graph, self.opset, &[])?);
        hash.update(self.contract.to_json());
        Ok(hash.hex())
    }

    /// Returns true if the model is the one that the metadata of its file `bytes` name: a tool that
    /// rewrites graphs keeps the metadata, and with them a contract that may no longer be true.
    ///
    /// # Errors
    /// When the metadata cannot be read, or the graph cannot be written.
    pub fn is_as_exported(&self, bytes: &[u8]) -> Result<bool, ModelError> {
        let id = self.id()?;
        Ok(proto::read_metadata(bytes)?.iter().any(|(key, value)| key == CERTIFICATE_KEY && *value == id))
    }

    /// Reads the bytes that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// When the bytes are not such a file. No bytes cause a panic.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        // The contract comes first: its absence is what distinguishes a foreign file.
        let metadata = proto::read_metadata(bytes)?;
        let (_, json) = metadata.iter().find(|(key, _)| key == CONTRACT_KEY).ok_or(ModelError::NoContract)?;
        let proto::File { graph, opset, .. } = proto::read(bytes)?;
        let model = Self { graph, opset, contract: Contract::from_json(json)? };
        model.check()?;
        Ok(model)
    }

    /// Reads the contract alone of a file whose graph may have been written by another tool.
    ///
    /// # Errors
    /// When the bytes are no ONNX file, or carry no usable contract.
    pub fn contract_of(bytes: &[u8]) -> Result<Contract, ModelError> {
        let metadata = proto::read_metadata(bytes)?;
        let (_, json) = metadata.iter().find(|(key, _)| key == CONTRACT_KEY).ok_or(ModelError::NoContract)?;
        Ok(Contract::from_json(json)?)
    }

    /// Checks that the contract is usable, and that the graph has the one input and the one output
    /// that it describes.
    fn check(&self) -> Result<(), ModelError> {
        let Self { graph, contract, .. } = self;
        contract.validate()?;
        let inputs: Vec<_> = graph.inputs.iter().map(|input| input.name.as_str()).collect();
        for (what, name, names) in [
            ("input", &contract.input.name, inputs.join("`, `")),
            ("output", &contract.output.name, graph.outputs.join("`, `")),
        ] {
            keeps(what, format!("`{name}`"), format!("`{names}`"))?;
        }
        // A graph may leave its sides open although its network takes multiples of a number alone.
        let [input, output] = edges(contract, forms::are_sides_restricted(graph));
        for (what, name, expected) in
            [("input's type", &contract.input.name, input), ("output's type", &contract.output.name, output)]
        {
            let found = graph.tensor_type(name).map_or_else(|| "none".to_owned(), TensorType::to_string);
            keeps(what, expected.to_string(), found)?;
        }
        Ok(())
    }
}

/// Returns the types of the input and of the output that a contract describes; `is_restricted` says
/// that the sizes themselves are multiples of the contract's number.
fn edges(contract: &Contract, is_restricted: bool) -> [TensorType; 2] {
    let size = |size: usize| i64::try_from(size).map_or(Dim::from(i64::MAX), Dim::from);
    let form = &contract.input.form;
    let batch = form.batch.map_or_else(Dim::batch, size);
    let side = |symbol: Dim| match symbol.multiple_of(contract.input.side_multiple) {
        Ok(restricted) if is_restricted => restricted,
        _ => symbol,
    };
    let [height, width] = form.size.map_or_else(|| [side(Dim::height()), side(Dim::width())], |sides| sides.map(size));
    let (channels, classes) = (size(contract.input.color.channels()), size(contract.classes.len()));
    let input = match form.element {
        Element::Float => TensorType::new(DataType::F32, [batch.clone(), channels, height.clone(), width.clone()]),
        Element::U8 => TensorType::new(DataType::U8, [batch.clone(), height.clone(), width.clone(), channels]),
    };
    let output = match contract.output.kind {
        OutputKind::Logits | OutputKind::Probabilities => {
            TensorType::new(DataType::F32, [batch, classes, height, width])
        }
        OutputKind::Mask => TensorType::new(DataType::U8, [batch, height, width]),
    };
    [input, output]
}

fn keeps(what: &'static str, expected: String, found: String) -> Result<(), ModelError> {
    if expected == found { Ok(()) } else { Err(ModelError::Broken { what, expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example;

    fn model() -> Model {
        Model { graph: example::encoder_decoder(), opset: Opset::V20, contract: seg_contract::example::contract() }
    }

    #[test]
    fn a_model_is_read_as_it_was_written() {
        let bytes = model().to_bytes().unwrap();
        assert_eq!(Model::from_bytes(&bytes).unwrap(), model());
        assert_eq!(model().to_bytes().unwrap(), bytes, "the same bytes each time");
    }

    /// Returns the id of a changed model.
    fn id(change: fn(&mut Model)) -> String {
        let mut model = model();
        change(&mut model);
        model.id().unwrap()
    }

    #[test]
    fn whatever_a_model_is_or_means_is_in_its_id() {
        let own = id(|_| {});
        assert_eq!(own, model().id().unwrap());
        assert_ne!(own, id(|model| model.contract.classes.reverse()));
        assert_ne!(own, id(|model| model.graph.name.push('s')));
        let metadata = proto::read_metadata(&model().to_bytes().unwrap()).unwrap();
        assert!(metadata.contains(&(CERTIFICATE_KEY.to_owned(), own)));
    }

    #[test]
    fn a_graph_that_breaks_the_contract_is_neither_written_nor_read() {
        type Break = fn(&mut Contract);
        let rows: [(&str, Break, &str); 6] = [
            ("input", |c| c.input.name = "image".into(), "expected the input `image`, found `input`"),
            ("output", |c| c.output.name = "mask".into(), "expected the output `mask`, found `logits`"),
            (
                "colours",
                |c| {
                    c.input.color = seg_contract::ColorOrder::Gray;
                    c.input.mean.truncate(1);
                    c.input.std.truncate(1);
                },
                "expected the input's type f32[batch, 1, height, width], found f32[batch, 3, height, width]",
            ),
            (
                "classes",
                |c| c.classes.push(seg_contract::Class::new("cell", 2)),
                "expected the output's type f32[batch, 3, height, width], found f32[batch, 2, height, width]",
            ),
            (
                "elements",
                |c| c.input.form.element = Element::U8,
                "expected the input's type u8[batch, height, width, 3], found f32[batch, 3, height, width]",
            ),
            (
                "answer",
                |c| c.output.kind = OutputKind::Mask,
                "expected the output's type u8[batch, height, width], found f32[batch, 2, height, width]",
            ),
        ];
        for (name, damage, message) in rows {
            let mut broken = model();
            damage(&mut broken.contract);
            let metadata = [(CONTRACT_KEY.to_owned(), broken.contract.to_json())];
            let bytes = proto::write(&broken.graph, broken.opset, &metadata).unwrap();
            for error in [broken.to_bytes().unwrap_err(), Model::from_bytes(&bytes).unwrap_err()] {
                assert!(error.to_string().ends_with(message), "{name}: {error}");
            }
        }
    }

    #[test]
    fn a_file_with_two_contracts_has_none() {
        let other = Contract {
            output: seg_contract::Output { name: "mask".into(), ..model().contract.output },
            ..model().contract
        };
        for (name, second) in [("the same twice", model().contract), ("another", other)] {
            for contracts in [[model().contract, second.clone()], [second.clone(), model().contract]] {
                let metadata = contracts.map(|contract| (CONTRACT_KEY.to_owned(), contract.to_json()));
                let bytes = proto::write(&model().graph, Opset::V20, &metadata).unwrap();
                let message = Model::from_bytes(&bytes).unwrap_err().to_string();
                assert!(message.contains("metadata entry `seg.contract` has two values"), "{name}: {message}");
            }
        }
    }

    #[test]
    fn a_file_without_a_contract_is_named_as_such() {
        let bytes = proto::write(&model().graph, Opset::V20, &[]).unwrap();
        assert!(matches!(Model::from_bytes(&bytes), Err(ModelError::NoContract)));
    }
}
