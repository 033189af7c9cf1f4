//! Starts ONNX Runtime as the flags say.

use ort::environment::Environment;
use seg_runtime::{Options, Provider, library::Search};

use crate::{args::Engine, note};

/// ONNX Runtime, fetched where it must be, and how models are to be run in it.
///
/// The environment must outlive what is opened in it.
pub(crate) fn start(engine: &Engine) -> anyhow::Result<(Environment, Options)> {
    let provider = Provider::from(engine.ep);
    let search = Search::from_env(engine.ort_lib.clone(), provider.into());
    let library = match search.find()? {
        Some(library) => library,
        None => {
            if !search.offline {
                note("fetching the ONNX Runtime library; this happens once");
            }
            search.fetch()?
        }
    };
    let engines = search.cache.map(|cache| cache.join("tensorrt"));
    Ok((library.load()?, Options { provider, threads: engine.threads, engines }))
}
