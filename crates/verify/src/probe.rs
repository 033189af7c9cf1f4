//! A model that shows the values inside of it.

use std::collections::BTreeSet;
use std::path::Path;

use ndarray::ArrayView4;
use ort::environment::Environment;
use seg_inference::Options;
use seg_inference::session::{OpenError, RunError, Session};
use seg_onnx::graph::{DataType, Dim, Graph, Node, Op, TensorType};
use seg_onnx::{Model, proto};

use crate::bisect::Values;
use crate::yardstick::shared;

/// The most bytes of values inside that are compared at once; of a whole image they are many times as many as a graph
/// needs to be evaluated.
const VALUES_BYTES_MAX: usize = 2 << 30;

/// The bytes that each number of a value takes where it is compared: in the answer of what runs the model, in the copy that is kept of it, and exactly
/// with all of the graph in 64 bits and with each of its values rounded to 32.
const NUMBER_BYTES: usize = 4 + 4 + 8 + 8;

/// The values that a model has in common with a reference's graph; where an input of a shape makes so many numbers of
/// them that they do not fit memory, only every second of them, or third, or so on.
pub(super) fn comparable<'m>(reference: &Graph, model: &'m Graph, shape: [usize; 3]) -> Vec<&'m str> {
    let names = shared(reference, model);
    let every = numbers(model, &names, shape).saturating_mul(NUMBER_BYTES).div_ceil(VALUES_BYTES_MAX);
    names.into_iter().step_by(every.max(1)).collect()
}

/// How many numbers there are in the values of the given names.
fn numbers(graph: &Graph, names: &[&str], [n, h, w]: [usize; 3]) -> usize {
    let symbols = [(Dim::batch(), n), (Dim::height(), h), (Dim::width(), w)].map(|(dim, size)| (dim.to_string(), size));
    let bindings = symbols.each_ref().map(|(symbol, size)| (symbol.as_str(), *size as i64));
    let of = |node: &Node| {
        let sides = node.output.shape.iter().map(|dim| dim.evaluate(&bindings).map(|side| side.max(0) as usize));
        // A size that is not known is no reason not to look.
        sides.product::<Result<usize, _>>().unwrap_or_default()
    };
    let wanted: BTreeSet<_> = names.iter().copied().collect();
    graph.nodes.iter().filter(|node| wanted.contains(node.name.as_str())).map(of).sum()
}

/// A model whose inner values can be had. With them in sight, ONNX Runtime may fuse less than in the model as it is deployed: what is
/// found here says where to look, the verdict is the deployed model's.
#[derive(Debug)]
pub struct Probe {
    session: Session,
}

impl Probe {
    /// Opens a model, of the file `path`, that shows the values of the given names beside its output.
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

    /// The values for a batch `[n, channels, h, w]`.
    ///
    /// # Errors
    /// When the model cannot be run.
    pub fn values(&mut self, input: ArrayView4<'_, f32>) -> Result<Values, RunError> {
        let values = self.session.values(input)?;
        let name = |name: String| name.strip_suffix(WIDENED).map(str::to_owned).unwrap_or(name);
        Ok(values.into_iter().map(|(shown, value)| (name(shown), value)).collect())
    }
}

/// What is appended to the name of a value of 16-bit floats that is shown in 32 bits.
const WIDENED: &str = ".float32";

/// Adds a node that gives another's value in 32-bit floats.
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
