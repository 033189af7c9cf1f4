//! A model with its intermediate values as outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ndarray::{ArrayD, ArrayView4};
use ort::environment::Environment;
use seg_inference::{OpenError, Options, RunError, Session};
use seg_onnx::graph::{DataType, Dim, Graph, Node, Op, TensorType};
use seg_onnx::{Model, proto};

use crate::exact::values::shared_values;

/// The most bytes of intermediate values that are compared at once. For a whole image they take
/// many times the memory of the evaluation.
const VALUES_BYTES_MAX: usize = 2 << 30;

/// The bytes per number of a compared value: in the runtime's output, in our copy of it, and twice
/// in 64 bits, exact and rounded to 32 bits.
const NUMBER_BYTES: usize = 4 + 4 + 8 + 8;

/// Lists the values that a model shares with a reference's graph. If an input of this shape makes
/// more of them than fit memory, it lists every second, or every third, and so on.
pub(crate) fn comparable<'m>(reference: &Graph, model: &'m Graph, shape: [usize; 3]) -> Vec<&'m str> {
    let names = shared_values(reference, model);
    let every = numbers(model, &names, shape).saturating_mul(NUMBER_BYTES).div_ceil(VALUES_BYTES_MAX);
    names.into_iter().step_by(every.max(1)).collect()
}

/// Counts the numbers in the values of the given names.
fn numbers(graph: &Graph, names: &[&str], [n, h, w]: [usize; 3]) -> usize {
    let symbols = [(Dim::batch(), n), (Dim::height(), h), (Dim::width(), w)].map(|(dim, size)| (dim.to_string(), size));
    let bindings = symbols.each_ref().map(|(symbol, size)| (symbol.as_str(), *size as i64));
    let wanted: BTreeSet<_> = names.iter().copied().collect();
    let nodes = graph.nodes.iter().filter(|node| wanted.contains(node.name.as_str()));
    nodes
        .map(|node| {
            let sides = node.output.shape.iter().map(|dim| dim.evaluate(&bindings).map(|side| side.max(0) as usize));
            // A value of unknown size counts as empty, and is compared.
            sides.product::<Result<usize, _>>().unwrap_or_default()
        })
        .sum()
}

/// The values of a model for one input by their names, as the runtime computes them.
pub type IntermediateValues = BTreeMap<String, ArrayD<f32>>;

/// A model with its intermediate values as outputs. ONNX Runtime may fuse less in it than in the
/// deployed model: it shows the place to look at, and the verdict is the deployed model's.
#[derive(Debug)]
pub struct IntermediateOutputs {
    session: Session,
}

impl IntermediateOutputs {
    /// Opens a model, of the file `path`, with the values of the given names as further outputs.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open(
        environment: &Environment,
        path: &Path,
        model: &Model,
        names: &[&str],
        options: &Options,
    ) -> Result<Self, OpenError> {
        let mut graph = model.graph.clone();
        for node in model.graph.nodes.iter().filter(|node| names.contains(&node.name.as_str())) {
            let shown =
                if node.output.data_type == DataType::F16 { widen(&mut graph, node) } else { node.name.clone() };
            if !graph.outputs.contains(&shown) {
                graph.outputs.push(shown);
            }
        }
        let bytes = proto::write(&graph, model.opset, &[])
            .map_err(|error| OpenError::Model { path: path.into(), source: Box::new(error.into()) })?;
        Ok(Self { session: Session::start(environment, path, &bytes, model.clone(), options)? })
    }

    /// Returns the values for a batch `[n, channels, h, w]`.
    ///
    /// # Errors
    /// When the model cannot be run.
    pub fn values(&mut self, input: ArrayView4<'_, f32>) -> Result<IntermediateValues, RunError> {
        let values = self.session.values(input)?;
        let name = |name: String| name.strip_suffix(WIDENED).map(str::to_owned).unwrap_or(name);
        Ok(values.into_iter().map(|(shown, value)| (name(shown), value)).collect())
    }
}

/// The suffix of a 16-bit value that is converted to 32 bits.
const WIDENED: &str = ".float32";

/// Adds a node that converts a value to 32-bit floats, and returns its name.
fn widen(graph: &mut Graph, node: &Node) -> String {
    let name = format!("{}{WIDENED}", node.name);
    let output = TensorType { data_type: DataType::F32, ..node.output.clone() };
    graph.nodes.push(Node {
        name: name.clone(),
        op: Op::Cast { to: DataType::F32 },
        inputs: vec![node.name.clone()],
        output,
    });
    name
}

#[cfg(test)]
mod tests {
    use seg_onnx::graph::GraphBuilder;

    use super::*;

    #[test]
    fn of_values_that_do_not_fit_memory_some_are_left_out() {
        let mut builder = GraphBuilder::new("chain");
        let mut x = builder.input("input", [Dim::batch(), Dim::from(16), Dim::height(), Dim::width()]).unwrap();
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        for name in names {
            x = builder.root().relu(name, x).unwrap();
        }
        let graph = builder.finish(&[("j", x)]).unwrap();
        for (shape, expected) in [
            ([2, 35, 45], &names[..]),
            // 8 GB of them.
            ([1, 2048, 1024], &["a", "e", "i"]),
            ([2, 1024, 1024], &["a", "e", "i"]),
            ([8, 8192, 8192], &["a"]),
        ] {
            assert_eq!(comparable(&graph, &graph, shape), expected, "{shape:?}");
        }
    }
}
