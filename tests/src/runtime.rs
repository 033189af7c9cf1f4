//! ONNX Runtime on the CPU, as the claims use it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

use ndarray::ArrayD;
use ort::environment::Environment;
use ort::session::SessionInputValue;
use ort::value::TensorRef;
use seg_inference::library::{Build, Search};
use seg_inference::{Options, Session, available_threads};
use seg_onnx::graph::Graph;
use seg_onnx::{Opset, proto};

/// Returns ONNX Runtime, which a process can start once; with the CPU alone a static does no harm.
///
/// # Panics
/// When there is no library and none can be fetched.
pub fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let library = Search::from_env(None, Build::Cpu).locate();
        library.and_then(|library| library.load()).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Opens the bytes of a model as a deployment opens its file.
///
/// # Panics
/// When it cannot be opened.
pub fn open(model: &[u8]) -> Session {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let path = folder.path().join("model.onnx");
    fs::write(&path, model).expect("a new file in a folder of our own can be written");
    Session::open(environment(), &path, &Options::default()).unwrap_or_else(|error| panic!("{error:?}"))
}

/// Returns the values of all outputs of a graph.
///
/// # Panics
/// When ONNX Runtime does not take the graph or the inputs.
pub fn run(graph: &Graph, opset: Opset, inputs: &[(&str, ArrayD<f32>)]) -> BTreeMap<String, ArrayD<f32>> {
    Opened::new(graph, opset).run(inputs)
}

/// A graph that ONNX Runtime has opened, to be run more than once.
pub struct Opened<'g> {
    graph: &'g Graph,
    session: ort::session::Session,
}

impl<'g> Opened<'g> {
    /// Opens the graph as a file of the operator set.
    ///
    /// # Panics
    /// When ONNX Runtime does not take it.
    pub fn new(graph: &'g Graph, opset: Opset) -> Self {
        let bytes = proto::write(graph, opset, &[]).unwrap_or_else(|error| panic!("{error:?}"));
        let session = Self::start(&bytes).unwrap_or_else(|error| panic!("{}: {error}", graph.name));
        Self { graph, session }
    }

    fn start(bytes: &[u8]) -> ort::Result<ort::session::Session> {
        let builder = ort::session::Session::builder(environment())?;
        builder.with_intra_threads(available_threads().get())?.commit_from_memory(bytes)
    }

    /// Returns the values of all outputs.
    ///
    /// # Panics
    /// When ONNX Runtime does not take the inputs.
    pub fn run(&mut self, inputs: &[(&str, ArrayD<f32>)]) -> BTreeMap<String, ArrayD<f32>> {
        let Self { graph, session } = self;
        let mut run = || -> ort::Result<_> {
            let inputs = inputs
                .iter()
                .map(|(name, values)| Ok((Cow::from(*name), TensorRef::from_array_view(values.view())?.into())))
                .collect::<ort::Result<Vec<(_, SessionInputValue<'_>)>>>()?;
            let outputs = session.run(inputs)?;
            let value =
                |name: &String| Ok((name.clone(), outputs[name.as_str()].try_extract_array::<f32>()?.to_owned()));
            graph.outputs.iter().map(value).collect()
        };
        run().unwrap_or_else(|error| panic!("{}: {error}", graph.name))
    }
}
