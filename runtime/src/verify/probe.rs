//! A model that shows the values inside of it.

use std::path::Path;

use ndarray::ArrayView4;
use ort::environment::Environment;
use seg_onnx::{
    Model,
    graph::{DataType, Graph, Node, Op, TensorType},
    proto,
};

use super::bisect::Values;
use crate::{
    Options,
    session::{OpenError, RunError, Session},
};

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
